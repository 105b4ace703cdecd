package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sort"
	"time"

	"github.com/dgraph-io/badger/v4"

	"dialtone/zone/rr"
)

// Entry is one journal entry: the difference between two serials.
type Entry struct {
	From, To       uint32
	OldSOA, NewSOA rr.RR
	Time           time.Time
	Deleted, Added []rr.RR // without the SOA
}

// Journal streams the entries that lead from serial from to serial to, of one
// moment, oldest first. ErrNoHistory comes when the journal does not lead from
// the one to the other; any error ends the stream.
func (z *Zone) Journal(from, to uint32) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		if err := z.journal(from, to, func(e *Entry) bool { return yield(e, nil) }); err != nil {
			yield(nil, fmt.Errorf("journal of zone %s from %d to %d: %w", z.apex, from, to, err))
		}
	}
}

// LeftAt tells when the zone left a serial for the next one, and how many entries lead on from there.
// ErrNoHistory comes when the journal does not know: of the zone's own serial, too.
func (z *Zone) LeftAt(serial uint32) (at time.Time, entries uint64, err error) {
	st := z.state.Load()
	if st == nil {
		return at, 0, ErrNotLoaded
	}
	err = z.s.view(func(txn *badger.Txn) error {
		seq, err := st.find(txn, serial, st.serial)
		if err != nil {
			return err
		}
		h, err := st.head(txn, seq)
		at, entries = time.Unix(0, h.time), st.next-seq
		return err
	})
	return at, entries, err
}

// ChangedAt tells when the newest entry was made; the zero time when there is none.
func (z *Zone) ChangedAt() (at time.Time, err error) {
	st := z.state.Load()
	if st == nil {
		return at, ErrNotLoaded
	}
	err = z.s.view(func(txn *badger.Txn) error {
		if first, err := st.oldest(txn); err != nil || first >= st.next {
			return err
		}
		h, err := st.head(txn, st.next-1)
		at = time.Unix(0, h.time)
		return err
	})
	if errors.Is(err, ErrNoHistory) {
		return time.Time{}, nil
	}
	return at, err
}

// journalChunk bounds the octets of entries that are read at a time.
const journalChunk = 256 << 10

func (z *Zone) journal(from, to uint32, yield func(*Entry) bool) error {
	st := z.state.Load()
	if st == nil {
		return ErrNotLoaded
	}
	if from == to {
		return nil
	}
	sn, err := z.s.snapshot()
	if err != nil {
		return err
	}
	defer sn.close()
	var seq uint64
	err = sn.read(func(txn *badger.Txn) (err error) {
		seq, err = st.find(txn, from, to)
		return err
	})
	for serial := from; err == nil && serial != to; {
		var entries []*Entry
		err = sn.read(func(txn *badger.Txn) (err error) {
			entries, err = st.readEntries(txn, seq)
			return err
		})
		for _, e := range entries {
			if e.From != serial {
				return corrupt("journal entry that does not follow the one before")
			}
			if !yield(e) || e.To == to {
				return nil
			}
			serial = e.To
			seq++
		}
		if err == nil && len(entries) == 0 {
			return ErrNoHistory
		}
	}
	return err
}

// find gives the sequence of the entry that starts at serial from, if a chain
// leads from it to serial to.
//
// Entries are searched by distance: it only grows, whereas serials wrap
// (RFC 1982) and may have passed a value more than once.
func (st *state) find(txn *badger.Txn, from, to uint32) (uint64, error) {
	first, err := st.oldest(txn)
	if err != nil {
		return 0, err
	}
	at := func(serial uint32) (distance uint64, ok bool) {
		back := uint64(st.serial - serial)
		return st.distance - back, back <= st.distance
	}
	start, ok1 := at(from)
	end, ok2 := at(to)
	if !ok1 || !ok2 || start >= end || first >= st.next {
		return 0, ErrNoHistory
	}
	seq, err := st.search(txn, first, start)
	if err == nil && end != st.distance {
		_, err = st.search(txn, seq, end)
	}
	return seq, err
}

// search gives the entry that starts at a distance.
func (st *state) search(txn *badger.Txn, first, distance uint64) (uint64, error) {
	var err error
	n := sort.Search(int(st.next-first), func(i int) bool {
		var h entryHead
		if err == nil {
			h, err = st.head(txn, first+uint64(i))
		}
		return err != nil || h.distance >= distance
	})
	seq := first + uint64(n)
	if err == nil && seq == st.next {
		err = ErrNoHistory
	}
	if err != nil {
		return 0, err
	}
	h, err := st.head(txn, seq)
	if err == nil && h.distance != distance {
		err = ErrNoHistory
	}
	return seq, err
}

// oldest is the journal's old end in a transaction, which may be newer than
// that of st.
func (st *state) oldest(txn *badger.Txn) (uint64, error) {
	var t trim
	err := t.read(txn, st.id)
	if errors.Is(err, badger.ErrKeyNotFound) { // seeded anew or dropped
		return 0, ErrNoHistory
	}
	return t.first, err
}

func (st *state) head(txn *badger.Txn, seq uint64) (h entryHead, err error) {
	item, err := txn.Get(entryKey(st.id, seq, 0))
	if err != nil {
		return h, errors.Join(corrupt("journal with a gap"), err)
	}
	err = item.Value(func(v []byte) error {
		_, err := h.decode(v)
		return err
	})
	return h, err
}

// readEntries reads whole entries from seq on, up to about journalChunk.
func (st *state) readEntries(txn *badger.Txn, seq uint64) ([]*Entry, error) {
	var entries []*Entry
	var h entryHead
	var body []byte
	size, part := 0, uint16(0)
	err := each(txn, zonePrefix(kindEntry, st.id), entryKey(st.id, seq, 0), func(key, v []byte) (bool, error) {
		if s, ok := entrySeq(key); !ok || s != seq || binary.BigEndian.Uint16(key[entryKeyLen-2:]) != part {
			if part > 0 || s < st.next {
				return false, corrupt("journal with a gap")
			}
			return false, nil
		}
		if seq >= st.next {
			return false, nil
		}
		if part == 0 {
			rest, err := h.decode(v)
			if err != nil {
				return false, err
			}
			body, v = body[:0], rest
		}
		body = append(body, v...)
		if part++; part < h.parts {
			return true, nil
		}
		e, err := h.entry(body)
		if err != nil {
			return false, err
		}
		entries = append(entries, e)
		size += len(body)
		seq++
		part = 0
		return size < journalChunk, nil
	})
	if err == nil && part > 0 {
		err = corrupt("journal entry without its end")
	}
	return entries, err
}

// entryHead starts the first part of an entry.
type entryHead struct {
	parts    uint16
	from, to uint32
	distance uint64 // of from, see meta
	time     int64  // Unix, nanoseconds
	body     uint32 // octets in all parts
	authors  bool   // they stand behind the records; entries of format 1 have none
}

const entryHeadLen = 1 + 2 + 4 + 4 + 8 + 8 + 4

func (h *entryHead) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, encEntry), h.parts)
	b = binary.BigEndian.AppendUint32(b, h.from)
	b = binary.BigEndian.AppendUint32(b, h.to)
	b = binary.BigEndian.AppendUint64(b, h.distance)
	b = binary.BigEndian.AppendUint64(b, uint64(h.time))
	return binary.BigEndian.AppendUint32(b, h.body)
}

func (h *entryHead) decode(b []byte) (rest []byte, err error) {
	if len(b) < entryHeadLen || b[0] != encEntry && b[0] != encEntryOld {
		return nil, corrupt("head of a journal entry")
	}
	h.authors = b[0] == encEntry
	h.parts = binary.BigEndian.Uint16(b[1:])
	h.from = binary.BigEndian.Uint32(b[3:])
	h.to = binary.BigEndian.Uint32(b[7:])
	h.distance = binary.BigEndian.Uint64(b[11:])
	h.time = int64(binary.BigEndian.Uint64(b[19:]))
	h.body = binary.BigEndian.Uint32(b[27:])
	if h.parts == 0 {
		return nil, corrupt("journal entry without parts")
	}
	return b[entryHeadLen:], nil
}

// size is what an entry counts for in the bounds of the journal.
func (h *entryHead) size() int { return int(h.body) + entryHeadLen + int(h.parts)*entryKeyLen }

const (
	// entryPart is the most of an entry that one key has: a quarter of a block of
	// Badger's tables, key and the block's own end included. For a value that is
	// larger than a block Badger's table builder takes three times its octets,
	// and keeps them.
	entryPart = blockSize/4 - 64
	manyParts = 1 << 20 // octets of an entry that has larger parts, lest there be too many
)

// putEntry adds the journal entry of c and returns its size.
func (b *batch) putEntry(s *Store, st *state, c *Commit) (int, error) {
	from := len(b.arena)
	h := entryHead{from: c.From, to: c.To, distance: st.distance, time: c.Time.UnixNano(), parts: 1}
	b.arena = h.append(b.arena)
	mid := len(b.arena)
	var err error
	if b.arena, err = appendBody(b.arena, c); err != nil {
		return 0, err
	}
	v := b.arena[from:]
	limit := min(entryPart, s.maxValue/2)
	if len(v) > manyParts {
		limit = s.maxValue / 2
	}
	parts := max(1, (len(v)+limit-1)/limit)
	if parts > 1<<15 || len(v) > 1<<30 {
		return 0, fmt.Errorf("%w: journal entry of %d octets", ErrTooBig, len(v))
	}
	h.parts, h.body = uint16(parts), uint32(len(b.arena)-mid)
	h.append(v[:0])
	for part := range parts {
		n := min(len(v), limit)
		b.put(entryKey(st.id, st.next, uint16(part)), v[:n:n])
		v = v[n:]
	}
	return h.size(), nil
}

// appendBody encodes the records of an entry, and who changed them.
func appendBody(b []byte, c *Commit) ([]byte, error) {
	var last rr.Name
	var err error
	put := func(r *rr.RR) {
		switch {
		case r.Owner != last && !r.Owner.Valid():
			err = fmt.Errorf("%w: %s", ErrOutOfZone, r.Owner)
			return
		case len(r.Data) > maxData:
			err = fmt.Errorf("%w: record of %s with %d octets", ErrTooBig, r.Owner, len(r.Data))
			return
		}
		if r.Owner == last {
			b = append(b, 0) // no name is so short
		} else {
			b = append(append(b, byte(len(r.Owner))), r.Owner...)
			last = r.Owner
		}
		b = binary.BigEndian.AppendUint16(b, r.Type)
		b = binary.BigEndian.AppendUint32(b, r.TTL)
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.Data)))
		b = append(b, r.Data...)
	}
	put(&c.OldSOA)
	put(&c.NewSOA)
	for _, list := range [...][]rr.RR{c.Deleted, c.Added} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for i := range list {
			put(&list[i])
		}
	}
	return appendAuthors(b, &c.Authors), err
}

// minRecord is the least that a record takes in a body.
const minRecord = 1 + 2 + 4 + 2

// entry decodes the records of an entry out of body, which it copies once.
func (h *entryHead) entry(body []byte) (*Entry, error) {
	if len(body) != int(h.body) {
		return nil, corrupt("journal entry of another length")
	}
	e := &Entry{From: h.from, To: h.to, Time: time.Unix(0, h.time)}
	d := bodyDecoder{text: string(body)}
	e.OldSOA, e.NewSOA = d.record(), d.record()
	e.Deleted, e.Added = d.records(), d.records()
	if d.err == nil && (d.text != "") != h.authors {
		d.err = corrupt("journal entry that ends in another place")
	}
	if d.err != nil {
		return nil, d.err
	}
	return e, nil
}

type bodyDecoder struct {
	text string
	last rr.Name
	err  error
}

func (d *bodyDecoder) take(n int) string {
	if n > len(d.text) {
		if d.err == nil {
			d.err = corrupt("journal entry that is cut off")
		}
		d.text = ""
		return "\x00\x00\x00\x00\x00\x00\x00\x00"[:min(n, 8)]
	}
	s := d.text[:n]
	d.text = d.text[n:]
	return s
}

func (d *bodyDecoder) record() rr.RR {
	if n := int(d.take(1)[0]); n > 0 {
		d.last = rr.Name(d.take(n))
		if !d.last.Valid() && d.err == nil {
			d.err = corrupt("journal entry with a bad owner")
		}
	}
	f := d.take(8)
	u16 := func(i int) uint16 { return uint16(f[i])<<8 | uint16(f[i+1]) }
	r := rr.RR{Owner: d.last, Type: u16(0), TTL: uint32(u16(2))<<16 | uint32(u16(4))}
	r.Data = d.take(int(u16(6)))
	return r
}

func (d *bodyDecoder) records() []rr.RR {
	var count uint64
	for shift := 0; ; shift += 7 {
		c := d.take(1)[0]
		count |= uint64(c&0x7F) << shift
		if c < 0x80 {
			break
		}
		if shift > 28 {
			d.err = corrupt("journal entry with a bad count")
			return nil
		}
	}
	if count > uint64(len(d.text)/minRecord) {
		if d.err == nil {
			d.err = corrupt("journal entry with a bad count")
		}
		return nil
	}
	if count == 0 {
		return nil
	}
	list := make([]rr.RR, 0, count)
	for range count {
		list = append(list, d.record())
		if d.err != nil {
			return nil
		}
	}
	return list
}
