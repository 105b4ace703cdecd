package tsig

import (
	"crypto/subtle"
	"encoding/binary"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Context is a verified request: who signed it, and what is needed to sign the
// answer. A nil *Context is an unsigned request, and all methods work on it:
// it has no key and signs nothing, because the answer to an unsigned request
// must not be signed (RFC 8945, section 5.3). It does not refer to the message.
type Context struct {
	key        *key
	name       rr.Name // the key's name in the client's case
	start      int
	timeSigned uint64
	fudge      uint16
	mac        requestMAC
}

// requestMAC is the MAC of a request as it was sent: if it was truncated, the
// truncated form is what the reply's digest begins with (RFC 8945, section
// 5.2.2.1).
type requestMAC struct {
	buf [maxDigest]byte
	n   uint8
}

func (m *requestMAC) set(b []byte)   { m.n = uint8(copy(m.buf[:], b)) }
func (m *requestMAC) octets() []byte { return m.buf[:m.n] }

// Verify checks the TSIG of a request and does not change the message. It
// returns nil, nil for a message without one. Every error is an *Error.
// A nil Keyring has no keys.
//
// The checks run in the order of RFC 8945, section 5.2: key, MAC, time,
// truncation policy. Time before MAC would tell the time to anybody, and sign
// it (RFC 8945, section 10.1).
func (r *Keyring) Verify(msg []byte, now time.Time) (*Context, error) {
	var rec record
	found, err := rec.find(msg)
	if err != nil {
		return nil, malformed(err)
	}
	if !found {
		return nil, nil
	}
	k, fresh, e := r.checkKey(&rec)
	if e != nil {
		return nil, e
	}
	if e := k.checkMAC(&rec, msg, nil); e != nil {
		return nil, e
	}
	if fresh != 0 {
		k = r.found.add(k, fresh)
	}
	if e := k.checkTime(&rec, unix48(now)); e != nil {
		return nil, e
	}
	if e := r.checkTruncation(k, &rec); e != nil {
		return nil, e
	}
	c := &Context{key: k, name: k.nameAs(&rec), start: rec.start, timeSigned: rec.time, fudge: rec.fudge}
	c.mac.set(rec.mac)
	return c, nil
}

// Key is the name of the key that signed the request, as it was configured;
// "" if the request was not signed.
func (c *Context) Key() rr.Name {
	if c == nil {
		return ""
	}
	return c.key.name
}

// TimeSigned is the client's clock when it signed.
func (c *Context) TimeSigned() time.Time {
	if c == nil {
		return time.Time{}
	}
	return time.Unix(int64(c.timeSigned), 0)
}

// MAC is the request's MAC as it was sent; nil if it was not signed. The
// caller must not change it.
func (c *Context) MAC() []byte {
	if c == nil {
		return nil
	}
	return c.mac.octets()
}

// Older is the failure of a verified request that was signed before another of
// its key: BADTIME (RFC 8945, section 5.2.3). Which one was newest is for the
// caller to know.
func (c *Context) Older() *Error {
	e := &Error{
		Rcode: dns.RcodeNotAuth, TSIGError: dns.RcodeBadTime, reason: ErrOlder,
		Key: c.name, alg: c.key.algorithm.wire(), signer: c.key, mac: c.mac,
		client: variables{time: c.timeSigned, fudge: c.fudge},
	}
	return e
}

// Strip takes the TSIG off the message that was verified, in place: it
// corrects ARCOUNT in the header and returns the message without the record.
// The ID in the header stays, since it is the one to reply with. On a nil
// Context it returns msg.
func (c *Context) Strip(msg []byte) []byte {
	if c == nil {
		return msg
	}
	binary.BigEndian.PutUint16(msg[10:], binary.BigEndian.Uint16(msg[10:])-1)
	return msg[:c.start]
}

// checkKey is RFC 8945, section 5.2.1. A key named with another algorithm
// than its own is an unknown key. fresh is for found.add, and 0 when there is
// nothing to add.
func (r *Keyring) checkKey(rec *record) (k *key, fresh uint64, fault *Error) {
	var low nameBuf
	low.n = copy(low.buf[:], rec.name.octets())
	rr.LowerBytes(low.octets())
	if r != nil {
		if k = (*r.keys.Load())[rr.Name(low.octets())]; k == nil && r.opts.Lookup != nil {
			var err error
			if k, fresh, err = r.lookup(low.octets()); err != nil {
				return nil, 0, Unavailable(err)
			}
		}
	}
	reason := ErrBadKey
	if k != nil {
		if rr.EqualFold(rec.alg.octets(), k.algorithm.wire()) {
			return k, fresh, nil
		}
		reason = ErrBadAlg
	}
	return nil, 0, &Error{
		Rcode: dns.RcodeNotAuth, TSIGError: dns.RcodeBadKey, reason: reason,
		Key: rr.Name(rec.name.octets()), alg: rr.Name(rec.alg.octets()),
	}
}

// checkMAC is RFC 8945, sections 5.2.2 and 5.2.2.1. prior is the request's
// MAC when msg is a reply.
func (k *key) checkMAC(rec *record, msg, prior []byte) *Error {
	if len(rec.mac) > k.algorithm.Size() || len(rec.mac) < k.algorithm.shortest() {
		return malformed(ErrMACSize)
	}
	m := k.borrow()
	defer k.giveBack(m)
	want := m.of(k, &digest{
		prior: prior, msg: msg[:rec.start], id: rec.original,
		arcount: binary.BigEndian.Uint16(msg[10:]) - 1, variables: rec.variables,
	})
	if subtle.ConstantTimeCompare(want[:len(rec.mac)], rec.mac) != 1 {
		return k.fail(rec, dns.RcodeBadSig, ErrBadSig)
	}
	return nil
}

// checkTime is RFC 8945, section 5.2.3.
func (k *key) checkTime(rec *record, now uint64) *Error {
	if max(now, rec.time)-min(now, rec.time) > uint64(rec.fudge) {
		return k.fail(rec, dns.RcodeBadTime, ErrBadTime)
	}
	return nil
}

// checkTruncation is RFC 8945, section 5.2.4.
func (r *Keyring) checkTruncation(k *key, rec *record) *Error {
	if len(rec.mac) < min(r.opts.MinMAC, k.algorithm.Size()) {
		return k.fail(rec, dns.RcodeBadTrunc, ErrBadTrunc)
	}
	return nil
}

// nameAs is the key's name in the case of the record, so that clients that
// look it up by octets recognise the reply.
func (k *key) nameAs(rec *record) rr.Name {
	if string(rec.name.octets()) == string(k.name) {
		return k.name
	}
	return rr.Name(rec.name.octets())
}

func unix48(t time.Time) uint64 { return uint64(max(t.Unix(), 0)) & (1<<48 - 1) }
