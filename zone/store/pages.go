package store

import (
	"errors"
	"maps"
	"runtime/debug"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Badger maps its tables into memory. What a load, a compaction or a reader of
// the journal has looked at, and every table that was written, then counts as
// memory of the process until the kernel needs it: measured with 1,000,000
// numbers, a third of what the process holds after a start. So these pages are
// unmapped now and then. They stay in the page cache, where Badger finds them
// again.

const (
	// releaseRead is how much a load reads before it lets go of it.
	releaseRead = 8 << 20
	// releaseAfter is how long after a commit its pages, and those of the
	// compactions that it sets off, are let go.
	releaseAfter = time.Second
	// When no tables are made any more, Badger gives up one of the eight pieces
	// of memory that it made them in every 2 s, of 2 MiB each. With a look every 4 s as
	// many as two of them stayed for as long.
	giveBackEvery = 2 * time.Second
	giveBacks     = 9
)

// releaseLater is called at each commit.
func (s *Store) releaseLater() {
	s.commits.Add(1)
	s.releaseUntilQuiet()
}

// releaseUntilQuiet goes on for as long as commits are made, and tables come
// and go: compactions may still work when no commit comes any more. What the
// making of tables has left in the heap is given back then as well; Go itself
// looks at an idle heap every two minutes only.
func (s *Store) releaseUntilQuiet() {
	if s.releasing.Load() || s.releasing.Swap(true) {
		return
	}
	before := s.commits.Load()
	time.AfterFunc(releaseAfter, func() {
		s.releasing.Store(false)
		switch {
		case s.releasePages():
			s.tablesMade.Store(true)
			s.releaseUntilQuiet()
		case s.commits.Load() != before:
			s.releaseUntilQuiet()
		case s.tablesMade.Swap(false):
			s.giveBack(giveBacks, before)
		}
	})
}

// giveBack gives the heap's free memory to the system, and some more times what
// becomes free until the next commit.
func (s *Store) giveBack(times int, commits uint64) {
	switch {
	case times == 0 || s.closed.Load():
		return
	case s.commits.Load() != commits:
		s.tablesMade.Store(true) // and the rest when it is quiet again
		return
	}
	debug.FreeOSMemory()
	time.AfterFunc(giveBackEvery, func() { s.giveBack(times-1, commits) })
}

// releasePages unmaps what Badger's tables have mapped in. It tells whether
// there are other tables than the last time.
func (s *Store) releasePages() (changed bool) {
	if s.broken.Load() {
		return false // it is about to be reopened, which maps everything anew
	}
	err := s.view(func(txn *badger.Txn) error {
		before := s.tableIDs()
		// An iterator keeps the tables of its time mapped. Those that were
		// there before it, and still are, are among them: a table that is gone
		// does not come back, nor does its number. So nothing else can come to
		// stand at their addresses.
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		held := s.tableIDs()
		for id := range held {
			if !before[id] {
				delete(held, id)
			}
		}
		if last := s.released.Swap(&held); last == nil || !maps.Equal(*last, held) {
			changed = true
		}
		return unmapTables(s.dir, held)
	})
	changed = changed && err == nil
	if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrBroken) {
		s.o.Logger.Debug("pages of tables stay mapped", "op", "store", "dir", s.o.Dir, "error", err)
	}
	return changed
}

func (s *Store) tableIDs() map[uint64]bool {
	ids := make(map[uint64]bool)
	for _, t := range s.db.Tables() {
		ids[t.ID] = true
	}
	return ids
}
