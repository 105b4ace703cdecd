package answer

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Sizes of messages (RFC 1035, section 4.2.1; RFC 6891, section 6.2.3).
const (
	headerLen = 12
	minSize   = 512
	maxSize   = 65535
)

// EDNS options that are read or written.
const (
	optLease     = 2
	optNSID      = 3
	optExpire    = 9
	optCookie    = 10
	optKeepAlive = 11
	optEDE       = 15
)

// Request is what was read of a message in place. It is valid until the next
// call with the same Scratch.
type Request struct {
	Opcode      uint8
	QType       uint16 // of the only question
	QClass      uint16
	QuestionEnd int    // the only question is msg[12:QuestionEnd]; 0 when there is none, or several, or it does not parse
	TSIG        int    // offset of the TSIG record, which is the last one; 0 when there is none
	OPT         bool   // the request has OPT; the options below are those asked for
	DO          bool   // RFC 3225, section 3
	Size        uint16 // UDP payload size that the client gave in OPT
	NSID        bool   // RFC 5001
	Expire      bool   // RFC 7314
	KeepAlive   bool   // RFC 7828, TCP only
	Cookie      []byte // data of COOKIE, 8 or 16 to 40 octets; nil when there is none, or cookies are off
	CookieValid bool   // the server cookie in it is one of ours, so the address of the client is no forgery
	Lease       []byte // data of UPDATE-LEASE in an UPDATE, 4 or 8 octets (RFC 9664, section 4); nil when there is none
	Trailing    bool   // octets are left over behind the counted records

	version uint8  // of EDNS
	opts    int    // OPT records
	options []byte // of the first OPT
	badTSIG bool   // not the last additional record, or not the only one
}

// read walks the whole message. It gives the RCODE that the form of the
// message asks for, whatever its opcode; the order of the tests is the order
// in which they decide. cookies tells whether COOKIE is an option that we know.
func (q *Request) read(msg []byte, tcp, cookies bool) uint16 {
	q.reset(msg)
	walked := q.walk(msg)
	// Whatever else is wrong, the reply to a cookie has a cookie (RFC 7873,
	// section 5.2).
	sound := len(q.options) == 0 || q.readOptions(tcp, cookies)
	switch {
	case !walked:
		return dns.RcodeFormatError
	case q.opts > 1: // RFC 6891, section 6.1.1
		return dns.RcodeFormatError
	case q.version > 0: // RFC 6891, section 6.1.3
		q.NSID, q.Expire, q.KeepAlive = false, false, false
		return dns.RcodeBadVers
	case !sound: // RFC 6891, section 7
		return dns.RcodeFormatError
	case q.badTSIG, q.TSIG != 0 && q.Trailing: // RFC 8945, section 5.2
		return dns.RcodeFormatError
	}
	return dns.RcodeSuccess
}

func (q *Request) reset(msg []byte) {
	q.Opcode = msg[2] >> 3 & 15
	q.QType, q.QClass, q.QuestionEnd, q.TSIG = 0, 0, 0, 0
	q.OPT, q.DO, q.Size = false, false, 0
	q.NSID, q.Expire, q.KeepAlive, q.Trailing, q.badTSIG = false, false, false, false, false
	q.Cookie, q.CookieValid, q.Lease = nil, false, nil
	q.version, q.opts, q.options = 0, 0, nil
}

// walk reads the questions and steps over all records.
func (q *Request) walk(msg []byte) bool {
	questions := int(binary.BigEndian.Uint16(msg[4:]))
	others := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:]))
	additional := int(binary.BigEndian.Uint16(msg[10:]))
	off := headerLen
	for range questions {
		// Nothing stands before a question that it could be compressed against.
		n := nameLen(msg[off:])
		if n == 0 || off+n+4 > len(msg) {
			return false
		}
		if questions == 1 {
			q.QType = binary.BigEndian.Uint16(msg[off+n:])
			q.QClass = binary.BigEndian.Uint16(msg[off+n+2:])
			q.QuestionEnd = off + n + 4
		}
		off += n + 4
	}
	for i := range others + additional {
		var ok bool
		if off, ok = q.record(msg, off, i >= others, i == others+additional-1); !ok {
			return false
		}
	}
	q.Trailing = off < len(msg)
	return true
}

// nameLen is the length of the uncompressed name that b starts with; 0 when
// there is none.
func nameLen(b []byte) int {
	for i := 0; i < len(b) && i < rr.MaxName; i += int(b[i]) + 1 {
		if b[i] == 0 {
			return i + 1
		}
		if b[i] > 63 {
			return 0
		}
	}
	return 0
}

// record steps over one record, taking note of OPT and TSIG.
func (q *Request) record(msg []byte, start int, additional, last bool) (end int, ok bool) {
	if start >= len(msg) {
		return 0, false
	}
	off := start + 1
	if msg[start] != 0 {
		if off = skipName(msg, start); off == 0 {
			return 0, false
		}
	}
	if off+10 > len(msg) {
		return 0, false
	}
	end = off + 10 + int(binary.BigEndian.Uint16(msg[off+8:]))
	if end > len(msg) {
		return 0, false
	}
	switch binary.BigEndian.Uint16(msg[off:]) {
	case dns.TypeOPT:
		// RFC 6891, sections 6.1.1 and 6.1.2: additional section, owner root.
		if !additional || msg[start] != 0 {
			return 0, false
		}
		if q.opts++; q.opts == 1 {
			q.OPT = true
			q.Size = binary.BigEndian.Uint16(msg[off+2:])
			q.version = msg[off+5]
			q.DO = msg[off+6]&0x80 != 0
			q.options = msg[off+10 : end]
		}
	case dns.TypeTSIG:
		if !additional || !last {
			q.badTSIG = true
		} else {
			q.TSIG = start
		}
	}
	return end, true
}

// skipName gives the offset behind the name at start; 0 when it is malformed,
// as far as can be told without following a pointer. Nothing here needs to know
// where one leads, and a message can have thousands that lead far: only that
// it is backwards is looked at (RFC 1035, section 4.1.4).
func skipName(msg []byte, start int) int {
	for off := start; off < len(msg) && off-start < rr.MaxName; {
		switch c := int(msg[off]); {
		case c == 0:
			return off + 1
		case c < 64:
			off += 1 + c
		case c < 0xC0 || off+2 > len(msg) || (c&0x3F)<<8|int(msg[off+1]) >= start:
			return 0
		default:
			return off + 2
		}
	}
	return 0
}

// readOptions reads the options of OPT; false when they are malformed.
func (q *Request) readOptions(tcp, cookies bool) (sound bool) {
	sound = true
	for b := q.options; len(b) > 0; {
		if len(b) < 4 {
			return false
		}
		code, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; n > len(b) {
			return false
		}
		data := b[:n]
		b = b[n:]
		switch code {
		case optLease:
			if q.Opcode == dns.OpcodeUpdate && q.Lease == nil {
				sound = sound && (n == 4 || n == 8)
				q.Lease = data
			}
		case optNSID: // RFC 5001, section 2.1: a payload is ignored
			q.NSID = true
		case optExpire: // RFC 7314, section 2
			sound = sound && n == 0
			q.Expire = true
		case optCookie:
			if cookies {
				// RFC 7873, section 5.2: the first one counts.
				cookies = false
				if n != clientCookieLen && (n < minCookieLen || n > maxCookieLen) {
					sound = false // RFC 7873, section 5.2.2
					continue
				}
				q.Cookie = data
			}
		case optKeepAlive: // RFC 7828, sections 3.2.1 and 3.3.2
			sound = sound && (!tcp || n == 0)
			q.KeepAlive = tcp
		}
	}
	return sound
}
