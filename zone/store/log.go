package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// The sync of a commit
//
// Badger writes to its write-ahead logs, one for each memtable, through memory
// maps. With its option SyncWrites it syncs the log after each transaction,
// and the value log as well, which is always empty here: each costs a flush of
// the disk, which is nearly all that a commit waits for. So that option is
// off, and the logs are synced here, by file descriptors of our own. Measured:
// one client that waits for each update is answered in little more than half
// the time.
//
// A transaction is written to one log, the newest. A log gets nothing more
// once the next one has been made. So what a commit has to sync is the newest
// log, and any older one that has not been synced since it stopped being the
// newest. What Badger has moved to a table, and then deleted, it has synced
// itself. Logs come and go rarely; the time of change of the directory tells
// that one may have.
//
// The directory is synced too when files came or went: Badger does not do so
// when it starts a new log, and a log whose name is lost in a power cut is
// lost with all that was synced to it. Compactions make and remove tables many
// times a second, so it is listed at most commits while they run, but synced
// only when the names are others: with a sync and a look at each file's inode
// every time, that was a tenth of the processor time of updates.

// logs is what is known of Badger's write-ahead logs.
type logs struct {
	mu struct {
		sync.Mutex
		open    []*walFile // in the order in which they were made
		looked  time.Time  // the directory's time of change when it was last looked at and synced
		names   []string   // of all files in the directory when it was last synced
		written uint64     // commits that asked for a sync
		synced  uint64     // the last one of them that a sync came after
		marks   *os.File   // see mark.go; nil until the store is open
		version uint64     // of the transaction before number 1
	}
}

// walFile is one log.
type walFile struct {
	f    *os.File
	done bool // synced since the next one was there
}

const walSuffix = ".mem"

// changing is how long after a change of the directory another one may bear the
// same time: file systems take it from a clock of some milliseconds, or count
// whole seconds.
func changing(changed time.Time) time.Duration {
	if changed.Nanosecond() == 0 {
		return 2 * time.Second
	}
	return 50 * time.Millisecond
}

// written counts a transaction that Badger has taken, and gives its number for
// sync.
func (l *logs) written() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.written++
	return l.mu.written
}

// sync makes durable what Badger has written, up to the transaction that was
// given a number by written. Who finds that a sync has come after its number
// has nothing to do, so commits of several zones share syncs. After an error
// the store is broken before anyone else gets here: the kernel tells of a page
// that it could not write once only (see invariant 5).
func (s *Store) sync(number uint64) error {
	l := &s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.synced >= number {
		return nil
	}
	if s.broken.Load() {
		return ErrBroken
	}
	covers, begun := l.mu.written, time.Now()
	if err := s.syncLocked(); err != nil {
		s.broken.Store(true)
		return err
	}
	l.mu.synced = covers
	took := time.Since(begun)
	s.lastSync.Store(&Sync{Begun: begun, Took: took})
	s.syncs.Add(1)
	s.o.Synced(took)
	l.mark(covers)
	return nil
}

// Sync is one sync of what commits have written.
type Sync struct {
	Begun time.Time
	Took  time.Duration
}

// Syncs counts the syncs of commits since Open.
func (s *Store) Syncs() uint64 { return s.syncs.Load() }

// LastSync tells of the newest sync; false when there was none since Open.
func (s *Store) LastSync() (Sync, bool) {
	if last := s.lastSync.Load(); last != nil {
		return *last, true
	}
	return Sync{}, false
}

// Space tells how many octets are free where the data directory is, and how many must be for a commit; false
// where the system does not tell.
func (s *Store) Space() (free, reserve int64, ok bool) {
	free, _, ok = space(s.dir)
	return free, s.o.Reserve, ok
}

func (s *Store) syncLocked() error {
	l := &s.logs
	asked := time.Now()
	fi, err := s.dir.Stat()
	if err != nil {
		return err
	}
	changed := fi.ModTime()
	look := !changed.Equal(l.mu.looked)
	var names []string
	if look {
		if names, err = fileNames(s.root); err != nil {
			return err
		}
		if err := l.lookLocked(s.root, names); err != nil {
			return err
		}
	}
	for i, w := range l.mu.open {
		if w.done {
			continue
		}
		if err := s.dataSync(w.f); err != nil {
			return fmt.Errorf("sync %s: %w", w.f.Name(), err)
		}
		w.done = i < len(l.mu.open)-1
	}
	if !look {
		return nil
	}
	if !slices.Equal(names, l.mu.names) {
		if err := s.dirSync(s.dir); err != nil {
			return err
		}
		l.mu.names = names
	}
	if asked.Sub(changed) > changing(changed) { // else the next change may look like this one
		l.mu.looked = changed
	}
	return nil
}

// lookLocked opens the logs among the names of dir that have come, and closes
// those that have gone.
func (l *logs) lookLocked(dir *os.Root, names []string) error {
	names = walNames(names)
	var open []*walFile
	for _, w := range l.mu.open {
		if at := slices.Index(names, w.name()); at >= 0 {
			open = append(open, w)
			names = slices.Delete(names, at, at+1)
		} else {
			w.f.Close()
		}
	}
	l.mu.open = open
	for _, name := range names {
		f, err := dir.Open(name)
		if errors.Is(err, fs.ErrNotExist) { // became a table meanwhile
			continue
		}
		if err != nil {
			return err
		}
		l.mu.open = append(l.mu.open, &walFile{f: f})
	}
	slices.SortFunc(l.mu.open, func(a, b *walFile) int { return compareLogs(a.name(), b.name()) })
	if len(l.mu.open) == 0 {
		// This Badger keeps its log elsewhere: nothing may count as durable.
		return fmt.Errorf("no write-ahead log of Badger (*%s) in %s", walSuffix, dir.Name())
	}
	return nil
}

func (w *walFile) name() string { return filepath.Base(w.f.Name()) }

// fileNames lists a directory, without a look at the files themselves.
func fileNames(dir *os.Root) ([]string, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// walNames gives the logs among the names of files.
func walNames(names []string) (logs []string) {
	for _, n := range names {
		if strings.HasSuffix(n, walSuffix) {
			logs = append(logs, n)
		}
	}
	return logs
}

// compareLogs orders logs by their numbers, which have five digits or more.
func compareLogs(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// forget closes all logs; the next sync looks for them again.
func (l *logs) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.mu.open {
		w.f.Close()
	}
	l.mu.open, l.mu.names, l.mu.looked = nil, nil, time.Time{}
}
