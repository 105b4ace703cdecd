package answer

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dchest/siphash"
	"github.com/miekg/dns"
)

// Octets of the COOKIE option (RFC 7873, section 4; RFC 9018, section 4).
const (
	clientCookieLen = 8
	cookieLen       = 24 // of both cookies, as we make them
	minCookieLen    = 16 // of both cookies, as anybody makes them
	maxCookieLen    = 40
)

// Seconds that a server cookie is taken for, behind and ahead of our clock
// (RFC 9018, section 4.3).
const (
	cookiePast   = 60 * 60
	cookieFuture = 5 * 60
)

// Client is who sent a message.
type Client interface {
	// Addr is the client's address. It is called only when something depends on
	// it, such as a cookie.
	Addr() netip.Addr
}

// cookies makes server cookies and knows them again. They are those of version
// 1, so servers that have a secret in common take each other's (RFC 9018).
type cookies struct {
	secrets []secret // the first makes, all verify
	now     atomic.Uint32
}

// secret is the key of SipHash-2-4.
type secret struct{ k0, k1 uint64 }

func newSecrets(list [][16]byte) []secret {
	secrets := make([]secret, len(list))
	for i, s := range list {
		secrets[i] = secret{binary.LittleEndian.Uint64(s[:8]), binary.LittleEndian.Uint64(s[8:])}
	}
	return secrets
}

// SetTime sets the clock of cookies, whose grain is a second. It may be called
// by any goroutine at any time. Until the first call it is the time of New.
func (r *Responder) SetTime(now time.Time) { r.cookies.now.Store(uint32(now.Unix())) }

// valid verifies what a client sent (RFC 9018, section 4.4).
func (c *cookies) valid(option []byte, client netip.Addr) bool {
	if len(option) != cookieLen || option[8] != 1 {
		return false
	}
	// RFC 9018, section 4.3: the times are serial numbers.
	age := int32(c.now.Load() - binary.BigEndian.Uint32(option[12:]))
	if age > cookiePast || age < -cookieFuture {
		return false
	}
	got := binary.LittleEndian.Uint64(option[16:])
	for _, s := range c.secrets {
		if s.hash(option, client) == got {
			return true
		}
	}
	return false
}

// put writes the client cookie and a fresh server cookie into b.
func (c *cookies) put(b, clientCookie []byte, client netip.Addr) {
	copy(b, clientCookie[:clientCookieLen])
	b[8], b[9], b[10], b[11] = 1, 0, 0, 0
	binary.BigEndian.PutUint32(b[12:], c.now.Load())
	binary.LittleEndian.PutUint64(b[16:], c.secrets[0].hash(b, client))
}

// hash is over client cookie, version, reserved octets as they are, time, and
// address, the first four of which begin option (RFC 9018, section 4.4).
func (s secret) hash(option []byte, client netip.Addr) uint64 {
	var m [32]byte
	n := copy(m[:], option[:16])
	if client = client.Unmap(); client.Is4() {
		a := client.As4()
		n += copy(m[n:], a[:])
	} else {
		a := client.As16()
		n += copy(m[n:], a[:])
	}
	return siphash.Hash(s.k0, s.k1, m[:n])
}

// read reads msg into s.Request and verifies its cookie.
func (r *Responder) read(msg []byte, tcp bool, s *Scratch) (rcode uint16) {
	q := &s.Request
	rcode = q.read(msg, tcp, len(r.cookies.secrets) > 0 && s.Client != nil)
	if len(q.Cookie) > clientCookieLen {
		q.CookieValid = r.cookies.valid(q.Cookie, s.Client.Addr())
	}
	return rcode
}

// AppendCookie appends the data of the COOKIE option that the reply to the
// request in s is to carry, for replies that are built elsewhere. It appends
// nothing when the request had no cookie.
func (r *Responder) AppendCookie(b []byte, s *Scratch) []byte {
	if s.Request.Cookie == nil {
		return b
	}
	b = append(b, make([]byte, cookieLen)...)
	r.cookies.put(b[len(b)-cookieLen:], s.Request.Cookie, s.Client.Addr())
	return b
}

// probe answers a query without a question, by which a client gets a server
// cookie or asks whether the one it has is good (RFC 7873, section 5.4). Over
// TCP, where the cookie proves nothing more, it is never a wrong one (RFC 7873,
// section 5.2.3).
func (r *Responder) probe(msg []byte, tcp bool, s *Scratch) (int, Verdict) {
	q := &s.Request
	switch {
	case q.Trailing:
		return r.done(msg, dns.RcodeFormatError, s)
	case len(q.Cookie) > clientCookieLen && !q.CookieValid && !tcp:
		return r.done(msg, dns.RcodeBadCookie, s)
	}
	return r.done(msg, dns.RcodeSuccess, s)
}
