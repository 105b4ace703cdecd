package store

import (
	"encoding/binary"
	"fmt"

	"dialtone/zone/rr"
)

// Values start with the version of their encoding.
const (
	encMeta  = 1
	encTrim  = 1
	encZone  = 1
	encEntry = 2
	encPhone = 1
	encMark  = 1

	encEntryOld = 1 // of format 1: it ends with its records
	encNewest   = 1

	// RRsets have it in the upper half of the octet and flags in the lower.
	encRRset  = 0x10
	flagOwner = 0x01 // the owner as entered follows: it has capitals

	flagBlocked = 0x01 // of a number's key
)

// appendRRset encodes an RRset. The type and the owner in lower case are in
// the key.
func appendRRset[O, D ~string | ~[]byte](b []byte, owner O, t uint16, ttl uint32, data []D) ([]byte, error) {
	if hasCapital(owner) {
		b = append(b, encRRset|flagOwner, byte(len(owner)))
		b = append(b, owner...)
	} else {
		b = append(b, encRRset)
	}
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.AppendUvarint(b, uint64(len(data)))
	for _, d := range data {
		if len(d) > maxData {
			return b, fmt.Errorf("%w: %s %s has a record of %d octets", ErrTooBig, rr.Name(owner), rr.TypeString(t), len(d))
		}
		b = binary.AppendUvarint(b, uint64(len(d)))
		b = append(b, d...)
	}
	return b, nil
}

func hasCapital[O ~string | ~[]byte](owner O) bool {
	for i := range len(owner) {
		if 'A' <= owner[i] && owner[i] <= 'Z' {
			return true
		}
	}
	return false
}

// maxData is the most octets that rdata can have (RFC 1035, section 3.2.1).
const maxData = 65535

// span is a place in an arena.
type span struct{ from, to uint32 }

// rrsetSpans is an RRset in an arena: it is cut out only when the arena is
// complete and does not move any more.
type rrsetSpans struct {
	owner span
	ttl   uint32
	typ   uint16
	data  int // number of records
}

// cutRRset decodes one stored RRset: octets go to arena, the places of its
// records are appended to spans.
func cutRRset(arena []byte, spans []span, apexLower rr.Name, key, value []byte) ([]byte, []span, rrsetSpans, error) {
	var s rrsetSpans
	fail := func(err error) ([]byte, []span, rrsetSpans, error) { return arena, spans, s, err }
	if len(key) < prefixLen || len(value) < 1 || value[0]&0xF0 != encRRset || value[0]&0x0F > flagOwner {
		return fail(corrupt("RRset with a bad head"))
	}
	from := len(arena)
	arena, rest, err := cutOwner(arena, key[prefixLen:])
	if err != nil {
		return fail(err)
	}
	if len(rest) != 2 || len(arena)-from+len(apexLower) > rr.MaxName {
		return fail(corrupt("RRset with a bad key"))
	}
	s.typ = binary.BigEndian.Uint16(rest)
	arena = append(arena, apexLower...)
	s.owner = span{uint32(from), uint32(len(arena))}
	v := value[1:]
	if value[0]&flagOwner != 0 {
		if len(v) < 1 || len(v) < 1+int(v[0]) || !rr.EqualFold(v[1:1+int(v[0])], arena[from:]) {
			return fail(corrupt("RRset whose owner is not that of its key"))
		}
		n := int(v[0])
		copy(arena[from:], v[1:1+n])
		v = v[1+n:]
	}
	if len(v) < 4 {
		return fail(corrupt("RRset without a TTL"))
	}
	s.ttl = binary.BigEndian.Uint32(v)
	v = v[4:]
	count, n := binary.Uvarint(v)
	if n <= 0 || count == 0 || count > uint64(len(v)-n) {
		return fail(corrupt("RRset with a bad count"))
	}
	v = v[n:]
	for range count {
		size, n := binary.Uvarint(v)
		if n <= 0 || size > maxData || size > uint64(len(v)-n) {
			return fail(corrupt("RRset with a bad length"))
		}
		v = v[n:]
		at := uint32(len(arena))
		arena = append(arena, v[:size]...)
		spans = append(spans, span{at, at + uint32(size)})
		v = v[size:]
	}
	if len(v) != 0 {
		return fail(corrupt("RRset with octets behind its end"))
	}
	s.data = int(count)
	return arena, spans, s, nil
}

// meta is what each commit writes of a zone beside RRsets and journal.
type meta struct {
	serial uint32
	burned uint32 // the last serial that may not be used again
	next   uint64 // sequence of the next journal entry
	// distance is the sum of all steps of the serial: unlike the serial it
	// never wraps, so journal entries can be searched by it.
	distance uint64
	appended uint64 // octets of all journal entries there ever were
	stage    uint64 // the last stage in use
	staged   uint32 // parts of that stage that are still to be put in place
}

const metaLen = 1 + 4 + 4 + 8 + 8 + 8 + 8 + 4

func (m *meta) append(b []byte) []byte {
	b = append(b, encMeta)
	b = binary.BigEndian.AppendUint32(b, m.serial)
	b = binary.BigEndian.AppendUint32(b, m.burned)
	b = binary.BigEndian.AppendUint64(b, m.next)
	b = binary.BigEndian.AppendUint64(b, m.distance)
	b = binary.BigEndian.AppendUint64(b, m.appended)
	b = binary.BigEndian.AppendUint64(b, m.stage)
	return binary.BigEndian.AppendUint32(b, m.staged)
}

func (m *meta) decode(b []byte) error {
	if len(b) != metaLen || b[0] != encMeta {
		return corrupt("meta of a zone")
	}
	m.serial = binary.BigEndian.Uint32(b[1:])
	m.burned = binary.BigEndian.Uint32(b[5:])
	m.next = binary.BigEndian.Uint64(b[9:])
	m.distance = binary.BigEndian.Uint64(b[17:])
	m.appended = binary.BigEndian.Uint64(b[25:])
	m.stage = binary.BigEndian.Uint64(b[33:])
	m.staged = binary.BigEndian.Uint32(b[41:])
	return nil
}

// trim is the old end of a journal. It has a key of its own so that trimming
// and committing need not wait for each other.
type trim struct {
	first   uint64 // sequence of the oldest entry
	from    uint32 // the serial at which that entry starts
	dropped uint64 // octets of all entries that were trimmed
}

const trimLen = 1 + 8 + 4 + 8

func (t *trim) append(b []byte) []byte {
	b = append(b, encTrim)
	b = binary.BigEndian.AppendUint64(b, t.first)
	b = binary.BigEndian.AppendUint32(b, t.from)
	return binary.BigEndian.AppendUint64(b, t.dropped)
}

func (t *trim) decode(b []byte) error {
	if len(b) != trimLen || b[0] != encTrim {
		return corrupt("journal's old end")
	}
	t.first = binary.BigEndian.Uint64(b[1:])
	t.from = binary.BigEndian.Uint32(b[9:])
	t.dropped = binary.BigEndian.Uint64(b[13:])
	return nil
}

// zoneValue is the number of a zone and its apex as entered.
func zoneValue(id uint32, apex rr.Name) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{encZone}, id), apex...)
}

func decodeZone(b []byte) (id uint32, apex rr.Name, err error) {
	if len(b) < 6 || b[0] != encZone || !rr.Name(b[5:]).Valid() {
		return 0, "", corrupt("table of zones")
	}
	return binary.BigEndian.Uint32(b[1:]), rr.Name(b[5:]), nil
}
