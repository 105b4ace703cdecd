package store

import (
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// trimKeys bounds the keys that one transaction of Trim deletes, and thereby
// how long a commit can wait behind it.
const trimKeys = 512

// Trim drops whole entries from the old end of the journal until none is
// older than maxAge and all together take at most maxSize octets; 0 is no
// bound. It goes on beside commits. When size is exceeded it makes room for
// 1/16 more, so that a journal that is full is not trimmed at every commit.
func (z *Zone) Trim(now time.Time, maxAge time.Duration, maxSize int64) error {
	z.trimming.Lock()
	defer z.trimming.Unlock()
	st := z.state.Load()
	if st == nil {
		return fmt.Errorf("trim zone %s: %w", z.apex, ErrNotLoaded)
	}
	target := int64(-1)
	if maxSize > 0 && st.journalSize() > maxSize {
		target = maxSize - maxSize/16
	}
	cutoff := int64(-1 << 63)
	if maxAge > 0 {
		cutoff = now.Add(-maxAge).UnixNano()
	}
	for {
		more, err := z.trimSome(cutoff, target)
		if err != nil {
			return fmt.Errorf("trim zone %s: %w", z.apex, err)
		}
		if !more {
			return nil
		}
	}
}

// read gives badger.ErrKeyNotFound when there is no zone of that number.
func (t *trim) read(txn *badger.Txn, id uint32) error {
	v, err := get(txn, zonePrefix(kindTrim, id))
	if err != nil {
		return err
	}
	return t.decode(v)
}

// trimSome does one transaction of Trim: entries from before cutoff go, and
// others while the journal is larger than target, unless that is negative. It
// goes on from what is on disk, where a trim that failed may have taken place.
func (z *Zone) trimSome(cutoff, target int64) (more bool, err error) {
	st := z.state.Load()
	var t trim
	var b batch
	err = z.s.view(func(txn *badger.Txn) error {
		if err := t.read(txn, st.id); err != nil {
			return err
		}
		for t.first < st.next && len(b.ops) < trimKeys {
			h, err := st.head(txn, t.first)
			if err != nil {
				return err
			}
			big := target >= 0 && int64(st.appended-t.dropped) > target
			if h.time >= cutoff && !big {
				return nil
			}
			for part := range h.parts {
				b.delete(entryKey(st.id, t.first, part))
			}
			t.first++
			t.from = h.to
			t.dropped += uint64(h.size())
		}
		more = t.first < st.next
		return nil
	})
	if err != nil || t.first == st.first {
		return false, err
	}
	if len(b.ops) > 0 {
		b.put(zonePrefix(kindTrim, st.id), t.append(nil))
		if err := z.s.commitAll(b.ops, true); err != nil {
			return false, err
		}
	}
	z.update(func(st *state) { st.trim = t })
	return more, nil
}
