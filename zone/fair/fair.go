// Package fair is a queue that many senders share: none of them, however much
// it sends, keeps the others waiting or takes all the room.
//
// It owns: the order in which what waits is taken, and who may add to it.
//
// It must not know what waits, nor locks, time or goroutines: whoever uses a
// Queue has a lock around it. The zones' queues of updates and the server's of
// messages use it.
//
// # Order
//
// Senders take turns, one item a turn, and what one sender adds is taken in the
// order in which it was added. So an item waits for as many others as there are
// senders, and not for what one of them has piled up.
//
// # Room
//
// A sender may have share times as much in the queue as is free (Choudhury and
// Hahne, "Dynamic queue length thresholds", 1998). One alone gets four fifths
// of the room; where one floods, the last fifth is for all others, and where
// many flood, each gets the less and something stays free. Nothing that was
// taken in is thrown out again.
package fair

// share is how many times the free room one sender may fill.
const share = 4

// Queue is an empty queue of items. Weights, limits and lengths are in units
// that the caller chooses.
type Queue[T any] struct {
	senders map[uint64]*sender[T]
	first   *sender[T] // whose turn it is; senders are a list
	last    *sender[T]
	n       int
	weight  int
	most    int // senders at one time since the queue was empty

	// What is kept for the next items, at most keep of each.
	freeItems   *item[T]
	freeSenders *sender[T]
	keptItems   int
	keptSenders int
}

// keep is how many items an empty queue keeps memory for.
const keep = 64

type sender[T any] struct {
	id          uint64
	weight      int
	first, last *item[T]
	next        *sender[T]
	at          *item[T] // of Peek
}

type item[T any] struct {
	v      T
	weight int
	next   *item[T]
}

// Verdict is what became of an item.
type Verdict uint8

// What Put says.
const (
	Taken Verdict = iota
	Full          // the limit is reached
	Share         // there is room, but not for more of this sender
)

// Put adds an item of a sender behind what it has there. Weight is at least 1.
func (q *Queue[T]) Put(id uint64, v T, weight, limit int) Verdict {
	free := limit - q.weight
	if free < weight && q.n > 0 || free <= 0 {
		return Full
	}
	s := q.find(id)
	if s != nil && s.weight+weight > share*free {
		return Share
	}
	if s == nil {
		s = q.enter(id)
	}
	x := q.newItem()
	x.v, x.weight = v, weight
	if s.last == nil {
		s.first = x
	} else {
		s.last.next = x
	}
	s.last = x
	s.weight += weight
	q.weight += weight
	q.n++
	return Taken
}

// Has tells whether something of a sender waits.
func (q *Queue[T]) Has(id uint64) bool { return q.find(id) != nil }

func (q *Queue[T]) find(id uint64) *sender[T] {
	if q.last != nil && q.last.id == id { // where there is one only, nothing is looked up
		return q.last
	}
	return q.senders[id]
}

// enter puts a sender at the end of the list.
func (q *Queue[T]) enter(id uint64) *sender[T] {
	s := q.freeSenders
	if s == nil {
		s = new(sender[T])
	} else {
		q.keptSenders--
		q.freeSenders, s.next = s.next, nil
	}
	s.id = id
	if q.senders == nil {
		q.senders = map[uint64]*sender[T]{}
	}
	q.senders[id] = s
	q.most = max(q.most, len(q.senders))
	q.append(s)
	return s
}

func (q *Queue[T]) append(s *sender[T]) {
	if q.last == nil {
		q.first = s
	} else {
		q.last.next = s
	}
	q.last = s
}

func (q *Queue[T]) newItem() *item[T] {
	x := q.freeItems
	if x == nil {
		return new(item[T])
	}
	q.keptItems--
	q.freeItems, x.next = x.next, nil
	return x
}

// Take gives the item whose turn it is; false when there is none.
func (q *Queue[T]) Take() (v T, ok bool) {
	s := q.first
	if s == nil {
		return v, false
	}
	x := s.first
	v = x.v
	s.weight -= x.weight
	q.weight -= x.weight
	q.n--
	if s.first = x.next; s.first == nil {
		s.last = nil
	}
	q.turn(s)
	*x = item[T]{}
	if q.keptItems < keep {
		q.keptItems++
		x.next, q.freeItems = q.freeItems, x
	}
	return v, true
}

// turn ends the turn of the first sender, which leaves when it has nothing more.
func (q *Queue[T]) turn(s *sender[T]) {
	if s.first != nil && s == q.last {
		return
	}
	q.first = s.next
	if q.first == nil {
		q.last = nil
	}
	s.next = nil
	if s.first != nil {
		q.append(s)
		return
	}
	delete(q.senders, s.id)
	if len(q.senders) == 0 {
		if q.most > keep {
			q.senders = nil // a map keeps the room of the most that it held
		}
		q.most = 0
	}
	s.at = nil
	if q.keptSenders < keep {
		q.keptSenders++
		s.next, q.freeSenders = q.freeSenders, s
	}
}

// Peek shows what waits, about in the order in which Take would give it, at most
// n of it.
func (q *Queue[T]) Peek(n int, f func(T)) {
	for s := q.first; s != nil; s = s.next {
		s.at = s.first
	}
	for shown := true; shown && n > 0; {
		shown = false
		for s := q.first; s != nil && n > 0; s = s.next {
			if s.at == nil {
				continue
			}
			f(s.at.v)
			s.at, shown = s.at.next, true
			n--
		}
	}
}

// Len is how many items wait.
func (q *Queue[T]) Len() int { return q.n }

// Weight is the sum of the weights.
func (q *Queue[T]) Weight() int { return q.weight }
