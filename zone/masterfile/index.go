package masterfile

import (
	"cmp"
	"hash/maphash"
	"iter"
	"slices"
	"sort"

	"dialtone/zone/rr"
)

// index leads from a name to its number. Master files that a program wrote have
// their names in canonical order, but for the first few. So the last names that
// came in this order, the run, are not in the hash table but are searched, and
// a name that comes behind the last one is new without a search. Measured with
// 1,000,000 numbers: the hash table alone took 0.3 of the 0.6 s of reading.
type index struct {
	slots    []uint32 // numbers of names, plus 1; open addressing
	used     int
	seed     maphash.Seed
	lower    []byte // of the name that is looked up
	run      int    // names from this one on are the run
	last     []byte // name of the run, in lower case
	searches int    // of the run
}

// manySearches is how many searches of the run pay for putting it into the hash
// table.
const manySearches = 1000

func newIndex() index { return index{slots: make([]uint32, 16), seed: maphash.MakeSeed()} }

// lookup gives the number of a name, or -1.
func (c *Content) lookup(labels string) int {
	n := c.hashed(c.lowered(labels))
	if n >= 0 || c.index.run == c.names.n {
		return n
	}
	if c.index.searches++; c.index.searches > manySearches {
		c.endRun()
		return c.hashed(c.index.lower)
	}
	i := c.search(c.index.run, c.index.lower)
	if i < c.names.n && rr.EqualFold(c.labels(i), c.index.lower) {
		return i
	}
	return -1
}

// search gives the first name from number from on, all of which are of the run,
// that does not come before lower.
func (c *Content) search(from int, lower []byte) int {
	return from + sort.Search(c.names.n-from, func(i int) bool { return compareLabels(c.labels(from+i), lower) >= 0 })
}

// intern gives the number of a name, which it adds when it is new.
func (c *Content) intern(labels string) int {
	x := &c.index
	lower := c.lowered(labels)
	if x.run < c.names.n {
		switch order := compareLabels(lower, x.last); {
		case order == 0:
			return c.names.n - 1
		case order < 0:
			c.endRun()
		}
	}
	if n := c.hashed(lower); n >= 0 {
		return n
	}
	x.last = append(x.last[:0], lower...)
	return c.names.add(name{labels: c.text.put(labels)})
}

func (c *Content) lowered(labels string) []byte {
	c.index.lower = append(c.index.lower[:0], labels...)
	rr.LowerBytes(c.index.lower)
	return c.index.lower
}

// endRun puts the run into the hash table.
func (c *Content) endRun() {
	x := &c.index
	var lower []byte
	for ; x.run < c.names.n; x.run++ {
		if 4*x.used >= 3*len(x.slots) {
			x.slots = make([]uint32, 2*len(x.slots))
			for i := range x.used {
				c.place(i)
			}
		}
		lower = append(lower[:0], c.labels(x.run)...)
		rr.LowerBytes(lower)
		c.names.at(x.run).hash = x.hash(lower)
		c.place(x.run)
		x.used++
	}
}

func (x *index) hash(lower []byte) uint32 { return uint32(maphash.Bytes(x.seed, lower)) }

// hashed gives the number of a name in the hash table, or -1.
func (c *Content) hashed(lower []byte) int {
	x := &c.index
	if x.used == 0 {
		return -1
	}
	hash, mask := x.hash(lower), uint32(len(x.slots)-1)
	for i := hash & mask; x.slots[i] != 0; i = (i + 1) & mask {
		n := int(x.slots[i] - 1)
		if c.names.at(n).hash == hash && rr.EqualFold(c.labels(n), lower) {
			return n
		}
	}
	return -1
}

func (c *Content) place(n int) {
	slots := c.index.slots
	mask := uint32(len(slots) - 1)
	i := c.names.at(n).hash & mask
	for slots[i] != 0 {
		i = (i + 1) & mask
	}
	slots[i] = uint32(n + 1)
}

// compareLabels orders names relative to one apex canonically (RFC 4034,
// section 6.1); b is in lower case.
func compareLabels(a, b []byte) int {
	if len(a) == 0 || len(b) == 0 || int(a[0]) != len(a)-1 || int(b[0]) != len(b)-1 {
		return rr.Name(a).Compare(rr.Name(b))
	}
	for i := 1; i < min(len(a), len(b)); i++ {
		x := a[i]
		if 'A' <= x && x <= 'Z' {
			x |= 0x20
		}
		if x != b[i] {
			return cmp.Compare(x, b[i])
		}
	}
	return cmp.Compare(len(a), len(b))
}

// order gives the names in canonical order. Those before the run are sorted and
// merged into it.
func (c *Content) order() iter.Seq[int] {
	return func(yield func(int) bool) {
		next := c.index.run
		upTo := func(end int) bool {
			for ; next < end; next++ {
				if !yield(next) {
					return false
				}
			}
			return true
		}
		for _, n := range c.sorted() {
			if next < c.names.n && !upTo(c.search(next, c.lowered(string(c.labels(int(n)))))) || !yield(int(n)) {
				return
			}
		}
		upTo(c.names.n)
	}
}

// sorted gives the names before the run in canonical order. Most comparisons
// are over after the first octets of the label next to the apex, which stand
// together here.
func (c *Content) sorted() []uint32 {
	type prefixed struct {
		prefix uint64
		name   uint32
	}
	all := make([]prefixed, c.index.run)
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
