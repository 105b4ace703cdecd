package call

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"dialtone/phone"
)

// Kind is what an Event tells.
type Kind string

// What can happen in a call, in the order in which it does.
const (
	Calling     Kind = "calling"     // a request leaves for Contact
	Incoming    Kind = "incoming"    // Party calls
	Trying      Kind = "trying"      // somebody has the request (100)
	Ringing     Kind = "ringing"     // the phone rings (180)
	Progress    Kind = "progress"    // another word before the answer
	Unreachable Kind = "unreachable" // Contact leads nowhere, for Reason
	Reachable   Kind = "reachable"   // somebody is there
	Answered    Kind = "answered"    // after After
	Recording   Kind = "recording"   // what is heard goes to File
	Fault       Kind = "fault"       // something of the call went wrong, for Reason
	Refused     Kind = "refused"     // a call was not taken, for Reason
	Missed      Kind = "missed"      // the caller gave up before the answer
	HungUp      Kind = "hung up"     // here, After the answer
	Ended       Kind = "ended"       // by the other side, or for Reason, After the answer
)

// Event is one thing that happened in a call. Fields that do not belong to its
// Kind are empty. What the other side wrote has only characters that print.
type Event struct {
	Kind      Kind
	Number    phone.Number
	Transport string         // udp, tcp or tls
	Addr      netip.AddrPort // of the other side
	Party     string         // the URI of the other side, when it calls
	Code      int            // status of SIP (RFC 3261, section 21)
	Reason    string
	After     time.Duration
	File      string
}

// String is one line for people.
func (e Event) String() string {
	switch e.Kind {
	case Calling:
		return fmt.Sprintf("calling %s at %s %s", e.Number, e.Transport, e.Addr)
	case Incoming:
		return fmt.Sprintf("call from %s at %s %s", e.Party, e.Transport, e.Addr)
	case Progress:
		return fmt.Sprintf("%d %s", e.Code, e.Reason)
	case Unreachable:
		return fmt.Sprintf("%s %s: %s", e.Transport, e.Addr, e.Reason)
	case Reachable:
		return fmt.Sprintf("%s is reachable at %s %s (%d %s)", e.Number, e.Transport, e.Addr, e.Code, e.Reason)
	case Recording:
		return "recording to " + e.File
	case Fault:
		return e.Reason
	case Refused:
		return fmt.Sprintf("refused (%d): %s", e.Code, e.Reason)
	case Answered, HungUp:
		return fmt.Sprintf("%s after %s", e.Kind, seconds(e.After))
	case Ended:
		why := "the other side hung up"
		if e.Reason != "" {
			why = "ended, " + e.Reason + ","
		}
		return fmt.Sprintf("%s after %s", why, seconds(e.After))
	}
	return string(e.Kind)
}

func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// maxText bounds what is shown of the other side's words, in runes.
const maxText = 120

// printable keeps the other side from writing to the terminal what is no text.
func printable(text string) string {
	shown := []rune(strings.ToValidUTF8(text, "?"))
	for i, c := range shown {
		if !unicode.IsPrint(c) {
			shown[i] = '?'
		}
	}
	if len(shown) > maxText {
		return string(shown[:maxText]) + "..."
	}
	return string(shown)
}
