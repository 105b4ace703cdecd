package store

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"dialtone/zone/rr"
	"dialtone/zone/store/files"
)

func TestBadgerOptions(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	o := s.db.Opts()
	if o.SyncWrites || o.DetectConflicts || o.MetricsEnabled || o.MemTableSize != 2<<20 || o.NumMemtables != 2 {
		t.Fatalf("options of Badger: %+v", o)
	}
}

func TestNoValueReachesTheValueLog(t *testing.T) {
	for _, memTable := range []int64{1 << 20, 2 << 20, 16 << 20, 64 << 20} {
		s := openStore(t, Options{Dir: t.TempDir(), MemTable: memTable})
		if int64(s.maxValue) >= s.db.Opts().ValueThreshold {
			t.Errorf("memtable of %d: values up to %d, threshold %d", memTable, s.maxValue, s.db.Opts().ValueThreshold)
		}
		octets, keys := maxBatch(memTable)
		if int64(octets) >= s.db.MaxBatchSize() || int64(keys) >= s.db.MaxBatchCount() {
			t.Errorf("memtable of %d: our bounds %d, %d; Badger's %d, %d", memTable, octets, keys, s.db.MaxBatchSize(), s.db.MaxBatchCount())
		}
		if s.maxValue < maxData+64 {
			t.Errorf("memtable of %d: largest rdata does not fit", memTable)
		}
	}
}

// TestLogOfALargerMemtable crashes with more in the log than a memtable of now
// can hold.
func TestLogOfALargerMemtable(t *testing.T) {
	o := testOptions(t.TempDir())
	o.MemTable = 16 << 20
	s := openStore(t, o)
	z := openZone(t, s, apex)
	sets := manySets(30_000, 1)
	seed(t, z, 1, sets...)
	commit(t, z, change(z, 1, 2, 7, 1, 9))
	s.o.MemTable = 1 << 20 // for the copy
	s = crash(t, s)
	z = openZone(t, s, apex)
	sets[7] = aSet(7, 9)
	wantContent(t, z, contentOf(append(sets, soaSet(2))...))
	check(t, z)
	commit(t, z, change(z, 2, 3, 8, 1, 9))
	check(t, openZone(t, crash(t, s), apex))
}

func TestOpenRefusesUnusableDirectories(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := t.TempDir()
	openStore(t, testOptions(used))
	foreign := t.TempDir()
	db, err := badger.Open(badger.DefaultOptions(foreign).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("k"), []byte("v")) }), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, "MANIFEST"), []byte("not a manifest of Badger"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, dir, problem, hint string }{
		{"empty", "", "has no name", "name one"},
		{"file", file, "is not a directory", "another directory"},
		{"below a file", filepath.Join(file, "x"), "cannot be", "another directory"},
		{"in use", used, "is in use by another process", "stop that process"},
		{"foreign", foreign, "another program", "another directory"},
		{"damaged", damaged, "is damaged: MANIFEST", "restore a backup"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(testOptions(c.dir))
			var de *DirError
			if !errors.As(err, &de) {
				t.Fatalf("got %v", err)
			}
			for _, want := range []string{c.dir, c.problem, c.hint} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
		})
	}
	if os.Getuid() != 0 { // root may write everywhere
		locked := t.TempDir()
		if err := os.Chmod(locked, 0o500); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(testOptions(locked)); err == nil || !strings.Contains(err.Error(), "cannot be written") {
			t.Errorf("read-only directory: %v", err)
		}
	}
}

// TestOpenAfterACrashThatLeftAnEmptyLog is about the moment between the making
// of a log and its first octet.
func TestOpenAfterACrashThatLeftAnEmptyLog(t *testing.T) {
	for _, names := range [][]string{{"00009.mem"}, {"000001.vlog"}, {"000002.vlog", "00009.mem"}} {
		s := openStore(t, testOptions(t.TempDir()))
		z := openZone(t, s, apex)
		seed(t, z, 1)
		commit(t, z, change(z, 1, 2, 1, 1, 1))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(s.o.Dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		z = openZone(t, openStore(t, s.o), apex)
		wantContent(t, z, contentOf(soaSet(2), aSet(1, 1)))
		commit(t, z, change(z, 2, 3, 1, 1, 2))
		check(t, z)
	}
}

func TestOpenRefusesNewerFormat(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, testOptions(dir))
	var b batch
	b.put([]byte{kindFormat}, binary.BigEndian.AppendUint32(nil, 7))
	if err := errors.Join(s.commit(&b), s.Close()); err != nil {
		t.Fatal(err)
	}
	_, err := Open(testOptions(dir))
	var fe *FormatError
	if !errors.As(err, &fe) || fe.Found != 7 || fe.Supported != FormatVersion {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{dir, "version 7", "versions up to 2"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if locked(dir) {
		t.Error("a refused directory stays locked")
	}
}

// TestNobodyElseWhileAStartVerifies: another process could open the store meanwhile, and
// change what is being read.
func TestNobodyElseWhileAStartVerifies(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	seed(t, openZone(t, s, apex), 1)
	left := readDir(t, s.o.Dir, "all")
	delete(left, "LOCK")
	o := lay(t, left)
	syncs := 0
	next := &Store{o: o.withDefaults(), dirSync: (*os.File).Sync, dataSync: func(f *os.File) error {
		if syncs++; !locked(o.Dir) {
			t.Error("another process may open the store")
		}
		return dataSync(f)
	}}
	var err error
	if next.root, next.dir, err = prepareDir(o.Dir); err != nil {
		t.Fatal(err)
	}
	if next.db.DB, err = next.openBadger(files.Start); err != nil {
		t.Fatal(err)
	}
	if syncs == 0 {
		t.Error("there was no log to verify")
	}
	if err := next.closeNow(); err != nil {
		t.Error(err)
	}
	if locked(o.Dir) {
		t.Error("it stays locked")
	}
}

func TestZoneIsTheSameForEveryCase(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	if z != openZone(t, s, rr.MustName("PHONES.example.")) {
		t.Fatal("two zones of one name")
	}
	if _, loaded, err := z.Meta(); loaded || err != nil {
		t.Fatalf("loaded %v, error %v", loaded, err)
	}
	if _, err := s.Zone("\x03abc"); err == nil {
		t.Fatal("a malformed apex is taken")
	}
}

func TestZonesInCanonicalOrder(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	want := []rr.Name{rr.Root, "\x07example\x00", "\x01b\x07Example\x00", "\x01\x00\x01b\x07example\x00", "\x02a\x00\x07example\x00"}
	slices.SortFunc(want, rr.Name.Compare)
	for i := range want {
		z := openZone(t, s, want[len(want)-1-i])
		set := OwnedRRset{z.Apex(), rr.RRset{Type: typeA, TTL: 1, Data: []string{a(i)}}}
		if err := z.Seed(1, seq(set)); err != nil {
			t.Fatal(err)
		}
	}
	openZone(t, s, rr.MustName("unloaded."))
	s = reopen(t, s)
	got, err := s.Zones()
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v, error %v", got, want, err)
	}
}

// RFC 4034, section 6.1 has this list as its example of canonical order.
func TestAllIsInCanonicalOrder(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, rr.MustName("example."))
	var want []OwnedRRset
	for _, text := range []string{"example.", "a.example.", "yljkjljk.a.example.", "Z.a.example.", "zABC.a.EXAMPLE.",
		"z.example.", `\001.z.example.`, "*.z.example.", `\200.z.example.`} {
		for _, typ := range []uint16{typeA, typeTXT, 65280} {
			want = append(want, OwnedRRset{rr.MustName(text), rr.RRset{Type: typ, TTL: 7, Data: []string{"\x01x", "\x01y"}}})
		}
	}
	shuffled := slices.Clone(want)
	slices.Reverse(shuffled)
	if err := z.Seed(1, seq(shuffled...)); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	i := 0
	for stored, err := range openZone(t, s, rr.MustName("example.")).All() {
		if err != nil {
			t.Fatal(err)
		}
		got := cloned(stored)
		if w := want[i]; got.Owner != w.Owner || got.Set.Type != w.Set.Type || !slices.Equal(got.Set.Data, w.Set.Data) || got.Set.TTL != 7 {
			t.Fatalf("at %d: got %v, want %v", i, got, w)
		}
		i++
	}
	if i != len(want) {
		t.Fatalf("%d RRsets, want %d", i, len(want))
	}
}

func TestKeysSortAsNamesDo(t *testing.T) {
	names := []rr.Name{rr.Root, "\x01\x00\x00", "\x01\x01\x00", "\x01\x02\x00", "\x02\x00\x00\x00", "\x02\x00\x01\x00", "\x02\x01\x00\x00",
		"\x01\x00\x01\x00\x00", "\x01\xff\x01\x00\x00", "\x01\x00\x01\x01\x00", "\x01A\x00", "\x01b\x00", "\x01.\x01b\x00", "\x03b.b\x00",
		"\x01\\\x00", "\x02\xff\xff\x00", rr.Name(strings.Repeat("\x01\x00", 127) + "\x00"),
		rr.Name(strings.Repeat("\x3f"+strings.Repeat("\x01", 63), 3) + "\x3d" + strings.Repeat("\x00", 61) + "\x00")}
	for _, x := range names {
		if !x.Valid() {
			t.Fatalf("%q is no name", string(x))
		}
		kx := appendOwner(nil, x[:len(x)-1])
		back, rest, err := cutOwner(nil, append(slices.Clone(kx), 0, 1))
		if err != nil || rr.Name(back)+"\x00" != x.Lower() || string(rest) != "\x00\x01" {
			t.Errorf("%q comes back as %q, %q, %v", string(x), back, rest, err)
		}
		for _, y := range names {
			ky := appendOwner(nil, y[:len(y)-1])
			if got, want := slices.Compare(kx, ky), x.Compare(y); got != sign(want) {
				t.Errorf("%q and %q: keys %d, names %d", string(x), string(y), got, want)
			}
		}
	}
}

func sign(i int) int { return min(max(i, -1), 1) }

// TestBrokenReadIsGivenBack: Badger refuses to give back a transaction with an open iterator, as a read that panicked leaves it.
func TestBrokenReadIsGivenBack(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	s.broken.Store(true)
	err := s.view(func(txn *badger.Txn) error {
		txn.NewIterator(badger.IteratorOptions{})
		panic("no memtable")
	})
	if !errors.Is(err, ErrBroken) {
		t.Errorf("got %v", err)
	}
	s.broken.Store(false)
}
