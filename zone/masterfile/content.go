package masterfile

import (
	"cmp"
	"errors"
	"iter"
	"slices"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Content is what a master file holds. Each RRset takes some dozens of octets
// and no pointer, so that millions of them are read without filling memory:
// names and data stand in one long text, and an index leads to a name.
type Content struct {
	apex    rr.Name
	text    text
	names   list[name]
	sets    list[set]
	more    list[record]
	records int
	index   index
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
	return &Content{apex: apex, index: newIndex()}
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
		for n := range c.order() {
			own = own[:0]
			for i := c.names.at(n).first; i > 0; i = c.sets.at(int(i - 1)).next {
				own = append(own, int(i-1))
			}
			if len(own) > 1 {
				slices.SortFunc(own, func(a, b int) int { return cmp.Compare(c.sets.at(a).typ, c.sets.at(b).typ) })
			}
			for _, i := range own {
				if c.fill(&o, i); !yield(&o) {
					return
				}
			}
		}
	}
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
	n := c.lookup(owner.Relative(c.apex))
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
