package answer

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// Octets of OPT without options, and of an option without its data.
const (
	optLen    = 11
	optionLen = 4
)

// maxEDEText keeps an error reply below 512 octets whatever its question, and
// one with a cookie unless the question's name has more than 251 octets.
const maxEDEText = 200

// begin starts a reply: room for header and OPT, and the question.
func (r *Responder) begin(msg, out []byte, tcp bool, reserve int, question bool, s *Scratch) {
	q, w := &s.Request, &s.w
	w.seen.forget()
	w.out, w.pos, w.section, w.questionEnd = out, headerLen, secAnswer, 0
	w.count = [4]uint16{}
	w.aa, w.tc = false, false
	w.size = min(r.size(q, tcp), len(out)) - reserve
	s.flags = flags{}
	if question && q.QuestionEnd > 0 {
		if q.QuestionEnd+optLen > w.size {
			// Only a key's name next to the limit can need so much room.
			w.truncate()
			return
		}
		w.pos = copy(out, msg[:q.QuestionEnd])
		w.questionEnd = w.pos
		w.count[0] = 1
	}
	w.limit = w.size
	if q.OPT {
		w.limit -= r.options(s)
	}
}

// size is the largest reply that the client takes. Without OPT, and with OPT
// that says less, it is 512 octets (RFC 1035, section 4.2.1; RFC 6891, section
// 6.2.3).
func (r *Responder) size(q *Request, tcp bool) int {
	if tcp {
		return maxSize
	}
	return min(max(int(q.Size), minSize), r.maxUDP)
}

// options chooses the options of the reply and gives the room they take with
// OPT itself, which is in a reply exactly if it was in the request (RFC 6891,
// section 6.1.1).
func (r *Responder) options(s *Scratch) (octets int) {
	q, f := &s.Request, &s.flags
	octets = optLen
	want := func(asked bool, data int) bool {
		if !asked || s.w.pos+octets+optionLen+data > s.w.size {
			return false
		}
		octets += optionLen + data
		return true
	}
	f.cookie = want(q.Cookie != nil, cookieLen)
	f.lease = want(len(s.lease) > 0, len(s.lease))
	f.nsid = want(q.NSID && r.serverID != "", len(r.serverID))
	f.expire = want(q.Expire && q.QType == dns.TypeSOA, 4)
	f.keepAlive = want(q.KeepAlive && r.keepAlive > 0, 2)
	return octets
}

// done is finish with the verdict.
func (r *Responder) done(msg []byte, rcode uint16, s *Scratch) (int, Verdict) {
	n := r.finish(msg, rcode, s)
	if n == 0 {
		return 0, Drop
	}
	return n, Reply
}

// finishWith is finish for a reply with an extended error.
func (r *Responder) finishWith(msg []byte, rcode uint16, e EDE, s *Scratch) int {
	n := r.finish(msg, rcode, s)
	if n == 0 || !s.Request.OPT {
		return n
	}
	w := &s.w
	text := e.text()
	if n+optionLen+2+len(text) > w.size {
		// RFC 8914, section 3: what does not fit is said not to fit.
		w.out[2] |= 0x02
		return n
	}
	// OPT is the last record, and its RDLENGTH counts this option too.
	length := w.out[w.opt+9:]
	binary.BigEndian.PutUint16(length, binary.BigEndian.Uint16(length)+uint16(optionLen+2+len(text)))
	w.u16(optEDE)
	w.u16(uint16(2 + len(text)))
	w.u16(e.Code)
	w.pos += copy(w.out[w.pos:], text)
	return w.pos
}

// finish writes OPT and the header.
func (r *Responder) finish(msg []byte, rcode uint16, s *Scratch) int {
	w := &s.w
	if s.Request.OPT {
		if w.pos+optLen > w.size {
			return 0
		}
		r.writeOPT(rcode, s)
	} else if rcode > 15 {
		rcode = dns.RcodeServerFailure // there is no OPT to hold its upper bits
	}
	s.rcode = rcode
	b := w.out[:headerLen]
	b[0], b[1] = msg[0], msg[1]
	// Opcode and RD are copied; RA, Z, AD and CD are zero. An UPDATE has no RD
	// (RFC 2136, section 2.2).
	b[2] = 0x80 | msg[2]&0x79
	if s.Request.Opcode == dns.OpcodeUpdate {
		b[2] = 0x80 | msg[2]&0x78
	}
	if w.aa {
		b[2] |= 0x04
	}
	if w.tc {
		b[2] |= 0x02
	}
	b[3] = byte(rcode & 15)
	for i, c := range w.count {
		binary.BigEndian.PutUint16(b[4+2*i:], c)
	}
	return w.pos
}

func (r *Responder) writeOPT(rcode uint16, s *Scratch) {
	w := &s.w
	w.opt = w.pos
	b := w.out[w.pos : w.pos+optLen]
	b[0] = 0
	binary.BigEndian.PutUint16(b[1:], dns.TypeOPT)
	binary.BigEndian.PutUint16(b[3:], uint16(r.maxUDP))
	b[5], b[6], b[7], b[8] = byte(rcode>>4), 0, 0, 0
	if s.Request.DO {
		b[7] = 0x80
	}
	w.pos += optLen
	if s.flags.cookie {
		w.u16(optCookie)
		w.u16(cookieLen)
		r.cookies.put(w.out[w.pos:w.pos+cookieLen], s.Request.Cookie, s.Client.Addr())
		w.pos += cookieLen
	}
	if s.flags.lease {
		w.u16(optLease)
		w.u16(uint16(len(s.lease)))
		w.pos += copy(w.out[w.pos:], s.lease)
	}
	if s.flags.nsid {
		w.u16(optNSID)
		w.u16(uint16(len(r.serverID)))
		w.pos += copy(w.out[w.pos:], r.serverID)
	}
	if s.flags.hasExpire {
		w.u16(optExpire)
		w.u16(4)
		binary.BigEndian.PutUint32(w.out[w.pos:], s.expire)
		w.pos += 4
	}
	if s.flags.keepAlive {
		w.u16(optKeepAlive)
		w.u16(2)
		w.u16(r.keepAlive)
	}
	binary.BigEndian.PutUint16(b[9:], uint16(w.pos-w.opt-optLen))
	w.count[secAdditional]++
}
