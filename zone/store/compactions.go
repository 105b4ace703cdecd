package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	_ "unsafe" // for go:linkname

	"dialtone/zone/store/files"
)

// compactions keeps Badger from removing tables whose content stands nowhere else.
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
// keeps the old tables, and the store is closed and opened again as after any failed compaction.
type compactions struct {
	mu struct {
		sync.Mutex
		building map[int][]int // entries of the tables that a compactor writes, in its words
	}
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

func init() {
	sync := syncManifest
	syncManifest = func(f *os.File) error {
		if c, ok := guarded.Load(f.Name()); ok {
			if err := c.(*compactions).compare(f, sync); err != nil {
				return err
			}
		}
		return sync(f)
	}
}

// begin is for a Badger that is about to be opened in dir.
func (c *compactions) begin(dir string, root *os.Root) error {
	c.mu.Lock()
	c.mu.building = map[int][]int{}
	c.mu.Unlock()
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

// compare looks at what was written to the MANIFEST since the last call, and takes it back if a table is missing.
func (c *compactions) compare(f *os.File, sync func(f *os.File) error) error {
	fi, tables, end, err := c.read(f)
	if err != nil {
		return fmt.Errorf("read %s again: %w", f.Name(), err)
	}
	var made []int
	removed := 0
	for id := range c.tables {
		if _, kept := tables[id]; !kept {
			removed++
		}
	}
	for id := range tables {
		if _, had := c.tables[id]; had || removed == 0 { // nothing is lost by a table more
			continue
		}
		n, err := files.EntriesOf(c.root, id)
		if err != nil {
			return errors.Join(err, c.undo(f, fi, sync))
		}
		made = append(made, n)
	}
	if removed > 0 && !c.whole(made) {
		return errors.Join(errTableLost, c.undo(f, fi, sync))
	}
	c.file, c.tables, c.end = fi, tables, end
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
		_, err = f.Seek(end, 0)
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
