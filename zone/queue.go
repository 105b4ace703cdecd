package zone

import (
	"sync"
	"time"
)

// queue holds the ops that wait for the writer. It takes no more memory than
// they do: a server may have a hundred thousand zones, of which few change at
// one time.
type queue struct {
	mu struct {
		sync.Mutex
		ops    []Op // from head on
		head   int
		wanted int // the writer is woken when so many wait
		closed bool
	}
	wake chan struct{} // has room for one; full when something may have changed
}

func (q *queue) init() { q.wake = make(chan struct{}, 1) }

// keepOps is the room that an empty queue keeps.
const keepOps = 64

// put adds op behind at most limit-1 others.
func (q *queue) put(op Op, limit int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.mu.closed:
		return ErrClosed
	case len(q.mu.ops)-q.mu.head >= limit:
		return ErrQueueFull
	}
	if q.mu.head > 0 && len(q.mu.ops) == cap(q.mu.ops) && 2*q.mu.head >= len(q.mu.ops) {
		n := copy(q.mu.ops, q.mu.ops[q.mu.head:])
		clear(q.mu.ops[n:])
		q.mu.ops, q.mu.head = q.mu.ops[:n], 0
	}
	q.mu.ops = append(q.mu.ops, op)
	if len(q.mu.ops)-q.mu.head >= q.mu.wanted {
		q.notify()
	}
	return nil
}

// take gives the op that waits longest; nil when there is none, and then
// whether there can be one again.
func (q *queue) take() (op Op, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.head == len(q.mu.ops) {
		return nil, !q.mu.closed
	}
	op = q.mu.ops[q.mu.head]
	q.mu.ops[q.mu.head] = nil
	if q.mu.head++; q.mu.head == len(q.mu.ops) {
		q.mu.ops, q.mu.head = q.mu.ops[:0], 0
		if cap(q.mu.ops) > keepOps {
			q.mu.ops = nil
		}
	}
	return op, true
}

// peek shows the ops that wait, at most n, without taking them. f must be quick:
// nobody can put one meanwhile.
func (q *queue) peek(n int, f func(Op)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting := q.mu.ops[q.mu.head:]
	for _, op := range waiting[:min(n, len(waiting))] {
		f(op)
	}
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
	return len(q.mu.ops)-q.mu.head >= n || q.mu.closed
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
	return len(q.mu.ops) - q.mu.head
}
