package masterfile

import (
	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// checkTargets warns of hosts that records of this zone name, that should be
// in this zone, and that have no address in it.
func (p *parser) checkTargets(i int) {
	o := &p.sets[i]
	switch o.Set.Type {
	case dns.TypeNS, dns.TypeMX, dns.TypeSRV:
	case dns.TypeCNAME, dns.TypeDNAME:
		p.checkAliasTarget(i)
		return
	default:
		return
	}
	if p.broken[dns.TypeNone] {
		return // a line that could not be read may have it
	}
	for j, data := range o.Set.Data {
		spans, n, _ := rr.NamesIn(o.Set.Type, data)
		if n != 1 {
			continue
		}
		host := rr.Name(data[spans[0][0]:spans[0][1]])
		if !host.IsBelowOrEqual(p.apex) {
			continue
		}
		p.checkHost(p.lines[i].at(j), o, host)
	}
}

// checkAliasTarget warns of a target that has the zone's name twice: a final dot was
// forgotten.
func (p *parser) checkAliasTarget(i int) {
	o := &p.sets[i]
	for j, data := range o.Set.Data {
		target := rr.Name(data)
		if !target.IsBelowOrEqual(p.apex) {
			continue
		}
		if whole := rr.Name(target.Relative(p.apex)) + rr.Root; whole != rr.Root && whole.IsBelowOrEqual(p.apex) {
			p.problems.warn(p.lines[i].at(j), "the target of the %s record is %s: put a dot at the end of the name if it is complete as written",
				rr.TypeString(o.Set.Type), target)
		}
	}
}

func (p *parser) checkHost(at place, o *Owned, host rr.Name) {
	t := rr.TypeString(o.Set.Type)
	cut := p.cutAbove(host)
	switch {
	case p.hasAddress(host):
	case p.find(host, dns.TypeCNAME) != nil:
		// RFC 2181, section 10.3.
		p.problems.warn(at, "the host %s of the %s record is an alias (CNAME): name the host itself", host, t)
	case o.Set.Type == dns.TypeNS && cut != "" && cut.EqualFold(o.Owner):
		p.problems.warn(at, "the name server %s is inside what %s delegates and has no address here (glue): add an A or AAAA record for it", host, o.Owner)
	case cut != "" || p.underWildcard(host):
	case host.CountLabels() > p.apex.CountLabels()+1:
		p.problems.warn(at, "the host %s of the %s record has no address in this zone: add an A or AAAA record, or put a dot at the end of the name if it is complete as written", host, t)
	default:
		p.problems.warn(at, "the host %s of the %s record has no address in this zone: add an A or AAAA record for it", host, t)
	}
}

func (p *parser) hasAddress(host rr.Name) bool {
	return p.find(host, dns.TypeA) != nil || p.find(host, dns.TypeAAAA) != nil
}

// cutAbove gives the highest delegation at or above host, or "".
func (p *parser) cutAbove(host rr.Name) (cut rr.Name) {
	for n := host; len(n) > len(p.apex); n = n.Parent() {
		if p.find(n, dns.TypeNS) != nil {
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
		if p.hasAddress(star) || p.find(star, dns.TypeCNAME) != nil {
			return true
		}
	}
	return false
}
