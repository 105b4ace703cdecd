package tsig

import (
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Errors of the client's side.
var (
	ErrNoKey    = errors.New("tsig: no such key")
	ErrUnsigned = errors.New("tsig: the reply is not signed")
	ErrOtherKey = errors.New("tsig: the reply is signed with another key")
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

// VerifyReply checks the TSIG of the reply to a request. A reply that fails is
// to be ignored and the wait to go on, since anybody may have sent it
// (RFC 8945, section 5.4); the caller has compared ID and question. The error
// is a *ReplyError if it is the server that did not accept the request.
func (q *Request) VerifyReply(reply []byte, now time.Time) error {
	var rec record
	found, err := rec.find(reply)
	switch {
	case err != nil:
		return fmt.Errorf("tsig: reply: %w", err)
	case !found:
		return ErrUnsigned
	case !rr.EqualFold(rec.name.octets(), q.key.canonical),
		!rr.EqualFold(rec.alg.octets(), q.key.algorithm.wire()):
		return ErrOtherKey
	case len(rec.mac) == 0 && (rec.err == dns.RcodeBadKey || rec.err == dns.RcodeBadSig):
		return &ReplyError{TSIGError: rec.err}
	}
	if e := q.check(&rec, reply, unix48(now)); e != nil {
		return fmt.Errorf("tsig: reply: %w", e.reason)
	}
	if rec.err == 0 {
		return nil
	}
	e := &ReplyError{TSIGError: rec.err, Verified: true}
	if rec.err == dns.RcodeBadTime && len(rec.other) == 6 {
		e.ServerTime = time.Unix(int64(uint48(rec.other)), 0)
	}
	return e
}

func (q *Request) check(rec *record, reply []byte, now uint64) *Error {
	if e := q.key.checkMAC(rec, reply, q.mac.octets()); e != nil {
		return e
	}
	if e := q.key.checkTime(rec, now); e != nil {
		return e
	}
	return q.ring.checkTruncation(q.key, rec)
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
