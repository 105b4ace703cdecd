package table

import (
	"math"
	"sync"
	"sync/atomic"
)

// Epochs tells writers when what they replaced can be reused. It counts
// publications; each reader notes the count at which it began.
//
// A writer retires a node with the count after its publication. A reader that
// noted a smaller count may still look at it. A reader whose note the writer
// did not see yet loads its version after noting, hence after the publication,
// and cannot reach the node.
type Epochs struct {
	now  atomic.Uint64
	list atomic.Pointer[[]*Reader]
	mu   sync.Mutex // guards changes of list
	left left
}

const idle = math.MaxUint64

// Reader is one reading goroutine's note. The padding keeps it on a cache
// line of its own: Begin and End run on the answer path.
type Reader struct {
	_      [64]byte
	since  atomic.Uint64
	_      [56]byte
	epochs *Epochs
}

// NewEpochs makes a domain with no readers.
func NewEpochs() *Epochs {
	e := &Epochs{}
	e.list.Store(&[]*Reader{})
	return e
}

// NewReader registers a reader, which must be closed.
func (e *Epochs) NewReader() *Reader {
	r := &Reader{epochs: e}
	r.since.Store(idle)
	e.mu.Lock()
	defer e.mu.Unlock()
	old := *e.list.Load()
	list := append(append(make([]*Reader, 0, len(old)+1), old...), r)
	e.list.Store(&list)
	return r
}

// Begin starts a look at zone memory. What is read until End stays valid.
func (r *Reader) Begin() { r.since.Store(r.epochs.now.Load()) }

// End says that nothing read since Begin is used any more.
func (r *Reader) End() { r.since.Store(idle) }

// Close unregisters the reader.
func (r *Reader) Close() {
	e := r.epochs
	e.mu.Lock()
	defer e.mu.Unlock()
	old := *e.list.Load()
	list := make([]*Reader, 0, len(old))
	for _, o := range old {
		if o != r {
			list = append(list, o)
		}
	}
	e.list.Store(&list)
}

// advance counts a publication and gives the epoch at which what it replaced
// is retired.
func (e *Epochs) advance() uint64 { return e.now.Add(1) }

// oldest gives the smallest epoch noted by any reader inside Begin..End.
func (e *Epochs) oldest() uint64 {
	low := uint64(idle)
	for _, r := range *e.list.Load() {
		low = min(low, r.since.Load())
	}
	return low
}
