package table

import (
	"iter"
	"sync"
	"sync/atomic"
)

// All gives every node of a version, empty non-terminals included, in no
// order. The reader stays inside Begin..End for the whole iteration.
//
// The index is in the order of hashes, so a walk that followed it would find
// every node where no cache has it: seven tenths of the time of a full
// transfer of a million numbers went into waiting for memory. So the walk
// first collects the places of all nodes, four octets each, then goes through
// memory from one end to the other, and asks for a window of nodes at a time.
// Measured over a million numbers: the window alone takes a third of the time,
// both together a fifth.
func (t *Table) All(version uint64) iter.Seq[Node] { return t.inParts(version, maxPlaces) }

func (t *Table) inParts(version uint64, most int) iter.Seq[Node] {
	return func(yield func(Node) bool) {
		var w window
		var sorted []ref
		p := collector{d: t.dir.Load(), limit: most}
		defer func() {
			freePlaces(sorted)
			for _, list := range p.bySlab { // of a walk that ends early
				freePlaces(list)
			}
		}()
		for p.collect(len(*t.mem.list.Load())) {
			for i := range p.bySlab {
				sorted = byPage(sorted, p.bySlab[i])
				freePlaces(p.bySlab[i])
				p.bySlab[i] = nil
				for rest := sorted; len(rest) > 0; {
					w.n = copy(w.refs[:], rest)
					rest = rest[w.n:]
					if !w.show(t, version, yield) {
						return
					}
				}
			}
		}
	}
}

// maxPlaces bounds what a walk holds: 4 MiB, or a transfer of a large zone to a
// slow peer would hold much for long. A larger zone is walked in parts.
const maxPlaces = 1 << 20

// firstPlaces is after how many places of a slab room for many is made.
const firstPlaces = 64

// collector collects the places of the newest node of every name.
type collector struct {
	d      *directory
	limit  int    // of a part, but for the end of a segment
	next   uint64 // the hash at which the next part begins
	bySlab [][]ref
}

// collect takes the next part; false when there is none. Slabs that were added
// behind the given number go with the last of them.
func (p *collector) collect(slabs int) bool {
	if p.next == 1<<32 {
		return false
	}
	p.bySlab = make([][]ref, max(1, slabs))
	for n := 0; p.next < 1<<32 && n < p.limit; {
		s := p.d.at(uint32(p.next))
		// A split that is under way may show this segment again behind one of
		// its halves: names before next were seen.
		for i := range s.slots {
			v := atomic.LoadUint64(&s.slots[i])
			if slotRef(v) == 0 || uint64(slotTag(v)) < p.next {
				continue
			}
			p.add(slotRef(v))
			n++
		}
		p.next = uint64(s.prefix) + 1<<(32-s.depth)
	}
	return true
}

func (p *collector) add(r ref) {
	slab := &p.bySlab[min(int(r>>offsetBits), len(p.bySlab)-1)]
	if len(*slab) == firstPlaces {
		// As many as small nodes of a full slab are, or this part has for each.
		size := min(slabMax/48, 3*p.limit/2/len(p.bySlab))
		*slab = append(roomForPlaces(max(size, 2*firstPlaces)), *slab...)
	}
	*slab = append(*slab, r)
}

// placesLeft are lists that walks have left. Every transfer begins with them, of which there may be a thousand a
// second that do not go far.
var placesLeft sync.Pool

func roomForPlaces(n int) []ref {
	if had, ok := placesLeft.Get().(*[]ref); ok && cap(*had) >= n {
		return (*had)[:0]
	}
	return make([]ref, 0, n)
}

func freePlaces(list []ref) {
	if cap(list) > firstPlaces {
		left := list // or each call would allocate, whatever it does
		placesLeft.Put(&left)
	}
}

// byPage puts the places of a slab in the order of their pages of 4 KiB, which
// is as good as any finer order: a page stays in the cache. to is used again.
func byPage(to, places []ref) []ref {
	const pageBits, pages = 9, slabMax >> 12
	page := func(r ref) ref { return r >> pageBits % pages }
	var start [pages + 1]int
	for _, r := range places {
		start[page(r)+1]++
	}
	for i := range pages {
		start[i+1] += start[i]
	}
	if cap(to) < len(places) {
		freePlaces(to)
		to = roomForPlaces(len(places))
	}
	to = to[:len(places)]
	for _, r := range places {
		p := page(r)
		to[start[p]] = r
		start[p]++
	}
	return to
}

// ahead is the number of nodes that a walk asks memory for at a time.
//
// Loads that do not depend on each other wait together. 16 to 64 nodes make no
// difference; a processor has ten to twenty such loads under way.
const ahead = 32

// window is the part of a walk that memory was asked for.
type window struct {
	n     int
	refs  [ahead]ref
	nodes [ahead]Node
	seen  byte // keeps the loads of touch
}

// show gives the nodes of the window and empties it.
func (w *window) show(t *Table, version uint64, yield func(Node) bool) bool {
	w.touch(t)
	nodes := w.nodes[:w.n]
	w.n = 0
	for i := range nodes {
		if n, ok := t.asOf(nodes[i], version); ok && !yield(n) {
			return false
		}
	}
	return true
}

// touch brings the nodes into the cache: their heads, which tell how long they
// are, then their ends, which are often on the next line. Nothing in these
// loops depends on what the loop loaded before.
func (w *window) touch(t *Table) {
	for i, r := range w.refs[:w.n] {
		w.nodes[i] = t.node(r)
	}
	for _, n := range w.nodes[:w.n] {
		w.seen |= n.b[len(n.b)-1]
	}
}
