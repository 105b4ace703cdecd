package update

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

const (
	headerLen = 12
	// minRecord is the shortest record: a root owner, type, class, TTL, RDLENGTH.
	minRecord = 11
)

// Parse reads an UPDATE request (RFC 2136, section 2) into m. The caller has looked
// at QR and OPCODE. The additional section is walked and left alone: glue in it
// may be ignored (RFC 2136, section 2.6), OPT and TSIG are the caller's. An
// error is an *Error with FORMERR.
func (m *Message) Parse(msg []byte) error {
	if len(msg) < headerLen {
		return formErr("message of %d octets has no header", len(msg))
	}
	p := parser{msg: msg, text: string(msg), off: headerLen}
	if err := p.zone(m); err != nil {
		return err
	}
	prereqs, updates, extra := p.count(6), p.count(8), p.count(10)
	records := m.few[:0]
	if n := prereqs + updates; n > len(m.few) {
		// The counts are claims: only the octets that are there bound what is allocated.
		records = make([]Record, 0, min(n, (len(msg)-p.off)/minRecord))
	}
	for i := range prereqs + updates {
		r, err := p.record(m.Class, i < prereqs)
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	m.Prerequisites, m.Updates = records[:prereqs:prereqs], records[prereqs:]
	for range extra {
		if err := p.skipRecord(); err != nil {
			return err
		}
	}
	if p.off != len(msg) {
		return formErr("%d octets follow the last record", len(msg)-p.off)
	}
	return nil
}

// ParseZone reads no more than the zone section.
func (m *Message) ParseZone(msg []byte) error {
	if len(msg) < headerLen {
		return formErr("message of %d octets has no header", len(msg))
	}
	p := parser{msg: msg, off: headerLen}
	return p.zone(m)
}

type parser struct {
	msg  []byte
	text string // one copy of msg, for rdata to point into
	off  int
	last rr.Name // the owner before: most updates have one owner
}

func (p *parser) count(at int) int { return int(binary.BigEndian.Uint16(p.msg[at:])) }

// zone reads the zone section.
func (p *parser) zone(m *Message) error {
	if n := p.count(4); n != 1 { // RFC 2136, section 3.1.1
		return formErr("zone section has %d records, not 1", n)
	}
	name, err := p.name()
	if err != nil {
		return err
	}
	if p.off+4 > len(p.msg) {
		return formErr("zone section is cut short")
	}
	t := binary.BigEndian.Uint16(p.msg[p.off:])
	m.Zone, m.Class = name, binary.BigEndian.Uint16(p.msg[p.off+2:])
	p.off += 4
	if t != dns.TypeSOA { // RFC 2136, section 3.1.1
		return formErr("zone section has type %s, not SOA", rr.TypeString(t))
	}
	if m.Class == dns.ClassANY || m.Class == dns.ClassNONE {
		return formErr("zone section has class %d, which no zone has", m.Class)
	}
	return nil
}

func (p *parser) name() (rr.Name, error) {
	var buf [rr.MaxName]byte
	n, next, err := rr.UnpackNameInto(p.msg, p.off, &buf)
	if err != nil {
		return "", formErr("name at octet %d: %v", p.off, err)
	}
	if string(buf[:n]) != string(p.last) {
		p.last = p.share(buf[:n])
	}
	p.off = next
	return p.last, nil
}

// share gives a name that was read at p.off. One that stands there as a whole
// is a part of the copy of the message.
func (p *parser) share(name []byte) rr.Name {
	if end := p.off + len(name); end <= len(p.text) && p.text[p.off:end] == string(name) {
		return rr.Name(p.text[p.off:end])
	}
	return rr.Name(name)
}

func (p *parser) record(zclass uint16, prereq bool) (r Record, err error) {
	if r.Owner, err = p.name(); err != nil {
		return r, err
	}
	length, err := p.fixed(&r)
	if err != nil {
		return r, err
	}
	if r.Type == dns.TypeOPT || r.Type == dns.TypeTSIG { // RFC 6891, section 6.1.1; RFC 8945, section 5.1
		return r, formErr("%s stands outside of the additional section", rr.TypeString(r.Type))
	}
	r.Empty = length == 0
	start := p.off
	p.off += length
	if hasData(&r, zclass, prereq) {
		r.Data, err = p.data(start, length, r.Type)
		if err != nil {
			return r, formErr("%s %s: %v", r.Owner, rr.TypeString(r.Type), err)
		}
	}
	return r, nil
}

// fixed reads type, class, TTL and RDLENGTH.
func (p *parser) fixed(r *Record) (length int, err error) {
	if p.off+10 > len(p.msg) {
		return 0, formErr("record at octet %d is cut short", p.off)
	}
	f := p.msg[p.off:]
	r.Type = binary.BigEndian.Uint16(f)
	r.Class = binary.BigEndian.Uint16(f[2:])
	r.TTL = binary.BigEndian.Uint32(f[4:])
	length = int(binary.BigEndian.Uint16(f[8:]))
	p.off += 10
	if p.off+length > len(p.msg) {
		return 0, formErr("rdata at octet %d runs past the end of the message", p.off)
	}
	return length, nil
}

// hasData tells which records have rdata of their type: those that add or
// require values, and those that delete one record. In all others rdata is an
// error, found in Evaluate, or has no known form.
func hasData(r *Record, zclass uint16, prereq bool) bool {
	if rr.IsMetaType(r.Type) {
		return false
	}
	switch r.Class {
	case dns.ClassANY:
		return false
	case dns.ClassNONE:
		// Empty rdata matches nothing, which is no error (RFC 2136, section 2.5.4).
		return !prereq && !r.Empty
	}
	return r.Class == zclass
}

// data reads rdata. The commonest types have no names, so nothing is
// decompressed and they can share the copy of the message.
func (p *parser) data(start, length int, t uint16) (string, error) {
	switch t {
	case dns.TypeA, dns.TypeAAAA, dns.TypeTXT:
		s := p.text[start : start+length]
		return s, rr.ValidateData(t, s)
	}
	return rr.UnpackData(p.msg, start, length, t)
}

// skipRecord steps over a record of the additional section.
func (p *parser) skipRecord() error {
	var buf [rr.MaxName]byte
	_, next, err := rr.UnpackNameInto(p.msg, p.off, &buf)
	if err != nil {
		return formErr("name at octet %d: %v", p.off, err)
	}
	p.off = next
	var r Record
	length, err := p.fixed(&r)
	p.off += length
	return err
}
