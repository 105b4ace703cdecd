package update

import (
	"fmt"
	"net/netip"

	"github.com/miekg/dns"

	"dialtone/update/acl"
	"dialtone/zone/rr"
)

// takeSource puts the address that the request comes from where the update adds
// A 0.0.0.0 or AAAA ::, which lead nowhere and so are free to mean that. It
// takes no address that may be forged: a datagram with a false source could
// send a phone's calls elsewhere.
func (m *Message) takeSource(who acl.Principal, allowed bool) error {
	for i := range m.Updates {
		u := &m.Updates[i]
		if u.Class != dns.ClassINET || !isUnspecified(u.Type, u.Data) {
			continue
		}
		what := fmt.Sprintf("%s %s %s asks for the address that the request comes from", u.Owner, rr.TypeString(u.Type), unspecified(u.Type))
		source := who.Address.Unmap().WithZone("")
		switch {
		case !allowed:
			return prohibited(what + ": the rule that allows this update has no source_address")
		case !who.Proven:
			return prohibited(what + ", which may be forged: send it over TCP, or with a server cookie")
		case source.Is4() != (u.Type == dns.TypeA):
			return prohibited(what + ", but that is " + source.String())
		}
		u.Data, m.TookSource = string(source.AsSlice()), true
	}
	return nil
}

func isUnspecified(t uint16, data string) bool {
	return (t == dns.TypeA || t == dns.TypeAAAA) && data == string(unspecified(t).AsSlice())
}

func unspecified(t uint16) netip.Addr {
	if t == dns.TypeA {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
