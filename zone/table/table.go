package table

import (
	"hash/maphash"
	"sync/atomic"
)

// Table is the memory of one zone. Use Init first.
type Table struct {
	mem    slabs
	dir    atomic.Pointer[directory]
	seed   maphash.Seed
	epochs *Epochs

	// The writer's.
	memory  memory
	slots   slots
	retired []retiree // oldest first
	first   int       // of retired, the ones before are done
	pending int       // retirees of the version that is being written, at the end
	names   int       // nodes that exist, empty non-terminals included
}

// retiree is a node that no version shows any more, once the readers of
// before epoch have left.
type retiree struct {
	epoch uint64
	node  ref
	hash  uint32
	gone  bool // the node marks its name as gone: take it out of the index first
}

// Init makes t an empty table, whose readers are those of e.
func (t *Table) Init(e *Epochs) {
	t.seed, t.epochs = maphash.MakeSeed(), e
	t.memory.epochs = e
	t.mem.init(t)
	d := &directory{segs: make([]atomic.Pointer[segment], 1)}
	d.segs[0].Store(t.newSegment(0, 0, segmentMin))
	t.dir.Store(d)
}

// Find gives the node of a name at a version; name is relative to the apex
// and lower-case, h its hash.
func (t *Table) Find(h Hash, name []byte, version uint64) (Node, bool) {
	r, n := t.lookup(h, name)
	if r == 0 {
		return Node{}, false
	}
	return t.asOf(n, version)
}

// HasBelow tells whether there are names below a name. Writer only.
func (t *Table) HasBelow(p *Path) bool {
	r, n := t.lookup(p.Hash(), p.lower)
	return r != 0 && !n.gone() && n.children() > 0
}

func (t *Table) asOf(n Node, version uint64) (Node, bool) {
	for n.version() > version {
		p := n.prev()
		if p == 0 {
			return Node{}, false
		}
		n = t.node(p)
	}
	return n, !n.gone()
}

// Put writes the node of a name for version, in the case of name, and makes
// its ancestors exist. Readers of earlier versions do not see it. Writer only.
func (t *Table) Put(name *Path, body []byte, flags uint8, version uint64) {
	t.put(name, name.labels, body, flags, version)
}

// Clear takes the data of a name away for version: the name stays as an empty
// non-terminal when names below it exist, else it is gone, and so are
// ancestors that existed only for its sake. Writer only.
func (t *Table) Clear(name *Path, version uint64) {
	k := name.labels
	r, n := t.lookup(name.hash[k], name.suffix(k))
	if r == 0 || n.gone() {
		return
	}
	if n.children() > 0 || k == 0 {
		t.put(name, k, nil, 0, version)
		return
	}
	for {
		t.bury(name.hash[k], r, n, version)
		if k--; k == 0 {
			return // the apex always exists
		}
		r, n = t.lookup(name.hash[k], name.suffix(k))
		n.setChildren(n.children() - 1)
		if n.children() > 0 || len(n.Body()) > 0 {
			return
		}
	}
}

func (t *Table) put(name *Path, k int, body []byte, flags uint8, version uint64) {
	h, own := name.hash[k], name.suffix(k)
	r, old := t.lookup(h, own)
	switch {
	case r == 0:
		t.point(h, 0, t.newNode(name.original(k), body, flags, version, 0, 0))
	case old.gone():
		t.point(h, r, t.newNode(name.original(k), body, flags, version, r, 0))
		t.retire(r, h, false)
	default:
		t.point(h, r, t.newNode(name.original(k), body, flags, version, r, old.children()))
		t.retire(r, h, false)
		return
	}
	t.names++
	if k < 2 {
		return // children of the apex are not counted: it always exists
	}
	_, parent := t.lookup(name.hash[k-1], name.suffix(k-1))
	if parent.IsZero() || parent.gone() {
		t.put(name, k-1, nil, 0, version)
		_, parent = t.lookup(name.hash[k-1], name.suffix(k-1))
	}
	parent.setChildren(parent.children() + 1)
}

// bury marks a name as gone.
func (t *Table) bury(h Hash, r ref, n Node, version uint64) {
	g := t.newNode(n.Name(), nil, flagGone, version, r, 0)
	t.point(h, r, g)
	t.retire(r, h, false)
	t.retire(g, h, true)
	t.names--
}

func (t *Table) retire(r ref, h Hash, gone bool) {
	t.retired = append(t.retired, retiree{node: r, hash: h.short(), gone: gone})
	t.pending++
}

// Published says that readers see the version from now on; what it replaced
// is retired, and what no reader can see any more is reclaimed. Writer only.
func (t *Table) Published() {
	epoch := t.epochs.advance()
	for i := len(t.retired) - t.pending; i < len(t.retired); i++ {
		t.retired[i].epoch = epoch
	}
	t.pending = 0
	t.slots.published(epoch)
	t.Reclaim()
}

// Reclaim frees what no reader can see any more. Writer only, between versions.
func (t *Table) Reclaim() {
	low := t.epochs.oldest()
	t.slots.reclaim(low)
	buried := false
	for t.first < len(t.retired)-t.pending && t.retired[t.first].epoch <= low {
		x := t.retired[t.first]
		t.first++
		if !x.gone {
			t.mem.release(x.node, len(t.node(x.node).b))
			continue
		}
		// Nobody needs the mark, but somebody may be looking at it: out of the
		// index now, freed an epoch later. A name that was put again has
		// replaced and retired the mark itself.
		if t.forget(x.hash, x.node) {
			t.retired = append(t.retired, retiree{node: x.node, hash: x.hash})
			t.pending, buried = t.pending+1, true
		}
	}
	if t.first > 1024 && 2*t.first > len(t.retired) {
		t.retired = append(t.retired[:0], t.retired[t.first:]...)
		t.first = 0
	}
	if buried {
		epoch := t.epochs.advance()
		for i := len(t.retired) - t.pending; i < len(t.retired); i++ {
			t.retired[i].epoch = epoch
		}
		t.pending = 0
	}
}

// Stats of a table. Octets are those of slabs and index.
type Stats struct {
	Names   int   // names that exist, empty non-terminals included
	Octets  int64 // memory held
	Live    int64 // of it, in use by nodes
	Retired int   // nodes that wait for readers to leave
}

// Stats tells the table's size. Writer only.
func (t *Table) Stats() Stats {
	s := Stats{Names: t.names, Octets: t.mem.bytes + t.slots.octets(), Live: t.mem.live, Retired: len(t.retired) - t.first}
	d := t.dir.Load()
	for next := uint64(0); next < 1<<32; {
		seg := d.at(uint32(next))
		if len(seg.slots) < segmentMax {
			s.Octets += int64(8 * len(seg.slots))
		}
		next = uint64(seg.prefix) + 1<<(32-seg.depth)
	}
	return s
}

// Full tells that no more nodes should be put. Writer only.
func (t *Table) Full() bool { return t.mem.full() }
