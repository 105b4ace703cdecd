package tsig

import (
	"encoding/binary"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// fudge is the tolerance in seconds that our own signatures ask for
// (RFC 8945, section 10).
const fudge = 300

// Overhead is the number of octets that SignReply adds; 0 on a nil Context.
// Callers keep them free below the size limit of the reply.
func (c *Context) Overhead() int {
	if c == nil {
		return 0
	}
	return recordSize(c.name, c.key.algorithm.wire(), c.key.algorithm.Size(), 0)
}

// SignReply appends the TSIG to the answer of a verified request, whatever its
// RCODE (RFC 8945, section 5.3). The reply's header must be final, its ID
// included; ARCOUNT is corrected. On a nil Context it returns reply.
func (c *Context) SignReply(reply []byte, now time.Time) []byte {
	if c == nil {
		return reply
	}
	return c.key.sign(reply, c.signature(now))
}

func (c *Context) signature(now time.Time) signature {
	return signature{
		name: c.name, prior: c.mac.octets(),
		variables: variables{time: unix48(now), fudge: fudge},
	}
}

// Overhead is the number of octets that SignReply adds.
func (e *Error) Overhead() int {
	switch {
	case e.TSIGError == 0:
		return 0
	case e.signer == nil:
		return recordSize(e.Key, e.alg, 0, 0)
	case e.TSIGError == dns.RcodeBadTime:
		return recordSize(e.Key, e.alg, e.signer.algorithm.Size(), 6)
	}
	return recordSize(e.Key, e.alg, e.signer.algorithm.Size(), 0)
}

// SignReply appends to an error reply the TSIG that tells the client what was
// wrong, signed or not as RFC 8945, section 5.3.2 says; FORMERR and SERVFAIL get none. The
// caller has set the header's RCODE to e.Rcode.
func (e *Error) SignReply(reply []byte, now time.Time) []byte {
	v := variables{time: unix48(now), fudge: fudge, err: e.TSIGError}
	switch {
	case e.TSIGError == 0:
		return reply
	case e.signer == nil:
		return appendRecord(reply, e.Key, e.alg, nil, v)
	case e.TSIGError == dns.RcodeBadTime:
		// The client must be able to verify this in spite of its clock: it
		// gets its own time back, and the server's as data (RFC 8945, section
		// 5.2.3).
		v.other = appendUint48(nil, v.time)
		v.time, v.fudge = e.client.time, e.client.fudge
	}
	return e.signer.sign(reply, signature{name: e.Key, prior: e.mac.octets(), variables: v})
}

// Stream signs the messages of one answer that has several, as a transfer
// has: every message, the first like any reply, the others over the MAC of
// the one before (RFC 8945, section 5.3.1). It is for one goroutine.
type Stream struct {
	ctx   *Context
	later bool
	prior requestMAC
}

// Stream starts the answer to a verified request. On a nil Context it gives a
// Stream that signs nothing.
func (c *Context) Stream() *Stream { return &Stream{ctx: c} }

// Overhead is the number of octets that Sign adds to each message.
func (s *Stream) Overhead() int { return s.ctx.Overhead() }

// Sign appends the TSIG to the next message of the stream.
func (s *Stream) Sign(msg []byte, now time.Time) []byte {
	if s.ctx == nil {
		return msg
	}
	sig := s.ctx.signature(now)
	if s.later {
		sig.prior, sig.timers = s.prior.octets(), true
	}
	sig.keep = &s.prior
	s.later = true
	return s.ctx.key.sign(msg, sig)
}

// signature is what sign needs beside the key and the message.
type signature struct {
	name   rr.Name // the key's name in the case to be sent
	prior  []byte
	timers bool
	keep   *requestMAC // where the MAC goes, if it is needed again
	variables
}

// sign appends a TSIG with the full MAC.
func (k *key) sign(msg []byte, s signature) []byte {
	m := k.borrow()
	defer k.giveBack(m)
	sum := m.of(k, &digest{
		prior: s.prior, msg: msg, timers: s.timers, variables: s.variables,
		id: binary.BigEndian.Uint16(msg), arcount: binary.BigEndian.Uint16(msg[10:]),
	})
	if s.keep != nil {
		s.keep.set(sum)
	}
	return appendRecord(msg, s.name, k.algorithm.wire(), sum, s.variables)
}
