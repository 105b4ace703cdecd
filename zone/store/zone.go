package store

import (
	"bytes"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"dialtone/zone/rr"
)

// Zone is one zone's part of a Store. Its methods may be called by any
// goroutine; changes are made one after the other.
type Zone struct {
	s     *Store
	apex  rr.Name // as given to Store.Zone
	lower rr.Name

	state atomic.Pointer[state] // nil while the zone is not loaded

	write struct { // orders Commit, Repair, Seed and Drop
		sync.Mutex
		batch
		stale []uint32 // numbers of failed Seeds: their data is still to be dropped
	}
	trimming sync.Mutex // orders Trim with itself and with Seed and Drop
	// moving is held for writing while a large commit puts its staged RRsets
	// in place, and for reading while All takes its snapshot.
	moving sync.RWMutex
	// torn: a failed write may have left RRsets on disk that are not true.
	torn atomic.Bool
}

// state is what is known of a loaded zone. It is never changed, but replaced.
type state struct {
	id uint32
	meta
	trim
}

func (st *state) journalSize() int64 { return int64(st.appended - st.dropped) }

// Meta is what the store knows of a loaded zone.
type Meta struct {
	Serial uint32
	// Burned is the last serial that may not be used again: Serial itself,
	// unless a failed commit used more.
	Burned       uint32
	JournalCount uint64 // entries
	JournalSize  int64  // octets
	JournalFrom  uint32 // the oldest serial from which the journal leads to Serial
}

// Meta tells the zone's state. It does not wait for anything.
func (z *Zone) Meta() (m Meta, loaded bool, err error) {
	st := z.state.Load()
	if st == nil {
		return Meta{}, false, nil
	}
	return Meta{
		Serial: st.serial, Burned: st.burned,
		JournalCount: st.next - st.first, JournalSize: st.journalSize(), JournalFrom: st.from,
	}, true, nil
}

// Apex is the zone's name as given to Store.Zone.
func (z *Zone) Apex() rr.Name { return z.apex }

func (z *Zone) warn(text string, err error) {
	z.s.o.Logger.Warn(text, "op", "store", "zone", z.apex.String(), "error", err)
}

// update replaces the state by a changed copy.
func (z *Zone) update(change func(st *state)) {
	for {
		old := z.state.Load()
		st := *old
		change(&st)
		if z.state.CompareAndSwap(old, &st) {
			return
		}
	}
}

// load reads the state from disk, finishes a large commit that was decided,
// and removes what is left of one that was not.
func (z *Zone) load() error {
	var st state
	err := z.s.view(func(txn *badger.Txn) error { return st.read(txn, z.apex) })
	if ok, err := found(err); !ok {
		return err
	}
	if st.burned != st.serial && !rr.SerialGreater(st.burned, st.serial) {
		st.burned = st.serial // no serial behind the zone's own can be used anyway
	}
	if st.staged > 0 {
		if err := z.moveStaged(st.id, &st.meta); err != nil {
			return fmt.Errorf("finish a commit that a crash interrupted: %w", err)
		}
	}
	if err := z.s.deletePrefix(zonePrefix(kindStage, st.id), nil); err != nil {
		return err
	}
	if err := z.s.deletePrefix(zonePrefix(kindEntry, st.id), entryKey(st.id, st.next, 0)); err != nil {
		return err
	}
	z.state.Store(&st)
	return nil
}

// read gives badger.ErrKeyNotFound when the zone is not loaded.
func (st *state) read(txn *badger.Txn, apex rr.Name) error {
	v, err := get(txn, apexKey(apex))
	if err != nil {
		return err
	}
	if st.id, _, err = decodeZone(v); err != nil {
		return err
	}
	if v, err = get(txn, zonePrefix(kindMeta, st.id)); err != nil {
		return fmt.Errorf("%w: %v", corrupt("zone without meta"), err)
	}
	if err := st.meta.decode(v); err != nil {
		return err
	}
	if err := st.trim.read(txn, st.id); err != nil {
		return fmt.Errorf("%w: %v", corrupt("zone without the journal's old end"), err)
	}
	if st.first > st.next || st.dropped > st.appended {
		return corrupt("journal that ends before it starts")
	}
	return nil
}

// OwnedRRset is an RRset with its owner.
type OwnedRRset struct {
	Owner rr.Name
	Set   rr.RRset
}

// All streams every RRset of one moment, by owner in canonical order and then
// by type, without an allocation for any of them. Each is replaced by the next
// one. An error ends the stream.
func (z *Zone) All() iter.Seq2[*rr.Octets, error] {
	return func(yield func(*rr.Octets, error) bool) {
		if err := z.all(func(r *rr.Octets) bool { return yield(r, nil) }); err != nil {
			yield(nil, fmt.Errorf("read zone %s: %w", z.apex, err))
		}
	}
}

// Estimate tells about how many RRsets the zone has: those in the tables of the
// last level, where nearly all are, and each once, that the zone fills. It is 0
// for a small zone.
func (z *Zone) Estimate() int {
	st := z.state.Load()
	if st == nil || !z.s.db.TryRLock() {
		return 0
	}
	defer z.s.db.RUnlock()
	if z.s.db.DB == nil {
		return 0
	}
	prefix, count := zonePrefix(kindRRset, st.id), 0
	for _, t := range z.s.lastLevel() {
		if bytes.HasPrefix(t.Left, prefix) && bytes.HasPrefix(t.Right, prefix) {
			count += int(t.KeyCount)
		}
	}
	return count
}

// lastLevel gives the tables of the last level, as they were a second ago or
// later: a start asks for each of perhaps very many zones. Badger is held.
func (s *Store) lastLevel() []badger.TableInfo {
	if known := s.bottom.Load(); known != nil && time.Since(known.at) < time.Second {
		return known.tables
	}
	now := &bottom{at: time.Now()}
	for _, t := range s.db.Tables() {
		if t.Level == s.db.Opts().MaxLevels-1 {
			now.tables = append(now.tables, t)
		}
	}
	s.bottom.Store(now)
	return now.tables
}

// bottom is what Store.lastLevel knows.
type bottom struct {
	at     time.Time
	tables []badger.TableInfo
}

func (z *Zone) all(yield func(*rr.Octets) bool) error {
	sn, id, err := z.snapshotOfRRsets()
	if err != nil {
		return err
	}
	defer sn.close()
	var c chunk
	prefix := zonePrefix(kindRRset, id)
	read := 0
	for next := prefix; next != nil; {
		err := sn.read(func(txn *badger.Txn) (err error) {
			next, err = c.fill(txn, z.lower, prefix, next)
			return err
		})
		if err != nil {
			return err
		}
		if !c.yield(yield) {
			return nil
		}
		// Not for small zones, of which there may be many.
		if read += len(c.arena); read > releaseRead || next == nil && read > chunkOctets {
			z.s.releasePages()
			read = 0
		}
	}
	return nil
}

// snapshotOfRRsets starts to read at a moment when no large commit is half in
// place.
func (z *Zone) snapshotOfRRsets() (*snapshot, uint32, error) {
	z.moving.RLock()
	defer z.moving.RUnlock()
	st := z.state.Load()
	if st == nil {
		return nil, 0, ErrNotLoaded
	}
	if z.torn.Load() {
		return nil, 0, ErrBroken
	}
	sn, err := z.s.snapshot()
	return sn, st.id, err
}

// chunkOctets is how much All reads at a time. Measured with 1,000,000 A
// records: from 256 KiB on, larger chunks gain nothing.
const chunkOctets = 512 << 10

// chunk is a run of RRsets, read at one go and then handed out while Badger is
// free.
type chunk struct {
	arena []byte
	spans []span
	sets  []rrsetSpans
	out   rr.Octets
}

// fill reads RRsets from key next on, and returns the key to go on with, or
// nil at the end.
func (c *chunk) fill(txn *badger.Txn, apexLower rr.Name, prefix, next []byte) ([]byte, error) {
	c.arena, c.spans, c.sets = c.arena[:0], c.spans[:0], c.sets[:0]
	var more []byte
	err := each(txn, prefix, next, func(key, value []byte) (bool, error) {
		if len(c.arena) >= chunkOctets {
			more = append([]byte(nil), key...)
			return false, nil
		}
		var s rrsetSpans
		var err error
		c.arena, c.spans, s, err = cutRRset(c.arena, c.spans, apexLower, key, value)
		c.sets = append(c.sets, s)
		return true, err
	})
	return more, err
}

func (c *chunk) yield(yield func(*rr.Octets) bool) bool {
	spans, r := c.spans, &c.out
	for _, s := range c.sets {
		r.Owner, r.Type, r.TTL, r.Data = c.cut(s.owner), s.typ, s.ttl, r.Data[:0]
		for _, d := range spans[:s.data] {
			r.Data = append(r.Data, c.cut(d))
		}
		spans = spans[s.data:]
		if !yield(r) {
			return false
		}
	}
	return true
}

func (c *chunk) cut(s span) []byte { return c.arena[s.from:s.to:s.to] }
