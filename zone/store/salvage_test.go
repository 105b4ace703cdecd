package store

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestFilesThatAreMissing takes each file away.
func TestFilesThatAreMissing(t *testing.T) {
	files, want := full(t, 4000)
	for name := range files {
		left := maps.Clone(files)
		delete(left, name)
		o := lay(t, left)
		s, err := Open(o)
		switch ext := filepath.Ext(name); {
		case ext != ".sst" && ext != ".mem" && name != manifest:
			if err != nil {
				t.Errorf("without %s: %v", name, err)
				continue
			}
			wantTruth(t, s, want, "without "+name)
		case err == nil:
			t.Errorf("a start without %s", name)
		default:
			if !errors.Is(err, ErrCorrupt) || ext == ".sst" && !strings.Contains(err.Error(), name) {
				t.Errorf("without %s: %v", name, err)
			}
			wantUntouched(t, o.Dir, left, "without "+name)
			if r, err := Check(CheckOptions{Dir: o.Dir}); err != nil || r.Sound() {
				t.Errorf("without %s: check finds %+v, %v", name, r, err)
			}
		}
	}
}

// subset tells whether all that is in part is in whole, too.
func subset[K comparable, V any](part, whole map[K]V) bool {
	for k, v := range part {
		if !reflect.DeepEqual(v, whole[k]) {
			return false
		}
	}
	return true
}

// TestSectorsThatAreLost overwrites 512 octets at a time. A start refuses; what a
// repair brings back of a table is right, and the serial is beyond all there were.
func TestSectorsThatAreLost(t *testing.T) {
	files, want := full(t, 4000)
	r := rand.New(rand.NewPCG(7, 8))
	repaired := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data := files[name]
		written := len(bytes.TrimRight(data, "\x00"))
		if ext := filepath.Ext(name); ext != ".sst" && ext != ".mem" || written < 2048 {
			continue
		}
		for range sectorsAFile {
			damaged := maps.Clone(files)
			damaged[name] = bytes.Clone(data)
			at := r.IntN(written/512) * 512
			for i := at; i < min(at+512, written); i++ {
				damaged[name][i] = byte(r.Uint32())
			}
			if loseSector(t, damaged, name, at, want) {
				repaired++
			}
		}
	}
	if t.Logf("%d repaired", repaired); repaired == 0 {
		t.Error("nothing was repaired")
	}
}

func loseSector(t *testing.T, damaged map[string][]byte, name string, at int, want truth) (repaired bool) {
	t.Helper()
	o := lay(t, damaged)
	if _, err := Open(o); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), name) {
		t.Errorf("%s at %d: a start: %v", name, at, err)
	}
	report, err := Check(CheckOptions{Dir: o.Dir, Repair: true})
	if err != nil || report.Sound() || report.Hopeless == report.Repaired {
		t.Errorf("%s at %d: %+v, %v", name, at, report, err)
		return false
	}
	if report.Hopeless {
		wantUntouched(t, o.Dir, damaged, name)
		return false
	}
	s, err := Open(o)
	if err != nil {
		t.Errorf("%s at %d: after the repair: %v", name, at, err)
		return false
	}
	defer s.Close()
	z := openZone(t, s, apex)
	check(t, z)
	got := truthOf(t, z)
	serial := want.meta.Serial
	delete(got.content, "phones.example. SOA")
	if got.meta.Serial <= serial {
		t.Errorf("%s at %d: serial %d, and there was %d", name, at, got.meta.Serial, serial)
	}
	if strings.HasSuffix(name, ".sst") && (!subset(got.content, want.content) || !subset(got.held, want.held) || !subset(got.keys, want.keys)) {
		t.Errorf("%s at %d: something is not as it was", name, at)
	}
	if len(got.content) < 1000 {
		t.Errorf("%s at %d: only %d RRsets are left", name, at, len(got.content))
	}
	commit(t, z, change(z, got.meta.Serial, got.meta.Serial+1, 3, 1, 3))
	return true
}

// TestRepairsThatAreInterrupted ends a repair before each of its last steps.
func TestRepairsThatAreInterrupted(t *testing.T) {
	files, want := full(t, 3000)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".sst") {
			files[name] = bytes.Clone(files[name])
			files[name][77] ^= 1
			break
		}
	}
	for n := 0; ; n++ {
		o := lay(t, files)
		_, err := Check(CheckOptions{Dir: o.Dir, Repair: true, step: failsAfter(n)})
		if err == nil {
			if n < 10 {
				t.Errorf("only %d steps", n)
			}
			break
		}
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "store check --repair") {
			t.Errorf("a start after %d steps: %v", n, err)
		}
		if r, err := Check(CheckOptions{Dir: o.Dir, Repair: true}); err != nil || !r.Repaired {
			t.Fatalf("a second repair after %d steps: %+v %v", n, r, err)
		}
		s := openStore(t, o)
		wantTruth(t, s, want, "repaired in two goes")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(o.Dir); err != nil {
			t.Error(err)
		}
	}
}
