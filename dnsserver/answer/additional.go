package answer

import (
	"bytes"

	"github.com/miekg/dns"

	"dialtone/zone"
)

// maxTargets bounds the names looked up for the additional section of one
// answer, glue that is required aside.
const maxTargets = 64

// leastRecord is the size of the smallest record that is additional: A.
const leastRecord = 2 + 10 + 4

// glue writes the addresses of name servers at or below the cut, without
// which the child cannot be reached: all of them, or TC (RFC 9471, section
// 3.1). It reports whether there was room.
func (s *Scratch) glue(v zone.View, ns zone.Set) bool {
	l := &s.lookup
	cut := l.name.Suffix(l.res.OwnerLabels)
	c := ns.Data()
	for target, ok := c.Next(); ok; target, ok = c.Next() {
		if len(target) < len(cut) {
			continue
		}
		l.other.Set(target)
		if !within(&l.other, cut, l.res.OwnerLabels) {
			continue
		}
		if n, ok := v.Node(&l.other); ok && !s.addresses(target, n, s.w.need) {
			return false
		}
	}
	return true
}

func within(q *zone.QName, above []byte, labels int) bool {
	return q.Labels >= labels && bytes.Equal(q.Suffix(labels), above)
}

// siblings writes the addresses that we have of the other name servers, as far
// as there is room (RFC 9471, section 3.2).
func (r *Responder) siblings(ns zone.Set, s *Scratch) {
	l := &s.lookup
	cut := l.name.Suffix(l.res.OwnerLabels)
	c := ns.Data()
	for target, ok := c.Next(); ok; target, ok = c.Next() {
		l.other.Set(target)
		if !within(&l.other, cut, l.res.OwnerLabels) {
			r.addAddresses(target, true, s)
		}
	}
}

// addresses writes A and AAAA by put until it finds no room.
func (s *Scratch) addresses(name []byte, n zone.Node, put func(owner, zone.Set, uint32) bool) bool {
	for _, t := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
		if set, ok := n.Find(t); ok && !put(owner{name: name}, set, set.TTL()) {
			return false
		}
	}
	return true
}

// additional writes what the client will ask for when it has this RRset, as
// far as our zones have it and the message has room (RFC 1035, section 3.3.9;
// RFC 2782; RFC 3403, section 4.2.1; RFC 9460, section 4.1).
func (r *Responder) additional(set zone.Set, s *Scratch) {
	t := set.Type()
	c := set.Data()
	for d, ok := c.Next(); ok; d, ok = c.Next() {
		target, off := targetOf(t, d)
		if target == nil {
			return
		}
		switch t {
		case dns.TypeNS, dns.TypeMX, dns.TypeSRV:
			r.addAddresses(target, t == dns.TypeNS, s)
		case dns.TypeNAPTR:
			r.addNAPTR(target, d[4+1:off], d[4], s)
		case dns.TypeSVCB, dns.TypeHTTPS:
			r.addService(t, target, d[0] == 0 && d[1] == 0, s)
		}
	}
}

// addNAPTR follows a NAPTR's replacement as its flags say (RFC 3403, section
// 4.1; RFC 3404, section 4.1): to SRV and on to addresses, or to addresses.
// rest starts with the flags' octets.
func (r *Responder) addNAPTR(replacement, rest []byte, flags uint8, s *Scratch) {
	if flags > 1 {
		return
	}
	if flags == 0 {
		r.addAddresses(replacement, false, s)
		return
	}
	switch rest[0] | 0x20 {
	case 'a':
		r.addAddresses(replacement, false, s)
	case 's':
		if srv := r.addSet(replacement, dns.TypeSRV, srvOwner, s); !srv.IsZero() {
			r.additional(srv, s)
		}
	}
}

// addService follows SVCB and HTTPS. A target of "." in service mode is the
// owner itself (RFC 9460, section 2.5.2), in alias mode nothing (section
// 2.5.1).
func (r *Responder) addService(t uint16, target []byte, alias bool, s *Scratch) {
	l := &s.lookup
	switch {
	case len(target) > 1 && alias:
		as := uint8(svcbOwner)
		if t == dns.TypeHTTPS {
			as = httpsOwner
		}
		r.addSet(target, t, as, s)
		r.addAddresses(target, false, s)
	case len(target) > 1:
		r.addAddresses(target, false, s)
	case !alias:
		r.addAddresses(l.current, false, s)
	}
}

// find looks a target up in our zones. The node is good for every type when
// ok; at a cut or below it the addresses are glue, which only a name server's
// name may be answered with.
func (r *Responder) find(target []byte, t uint16, as uint8, glue bool, s *Scratch) (n zone.Node, ok bool) {
	l := &s.lookup
	if len(target) == 1 || l.targets >= maxTargets || s.w.pos+leastRecord > s.w.limit {
		return n, false
	}
	l.other.Set(target)
	if l.inAnswer(t, s.Request.QType) || l.seen(as, l.other.Wire[:l.other.Len]) {
		return n, false
	}
	l.targets++
	z := r.zones.Find(&l.other, t)
	if z == nil {
		return n, false
	}
	v := l.view(z)
	v.Lookup(&l.other, t, &l.otherRes)
	switch l.otherRes.Outcome {
	case zone.Answer, zone.NoData:
		return l.otherRes.Node, true
	case zone.Referral:
		if glue {
			return v.Node(&l.other)
		}
	}
	return n, false
}

// inAnswer tells whether the RRset of the other name and this type is in the
// answer section.
func (l *lookup) inAnswer(t, qtype uint16) bool {
	return (qtype == t || qtype == dns.TypeANY) && l.other.Len == l.name.Len &&
		bytes.Equal(l.other.Wire[:l.other.Len], l.name.Wire[:l.name.Len])
}

func (r *Responder) addAddresses(target []byte, glue bool, s *Scratch) {
	if n, ok := r.find(target, dns.TypeA, addressOwner, glue, s); ok {
		s.addresses(target, n, s.w.set)
	}
}

func (r *Responder) addSet(target []byte, t uint16, as uint8, s *Scratch) zone.Set {
	if n, ok := r.find(target, t, as, false, s); ok {
		if set, ok := n.Find(t); ok && s.w.set(owner{name: target}, set, set.TTL()) {
			return set
		}
	}
	return zone.Set{}
}
