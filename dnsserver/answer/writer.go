package answer

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"dialtone/zone"
)

// Sections of a message, as their counts stand in the header.
const (
	secAnswer = iota + 1
	secAuthority
	secAdditional
)

// writer builds one reply.
type writer struct {
	out         []byte
	pos         int
	size        int // of the whole reply, a TSIG not counted
	limit       int // where records must end: OPT comes behind
	opt         int // where OPT starts, once it is written
	questionEnd int
	section     int
	count       [4]uint16
	aa, tc      bool
	seen        suffixes
	starts      [128]uint8 // labels of the name in hand
}

// owner is a name to write in front of a record: a place in the message where
// it stands already, or octets.
type owner struct {
	at   int
	name []byte
}

// set writes an RRset into the current section, whole or not at all
// (RFC 2181, section 9).
func (w *writer) set(o owner, set zone.Set, ttl uint32) bool {
	t, start, n := set.Type(), w.pos, uint16(0)
	names := namesOf(t)
	c := set.Data()
	for d, ok := c.Next(); ok; d, ok = c.Next() {
		if !w.record(o, t, ttl, names, d) {
			w.back(start)
			return false
		}
		n++
	}
	w.count[w.section] += n
	return true
}

// need is set for an RRset without which the reply is not complete.
func (w *writer) need(o owner, set zone.Set, ttl uint32) bool {
	if w.set(o, set, ttl) {
		return true
	}
	w.truncate()
	return false
}

// truncate ends the records of a reply. What is looked up from here on, to
// tell the RCODE, is not written.
func (w *writer) truncate() { w.tc, w.limit = true, 0 }

// back drops what was written from start on.
func (w *writer) back(start int) {
	w.pos = start
	w.seen.forget()
}

func (w *writer) record(o owner, t uint16, ttl uint32, names nameSpans, d []byte) bool {
	if !w.head(o, t, dns.ClassINET, ttl) {
		return false
	}
	if names.count > 0 {
		return w.compressed(names, d)
	}
	p := w.pos
	if p+2+len(d) > w.limit {
		return false
	}
	b := w.out[p : p+2+len(d)]
	binary.BigEndian.PutUint16(b, uint16(len(d)))
	if len(d) == 4 {
		copy(b[2:6], d[:4])
	} else {
		copy(b[2:], d)
	}
	w.pos = p + len(b)
	if names.target {
		if target, off := targetOf(t, d); target != nil {
			w.remember(target, p+2+off)
		}
	}
	return true
}

// head writes a record up to its RDLENGTH.
func (w *writer) head(o owner, t, class uint16, ttl uint32) bool {
	if o.at != 0 {
		if w.pos+12 > w.limit {
			return false
		}
		w.u16(0xC000 | uint16(o.at))
	} else if !w.name(o.name) || w.pos+10 > w.limit {
		return false
	}
	b := w.out[w.pos : w.pos+8]
	binary.BigEndian.PutUint16(b, t)
	binary.BigEndian.PutUint16(b[2:], class)
	binary.BigEndian.PutUint32(b[4:], ttl)
	w.pos += 8
	return true
}

// compressed writes rdata whose names are of the kind that may be compressed
// (RFC 3597, section 4), with its RDLENGTH.
func (w *writer) compressed(names nameSpans, d []byte) bool {
	start := w.pos
	w.pos += 2
	if !w.octets(d[:names.skip]) {
		return false
	}
	d = d[names.skip:]
	for range names.count {
		n := nameLen(d)
		if !w.name(d[:n]) {
			return false
		}
		d = d[n:]
	}
	if !w.octets(d) {
		return false
	}
	binary.BigEndian.PutUint16(w.out[start:], uint16(w.pos-start-2))
	return true
}

// alias writes a CNAME record.
func (w *writer) alias(o owner, ttl uint32, target []byte) {
	start := w.pos
	if w.head(o, dns.TypeCNAME, dns.ClassINET, ttl) {
		length := w.pos
		w.pos += 2
		if w.name(target) {
			binary.BigEndian.PutUint16(w.out[length:], uint16(w.pos-length-2))
			w.count[w.section]++
			return
		}
	}
	w.back(start)
	w.truncate()
}

func (w *writer) octets(d []byte) bool {
	if w.pos+len(d) > w.limit {
		return false
	}
	w.pos += copy(w.out[w.pos:], d)
	return true
}

func (w *writer) u16(v uint16) {
	binary.BigEndian.PutUint16(w.out[w.pos:], v)
	w.pos += 2
}

// nameSpans tells how to write the rdata of a type.
type nameSpans struct {
	skip, count int  // so many names behind so many octets may be compressed
	target      bool // holds a name that additional data may be owned by
}

func namesOf(t uint16) nameSpans {
	switch t {
	case dns.TypeA, dns.TypeAAAA, dns.TypeTXT:
		return nameSpans{}
	case dns.TypeNS, dns.TypeCNAME, dns.TypePTR, dns.TypeMB, dns.TypeMD, dns.TypeMF, dns.TypeMG, dns.TypeMR:
		return nameSpans{count: 1}
	case dns.TypeSOA, dns.TypeMINFO:
		return nameSpans{count: 2}
	case dns.TypeMX:
		return nameSpans{skip: 2, count: 1}
	case dns.TypeSRV, dns.TypeNAPTR, dns.TypeSVCB, dns.TypeHTTPS:
		return nameSpans{target: true}
	}
	return nameSpans{}
}

// targetOf gives the name in rdata whose addresses a client will want next,
// and where it stands; nil when there is none.
func targetOf(t uint16, d []byte) (name []byte, off int) {
	switch t {
	case dns.TypeNS:
	case dns.TypeMX, dns.TypeSVCB, dns.TypeHTTPS:
		off = 2
	case dns.TypeSRV:
		off = 6
	case dns.TypeNAPTR:
		off = 4
		for range 3 {
			if off >= len(d) {
				return nil, 0
			}
			off += 1 + int(d[off])
		}
	default:
		return nil, 0
	}
	if off >= len(d) {
		return nil, 0
	}
	n := nameLen(d[off:])
	if n == 0 {
		return nil, 0
	}
	return d[off : off+n], off
}
