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
// takes away those that it speaks of. A lease is of all that a number has, so it
// is for who may delete all of it; others' updates leave leases alone.
func (m *Message) applyLease(s State, v *view, o LeaseLimits) error {
	if m.Lease == nil && len(m.byDefault) == 0 && m.who.PublicKey == "" {
		return m.settleKEY(s, v)
	}
	for _, number := range m.numbers(v.apex, m.Lease != nil && m.Lease.Seconds == 0) {
		owner := rr.NumberName(number, v.apex)
		own := m.isOwn(owner)
		r := s.Registration(number)
		l := m.Lease
		switch {
		case l != nil:
		case slices.Contains(m.byDefault, number):
			l = &Lease{o.Default, o.KeyMax}
		case own && (m.who.Claims || r.KeyLease != 0):
			l = &Lease{o.Max, o.KeyMax} // nobody has a number for good because he was the first
		default:
			continue
		}
		if number == "*" || !m.list.OwnsName(m.who, owner) { // a wildcard stands for names that have no lease
			m.NotLeased = m.NotLeased || m.Lease != nil
			continue
		}
		if l.Seconds == 0 {
			s.Withdraw(number, own && l.Key == 0 && (r.KeyLease != 0 || v.newKEY(owner)))
			r = s.Registration(number)
		} else if end := s.Now() + 1000*int64(l.Seconds); m.Lease != nil || end > r.Lease {
			r.Lease = end
		}
		// One that was there without a lease was provisioned: it is not the phone's to end.
		if l.Key > 0 && (own && (r.KeyLease != 0 || m.who.Claims) || m.Lease != nil && v.newKEY(owner)) {
			r.KeyLease = max(s.Now()+1000*int64(l.Key), r.Lease)
		}
		if err := m.hold(s, r); err != nil {
			return err
		}
	}
	return m.settleKEY(s, v)
}

// chooseDefault finds the terminal numbers that get the zone's default lease:
// those that have nothing yet, those that have a lease, and that of the key that
// signed. What else is there without a lease is not for one update to end.
func (m *Message) chooseDefault(s State, o LeaseLimits) {
	m.byDefault = m.byDefault[:0]
	if m.Lease != nil || o.Default == 0 {
		return
	}
	apex := s.Apex()
	for _, number := range m.numbers(apex, false) {
		owner := rr.NumberName(number, apex)
		if !rr.IsNumber(number) || !m.list.OwnsName(m.who, owner) {
			continue
		}
		if r := s.Registration(number); r.Lease != 0 || r.KeyLease != 0 || m.who.Key.EqualFold(owner) || s.IsEmpty(number) {
			m.byDefault = append(m.byDefault, number)
		}
	}
}

// limitsOf gives the limits for one record.
func (m *Message) limitsOf(u *Record, apex rr.Name, o Limits) Limits {
	if len(m.byDefault) > 0 && slices.Contains(m.byDefault, u.Owner.Lower().TopLabel(apex)) {
		o.capTTL(o.Lease.Default)
	}
	return o
}

// leaseLeft is what is left of the leases that a message got that comes again.
func (m *Message) leaseLeft(s State) {
	if m.Lease == nil || m.Lease.Seconds == 0 {
		return
	}
	left := *m.Lease
	for _, number := range m.numbers(s.Apex(), false) {
		r := s.Registration(number)
		m.NotLeased = m.NotLeased || r.Lease == 0
		left.Seconds = min(left.Seconds, secondsTo(r.Lease, s.Now()))
		if r.KeyLease != 0 {
			left.Key = min(left.Key, secondsTo(r.KeyLease, s.Now()))
		}
	}
	m.Lease = &left
}

func secondsTo(end, now int64) uint32 { return uint32(max(end-now, 0) / 1000) }

// settleKEY ends the key leases of KEY records that the update has taken away,
// or that somebody else than their phone has changed: these are provisioned.
func (m *Message) settleKEY(s State, v *view) error {
	for _, n := range v.nodes {
		key := n.any(dns.TypeKEY)
		if key == nil || !key.differs() {
			continue
		}
		number := n.owner.Lower().TopLabel(v.apex)
		owner := rr.NumberName(number, v.apex)
		if number == "" || !n.owner.EqualFold(owner) {
			continue
		}
		r := s.Registration(number)
		if r.KeyLease != 0 && (len(key.Data) == 0 || !m.isOwn(owner) && len(key.was.Data) > 0) {
			r.KeyLease = 0
			if err := m.hold(s, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// isOwn tells whether the update is signed by the public key of a number.
func (m *Message) isOwn(owner rr.Name) bool {
	return m.who.PublicKey != "" && m.who.Key.EqualFold(owner)
}

// hold replaces what is held of a number and says who did. What memory does not
// have of it, and this update does not replace, is read from the store.
func (m *Message) hold(s State, r rr.Registration) error {
	if r.Signed != 0 && r.Digest == 0 {
		stored, err := s.Stored(r.Number)
		if err != nil {
			return err
		}
		r.Digest, r.Public = stored.Digest, stored.Public
	}
	r.Updated, r.Key, r.From = s.Now(), m.who.Key, m.who.Address
	s.Hold(r)
	return nil
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
		if !u.Owner.IsBelowOrEqual(apex) { // of a message that comes again it is not refused yet
			continue
		}
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
// a number's own name.
func (v *view) newKEY(owner rr.Name) bool {
	n := v.known(owner)
	if n == nil {
		return false
	}
	key := n.find(dns.TypeKEY)
	return key != nil && len(key.was.Data) == 0
}
