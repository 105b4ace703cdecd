package store

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"dialtone/zone/rr"
)

func TestCommitSurvivesACrash(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1, aSet(1, 1), aSet(2, 2))
	c := change(z, 1, 2, 2, 2, 9)
	c.Sets = append(c.Sets, OwnedRRset{number(1), rr.RRset{Type: typeA}})
	commit(t, z, c)
	everyWay(t, s, func(z *Zone) {
		wantContent(t, z, contentOf(soaSet(2), aSet(2, 9), aSet(3, 9)))
		check(t, z)
	})
}

func TestCommitKeepsRecordsAsTheyAre(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1)
	owner := rr.Name("\x05a\x00\\.\xff\x04MiXd" + string(apex))
	set := rr.RRset{Type: typeTXT, TTL: 1<<31 - 1, Data: []string{"\x00", "\x03\x00\x01\xff", strings.Repeat("\xff", 65535)}}
	c := change(z, 1, 2, 0, 0, 0)
	c.Sets = append(c.Sets, OwnedRRset{owner, set})
	for _, d := range set.Data {
		c.Added = append(c.Added, rr.RR{Owner: owner, Type: set.Type, TTL: set.TTL, Data: d})
	}
	commit(t, z, c)
	z = openZone(t, reopen(t, s), apex)
	wantContent(t, z, contentOf(soaSet(2), OwnedRRset{owner, set}))
	entries, err := journalOf(z, 1, 2)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	e := entries[0]
	if e.OldSOA != c.OldSOA || e.NewSOA != c.NewSOA || !e.Time.Equal(c.Time) || fmt.Sprint(e.Added, e.Deleted) != fmt.Sprint(c.Added, c.Deleted) {
		t.Fatalf("got %v", e)
	}
}

func TestCommitValidatesBeforeItWrites(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	if err := z.Commit(change(z, 1, 2, 0, 1, 1)); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("not loaded: %v", err)
	}
	seed(t, z, 10)
	bad := func(from, to uint32, set OwnedRRset) *Commit {
		c := change(z, from, to, 0, 1, 1)
		c.Sets = append(c.Sets, set)
		return c
	}
	huge := OwnedRRset{number(1), rr.RRset{Type: typeTXT}}
	for range 3 {
		huge.Set.Data = append(huge.Set.Data, strings.Repeat("x", 60000))
	}
	for _, c := range []struct {
		name string
		c    *Commit
		err  error
	}{
		{"another serial", bad(9, 11, aSet(1, 1)), ErrSerial},
		{"the same serial", bad(10, 10, aSet(1, 1)), ErrSerial},
		{"a lower serial", bad(10, 9, aSet(1, 1)), ErrSerial},
		{"half way round", bad(10, 10+1<<31, aSet(1, 1)), ErrSerial},
		{"out of zone", bad(10, 11, OwnedRRset{rr.MustName("example."), rr.RRset{Type: typeA, Data: []string{a(1)}}}), ErrOutOfZone},
		{"no name", bad(10, 11, OwnedRRset{"", rr.RRset{Type: typeA, Data: []string{a(1)}}}), ErrOutOfZone},
		{"huge RRset", bad(10, 11, huge), ErrTooBig},
		{"huge record", bad(10, 11, OwnedRRset{number(1), rr.RRset{Type: typeTXT, Data: []string{strings.Repeat("x", 65536)}}}), ErrTooBig},
	} {
		if err := z.Commit(c.c); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	commit(t, z, change(z, 10, 11, 0, 1, 1)) // no repair was needed
	check(t, z)
}

// RFC 1982: a serial may jump by up to 2^31-1 and wraps.
func TestSerialsWrap(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	serial := uint32(1<<32 - 3)
	seed(t, z, serial)
	serials := []uint32{serial}
	var steps []uint32
	for i := range uint32(40) {
		step := uint32(1)
		if i%3 == 2 {
			step = 1<<31 - 1 - i // wraps every second time
		}
		commit(t, z, change(z, serial, serial+step, int(i), 1, int(i)))
		serial += step
		serials, steps = append(serials, serial), append(steps, step)
	}
	z = openZone(t, reopen(t, s), apex)
	for i, from := range serials[:len(steps)] {
		back := uint64(0)
		for _, step := range steps[i:] {
			back += uint64(step)
		}
		entries, err := journalOf(z, from, serial)
		if back < 1<<32 && (err != nil || len(entries) != len(steps)-i) {
			t.Errorf("from %d, %d back: %d entries, %v", from, back, len(entries), err)
		}
		if back >= 1<<32 && !errors.Is(err, ErrNoHistory) {
			t.Errorf("from %d, which was passed a second time since: %d entries, %v", from, len(entries), err)
		}
	}
}

var errTest = errors.New("test fault")

// TestFailedCommitIsUndone covers each way to fail: before the write, and
// after it, when everything is on disk.
func TestFailedCommitIsUndone(t *testing.T) {
	for name, fault := range map[string]error{"before the write": errTest, "after the write": fmt.Errorf("%w: %w", ErrTorn, errTest)} {
		t.Run(name, func(t *testing.T) {
			var next error
			o := testOptions(t.TempDir())
			o.FailCommit = func() error { return next }
			s := openStore(t, o)
			z, other := openZone(t, s, apex), openZone(t, s, rr.MustName("other.example."))
			seed(t, z, 1, aSet(1, 1))
			if err := other.Seed(1, seq()); err != nil {
				t.Fatal(err)
			}
			commit(t, z, change(z, 1, 2, 1, 1, 5))

			next = fault
			if err := z.Commit(change(z, 2, 4, 1, 3, 7)); !errors.Is(err, errTest) {
				t.Fatal(err)
			}
			next = nil
			if m, _, _ := z.Meta(); m.Serial != 2 || m.Burned != 2 || m.JournalCount != 1 {
				t.Fatalf("meta after a failed commit: %+v", m)
			}
			if err := z.Commit(change(z, 2, 3, 1, 1, 8)); !errors.Is(err, ErrBroken) {
				t.Fatalf("commit without repair: %v", err)
			}
			if err := other.Commit(&Commit{From: 1, To: 2}); !errors.Is(err, ErrBroken) {
				t.Fatalf("commit of another zone to a log that failed: %v", err)
			}
			if entries, err := journalOf(z, 1, 2); err != nil || len(entries) != 1 {
				t.Fatalf("journal before the repair: %d, %v", len(entries), err)
			}
			if _, err := journalOf(z, 2, 4); !errors.Is(err, ErrNoHistory) {
				t.Fatalf("the failed commit can be seen: %v", err)
			}
			next = errTest
			truth := []OwnedRRset{soaSet(2), aSet(1, 5), {number(2), rr.RRset{Type: typeA}}, {number(3), rr.RRset{Type: typeA}}}
			if err := z.Repair(truth, Held{}, 4); !errors.Is(err, errTest) {
				t.Fatal(err)
			}
			next = nil
			for range 2 { // a repair may be repeated
				if err := repair(z, truth, Held{}, 4); err != nil {
					t.Fatal(err)
				}
			}
			if err := other.Commit(&Commit{From: 1, To: 2}); err != nil {
				t.Fatalf("commit of another zone after the repair: %v", err)
			}
			for _, z := range []*Zone{z, openZone(t, crash(t, s), apex)} {
				wantContent(t, z, contentOf(soaSet(2), aSet(1, 5)))
				check(t, z)
				if m, _, _ := z.Meta(); m.Serial != 2 || m.Burned != 4 || m.JournalCount != 1 {
					t.Fatalf("meta after the repair: %+v", m)
				}
			}
			for _, burned := range []uint32{3, 4} {
				if err := z.Commit(change(z, 2, burned, 1, 1, 8)); !errors.Is(err, ErrSerial) {
					t.Fatalf("burned serial %d: %v", burned, err)
				}
			}
			commit(t, z, change(z, 2, 5, 1, 1, 8))
			z = openZone(t, reopen(t, s), apex)
			wantContent(t, z, contentOf(soaSet(5), aSet(1, 8)))
			check(t, z)
		})
	}
}

// many is more RRsets than one transaction of the test's memtable takes.
const many = 2000

func TestLargeCommitIsWhole(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1, aSet(1, 1))
	c := change(z, 1, 2, 1, many, 3)
	want := contentOf(c.Sets...)
	commit(t, z, c)
	commit(t, z, change(z, 2, 3, 1, 1, 4))
	maps.Copy(want, contentOf(soaSet(3), aSet(1, 4)))
	everyWay(t, s, func(z *Zone) {
		wantContent(t, z, want)
		check(t, z)
		entries, err := journalOf(z, 1, 3)
		if err != nil || len(entries) != 2 || len(entries[0].Added) != many {
			t.Fatalf("journal: %d entries, %v", len(entries), err)
		}
	})
}

// TestLargeCommitAtEveryFault fails each transaction of a large commit in
// turn, before and after it is written. A crash there must show the old
// content or the new one; a repair must bring the old one back.
func TestLargeCommitAtEveryFault(t *testing.T) {
	t.Parallel()
	for n := 0; ; n++ {
		after := n%2 == 1
		s := openStore(t, testOptions(t.TempDir()))
		z := openZone(t, s, apex)
		seed(t, z, 1, aSet(1, 1), aSet(2, 2))
		old := content(t, z)
		c := change(z, 1, 2, 1, many, 3)
		undo := []OwnedRRset{soaSet(1), aSet(1, 1), aSet(2, 2)}
		for i := 3; i <= many; i++ {
			undo = append(undo, OwnedRRset{number(i), rr.RRset{Type: typeA}})
		}
		countdown := n / 2
		s.fault = func(a bool) error {
			if a == after {
				if countdown--; countdown == -1 {
					return errTest
				}
			}
			return nil
		}
		err := z.Commit(c)
		hit := countdown < 0
		crashed := openZone(t, crash(t, s), apex)
		got := content(t, crashed)
		check(t, crashed)
		isNew := maps.Equal(got, contentOf(c.Sets...))
		if !isNew && (err == nil || !maps.Equal(got, old)) {
			t.Fatalf("fault %d: %d RRsets after a crash, commit said %v", n, len(got), err)
		}
		serial := uint32(1)
		if isNew {
			serial = 2
		}
		commit(t, crashed, change(crashed, serial, 3, 1, many, 4)) // nothing is in the way
		check(t, crashed)

		s.fault = func(bool) error { return nil }
		if err != nil {
			if _, failed := firstOf(z); failed == nil && after {
				t.Fatalf("fault %d: a torn zone can be read", n)
			}
			if err := repair(z, undo, Held{}, 2); err != nil {
				t.Fatal(err)
			}
			wantContent(t, z, old)
			check(t, z)
			commit(t, z, change(z, 1, 3, 1, 1, 6))
		} else if hit {
			// The fault came when the commit was whole already.
			if err := repair(z, nil, Held{}, 2); err != nil {
				t.Fatal(err)
			}
			wantContent(t, z, contentOf(c.Sets...))
		}
		check(t, z)
		check(t, openZone(t, crash(t, s), apex))
		s.Close()
		if !hit {
			if n < 10 {
				t.Fatalf("only %d transactions", n/2)
			}
			return
		}
	}
}

// TestLargeRepairAtEveryFault has a large commit fail when all of it is on
// disk, and then each transaction of its repair in turn. A crash there must
// show the commit or what was before, either with its whole journal.
func TestLargeRepairAtEveryFault(t *testing.T) {
	t.Parallel()
	for n, hit := 0, true; hit; n++ {
		torn := true
		o := testOptions(t.TempDir())
		o.FailCommit = func() error {
			if torn {
				return ErrTorn
			}
			return nil
		}
		s := openStore(t, o)
		z := openZone(t, s, apex)
		truth := []OwnedRRset{soaSet(2)}
		for i := range many {
			truth = append(truth, aSet(i, 1))
		}
		seed(t, z, 1, truth[1:]...)
		torn = false
		commit(t, z, change(z, 1, 2, 0, 0, 0))
		torn = true
		c := change(z, 2, 3, 0, many, 3)
		if err := z.Commit(c); !errors.Is(err, ErrTorn) {
			t.Fatal(err)
		}
		torn = false
		countdown := n / 2
		s.fault = func(a bool) error {
			if a == (n%2 == 1) {
				if countdown--; countdown == -1 {
					return errTest
				}
			}
			return nil
		}
		err := z.Repair(truth, Held{}, 3)
		hit = countdown < 0
		crashed := openZone(t, crash(t, s), apex)
		check(t, crashed)
		if got := content(t, crashed); !maps.Equal(got, contentOf(truth...)) && (err == nil || !maps.Equal(got, contentOf(c.Sets...))) {
			t.Fatalf("fault %d: %d RRsets after a crash, repair said %v", n, len(got), err)
		}
		if err := crashed.Trim(time.Unix(1<<40, 0), time.Second, 0); err != nil {
			t.Fatalf("fault %d: %v", n, err)
		}
		s.fault = func(bool) error { return nil }
		if err := repair(z, truth, Held{}, 3); err != nil {
			t.Fatal(err)
		}
		wantContent(t, z, contentOf(truth...))
		check(t, z)
		commit(t, z, change(z, 2, 4, 1, 1, 6))
		check(t, openZone(t, crash(t, s), apex))
		s.Close()
	}
}

func firstOf(z *Zone) (OwnedRRset, error) {
	for r, err := range z.All() {
		if err != nil {
			return OwnedRRset{}, err
		}
		return cloned(r), nil
	}
	return OwnedRRset{}, nil
}

func TestFullFileSystemRefusesWritesOnly(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1, aSet(1, 1))
	s.o.Reserve = 1 << 60
	if err := z.Commit(change(z, 1, 2, 1, 1, 2)); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if err := z.Repair([]OwnedRRset{soaSet(1), aSet(1, 1)}, Held{}, 2); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	wantContent(t, z, contentOf(soaSet(1), aSet(1, 1)))
	s.o.Reserve = 0
	if err := repair(z, []OwnedRRset{soaSet(1), aSet(1, 1)}, Held{}, 2); err != nil {
		t.Fatal(err)
	}
	commit(t, z, change(z, 1, 3, 1, 1, 2))
	check(t, z)
}

// TestLogThatCannotBeContinued takes the directory away, so that Badger cannot
// start its next log and is left without one.
func TestLogThatCannotBeContinued(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var log lockedBuffer
	o := testOptions(dir)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := openStore(t, o)
	z, other := openZone(t, s, apex), openZone(t, s, rr.MustName("other.example."))
	seed(t, z, 1)
	if err := other.Seed(1, seq()); err != nil {
		t.Fatal(err)
	}
	commit(t, z, change(z, 1, 2, 0, 500, 2))
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	serial := uint32(2)
	var err error
	for ; err == nil; serial++ {
		err = z.Commit(change(z, serial, serial+1, 0, 500, int(serial+1)))
	}
	serial-- // the one that failed
	if serial < 3 {
		t.Fatalf("failed too early: %v", err)
	}
	// Badger says so when the commit has its error already.
	for deadline := time.Now().Add(time.Minute); !strings.Contains(log.String(), "badger: writeRequests: "); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("Badger does not report failed writes as logger.Errorf expects: %s", log.String())
		}
	}
	if err := other.Commit(&Commit{From: 1, To: 2}); !errors.Is(err, ErrBroken) {
		t.Fatalf("another zone's commit: %v", err)
	}
	if _, err := journalOf(z, 1, 2); err == nil {
		t.Error("read without a log")
	}
	if _, err := firstOf(z); err == nil {
		t.Error("read of a torn zone")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	undo := change(z, serial, serial+1, 0, 500, int(serial)).Sets
	undo[0] = soaSet(serial)
	for err := z.Repair(undo, Held{}, serial+1); err != nil; err = z.Repair(undo, Held{}, serial+1) {
		if !errors.Is(err, ErrBroken) {
			t.Fatal(err)
		}
	}
	if err := repair(other, nil, Held{}, 2); err != nil {
		t.Fatal(err)
	}
	if err := other.Commit(&Commit{From: 1, To: 3}); err != nil {
		t.Fatal(err)
	}
	everyWay(t, s, func(z *Zone) {
		wantContent(t, z, contentOf(undo...))
		check(t, z)
	})
}

// A commit that Badger wrote and synced, but behind a place where the log
// failed, must not count.
func TestCommitBehindAFailedWriteDoesNotCount(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1)
	s.fault = func(after bool) error {
		if !after { // another zone's commit fails in front of this one
			logger{s}.Errorf("writeRequests: %v", errTest)
		}
		return nil
	}
	if err := z.Commit(change(z, 1, 2, 0, 1, 1)); !errors.Is(err, ErrBroken) {
		t.Fatal(err)
	}
	s.fault = func(bool) error { return nil }
	if err := repair(z, []OwnedRRset{soaSet(1), {number(0), rr.RRset{Type: typeA}}}, Held{}, 2); err != nil {
		t.Fatal(err)
	}
	everyWay(t, s, func(z *Zone) {
		wantContent(t, z, contentOf(soaSet(1)))
		check(t, z)
	})
}

func TestClosedStoreRefuses(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1)
	commit(t, z, change(z, 1, 2, 1, 1, 1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Commit(change(z, 2, 3, 1, 1, 2)); !errors.Is(err, ErrClosed) {
		t.Errorf("commit: %v", err)
	}
	if err := z.Repair(nil, Held{}, 3); !errors.Is(err, ErrClosed) {
		t.Errorf("repair: %v", err)
	}
	if _, err := journalOf(z, 1, 2); !errors.Is(err, ErrClosed) {
		t.Errorf("journal: %v", err)
	}
	if err := z.Trim(time.Now(), 1, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("trim: %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("close: %v", err)
	}
}
