package store

import (
	"bytes"
	"errors"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/ristretto/v2/z"

	"dialtone/zone/rr"
)

// octets gives RRsets in the order that Build wants.
func octets(sets ...OwnedRRset) iter.Seq2[*rr.Octets, error] {
	sets = slices.Clone(sets)
	slices.SortStableFunc(sets, func(a, b OwnedRRset) int {
		if c := a.Owner.Compare(b.Owner); c != 0 {
			return c
		}
		return int(a.Set.Type) - int(b.Set.Type)
	})
	return func(yield func(*rr.Octets, error) bool) {
		for _, s := range sets {
			o := rr.Octets{Owner: []byte(s.Owner), Type: s.Set.Type, TTL: s.Set.TTL}
			for _, d := range s.Set.Data {
				o.Data = append(o.Data, []byte(d))
			}
			if !yield(&o, nil) {
				return
			}
		}
	}
}

func contents(list ...Content) iter.Seq2[Content, error] {
	return func(yield func(Content, error) bool) {
		for _, c := range list {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// twoZones are large enough for several tables.
func twoZones() (list []Content, want map[rr.Name]map[string]string) {
	other := rr.MustName("Other.example.")
	first := append(manySets(30_000, 3), soaSet(7),
		OwnedRRset{"\x02Ab\x03\x00\x01\xff" + apex, rr.RRset{Type: 65280, TTL: 1 << 31, Data: []string{"", "x", "yy"}}})
	second := []OwnedRRset{
		{other, rr.RRset{Type: typeSOA, TTL: 9, Data: soaSet(8).Set.Data}},
		{"\x01b" + other, rr.RRset{Type: typeTXT, TTL: 9, Data: []string{"\x01x"}}},
	}
	return []Content{{apex, 7, octets(first...)}, {other, 8, octets(second...)}},
		map[rr.Name]map[string]string{apex: contentOf(first...), other: contentOf(second...)}
}

func wantBuilt(t *testing.T, s *Store, want map[rr.Name]map[string]string) {
	t.Helper()
	for name, sets := range want {
		z := openZone(t, s, name)
		wantContent(t, z, sets)
		check(t, z)
	}
	if got := keys(t, s); got[kindZone] != len(want) || got[kindMeta] != len(want) || got[kindTrim] != len(want) || got[kindFormat] != 1 || len(got) != 5 {
		t.Errorf("keys %v", got)
	}
}

func TestBuild(t *testing.T) {
	o := testOptions(t.TempDir())
	list, want := twoZones()
	if !Fresh(o.Dir) {
		t.Error("an empty directory is not fresh")
	}
	if err := Build(o, contents(list...)); err != nil {
		t.Fatal(err)
	}
	if Fresh(o.Dir) {
		t.Error("the directory is still fresh")
	}
	s := openStore(t, o)
	wantBuilt(t, s, want)
	if _, err := os.Stat(filepath.Join(o.Dir, buildDir)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the place of the work is left")
	}
	// It goes on as any other.
	z := openZone(t, s, apex)
	commit(t, z, change(z, 7, 8, 5, 3, 9))
	set := OwnedRRset{"\x01c\x07example\x00", rr.RRset{Type: typeA, TTL: 1, Data: []string{a(1)}}}
	if err := openZone(t, s, rr.MustName("c.example.")).Seed(1, seq(set)); err != nil {
		t.Fatal(err)
	}
	s = crash(t, s)
	check(t, openZone(t, s, apex))
	if apexes, err := s.Zones(); len(apexes) != 3 || err != nil {
		t.Error(apexes, err)
	}
	for i := 5; i < 8; i++ {
		maps.Copy(want[apex], contentOf(aSet(i, 9)))
	}
	maps.Copy(want[apex], contentOf(soaSet(8)))
	wantContent(t, openZone(t, s, apex), want[apex])
}

// TestBuildAtEveryCrash ends a Build before each of its last steps: the zones
// are all there or none is, and a second try succeeds.
func TestBuildAtEveryCrash(t *testing.T) {
	list, want := twoZones()
	for n := 0; ; n++ {
		o := testOptions(t.TempDir())
		b := newBuilder(o, buildDir)
		b.step = failsAfter(n)
		err := b.build(contents(list...))
		if err != nil && !errors.Is(err, errTest) {
			t.Fatal(err)
		}
		decided := !Fresh(o.Dir)
		if err == nil && !decided {
			t.Fatal("built and not there")
		}
		copied := o
		copied.Dir = filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(copied.Dir, os.DirFS(o.Dir)); err != nil {
			t.Fatal(err)
		}
		// Opened as it is, by a server that does not build.
		s := openStore(t, o)
		if decided {
			wantBuilt(t, s, want)
		} else if got := keys(t, s); !maps.Equal(got, map[byte]int{kindFormat: 1}) {
			t.Fatalf("step %d: leftovers %v", n, got)
		}
		if tables, err := filepath.Glob(filepath.Join(o.Dir, "*.sst")); !decided && len(tables) > 0 || err != nil {
			t.Fatalf("step %d: %d tables are left, %v", n, len(tables), err)
		}
		if _, err := os.Stat(filepath.Join(o.Dir, buildDir)); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("step %d: the place of the work is left", n)
		}
		if !decided { // or built again
			if err := Build(copied, contents(list...)); err != nil {
				t.Fatal(err)
			}
			wantBuilt(t, openStore(t, copied), want)
		}
		if err == nil {
			if n < 5 {
				t.Fatalf("only %d steps", n)
			}
			return
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	many := manySets(20_000, 1)
	failing := func(yield func(Content, error) bool) {
		if yield(Content{apex, 1, octets(many...)}, nil) {
			yield(Content{}, errTest)
		}
	}
	endless := func(yield func(*rr.Octets, error) bool) {
		for o := range octets(many...) {
			if !yield(o, nil) {
				return
			}
		}
		yield(nil, errTest)
	}
	unsorted := func(yield func(*rr.Octets, error) bool) {
		for i := range 2 {
			for o := range octets(aSet(2-i, 1)) {
				if !yield(o, nil) {
					return
				}
			}
		}
	}
	huge := rr.RRset{Type: typeTXT, Data: slices.Repeat([]string{string(make([]byte, 60_000))}, 20)}
	for name, c := range map[string]struct {
		zones iter.Seq2[Content, error]
		want  error
	}{
		"a zone that cannot be read":  {failing, errTest},
		"RRsets that end in an error": {contents(Content{apex, 1, endless}), errTest},
		"another zone's name":         {contents(Content{rr.MustName("x.example."), 1, octets(many...)}), ErrOutOfZone},
		"large RRsets":                {contents(Content{apex, 1, octets(OwnedRRset{apex, huge})}), ErrTooBig},
		"no order":                    {contents(Content{apex, 1, unsorted}), nil},
	} {
		o := testOptions(t.TempDir())
		err := Build(o, c.zones)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if files := readDir(t, o.Dir, ""); len(files) > 0 {
			t.Errorf("%s: %d files are left", name, len(files))
		}
	}
}

func TestBuildNeedsTheDirectoryToItself(t *testing.T) {
	o := testOptions(t.TempDir())
	openStore(t, o)
	var de *DirError
	if err := Build(o, contents()); !errors.As(err, &de) {
		t.Error(err)
	}
	if _, err := badger.Open(badger.DefaultOptions(o.Dir).WithLogger(nil)); err == nil {
		t.Error("the lock of the open store is gone")
	}
	full := testOptions(t.TempDir())
	full.Reserve = 1 << 60
	if err := Build(full, contents(Content{apex, 1, octets(soaSet(1))})); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
}

// TestKVIsThatOfTheLibrary holds our own writing of the protocol buffer to
// Badger's.
func TestKVIsThatOfTheLibrary(t *testing.T) {
	for _, n := range []int{1, 127, 128, 16383, 16384, 1 << 20} {
		key, value := bytes.Repeat([]byte{1}, min(n, 60000)), bytes.Repeat([]byte{2}, n)
		want := z.NewBuffer(2*n, "test")
		badger.KVToBuffer(&pb.KV{Key: key, Value: value, Version: 1, StreamId: 3}, want)
		err := want.SliceIterate(func(s []byte) error {
			if got := appendKV(nil, 3, key, value); !bytes.Equal(got, s) {
				t.Errorf("%d octets of value: %x, want %x", n, got[:min(len(got), 20)], s[:min(len(s), 20)])
			}
			return nil
		})
		if err := errors.Join(err, want.Release()); err != nil {
			t.Fatal(err)
		}
	}
}
