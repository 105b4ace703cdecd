package dnsserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// model is what the server should be to those who use it, said as plainly as it goes: a zone of records as text, what is
// held of its numbers, and a clock that a test sets. It knows no disk, no sockets and no versions.
type model struct {
	sets   map[modelKey]modelSet
	leases map[string]int64 // of numbers, the labels next to the apex: when they end, in seconds
	signed map[string]int64 // of keys: the newest time signed
	now    int64            // seconds since 1970
}

type modelKey struct {
	owner string // relative to the apex, which is ""
	typ   uint16
}

type modelSet struct {
	ttl  uint32
	data []string // sorted
}

// modelMaxTTL and modelMaxLease are the limits of the zone under test.
const modelMaxTTL, modelMinLease, modelMaxLease = 300, 30, 3600

func (m *model) clone() *model {
	return &model{maps.Clone(m.sets), maps.Clone(m.leases), maps.Clone(m.signed), m.now}
}

// expire ends the leases that have come to their end.
func (m *model) expire() {
	for number, end := range m.leases {
		if end <= m.now {
			m.withdraw(number)
		}
	}
}

func (m *model) withdraw(number string) {
	delete(m.leases, number)
	maps.DeleteFunc(m.sets, func(k modelKey, _ modelSet) bool { return topOf(k.owner) == number })
}

// topOf gives the label next to the apex.
func topOf(owner string) string { return owner[strings.LastIndexByte(owner, '.')+1:] }

func (m *model) has(owner string, typ uint16) bool { return len(m.sets[modelKey{owner, typ}].data) > 0 }

func (m *model) inUse(owner string) bool {
	for k := range m.sets {
		if k.owner == owner {
			return true
		}
	}
	return false
}

// exists tells whether a query for a name is not answered NXDOMAIN: it or one below it has records.
func (m *model) exists(owner string) bool {
	for k := range m.sets {
		if k.owner == owner || owner == "" || strings.HasSuffix(k.owner, "."+owner) {
			return true
		}
	}
	return false
}

// mayBeOld tells of an update that need not be taken, since it is not newer than others of its key, and mustBeOld of one that
// may not be (RFC 8945, section 5.2.3).
func (m *model) mayBeOld(u *modelUpdate) bool {
	return u.signer != "" && u.signed <= m.signed[u.signer]
}

func (m *model) mustBeOld(u *modelUpdate) bool {
	return m.mayBeOld(u) && u.signed < m.signed[u.signer] && u.signer != "shared."
}

// update is RFC 2136, section 3, with the leases of RFC 9664 behind it.
func (m *model) update(u *modelUpdate) (rcode int) {
	for _, r := range u.updates { // section 3.3
		own := (r.owner == u.signer || strings.HasSuffix(r.owner, "."+u.signer)) && r.typ != dns.TypeCNAME
		if u.signer != "" && u.signer != "shared." && !own {
			return dns.RcodeRefused // a phone may change what is its own, and nothing that leads elsewhere
		}
	}
	if rcode := m.prerequisites(u.prerequisites); rcode != dns.RcodeSuccess {
		return rcode
	}
	for _, r := range u.updates { // section 3.4.1
		switch {
		case strings.HasSuffix(r.owner, "."):
			return dns.RcodeNotZone
		case r.class != dns.ClassINET && r.class != dns.ClassANY && r.class != dns.ClassNONE,
			r.class != dns.ClassINET && r.ttl != 0,
			r.class != dns.ClassANY && r.typ == dns.TypeANY:
			return dns.RcodeFormatError
		}
	}
	capTTL, seconds := uint32(modelMaxTTL), u.lease
	if u.lease > 0 {
		seconds = min(max(u.lease, modelMinLease), modelMaxLease)
		capTTL = min(capTTL, uint32(seconds))
	}
	for _, r := range u.updates { // section 3.4.2
		switch r.class {
		case dns.ClassINET:
			m.add(r, capTTL)
		case dns.ClassANY:
			for k := range m.sets {
				if k.owner == r.owner && (r.typ == dns.TypeANY || r.typ == k.typ) && (k.owner != "" || k.typ != dns.TypeSOA && k.typ != dns.TypeNS) {
					delete(m.sets, k)
				}
			}
		case dns.ClassNONE:
			m.remove(r)
		}
	}
	m.lease(u, seconds)
	m.signed[u.signer] = max(m.signed[u.signer], u.signed)
	return dns.RcodeSuccess
}

// prerequisites is RFC 2136, section 3.2.
func (m *model) prerequisites(list []modelRecord) int {
	want := map[modelKey][]string{}
	for _, p := range list {
		there := m.has(p.owner, p.typ) || p.typ == dns.TypeANY && m.inUse(p.owner)
		no := [...]int{dns.RcodeNXRrset, dns.RcodeYXRrset}
		if p.typ == dns.TypeANY {
			no = [...]int{dns.RcodeNameError, dns.RcodeYXDomain}
		}
		switch {
		case strings.HasSuffix(p.owner, "."):
			return dns.RcodeNotZone
		case p.ttl != 0, p.class != dns.ClassINET && p.class != dns.ClassANY && p.class != dns.ClassNONE:
			return dns.RcodeFormatError
		case p.class == dns.ClassANY && !there:
			return no[0]
		case p.class == dns.ClassNONE && there:
			return no[1]
		case p.class == dns.ClassINET:
			k := modelKey{p.owner, p.typ}
			want[k] = append(want[k], p.data)
		}
	}
	for k, data := range want {
		slices.Sort(data)
		if !slices.Equal(slices.Compact(data), m.sets[k].data) {
			return dns.RcodeNXRrset
		}
	}
	return dns.RcodeSuccess
}

// add is RFC 2136, section 3.4.2.2, without SOA.
func (m *model) add(r modelRecord, capTTL uint32) {
	for k := range m.sets {
		if k.owner == r.owner && (k.typ == dns.TypeCNAME) != (r.typ == dns.TypeCNAME) {
			return // a CNAME stands alone
		}
	}
	k := modelKey{r.owner, r.typ}
	data := append(slices.Clone(m.sets[k].data), r.data)
	if r.typ == dns.TypeCNAME {
		data = []string{r.data}
	}
	slices.Sort(data)
	m.sets[k] = modelSet{min(r.ttl, capTTL), slices.Compact(data)}
}

// remove is RFC 2136, section 3.4.2.4.
func (m *model) remove(r modelRecord) {
	k := modelKey{r.owner, r.typ}
	s := m.sets[k]
	if r.owner == "" && r.typ == dns.TypeNS && len(s.data) == 1 {
		return
	}
	s.data = slices.DeleteFunc(slices.Clone(s.data), func(d string) bool { return d == r.data })
	if m.sets[k] = s; len(s.data) == 0 {
		delete(m.sets, k)
	}
}

// lease gives numbers their leases, or takes them away with a lease of 0; what has no records has none.
func (m *model) lease(u *modelUpdate, seconds int64) {
	for _, r := range u.updates {
		switch number := topOf(r.owner); {
		case u.lease < 0 || number == "":
		case u.lease == 0:
			m.withdraw(number)
		case r.class == dns.ClassINET:
			m.leases[number] = m.now + seconds
		}
	}
	maps.DeleteFunc(m.leases, func(number string, _ int64) bool { return !m.exists(number) })
}

// lines are the records as peertest.Content has them, without the SOA.
func (m *model) lines() (lines []string) {
	for k, s := range m.sets {
		for _, d := range s.data {
			lines = append(lines, strings.ToLower(fmt.Sprintf("%s\t%d\tIN\t%s\t%s", nameOf(k.owner), s.ttl, dns.TypeToString[k.typ], d)))
		}
	}
	slices.Sort(lines)
	return lines
}

// nameOf gives an owner as a whole name.
func nameOf(owner string) string {
	switch {
	case owner == "":
		return apex
	case strings.HasSuffix(owner, "."):
		return owner
	}
	return owner + "." + apex
}
