package tsig

import (
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Errors of replies.
var (
	ErrNoKey    = errors.New("tsig: no such key")
	ErrUnsigned = errors.New("tsig: the reply is not signed")
)

// Request is a signed request that waits for its reply.
type Request struct {
	ring *Keyring
	key  *key
	mac  requestMAC
}

// SignRequest appends a TSIG by the named key to a message of the client's
// side. The message's header must be final; ARCOUNT is corrected.
func (r *Keyring) SignRequest(msg []byte, name rr.Name, now time.Time) ([]byte, *Request, error) {
	k := r.find(name)
	if k == nil {
		return nil, nil, fmt.Errorf("%w: %s", ErrNoKey, name)
	}
	req := &Request{ring: r, key: k}
	msg = k.sign(msg, signature{
		name: k.name, keep: &req.mac,
		variables: variables{time: unix48(now), fudge: fudge},
	})
	return msg, req, nil
}

// VerifyReply checks the TSIG of the reply to a request (RFC 8945, section
// 5.4). A reply that fails is to be ignored, and the wait to go on: it may be
// forged. ReplyError is what the server had against the request.
func (q *Request) VerifyReply(reply []byte, now time.Time) error {
	var rec record
	found, err := rec.find(reply)
	if err != nil {
		return malformed(err)
	}
	if !found {
		return ErrUnsigned
	}
	if !rr.EqualFold(rec.name.octets(), q.key.canonical) || !rr.EqualFold(rec.alg.octets(), q.key.algorithm.wire()) {
		return q.key.fail(&rec, dns.RcodeBadKey, ErrBadKey)
	}
	if len(rec.mac) == 0 && (rec.err == dns.RcodeBadKey || rec.err == dns.RcodeBadSig) {
		return &ReplyError{TSIGError: rec.err}
	}
	if e := q.key.checkMAC(&rec, reply, q.mac.octets()); e != nil {
		return e
	}
	if e := q.key.checkFudge(&rec, unix48(now)); e != nil {
		return e
	}
	if e := q.ring.checkTruncation(q.key, &rec); e != nil {
		return e
	}
	if rec.err != 0 {
		e := &ReplyError{TSIGError: rec.err, Verified: true}
		if rec.err == dns.RcodeBadTime && len(rec.other) == 6 {
			e.ServerTime = time.Unix(int64(uint48(rec.other)), 0)
		}
		return e
	}
	return nil
}

// ReplyError says that the server did not accept the request's TSIG.
type ReplyError struct {
	TSIGError  uint16
	Verified   bool      // false for BADKEY and BADSIG: anybody may have sent it
	ServerTime time.Time // for BADTIME
}

// Error names the TSIG error as RFC 8945, section 3 does.
func (e *ReplyError) Error() string {
	return "tsig: the server answers " + dns.RcodeToString[int(e.TSIGError)]
}
