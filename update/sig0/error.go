package sig0

import (
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Error is a SIG(0) that failed. The answer is a message of RCODE Rcode without
// data and without a signature.
type Error struct {
	Rcode  uint16  // FORMERR or REFUSED
	Signer rr.Name // as it was sent; "" for FORMERR
	reason error
}

// Error says what was wrong in words for a log.
func (e *Error) Error() string {
	if e.Signer == "" {
		return "sig0: " + e.reason.Error()
	}
	return fmt.Sprintf("sig0: signer %s: %s", e.Signer, e.reason)
}

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.reason }

// Reasons for which a well-formed SIG(0) fails, with those of ParsePublicKey.
var (
	ErrNoKey   = errors.New("there is no KEY record with the algorithm and key tag of the signature")
	ErrNoClock = errors.New("inception and expiration are 0: requests of senders without a clock are not taken")
	ErrBracket = fmt.Errorf("expiration is before inception, or more than %.0f minutes after it", MaxBracket.Minutes())
	ErrTime    = errors.New("the server's time is not between inception and expiration")
	ErrBadSig  = errors.New("the signature is wrong")
)

// refused is what RFC 3007, section 2 and RFC 9665, section 3.3.3 want; RFC 2931
// names no RCODE.
func (r *Record) refused(reason error) *Error {
	return &Error{Rcode: dns.RcodeRefused, Signer: r.Signer, reason: reason}
}

// malformed is FORMERR, as for a TSIG (RFC 8945, section 5.2).
func malformed(reason error) *Error {
	return &Error{Rcode: dns.RcodeFormatError, reason: reason}
}
