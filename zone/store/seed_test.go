package store

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"dialtone/zone/rr"
)

func manySets(n, addr int) []OwnedRRset {
	var sets []OwnedRRset
	for i := range n {
		sets = append(sets, aSet(i, addr))
	}
	return sets
}

// keys counts the keys on disk by kind.
func keys(t testing.TB, s *Store) map[byte]int {
	t.Helper()
	m := make(map[byte]int)
	err := s.view(func(txn *badger.Txn) error {
		return eachKey(txn, nil, nil, func(key []byte) (bool, error) {
			if key[0] != kindNewest { // belongs to nothing
				m[key[0]]++
			}
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSeedReplacesEverything(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1, manySets(many, 1)...)
	commit(t, z, change(z, 1, 2, 1, 1, 2))
	for _, serial := range []uint32{1, 2, 2 + 1<<31} {
		if err := z.Seed(serial, seq(soaSet(serial))); !errors.Is(err, ErrSerial) {
			t.Errorf("serial %d after 2: %v", serial, err)
		}
	}
	seed(t, z, 3, aSet(7, 7), OwnedRRset{number(8), rr.RRset{Type: typeA}})
	everyWay(t, s, func(z *Zone) {
		wantContent(t, z, contentOf(soaSet(3), aSet(7, 7)))
		check(t, z)
		if m, _, _ := z.Meta(); m != (Meta{Serial: 3, Burned: 3, JournalFrom: 3}) {
			t.Errorf("meta: %+v", m)
		}
		want := map[byte]int{kindFormat: 1, kindZone: 1, kindMeta: 1, kindTrim: 1, kindRRset: 2}
		if got := keys(t, z.s); !maps.Equal(got, want) {
			t.Errorf("keys %v, want %v", got, want)
		}
	})
}

func TestSeedFailsWithItsSource(t *testing.T) {
	for _, n := range []int{0, 1, many} {
		s := openStore(t, testOptions(t.TempDir()))
		z := openZone(t, s, apex)
		err := z.Seed(1, func(yield func(OwnedRRset, error) bool) {
			for _, set := range manySets(n, 1) {
				if !yield(set, nil) {
					return
				}
			}
			yield(OwnedRRset{}, errTest)
		})
		if !errors.Is(err, errTest) {
			t.Fatal(err)
		}
		if _, loaded, _ := z.Meta(); loaded {
			t.Error("loaded")
		}
		if got := keys(t, s); !maps.Equal(got, map[byte]int{kindFormat: 1}) {
			t.Errorf("after %d RRsets: leftovers %v", n, got)
		}
		seed(t, z, 1, aSet(1, 1))
		check(t, z)
	}
}

// TestSeedAtEveryFault fails each transaction of a Seed in turn, before and
// after it is written, for a new zone and for one that is replaced.
func TestSeedAtEveryFault(t *testing.T) {
	t.Parallel()
	for n := 0; ; n++ {
		hits := 0
		for _, loaded := range []bool{false, true} {
			if seedAtFault(t, loaded, n/2, n%2 == 1) {
				hits++
			}
		}
		if hits == 0 {
			if n < 8 {
				t.Fatalf("only %d transactions", n/2)
			}
			return
		}
	}
}

func seedAtFault(t *testing.T, loaded bool, countdown int, after bool) (hit bool) {
	s := openStore(t, testOptions(t.TempDir()))
	defer s.Close()
	z := openZone(t, s, apex)
	old := map[string]string{}
	if loaded {
		seed(t, z, 1, aSet(1, 1), aSet(2, 2))
		old = content(t, z)
	}
	s.fault = func(a bool) error {
		if a == after {
			if countdown--; countdown == -1 {
				return errTest
			}
		}
		return nil
	}
	sets := append(manySets(many, 3), soaSet(2))
	err := z.Seed(2, seq(sets...))
	hit = countdown < 0
	crashed := openZone(t, crash(t, s), apex)
	_, there, _ := crashed.Meta()
	switch {
	case err == nil && !there, loaded && !there:
		t.Fatalf("not loaded after a crash; Seed said %v", err)
	case there:
		got := content(t, crashed)
		check(t, crashed)
		if !maps.Equal(got, contentOf(sets...)) && (err == nil || !maps.Equal(got, old)) {
			t.Fatalf("%d RRsets after a crash, Seed said %v", len(got), err)
		}
	}
	if got := keys(t, crashed.s); got[kindDrop] != 0 || got[kindMeta] != got[kindZone] || !there && got[kindRRset] != 0 {
		t.Fatalf("leftovers after a crash: %v", got)
	}

	s.fault = func(bool) error { return nil }
	if err != nil && loaded {
		// The zone goes on with what it had.
		if err := repair(z, nil, Held{}, 1); err != nil {
			t.Fatal(err)
		}
		wantContent(t, z, old)
		commit(t, z, change(z, 1, 2, 9, 1, 9))
		maps.Copy(old, contentOf(soaSet(2), aSet(9, 9)))
		wantContent(t, openZone(t, crash(t, s), apex), old)
	}
	seed(t, z, 3, aSet(4, 4))
	everyWay(t, s, func(z *Zone) {
		wantContent(t, z, contentOf(soaSet(3), aSet(4, 4)))
		check(t, z)
		want := map[byte]int{kindFormat: 1, kindZone: 1, kindMeta: 1, kindTrim: 1, kindRRset: 2}
		if got := keys(t, z.s); !maps.Equal(got, want) {
			t.Errorf("keys %v, want %v", got, want)
		}
	})
	return hit
}

func TestDrop(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	if err := z.Drop(); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("drop of what is not there: %v", err)
	}
	seed(t, z, 1, manySets(many, 1)...)
	commit(t, z, change(z, 1, 2, 1, 1, 2))
	s.fault = func(after bool) error {
		if after {
			return errTest
		}
		return nil
	}
	if err := z.Drop(); !errors.Is(err, errTest) {
		t.Fatal(err)
	}
	if _, loaded, _ := openZone(t, crash(t, s), apex).Meta(); loaded {
		t.Error("the drop was on disk")
	}
	s.fault = func(bool) error { return nil }
	if err := repair(z, nil, Held{}, 2); err != nil {
		t.Fatal(err)
	}
	check(t, openZone(t, crash(t, s), apex))
	if err := z.Drop(); err != nil {
		t.Fatal(err)
	}
	if err := z.Commit(change(z, 2, 3, 1, 1, 1)); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("commit: %v", err)
	}
	if _, err := firstOf(z); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("all: %v", err)
	}
	if apexes, err := s.Zones(); len(apexes) != 0 || err != nil {
		t.Errorf("zones %v, %v", apexes, err)
	}
	if got := keys(t, s); !maps.Equal(got, map[byte]int{kindFormat: 1}) {
		t.Errorf("leftovers %v", got)
	}
	seed(t, z, 1)
	check(t, z)
}

func TestZonesAreApart(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	names := []rr.Name{apex, rr.MustName("example."), rr.MustName("a.phones.example."), rr.Root}
	for i, name := range names {
		set := OwnedRRset{name, rr.RRset{Type: typeA, TTL: uint32(i), Data: []string{a(i)}}}
		if err := openZone(t, s, name).Seed(1, seq(set)); err != nil {
			t.Fatal(err)
		}
	}
	if err := openZone(t, s, names[1]).Drop(); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	for i, name := range names {
		z := openZone(t, s, name)
		if _, loaded, _ := z.Meta(); loaded != (i != 1) {
			t.Errorf("%s: loaded %v", name, loaded)
		}
		if i != 1 {
			got, err := firstOf(z)
			if err != nil || got.Owner != name || !slices.Equal(got.Set.Data, []string{a(i)}) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
	}
}
