package table

import (
	"iter"
	"sync/atomic"
)

// All gives every node of a version, empty non-terminals included, in no
// order. The reader stays inside Begin..End for the whole iteration.
func (t *Table) All(version uint64) iter.Seq[Node] {
	return func(yield func(Node) bool) {
		var w window
		d := t.dir.Load()
		for next := uint64(0); next < 1<<32; {
			s := d.at(uint32(next))
			// A split that is under way may show this segment again behind
			// one of its halves: names before next were seen.
			for i := range s.slots {
				v := atomic.LoadUint64(&s.slots[i])
				if slotRef(v) == 0 || uint64(slotTag(v)) < next {
					continue
				}
				w.refs[w.n] = slotRef(v)
				if w.n++; w.n == ahead && !w.show(t, version, yield) {
					return
				}
			}
			next = uint64(s.prefix) + 1<<(32-s.depth)
		}
		w.show(t, version, yield)
	}
}

// ahead is the number of nodes that a walk asks memory for at a time.
//
// A walk is in the order of hashes, so every node is a place that no cache
// has. Looking at one after the other, seven tenths of the time of a full
// transfer of a million numbers went into waiting for them, one at a time.
// Loads that do not depend on each other wait together: with a window the walk
// takes a third of the time. 16 to 64 nodes make no difference; a processor
// has ten to twenty such loads under way.
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
