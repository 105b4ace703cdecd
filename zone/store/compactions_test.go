package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"

	"dialtone/zone/store/files"
)

// TestCompactionThatLosesATable has compactions fail to write some of their tables, while commits go on. Badger takes no
// notice of that, and would remove the tables whose content stands nowhere else then.
func TestCompactionThatLosesATable(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir(), MemTable: 256 << 10, Logger: slog.New(slog.DiscardHandler)})
	var stop, hit atomic.Bool
	done := make(chan error, 1)
	go func() { done <- occupyNext(s, &stop, &hit) }()
	commitThrough(t, s, 2000, hit.Load)
	stop.Store(true)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestManifestThatCannotBeSynced has one sync in four of the MANIFEST fail. Badger goes on at once, and may succeed with
// what it has just failed with.
func TestManifestThatCannotBeSynced(t *testing.T) {
	var calls, failed atomic.Int64
	real := fsync
	t.Cleanup(func() { fsync = real })
	fsync = func(f *os.File) error {
		if calls.Add(1)%4 == 3 {
			failed.Add(1)
			return errTest
		}
		return real(f)
	}
	s := openStore(t, Options{Dir: t.TempDir(), MemTable: 256 << 10, Logger: slog.New(slog.DiscardHandler)})
	commitThrough(t, s, 1500, func() bool { return failed.Load() > 5 })
}

// TestManifestIsWrittenAnew has it done all the time, at first with something in the way.
func TestManifestIsWrittenAnew(t *testing.T) {
	was := longManifest
	longManifest = 1
	t.Cleanup(func() { longManifest = was })
	s := openStore(t, Options{Dir: t.TempDir(), MemTable: 256 << 10, Logger: slog.New(slog.DiscardHandler)})
	rewrite := filepath.Join(s.o.Dir, "MANIFEST-REWRITE")
	if err := os.MkdirAll(filepath.Join(rewrite, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		fi, err := os.Stat(filepath.Join(s.o.Dir, files.Manifest))
		if err != nil {
			t.Fatal(err)
		}
		return fi.Size()
	}
	last, shorter := size(), 0
	commitThrough(t, s, 1500, func() bool {
		if n := size(); n < last {
			shorter++
			last = n
		} else if last = n; n > 2000 && shorter == 0 {
			_ = os.RemoveAll(rewrite)
		}
		return shorter > 3
	})
}

// commitThrough commits so often, and until something has come, and repairs the zone after each commit that fails. What
// was committed is there in the end, and after a close.
func commitThrough(t *testing.T, s *Store, atLeast int, come func() bool) {
	t.Helper()
	z := openZone(t, s, apex)
	seed(t, z, 1, manySets(phones, 0)...)
	want := make([]int, phones)
	serial, commits := uint32(1), 0
	for to := serial + 1; !come() || commits < atLeast; to++ {
		first := int(to*37) % (phones - 20)
		old := slices.Clone(want)
		c := change(z, serial, to, first, 0, 0)
		for i := first; i < first+20; i++ {
			c.Sets = append(c.Sets, aSet(i, int(to)))
			want[i] = int(to)
		}
		if err := z.Commit(c); err == nil {
			if commits++; commits == 20_000 {
				t.Fatal("it has not come")
			}
			serial = to
			continue
		}
		truth := []OwnedRRset{soaSet(serial)}
		want = old
		for i := first; i < first+20; i++ {
			truth = append(truth, aSet(i, want[i]))
		}
		if err := repair(z, truth, Held{}, to); err != nil {
			t.Fatal(err)
		}
	}
	sets := []OwnedRRset{soaSet(serial)}
	for i, addr := range want {
		sets = append(sets, aSet(i, addr))
	}
	for range 2 {
		check(t, z)
		wantContent(t, z, contentOf(sets...))
		for err := s.Close(); err != nil; err = s.Close() {
			if errors.Is(err, ErrClosed) {
				break
			}
		}
		s = openStore(t, s.o)
		z = openZone(t, s, apex)
	}
}

// occupyNext takes the names of the tables that a compaction is about to make, once.
func occupyNext(s *Store, stop, hit *atomic.Bool) error {
	for last := s.turns.tables.Load(); !stop.Load() && !hit.Load(); { // else a close could not write its last table
		n := s.turns.tables.Load()
		if n == last {
			runtime.Gosched()
			continue
		}
		last = n
		names, err := filepath.Glob(filepath.Join(s.o.Dir, "*.sst"))
		if err != nil {
			return err
		}
		most := 0
		for _, name := range names {
			id := 0
			_, _ = fmt.Sscanf(filepath.Base(name), "%d.sst", &id)
			most = max(most, id)
		}
		for i := 1; i < 4; i++ {
			f, err := os.OpenFile(filepath.Join(s.o.Dir, fmt.Sprintf("%06d.sst", most+i)), os.O_CREATE|os.O_EXCL, 0o600)
			if err == nil {
				hit.Store(true)
				err = f.Close()
			}
			if err != nil && !os.IsExist(err) {
				return err
			}
		}
	}
	return nil
}

// TestManifestIsTakenBack has change sets come to the MANIFEST that lost a table, or that cannot be read.
func TestManifestIsTakenBack(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1, manySets(phones, 0)...)
	if err := s.Close(); err != nil { // the memtable becomes a table
		t.Fatal(err)
	}
	root, err := os.OpenRoot(s.o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var c compactions
	if err := c.begin(s.o.Dir, root); err != nil {
		t.Fatal(err)
	}
	defer c.over(s.o.Dir)
	before := maps.Clone(c.tables)
	entries := 0
	removed := &pb.ManifestChangeSet{}
	for id := range before {
		n, err := files.EntriesOf(root, id)
		if err != nil {
			t.Fatal(err)
		}
		entries += n
		removed.Changes = append(removed.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE})
	}
	if entries < phones {
		t.Fatalf("%d entries in %d tables", entries, len(before))
	}
	body, err := proto.Marshal(removed)
	if err != nil {
		t.Fatal(err)
	}
	set := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	set = binary.BigEndian.AppendUint32(set, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	set = append(set, body...)
	f, err := os.OpenFile(filepath.Join(s.o.Dir, files.Manifest), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name    string
		written []byte
		built   []builtTable
		others  []builtTable // of another compactor
		sync    error
		taken   bool
	}{
		{name: "no table of one came", written: set, built: []builtTable{{7, entries - 7}}},
		{name: "it is what another has built so far", written: set, built: []builtTable{{7, entries - 7}}, others: []builtTable{{0, 9}}},
		{name: "a set behind one that is cut off", written: append(set[:5:5], set...), built: []builtTable{{0, entries}}},
		{name: "it cannot be synced", written: set, built: []builtTable{{0, entries}}, sync: errTest},
		{name: "nothing was to be kept", written: set, built: []builtTable{{0, entries}}, others: []builtTable{{4, 0}}, taken: true},
	} {
		c.mu.building = map[int][]builtTable{}
		for id, list := range [][]builtTable{row.built, row.others} {
			for _, b := range list {
				c.message("[%d] LOG "+tableMade, []any{id, uint64(b.entries), uint64(b.skipped)})
			}
		}
		if _, err := f.Write(row.written); err != nil {
			t.Fatal(err)
		}
		calls := 0
		err := c.settle(f, func(*os.File) error {
			if calls++; calls == 1 {
				return row.sync
			}
			return nil
		})
		var fresh compactions
		fresh.tables, fresh.end = files.Tables{}, files.ManifestHead
		_, after, end, readErr := fresh.read(f)
		fi, statErr := f.Stat()
		if readErr != nil || statErr != nil {
			t.Fatal(readErr, statErr)
		}
		if row.taken != (err == nil) || row.taken != (len(after) == 0) || !row.taken && !maps.Equal(after, before) || end != fi.Size() {
			t.Errorf("%s: %v, and the MANIFEST says %v in %d of %d octets", row.name, err, after, end, fi.Size())
		}
	}
	other, err := os.Create(filepath.Join(t.TempDir(), files.Manifest))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.WriteString("of somebody else"); err != nil {
		t.Fatal(err)
	}
	err = c.settle(other, func(*os.File) error { return nil })
	if fi, statErr := other.Stat(); !errors.Is(err, errReplaced) || statErr != nil || fi.Size() != int64(len("of somebody else")) {
		t.Errorf("another file: %v, and has %d octets", err, fi.Size())
	}
}
