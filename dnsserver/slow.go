package dnsserver

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/zone/fair"
	"dialtone/zone/rr"
)

// slowQueues hold the UDP messages that wait for a worker. There is one queue for each worker, and all
// messages from one address go to the same one, so updates of one client enter their zone's queue in the
// order in which they were read.
//
// Each source takes turns (package zone/fair). That is enough as long as a flood comes from few addresses that
// nobody else has. One that forges them has as many turns as it likes, so there are two queues in each, which take
// turns in their turn: one for senders that are known, and one for the others. A sender is a key at an address, or an
// address for what is not signed. It is known for an hour and more when it has signed something that was verified or
// made an update that was allowed, or when its message bears a cookie of ours; and then it has turns of its own
// beside whoever else is at its address. Who forges the address of one that is known, and names its key, shares its
// turns, unless it sends cookies.
type slowQueues struct {
	queues []*slowQueue
	seed   maphash.Seed
	known  knownSenders
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

// keyAt is a number for a key, whose name is uncompressed and in lower case, at a source.
func (q *slowQueues) keyAt(source uint64, key []byte) uint64 {
	var b [8 + rr.MaxName]byte
	binary.NativeEndian.PutUint64(b[:], source)
	return maphash.Bytes(q.seed, b[:8+copy(b[8:], key)])
}

// claimed is the sender that a message says it is from; tsig is where its TSIG begins, 0 for none.
func (q *slowQueues) claimed(source uint64, msg []byte, tsig int) uint64 {
	if tsig == 0 {
		return source
	}
	var name [rr.MaxName]byte
	n, _, err := rr.UnpackNameInto(msg, tsig, &name)
	if err != nil {
		return source
	}
	rr.LowerBytes(name[:n])
	return q.keyAt(source, name[:n])
}

// put queues a copy of msg, which has arrived now, and whose TSIG begins at tsig (0: it has none); false when its queue is
// full. proven says that the address is no forgery.
func (q *slowQueues) put(msg []byte, from client, tsig int, proven bool, now time.Time) bool {
	m := q.free.Get().(*slowMessage)
	m.msg, m.from = append(m.msg[:0], msg...), from
	source := q.source(from.addr.Addr())
	m.sender = q.claimed(source, msg, tsig)
	known := q.known.has(m.sender)
	m.arrival = arrival{now, proven, tsig != 0 && !known}
	known = known || proven
	if proven {
		m.sender = ^m.sender // with turns of its own
	}
	if q.queues[source%uint64(len(q.queues))].put(m, source, known) {
		return true
	}
	q.release(m)
	return false
}

// note makes a sender one that is known; key "" is what is not signed.
func (q *slowQueues) note(a netip.Addr, key rr.Name, now time.Time) {
	id := q.source(a)
	if key != "" {
		id = q.keyAt(id, []byte(key.Lower()))
	}
	q.known.note(id, now)
}

// arrival is that of a message over TCP, which does not wait.
func (q *slowQueues) arrival(msg []byte, from netip.Addr, tsig int, now time.Time) arrival {
	return arrival{now, true, tsig != 0 && !q.known.has(q.claimed(q.source(from), msg, tsig))}
}

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
	msg    []byte
	from   client
	sender uint64
	arrival
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
		early          map[uint64]int // messages in unknown by sender
		turn           bool           // of those that are known
		closed         bool
	}
}

func (q *slowQueue) put(m *slowMessage, source uint64, known bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	weight := 1 + len(m.msg)>>10
	if known && q.mu.early[m.sender] == 0 { // what it sent before it was known is not overtaken
		if q.mu.known.Put(m.sender, m, weight, q.limit) != fair.Taken {
			return false
		}
	} else {
		if q.mu.unknown.Put(source, m, weight, q.limit) != fair.Taken {
			return false
		}
		if q.mu.early == nil {
			q.mu.early = map[uint64]int{}
		}
		q.mu.early[m.sender]++
	}
	if q.mu.known.Len()+q.mu.unknown.Len() == 1 {
		wake(q.wake)
	}
	return true
}

// next waits for a message; nil when the queue is closed and empty.
func (q *slowQueue) next(t *turns) *slowMessage {
	t.step()
	for {
		m, closed := q.take()
		if m != nil || closed {
			return m
		}
		<-q.wake
		t.rest()
	}
}

func (q *slowQueue) take() (m *slowMessage, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.turn = !q.mu.turn
	if q.mu.turn || q.mu.unknown.Len() == 0 {
		if m, ok := q.mu.known.Take(); ok {
			return m, false
		}
	}
	m, ok := q.mu.unknown.Take()
	if !ok {
		m, ok = q.mu.known.Take()
		return m, !ok && q.mu.closed
	}
	if q.mu.early[m.sender]--; q.mu.early[m.sender] == 0 {
		delete(q.mu.early, m.sender)
	}
	return m, false
}

func (q *slowQueue) close() {
	q.mu.Lock()
	q.mu.closed = true
	q.mu.Unlock()
	wake(q.wake)
}

// knownSenders remembers the last senders that were noted, in a table of half a MiB: one that another drives
// out of its place is noted again when it sends again.
type knownSenders struct {
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

func (k *knownSenders) place(source uint64) *atomic.Uint64 {
	return &k.places[source>>32%uint64(len(k.places))]
}

func (k *knownSenders) note(source uint64, now time.Time) {
	minute := uint64(now.Unix()/60) & minuteMask
	if k.minute.Load() != minute {
		k.minute.Store(minute)
	}
	if p, v := k.place(source), source&^minuteMask|minute; p.Load() != v {
		p.Store(v)
	}
}

func (k *knownSenders) has(source uint64) bool {
	v := k.place(source).Load()
	return v != 0 && v&^minuteMask == source&^minuteMask && (k.minute.Load()-v)&minuteMask <= knownFor
}
