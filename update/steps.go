package update

import (
	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// checkZone is RFC 2136, section 3.1, as far as the caller, who found the zone,
// has not done it.
func checkZone(s State, m *Message) error {
	if m.Class != dns.ClassINET || !m.Zone.EqualFold(s.Apex()) { // RFC 2136, section 3.1.2
		return &Error{Rcode: dns.RcodeNotAuth, EDE: dns.ExtendedErrorCodeOther,
			Text: m.Zone.String() + " is not the name of this zone in class IN"}
	}
	return nil
}

// checkPrerequisites is RFC 2136, section 3.2: all in message order, then the
// RRsets whose values are required.
func checkPrerequisites(v *view, m *Message) error {
	for i := range m.Prerequisites {
		p := &m.Prerequisites[i]
		if !p.Owner.IsBelowOrEqual(v.apex) {
			return about(dns.RcodeNotZone, p.Owner, dns.TypeANY, "is not in the zone")
		}
		if p.TTL != 0 {
			return formErr("prerequisite at %s has TTL %d, not 0", p.Owner, p.TTL)
		}
		var err error
		switch p.Class {
		case dns.ClassANY:
			err = checkExists(v, p)
		case dns.ClassNONE:
			err = checkExistsNot(v, p)
		case m.Class:
			s := v.node(p.Owner).ensure(p.Type)
			s.wants = append(s.wants, p.Data)
		default: // RFC 2136, section 3.2.4
			err = formErr("prerequisite at %s has class %d", p.Owner, p.Class)
		}
		if err != nil {
			return err
		}
	}
	return checkValues(v)
}

// checkExists is RFC 2136, section 3.2.1.
func checkExists(v *view, p *Record) error {
	if !p.Empty {
		return formErr("prerequisite at %s of class ANY has rdata", p.Owner)
	}
	n := v.node(p.Owner)
	if p.Type == dns.TypeANY {
		if !n.inUse() {
			return about(dns.RcodeNameError, p.Owner, p.Type, "is not in use")
		}
		return nil
	}
	if !n.has(p.Type) {
		return about(dns.RcodeNXRrset, p.Owner, p.Type, "does not exist")
	}
	return nil
}

// checkExistsNot is RFC 2136, section 3.2.2.
func checkExistsNot(v *view, p *Record) error {
	if !p.Empty {
		return formErr("prerequisite at %s of class NONE has rdata", p.Owner)
	}
	n := v.node(p.Owner)
	if p.Type == dns.TypeANY {
		if n.inUse() {
			return about(dns.RcodeYXDomain, p.Owner, p.Type, "is in use")
		}
		return nil
	}
	if n.has(p.Type) {
		return about(dns.RcodeYXRrset, p.Owner, p.Type, "exists")
	}
	return nil
}

// checkValues is RFC 2136, section 3.2.3: what is required and what is there
// are equal as sets, so a record that is required twice counts once.
func checkValues(v *view) error {
	for _, n := range v.nodes {
		for i := range n.sets {
			s := &n.sets[i]
			if len(s.wants) > 0 && !s.isExactly(s.wants) {
				return about(dns.RcodeNXRrset, n.owner, s.Type, "does not have exactly these records")
			}
		}
	}
	return nil
}

// prescan is RFC 2136, section 3.4.1: all that can be wrong with the update
// section is found before anything changes.
func prescan(v *view, m *Message) error {
	for i := range m.Updates {
		u := &m.Updates[i]
		if !u.Owner.IsBelowOrEqual(v.apex) {
			return about(dns.RcodeNotZone, u.Owner, dns.TypeANY, "is not in the zone")
		}
		meta := rr.IsMetaType(u.Type)
		// Type 0 is never one of data (RFC 6895, section 3.1).
		switch noData := meta || u.Type == dns.TypeNone; u.Class {
		case m.Class:
			if noData {
				return formErr("%s %s: a zone cannot hold this type", u.Owner, rr.TypeString(u.Type))
			}
		case dns.ClassANY:
			if u.TTL != 0 || !u.Empty || meta && u.Type != dns.TypeANY {
				return formErr("deletion at %s of class ANY needs TTL 0, no rdata and a type of data", u.Owner)
			}
		case dns.ClassNONE:
			if u.TTL != 0 || noData {
				return formErr("deletion at %s of class NONE needs TTL 0 and a type of data", u.Owner)
			}
		default:
			return formErr("update at %s has class %d", u.Owner, u.Class)
		}
	}
	return nil
}

// checkTypes refuses what no client may change (RFC 3007, section 3.1.1). It
// is a matter of permission, so it comes before prerequisites.
func (m *Message) checkTypes() error {
	for i := range m.Updates {
		switch u := &m.Updates[i]; u.Type {
		case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeNXT:
			return prohibited("nobody may change " + u.Owner.String() + " " + rr.TypeString(u.Type) +
				": signatures and denial records cannot be updated")
		}
	}
	return nil
}

// apply is RFC 2136, section 3.4.2, strictly in message order, on the view.
func apply(v *view, m *Message, o Limits) {
	for i := range m.Updates {
		u := &m.Updates[i]
		n := v.node(u.Owner)
		switch u.Class {
		case m.Class:
			if why := addRecord(n, u, m.limitsOf(u, v.apex, o)); why != "" {
				v.note(u, why)
			}
		case dns.ClassANY:
			deleteRRsets(v, n, u, m.keepKEY)
		case dns.ClassNONE:
			deleteRecord(v, n, u)
		}
	}
}

// typeWKS is missing in miekg/dns.
const typeWKS = 11

// Reasons to ignore a record.
const (
	whyCNAME    = "a CNAME exists"
	whyOther    = "other data exists"
	whyNotApex  = "it is not the apex"
	whySerial   = "its serial is not higher"
	whyZero     = "its serial is 0"
	whyWildcard = "the owner is a wildcard"
	whyApex     = "it belongs above the apex"
	whyNeeded   = "the zone cannot be without it"
)

// addRecord is RFC 2136, section 3.4.2.2. It returns why the record is ignored.
func addRecord(n *node, u *Record, o Limits) (why string) {
	ttl := u.TTL
	if ttl > 1<<31-1 { // RFC 2181, section 8
		ttl = 0
	}
	if o.MaxTTL > 0 && u.Type != dns.TypeSOA {
		ttl = min(ttl, o.MaxTTL)
	}
	if why := ignores(n, u); why != "" {
		return why
	}
	s := n.ensure(u.Type)
	switch at := s.find(u.Data); {
	case at >= 0:
		// The record is there: only the TTL may change.
	case isSingleton(u.Type):
		s.replaceAll(u.Data)
	case u.Type == typeWKS:
		if old := s.sameService(u.Data); old >= 0 {
			s.remove(old)
		}
		s.add(u.Data)
	default:
		s.add(u.Data)
	}
	s.TTL = ttl // of the whole RRset: RFC 2181, section 5.2
	n.owner = u.Owner
	return ""
}

// ignores tells why a record that is added must be ignored; "" when it need not.
func ignores(n *node, u *Record) string {
	switch u.Type {
	case dns.TypeSOA:
		return ignoresSOA(n, u)
	case dns.TypeCNAME:
		if n.hasBesidesCNAME() { // RFC 2136, section 3.4.2.2
			return whyOther
		}
		return ""
	case dns.TypeNS, dns.TypeDNAME:
		if u.Owner.IsWildcard() { // RFC 4592, sections 4.2 and 4.4
			return whyWildcard
		}
	case dns.TypeDS:
		if n.apex { // RFC 4035, section 2.4
			return whyApex
		}
	}
	// RFC 6672, section 5.2 has the same for a DNAME.
	if n.has(dns.TypeCNAME) && !besideCNAME(u.Type) { // RFC 2136, section 3.4.2.2
		return whyCNAME
	}
	return ""
}

// ignoresSOA is what RFC 2136, section 3.4.2.2 says of SOA records. A serial
// of 0 is never taken (RFC 2136, section 4.2).
func ignoresSOA(n *node, u *Record) string {
	if !n.apex {
		return whyNotApex
	}
	now, err := rr.ParseSOA(n.soaData())
	if err != nil {
		return ""
	}
	next, err := rr.ParseSOA(u.Data)
	switch {
	case err != nil || !rr.SerialGreater(next.Serial, now.Serial):
		return whySerial
	case next.Serial == 0:
		return whyZero
	}
	return ""
}

// besideCNAME tells the types that may stand beside a CNAME (RFC 4035, section
// 2.5).
func besideCNAME(t uint16) bool {
	return t == dns.TypeRRSIG || t == dns.TypeNSEC || t == dns.TypeKEY
}

// isSingleton tells the types of which a name has one record at most (RFC 2136,
// section 1.1.5; RFC 6672, section 2.4).
func isSingleton(t uint16) bool {
	return t == dns.TypeSOA || t == dns.TypeCNAME || t == dns.TypeDNAME
}

// deleteRRsets is RFC 2136, section 3.4.2.3. With keepKEY the deletion of all
// RRsets spares KEY, which is what a number is claimed by (RFC 9665, section
// 3.2.5.5.1).
func deleteRRsets(v *view, n *node, u *Record, keepKEY bool) {
	for i := range n.sets {
		s := &n.sets[i]
		if u.Type != dns.TypeANY && u.Type != s.Type || keepKEY && u.Type == dns.TypeANY && s.Type == dns.TypeKEY {
			continue
		}
		if n.apex && (s.Type == dns.TypeSOA || s.Type == dns.TypeNS) {
			if u.Type != dns.TypeANY {
				v.note(u, whyNeeded)
			}
			continue
		}
		s.clear()
	}
}

// deleteRecord is RFC 2136, section 3.4.2.4.
func deleteRecord(v *view, n *node, u *Record) {
	s := n.find(u.Type)
	if s == nil {
		return
	}
	at := s.find(u.Data)
	if at < 0 {
		return
	}
	if n.apex && (u.Type == dns.TypeSOA || u.Type == dns.TypeNS && len(s.Data) == 1) {
		v.note(u, whyNeeded)
		return
	}
	s.remove(at)
}
