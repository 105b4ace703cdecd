package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	_ "unsafe" // for go:linkname

	"github.com/dgraph-io/badger/v4"

	"dialtone/zone/store/files"
)

// compactions keeps Badger from removing tables whose content stands nowhere else, and from losing its way when its
// MANIFEST cannot be synced.
//
// A compaction reads some tables and writes others, which take their place. When one of the new ones cannot be
// written (its msync fails, or its file cannot be made), Badger 4.9 forgets the error on its way: in subcompact,
// "defer inflightBuilders.Done(err)" takes the error as it is when the goroutine begins. So it goes on without that
// table and removes the old ones, with everything that is not in the others: acknowledged updates, and whatever is
// older. A soak test with failing syncs lost a whole store by it, at the next start.
//
// Badger says how many entries it is about to write into a table ("Added %d keys"), and syncs its MANIFEST by a
// variable, before it removes anything. So what the MANIFEST is about to say is compared there with what was to be
// written. When a table is missing the change set is taken back, and Badger gets the error that it had lost: it
// keeps the old tables.
//
// Between Badger's write and that comparison a crash can still make the loss last: some 100 microseconds, while a disk
// fails that one of the tables is on.
//
// A change set that cannot be written or synced is taken back, too. Badger itself leaves it in the MANIFEST, removes the
// new tables and goes on, and may succeed at once with the same compaction: then the MANIFEST names tables that are gone,
// and the store could neither be mended nor started. Its list of tables in memory is made what it was.
//
// And Badger never writes its MANIFEST anew. Where that fails it leaves the file closed, so that a close of Badger tries
// to write its last table for ever; where only the sync of the directory fails, it goes on as if the old one were there.
// It is done here, when the MANIFEST has grown large.
type compactions struct {
	mu struct {
		sync.Mutex
		building map[int][]builtTable // what a compactor says of the tables that it writes
	}
	db atomic.Pointer[badger.DB] // nil: not open yet
	// What the MANIFEST says, as far as it was compared; used by one goroutine at a time, as the MANIFEST is.
	root   *os.Root
	file   fs.FileInfo // nil: there is none yet
	tables files.Tables
	end    int64
	// unnamed says that the directory is still to be synced since the MANIFEST was written anew.
	unnamed bool
}

// builtTable is a table that a compactor is about to write: of the entries that it has read, some go into it, and
// others are older than what it keeps. Where all are, there is no table.
type builtTable struct{ entries, skipped int }

// syncManifest is a variable of Badger, "to allow injection": it syncs the MANIFEST after each change set that was
// written, and before anything is done that follows from it. If Badger loses it, this does not link.
//
//go:linkname syncManifest github.com/dgraph-io/badger/v4.syncFunc
var syncManifest func(f *os.File) error

// guarded are the compactions of open stores, by their directory.
var guarded sync.Map

// fsync is what syncs a MANIFEST.
var fsync func(f *os.File) error

func init() {
	fsync = syncManifest
	syncManifest = func(f *os.File) error {
		if c, ok := guarded.Load(filepath.Dir(f.Name())); ok {
			return c.(*compactions).settle(f, fsync)
		}
		return fsync(f)
	}
}

// begin is for a Badger that is about to be opened in dir.
func (c *compactions) begin(dir string, root *os.Root) error {
	if other, taken := guarded.LoadOrStore(filepath.Clean(dir), c); taken && other != c {
		return inUse(dir)
	}
	c.mu.Lock()
	c.mu.building = map[int][]builtTable{}
	c.mu.Unlock()
	c.db.Store(nil)
	c.root, c.file, c.tables, c.end, c.unnamed = root, nil, files.Tables{}, files.ManifestHead, false
	f, err := root.Open(files.Manifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	c.file, c.tables, c.end, err = c.read(f)
	return err
}

// opened is for a Badger that is open.
func (c *compactions) opened(db *badger.DB) {
	lock := manifestFile[sync.Mutex](db, "appendLock")
	lock.Lock()
	defer lock.Unlock()
	*manifestFile[int](db, "deletionsRewriteThreshold") = math.MaxInt
	c.db.Store(db)
}

// over is for a store that is closed, or was not opened.
func (c *compactions) over(dir string) {
	guarded.CompareAndDelete(filepath.Clean(dir), c)
}

// read gives what a MANIFEST says, and where its last whole change set ends. What was read before is not read again.
func (c *compactions) read(f *os.File) (fi fs.FileInfo, tables files.Tables, end int64, err error) {
	if fi, err = f.Stat(); err != nil {
		return nil, nil, 0, err
	}
	if c.file != nil && (!os.SameFile(c.file, fi) || fi.Size() < c.end) {
		return nil, nil, 0, fmt.Errorf("%s: %w", f.Name(), errReplaced)
	}
	tables = maps.Clone(c.tables)
	end, err = tables.Read(f, c.end, fi.Size())
	return fi, tables, end, err
}

// errReplaced says that somebody else has written the MANIFEST: there is nothing of Badger's in it to be taken back.
var errReplaced = errors.New("it is not the file that it was")

// message is called with each of Badger's messages about compactions.
func (c *compactions) message(format string, a []any) {
	if len(a) < 2 {
		return
	}
	id, ok := a[0].(int)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case strings.Contains(format, tableMade) && len(a) > 2:
		if c.mu.building == nil {
			c.mu.building = map[int][]builtTable{}
		}
		entries, _ := a[1].(uint64)
		skipped, _ := a[2].(uint64)
		c.mu.building[id] = append(c.mu.building[id], builtTable{int(entries), int(skipped)})
	case strings.Contains(format, compactDone), strings.Contains(format, compactFailed):
		delete(c.mu.building, id)
	}
}

// compactDone is in the message for a compaction that is over; see tableMade and compactFailed for the others.
const compactDone = "Compaction for level"

// settle looks at what was written to the MANIFEST since the last call, and syncs it. It takes that back if a table is
// missing, or if it cannot be read or synced.
func (c *compactions) settle(f *os.File, sync func(f *os.File) error) error {
	fi, tables, end, err := c.read(f)
	if errors.Is(err, errReplaced) {
		return err
	}
	if err == nil && end != fi.Size() { // a change set before it could not be written to its end
		err = fmt.Errorf("%s cannot be read behind octet %d", f.Name(), end)
	}
	if err == nil {
		err = c.compare(tables)
	}
	if err == nil {
		err = sync(f)
	}
	if err == nil && c.unnamed {
		err = files.SyncDir(c.root)
		c.unnamed = err != nil
	}
	if err != nil {
		c.forget()
		return errors.Join(err, c.undo(f, sync))
	}
	c.file, c.tables, c.end = fi, tables, end
	c.shorten()
	return nil
}

// compare tells whether tables may take the place of those before them.
func (c *compactions) compare(tables files.Tables) error {
	removed := -1 // entries of the tables that go
	for id := range c.tables {
		if _, kept := tables[id]; kept {
			continue
		}
		n, err := files.EntriesOf(c.root, id)
		if err != nil {
			return err
		}
		removed = max(0, removed) + n
	}
	if removed < 0 { // nothing is lost by a table more
		return nil
	}
	var made []int
	for id := range tables {
		if _, had := c.tables[id]; had {
			continue
		}
		n, err := files.EntriesOf(c.root, id)
		if err != nil {
			return err
		}
		made = append(made, n)
	}
	if !c.whole(made, removed) {
		return errTableLost
	}
	return nil
}

var errTableLost = errors.New("a table could not be written, and the others must not take the place of the old ones without it")

// whole tells whether tables of so many entries each are all that one of the compactors has built, of so many entries
// that it has read. Where several are at work, the latter tells them apart; but entries that are in two tables, which
// a log leaves that was read twice, count once there.
func (c *compactions) whole(made []int, removed int) bool {
	slices.Sort(made)
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, list := range c.mu.building {
		var built []int
		read := 0
		for _, t := range list {
			read += t.entries + t.skipped
			if t.entries > 0 {
				built = append(built, t.entries)
			}
		}
		if slices.Sort(built); slices.Equal(built, made) && (read == removed || len(c.mu.building) == 1) {
			delete(c.mu.building, id)
			return true
		}
	}
	return false
}

// undo takes back what was written to the MANIFEST, and syncs that, or a power loss might bring it back.
func (c *compactions) undo(f *os.File, sync func(f *os.File) error) error {
	err := f.Truncate(c.end)
	if err == nil {
		_, err = f.Seek(c.end, io.SeekStart)
	}
	if err != nil {
		return err
	}
	return sync(f)
}

// forget makes Badger's list of tables in memory what it was before the last change set.
func (c *compactions) forget() {
	db := c.db.Load()
	if db == nil { // while it is being opened: what it takes for a table is missed at the next change, and it is opened again
		return
	}
	m := manifestFile[badger.Manifest](db, "manifest")
	clear(m.Tables)
	for _, level := range m.Levels {
		clear(level.Tables)
	}
	for id, level := range c.tables {
		m.Tables[id] = badger.TableManifest{Level: uint8(level)}
		m.Levels[level].Tables[id] = struct{}{}
	}
}

// A MANIFEST is written anew when it is so large, and so many times as large as what it says.
var longManifest = int64(4 << 20)

const timesTooLong = 4

// shorten writes the MANIFEST anew when it has grown large, and has Badger go on with that. Where that is not possible
// the old one goes on.
func (c *compactions) shorten() {
	db := c.db.Load()
	set, err := c.tables.Set()
	if db == nil || err != nil || c.end < longManifest || c.end < timesTooLong*int64(len(set)) {
		return
	}
	again, err := files.WriteAnew(c.root, set)
	if err != nil {
		return
	}
	fi, err := again.Stat()
	if err != nil {
		c.file = nil // it is looked at when it is settled next
	} else {
		c.file = fi
	}
	f := manifestFile[*os.File](db, "fp")
	_ = (*f).Close()
	*f, c.end, c.unnamed = again, files.ManifestHead+int64(len(set)), true
}

// manifestFile gives a field of Badger's own record of its MANIFEST, which it does not show. Badger holds its lock while the
// MANIFEST is synced. Tests hold that the fields are there.
func manifestFile[T any](db *badger.DB, field string) *T {
	file := reflect.ValueOf(db).Elem().FieldByName("manifest").Elem()
	return (*T)(file.FieldByName(field).Addr().UnsafePointer())
}
