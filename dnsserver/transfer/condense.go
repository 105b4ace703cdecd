package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
	"strings"

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

// condense folds journal entries, oldest first, into one difference from
// serial from to serial to.
func condense(ctx context.Context, entries iter.Seq2[*store.Entry, error], from, to uint32, b budget) (*difference, error) {
	f := folder{changes: make(map[recordKey]change)}
	d := &difference{}
	at := from
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
		for _, r := range e.Deleted {
			f.change(r, false)
		}
		for _, r := range e.Added {
			f.change(r, true)
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

// folder holds the net change of every record that the journal touched and
// that is not as it was.
type folder struct {
	changes    map[recordKey]change
	read, held int // octets
}

// recordKey identifies a record as RFC 2136, section 1.1.1 does.
type recordKey struct {
	owner rr.Name // lower case
	typ   uint16
	data  string // canonical
}

// change is a record before and after; the zero form is a record that is not
// there. TTL and case belong to it: a record that differs in them only is
// deleted and added.
type change struct{ before, after form }

type form struct {
	exists bool
	owner  rr.Name
	ttl    uint32
	data   string
}

func (f *folder) change(r rr.RR, added bool) {
	size := len(r.Owner) + 10 + len(r.Data)
	f.read += size
	k := recordKey{r.Owner.Lower(), r.Type, rr.CanonicalData(r.Type, r.Data)}
	now := form{true, r.Owner, r.TTL, r.Data}
	c, seen := f.changes[k]
	switch {
	case !seen && !added:
		c.before = now
	case added:
		c.after = now
	default:
		c.after = form{}
	}
	switch {
	case c.before == c.after:
		if seen {
			delete(f.changes, k)
			f.held -= size
		}
	default:
		f.changes[k] = c
		if !seen {
			f.held += size
		}
	}
}

// into writes the net change in the order of owners, so that the same
// difference always looks the same and its names compress.
func (f *folder) into(d *difference) {
	keys := make([]recordKey, 0, len(f.changes))
	for k := range f.changes {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b recordKey) int {
		if c := strings.Compare(string(a.owner), string(b.owner)); c != 0 {
			return c
		}
		if a.typ != b.typ {
			return int(a.typ) - int(b.typ)
		}
		return strings.Compare(a.data, b.data)
	})
	for _, k := range keys {
		c := f.changes[k]
		if c.before.exists {
			d.deleted = d.deleted.append(k.typ, c.before)
			d.count++
		}
		if c.after.exists {
			d.added = d.added.append(k.typ, c.after)
			d.count++
		}
	}
}

// records are uncompressed records one after the other, each as owner, type,
// TTL, length and rdata: what waits for a slow peer is no larger than it must
// be.
type records []byte

func (b records) append(t uint16, f form) records {
	b = append(b, f.owner...)
	b = binary.BigEndian.AppendUint16(b, t)
	b = binary.BigEndian.AppendUint32(b, f.ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.data)))
	return append(b, f.data...)
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
