package store

import (
	"errors"
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
)

// releaseLater is called at each commit.
func (s *Store) releaseLater() {
	if s.releasing.Load() || s.releasing.Swap(true) {
		return
	}
	time.AfterFunc(releaseAfter, func() {
		s.releasing.Store(false)
		s.releasePages()
	})
}

// releasePages unmaps what Badger's tables have mapped in.
func (s *Store) releasePages() {
	if s.broken.Load() {
		return // it is about to be reopened, which maps everything anew
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
		return unmapTables(s.dir, held)
	})
	if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrBroken) {
		s.o.Logger.Debug("pages of tables stay mapped", "op", "store", "dir", s.o.Dir, "error", err)
	}
}

func (s *Store) tableIDs() map[uint64]bool {
	ids := make(map[uint64]bool)
	for _, t := range s.db.Tables() {
		ids[t.ID] = true
	}
	return ids
}
