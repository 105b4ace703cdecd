package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"dialtone/zone/rr"
)

// The write path
//
// A commit is a list of RRsets in their new form, what is held of numbers and
// signers, a journal entry, and the zone's meta. Nearly always this fits one Badger transaction, which is atomic
// and is synced once. Commit returns after that sync.
//
// A transaction holds 15 % of a memtable (0.3 MiB with the defaults). A larger
// commit is staged: its new content is packed into stage keys and its journal
// entry is written, both out of sight; then one transaction writes meta with
// the new serial and the number of staged parts. That transaction decides. The
// staged RRsets are then moved into place, and meta is written once more
// without staged parts. After a crash load repeats the move, which may be
// repeated as often as one likes.
//
// When anything fails, nothing counts as committed, but all of it may be on
// disk. The zone is torn from then on, until Repair has written the RRsets
// back. Repair uses the same path, so it may be large too; a stage has a
// number that is never used again in its zone, so the parts of a failed commit
// and those of its repair cannot mix. Until the transaction that decides a
// repair a crash may bring back the failed commit, so nothing of that one, its
// journal entry least of all, is taken away before.

// Commit is one change of a zone.
type Commit struct {
	From, To       uint32 // serials
	OldSOA, NewSOA rr.RR
	Time           time.Time
	Deleted, Added []rr.RR      // without the SOA
	Sets           []OwnedRRset // the RRsets that changed; those without data are deleted
	Authors        Authors      // of Deleted and Added
	Held           Held         // a commit may have nothing else: then From is To, and no journal entry is made
}

func (c *Commit) onlyHolds() bool { return len(c.Sets) == 0 && c.From == c.To }

// Commit makes one change durable. After an error nothing of it counts, and
// Repair must be called before the next one. ErrSerial, ErrOutOfZone,
// ErrTooBig and ErrNotLoaded come before anything is written and need none.
func (z *Zone) Commit(c *Commit) error {
	z.write.Lock()
	defer z.write.Unlock()
	if err := z.commitLocked(c); err != nil {
		return fmt.Errorf("commit zone %s serial %d: %w", z.apex, c.To, err)
	}
	return nil
}

func (z *Zone) commitLocked(c *Commit) error {
	st := z.state.Load()
	if st == nil {
		return ErrNotLoaded
	}
	if z.torn.Load() || z.s.broken.Load() {
		return ErrBroken
	}
	if c.From != st.serial || !c.onlyHolds() && (!rr.SerialGreater(c.To, c.From) || !beyond(c.To, st.burned, st.serial)) {
		return fmt.Errorf("%w: from %d to %d, at %d, used up to %d", ErrSerial, c.From, c.To, st.serial, st.burned)
	}
	b := &z.write.batch
	b.reset()
	defer b.shrink()
	if err := b.putContent(z, st.id, c.Sets, &c.Held); err != nil {
		return err
	}
	w := write{batch: b, sets: len(b.ops), early: len(b.ops)}
	if c.onlyHolds() {
		return z.apply(w, st.id, st.meta)
	}
	size, err := b.putEntry(z.s, st, c)
	if err != nil {
		return err
	}
	w.early = len(b.ops)
	m := st.meta
	m.serial, m.burned = c.To, c.To
	m.next++
	m.distance += uint64(c.To - c.From)
	m.appended += uint64(size)
	return z.apply(w, st.id, m)
}

// write is what changes a zone: a batch with its content first, then what may
// be on disk before the change counts, then what must not.
type write struct {
	*batch
	sets, early int // where the one and the other end
}

// beyond tells whether to lies behind all used serials, seen from serial.
func beyond(to, burned, serial uint32) bool { return to-serial > burned-serial }

// Repair comes after a failed Commit: it gives the named RRsets the values
// that they had before (none deletes), and what was held, removes the journal
// entry of the failed commit, and keeps serials up to burnedTo from ever being
// used again, if that is ahead of the zone's. It is called again until it succeeds;
// it may be called without need.
func (z *Zone) Repair(sets []OwnedRRset, held Held, burnedTo uint32) error {
	z.write.Lock()
	defer z.write.Unlock()
	if err := z.repairLocked(sets, &held, burnedTo); err != nil {
		return fmt.Errorf("repair zone %s: %w", z.apex, err)
	}
	return nil
}

func (z *Zone) repairLocked(sets []OwnedRRset, held *Held, burnedTo uint32) error {
	st := z.state.Load()
	if st == nil {
		return ErrNotLoaded
	}
	if err := z.s.heal(); err != nil {
		return err
	}
	b := &z.write.batch
	b.reset()
	defer b.shrink()
	if err := b.putContent(z, st.id, sets, held); err != nil {
		return err
	}
	w := write{b, len(b.ops), len(b.ops)}
	// A failed Seed or Drop may have led the table of zones elsewhere.
	b.put(apexKey(z.apex), zoneValue(st.id, z.apex))
	b.delete(zonePrefix(kindDrop, st.id))
	b.putStale(z.write.stale)
	var old trim // a Trim that failed may be on disk too
	err := z.s.view(func(txn *badger.Txn) error {
		if err := old.read(txn, st.id); err != nil {
			return err
		}
		return eachKey(txn, zonePrefix(kindEntry, st.id), entryKey(st.id, st.next, 0), func(key []byte) (bool, error) {
			b.delete(append([]byte(nil), key...))
			return true, nil
		})
	})
	if err != nil {
		return err
	}
	m := st.meta
	if rr.SerialGreater(burnedTo, m.serial) && beyond(burnedTo, m.burned, m.serial) {
		m.burned = burnedTo
	}
	if err := z.apply(w, st.id, m); err != nil {
		return err
	}
	z.update(func(st *state) {
		if old.first > st.first {
			st.trim = old
		}
	})
	z.torn.Store(false)
	z.dropStale()
	// What is left of a failed stage is out of sight; the next load would
	// remove it too.
	if err := z.s.deletePrefix(zonePrefix(kindStage, st.id), nil); err != nil {
		z.warn("cannot remove a staged commit yet", err)
	}
	return nil
}

// apply writes w and m, and makes m known.
func (z *Zone) apply(w write, id uint32, m meta) (err error) {
	// A stage's number counts as used as soon as it is tried.
	m.stage++
	z.update(func(st *state) { st.meta.stage = m.stage })

	hook := z.s.o.FailCommit()
	if hook != nil && !errors.Is(hook, ErrTorn) {
		z.torn.Store(true)
		z.s.broken.Store(true)
		return hook
	}
	small := z.s.fits(w.batch, 1)
	if small {
		w.put(zonePrefix(kindMeta, id), m.append(make([]byte, 0, metaLen)))
		err = z.s.commit(w.batch)
	} else {
		err = z.applyLarge(w, id, m)
	}
	if err == nil && hook != nil {
		err = hook
		z.s.broken.Store(true)
	}
	if err != nil {
		if !small || !errors.Is(err, ErrFull) { // that comes before the write
			z.torn.Store(true)
		}
		return err
	}
	m.staged = 0
	z.update(func(st *state) { st.meta = m })
	return nil
}

// applyLarge stages what does not fit one transaction; see the comment at the
// top of this file.
func (z *Zone) applyLarge(w write, id uint32, m meta) error {
	staged := stage(w.ops[:w.sets], id, m.stage, z.s.maxValue)
	if err := z.s.commitAll(w.ops[w.sets:w.early], false); err != nil {
		return err
	}
	if err := z.s.commitAll(staged, false); err != nil {
		return err
	}
	z.moving.Lock()
	defer z.moving.Unlock()
	m.staged = uint32(len(staged))
	var b batch
	b.put(zonePrefix(kindMeta, id), m.append(nil))
	for _, o := range w.ops[w.early:] {
		b.put(o.key, o.value)
	}
	if err := z.s.commit(&b); err != nil {
		return err
	}
	err := z.moveStaged(id, &m)
	if err != nil {
		z.torn.Store(true) // before All may look again
		return err
	}
	if err := z.s.deletePrefix(stagePrefix(id, m.stage), nil); err != nil {
		// The commit is whole and durable: it must count. The next one will
		// find the store broken, and load finds the leftover.
		z.warn("cannot remove a staged commit yet", err)
	}
	return nil
}

// stage packs changes into values of moderate size.
func stage(ops []op, id uint32, number uint64, maxValue int) []op {
	var parts []op
	var v []byte
	flush := func() {
		if len(v) > 0 {
			parts = append(parts, op{stageKey(id, number, uint32(len(parts))), v})
			v = nil
		}
	}
	for _, o := range ops {
		need := len(o.key) + len(o.value) + 2*binary.MaxVarintLen64
		if len(v)+need > maxValue {
			flush()
		}
		if v == nil {
			v = make([]byte, 0, min(maxValue, 64<<10))
		}
		v = binary.AppendUvarint(v, uint64(len(o.key)))
		v = append(v, o.key...)
		v = binary.AppendUvarint(v, uint64(len(o.value))) // no value has no octets, so 0 is a deletion
		v = append(v, o.value...)
	}
	flush()
	return parts
}

// unstage undoes stage for one value.
func unstage(b *batch, id uint32, v []byte) error {
	next := func() ([]byte, bool) {
		size, n := binary.Uvarint(v)
		if n <= 0 || size > uint64(len(v)-n) {
			return nil, false
		}
		field := v[n : n+int(size) : n+int(size)]
		v = v[n+int(size):]
		return field, true
	}
	for len(v) > 0 {
		key, ok := next()
		if !ok || len(key) < prefixLen || key[0] != kindRRset && key[0] != kindHeld || string(key[1:prefixLen]) != string(zonePrefix(kindRRset, id)[1:]) {
			return corrupt("staged key")
		}
		value, ok := next()
		if !ok {
			return corrupt("staged value")
		}
		if len(value) == 0 {
			value = nil
		}
		b.put(key, value)
	}
	return nil
}

// moveStaged puts the staged parts of m into place and then says so.
func (z *Zone) moveStaged(id uint32, m *meta) error {
	for part := range m.staged {
		var b batch
		err := z.s.view(func(txn *badger.Txn) error {
			v, err := get(txn, stageKey(id, m.stage, part))
			if err != nil {
				return errors.Join(corrupt("missing staged part"), err)
			}
			return unstage(&b, id, v)
		})
		if err != nil {
			return err
		}
		if err := z.s.commitAll(b.ops, true); err != nil {
			return err
		}
	}
	m.staged = 0
	b := batch{urgent: true}
	b.put(zonePrefix(kindMeta, id), m.append(nil))
	return z.s.commit(&b)
}
