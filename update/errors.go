package update

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Error is why an update failed, ready for the reply.
type Error struct {
	Rcode uint16
	EDE   uint16 // info code (RFC 8914); goes with Text
	Text  string // for the EDE and the log; empty: no EDE
	Old   bool   // it was signed before another that was taken: BADTIME (RFC 8945, section 5.2.3)
	Limit string // the setting of the limit that was reached; empty: none was
}

func (e *Error) Error() string {
	if e.Text == "" {
		return dns.RcodeToString[int(e.Rcode)]
	}
	return dns.RcodeToString[int(e.Rcode)] + ": " + e.Text
}

// formErr is an error of RFC 2136, section 2 or 3 in the message itself.
func formErr(format string, args ...any) *Error {
	return &Error{Rcode: dns.RcodeFormatError, EDE: dns.ExtendedErrorCodeOther, Text: clip(fmt.Sprintf(format, args...))}
}

func prohibited(text string) *Error {
	return &Error{Rcode: dns.RcodeRefused, EDE: dns.ExtendedErrorCodeProhibited, Text: clip(text)}
}

// beyond is prohibited for a limit, which is named by its setting.
func beyond(limit, text string) *Error {
	e := prohibited(text)
	e.Limit = limit
	return e
}

// Refused is the error of an update that is refused for what text says.
func Refused(text string) error { return prohibited(text) }

// Beyond is Refused for a limit, which is named by its setting.
func Beyond(limit, text string) error { return beyond(limit, text) }

// maxEDE keeps texts short (RFC 8914, section 3), in octets: a name with
// escapes can be a thousand.
const maxEDE = 200

// clip shortens a text, which is ASCII.
func clip(text string) string {
	if len(text) <= maxEDE {
		return text
	}
	return text[:maxEDE-3] + "..."
}

// about makes an error of one RRset or name.
func about(rcode uint16, owner rr.Name, t uint16, why string) *Error {
	name := owner.String()
	if t != dns.TypeANY {
		name += " " + rr.TypeString(t)
	}
	return &Error{Rcode: rcode, EDE: dns.ExtendedErrorCodeOther, Text: clip(name + " " + why)}
}

// String is the note as a sentence.
func (n Note) String() string {
	return fmt.Sprintf("%s %s ignored: %s", n.Owner, rr.TypeString(n.Type), n.Reason)
}

// EDEText puts notes into one text for an EDE of code 0; "" for no notes.
func EDEText(notes []Note) string {
	var b strings.Builder
	for i, n := range notes {
		s := clip(n.String())
		if i > 0 && b.Len()+len(s) > maxEDE {
			b.WriteString("; and more")
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(s)
	}
	return b.String()
}
