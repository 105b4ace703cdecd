package table

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// waitFor collects garbage until cond holds; a test that waits in vain runs
// into the time limit.
func waitFor(cond func() bool) {
	for !cond() {
		runtime.GC()
		runtime.Gosched()
	}
}

// waits tells whether the blocks of a table wait for readers.
func (e *Epochs) waits(m *mapped) bool {
	e.left.Lock()
	defer e.left.Unlock()
	for _, x := range e.left.list {
		if x.mapped == m {
			return true
		}
	}
	return false
}

// large makes a table with blocks of the system, where there are such.
func large(e *Epochs) *Table {
	tab := &Table{}
	tab.Init(e)
	var p Path
	body := strings.Repeat("x", 4000)
	for i := range 3000 {
		tab.set(&p, fmt.Sprint(i), body, 1)
	}
	tab.Published()
	return tab
}

// TestMemoryOfATableThatIsGone lets the collector take tables while a reader
// still looks at a node of the first: its octets stay until the reader has left.
func TestMemoryOfATableThatIsGone(t *testing.T) {
	e := NewEpochs()
	tab := large(e)
	if tab.memory.mapped == nil {
		t.Log("all memory is on the heap here")
		return
	}
	r := e.NewReader()
	r.Begin()
	var p Path
	tab.SetPath(&p, name("2999"))
	n, ok := tab.FindPath(&p, 1)
	if !ok {
		t.Fatal("lost")
	}
	blocks := tab.memory.mapped
	waitFor(func() bool { return e.waits(blocks) })
	if body := string(n.Body()); body != strings.Repeat("x", 4000) {
		t.Error("the node has changed")
	}
	other := e.NewReader() // one that comes later keeps nothing of this
	other.Begin()
	r.End()
	second := large(e).memory.mapped
	waitFor(func() bool { return e.waits(second) })
	if e.waits(blocks) {
		t.Error("the blocks are kept although their reader has left")
	}
	other.End()
	large(e)
	waitFor(func() bool { return !e.waits(second) })
}

// TestSegmentsAreUsedAgain splits segments of full size under a reader: what
// they leave comes back when it has left, and is not made anew.
func TestSegmentsAreUsedAgain(t *testing.T) {
	tab := newTable()
	var p Path
	fill := func(from, to int, version uint64) {
		for i := from; i < to; i++ {
			tab.set(&p, fmt.Sprint(i), "body", version)
		}
	}
	fill(0, 20_000, 1)
	if len(tab.slots.discarded) > 0 {
		t.Error("slots wait for readers that cannot be")
	}
	tab.Published()
	r := tab.epochs.NewReader()
	r.Begin()
	fill(20_000, 60_000, 2)
	tab.Published()
	waiting := len(tab.slots.discarded)
	if waiting == 0 {
		t.Fatal("no segment was split")
	}
	for i := range 20_000 { // by the directory of now
		if tab.SetPath(&p, name(fmt.Sprint(i))); !found(tab, &p, 1) {
			t.Fatalf("%d is lost", i)
		}
	}
	r.End()
	tab.Reclaim()
	if len(tab.slots.discarded) > 0 || len(tab.slots.free) != waiting {
		t.Errorf("%d segments wait, %d of %d are free", len(tab.slots.discarded), len(tab.slots.free), waiting)
	}
	fill(60_000, 130_000, 3)
	tab.Published()
	inUse := 0
	for next := uint64(0); next < 1<<32; {
		s := tab.dir.Load().at(uint32(next))
		inUse++
		next = uint64(s.prefix) + 1<<(32-s.depth)
	}
	if got := tab.slots.made; got != inUse+len(tab.slots.free) {
		t.Errorf("%d segments made, %d in use and %d free", got, inUse, len(tab.slots.free))
	}
	for i := range 130_000 {
		if tab.SetPath(&p, name(fmt.Sprint(i))); !found(tab, &p, 3) {
			t.Fatalf("%d is lost", i)
		}
	}
}

func found(tab *Table, p *Path, version uint64) bool {
	_, ok := tab.FindPath(p, version)
	return ok
}
