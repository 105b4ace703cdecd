package zone

import (
	"sync"
	"sync/atomic"
	"time"

	"dialtone/zone/fair"
)

// queue holds the ops that wait for the writer. It takes no more memory than
// they do: a server may have a hundred thousand zones, of which few change at
// one time. Whoever sends them takes turns, and has a share of the room: see
// package fair.
type queue struct {
	mu struct {
		sync.Mutex
		ops    fair.Queue[waiting]
		behind behind
		wanted int // the writer is woken when so many wait
		closed bool
	}
	wake chan struct{} // has room for one; full when something may have changed
	all  *Waiting      // of this zone and others
}

// waiting is an op with the round in which it came.
type waiting struct {
	op    Op
	round uint64
}

// behind are ops that have no turn: each comes when all that waited before it
// have been taken, whoever sent them.
type behind struct {
	round uint64 // of what comes now
	older int    // ops of earlier rounds that wait still
	now   []Op   // come when older is 0
	next  []Op   // were added meanwhile, and have a round of their own
}

func (q *queue) init(all *Waiting) { q.wake, q.all = make(chan struct{}, 1), all }

// sent is an Op that tells who sent it, as a number that stands for a key or an
// address, and what it weighs: 1 is that of a usual update. All others are the
// server's own, which share a turn.
type sent interface {
	Sender() (id uint64, weight int)
}

// put adds op, if it and all that waits weigh no more than limit.
func (q *queue) put(op Op, limit int) error {
	id, weight := uint64(0), 1
	if s, ok := op.(sent); ok {
		id, weight = s.Sender()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed {
		return ErrClosed
	}
	if !q.all.take(weight, q.mu.ops.Weight()) {
		return ErrAllFull
	}
	switch q.mu.ops.Put(id, waiting{op, q.mu.behind.round}, weight, limit) {
	case fair.Full:
		q.all.give(weight)
		return ErrQueueFull
	case fair.Share:
		q.all.give(weight)
		return ErrQueueShare
	}
	if q.mu.ops.Len() >= q.mu.wanted {
		q.notify()
	}
	return nil
}

// putBehind adds op behind all that waits. There is no limit: nobody but the
// server itself does it.
func (q *queue) putBehind(op Op) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed {
		return ErrClosed
	}
	b := &q.mu.behind
	if len(b.now) == 0 {
		b.begin(q.mu.ops.Len())
		b.now = append(b.now, op)
	} else {
		b.next = append(b.next, op)
	}
	q.notify()
	return nil
}

// begin has what waits now, n ops, come before.
func (b *behind) begin(n int) {
	b.round++
	b.older = n
}

// take gives the next op that has nothing before it; nil for none. n is how much
// waits in the turns of senders.
func (b *behind) take(n int) Op {
	if len(b.now) == 0 || b.older > 0 {
		return nil
	}
	op := b.now[0]
	if b.now = b.now[1:]; len(b.now) == 0 {
		if b.now, b.next = b.next, nil; len(b.now) > 0 {
			b.begin(n)
		}
	}
	return op
}

// take gives the op whose turn it is; nil when there is none, and then whether
// there can be one again.
func (q *queue) take() (op Op, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if op := q.mu.behind.take(q.mu.ops.Len()); op != nil {
		return op, true
	}
	before := q.mu.ops.Weight()
	x, ok := q.mu.ops.Take()
	if !ok {
		return nil, !q.mu.closed
	}
	q.all.give(before - q.mu.ops.Weight())
	if x.round != q.mu.behind.round {
		q.mu.behind.older--
	}
	return x.op, true
}

// peek shows the ops that wait, at most n, without taking them. f must be quick:
// nobody can put one meanwhile.
func (q *queue) peek(n int, f func(Op)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.ops.Peek(n, func(x waiting) { f(x.op) })
}

// next waits for an op; nil when the queue is closed and empty.
func (q *queue) next() Op {
	for {
		op, open := q.take()
		if op != nil || !open {
			return op
		}
		<-q.wake
	}
}

// wait returns when n ops wait, when the queue is closed, or after limit.
func (q *queue) wait(n int, limit time.Duration) {
	if q.want(n) {
		return
	}
	defer q.want(0)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case <-q.wake:
			if q.want(n) {
				return
			}
		case <-timer.C:
			return
		}
	}
}

// want has put wake the writer when n ops wait, and tells whether they do or
// no more can come.
func (q *queue) want(n int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.wanted = n
	return q.mu.ops.Len() >= n || q.mu.closed || len(q.mu.behind.now) > 0
}

// close refuses further ops. What waits can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.closed = true
	q.notify()
}

func (q *queue) notify() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.ops.Len() + len(q.mu.behind.now) + len(q.mu.behind.next)
}

func (q *queue) weight() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.ops.Weight()
}

// Waiting bounds what waits in the queues of several zones together, in the
// weight of ops. A nil *Waiting is no bound.
type Waiting struct {
	limit  atomic.Int64
	weight atomic.Int64
}

// NewWaiting makes one of so much weight.
func NewWaiting(limit int) *Waiting {
	w := new(Waiting)
	w.Set(limit)
	return w
}

// Set changes the weight that may wait. What waits already stays.
func (w *Waiting) Set(limit int) { w.limit.Store(int64(limit)) }

// Weight of all that waits.
func (w *Waiting) Weight() int { return int(w.weight.Load()) }

// waitingShare is how many times what is free one zone may have: as in package
// fair, so that some room is left for the others.
const waitingShare = 4

// take makes room for an op of a zone in whose queue so much waits.
func (w *Waiting) take(weight, own int) bool {
	if w == nil {
		return true
	}
	free := w.limit.Load() - (w.weight.Add(int64(weight)) - int64(weight))
	if free <= 0 || own > 0 && int64(own+weight) > waitingShare*free {
		w.weight.Add(int64(-weight))
		return false
	}
	return true
}

func (w *Waiting) give(weight int) {
	if w != nil {
		w.weight.Add(int64(-weight))
	}
}
