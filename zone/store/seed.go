package store

import (
	"fmt"
	"iter"
	"slices"

	"dialtone/zone/rr"
)

// Seed replaces the zone's whole content, with an empty journal; keys of numbers
// go with what they belonged to. It is all or nothing: a new zone is loaded, and a loaded one replaced, only by the last
// transaction; what a crash leaves of an unfinished Seed is dropped by Open.
//
// The content is written under a new zone number, in as many transactions as
// it takes, and the table of zones then leads to that number. Of several
// RRsets of one owner and type the last counts. A loaded zone's serial must
// move on, as in Commit.
func (z *Zone) Seed(serial uint32, sets iter.Seq2[OwnedRRset, error]) error {
	z.write.Lock()
	defer z.write.Unlock()
	z.trimming.Lock()
	defer z.trimming.Unlock()
	if err := z.seedLocked(serial, sets); err != nil {
		return fmt.Errorf("seed zone %s serial %d: %w", z.apex, serial, err)
	}
	return nil
}

func (z *Zone) seedLocked(serial uint32, sets iter.Seq2[OwnedRRset, error]) error {
	if err := z.s.heal(); err != nil {
		return err
	}
	old := z.state.Load()
	if old != nil && (!rr.SerialGreater(serial, old.serial) || !beyond(serial, old.burned, old.serial)) {
		return fmt.Errorf("%w: at %d, used up to %d", ErrSerial, old.serial, old.burned)
	}
	id := z.s.newID()
	b := new(batch)
	noted, err := z.seedRRsets(b, id, sets)
	if err == nil {
		err = z.seedEnd(b, id, serial, old, noted)
	}
	if err != nil {
		if noted && !slices.Contains(z.write.stale, id) {
			z.dropLater(id)
		}
		return err
	}
	z.dropStale()
	if old != nil {
		z.dropLater(old.id)
	}
	return nil
}

// seedRRsets writes all RRsets but those that b still holds at the end. noted
// tells that there were more than one transaction takes, and so a note to drop
// them, which came first.
func (z *Zone) seedRRsets(b *batch, id uint32, sets iter.Seq2[OwnedRRset, error]) (noted bool, err error) {
	for r, err := range sets {
		if err != nil {
			return noted, err
		}
		if len(r.Set.Data) == 0 {
			continue
		}
		if err := b.putRRset(z, id, &r); err != nil {
			return noted, err
		}
		if z.s.fits(b, 9) { // one RRset of any size, and what ends a Seed
			continue
		}
		if !noted {
			var note batch
			note.put(zonePrefix(kindDrop, id), []byte{1})
			if err := z.s.commit(&note); err != nil {
				z.write.stale = append(z.write.stale, id) // the note may be on disk
				return false, err
			}
			noted = true
		}
		if err := z.s.commit(b); err != nil {
			return noted, err
		}
		b.reset()
	}
	return noted, nil
}

// seedEnd writes the rest together with what makes the zone loaded.
func (z *Zone) seedEnd(b *batch, id, serial uint32, old *state, noted bool) error {
	st := &state{id: id, meta: meta{serial: serial, burned: serial}, trim: trim{from: serial}}
	b.put(zonePrefix(kindMeta, id), st.meta.append(nil))
	b.put(zonePrefix(kindTrim, id), st.trim.append(nil))
	b.put(apexKey(z.apex), zoneValue(id, z.apex))
	if noted {
		b.delete(zonePrefix(kindDrop, id))
	}
	if old != nil {
		b.put(zonePrefix(kindDrop, old.id), []byte{1})
	}
	b.putStale(z.write.stale)
	if err := z.s.commit(b); err != nil {
		// It may be on disk all the same. Repair or the next Seed decides.
		z.write.stale = append(z.write.stale, id)
		z.torn.Store(old != nil)
		return err
	}
	z.state.Store(st)
	z.torn.Store(false)
	return nil
}

// newID takes a zone number that no key bears.
func (s *Store) newID() uint32 {
	s.zones.Lock()
	defer s.zones.Unlock()
	id := s.zones.nextID
	s.zones.nextID++
	return id
}

// dropLater drops data that is out of sight. What fails is done by the next
// Seed or Repair, or else by the next Open, for there is a note of it on disk.
func (z *Zone) dropLater(id uint32) {
	if err := z.s.drop(id); err != nil {
		z.write.stale = append(z.write.stale, id)
		z.warn("cannot remove old data of a zone yet", err)
	}
}

// dropStale drops what failed Seeds left, after a transaction that noted it.
func (z *Zone) dropStale() {
	ids := z.write.stale
	z.write.stale = nil
	for _, id := range ids {
		z.dropLater(id)
	}
}

// Drop removes the zone from the store. It can be seeded again.
func (z *Zone) Drop() error {
	z.write.Lock()
	defer z.write.Unlock()
	z.trimming.Lock()
	defer z.trimming.Unlock()
	st := z.state.Load()
	if st == nil {
		return fmt.Errorf("drop zone %s: %w", z.apex, ErrNotLoaded)
	}
	err := z.s.heal()
	if err == nil {
		var b batch
		b.delete(apexKey(z.apex))
		b.put(zonePrefix(kindDrop, st.id), []byte{1})
		if err = z.s.commit(&b); err != nil {
			z.torn.Store(true) // it may be on disk all the same
		}
	}
	if err != nil {
		return fmt.Errorf("drop zone %s: %w", z.apex, err)
	}
	z.state.Store(nil)
	z.torn.Store(false)
	z.dropLater(st.id)
	return nil
}
