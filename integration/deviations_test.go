package integration

import (
	"slices"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// deviation is one point in which a peer does not do what dialtone does. The table is the whole list: what is not in
// it fails the comparison.
type deviation struct {
	peer   string
	rfc    string
	reason string
	// rcode tells whether the two RCODEs for this message are explained. Neither server may have changed its zone, or
	// both must have. Nil when the RCODEs are the same.
	rcode func(m message, ours, theirs int) bool
	// content changes how contents are compared with this peer. Nil when they are the same.
	content func(v *peertest.View)
}

var deviations = []deviation{
	{
		peer: "BIND", rfc: "RFC 2136, section 3.2.3",
		reason: "a record that is repeated in a value-dependent prerequisite makes the set unequal; the RFC compares sets",
		rcode: func(m message, ours, theirs int) bool {
			return sameValueTwice(m.Prerequisites) && theirs == dns.RcodeNXRrset && ours == dns.RcodeSuccess
		},
	},
	{
		peer: "BIND", rfc: "RFC 2136, section 3.1.1",
		reason: "a message without a zone section has no class to choose a view by, and is refused for that",
		rcode: func(m message, ours, theirs int) bool {
			return len(m.Zone) == 0 && theirs == dns.RcodeRefused && ours == dns.RcodeFormatError
		},
	},
	{
		peer: "BIND", rfc: "RFC 2136, section 3.4.1",
		reason: "the update section is scanned before the prerequisites are tested, so a message with faults in both gets the other one's code",
		rcode:  twoFaults,
	},
	{
		peer: "Knot", rfc: "RFC 2136, section 3.2",
		reason: "a fault of form is found while parsing or in another order, so a message with two faults gets the other one's code",
		rcode:  twoFaults,
	},
	{
		peer: "Knot", rfc: "RFC 2136, section 3.4.1.2",
		reason: "class ANY with a TTL other than 0 is accepted and run",
		rcode: func(m message, ours, theirs int) bool {
			return ours == dns.RcodeFormatError && theirs == dns.RcodeSuccess &&
				slices.ContainsFunc(m.Updates, func(e peertest.Entry) bool { return e.Class == dns.ClassANY && e.TTL != 0 })
		},
	},
	{
		peer: "Knot", rfc: "RFC 2136, section 3.4.2.2",
		reason:  "an added record that differs in its TTL only is ignored, so TTLs of the two zones go apart",
		content: func(v *peertest.View) { v.NoTTL = true },
	},
}

// twoFaults explains different errors for a message that has more than one: RFC 2136, section 3 gives an order, but a client
// learns only one of them and nothing is changed.
func twoFaults(m message, ours, theirs int) bool {
	return ours != dns.RcodeSuccess && theirs != dns.RcodeSuccess && m.faulty && len(m.Prerequisites)+len(m.Updates) > 1
}

// rcodeDeviates tells whether the table explains the difference between two servers.
func rcodeDeviates(a, b string, m message, rcodeA, rcodeB int) bool {
	for _, d := range deviations {
		switch {
		case d.rcode == nil:
		case d.peer == b && d.rcode(m, rcodeA, rcodeB), d.peer == a && d.rcode(m, rcodeB, rcodeA):
			return true
		}
	}
	return false
}

func contentView(a, b string) peertest.View {
	v := peertest.View{FoldCase: true, NoSerial: true}
	for _, d := range deviations {
		if d.content != nil && (d.peer == a || d.peer == b) {
			d.content(&v)
		}
	}
	return v
}
