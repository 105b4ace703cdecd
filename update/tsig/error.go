package tsig

import (
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Error is a TSIG that failed. The answer is a message of RCODE Rcode without
// data, finished by SignReply.
type Error struct {
	Rcode     uint16  // of the header: FORMERR, NOTAUTH, or SERVFAIL of Unavailable
	TSIGError uint16  // BADSIG, BADKEY, BADTIME or BADTRUNC; 0 for FORMERR and SERVFAIL
	Key       rr.Name // the key's name as it was sent; "" for FORMERR and SERVFAIL
	reason    error

	alg    rr.Name
	signer *key // nil if the reply must not be signed
	client variables
	mac    requestMAC
}

// Error says what was wrong in words for a log.
func (e *Error) Error() string {
	if e.Key == "" {
		return "tsig: " + e.reason.Error()
	}
	return fmt.Sprintf("tsig: key %s: %s", e.Key, e.reason)
}

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.reason }

// Reasons for which a well-formed TSIG fails.
var (
	ErrBadKey   = errors.New("the key is not known")
	ErrBadAlg   = errors.New("the key is bound to another algorithm")
	ErrMACSize  = errors.New("the MAC's size is not possible for the algorithm")
	ErrBadSig   = errors.New("the MAC is wrong")
	ErrBadTime  = errors.New("the time signed is too far from the server's")
	ErrOlder    = errors.New("a message signed later was seen before")
	ErrBadTrunc = errors.New("the MAC is truncated more than the policy allows")
)

// fail keeps what the reply needs. Of all failures only BADTIME and BADTRUNC
// are signed, since their MAC verified (RFC 8945, section 5.3.2).
func (k *key) fail(rec *record, code uint16, reason error) *Error {
	e := &Error{
		Rcode: dns.RcodeNotAuth, TSIGError: code, reason: reason,
		Key: k.nameAs(rec), alg: k.algorithm.wire(),
		client: variables{time: rec.time, fudge: rec.fudge},
	}
	if code == dns.RcodeBadTime || code == dns.RcodeBadTrunc {
		e.signer = k
		e.mac.set(rec.mac)
	}
	return e
}

// malformed is FORMERR without a TSIG (RFC 8945, section 5.2).
func malformed(reason error) *Error {
	return &Error{Rcode: dns.RcodeFormatError, reason: reason}
}

// Unavailable is for a message of which it is not known whether a key that there is has signed it: an
// error that says no would keep the client from trying again.
func Unavailable(reason error) *Error {
	return &Error{Rcode: dns.RcodeServerFailure, reason: reason}
}
