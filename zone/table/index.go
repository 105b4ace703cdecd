package table

import (
	"hash/maphash"
	"sync/atomic"
)

// Hash is the hash of a name, made label by label from the apex down. It is
// seeded, so that nobody outside can choose names that collide.
type Hash uint64

// Extend gives the hash of the name one label below h; label is lower-case,
// without its length octet. The apex has hash 0.
func (t *Table) Extend(h Hash, label []byte) Hash {
	x := (uint64(h) ^ maphash.Bytes(t.seed, label)) * 0x9E3779B97F4A7C15
	return Hash(x ^ x>>32)
}

// short is what the index keeps of a hash: its upper bits choose a segment,
// its lower bits a slot, all 32 are the slot's tag.
func (h Hash) short() uint32 { return uint32(h) }

// The index is an extendible hash table: a directory of segments, each an
// open-addressing table of slots. Only the segment that is full is copied,
// so the writer never stops for the whole index, and a reader that still
// holds the old segment finds all that its version has.
type (
	directory struct {
		depth uint // segments are chosen by the upper depth bits
		segs  []atomic.Pointer[segment]
	}
	segment struct {
		depth  uint   // upper bits that all its names share
		prefix uint32 // these bits, left-aligned
		used   int    // slots that are not empty, the deleted ones included
		live   int    // slots that lead to a node
		slots  []uint64
	}
)

const (
	segmentMin = 16
	segmentMax = 4096
	depthMax   = 20

	slotDeleted = 1 << 32 // tag 1, ref 0
)

func slotRef(s uint64) ref    { return ref(s) }
func slotTag(s uint64) uint32 { return uint32(s >> 32) }
func makeSlot(tag uint32, r ref) uint64 {
	return uint64(tag)<<32 | uint64(r)
}

func (t *Table) newSegment(depth uint, prefix uint32, size int) *segment {
	s := &segment{depth: depth, prefix: prefix}
	if size == segmentMax {
		s.slots = t.slots.take(t)
	} else {
		s.slots = make([]uint64, size)
	}
	return s
}

// Reserve makes room for about so many names in an empty table, lest its
// segments be split again and again while they come: a ninth of the time of a
// load. Writer only.
func (t *Table) Reserve(names int) {
	depth := uint(0)
	for depth < depthMax && names>>depth > 7*segmentMax/10 { // full at 3/4, see roomFor
		depth++
	}
	if depth == 0 || t.names > 0 {
		return
	}
	d := &directory{depth: depth, segs: make([]atomic.Pointer[segment], 1<<depth)}
	for i := range d.segs {
		d.segs[i].Store(t.newSegment(depth, uint32(i)<<(32-depth), segmentMax))
	}
	t.dir.Store(d)
}

func (d *directory) at(h uint32) *segment {
	return d.segs[h>>(32-d.depth)].Load() // a shift by 32 gives 0
}

// lookup gives the newest node of a name, gone or not; ref 0 when the index
// does not have it. name is lower-case.
func (t *Table) lookup(h Hash, name []byte) (ref, Node) {
	tag := h.short()
	s := t.dir.Load().at(tag)
	mask := uint32(len(s.slots) - 1)
	for i := tag & mask; ; i = (i + 1) & mask {
		v := atomic.LoadUint64(&s.slots[i])
		if v == 0 {
			return 0, Node{}
		}
		if slotTag(v) == tag && slotRef(v) != 0 {
			if n := t.node(slotRef(v)); n.named(name) {
				return slotRef(v), n
			}
		}
	}
}

// named compares case folded; name is lower-case.
func (n Node) named(name []byte) bool {
	own := n.Name()
	if len(own) != len(name) {
		return false
	}
	for i, c := range own {
		if c != name[i] && (c < 'A' || c > 'Z' || c|0x20 != name[i]) {
			return false
		}
	}
	return true
}

// point makes the index lead from old to new; old 0 adds the name.
func (t *Table) point(h Hash, old, new ref) {
	tag := h.short()
	if old != 0 {
		s := t.dir.Load().at(tag)
		atomic.StoreUint64(s.find(tag, old), makeSlot(tag, new))
		return
	}
	s := t.roomFor(tag)
	s.insert(tag, new)
}

// forget takes the slot of a node out of the index; false when the index does
// not lead to this node.
func (t *Table) forget(tag uint32, r ref) bool {
	s := t.dir.Load().at(tag)
	p := s.find(tag, r)
	if p == nil {
		return false
	}
	atomic.StoreUint64(p, slotDeleted)
	s.live--
	return true
}

func (s *segment) find(tag uint32, r ref) *uint64 {
	mask := uint32(len(s.slots) - 1)
	for i := tag & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case 0:
			return nil
		case makeSlot(tag, r):
			return &s.slots[i]
		}
	}
}

func (s *segment) insert(tag uint32, r ref) {
	mask := uint32(len(s.slots) - 1)
	i := tag & mask
	for s.slots[i] != 0 && s.slots[i] != slotDeleted {
		i = (i + 1) & mask
	}
	if s.slots[i] == 0 {
		s.used++
	}
	s.live++
	atomic.StoreUint64(&s.slots[i], makeSlot(tag, r))
}

// roomFor gives the segment for tag after making sure that it can take one
// more name at no more than three quarters.
func (t *Table) roomFor(tag uint32) *segment {
	for {
		d := t.dir.Load()
		s := d.at(tag)
		if 4*(s.used+1) <= 3*len(s.slots) {
			return s
		}
		switch {
		case 2*s.live <= len(s.slots): // mostly deleted slots: clean
			t.replace(d, s, s.copyTo(t.newSegment(s.depth, s.prefix, len(s.slots))))
		case len(s.slots) < segmentMax || s.depth == depthMax:
			t.replace(d, s, s.copyTo(t.newSegment(s.depth, s.prefix, 2*len(s.slots))))
		default:
			t.split(d, s)
		}
	}
}

func (s *segment) copyTo(to ...*segment) []*segment {
	for _, v := range s.slots {
		if slotRef(v) == 0 {
			continue
		}
		for _, n := range to {
			if slotTag(v)>>(32-n.depth) == n.prefix>>(32-n.depth) {
				n.insert(slotTag(v), slotRef(v))
			}
		}
	}
	return to
}

// replace puts the segments that took over the names of s in its place.
func (t *Table) replace(d *directory, s *segment, by []*segment) {
	for _, n := range by {
		first := n.prefix >> (32 - d.depth)
		for i := range uint32(1) << (d.depth - n.depth) {
			d.segs[first+i].Store(n)
		}
	}
	t.slots.discard(s)
}

func (t *Table) split(d *directory, s *segment) {
	if s.depth == d.depth {
		next := &directory{depth: d.depth + 1, segs: make([]atomic.Pointer[segment], 2*len(d.segs))}
		for i := range next.segs {
			next.segs[i].Store(d.segs[i/2].Load())
		}
		t.dir.Store(next)
		d = next
	}
	t.replace(d, s, s.copyTo(
		t.newSegment(s.depth+1, s.prefix, segmentMax),
		t.newSegment(s.depth+1, s.prefix|1<<(31-s.depth), segmentMax)))
}
