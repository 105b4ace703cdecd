package table

import (
	"runtime"
	"sync"
	"unsafe"
)

// memory hands out the blocks that nodes and slots live in. Blocks of at least
// mapFrom octets come from the system and not from the Go heap: the collector,
// which lets the heap grow to twice of what is in use, does not count them.
// Measured with 1,000,000 numbers, that is half of the memory of a process.
// Smaller ones, all that a zone of a few thousand names has, are on the heap:
// a hundred thousand small zones are no hundred thousand mappings.
//
// A block is given back when nobody can reach the table any more and the
// readers that were inside Begin..End then have left. The writer's.
type memory struct {
	epochs *Epochs
	mapped *mapped // nil before the first
}

// mapped are a table's blocks that the collector does not know.
type mapped struct{ list [][]byte }

const (
	mapFrom = 2 << 20
	// hugeFrom is how many blocks a table has before the next ones are asked
	// for in huge pages: a lookup in millions of nodes then costs one miss of
	// the TLB less for the slot and one for the node. It is no use for a small
	// table, which a huge page would make larger.
	hugeFrom = 6
)

// take gives zeroed memory aligned to 8 octets.
func (m *memory) take(owner *Table, octets int) []byte {
	if octets >= mapFrom {
		if b := m.mapBlock(owner, octets); b != nil {
			return b
		}
	}
	words := make([]uint64, (octets+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), octets)
}

func (m *memory) mapBlock(owner *Table, octets int) []byte {
	if m.mapped == nil {
		m.mapped = &mapped{}
		runtime.AddCleanup(owner, m.epochs.leave, m.mapped)
	}
	b := mapPages(octets, len(m.mapped.list) >= hugeFrom)
	if b != nil {
		m.mapped.list = append(m.mapped.list, b)
	}
	return b
}

// left are the blocks of tables that nobody can reach any more.
type left struct {
	sync.Mutex
	list []struct {
		epoch uint64
		*mapped
	}
}

// leave takes over the blocks of a table that was collected, and unmaps what
// no reader can look at any more.
func (e *Epochs) leave(m *mapped) {
	e.left.Lock()
	defer e.left.Unlock()
	e.left.list = append(e.left.list, struct {
		epoch uint64
		*mapped
	}{e.advance(), m})
	low := e.oldest()
	kept := e.left.list[:0]
	for _, x := range e.left.list {
		if x.epoch > low {
			kept = append(kept, x)
			continue
		}
		for _, b := range x.list {
			unmapPages(b)
		}
	}
	clear(e.left.list[len(kept):])
	e.left.list = kept
}

// wordsOf gives the same memory as words.
func wordsOf(b []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/8)
}
