package masterfile

import (
	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// check looks at the zone as a whole.
func (p *parser) check() {
	p.checkApex()
	p.apexDNAME = p.has(p.apex, dns.TypeDNAME)
	for i := range p.sets.n {
		p.checkSet(i)
		p.checkTargets(i)
	}
	for _, t := range []uint16{dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM} {
		if at, ok := p.plain[t]; ok {
			p.problems.warn(at, "%s records are kept and served as plain data: dialtone does not sign, and updates make them wrong", rr.TypeString(t))
		}
	}
}

// checkApex: exactly one SOA, and name servers (RFC 1035, section 5.2).
func (p *parser) checkApex() {
	whole := place{}
	i, hasSOA := p.find(p.apex, dns.TypeSOA)
	switch {
	case !hasSOA && !p.broken[dns.TypeSOA]:
		p.problems.fault(whole, "there is no SOA record at %s: a zone begins with one, as in \"@ SOA ns1 hostmaster 1 3600 900 604800 60\"", p.apex)
	case hasSOA && p.sets.at(i).count > 1:
		soa := p.sets.at(i)
		p.problems.fault(p.second(soa), "this is a second SOA record (the first is at line %d): remove one", soa.at.line)
	}
	if !p.has(p.apex, dns.TypeNS) && !p.broken[dns.TypeNS] {
		p.problems.fault(whole, "there is no NS record at %s: name the zone's servers, as in \"@ NS ns1\"", p.apex)
	}
}

// second gives the place of the second record of an RRset.
func (p *parser) second(s *set) place { return p.more.at(int(s.first - 1)).at }

// checkSet looks at one RRset and at what stands beside and above it.
func (p *parser) checkSet(i int) {
	s := p.sets.at(i)
	atApex := len(p.labels(int(s.name))) == 0
	switch s.typ {
	case dns.TypeA, dns.TypeAAAA:
	case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM:
		if first, ok := p.plain[s.typ]; !ok || s.at.line < first.line {
			p.plain[s.typ] = s.at
		}
		return // it may stand beside a CNAME and in a delegated part
	default:
		p.checkType(s, p.owner(int(s.name)), atApex)
	}
	p.checkAlias(s)
	p.checkHidden(s)
}

// checkType holds the rules of single types.
func (p *parser) checkType(s *set, owner rr.Name, atApex bool) {
	switch s.typ {
	case dns.TypeSOA:
		if !atApex {
			p.problems.fault(s.at, "the SOA record is at %s, but only the zone's apex %s may have one", owner, p.apex)
		}
	case dns.TypeCNAME:
		p.single(s)
	case dns.TypeDNAME:
		p.single(s)
		// RFC 6672, section 2.4.
		if !atApex && p.has(owner, dns.TypeNS) {
			p.problems.fault(s.at, "%s has DNAME and NS records, which only the apex may: remove one", owner)
		}
		// RFC 6672, section 3.3: it is not to be used.
		if owner.IsWildcard() {
			p.problems.fault(s.at, "a DNAME at the wildcard %s has no defined meaning: remove it", owner)
		}
	case dns.TypeNS:
		// RFC 4592, section 4.2.
		if owner.IsWildcard() {
			p.problems.warn(s.at, "an NS record at the wildcard %s has no defined meaning", owner)
		}
	case dns.TypeDS:
		if atApex || !p.has(owner, dns.TypeNS) {
			p.problems.warn(s.at, "the DS record at %s is of no use: it belongs beside the NS records of a delegation", owner)
		}
	}
}

// single: a name has one CNAME and one DNAME (RFC 2181, section 10.1;
// RFC 6672, section 2.4).
func (p *parser) single(s *set) {
	if s.count > 1 {
		p.problems.fault(p.second(s), "this is a second %s record for %s (the first is at line %d): a name can have only one",
			rr.TypeString(s.typ), p.owner(int(s.name)), s.at.line)
	}
}

// checkAlias: a name with a CNAME has nothing else but what signs it
// (RFC 2181, section 10.1; RFC 4034, sections 3 and 4).
func (p *parser) checkAlias(s *set) {
	if s.typ == dns.TypeCNAME {
		return
	}
	if c, ok := p.setOf(int(s.name), dns.TypeCNAME); ok {
		p.problems.fault(s.at, "%s has a CNAME record (line %d) and so cannot have %s as well: remove one",
			p.owner(int(s.name)), p.sets.at(c).at.line, rr.TypeString(s.typ))
	}
}

// checkHidden warns of data that is never answered: below a DNAME (RFC 6672,
// section 2.4), or below a delegation and not an address (RFC 1034, section
// 4.2.1).
func (p *parser) checkHidden(s *set) {
	if !p.apexDNAME && !p.seen[dns.TypeDNAME] && !p.seen[dns.TypeNS] {
		return
	}
	owner, at := p.owner(int(s.name)), s.at
	for up, n := owner, 0; len(up) > len(p.apex); n++ {
		if n > 0 {
			if p.has(up, dns.TypeDNAME) {
				p.problems.warn(at, "%s is below the DNAME record of %s and is never answered", owner, up)
				return
			}
			if s.typ != dns.TypeA && s.typ != dns.TypeAAAA && p.has(up, dns.TypeNS) {
				p.problems.warn(at, "%s is in the part that %s delegates: its %s is never answered", owner, up, rr.TypeString(s.typ))
				return
			}
		}
		up = up.Parent()
	}
	if len(owner) > len(p.apex) && p.apexDNAME {
		p.problems.warn(at, "%s is below the DNAME record of %s and is never answered", owner, p.apex)
	}
}
