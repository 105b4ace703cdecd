package store

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/skl"

	"dialtone/zone/store/files"
)

// healPatience is how long Repair and Close wait for a Badger that cannot
// write what it holds. A stop takes both: less than the 5 seconds that it has.
const healPatience = 2 * time.Second

// badgerOptions: no conflict detection, for there is one writer a zone; little
// memory, for the zones are in memory already.
//
// Tables are not compressed: then blocks are read from the page cache without
// a cache of their own. Measured with 1,000,000 A records: All takes 0.28 s,
// 0.44 s with Snappy, 0.55 s with ZSTD; the tables have 35 octets a record.
// No value is ever large enough for the value log, whose sync errors Badger
// only logs, so that log stays empty and is made as small as can be.
//
// What Badger holds grows with what it does at a time: each table that a flush
// or a compaction makes is built in memory of twice Badger's BaseTableSize,
// which it keeps for the next; each memtable has an arena and a log. Measured
// after 750,000 updates of a zone of 1,000,000 numbers: with memtables of 16
// MiB and Badger's own sizes of tables and levels the heap has four times of
// what it has with these, and the processor is no less busy. Tables of one
// size for all levels, of which a memtable fills one, keep that memory from
// growing with the levels.
//
// Badger keeps eight of these pieces of memory while it compacts. One that was
// too small once is three times as large from then on, and a table from a
// memtable of 2 MiB nearly fills it: so blocks must not be left half empty, and
// no value be larger than a block (see entryPart). After 1,000,000 updates the
// eight have 16 MiB; with blocks of 4 KiB and larger values they had 48 MiB.
func (s *Store) badgerOptions() badger.Options {
	o := badger.DefaultOptions(s.o.Dir)
	o.SyncWrites = false // see log.go
	o.DetectConflicts = false
	o.MetricsEnabled = false
	o.Logger = logger{s}
	o.MemTableSize = s.o.MemTable
	o.NumMemtables = 2
	o.BaseTableSize = 1 << 20
	o.BlockSize = blockSize
	o.TableSizeMultiplier = 1
	o.BaseLevelSize = 8 << 20
	o.NumCompactors = 2
	o.NumLevelZeroTables = level0From
	o.NumLevelZeroTablesStall = level0Stall // bounds what one compaction writes: see defaultReserve
	o.NumVersionsToKeep = 1
	o.Compression = options.None
	o.BlockCacheSize = 0
	o.IndexCacheSize = 0
	o.ValueLogFileSize = 1 << 20
	maxSize, _ := maxBatch(s.o.MemTable)
	o.ValueThreshold = int64(min(1<<20, maxSize/2))
	return o
}

// blockSize is what Badger reads and writes of a table at a time, in octets.
const blockSize = 16 << 10

// Tables at level 0 from which on they are compacted, and at which updates stop.
const level0From, level0Stall = 4, 8

// maxBatch is the octets and keys that fit one transaction, with some distance
// to the bounds that Badger derives from the size of a memtable.
func maxBatch(memTable int64) (octets, keys int) {
	limit := 15 * memTable / 100
	return int(limit - limit/16), int(limit/int64(skl.MaxNodeSize)) - 8
}

// A crash that comes while Badger begins a log leaves a file without a single
// octet. Badger gives it its size and head when it meets it, but then refuses
// the directory with an error that it does not export: the next try finds the
// log in order. There can be one of each kind.
const (
	emptyLog  = "Create a new file"
	emptyLogs = 2
)

// openBadger is also for a store that was closed after a fault of the disk.
func (s *Store) openBadger(how files.How) (*badger.DB, error) {
	if err := s.checkSpace(s.forTables()); err != nil {
		return nil, &DirError{Dir: s.o.Dir, Problem: "cannot be opened", Err: err, Hint: "make room"}
	}
	// Another process that starts now must not write meanwhile: what it does to the
	// MANIFEST would look like damage, or be taken back.
	if !lock(s.dir) {
		return nil, inUse(s.o.Dir)
	}
	o := s.badgerOptions()
	err := errors.Join(s.verify(how), unlock(s.dir))
	if err == nil {
		err = s.compactions.begin(s.o.Dir, s.root)
	}
	if err == nil {
		err = s.emptyLargeLogs(o)
	}
	if err == nil {
		var db *badger.DB
		if db, err = openWith(o); err == nil {
			s.compactions.opened(db)
			if err = s.startMark(db.MaxVersion()); err == nil {
				return db, nil
			}
			err = errors.Join(err, db.Close())
		}
	}
	return nil, s.openError(err)
}

func openWith(o badger.Options) (*badger.DB, error) {
	db, err := badger.Open(o)
	for tries := 0; err != nil && tries < emptyLogs && strings.Contains(err.Error(), emptyLog); tries++ {
		db, err = badger.Open(o)
	}
	return db, err
}

// emptyLargeLogs moves to tables what a crash left in logs that were written
// with larger memtables than now: they would not fit.
func (s *Store) emptyLargeLogs(o badger.Options) error {
	names, err := fileNames(s.root)
	larger := o
	for _, name := range walNames(names) {
		fi, err := s.root.Stat(name)
		if err != nil {
			return err
		}
		larger.MemTableSize = max(larger.MemTableSize, (fi.Size()+1)/2) // Badger makes a log twice as long
	}
	if err != nil || larger.MemTableSize == o.MemTableSize {
		return err
	}
	db, err := openWith(larger)
	if err != nil {
		return err
	}
	return db.Close()
}

// openError explains why Badger does not open.
func (s *Store) openError(err error) error {
	var dir *DirError
	if errors.As(err, &dir) {
		return err
	}
	if locked(s.o.Dir) {
		return inUse(s.o.Dir)
	}
	return &DirError{Dir: s.o.Dir, Problem: "cannot be opened", Err: err,
		Hint: "see whether its files are complete and may be written, or restore a backup"}
}

func inUse(dir string) error {
	return &DirError{Dir: dir, Problem: "is in use by another process",
		Hint: "stop that process, or name another directory", InUse: true}
}

// heal opens Badger again after a failed write. It gives up waiting after
// healPatience; the work goes on and a later call finds it done.
func (s *Store) heal() error {
	if !s.broken.Load() {
		return nil
	}
	s.healing.Lock()
	done := s.healLocked()
	s.healing.Unlock()

	timer := time.NewTimer(healPatience)
	defer timer.Stop()
	select {
	case <-done:
		s.healing.Lock()
		defer s.healing.Unlock()
		return s.healing.err
	case <-timer.C:
		return fmt.Errorf("%w: Badger is still trying to write what it holds", ErrBroken)
	}
}

// healLater is heal for who has nothing to write and cannot wait. It does
// nothing more than once a second.
func (s *Store) healLater() {
	s.healing.Lock()
	defer s.healing.Unlock()
	if time.Since(s.healing.tried) > time.Second {
		s.healLocked()
	}
}

// healSoon is for Badger's own goroutines, which a close waits for. It goes on until
// the store works again: no commit may come that would ask for it.
func (s *Store) healSoon() {
	s.broken.Store(true)
	if s.healing.soon.Swap(true) {
		return
	}
	time.AfterFunc(time.Second, func() {
		s.healing.soon.Store(false)
		if s.broken.Load() && !s.closed.Load() {
			s.healLater()
			s.healSoon()
		}
	})
}

// Failed tells why the store takes no commits at the moment; nil when it does.
func (s *Store) Failed() error {
	if !s.broken.Load() {
		return nil
	}
	s.healing.Lock()
	defer s.healing.Unlock()
	if s.healing.err != nil {
		return s.healing.err
	}
	return ErrBroken
}

// healLocked begins to open Badger again, unless somebody has. What it gives is
// closed at the end of it.
func (s *Store) healLocked() chan struct{} {
	if s.healing.done == nil {
		s.healing.done = make(chan struct{})
		s.healing.tried = time.Now()
		go s.reopen(s.healing.done)
	}
	return s.healing.done
}

// reopen closes Badger and opens it again. It ends by itself; Badger retries
// for as long as the disk refuses the table that a close writes.
func (s *Store) reopen(done chan<- struct{}) {
	err := s.checkSpace(s.o.Reserve)
	if err == nil {
		err = s.reopenNow()
	}
	s.healing.Lock()
	defer s.healing.Unlock()
	s.healing.err = err
	s.healing.done = nil
	close(done)
}

func (s *Store) reopenNow() error {
	s.db.Lock()
	defer s.db.Unlock()
	if s.closed.Load() {
		return ErrClosed
	}
	if s.db.DB != nil {
		if err := s.db.DB.Close(); err != nil {
			s.o.Logger.Warn("store closed with an error after a failed write", "op", "store", "dir", s.o.Dir, "error", err)
		}
		s.db.DB = nil
	}
	s.logs.forget()
	db, err := s.openBadger(files.Heal)
	if err != nil {
		return err
	}
	s.db.DB = db
	s.db.generation++
	s.broken.Store(false)
	return nil
}

// view reads in one short transaction. fn must not call back a user.
func (s *Store) view(fn func(txn *badger.Txn) error) error {
	sn, err := s.snapshot()
	if err != nil {
		return err
	}
	defer sn.close()
	return sn.read(fn)
}

// snapshot is a Badger transaction for reading that may live for long: Badger
// is held only while read works, so that a slow reader does not keep the store
// from being reopened.
type snapshot struct {
	s          *Store
	generation uint64
	txn        *badger.Txn
}

func (s *Store) snapshot() (*snapshot, error) {
	if !s.db.TryRLock() { // not to wait while Badger is reopened
		return nil, ErrBroken
	}
	defer s.db.RUnlock()
	if s.db.DB == nil {
		return nil, ErrClosed
	}
	return &snapshot{s, s.db.generation, s.db.NewTransaction(false)}, nil
}

// read calls fn with the transaction. Badger panics where it finds itself
// closed or without a memtable after a failed write; that is an error here.
func (sn *snapshot) read(fn func(txn *badger.Txn) error) (err error) {
	if !sn.s.db.TryRLock() {
		return ErrReopened
	}
	defer sn.s.db.RUnlock()
	if sn.s.db.DB == nil || sn.generation != sn.s.db.generation {
		return ErrReopened
	}
	if sn.s.broken.Load() {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%w: %v", ErrBroken, p)
			}
		}()
	}
	return fn(sn.txn)
}

// close gives the transaction back, unless its Badger is gone.
func (sn *snapshot) close() {
	if !sn.s.db.TryRLock() {
		return
	}
	defer sn.s.db.RUnlock()
	if sn.s.broken.Load() {
		// A read that panicked in the middle has left an iterator open, and Badger
		// minds. It is about to be closed itself.
		defer func() { _ = recover() }()
	}
	if sn.s.db.DB != nil && sn.generation == sn.s.db.generation {
		sn.txn.Discard()
	}
}

// get reads one value. Values are in the tables, not in the value log, and
// Badger copies them once into the item.
func get(txn *badger.Txn, key []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(nil)
}

// each calls fn for every key that starts with prefix and is not below from,
// in order, until fn returns false. Values are not prefetched: Badger starts a
// goroutine for each, which pays for values in the value log only.
func each(txn *badger.Txn, prefix, from []byte, fn func(key, value []byte) (bool, error)) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	more := true
	var key []byte
	take := func(value []byte) (err error) {
		more, err = fn(key, value)
		return err
	}
	for it.Seek(from); it.Valid() && more; it.Next() {
		key = it.Item().Key()
		if err := it.Item().Value(take); err != nil {
			return err
		}
	}
	return nil
}

// eachKey is each without values.
func eachKey(txn *badger.Txn, prefix, from []byte, fn func(key []byte) (bool, error)) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Seek(from); it.Valid(); it.Next() {
		if more, err := fn(it.Item().Key()); err != nil || !more {
			return err
		}
	}
	return nil
}

// found tells a missing key from an error.
func found(err error) (bool, error) {
	if errors.Is(err, badger.ErrKeyNotFound) {
		return false, nil
	}
	return err == nil, err
}

// logger passes on what Badger warns of.
type logger struct{ s *Store }

// Errorf is also where a failed write is known first. Badger's only writing
// goroutine calls it before it writes anything else, whereas the commit that
// failed may wake when another zone's commit is in the log behind it already.
func (l logger) Errorf(f string, a ...any) {
	switch {
	case strings.HasPrefix(f, "writeRequests"):
		l.s.broken.Store(true)
	case strings.HasPrefix(f, flushFailed):
		l.s.healSoon()
	}
	l.s.o.Logger.Error(line(f, a), "op", "store")
}

func (l logger) Warningf(f string, a ...any) {
	if strings.Contains(f, compactFailed) {
		l.s.compactions.message(f, a)
		l.s.healSoon()
	}
	l.s.o.Logger.Warn(line(f, a), "op", "store")
}

// How messages begin that say that a memtable could not be moved to a table, or
// tables not be compacted. Badger tries again, and then
//
//   - has removed the new tables, though its MANIFEST may name them, where what was
//     written to it could not be taken back either (see compactions). It would not
//     open again (see the comment in files/manifest.go);
//   - makes commits wait without an end when too many memtables or tables have
//     gathered, where they should fail.
//
// So the store is closed and opened again, as after a failed write.
const (
	flushFailed   = "error flushing memtable"
	compactFailed = "LOG Compact FAILED"
)

func (logger) Infof(string, ...any) {}
func (l logger) Debugf(f string, a ...any) {
	l.s.compactions.message(f, a)
	l.s.turns.message(f, l.s.backlog)
}

func line(f string, a []any) string {
	return "badger: " + strings.TrimSpace(fmt.Sprintf(f, a...))
}
