package store

import (
	"errors"
	"testing"
	"time"

	"dialtone/zone/rr"
)

// history makes a zone with commits from serial 1 to 1+2*n, two a step, each
// with the time of its serial.
func history(t *testing.T, n int) (*Store, *Zone) {
	t.Helper()
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1)
	for i := range uint32(n) {
		commit(t, z, change(z, 1+2*i, 3+2*i, int(i), 1, int(i)))
	}
	return s, z
}

func TestJournalStreamsTheChain(t *testing.T) {
	s, _ := history(t, 50)
	everyWay(t, s, func(z *Zone) {
		for from := uint32(1); from <= 101; from += 2 {
			for to := from; to <= 101; to += 2 {
				entries, err := journalOf(z, from, to)
				if err != nil || len(entries) != int(to-from)/2 {
					t.Fatalf("%d to %d: %d entries, %v", from, to, len(entries), err)
				}
				for i, e := range entries {
					if e.From != from+2*uint32(i) || e.To != e.From+2 || e.NewSOA != soa(e.To) || e.OldSOA != soa(e.From) ||
						len(e.Added) != 1 || len(e.Deleted) != 1 {
						t.Fatalf("entry %d: %+v", i, e)
					}
				}
			}
		}
		for _, c := range [][2]uint32{{0, 101}, {2, 101}, {1, 100}, {1, 103}, {101, 1}, {3, 1}, {103, 105}, {1 << 31, 101}, {1, 0}} {
			if entries, err := journalOf(z, c[0], c[1]); !errors.Is(err, ErrNoHistory) || len(entries) > 0 {
				t.Errorf("%d to %d: %d entries, %v", c[0], c[1], len(entries), err)
			}
		}
	})
}

func TestJournalBreaksOffCleanly(t *testing.T) {
	_, z := history(t, 5)
	for e, err := range z.Journal(1, 11) {
		if err != nil {
			t.Fatal(err)
		}
		if e.To == 5 {
			break
		}
	}
	check(t, z)
}

func TestTrimDropsWholeEntriesFromTheOldEnd(t *testing.T) {
	s, z := history(t, 40)
	m, _, _ := z.Meta()
	one := m.JournalSize / 40
	trim := func(now int64, age time.Duration, size int64, count uint64, from uint32) {
		t.Helper()
		if err := z.Trim(time.Unix(now, 0), age, size); err != nil {
			t.Fatal(err)
		}
		m, _, _ := z.Meta()
		if m.JournalCount != count || m.JournalFrom != from || m.JournalSize != int64(count)*one || m.Serial != 81 {
			t.Fatalf("%+v, want %d entries of %d octets from %d", m, count, one, from)
		}
		if _, err := journalOf(z, from-1, 81); count < 40 && !errors.Is(err, ErrNoHistory) {
			t.Fatalf("before the old end: %v", err)
		}
		check(t, z)
	}
	trim(1e9, 0, 0, 40, 1)
	trim(1e9, 0, 40*one, 40, 1)
	trim(13, 10*time.Second, 0, 40, 1)
	trim(14, 10*time.Second, 0, 39, 3) // the first entry is of second 3
	trim(0, 10*time.Second, 39*one-1, 36, 9)
	trim(0, 0, 16*one, 15, 51)
	trim(91, 10*time.Second, 0, 1, 79)
	trim(92, 10*time.Second, 0, 0, 81)
	trim(1e9, 1, 1, 0, 81)
	commit(t, z, change(z, 81, 83, 1, 1, 1))
	everyWay(t, s, func(z *Zone) {
		check(t, z)
		if m, _, _ := z.Meta(); m.JournalCount != 1 || m.JournalSize != one || m.JournalFrom != 81 {
			t.Fatalf("%+v", m)
		}
		if got := keys(t, z.s); got[kindEntry] != 1 {
			t.Fatalf("%d keys of entries", got[kindEntry])
		}
	})
}

// TestTrimGoesOnBehindAFault fails a trim before and after it is written.
func TestTrimGoesOnBehindAFault(t *testing.T) {
	for _, after := range []bool{false, true} {
		s := openStore(t, testOptions(t.TempDir()))
		z := openZone(t, s, apex)
		seed(t, z, 1)
		for i := range uint32(20) {
			commit(t, z, change(z, i+1, i+2, 1, 1, int(i)))
		}
		s.fault = func(a bool) error {
			if a == after {
				return errTest
			}
			return nil
		}
		if err := z.Trim(time.Unix(1000, 0), 990*time.Second, 0); !errors.Is(err, errTest) {
			t.Fatal(err)
		}
		s.fault = func(bool) error { return nil }
		if err := repair(z, nil, Held{}, 21); err != nil {
			t.Fatal(err)
		}
		check(t, z)
		for _, age := range []time.Duration{990, 985} { // what was trimmed already, and more
			if err := z.Trim(time.Unix(1000, 0), age*time.Second, 0); err != nil {
				t.Fatalf("fault after the write %v: %v", after, err)
			}
			check(t, z)
		}
		if m, _, _ := z.Meta(); m.JournalCount != 7 || m.JournalFrom != 14 {
			t.Fatalf("%+v", m)
		}
		check(t, openZone(t, crash(t, s), apex))
		s.Close()
	}
}

func TestTrimOfLargeEntries(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1)
	commit(t, z, change(z, 1, 2, 0, 3*many, 1))
	commit(t, z, change(z, 2, 3, 0, 3*many, 2))
	m, _, _ := z.Meta()
	if got := keys(t, s); got[kindEntry] < 10 {
		t.Fatalf("%d parts, the test wants many", got[kindEntry])
	}
	check(t, z)
	if err := z.Trim(time.Now(), 0, m.JournalSize-1); err != nil {
		t.Fatal(err)
	}
	check(t, z)
	if m, _, _ := z.Meta(); m.JournalCount != 1 || m.JournalFrom != 2 {
		t.Fatalf("%+v", m)
	}
}

func TestJournalIsOneSnapshotWhileTrimming(t *testing.T) {
	_, z := history(t, 3)
	serial := uint32(7)
	for i := range uint32(20) { // enough for several chunks
		commit(t, z, change(z, serial, serial+1, 0, 400, int(i)))
		serial++
	}
	at := uint32(1)
	for e, err := range z.Journal(1, serial) {
		if err != nil {
			t.Fatal(err)
		}
		if e.From != at {
			t.Fatalf("entry from %d at %d", e.From, at)
		}
		if at == 1 {
			if err := z.Trim(time.Now(), 0, 1); err != nil {
				t.Fatal(err)
			}
			if m, _, _ := z.Meta(); m.JournalCount != 0 {
				t.Fatalf("%+v", m)
			}
			commit(t, z, change(z, serial, serial+1, 0, 1, 1))
		}
		at = e.To
	}
	if at != serial {
		t.Fatalf("ends at %d, want %d", at, serial)
	}
}

// A slow reader keeps nobody waiting: the store may be reopened under it, and
// it learns of that.
func TestReopenEndsStreams(t *testing.T) {
	var fail error
	o := testOptions(t.TempDir())
	o.FailCommit = func() error { return fail }
	s := openStore(t, o)
	z := openZone(t, s, apex)
	seed(t, z, 1, manySets(20000, 1)...)
	serial := uint32(1)
	for ; serial < 20; serial++ {
		commit(t, z, change(z, serial, serial+1, 0, 400, int(serial)))
	}
	used := serial
	faultAndRepair := func() {
		used++
		fail = ErrTorn
		if err := z.Commit(change(z, serial, used, 0, 1, 1)); !errors.Is(err, ErrTorn) {
			t.Fatal(err)
		}
		fail = nil
		if err := repair(z, []OwnedRRset{soaSet(serial), aSet(0, int(serial-1))}, Held{}, used); err != nil {
			t.Fatal(err)
		}
	}
	var last error
	n := 0
	for _, err := range z.Journal(1, serial) {
		if n++; n == 1 {
			faultAndRepair()
		}
		last = err
	}
	if !errors.Is(last, ErrReopened) {
		t.Errorf("journal: %d entries, then %v", n, last)
	}
	n = 0
	for _, err := range z.All() {
		if n++; n == 1 {
			faultAndRepair()
		}
		last = err
	}
	if !errors.Is(last, ErrReopened) {
		t.Errorf("all: %d RRsets, then %v", n, last)
	}
	check(t, z)
}

func TestConcurrentUse(t *testing.T) {
	s, z := history(t, 10)
	other := openZone(t, s, rr.MustName("other.example."))
	if err := other.Seed(1, seq()); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	done := make(chan error, 5)
	until := func(f func() error) {
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				if err := f(); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	until(func() error { return z.Trim(time.Now(), 0, 3000) })
	until(func() error {
		m, _, err := z.Meta()
		if err != nil {
			return err
		}
		if _, err = journalOf(z, m.JournalFrom, m.Serial); errors.Is(err, ErrNoHistory) {
			return nil // trimmed meanwhile
		}
		return err
	})
	until(func() error {
		for _, err := range z.All() {
			if err != nil {
				return err
			}
		}
		return nil
	})
	until(func() error {
		s.releasePages()
		return nil
	})
	serial := uint32(1)
	until(func() error {
		serial++
		return other.Commit(&Commit{From: serial - 1, To: serial})
	})
	for i := range uint32(300) {
		commit(t, z, change(z, 21+i, 22+i, int(i), 3, int(i)))
	}
	close(stop)
	for range 5 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	check(t, z)
}

// Each serial was left when the entry was made that begins there.
func TestWhenASerialWasLeft(t *testing.T) {
	s, _ := history(t, 50)
	everyWay(t, s, func(z *Zone) {
		for serial := uint32(1); serial < 101; serial += 2 {
			entries, err := journalOf(z, serial, 101)
			if err != nil {
				t.Fatal(err)
			}
			at, changes, err := z.LeftAt(serial)
			if err != nil || !at.Equal(entries[0].Time) || changes != uint64(len(entries)) {
				t.Errorf("serial %d was left at %v, %d changes ago, %v; want %v and %d", serial, at, changes, err, entries[0].Time, len(entries))
			}
			if newest, err := z.ChangedAt(); err != nil || !newest.Equal(entries[len(entries)-1].Time) {
				t.Errorf("changed at %v, %v", newest, err)
			}
		}
		for _, serial := range []uint32{0, 2, 101, 103} {
			if _, _, err := z.LeftAt(serial); !errors.Is(err, ErrNoHistory) {
				t.Errorf("serial %d: %v", serial, err)
			}
		}
	})
}

func TestZoneWithoutChanges(t *testing.T) {
	_, z := history(t, 0)
	if at, err := z.ChangedAt(); err != nil || !at.IsZero() {
		t.Errorf("changed at %v, %v", at, err)
	}
}
