package masterfile

import (
	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// check looks at the zone as a whole.
func (p *parser) check() {
	p.checkApex()
	for i := range p.sets {
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
	soa, hasSOA := p.index[key{p.apex.Lower(), dns.TypeSOA}]
	switch {
	case !hasSOA && !p.broken[dns.TypeSOA]:
		p.problems.fault(whole, "there is no SOA record at %s: a zone begins with one, as in \"@ SOA ns1 hostmaster 1 3600 900 604800 60\"", p.apex)
	case hasSOA && len(p.sets[soa].Set.Data) > 1:
		p.problems.fault(p.lines[soa].at(1), "this is a second SOA record (the first is at line %d): remove one", p.lines[soa].first.line)
	}
	if p.find(p.apex, dns.TypeNS) == nil && !p.broken[dns.TypeNS] {
		p.problems.fault(whole, "there is no NS record at %s: name the zone's servers, as in \"@ NS ns1\"", p.apex)
	}
}

// checkSet looks at one RRset and at what stands beside and above it.
func (p *parser) checkSet(i int) {
	owner, set, at := p.sets[i].Owner, &p.sets[i].Set, p.lines[i].first
	atApex := len(owner) == len(p.apex)
	switch set.Type {
	case dns.TypeA, dns.TypeAAAA:
	case dns.TypeSOA:
		if !atApex {
			p.problems.fault(at, "the SOA record is at %s, but only the zone's apex %s may have one", owner, p.apex)
		}
	case dns.TypeCNAME:
		p.single(i)
	case dns.TypeDNAME:
		p.single(i)
		// RFC 6672, section 2.4.
		if !atApex && p.find(owner, dns.TypeNS) != nil {
			p.problems.fault(at, "%s has DNAME and NS records, which only the apex may: remove one", owner)
		}
		// RFC 6672, section 3.3: it is not to be used.
		if owner.IsWildcard() {
			p.problems.fault(at, "a DNAME at the wildcard %s has no defined meaning: remove it", owner)
		}
	case dns.TypeNS:
		// RFC 4592, section 4.2.
		if owner.IsWildcard() {
			p.problems.warn(at, "an NS record at the wildcard %s has no defined meaning", owner)
		}
	case dns.TypeDS:
		if atApex || p.find(owner, dns.TypeNS) == nil {
			p.problems.warn(at, "the DS record at %s is of no use: it belongs beside the NS records of a delegation", owner)
		}
	case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM:
		if first, ok := p.plain[set.Type]; !ok || at.line < first.line {
			p.plain[set.Type] = at
		}
		return // it may stand beside a CNAME and in a delegated part
	}
	p.checkAlias(i)
	p.checkHidden(i)
}

// single: a name has one CNAME and one DNAME (RFC 2181, section 10.1;
// RFC 6672, section 2.4).
func (p *parser) single(i int) {
	if o := &p.sets[i]; len(o.Set.Data) > 1 {
		p.problems.fault(p.lines[i].at(1), "this is a second %s record for %s (the first is at line %d): a name can have only one",
			rr.TypeString(o.Set.Type), o.Owner, p.lines[i].first.line)
	}
}

// checkAlias: a name with a CNAME has nothing else but what signs it
// (RFC 2181, section 10.1; RFC 4034, sections 3 and 4).
func (p *parser) checkAlias(i int) {
	o := &p.sets[i]
	if o.Set.Type == dns.TypeCNAME {
		return
	}
	if c, ok := p.place(o.Owner, dns.TypeCNAME); ok {
		p.problems.fault(p.lines[i].first, "%s has a CNAME record (line %d) and so cannot have %s as well: remove one",
			o.Owner, p.lines[c].first.line, rr.TypeString(o.Set.Type))
	}
}

// checkHidden warns of data that is never answered: below a DNAME (RFC 6672,
// section 2.4), or below a delegation and not an address (RFC 1034, section
// 4.2.1).
func (p *parser) checkHidden(i int) {
	o, at := &p.sets[i], p.lines[i].first
	for up, n := o.Owner, 0; len(up) > len(p.apex); n++ {
		if n > 0 {
			if p.hides(up, dns.TypeDNAME) {
				p.problems.warn(at, "%s is below the DNAME record of %s and is never answered", o.Owner, up)
				return
			}
			if o.Set.Type != dns.TypeA && o.Set.Type != dns.TypeAAAA && p.hides(up, dns.TypeNS) {
				p.problems.warn(at, "%s is in the part that %s delegates: its %s is never answered", o.Owner, up, rr.TypeString(o.Set.Type))
				return
			}
		}
		up = up.Parent()
	}
	if len(o.Owner) > len(p.apex) && p.hides(p.apex, dns.TypeDNAME) {
		p.problems.warn(at, "%s is below the DNAME record of %s and is never answered", o.Owner, p.apex)
	}
}

func (p *parser) hides(owner rr.Name, t uint16) bool { return p.find(owner, t) != nil }
