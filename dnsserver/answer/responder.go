package answer

import (
	"time"
	"unicode/utf8"

	"github.com/miekg/dns"

	"dialtone/dnsserver/ratelimit"
	"dialtone/zone"
)

// DefaultMaxUDP is the largest UDP reply unless Options say otherwise: what
// IPv6's smallest MTU leaves when IP and UDP have taken their headers.
const DefaultMaxUDP = 1232

// Options of New.
type Options struct {
	Zones    *zone.Zones
	ServerID string        // NSID, id.server and hostname.bind; not answered when empty
	Version  string        // version.bind and version.server; not answered when empty
	MaxUDP   int           // largest UDP reply in octets, at least 512 (1232)
	TCPIdle  time.Duration // what clients are told that ask by edns-tcp-keepalive; 0: not answered
	// CookieSecrets are the keys of server cookies (RFC 9018): the first makes
	// them, all verify. None: COOKIE is an unknown option.
	CookieSecrets [][16]byte
}

// Responder answers messages. But for its clock it is immutable, and it may be
// used by any number of goroutines.
type Responder struct {
	zones     *zone.Zones
	serverID  string
	version   string
	maxUDP    int
	keepAlive uint16 // units of 100 ms, RFC 7828, section 3.1
	cookies   cookies
}

// New makes a Responder.
func New(o Options) *Responder {
	r := &Responder{zones: o.Zones, serverID: cut(o.ServerID, 255), version: cut(o.Version, 255), maxUDP: o.MaxUDP}
	if r.maxUDP == 0 {
		r.maxUDP = DefaultMaxUDP
	}
	r.maxUDP = min(max(r.maxUDP, minSize), maxSize)
	r.keepAlive = uint16(min(max(o.TCPIdle/(100*time.Millisecond), 0), 65535))
	r.cookies.secrets = newSecrets(o.CookieSecrets)
	r.SetTime(time.Now())
	return r
}

func cut(s string, n int) string { return s[:min(len(s), n)] }

// Verdict is what is to become of a message.
type Verdict uint8

const (
	Drop  Verdict = iota // no reply: not a request, or too short to have a header
	Reply                // the reply stands in out[:n]
	Later                // TSIG, UPDATE, NOTIFY, AXFR or IXFR: Scratch.Request tells what was read
)

// EDE is an extended DNS error (RFC 8914). Text is cut to 200 octets.
type EDE struct {
	Code uint16
	Text string
}

// text is what is sent of Text, which must stay UTF-8 (RFC 8914, section 2).
func (e EDE) text() string {
	n := len(e.Text)
	if n > maxEDEText {
		for n = maxEDEText; n > 0 && !utf8.RuneStart(e.Text[n]); n-- {
		}
	}
	return e.Text[:n]
}

// Extended DNS error codes (RFC 8914, section 4; RFC 9824, section 3.5).
const (
	EDEOther            = 0
	EDENotReady         = 14
	EDEProhibited       = 18
	EDENotAuthoritative = 20
	EDENotSupported     = 21
	EDEInvalidData      = 24
	EDEInvalidQueryType = 30
)

// Scratch is the working memory of one goroutine; its zero value is ready.
type Scratch struct {
	// Client is who sent the message that the next call is about, set by the
	// caller. Without one there are no cookies.
	Client Client

	// Request is what the last call read of its message.
	Request Request

	w      writer
	rcode  uint16 // of the reply
	expire uint32 // the option's value, when hasExpire
	lease  []byte // data of UPDATE-LEASE for the reply
	flags  flags
	lookup lookup
	kind   kind
}

// Rcode is that of the reply that the last call wrote, with its upper bits.
func (s *Scratch) Rcode() uint16 { return s.rcode }

// flags are about one reply.
type flags struct{ cookie, lease, nsid, expire, hasExpire, keepAlive bool }

// Respond answers msg into out, which must not overlap msg, and gives the
// reply's length. A UDP reply is never longer than what the client takes and
// what Options allow; over TCP it may have 65535 octets. The size is bounded
// by len(out) too. reserve octets are kept free behind the reply for a TSIG.
//
// A request with a TSIG gets Later. Its handler verifies it and calls Respond
// again with the message less its TSIG (ARCOUNT lowered), and so gets what an
// unsigned request would have got.
//
// Respond must be called between Begin and End of a zone.Reader. It allocates
// nothing.
func (r *Responder) Respond(msg, out []byte, tcp bool, reserve int, s *Scratch) (n int, v Verdict) {
	if !answerable(msg, out) {
		return 0, Drop
	}
	q := &s.Request
	s.kind = kind{class: ratelimit.Errors}
	if !known(msg) {
		return r.headerOnly(msg, out, s), Reply
	}
	if rcode := r.read(msg, tcp, s); rcode != dns.RcodeSuccess {
		r.begin(msg, out, tcp, reserve, q.Opcode != dns.OpcodeUpdate, s)
		return r.done(msg, rcode, s)
	}
	if q.TSIG != 0 || q.Opcode != dns.OpcodeQuery {
		return 0, Later
	}
	r.begin(msg, out, tcp, reserve, true, s)
	return r.query(msg, tcp, s)
}

// Error writes a reply without data: header, the question if there is exactly
// one and it parses, OPT if the request had one. It is for handlers of Later
// messages; to an UPDATE it is UpdateReply. rcode may be an extended one. ede
// may be nil; it is sent only to clients that sent OPT. n is 0 when msg must
// not be answered (shorter than a header, or a response).
func (r *Responder) Error(msg, out []byte, tcp bool, reserve int, rcode uint16, ede *EDE, s *Scratch) (n int) {
	return r.bare(msg, out, tcp, reserve, true, rcode, ede, s)
}

// UpdateReply writes the reply to an UPDATE: the header with four empty
// sections (RFC 2136, section 3.8), and OPT if the request had one. lease is
// data of UPDATE-LEASE; nil for none.
func (r *Responder) UpdateReply(msg, out []byte, tcp bool, reserve int, rcode uint16, lease []byte, ede *EDE, s *Scratch) (n int) {
	s.lease = lease
	defer func() { s.lease = nil }()
	return r.bare(msg, out, tcp, reserve, false, rcode, ede, s)
}

func (r *Responder) bare(msg, out []byte, tcp bool, reserve int, question bool, rcode uint16, ede *EDE, s *Scratch) int {
	if !answerable(msg, out) {
		return 0
	}
	if !known(msg) {
		return r.headerOnly(msg, out, s)
	}
	// What does not parse is left out of the reply; the RCODE is the caller's.
	r.read(msg, tcp, s)
	r.begin(msg, out, tcp, reserve, question && s.Request.Opcode != dns.OpcodeUpdate, s)
	if ede == nil {
		return r.finish(msg, rcode, s)
	}
	return r.finishWith(msg, rcode, *ede, s)
}

// answerable tells requests from what must be met with silence.
func answerable(msg, out []byte) bool {
	return len(msg) >= headerLen && msg[2]&0x80 == 0 && len(out) >= headerLen
}

func known(msg []byte) bool {
	switch msg[2] >> 3 & 15 {
	case dns.OpcodeQuery, dns.OpcodeNotify, dns.OpcodeUpdate:
		return true
	}
	return false
}

// headerOnly refuses an opcode under which the rest of the message may mean
// anything (RFC 8906, section 3.1.4).
func (r *Responder) headerOnly(msg, out []byte, s *Scratch) int {
	s.Request.reset(msg)
	r.begin(msg, out, true, 0, false, s)
	return r.finish(msg, dns.RcodeNotImplemented, s)
}
