package dnsserver

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/zone/fair"
)

// slowQueues hold the UDP messages that wait for a worker. There is one queue for each worker, and all
// messages from one address go to the same one, so updates of one client enter their zone's queue in the
// order in which they were read.
//
// Each source takes turns (package zone/fair). That is enough as long as a flood comes from few addresses. One
// that forges them has as many turns as it likes, so there are two queues in each, which take turns in their
// turn: one for sources that are known, and one for the others. A source is known for an hour when it has
// signed something that was verified or made an update that was allowed, or when its message bears a cookie of
// ours. Whoever forges the address of one that is known shares its turn, unless it sends cookies.
type slowQueues struct {
	queues []*slowQueue
	seed   maphash.Seed
	known  knownSources
	free   sync.Pool
}

func (q *slowQueues) init(workers, length int) {
	q.seed = maphash.MakeSeed()
	q.free.New = func() any { return new(slowMessage) }
	for range workers {
		q.queues = append(q.queues, &slowQueue{limit: (length + workers - 1) / workers, wake: make(chan struct{}, 1)})
	}
}

// source is a number for an address, or what one customer has of IPv6.
func (q *slowQueues) source(a netip.Addr) uint64 {
	if a.Is6() && !a.Is4In6() {
		b := a.As16()
		return maphash.Bytes(q.seed, b[:8])
	}
	b := a.As4()
	return maphash.Bytes(q.seed, b[:])
}

// put queues a copy of msg; false when its queue is full. proven says that the address is no forgery.
func (q *slowQueues) put(msg []byte, from client, proven bool) bool {
	m := q.free.Get().(*slowMessage)
	m.msg, m.from = append(m.msg[:0], msg...), from
	id := q.source(from.addr.Addr())
	queue := q.queues[id%uint64(len(q.queues))]
	known := proven || q.known.has(id)
	if proven {
		id = ^id // a turn of its own
	}
	if queue.put(id, m, known) {
		return true
	}
	q.release(m)
	return false
}

// note makes a source one that is known.
func (q *slowQueues) note(a netip.Addr, now time.Time) { q.known.note(q.source(a), now) }

func (q *slowQueues) release(m *slowMessage) {
	if cap(m.msg) <= keepMessage {
		m.from = client{}
		q.free.Put(m)
	}
}

func (q *slowQueues) close() {
	for _, c := range q.queues {
		c.close()
	}
}

// use tells how full the fullest of the queues is, as a part of what all may hold.
func (q *slowQueues) use() (u Use) {
	for _, c := range q.queues {
		c.mu.Lock()
		u.Used = max(u.Used, c.mu.known.Weight(), c.mu.unknown.Weight())
		c.mu.Unlock()
		u.Limit += c.limit
	}
	u.Used *= len(q.queues)
	return u
}

// slowMessage is a copy of a UDP message that waits for a worker.
type slowMessage struct {
	msg  []byte
	from client
}

// keepMessage is the largest buffer that a slowMessage keeps for its next use.
const keepMessage = 4096

// slowQueue is that of one worker. A message of n KiB counts n times.
type slowQueue struct {
	limit int
	wake  chan struct{} // has room for one
	mu    struct {
		sync.Mutex
		known, unknown fair.Queue[*slowMessage]
		turn           bool // of those that are known
		closed         bool
	}
}

func (q *slowQueue) put(id uint64, m *slowMessage, known bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	to := &q.mu.unknown
	// What waits already is not overtaken.
	if q.mu.known.Has(id) || known && !q.mu.unknown.Has(id) {
		to = &q.mu.known
	}
	if to.Put(id, m, 1+len(m.msg)>>10, q.limit) != fair.Taken {
		return false
	}
	if q.mu.known.Len()+q.mu.unknown.Len() == 1 {
		wake(q.wake)
	}
	return true
}

// next waits for a message; nil when the queue is closed and empty.
func (q *slowQueue) next() *slowMessage {
	for {
		m, closed := q.take()
		if m != nil || closed {
			return m
		}
		<-q.wake
	}
}

func (q *slowQueue) take() (m *slowMessage, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.turn = !q.mu.turn
	first, second := &q.mu.unknown, &q.mu.known
	if q.mu.turn {
		first, second = second, first
	}
	m, ok := first.Take()
	if !ok {
		m, ok = second.Take()
	}
	return m, !ok && q.mu.closed
}

func (q *slowQueue) close() {
	q.mu.Lock()
	q.mu.closed = true
	q.mu.Unlock()
	wake(q.wake)
}

// knownSources remembers the last sources that were noted, in a table of half a MiB: one that another drives
// out of its place is noted again when it sends again.
type knownSources struct {
	minute atomic.Uint64 // of the last note: precise enough to forget by
	places [1 << 16]atomic.Uint64
}

const (
	// knownFor is in minutes. Phones refresh their leases hourly.
	knownFor = 90
	// minuteBits of a place are the minute of its note, the others are the source's.
	minuteBits = 16
	minuteMask = 1<<minuteBits - 1
)

func (k *knownSources) place(source uint64) *atomic.Uint64 {
	return &k.places[source>>32%uint64(len(k.places))]
}

func (k *knownSources) note(source uint64, now time.Time) {
	minute := uint64(now.Unix()/60) & minuteMask
	if k.minute.Load() != minute {
		k.minute.Store(minute)
	}
	if p, v := k.place(source), source&^minuteMask|minute; p.Load() != v {
		p.Store(v)
	}
}

func (k *knownSources) has(source uint64) bool {
	v := k.place(source).Load()
	return v != 0 && v&^minuteMask == source&^minuteMask && (k.minute.Load()-v)&minuteMask <= knownFor
}
