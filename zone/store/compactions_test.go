package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	fsync = func(f *os.File) error {
		if calls.Add(1)%4 == 3 {
			failed.Add(1)
			return errTest
		}
		return real(f)
	}
	s := openStore(t, Options{Dir: t.TempDir(), MemTable: 256 << 10, Logger: slog.New(slog.DiscardHandler)})
	defer func() { fsync = real }()
	commitThrough(t, s, 1500, func() bool { return failed.Load() > 5 })
}

// TestManifestThatCannotBeWrittenAnew has Badger fail to write its MANIFEST anew: what is in the way is taken away
// when it has.
func TestManifestThatCannotBeWrittenAnew(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir(), MemTable: 256 << 10, Logger: slog.New(slog.DiscardHandler)})
	db := s.db.DB
	*manifestFile[int](db, "deletionsRewriteThreshold") = 1
	rewrite := filepath.Join(s.o.Dir, "MANIFEST-REWRITE")
	if err := os.MkdirAll(filepath.Join(rewrite, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	var failed atomic.Bool
	go func() {
		for lock := manifestFile[sync.Mutex](db, "appendLock"); !failed.Load(); time.Sleep(time.Millisecond) {
			lock.Lock()
			_, err := (*manifestFile[*os.File](db, "fp")).Stat()
			lock.Unlock()
			if err != nil {
				_ = os.RemoveAll(rewrite)
				failed.Store(true)
			}
		}
	}()
	commitThrough(t, s, 2000, failed.Load)
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
			time.Sleep(100 * time.Microsecond)
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

// TestManifestIsTakenBack has a change set that lost a table appended to the MANIFEST, and then come in a MANIFEST that
// was written anew.
func TestManifestIsTakenBack(t *testing.T) {
	noSync := func(*os.File) error { return nil }
	for _, anew := range []bool{false, true} {
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
		if len(before) == 0 {
			t.Fatal("there is no table")
		}
		path := filepath.Join(s.o.Dir, files.Manifest)
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lost, err := files.Tables{}.Set() // nothing is left
		if err != nil {
			t.Fatal(err)
		}
		data := append(was[:files.ManifestHead:files.ManifestHead], lost...)
		if !anew {
			removed := &pb.ManifestChangeSet{}
			for id := range before {
				removed.Changes = append(removed.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE})
			}
			body, err := proto.Marshal(removed)
			if err != nil {
				t.Fatal(err)
			}
			data = binary.BigEndian.AppendUint32(was[:len(was):len(was)], uint32(len(body)))
			data = binary.BigEndian.AppendUint32(data, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
			data = append(data, body...)
		}
		rewrite := func() {
			t.Helper()
			if !anew {
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if err := errors.Join(os.WriteFile(path+"-REWRITE", data, 0o600), os.Rename(path+"-REWRITE", path)); err != nil {
				t.Fatal(err)
			}
		}
		rewrite()
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		c.message("[%d] LOG "+tableMade, []any{1, uint64(7)}) // of which no table came
		if err := c.settle(f, noSync); !errors.Is(err, errTableLost) {
			t.Errorf("written anew %v: %v", anew, err)
		}
		if _, after, _, err := new(compactions).read(f); err != nil || !maps.Equal(after, before) {
			t.Errorf("written anew %v: %v, %v, want %v", anew, after, err, before)
		}
		// Where nothing was to be written, nothing is lost.
		c.message("[Compactor: %d] "+compactDone, []any{1, 0})
		c.message("[%d] LOG "+tableMade, []any{1, uint64(0)})
		rewrite()
		if f, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := c.settle(f, noSync); err != nil || len(c.tables) != 0 {
			t.Errorf("written anew %v: %v", anew, err)
		}
	}
}
