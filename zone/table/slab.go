package table

import (
	"math/bits"
	"sync/atomic"
)

// ref is the place of a node: slab number and offset in units of 8 octets.
// 0 is no node; the first unit of the first slab is never given out.
type ref uint32

const (
	unit       = 8
	offsetBits = 18 // units in a slab: 2 MiB, a huge page
	slabMax    = unit << offsetBits
	slabMin    = 1 << 10
	maxSlabs   = 1 << (32 - offsetBits) // 32 GiB of nodes
)

// slabs is where the nodes of one table live. Slabs are never given back: a
// zone that shrank reuses them. Readers go through the atomic list; the rest belongs to
// the writer.
type slabs struct {
	table *Table
	list  atomic.Pointer[[][]byte]
	used  int                 // octets given out of the last slab
	last  int                 // the slab that is being filled; -1 before the first
	free  *[sizeClasses][]ref // nil before the first: very many zones never change
	bytes int64               // octets of all slabs
	live  int64               // octets in use
}

// Size classes: every 8 octets up to 512, then four a doubling. A node of the
// usual kind (a number and an address) wastes nothing.
const (
	fineClasses = 512 / unit
	sizeClasses = fineClasses + 4*23
)

// classOf gives the class that holds size octets and the size of its members.
func classOf(size int) (class, octets int) {
	if size <= 512 {
		u := (size + unit - 1) / unit
		return u - 1, u * unit
	}
	shift := bits.Len(uint(size-1)) - 3 // four steps a doubling
	step := 1 << shift
	q := (size + step - 1) / step // 5..8
	return fineClasses + 4*(shift-7) + q - 5, q * step
}

func (s *slabs) init(t *Table) {
	s.last, s.table = -1, t
	s.list.Store(&[][]byte{})
}

// alloc gives size octets, zeroed or not.
func (s *slabs) alloc(size int) (ref, []byte) {
	class, octets := classOf(size)
	s.live += int64(octets)
	if s.free != nil {
		if f := s.free[class]; len(f) > 0 {
			r := f[len(f)-1]
			s.free[class] = f[:len(f)-1]
			return r, s.at(r)[:octets:octets]
		}
	}
	if s.last < 0 {
		s.grow(slabMin)
		s.last, s.used = 0, unit // ref 0 means no node
	}
	list := *s.list.Load()
	if octets > slabMax { // a slab of its own, not filled any further
		r := s.grow(octets)
		return r, s.at(r)[:octets:octets]
	}
	if s.used+octets > len(list[s.last]) {
		s.releaseTail()
		n := slabMin << min(len(list), 16)
		for n < octets {
			n *= 2
		}
		s.last, s.used = int(s.grow(min(n, slabMax))>>offsetBits), 0
		list = *s.list.Load()
	}
	r := ref(s.last<<offsetBits | s.used/unit)
	b := list[s.last][s.used : s.used+octets : s.used+octets]
	s.used += octets
	return r, b
}

// releaseTail puts the unused end of the slab that was being filled on a free
// list when a whole class fits exactly.
func (s *slabs) releaseTail() {
	if s.last < 0 {
		return
	}
	rest := len((*s.list.Load())[s.last]) - s.used
	for rest >= unit {
		n := min(rest/unit*unit, 512)
		class, _ := classOf(n)
		s.keep(class, ref(s.last<<offsetBits|s.used/unit))
		s.used, rest = s.used+n, rest-n
	}
}

func (s *slabs) grow(size int) ref {
	old := *s.list.Load()
	list := make([][]byte, len(old), len(old)+1)
	copy(list, old)
	list = append(list, s.table.memory.take(s.table, size))
	s.bytes += int64(size)
	s.list.Store(&list)
	return ref(len(old) << offsetBits)
}

// at gives the memory from r to the end of its slab.
func (s *slabs) at(r ref) []byte {
	return (*s.list.Load())[r>>offsetBits][(r&(1<<offsetBits-1))*unit:]
}

func (s *slabs) release(r ref, size int) {
	class, octets := classOf(size)
	s.live -= int64(octets)
	s.keep(class, r)
}

func (s *slabs) keep(class int, r ref) {
	if s.free == nil {
		s.free = new([sizeClasses][]ref)
	}
	s.free[class] = append(s.free[class], r)
}

// full tells that refs are about to run out.
func (s *slabs) full() bool { return len(*s.list.Load()) > maxSlabs-64 }
