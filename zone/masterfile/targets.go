package masterfile

import (
	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// checkTargets warns of hosts that records of this zone name, that should be
// in this zone, and that have no address in it.
func (p *parser) checkTargets(i int) {
	s := p.sets.at(i)
	switch s.typ {
	case dns.TypeNS, dns.TypeMX, dns.TypeSRV:
	case dns.TypeCNAME, dns.TypeDNAME:
		p.checkAliasTarget(s)
		return
	default:
		return
	}
	if p.broken[dns.TypeNone] {
		return // a line that could not be read may have it
	}
	p.each(s, func(data []byte, at place) bool {
		spans, n, _ := rr.NamesIn(s.typ, data)
		if n != 1 {
			return true
		}
		host := rr.Name(data[spans[0][0]:spans[0][1]])
		if host.IsBelowOrEqual(p.apex) {
			p.checkHost(at, s, host)
		}
		return true
	})
}

// checkAliasTarget warns of a target that has the zone's name twice: a final dot was
// forgotten.
func (p *parser) checkAliasTarget(s *set) {
	p.each(s, func(data []byte, at place) bool {
		target := rr.Name(data)
		if !target.IsBelowOrEqual(p.apex) {
			return true
		}
		if whole := rr.Name(target.Relative(p.apex)) + rr.Root; whole != rr.Root && whole.IsBelowOrEqual(p.apex) {
			p.problems.warn(at, "the target of the %s record is %s: put a dot at the end of the name if it is complete as written",
				rr.TypeString(s.typ), target)
		}
		return true
	})
}

func (p *parser) checkHost(at place, s *set, host rr.Name) {
	t, owner := rr.TypeString(s.typ), p.owner(int(s.name))
	cut := p.cutAbove(host)
	switch {
	case p.hasAddress(host):
	case p.has(host, dns.TypeCNAME):
		// RFC 2181, section 10.3.
		p.problems.warn(at, "the host %s of the %s record is an alias (CNAME): name the host itself", host, t)
	case s.typ == dns.TypeNS && cut != "" && cut.EqualFold(owner):
		p.problems.warn(at, "the name server %s is inside what %s delegates and has no address here (glue): add an A or AAAA record for it", host, owner)
	case cut != "" || p.underWildcard(host):
	case host.CountLabels() > p.apex.CountLabels()+1:
		p.problems.warn(at, "the host %s of the %s record has no address in this zone: add an A or AAAA record, or put a dot at the end of the name if it is complete as written", host, t)
	default:
		p.problems.warn(at, "the host %s of the %s record has no address in this zone: add an A or AAAA record for it", host, t)
	}
}

func (p *parser) hasAddress(host rr.Name) bool {
	return p.has(host, dns.TypeA) || p.has(host, dns.TypeAAAA)
}

// cutAbove gives the highest delegation at or above host, or "".
func (p *parser) cutAbove(host rr.Name) (cut rr.Name) {
	for n := host; len(n) > len(p.apex); n = n.Parent() {
		if p.has(n, dns.TypeNS) {
			cut = n
		}
	}
	return cut
}

// underWildcard tells whether a wildcard may answer for host.
func (p *parser) underWildcard(host rr.Name) bool {
	for n := host; len(n) > len(p.apex); {
		n = n.Parent()
		star := "\x01*" + n
		if p.hasAddress(star) || p.has(star, dns.TypeCNAME) {
			return true
		}
	}
	return false
}
