package ratelimit

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"sort"
)

// spans are ranges of addresses in order that do not overlap, found by halving.
type spans []span

type span struct{ first, last netip.Addr }

func newSpans(list []netip.Prefix) (s spans) {
	for _, p := range list {
		p = p.Masked()
		s = append(s, span{p.Addr(), lastOf(p)})
	}
	// Prefixes overlap only as one holds the other: the wider one comes first and hides those in it.
	slices.SortFunc(s, func(a, b span) int { return cmp.Or(a.first.Compare(b.first), b.last.Compare(a.last)) })
	n := 0
	for _, x := range s {
		if n == 0 || s[n-1].last.Less(x.last) {
			s[n] = x
			n++
		}
	}
	return s[:n]
}

// lastOf gives the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	host := p.Addr().BitLen() - p.Bits()
	if p.Addr().Is4() {
		b := p.Addr().As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])|uint32(1<<host-1))
		return netip.AddrFrom4(b)
	}
	b := p.Addr().As16()
	for i := 15; host > 0; i, host = i-1, host-8 {
		b[i] |= byte(1<<min(host, 8) - 1)
	}
	return netip.AddrFrom16(b)
}

// has tells whether an address is in one of the ranges.
func (s spans) has(a netip.Addr) bool {
	i := sort.Search(len(s), func(i int) bool { return a.Less(s[i].first) })
	return i > 0 && s[i-1].last.Compare(a) >= 0
}
