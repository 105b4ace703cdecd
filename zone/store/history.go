package store

import (
	"encoding/binary"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"dialtone/zone/rr"
)

// The history of a number
//
// The journal has no index by number: it is read from its new end back, and what
// it says of the number is undone, step by step, on what the number has now. That
// takes about two seconds for each GiB and no memory but for what belongs to the
// number: an entry, which can be large, is decoded part by part.

// Past is what a number had from one moment on.
type Past struct {
	Records []rr.RR // at the number and below it, by owner and type; not to be changed
	// Change is what led to that; nil for what the journal does not know the
	// beginning of.
	Change *Change
	// Since is the time of the change; without one, that of the oldest entry of the
	// journal: it was so before. Zero when there is no entry.
	Since time.Time
}

// Change is what one commit did to a number. Several updates of the number that
// shared a commit are one.
type Change struct {
	Serial         uint32 // of the zone, after it
	Deleted, Added []rr.RR
	Authors        []rr.Author // each once; none when it is not known
}

// History streams what a number had, of one moment, the newest first; at last
// comes what has no Change. progress hears now and then how many octets of the
// journal have been read, of how many, and of what time the last entry was; false
// ends the stream. So does an error.
func (z *Zone) History(number string, progress func(read, of int64, at time.Time) bool) iter.Seq2[*Past, error] {
	return func(yield func(*Past, error) bool) {
		w := pastWalk{z: z, number: number, yield: func(p *Past) bool { return yield(p, nil) }, progress: progress}
		if err := w.run(); err != nil {
			yield(nil, fmt.Errorf("history of %s in zone %s: %w", number, z.apex, err))
		}
	}
}

// firstBlock and pastBlock are how many entries are read at a time, forwards, at first
// and at most: who wants only what is new reads little.
const firstBlock, pastBlock = 16, 256

// pastWalk is one call of History.
type pastWalk struct {
	z        *Zone
	number   string
	yield    func(*Past) bool
	progress func(read, of int64, at time.Time) bool

	st      state // of the snapshot
	known   uint64
	records []rr.RR // what the number had after the entries that are undone
	over    bool    // yield wants no more
	scan    pastScan
}

func (w *pastWalk) run() error {
	z := w.z
	st := z.state.Load()
	if st == nil {
		return ErrNotLoaded
	}
	// What a commit wrote that is not acknowledged yet is undone too, but not told.
	w.known = st.next
	sn, _, err := z.snapshotOfRRsets()
	if err != nil {
		return err
	}
	defer sn.close()
	err = sn.read(func(txn *badger.Txn) error {
		if err := w.st.read(txn, z.apex); err != nil {
			return err
		}
		w.records, err = recordsBelow(txn, w.st.id, z.lower, w.number)
		return err
	})
	if err != nil {
		return err
	}
	w.scan.owner(w.number, z.apex)
	size, read := w.st.journalSize(), int64(0)
	var oldest time.Time
	block := uint64(firstBlock)
	for end := w.st.next; end > w.st.first && !w.over; block = min(2*block, pastBlock) {
		from := max(w.st.first, end-min(end, block))
		var found []*scanned
		var octets int64
		err := sn.read(func(txn *badger.Txn) (err error) {
			found, oldest, octets, err = w.block(txn, from, end)
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range slices.Backward(found) {
			if err := w.undo(e); err != nil || w.over {
				return err
			}
		}
		end = from
		read += octets
		w.over = !w.progress(read, size, oldest)
	}
	if size > releaseRead {
		z.s.releasePages()
	}
	if !w.over {
		w.yield(&Past{Records: w.records, Since: oldest})
	}
	return nil
}

// block reads the entries from..end-1 and gives those that speak of the number.
func (w *pastWalk) block(txn *badger.Txn, from, end uint64) (found []*scanned, oldest time.Time, octets int64, err error) {
	seq, part := from, uint16(0)
	s := &w.scan
	err = each(txn, zonePrefix(kindEntry, w.st.id), entryKey(w.st.id, from, 0), func(key, v []byte) (bool, error) {
		if at, ok := entrySeq(key); !ok || at != seq || binary.BigEndian.Uint16(key[entryKeyLen-2:]) != part {
			return false, corrupt("journal with a gap")
		}
		octets += int64(len(key) + len(v))
		if part == 0 {
			if v, err = s.begin(v); err != nil {
				return false, err
			}
			if seq == from {
				oldest = time.Unix(0, s.head.time)
			}
		}
		if part++; part%64 == 0 {
			runtime.Gosched() // queries have waited for the time that it takes to decode 256 KiB
		}
		if err := s.feed(v, part == s.head.parts); err != nil {
			return false, err
		}
		if part < s.head.parts {
			return true, nil
		}
		if s.out.seq = seq; len(s.out.deleted)+len(s.out.added) > 0 {
			out := s.out
			found = append(found, &out)
		}
		seq++
		part = 0
		return seq < end, nil
	})
	if err == nil && seq != end {
		err = corrupt("journal with a gap")
	}
	return found, oldest, octets, err
}

// undo tells of a change, and takes it back.
func (w *pastWalk) undo(e *scanned) error {
	c, err := e.change(rr.NumberName(w.number, w.z.apex))
	if err != nil {
		return err
	}
	if e.seq < w.known && !w.yield(&Past{Records: w.records, Change: c, Since: time.Unix(0, e.time)}) {
		w.over = true
		return nil
	}
	before := make([]rr.RR, 0, len(w.records)+len(c.Deleted))
	for _, r := range w.records {
		if !slices.ContainsFunc(c.Added, func(x rr.RR) bool { return sameRecord(&x, &r) }) {
			before = append(before, r)
		}
	}
	if len(w.records)-len(before) != len(c.Added) {
		return corrupt("journal that does not lead to what is stored")
	}
	w.records = append(before, c.Deleted...)
	slices.SortStableFunc(w.records, func(a, b rr.RR) int {
		if c := a.Owner.Compare(b.Owner); c != 0 {
			return c
		}
		return int(a.Type) - int(b.Type)
	})
	return nil
}

func sameRecord(a, b *rr.RR) bool {
	return a.Type == b.Type && a.Data == b.Data && a.Owner.EqualFold(b.Owner)
}

// recordsBelow reads what a number has, at its name and below it.
func recordsBelow(txn *badger.Txn, id uint32, apexLower rr.Name, number string) (list []rr.RR, err error) {
	own := appendOwner(zonePrefix(kindRRset, id), string(byte(len(number)))+number)
	prefix := own[:len(own)-1] // less what closes the owner: names below go on there
	err = each(txn, prefix, prefix, func(key, value []byte) (bool, error) {
		arena, spans, s, err := cutRRset(nil, nil, apexLower, key, value)
		if err != nil {
			return false, err
		}
		owner := rr.Name(arena[s.owner.from:s.owner.to])
		for _, d := range spans {
			list = append(list, rr.RR{Owner: owner, Type: s.typ, TTL: s.ttl, Data: string(arena[d.from:d.to])})
		}
		return true, nil
	})
	return list, err
}
