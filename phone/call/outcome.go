package call

import (
	"errors"
	"fmt"

	"github.com/emiago/sipgo/sip"

	"dialtone/phone"
)

// How a call ends that is not answered. A number that has no address is
// phone.ErrNotRegistered, a name server that does not answer phone.ErrUnreachable.
var (
	ErrBusy        = errors.New("busy")
	ErrNoAnswer    = errors.New("no answer")
	ErrDeclined    = errors.New("declined")
	ErrUnreachable = errors.New("the phone cannot be reached")
)

// A Refusal is a final answer of the other side that takes no call. It is one of
// the errors above.
type Refusal struct {
	Contact phone.Contact
	Code    int    // status of SIP
	Reason  string // its words, which print
	kind    error
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%v (%d %s, %s %s)", r.kind, r.Code, r.Reason, r.Contact.Transport, r.Contact.Addr)
}

func (r *Refusal) Unwrap() error { return r.kind }

func refusal(c phone.Contact, res *sip.Response) *Refusal {
	return &Refusal{c, res.StatusCode, printable(res.Reason), kindOf(res.StatusCode)}
}

// kindOf sorts the final answers of RFC 3261, section 21. Whoever says that the
// number is not there is not the phone: it may have moved.
func kindOf(code int) error {
	switch {
	case code == 486 || code == 600:
		return ErrBusy
	case code == 408 || code == 480 || code == 487:
		return ErrNoAnswer
	case code == 404 || code == 410 || code == 604:
		return ErrUnreachable
	case code >= 500 && code < 600:
		return ErrUnreachable // RFC 3263, section 4.3
	}
	return ErrDeclined
}

// isThere tells whether an answer to OPTIONS is one of somebody who would be
// called there, though it does not know OPTIONS or what goes with it.
func isThere(code int) bool {
	return code >= 200 && code < 300 || code == 405 || code == 415 || code == 420 || code == 501
}
