package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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
// So is a change set that cannot be synced. Badger itself leaves it in the MANIFEST, removes the new tables, and goes
// on with a list of tables in memory that is not what it has. From then on each compaction of the same tables fails, and
// when so many memtables and tables have gathered that Badger waits for a compaction, a close waits for ever. What is
// in memory is therefore taken back, too.
type compactions struct {
	mu struct {
		sync.Mutex
		building map[int][]int // entries of the tables that a compactor writes, in its words
	}
	db atomic.Pointer[badger.DB] // nil: not open yet
	// What the MANIFEST says, as far as it was compared; used by one goroutine at a time, as the MANIFEST is.
	root   *os.Root
	file   fs.FileInfo // nil: there is none yet
	tables files.Tables
	end    int64
}

// syncManifest is a variable of Badger, "to allow injection": it syncs the MANIFEST after each change set that was
// written, and before anything is done that follows from it. If Badger loses it, this does not link.
//
//go:linkname syncManifest github.com/dgraph-io/badger/v4.syncFunc
var syncManifest func(f *os.File) error

// guarded are the compactions of open stores, by the path of their MANIFEST.
var guarded sync.Map

// fsync is what syncs a MANIFEST.
var fsync func(f *os.File) error

func init() {
	fsync = syncManifest
	syncManifest = func(f *os.File) error {
		if c, ok := guarded.Load(f.Name()); ok {
			return c.(*compactions).settle(f, fsync)
		}
		return fsync(f)
	}
}

// begin is for a Badger that is about to be opened in dir.
func (c *compactions) begin(dir string, root *os.Root) error {
	c.mu.Lock()
	c.mu.building = map[int][]int{}
	c.mu.Unlock()
	c.db.Store(nil)
	c.root, c.file, c.tables, c.end = root, nil, files.Tables{}, 0
	f, err := root.Open(files.Manifest)
	switch {
	case err == nil:
		defer f.Close()
		c.file, c.tables, c.end, err = c.read(f)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	guarded.Store(filepath.Join(dir, files.Manifest), c)
	return err
}

// over is for a store that is closed.
func (c *compactions) over(dir string) {
	guarded.CompareAndDelete(filepath.Join(dir, files.Manifest), c)
}

// read gives what a MANIFEST says. Where it is the one that was read before, that is not read again.
func (c *compactions) read(f *os.File) (fi fs.FileInfo, tables files.Tables, end int64, err error) {
	if fi, err = f.Stat(); err != nil {
		return nil, nil, 0, err
	}
	if c.goesOn(fi) {
		tables, end = maps.Clone(c.tables), c.end
	} else {
		tables = files.Tables{}
	}
	end, err = tables.Read(f, end, fi.Size())
	return fi, tables, end, err
}

// goesOn tells whether a MANIFEST is the one that was read before.
func (c *compactions) goesOn(fi fs.FileInfo) bool {
	return c.file != nil && os.SameFile(c.file, fi) && fi.Size() >= c.end
}

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
	case strings.Contains(format, tableMade):
		n, _ := a[1].(uint64)
		if c.mu.building == nil {
			c.mu.building = map[int][]int{}
		}
		c.mu.building[id] = append(c.mu.building[id], int(n))
	case strings.Contains(format, compactDone), strings.Contains(format, compactFailed):
		delete(c.mu.building, id)
	}
}

// compactDone is in the message for a compaction that is over; see tableMade and compactFailed for the others.
const compactDone = "Compaction for level"

// settle looks at what was written to the MANIFEST since the last call, and syncs it. It takes that back if a table is
// missing, or if it cannot be synced.
func (c *compactions) settle(f *os.File, sync func(f *os.File) error) error {
	fi, tables, end, err := c.read(f)
	if err != nil {
		return fmt.Errorf("read %s again: %w", f.Name(), err)
	}
	if err = c.compare(tables); err == nil {
		err = sync(f)
	}
	if err != nil {
		c.forget(tables)
		return errors.Join(err, c.undo(f, fi, sync))
	}
	c.file, c.tables, c.end = fi, tables, end
	return nil
}

// compare tells whether tables may take the place of those before them.
func (c *compactions) compare(tables files.Tables) error {
	removed := false
	for id := range c.tables {
		_, kept := tables[id]
		removed = removed || !kept
	}
	if !removed { // nothing is lost by a table more
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
	if !c.whole(made) {
		return errTableLost
	}
	return nil
}

// forget makes Badger's list of tables in memory what it was before the last change set.
func (c *compactions) forget(tables files.Tables) {
	db := c.db.Load()
	if db == nil { // about to be opened: it is not
		return
	}
	m := manifestOf(db)
	for id, level := range tables {
		if _, had := c.tables[id]; !had {
			delete(m.Tables, id)
			delete(m.Levels[level].Tables, id)
			m.Creations = max(0, m.Creations-1)
		}
	}
	for id, level := range c.tables {
		if _, kept := tables[id]; !kept {
			m.Tables[id] = badger.TableManifest{Level: uint8(level)}
			m.Levels[level].Tables[id] = struct{}{}
			m.Deletions = max(0, m.Deletions-1)
		}
	}
}

// manifestFile gives a field of Badger's own record of its MANIFEST, which it does not show. Tests hold that they are there.
func manifestFile[T any](db *badger.DB, field string) *T {
	file := reflect.ValueOf(db).Elem().FieldByName("manifest").Elem()
	return (*T)(file.FieldByName(field).Addr().UnsafePointer())
}

// manifestOf gives its list of tables. It is used while the MANIFEST is synced, when Badger holds the lock.
func manifestOf(db *badger.DB) *badger.Manifest { return manifestFile[badger.Manifest](db, "manifest") }

// openManifest opens the MANIFEST again, if Badger has closed it to write it anew, and could not. Badger leaves it
// closed, and a close of Badger would try to write its last table for ever.
func openManifest(db *badger.DB, dir string) error {
	lock := manifestFile[sync.Mutex](db, "appendLock")
	lock.Lock()
	defer lock.Unlock()
	f := manifestFile[*os.File](db, "fp")
	if _, err := (*f).Stat(); !errors.Is(err, os.ErrClosed) {
		return nil
	}
	again, err := os.OpenFile(filepath.Join(dir, files.Manifest), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if _, err := again.Seek(0, io.SeekEnd); err != nil {
		return errors.Join(err, again.Close())
	}
	*f = again
	return nil
}

var errTableLost = errors.New("a table could not be written, and the others must not take the place of the old ones without it")

// whole tells whether tables of so many entries each are all that one of the compactors has built.
func (c *compactions) whole(made []int) bool {
	slices.Sort(made)
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, list := range c.mu.building {
		built := slices.DeleteFunc(slices.Clone(list), func(n int) bool { return n == 0 }) // of which no table was made
		if slices.Sort(built); slices.Equal(built, made) {
			delete(c.mu.building, id)
			return true
		}
	}
	return false
}

// undo takes back what was written to the MANIFEST. Where Badger has written it anew meanwhile, what it said before
// is written into the new one, and synced: the old one is gone.
func (c *compactions) undo(f *os.File, fi fs.FileInfo, sync func(f *os.File) error) error {
	end, anew := c.end, !c.goesOn(fi)
	if anew {
		end = files.ManifestHead
	}
	err := f.Truncate(end)
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		return err
	}
	if !anew {
		return sync(f) // or a power loss might bring it back
	}
	set, err := c.tables.Set()
	if err != nil {
		return err
	}
	if _, err := f.Write(set); err != nil {
		return err
	}
	c.file, c.end = fi, end+int64(len(set))
	return sync(f)
}
