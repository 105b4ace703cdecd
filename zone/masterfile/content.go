package masterfile

import (
	"cmp"
	"errors"
	"hash/maphash"
	"iter"
	"slices"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Content is what a master file holds. Each RRset takes some dozens of octets
// and no pointer, so that millions of them are read without filling memory:
// names and data stand in one long text, and a hash table leads to a name.
type Content struct {
	apex    rr.Name
	text    text
	names   list[name]
	sets    list[set]
	more    list[record]
	records int

	slots []uint32 // numbers of names, plus 1; open addressing
	seed  maphash.Seed
	lower []byte // of the name that is looked up
}

// name is an owner; all its RRsets bear the spelling of its first record, and
// the apex as it is configured. If they came with several spellings, a restart
// could show another one under the same serial.
type name struct {
	labels      span // before the apex
	hash        uint32
	first, last uint32 // its sets in the order of the file, plus 1
}

// set is an RRset. Nearly all have one record, which is kept right here.
type set struct {
	name        uint32
	next        uint32 // of the same name, plus 1
	data        span
	ttl         uint32
	typ         uint16
	mixed       bool // the different TTLs were reported
	large       bool // the size was reported
	at          place
	octets      uint32 // in a message, with owners compressed
	count       uint32 // records
	first, last uint32 // of the records behind the first, plus 1
}

type record struct {
	data span
	at   place
	next uint32
}

func newContent(apex rr.Name) *Content {
	return &Content{apex: apex, slots: make([]uint32, 16), seed: maphash.MakeSeed()}
}

// Names counts the owners.
func (c *Content) Names() int { return c.names.n }

// Sets counts the RRsets.
func (c *Content) Sets() int { return c.sets.n }

// Records counts the records.
func (c *Content) Records() int { return c.records }

// Serial of the zone.
func (c *Content) Serial() (uint32, error) {
	if i, ok := c.find(c.apex, dns.TypeSOA); ok && c.sets.at(i).count == 1 {
		soa, err := rr.ParseSOA(string(c.text.cut(c.sets.at(i).data)))
		return soa.Serial, err
	}
	return 0, errors.New("there is no SOA record")
}

// All gives the RRsets in the order in which their first records stand in the
// file. Each owner and type comes once.
func (c *Content) All() iter.Seq[*rr.Octets] {
	return func(yield func(*rr.Octets) bool) {
		var o rr.Octets
		for i := range c.sets.n {
			if c.fill(&o, i); !yield(&o) {
				return
			}
		}
	}
}

// Sorted gives the RRsets by owner in canonical order (RFC 4034, section 6.1)
// and then by type, as the store keeps them.
func (c *Content) Sorted() iter.Seq[*rr.Octets] {
	return func(yield func(*rr.Octets) bool) {
		var o rr.Octets
		var own []int
		for _, n := range c.order() {
			own = own[:0]
			for i := c.names.at(int(n)).first; i > 0; i = c.sets.at(int(i - 1)).next {
				own = append(own, int(i-1))
			}
			slices.SortFunc(own, func(a, b int) int { return cmp.Compare(c.sets.at(a).typ, c.sets.at(b).typ) })
			for _, i := range own {
				if c.fill(&o, i); !yield(&o) {
					return
				}
			}
		}
	}
}

// order gives the names in canonical order. Most comparisons are over after
// the first octets of the label next to the apex, which stand together here.
func (c *Content) order() []uint32 {
	type prefixed struct {
		prefix uint64
		name   uint32
	}
	all := make([]prefixed, c.names.n)
	for i := range all {
		all[i] = prefixed{prefixOf(c.labels(i)), uint32(i)}
	}
	compare := func(a, b prefixed) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return c.owner(int(a.name)).Compare(c.owner(int(b.name)))
	}
	if !slices.IsSortedFunc(all, compare) {
		slices.SortFunc(all, compare)
	}
	order := make([]uint32, len(all))
	for i, p := range all {
		order[i] = p.name
	}
	return order
}

// prefixOf gives the first octets of the last label, in lower case.
func prefixOf(labels []byte) (p uint64) {
	last := labels
	for i := 0; i < len(labels); i += int(labels[i]) + 1 {
		last = labels[i+1 : i+1+int(labels[i])]
	}
	for i := range 8 {
		p <<= 8
		if i < len(last) {
			b := last[i]
			if 'A' <= b && b <= 'Z' {
				b |= 0x20
			}
			p |= uint64(b)
		}
	}
	return p
}

// fill makes o show set i.
func (c *Content) fill(o *rr.Octets, i int) {
	s := c.sets.at(i)
	o.Owner = append(append(o.Owner[:0], c.labels(int(s.name))...), c.apex...)
	o.Type, o.TTL, o.Data = s.typ, s.ttl, append(o.Data[:0], c.text.cut(s.data))
	for r := s.first; r > 0; r = c.more.at(int(r - 1)).next {
		o.Data = append(o.Data, c.text.cut(c.more.at(int(r-1)).data))
	}
}

// labels of a name, without the apex.
func (c *Content) labels(i int) []byte { return c.text.cut(c.names.at(i).labels) }

func (c *Content) owner(i int) rr.Name { return rr.Name(c.labels(i)) + c.apex }

// find gives the RRset of owner and type t.
func (c *Content) find(owner rr.Name, t uint16) (i int, ok bool) {
	if !owner.IsBelowOrEqual(c.apex) {
		return 0, false
	}
	n, _ := c.lookup(owner.Relative(c.apex))
	if n < 0 {
		return 0, false
	}
	return c.setOf(n, t)
}

// setOf gives the RRset of a name.
func (c *Content) setOf(name int, t uint16) (i int, ok bool) {
	for s := c.names.at(name).first; s > 0; s = c.sets.at(int(s - 1)).next {
		if c.sets.at(int(s-1)).typ == t {
			return int(s - 1), true
		}
	}
	return 0, false
}

// lookup gives the number of a name, or -1, and its hash.
func (c *Content) lookup(labels string) (number int, hash uint32) {
	c.lower = append(c.lower[:0], labels...)
	rr.LowerBytes(c.lower)
	hash = uint32(maphash.Bytes(c.seed, c.lower))
	mask := uint32(len(c.slots) - 1)
	for i := hash & mask; c.slots[i] != 0; i = (i + 1) & mask {
		n := int(c.slots[i] - 1)
		if c.names.at(n).hash == hash && rr.EqualFold(c.labels(n), c.lower) {
			return n, hash
		}
	}
	return -1, hash
}

// intern gives the number of a name, which it adds when it is new.
func (c *Content) intern(labels string) int {
	n, hash := c.lookup(labels)
	if n >= 0 {
		return n
	}
	if 4*c.names.n >= 3*len(c.slots) {
		c.slots = make([]uint32, 2*len(c.slots))
		for i := range c.names.n {
			c.place(i)
		}
	}
	n = c.names.add(name{labels: c.text.put(labels), hash: hash})
	c.place(n)
	return n
}

func (c *Content) place(n int) {
	mask := uint32(len(c.slots) - 1)
	i := c.names.at(n).hash & mask
	for c.slots[i] != 0 {
		i = (i + 1) & mask
	}
	c.slots[i] = uint32(n + 1)
}

// addSet adds an RRset with its first record.
func (c *Content) addSet(at place, name int, r *rr.RR) {
	n := c.names.at(name)
	i := uint32(c.sets.add(set{
		name: uint32(name), typ: r.Type, ttl: r.TTL, data: c.text.put(r.Data), at: at,
		octets: uint32(12 + len(r.Data)), count: 1,
	}) + 1)
	if n.first == 0 {
		n.first = i
	} else {
		c.sets.at(int(n.last - 1)).next = i
	}
	n.last = i
	c.records++
}

// addRecord adds a record to an RRset that has one.
func (c *Content) addRecord(at place, s *set, data string) {
	i := uint32(c.more.add(record{data: c.text.put(data), at: at}) + 1)
	if s.first == 0 {
		s.first = i
	} else {
		c.more.at(int(s.last - 1)).next = i
	}
	s.last = i
	s.count++
	c.records++
}

// each calls f for the records of an RRset until it is false.
func (c *Content) each(s *set, f func(data []byte, at place) bool) {
	if !f(c.text.cut(s.data), s.at) {
		return
	}
	for i := s.first; i > 0; {
		r := c.more.at(int(i - 1))
		if !f(c.text.cut(r.data), r.at) {
			return
		}
		i = r.next
	}
}
