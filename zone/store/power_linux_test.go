package store

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// powerDir, when set in the environment, makes this test binary the process whose
// disk is recorded.
const powerDir = "DIALTONE_STORE_POWER_DIR"

func init() { children[powerDir] = writeForPower }

// powerKey is the number whose key counts how often it was changed.
const powerKey = "5551234"

// writeForPower commits, and acknowledges through the recording file system. What
// it finds at its start it serves, so that counts as acknowledged.
func writeForPower(dir string) error {
	ack, err := os.OpenFile(filepath.Join(dir, ackFile), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer ack.Close()
	s, z, serial, err := openForCrash(filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	k, _, err := z.PhoneKey(powerKey)
	if err != nil {
		return err
	}
	served := func(serial, generation uint32) error {
		b := binary.BigEndian.AppendUint32(nil, serial)
		_, err := ack.WriteAt(binary.BigEndian.AppendUint32(b, generation), 0)
		return err
	}
	if err := served(serial, k.Generation); err != nil {
		return err
	}
	for ; serial < powerSerials; serial++ {
		if err := z.Commit(crashCommit(z, serial)); err != nil {
			return err
		}
		if err := served(serial+1, k.Generation); err != nil {
			return err
		}
		if serial%5 == 0 {
			k = PhoneKey{Number: powerKey, Generation: k.Generation + 1, Created: time.Unix(0, 0)}
			if err := z.PutPhoneKeys(k); err != nil {
				return err
			}
			if err := served(serial+1, k.Generation); err != nil {
				return err
			}
		}
		if serial%20 == 0 {
			if err := z.Trim(time.Now(), 0, 256<<10); err != nil {
				return err
			}
			if err := z.DeletePhoneKeys("1"); err != nil { // a transaction that only deletes
				return err
			}
		}
	}
	return s.Close()
}

// recordRun has a process write until it is done. It is killed now and then on the
// way, between a commit's write and its sync, and started again, where it finds what
// no disk has yet.
func recordRun(t *testing.T, kills int) []diskOp {
	t.Helper()
	at, backing := t.TempDir(), t.TempDir()
	r := record(t, at, backing)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i := range kills + 1 {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), powerDir+"="+at)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if i < kills {
			r.crashAfter(powerSerials/(kills+1), func() { _ = cmd.Process.Kill() })
		}
		if err := cmd.Wait(); cmd.ProcessState.Exited() != (i == kills) || i == kills && err != nil {
			t.Fatalf("the writer ended: %v", err)
		}
	}
	return r.all()
}

// states gives the content of the zone for each serial.
func states() [][]uint32 {
	list := [][]uint32{nil, make([]uint32, phones)}
	for serial := uint32(2); serial <= powerSerials; serial++ {
		addr := slices.Clone(list[serial-1])
		giveAddresses(addr, serial)
		list = append(list, addr)
	}
	return list
}

// TestPowerCuts cuts the power between any two operations of the disk. What was
// not synced is lost, or there in part, in any order and torn within its writes;
// what was acknowledged is there, and nothing by half.
func TestPowerCuts(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	ops := recordRun(t, 3)
	count := map[opKind]int{}
	for _, o := range ops {
		count[o.what]++
	}
	t.Logf("%d operations: %v", len(ops), count)
	if count[opWrite] < 100 || count[opSync]+count[opSyncData] < 100 || count[opCreate] < 10 || count[opRemove] < 5 || count[opSyncDir] < 5 || count[opAck] < powerSerials {
		t.Fatalf("the recording lacks something: %v", count)
	}
	want := states()
	d, at := newDisk(), 0
	kept := map[cutStyle]int{}
	for _, m := range moments(r, len(ops), powerCuts) {
		for ; at < m; at++ {
			d.do(ops[at])
		}
		for style := range cutStyles {
			kept[style]++
			what := fmt.Sprintf("cut after %d of %d operations, style %d", m, len(ops), style)
			checkCut(t, d.cut(style, r), d.acked, want, what)
			if t.Failed() {
				t.Logf("not synced: %v", d.describe(ops[:m]))
				return
			}
		}
	}
	t.Logf("%v cuts", kept)
}

func checkCut(t *testing.T, files map[string][]byte, acked [2]uint32, want [][]uint32, what string) {
	t.Helper()
	o := lay(t, files)
	defer os.RemoveAll(o.Dir)
	s, err := Open(o)
	if err != nil {
		t.Errorf("%s: %v\n%v", what, err, slices.Sorted(maps.Keys(files)))
		return
	}
	defer s.Close()
	z := openZone(t, s, apex)
	m, loaded, err := z.Meta()
	if err != nil {
		t.Fatal(err)
	}
	if !loaded {
		if acked[0] > 0 {
			t.Errorf("%s: there is no zone, serial %d was acknowledged", what, acked[0])
		}
		return
	}
	if m.Serial < acked[0] || m.Serial > max(1, acked[0]+1) {
		t.Errorf("%s: serial %d, %d was acknowledged", what, m.Serial, acked[0])
		return
	}
	k, _, err := z.PhoneKey(powerKey)
	if err != nil || k.Generation < acked[1] || k.Generation > acked[1]+1 {
		t.Errorf("%s: key of generation %d, %d was acknowledged (%v)", what, k.Generation, acked[1], err)
	}
	sets := make(map[string]string, phones+1)
	for i, a := range want[m.Serial] {
		maps.Copy(sets, contentOf(aSet(i, int(a))))
	}
	maps.Copy(sets, contentOf(soaSet(m.Serial)))
	if got := content(t, z); !maps.Equal(got, sets) {
		t.Errorf("%s: the zone is not that of serial %d", what, m.Serial)
	}
	check(t, z)
	if m.Serial < powerSerials {
		commit(t, z, crashCommit(z, m.Serial))
	}
}
