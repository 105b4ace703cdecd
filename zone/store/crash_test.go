package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// crashDir, when set in the environment, makes this test binary the process
// that is killed.
const crashDir = "DIALTONE_STORE_CRASH_DIR"

func TestMain(m *testing.M) {
	for name, child := range children {
		arg := os.Getenv(name)
		if arg == "" {
			continue
		}
		if err := child(arg); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// children are what this test binary is when a variable is set, with its value.
var children = map[string]func(arg string) error{crashDir: writeUntilKilled, restoreEnv: restoreUntilKilled}

// phones is how many numbers the child changes. A commit with serial n gives
// number n%phones the address n; every seventh is a large one and gives it to
// all numbers.
const phones = 2000

func crashCommit(z *Zone, from uint32) *Commit {
	to := from + 1
	if to%7 == 0 {
		return change(z, from, to, 0, phones, int(to))
	}
	return change(z, from, to, int(to%phones), 1, int(to))
}

// giveAddresses does to the addresses of the numbers what the commit to a serial does.
func giveAddresses(addr []uint32, serial uint32) {
	addr[serial%phones] = serial
	if serial%7 == 0 {
		for i := range addr {
			addr[i] = serial
		}
	}
}

// openForCrash opens the store of a process that is killed, with the zone as it
// was left, or anew with serial 1.
func openForCrash(dir string) (s *Store, z *Zone, serial uint32, err error) {
	if s, err = Open(testOptions(dir)); err != nil {
		return nil, nil, 0, err
	}
	if z, err = s.Zone(apex); err != nil {
		return nil, nil, 0, err
	}
	m, loaded, err := z.Meta()
	if err == nil && !loaded {
		m.Serial = 1
		err = z.Seed(1, seq(append(manySets(phones, 0), soaSet(1))...))
	}
	return s, z, m.Serial, err
}

// writeUntilKilled commits and prints each serial once it is acknowledged.
func writeUntilKilled(dir string) error {
	_, z, serial, err := openForCrash(dir)
	if err != nil {
		return err
	}
	fmt.Println(serial)
	for ; ; serial++ {
		if err := z.Commit(crashCommit(z, serial)); err != nil {
			return err
		}
		fmt.Println(serial + 1)
		if serial%20 == 0 {
			if err := z.Trim(time.Now(), 0, 256<<10); err != nil {
				return err
			}
		}
	}
}

// TestKill9 kills a writing process at random moments and checks that all it
// acknowledged is there, and nothing by half. It runs beside no other test: a
// child that is being forked holds the locks of all open stores until its exec,
// and a store that another test closes and opens again then seems to be in use.
func TestKill9(t *testing.T) {
	const rounds = 20
	dir := t.TempDir()
	acked := uint32(0)
	total := 0
	for range rounds {
		before := acked
		acked = killOneWriter(t, dir, acked)
		total += int(acked - before)
		checkAfterCrash(t, dir, &acked)
	}
	t.Logf("%d commits in %d rounds", total, rounds)
	if total < rounds {
		t.Fatalf("only %d commits in %d rounds", total, rounds)
	}
}

// killOneWriter runs a writer, kills it after a random number of commits, in
// the middle of the next, and gives the last serial that it acknowledged.
func killOneWriter(t *testing.T, dir string, acked uint32) uint32 {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	killAfter := rand.IntN(60)
	delay := time.Duration(rand.IntN(3000)) * time.Microsecond
	for n := 0; lines.Scan(); n++ {
		v, err := strconv.ParseUint(lines.Text(), 10, 32)
		if err != nil || n > 0 && uint32(v) != acked+1 || n == 0 && uint32(v) < acked {
			t.Errorf("the writer said %q after %d: %v", lines.Text(), acked, err)
		}
		acked = uint32(v)
		if n == killAfter {
			time.AfterFunc(delay, func() { cmd.Process.Kill() })
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.Exited() {
		t.Fatalf("the writer ended by itself: %v", err)
	}
	return acked
}

func checkAfterCrash(t *testing.T, dir string, acked *uint32) {
	t.Helper()
	s, err := Open(testOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	z := openZone(t, s, apex)
	m, loaded, _ := z.Meta()
	if *acked == 0 && !loaded {
		return // killed while it was seeding
	}
	// What was being committed may be there, but it was not acknowledged.
	if !loaded || m.Serial != *acked && m.Serial != *acked+1 {
		t.Fatalf("loaded %v with serial %d, acknowledged %d", loaded, m.Serial, *acked)
	}
	*acked = m.Serial
	check(t, z)
	addr := make([]uint32, phones)
	for serial := uint32(2); serial <= m.Serial; serial++ {
		giveAddresses(addr, serial)
	}
	want := []OwnedRRset{soaSet(m.Serial)}
	for i := range addr {
		want = append(want, aSet(i, int(addr[i])))
	}
	wantContent(t, z, contentOf(want...))
	entries, err := journalOf(z, m.JournalFrom, m.Serial)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if c := crashCommit(z, e.From); e.To != c.To || e.NewSOA != c.NewSOA || len(e.Added) != len(c.Added) || e.Added[0] != c.Added[0] {
			t.Fatalf("entry %d to %d is not what was committed", e.From, e.To)
		}
	}
}
