package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"dialtone/zone/rr"
	"dialtone/zone/store/files"
)

// FormatVersion is the version of the data directory's format that this
// package writes. Format 1 had no authors in its journal. What it wrote is read
// as it is, and new entries have them: so a directory becomes one of this format
// when it is opened, and an older program refuses it from then on.
const FormatVersion = 2

// Options of Open. Zero values are the defaults in parentheses.
type Options struct {
	Dir      string       // the data directory; made when missing
	Logger   *slog.Logger // (slog.Default)
	MemTable int64        // octets of one Badger memtable (2 MiB)
	Reserve  int64        // octets that must be free for a write (64 MiB, or 16 memtables if that is more; at most half of the file system)

	// Synced, when not nil, hears how long each sync took that was made for commits. It must be quick.
	Synced func(took time.Duration)

	// FailCommit is for tests. It is called before each Commit and Repair
	// writes; an error fails that call. An error that is ErrTorn fails it
	// after the write, as a failed sync does.
	FailCommit func() error

	format uint32 // FormatVersion, but in tests
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MemTable == 0 {
		o.MemTable = 2 << 20
	}
	if o.format == 0 {
		o.format = FormatVersion
	}
	if o.Synced == nil {
		o.Synced = func(time.Duration) {}
	}
	if o.FailCommit == nil {
		o.FailCommit = func() error { return nil }
	}
	return o
}

// Store is an open data directory. Its methods may be called by any goroutine.
type Store struct {
	o        Options
	fault    func(after bool) error // for tests: fails a transaction before or after it is written
	dataSync func(*os.File) error   // dataSync, but in tests
	dirSync  func(*os.File) error   // File.Sync, but in tests
	maxValue int                    // octets of the largest value: what is larger would leave the log

	// db is held for reading while Badger is used, for writing while it is
	// closed and opened again.
	db struct {
		sync.RWMutex
		*badger.DB        // nil while it is closed
		generation uint64 // counts openings
	}
	broken     atomic.Bool // a write failed: see invariant 5
	closed     atomic.Bool
	commits    atomic.Uint64
	syncs      atomic.Uint64
	lastSync   atomic.Pointer[Sync]
	tablesMade atomic.Bool                     // since the heap was given back
	releasing  atomic.Bool                     // releasePages is due
	released   atomic.Pointer[map[uint64]bool] // the tables of the last time

	healing struct {
		sync.Mutex
		done  chan struct{} // not nil while Badger is being reopened
		err   error         // of the last try
		tried time.Time
		soon  atomic.Bool // a timer of healSoon runs
	}
	root   *os.Root // the data directory, and
	dir    *os.File // itself as a file
	logs   logs
	backup sync.Mutex // held by the one that is under way
	turns  turns

	compactions compactions
	bottom      atomic.Pointer[bottom]
	zones       struct {
		sync.Mutex
		nextID uint32
		byApex map[rr.Name]*Zone // by lower-case apex
	}
}

// Open opens or makes the data directory. Its errors are *DirError and
// *FormatError where the user can do something.
func Open(o Options) (*Store, error) {
	s := &Store{o: o.withDefaults(), fault: func(bool) error { return nil }, dataSync: dataSync, dirSync: (*os.File).Sync}
	s.maxValue = int(s.badgerOptions().ValueThreshold) - 64
	s.zones.nextID = 1
	s.zones.byApex = make(map[rr.Name]*Zone)
	var err error
	if s.root, s.dir, err = prepareDir(s.o.Dir); err != nil {
		return nil, err
	}
	if err := refuseUnfinished(s.root, s.o.Dir); err != nil {
		return nil, errors.Join(err, s.dir.Close(), s.root.Close())
	}
	if s.o.Reserve == 0 {
		s.o.Reserve = defaultReserve(s.dir, s.o.MemTable)
	}
	db, err := s.openBadger(files.Start)
	if err != nil {
		s.compactions.over(s.o.Dir)
		return nil, errors.Join(err, s.logs.closeMark(), s.dir.Close(), s.root.Close())
	}
	s.db.Lock() // its compactions may ask already
	s.db.DB = db
	s.db.Unlock()
	if err := errors.Join(s.root.RemoveAll(buildDir), s.root.RemoveAll(restoreDir), s.checkFormat(), s.loadZones()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close syncs and closes. On a full file system, and after a fault of the disk
// that goes on, it leaves Badger as it is, and locked, until the process ends:
// nothing that was acknowledged is lost by that.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return ErrClosed
	}
	if err := s.checkSpace(s.forTables()); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- s.closeNow() }()
	var patience <-chan time.Time
	if s.broken.Load() {
		patience = time.After(healPatience)
	}
	select {
	case err := <-done:
		return err
	case <-patience:
		return fmt.Errorf("close %s: %w", s.o.Dir, ErrBroken)
	}
}

// closeNow has given the lock back when it returns: who is told of the close
// finds the store closed, and not busy.
func (s *Store) closeNow() error {
	s.db.Lock()
	defer s.db.Unlock()
	var err error
	if s.db.DB != nil {
		err = s.db.DB.Close()
		s.db.DB = nil
	}
	s.compactions.over(s.o.Dir)
	s.logs.forget()
	return errors.Join(err, s.logs.closeMark(), s.dir.Close(), s.root.Close())
}

// Zones gives the apexes of all loaded zones in canonical order.
func (s *Store) Zones() ([]rr.Name, error) {
	var apexes []rr.Name
	err := s.view(func(txn *badger.Txn) error {
		return each(txn, []byte{kindZone}, nil, func(_, value []byte) (bool, error) {
			_, apex, err := decodeZone(value)
			apexes = append(apexes, apex)
			return true, err
		})
	})
	return apexes, err
}

// Zone gives the part of a zone. It need not be loaded yet: see Meta and Seed.
func (s *Store) Zone(apex rr.Name) (*Zone, error) {
	if !apex.Valid() {
		return nil, fmt.Errorf("zone with apex %s: %w", apex, ErrOutOfZone)
	}
	lower := apex.Lower()
	s.zones.Lock()
	defer s.zones.Unlock()
	if z := s.zones.byApex[lower]; z != nil {
		return z, nil
	}
	z := &Zone{s: s, apex: apex, lower: lower}
	if err := z.load(); err != nil {
		return nil, fmt.Errorf("zone %s in %s: %w", apex, s.o.Dir, err)
	}
	s.zones.byApex[lower] = z
	return z, nil
}

// checkFormat refuses what another version or another program wrote.
func (s *Store) checkFormat() error {
	var found uint32
	err := s.view(func(txn *badger.Txn) error {
		v, err := get(txn, []byte{kindFormat})
		switch {
		case errors.Is(err, badger.ErrKeyNotFound):
			return each(txn, nil, nil, func(_, _ []byte) (bool, error) {
				return false, s.foreign()
			})
		case err != nil:
			return err
		case len(v) != 4:
			return corrupt("format version")
		}
		found = binary.BigEndian.Uint32(v)
		return nil
	})
	switch {
	case err != nil:
		return err
	case found > s.o.format:
		return &FormatError{Dir: s.o.Dir, Found: found, Supported: s.o.format}
	case found < s.o.format:
		var b batch
		b.put([]byte{kindFormat}, s.formatValue())
		return s.commit(&b)
	}
	return nil
}

func (s *Store) foreign() error {
	return &DirError{Dir: s.o.Dir, Problem: "holds a Badger database of another program", Hint: "name another directory"}
}

func (s *Store) formatValue() []byte { return binary.BigEndian.AppendUint32(nil, s.o.format) }

// loadZones finds the first free zone number, and drops what a crash left of
// zones that were being seeded or dropped.
func (s *Store) loadZones() error {
	var leftover []uint32
	err := s.view(func(txn *badger.Txn) error {
		err := each(txn, []byte{kindZone}, nil, func(_, value []byte) (bool, error) {
			id, _, err := decodeZone(value)
			s.zones.nextID = max(s.zones.nextID, id+1)
			return true, err
		})
		if err != nil {
			return err
		}
		return each(txn, []byte{kindDrop}, nil, func(key, _ []byte) (bool, error) {
			if len(key) != prefixLen {
				return false, corrupt("list of zones to drop")
			}
			id := binary.BigEndian.Uint32(key[1:])
			s.zones.nextID = max(s.zones.nextID, id+1)
			leftover = append(leftover, id)
			return true, nil
		})
	})
	for _, id := range leftover {
		if err == nil {
			err = s.drop(id)
		}
	}
	return err
}

// drop deletes all data of a zone's number, and at last the note to do so.
func (s *Store) drop(id uint32) error {
	for _, kind := range zoneKinds {
		if err := s.deletePrefix(zonePrefix(kind, id), nil); err != nil {
			return err
		}
	}
	b := batch{urgent: true}
	b.delete(zonePrefix(kindDrop, id))
	return s.commit(&b)
}

// deletePrefix deletes, in several transactions, all keys that start with
// prefix and are not below from.
func (s *Store) deletePrefix(prefix, from []byte) error {
	for {
		b := batch{urgent: true}
		err := s.view(func(txn *badger.Txn) error {
			return eachKey(txn, prefix, from, func(key []byte) (bool, error) {
				b.delete(append([]byte(nil), key...))
				return s.fits(&b, 1), nil
			})
		})
		if err != nil || len(b.ops) == 0 {
			return err
		}
		from = b.ops[len(b.ops)-1].key
		if err := s.commit(&b); err != nil {
			return err
		}
	}
}
