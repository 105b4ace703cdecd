package store

import (
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"dialtone/zone/rr"
)

// op is one key to be written, or deleted when value is nil.
type op struct{ key, value []byte }

// batch is what one Badger transaction will write. Its memory is used again
// after reset: Badger keeps nothing of it once a transaction is over.
type batch struct {
	ops     []op
	size    int // as Badger counts it, or more
	arena   []byte
	entries []badger.Entry
	urgent  bool // finishes or tidies up: may use a part of the reserve
}

// opOverhead is what Badger counts for an entry beside key and value: a time
// stamp in the key, twice, and two octets of flags.
const opOverhead = 24

// keepArena bounds the memory that a batch keeps for the next commit.
const keepArena = 1 << 20

func (b *batch) reset() {
	clear(b.ops)
	b.ops, b.arena, b.size = b.ops[:0], b.arena[:0], 0
}

// shrink gives back the memory of a large commit.
func (b *batch) shrink() {
	if cap(b.arena) > keepArena || cap(b.ops) > keepArena/256 {
		*b = batch{}
	}
}

func (b *batch) put(key, value []byte) {
	b.ops = append(b.ops, op{key, value})
	b.size += len(key) + len(value) + opOverhead
}

func (b *batch) delete(key []byte) { b.put(key, nil) }

// putStale notes that the data of these zone numbers is to be dropped.
func (b *batch) putStale(ids []uint32) {
	for _, id := range ids {
		b.put(zonePrefix(kindDrop, id), []byte{1})
	}
}

// putRRset sets an RRset, or deletes it when it has no data.
func (b *batch) putRRset(z *Zone, id uint32, r *OwnedRRset) error {
	if !r.Owner.Valid() || !r.Owner.IsBelowOrEqual(z.apex) {
		return fmt.Errorf("%s: %w", r.Owner, ErrOutOfZone)
	}
	// A grown arena leaves the keys and values before in its old memory.
	from := len(b.arena)
	b.arena = appendRRsetKey(b.arena, id, z.apex, r.Owner, r.Set.Type)
	mid := len(b.arena)
	if len(r.Set.Data) == 0 {
		b.delete(b.arena[from:mid:mid])
		return nil
	}
	var err error
	if b.arena, err = appendRRset(b.arena, r.Owner, r.Set.Type, r.Set.TTL, r.Set.Data); err != nil {
		return err
	}
	end := len(b.arena)
	if end-mid > z.s.maxValue {
		return fmt.Errorf("%w: RRset %s %s has %d octets, at most %d fit",
			ErrTooBig, r.Owner, rr.TypeString(r.Set.Type), end-mid, z.s.maxValue)
	}
	b.put(b.arena[from:mid:mid], b.arena[mid:end:end])
	return nil
}

func (b *batch) putContent(z *Zone, id uint32, sets []OwnedRRset, held *Held) error {
	for i := range sets {
		if err := b.putRRset(z, id, &sets[i]); err != nil {
			return err
		}
	}
	return b.putHeld(z, id, held)
}

// fits tells whether b and more keys of moderate size fit one transaction.
func (s *Store) fits(b *batch, more int) bool {
	maxSize, maxCount := maxBatch(s.o.MemTable)
	return b.size+more*(s.maxValue/8) < maxSize && len(b.ops)+more < maxCount
}

// commit writes b in one transaction and returns after the sync. An error
// means that b may be on disk or not, and that Repair or Seed must come next;
// but for ErrBroken, ErrClosed and ErrFull, which come before anything is written.
func (s *Store) commit(b *batch) error {
	if len(b.ops) == 0 {
		return nil
	}
	if s.broken.Load() || !s.db.TryRLock() { // not to wait while Badger is reopened
		return ErrBroken
	}
	defer s.db.RUnlock()
	if s.db.DB == nil {
		return ErrClosed
	}
	need := s.o.Reserve
	if b.urgent {
		need = s.forTables()
	}
	if err := s.checkSpace(need); err != nil {
		return err
	}
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	b.keepVersion()
	if err := b.fill(txn); err != nil {
		return err
	}
	err := s.fault(false)
	if err == nil {
		err = txn.Commit()
	}
	if err == nil {
		err = s.sync(s.logs.written())
	}
	if err == nil {
		err = s.fault(true)
	}
	if err == nil && s.broken.Load() {
		err = ErrBroken // the log failed for another zone, in front of this commit
	}
	if err != nil {
		s.broken.Store(true)
	}
	s.releaseLater()
	return err
}

// keepVersion makes sure that the newest version in the tables is that of the
// newest transaction, which verify counts on: of one that only deletes, nothing
// may be left when it has been compacted.
func (b *batch) keepVersion() {
	if !slices.ContainsFunc(b.ops, func(o op) bool { return o.value != nil }) {
		b.put([]byte{kindNewest}, []byte{encNewest})
	}
}

func (b *batch) fill(txn *badger.Txn) error {
	if cap(b.entries) < len(b.ops) {
		b.entries = make([]badger.Entry, len(b.ops)+len(b.ops)/4)
	}
	b.entries = b.entries[:len(b.ops)]
	for i, o := range b.ops {
		var err error
		if o.value == nil {
			err = txn.Delete(o.key)
		} else {
			b.entries[i] = badger.Entry{Key: o.key, Value: o.value}
			err = txn.SetEntry(&b.entries[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// commitAll writes ops in as many transactions as it takes, in order.
func (s *Store) commitAll(ops []op, urgent bool) error {
	b := batch{urgent: urgent}
	for _, o := range ops {
		b.put(o.key, o.value)
		if !s.fits(&b, 8) {
			if err := s.commit(&b); err != nil {
				return err
			}
			b.reset()
		}
	}
	return s.commit(&b)
}
