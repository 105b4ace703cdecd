package update

import (
	"slices"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Lease is how long what an update adds may stay, in seconds, as it is granted
// (RFC 9664). It is of whole numbers: the label next to the apex and all that is
// below it, which begins and ends together. Where the RFC has a lease for each
// record, a number would be left half gone: with an SRV record that leads to no
// address.
type Lease struct {
	Seconds uint32 // of all but KEY; 0 takes the numbers that the update speaks of away
	Key     uint32 // of KEY
}

// LeaseLimits are what may be granted, in seconds.
type LeaseLimits struct {
	Default uint32 // of updates of terminal numbers that do not ask for a lease; 0: what they add stays
	Min     uint32
	Max     uint32
	KeyMax  uint32
}

// Lengths of the option's two forms (RFC 9664, section 4).
const (
	LeaseShort = 4
	LeaseLong  = 8
)

// Grant gives what a client gets that asks for so many seconds (RFC 9664,
// section 4.2): within the limits, but for 0, which withdraws. No key lease ends
// before the lease.
func (l LeaseLimits) Grant(lease, key uint32) Lease {
	clamp := func(v, most uint32) uint32 {
		if v == 0 {
			return 0
		}
		return min(max(v, l.Min), most)
	}
	g := Lease{clamp(lease, l.Max), clamp(key, l.KeyMax)}
	if g.Seconds > 0 {
		g.Key = max(g.Key, g.Seconds)
	}
	return g
}

// applyLease gives the numbers that the update adds records to their lease, or
// takes away those that it speaks of.
func (m *Message) applyLease(s State, v *view) {
	l := m.Lease
	if l == nil {
		if m.byDefault == 0 {
			return
		}
		l = &Lease{m.byDefault, m.byDefaultKey}
	}
	apex := s.Apex()
	for _, number := range m.numbers(apex, l.Seconds == 0) {
		if m.Lease == nil && !rr.IsNumber(number) {
			continue
		}
		r := s.Registration(number)
		if l.Seconds == 0 {
			s.Withdraw(number, l.Key == 0 && r.KeyLease != 0)
			r = s.Registration(number)
		} else {
			r.Lease = s.Now() + 1000*int64(l.Seconds)
		}
		if l.Key > 0 && (r.KeyLease != 0 || v.newKEY(number)) {
			r.KeyLease = max(s.Now()+1000*int64(l.Key), r.Lease)
		}
		m.note(s, &r)
		s.Hold(r)
	}
}

// note says who has updated a number.
func (m *Message) note(s State, r *rr.Registration) {
	r.Updated, r.Key, r.From = s.Now(), m.who.Key, m.who.Address
}

// numbers gives the labels next to the apex of what is added, or of all that is
// changed.
func (m *Message) numbers(apex rr.Name, all bool) (list []string) {
	const many = 16
	var seen map[string]bool
	last := rr.Name("")
	for i := range m.Updates {
		u := &m.Updates[i]
		if u.Owner == last || u.Class != m.Class && !all {
			continue
		}
		last = u.Owner
		number := u.Owner.Lower().TopLabel(apex)
		if number == "" {
			continue
		}
		if seen == nil && len(list) >= many {
			seen = make(map[string]bool, 2*many)
			for _, n := range list {
				seen[n] = true
			}
		}
		if seen != nil {
			if seen[number] {
				continue
			}
			seen[number] = true
		} else if slices.Contains(list, number) {
			continue
		}
		list = append(list, number)
	}
	return list
}

// newKEY tells whether the update has put a KEY record where there was none, at
// a number's own name. One that was there without a lease was provisioned: it is
// not the phone's to end.
func (v *view) newKEY(number string) bool {
	for _, n := range v.nodes {
		if len(n.owner) == 1+len(number)+len(v.apex) && n.owner.Lower().TopLabel(v.apex) == number {
			key := n.find(dns.TypeKEY)
			return key != nil && len(key.was.Data) == 0
		}
	}
	return false
}
