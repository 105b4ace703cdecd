package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// prepareDir makes the data directory and finds out what would keep Badger
// from writing there: some of that it answers by ending the process.
func prepareDir(dir string) (*os.Root, *os.File, error) {
	if dir == "" {
		return nil, nil, &DirError{Problem: "has no name", Hint: "name one"}
	}
	if fi, err := os.Stat(dir); err == nil && !fi.IsDir() {
		return nil, nil, &DirError{Dir: dir, Problem: "is not a directory", Hint: "remove that file, or name another directory"}
	} else if errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(dir); err != nil {
			return nil, nil, &DirError{Dir: dir, Problem: "cannot be made", Err: err,
				Hint: "make it, owned by the user that runs dialtone, or name another directory"}
		}
	}
	if err := tryWrite(dir); err != nil {
		return nil, nil, &DirError{Dir: dir, Problem: "cannot be written", Err: err,
			Hint: "give it and its files to the user that runs dialtone, make room, or name another directory"}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, &DirError{Dir: dir, Problem: "cannot be opened", Err: err, Hint: "name another directory"}
	}
	f, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, nil, &DirError{Dir: dir, Problem: "cannot be opened", Err: err, Hint: "name another directory"}
	}
	return root, f, nil
}

// makeDir makes dir and syncs what names it: a synced file in a directory
// that a power cut takes away would be lost with it.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(filepath.Clean(dir)))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

func tryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return err
	}
	_, err = f.Write([]byte{1})
	if err := errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range files {
		if !e.Type().IsRegular() {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, e.Name()), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) { // a running server's own file
			continue
		}
		if err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

// checkSpace keeps octets free that Badger may need: on a full file system its
// writes to memory maps would end the process.
func (s *Store) checkSpace(need int64) error {
	free, _, ok := space(s.dir)
	if ok && free < need {
		return fmt.Errorf("%w: %s has %d MiB left, and %d MiB must be free", ErrFull, s.o.Dir, free>>20, need>>20)
	}
	return nil
}

// forTables is what must be free to open and close Badger, which write what
// the log holds to tables. It is less than what a write leaves free, so that a
// server which may not write any more can still be stopped, started, and
// finish what it had begun.
func (s *Store) forTables() int64 { return s.o.Reserve / 2 }

// defaultReserve has room for what Badger may still be writing when a write is
// refused: at most 10 tables of a memtable's size that are made or compacted,
// and what they overlap, which is more than they when memtables are small. On
// a small file system half of it is enough, for a compaction cannot make more
// than there is in the other half.
func defaultReserve(dir *os.File, memTable int64) int64 {
	reserve := max(16*memTable, 64<<20)
	if _, total, ok := space(dir); ok {
		reserve = min(reserve, total/2)
	}
	return reserve
}
