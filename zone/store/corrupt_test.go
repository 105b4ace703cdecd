package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/zone/rr"
)

// truth is all that a data directory holds, as its users see it.
type truth struct {
	meta    Meta
	content map[string]string
	journal []*Entry
	held    map[string]rr.Registration
	signers []rr.Signer
	keys    map[string]PhoneKey
}

func truthOf(t testing.TB, z *Zone) (w truth) {
	t.Helper()
	var err error
	if w.meta, _, err = z.Meta(); err != nil {
		t.Fatal(err)
	}
	w.content = content(t, z)
	if w.journal, err = journalOf(z, w.meta.JournalFrom, w.meta.Serial); err != nil {
		t.Fatal(err)
	}
	w.held = map[string]rr.Registration{}
	for r, err := range z.Registrations() {
		if err != nil {
			t.Fatal(err)
		}
		w.held[r.Number] = *r
	}
	if w.signers, err = z.Signers(); err != nil {
		t.Fatal(err)
	}
	w.keys = keysOf(t, z)
	return w
}

// full makes a data directory that holds something of everything, in tables of
// several levels and in logs, as a crash leaves it.
func full(t testing.TB, numbers int) (dir map[string][]byte, want truth) {
	t.Helper()
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1, manySets(numbers, 1)...)
	for i := range 40 {
		number := fmt.Sprintf("%07d", i)
		k := PhoneKey{Number: number, Algorithm: 1, Generation: uint32(i + 1), Created: time.Unix(1e9, 0), Blocked: i%3 == 0, Secret: []byte(number)}
		if i%5 == 0 {
			k.Revoked = []SecretHash{{1, byte(i)}}
		}
		if err := z.PutPhoneKeys(k); err != nil {
			t.Fatal(err)
		}
	}
	for serial := uint32(1); serial < 60; serial++ {
		c := change(z, serial, serial+1, int(serial*7)%(numbers-40), 40, int(serial)+5)
		number := fmt.Sprintf("%07d", serial)
		c.Held.Registrations = []rr.Registration{{Number: number, Lease: 1e12 + int64(serial), Signed: serial, Digest: uint64(serial),
			Updated: 99, Key: rr.NumberName(number, apex), From: netip.MustParseAddr("192.0.2.1")}}
		c.Held.Signers = []rr.Signer{{Key: rr.MustName("pbx.key."), Signed: serial, Digest: 7}}
		commit(t, z, c)
		if serial == 50 {
			s = reopen(t, s) // what came before goes to tables
			if err := s.db.Flatten(1); err != nil {
				t.Fatal(err)
			}
			z = openZone(t, s, apex)
		}
	}
	want = truthOf(t, z)
	dir = readDir(t, s.o.Dir, "all")
	delete(dir, "LOCK")
	kinds := map[string]bool{}
	for name := range dir {
		kinds[filepath.Ext(name)] = true
	}
	if !kinds[".sst"] || !kinds[".mem"] || dir[markFile] == nil {
		t.Fatalf("files %v", slices.Sorted(maps.Keys(dir)))
	}
	return dir, want
}

// lay writes a directory. Zeros at the end of a file are left to the file system.
func lay(t testing.TB, files map[string][]byte) Options {
	t.Helper()
	o := testOptions(t.TempDir())
	for name, data := range files {
		path := filepath.Join(o.Dir, name)
		err := errors.Join(os.WriteFile(path, bytes.TrimRight(data, "\x00"), 0o600), os.Truncate(path, int64(len(data))))
		if err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// places gives n offsets in each file, its ends among them.
func places(r *rand.Rand, size, n int) (at []int) {
	for i := range min(16, size) {
		at = append(at, i, size-1-i)
	}
	for len(at) < n && size > 0 {
		at = append(at, r.IntN(size))
	}
	r.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
	return at[:min(n, len(at))]
}

// TestEveryOctetCounts changes single octets and bits of every file. A start
// refuses, and names the file, or everything is as it was; and a repair brings
// all of it back.
func TestEveryOctetCounts(t *testing.T) {
	files, want := full(t, 4000)
	r := rand.New(rand.NewPCG(5, 6))
	refused := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data := files[name]
		written := len(bytes.TrimRight(data, "\x00"))
		n := damagesAFile
		if strings.HasSuffix(name, ".vlog") || name == "DISCARD" {
			n, written = n/4, len(data)
		}
		for i, at := range places(r, written, n) {
			x := byte(1 + r.IntN(255))
			if i%2 == 0 {
				x = 1 << r.IntN(8)
			}
			if damageOne(t, files, name, at, x, want) {
				refused++
			}
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("%d damages refused", refused)
	if refused < 5 {
		t.Error("hardly any damage was found")
	}
}

// damageOne tells whether a start refused the damage.
func damageOne(t *testing.T, files map[string][]byte, name string, at int, x byte, want truth) (refused bool) {
	t.Helper()
	what := fmt.Sprintf("%s, octet %d of %d, changed by %#x", name, at, len(files[name]), x)
	damaged := maps.Clone(files)
	damaged[name] = bytes.Clone(files[name])
	damaged[name][at] ^= x
	o := lay(t, damaged)
	s, err := Open(o)
	if err != nil {
		refused = true
		if !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "store check") {
			t.Errorf("%s: the message names neither file nor help: %v", what, err)
		}
		wantUntouched(t, o.Dir, damaged, what)
	} else {
		wantTruth(t, s, want, what)
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if x, err := Check(CheckOptions{Dir: o.Dir}); err != nil || !x.Sound() {
			t.Errorf("%s: after a start and a stop: %v %v", what, x, err)
		}
		o = lay(t, damaged)
	}
	report, err := Check(CheckOptions{Dir: o.Dir})
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return refused
	}
	named := slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.File == name })
	if refused && (!named || report.Sound()) {
		t.Errorf("%s: a start refuses, and check finds %v", what, report.Findings)
	}
	wantUntouched(t, o.Dir, damaged, what)
	report, err = Check(CheckOptions{Dir: o.Dir, Repair: true})
	if err != nil || report.Hopeless || !report.Sound() && !report.Repaired {
		t.Errorf("%s: repair: %+v %v", what, report, err)
		return refused
	}
	if s, err = Open(o); err != nil {
		t.Errorf("%s: after the repair: %v", what, err)
		return refused
	}
	wantTruth(t, s, want, what+", repaired")
	if err := s.Close(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if report.Repaired {
		kept, err := os.ReadFile(filepath.Join(o.Dir, report.Aside, name))
		if err != nil || !bytes.Equal(kept, damaged[name]) {
			t.Errorf("%s: the damaged file was not kept: %v", what, err)
		}
	}
	if err := os.RemoveAll(o.Dir); err != nil {
		t.Error(err)
	}
	return refused
}

// wantUntouched wants a directory as it was laid.
func wantUntouched(t *testing.T, dir string, files map[string][]byte, what string) {
	t.Helper()
	now := readDir(t, dir, "all")
	delete(now, "LOCK")
	if !maps.EqualFunc(now, files, bytes.Equal) {
		t.Errorf("%s: the directory was changed", what)
	}
}

func wantTruth(t *testing.T, s *Store, want truth, what string) {
	t.Helper()
	got := truthOf(t, openZone(t, s, apex))
	v, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range v.NumField() {
		if field := reflect.TypeFor[truth]().Field(i); !equalTruth(&got, &want, field.Name) {
			t.Errorf("%s: %s is not what it was: %v, want %v", what, field.Name, short(v.Field(i)), short(w.Field(i)))
		}
	}
}

func short(v reflect.Value) string {
	s := fmt.Sprint(v)
	return s[:min(len(s), 300)]
}

func equalTruth(a, b *truth, field string) bool {
	switch field {
	case "meta":
		return a.meta == b.meta
	case "content":
		return maps.Equal(a.content, b.content)
	case "journal":
		return reflect.DeepEqual(a.journal, b.journal)
	case "held":
		return maps.Equal(a.held, b.held)
	case "signers":
		return slices.Equal(a.signers, b.signers)
	}
	return reflect.DeepEqual(a.keys, b.keys)
}
