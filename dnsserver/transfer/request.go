package transfer

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"dialtone/zone/rr"

	"github.com/miekg/dns"
)

// Request is a transfer request. Parse fills all but Remote, TCP and Cookie.
type Request struct {
	Remote netip.Addr // the client, for the limit per address
	TCP    bool       // or any other transport that carries messages in order
	Cookie []byte     // data of the COOKIE option of the reply (RFC 7873); none when empty

	ID       uint16
	RD       bool
	Zone     rr.Name // as asked
	Question []byte  // octets of the question, in the case in which it was asked
	Type     uint16  // AXFR or IXFR
	Serial   uint32  // of the client's copy, for IXFR

	EDNS    bool // the request has an OPT record
	UDPSize int  // what the client takes over UDP: 512 or more
	DO      bool
	Expire  bool // EXPIRE is asked for (RFC 7314)
	NSID    bool // NSID is asked for (RFC 5001)
}

const (
	headerLen  = 12
	minUDPSize = 512 // RFC 1035, section 4.2.1; RFC 6891, section 6.2.3
	flagDO     = 0x8000
)

// Parse reads a request of type AXFR or IXFR. The message may still have its
// TSIG record, which is skipped. What it cannot accept is an *Error. The
// Request does not refer to msg.
func Parse(msg []byte) (*Request, error) {
	r := &Request{UDPSize: minUDPSize}
	p := &parser{msg: msg, off: headerLen}
	if len(msg) < headerLen {
		return nil, formErr("the message has no header")
	}
	r.ID, r.RD = binary.BigEndian.Uint16(msg), msg[2]&1 != 0
	class, err := r.question(p)
	if err != nil {
		return nil, err
	}
	for section := 1; section <= 3; section++ {
		for range binary.BigEndian.Uint16(msg[4+2*section:]) {
			rec, err := p.record()
			if err != nil {
				return nil, formErr(err.Error())
			}
			if err := r.take(p, section, rec); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case p.off != len(msg):
		return nil, formErr("octets follow the last record")
	case p.version > 0:
		return nil, &Error{Rcode: dns.RcodeBadVers, Text: "EDNS version is not supported"}
	case class != dns.ClassINET:
		return nil, &Error{Rcode: dns.RcodeRefused, EDE: dns.ExtendedErrorCodeNotAuthoritative, Text: "class is not IN"}
	case r.Type == dns.TypeIXFR && !p.hasSerial:
		// RFC 1995, section 3: the authority section holds the client's SOA.
		return nil, formErr("IXFR has no SOA of the zone in its authority section")
	}
	return r, nil
}

func formErr(text string) *Error { return &Error{Rcode: dns.RcodeFormatError, Text: text} }

// question reads the one question (RFC 5936, section 2.1.1) and gives its class.
func (r *Request) question(p *parser) (class uint16, err error) {
	if n := binary.BigEndian.Uint16(p.msg[4:]); n != 1 {
		return 0, formErr(fmt.Sprintf("a transfer request has one question, not %d", n))
	}
	if r.Zone, p.off, err = rr.UnpackName(p.msg, p.off); err != nil {
		return 0, formErr(err.Error())
	}
	if p.off+4 > len(p.msg) {
		return 0, formErr("the question is cut off")
	}
	tail := p.msg[p.off : p.off+4]
	p.off += 4
	r.Type, class = binary.BigEndian.Uint16(tail), binary.BigEndian.Uint16(tail[2:])
	if r.Type != dns.TypeAXFR && r.Type != dns.TypeIXFR {
		return 0, formErr("the question's type is not a transfer")
	}
	// The name is written out: a pointer in it would point into our header.
	r.Question = append([]byte(r.Zone), tail...)
	return class, nil
}

// take looks at one record behind the question.
func (r *Request) take(p *parser, section int, rec record) error {
	switch {
	case section == 2 && r.Type == dns.TypeIXFR && rec.typ == dns.TypeSOA && !p.hasSerial:
		if !rr.EqualFold(rec.owner, r.Zone) {
			return nil
		}
		data, err := rr.UnpackData(p.msg, rec.data, rec.length, dns.TypeSOA)
		if err != nil {
			return formErr("SOA: " + err.Error())
		}
		soa, err := rr.ParseSOA(data)
		if err != nil {
			return formErr(err.Error())
		}
		r.Serial, p.hasSerial = soa.Serial, true
	case section == 3 && rec.typ == dns.TypeOPT:
		if r.EDNS || rec.owner != rr.Root {
			// RFC 6891, section 6.1.1
			return formErr("the OPT record must be single and owned by the root")
		}
		r.EDNS = true
		r.UDPSize = max(int(rec.class), minUDPSize)
		r.DO = rec.ttl&flagDO != 0
		p.version = uint8(rec.ttl >> 16)
		return r.options(p.msg[rec.data : rec.data+rec.length])
	}
	return nil
}

// options reads the EDNS options. What the client writes into EXPIRE and NSID
// is of no interest (RFC 5001, section 2.1; RFC 7314, section 3.1).
func (r *Request) options(b []byte) error {
	for len(b) > 0 {
		if len(b) < 4 {
			return formErr("an EDNS option is cut off")
		}
		code, length := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if len(b) < 4+length {
			return formErr("an EDNS option is cut off")
		}
		switch code {
		case dns.EDNS0EXPIRE:
			r.Expire = true
		case dns.EDNS0NSID:
			r.NSID = true
		}
		b = b[4+length:]
	}
	return nil
}

// parser walks over the records of a message.
type parser struct {
	msg       []byte
	off       int
	version   uint8
	hasSerial bool
}

type record struct {
	owner        rr.Name
	typ, class   uint16
	ttl          uint32
	data, length int // of the rdata in the message
}

func (p *parser) record() (rec record, err error) {
	owner, off, err := rr.UnpackName(p.msg, p.off)
	if err != nil {
		return rec, err
	}
	if off+10 > len(p.msg) {
		return rec, fmt.Errorf("a record is cut off")
	}
	h := p.msg[off:]
	rec = record{
		owner: owner, typ: binary.BigEndian.Uint16(h), class: binary.BigEndian.Uint16(h[2:]),
		ttl: binary.BigEndian.Uint32(h[4:]), data: off + 10, length: int(binary.BigEndian.Uint16(h[8:])),
	}
	p.off = rec.data + rec.length
	if p.off > len(p.msg) {
		return rec, fmt.Errorf("a record is cut off")
	}
	return rec, nil
}
