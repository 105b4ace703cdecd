package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"

	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// difference is what changed between two serials, condensed: a record that
// was added and deleted again is not in it (RFC 1995, section 6).
type difference struct {
	oldSOA         rr.RR
	deleted, added records
	count          int
}

var (
	errTooMuch = errors.New("the difference costs more than the whole zone")
	errBroken  = errors.New("the journal does not lead to the current serial")
)

// budget bounds the work and the memory of condensing, in octets of
// uncompressed records.
type budget struct {
	read int // of the journal
	hold int // of the difference, on the way
	keep int // of the difference, in the end
}

// yieldEvery is after how many octets of journal others are let run.
const yieldEvery = 32 << 10

// condense folds journal entries, oldest first, into one difference from
// serial from to serial to.
func condense(ctx context.Context, entries iter.Seq2[*store.Entry, error], from, to uint32, b budget, yield func()) (*difference, error) {
	f := newFolder()
	d := &difference{}
	at, yielded := from, 0
	for e, err := range entries {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if e.From != at {
			return nil, errBroken
		}
		if at == from && d.oldSOA.Data == "" {
			d.oldSOA = e.OldSOA
		}
		at = e.To
		for i := range e.Deleted {
			f.change(&e.Deleted[i], false)
		}
		for i := range e.Added {
			f.change(&e.Added[i], true)
		}
		if f.read-yielded > yieldEvery {
			yielded = f.read
			yield()
		}
		if f.read += 64; f.read > b.read || f.held > b.hold {
			return nil, errTooMuch
		}
	}
	if at != to || d.oldSOA.Data == "" {
		return nil, errBroken
	}
	if f.held > b.keep {
		return nil, errTooMuch
	}
	f.into(d)
	return d, nil
}

// records are uncompressed records one after the other, each as owner, type,
// TTL, length and rdata: what waits for a slow peer is no larger than it must
// be.
type records []byte

func (b records) append(owner []byte, t uint16, ttl uint32, data []byte) records {
	b = append(b, owner...)
	b = binary.BigEndian.AppendUint16(b, t)
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

// each packs all records.
func (b records) each(pack func(owner []byte, t uint16, ttl uint32, data []byte) error) error {
	for len(b) > 0 {
		n := 0
		for b[n] != 0 {
			n += int(b[n]) + 1
		}
		n++
		h := b[n:]
		end := n + 8 + int(binary.BigEndian.Uint16(h[6:]))
		if err := pack(b[:n], binary.BigEndian.Uint16(h), binary.BigEndian.Uint32(h[2:]), b[n+8:end]); err != nil {
			return err
		}
		b = b[end:]
	}
	return nil
}
