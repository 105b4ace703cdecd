package fair

import (
	"math/rand/v2"
	"testing"
)

type entry struct {
	sender uint64
	weight int
	number int
}

// model is a Queue without any care for its cost.
type model struct {
	turns []uint64
	waits map[uint64][]entry
}

func (m *model) weights(of uint64) (own, all, n int) {
	for id, list := range m.waits {
		for _, e := range list {
			all += e.weight
			n++
			if id == of {
				own += e.weight
			}
		}
	}
	return own, all, n
}

func (m *model) put(e entry, limit int) Verdict {
	own, all, n := m.weights(e.sender)
	free := limit - all
	switch {
	case free <= 0, free < e.weight && n > 0:
		return Full
	case own > 0 && own+e.weight > share*free:
		return Share
	}
	if own == 0 {
		m.turns = append(m.turns, e.sender)
	}
	m.waits[e.sender] = append(m.waits[e.sender], e)
	return Taken
}

func (m *model) take() (e entry, ok bool) {
	if len(m.turns) == 0 {
		return e, false
	}
	id := m.turns[0]
	m.turns = m.turns[1:]
	e = m.waits[id][0]
	if m.waits[id] = m.waits[id][1:]; len(m.waits[id]) > 0 {
		m.turns = append(m.turns, id)
	} else {
		delete(m.waits, id)
	}
	return e, true
}

func TestQueueIsItsModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var q Queue[entry]
	m := model{waits: map[uint64][]entry{}}
	for i := range 50_000 {
		limit := []int{1, 5, 40, 300}[i/3000%4]
		if rnd.IntN(1000) < 560-i%3000/12 { // more in at first, more out at last
			e := entry{sender: uint64(rnd.IntN(1 + rnd.IntN(100))), weight: 1 + rnd.IntN(1+rnd.IntN(4)), number: i}
			if got, want := q.Put(e.sender, e, e.weight, limit), m.put(e, limit); got != want {
				t.Fatalf("step %d: %+v: %d, want %d", i, e, got, want)
			}
		} else {
			got, ok := q.Take()
			if want, any := m.take(); ok != any || got != want {
				t.Fatalf("step %d: %+v, want %+v", i, got, want)
			}
		}
		_, weight, n := m.weights(0)
		if q.Len() != n || q.Weight() != weight || len(q.senders) != len(m.turns) {
			t.Fatalf("step %d: %d items of %d senders that weigh %d, want %d, %d, %d", i, q.Len(), len(q.senders), q.Weight(), n, len(m.turns), weight)
		}
		for id := range uint64(4) {
			if q.Has(id) != (len(m.waits[id]) > 0) {
				t.Fatalf("step %d: sender %d", i, id)
			}
		}
	}
}

// TestOneSenderFloods: it has four fifths of the room, and what another sends is taken next.
func TestOneSenderFloods(t *testing.T) {
	const limit = 1000
	var q Queue[int]
	taken := 0
	for i := range 5 * limit {
		if q.Put(1, i, 1, limit) == Taken {
			taken++
		}
	}
	if taken != limit*share/(share+1) {
		t.Errorf("one sender has %d of %d", taken, limit)
	}
	for i := range 100 {
		if v := q.Put(2, -1, 1, limit); v != Taken {
			t.Fatalf("the other: %d", v)
		}
		for q.Put(1, i, 1, limit) == Taken {
		}
		first, _ := q.Take()
		second, _ := q.Take()
		if first != -1 && second != -1 {
			t.Fatalf("the other's waits for more than one: %d, %d", first, second)
		}
	}
}

// TestManySendersFlood: one more still finds room.
func TestManySendersFlood(t *testing.T) {
	const limit, floods = 4096, 200
	var q Queue[int]
	for i := range 100 * limit {
		q.Put(uint64(i%floods), i, 1, limit)
	}
	if v := q.Put(floods, -1, 1, limit); v != Taken {
		t.Errorf("%d, with %d waiting", v, q.Len())
	}
}

func TestPeekIsInOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var q Queue[int]
	for i := range 500 {
		q.Put(uint64(rnd.IntN(1+rnd.IntN(30))), i, 1, 1000)
	}
	var seen []int
	q.Peek(1000, func(v int) { seen = append(seen, v) })
	if len(seen) != q.Len() {
		t.Fatalf("%d of %d", len(seen), q.Len())
	}
	for i, want := range seen {
		if got, _ := q.Take(); got != want {
			t.Fatalf("%d: %d, Peek said %d", i, got, want)
		}
	}
	q.Peek(10, func(int) { t.Error("the queue is empty") })
}

// TestMemoryIsGivenBack: an empty queue holds little of what it held.
func TestMemoryIsGivenBack(t *testing.T) {
	var q Queue[int]
	for i := range 10_000 {
		q.Put(uint64(i), i, 1, 1<<20)
	}
	for range 5_000 { // senders leave, and no new one comes
		q.Take()
		q.Put(9_999, 0, 1, 1<<20)
	}
	for q.Len() > 0 {
		q.Take()
	}
	items, senders := 0, 0
	for x := q.freeItems; x != nil; x = x.next {
		items++
	}
	for s := q.freeSenders; s != nil; s = s.next {
		senders++
	}
	if items > keep || senders > keep || q.senders != nil {
		t.Errorf("%d items, %d senders and a map are kept", items, senders)
	}
	q.Put(1, 1, 1, 1)
	if allocs := testing.AllocsPerRun(100, func() { q.Take(); q.Put(1, 1, 1, 1) }); allocs > 0 {
		t.Errorf("%.0f allocations for an item, when there is memory for it", allocs)
	}
}

func BenchmarkOneSender(b *testing.B) { benchmark(b, 1) }

func BenchmarkManySenders(b *testing.B) { benchmark(b, 1000) }

func benchmark(b *testing.B, senders int) {
	var q Queue[int]
	for i := 0; b.Loop(); i++ {
		q.Put(uint64(i%senders)*0x9e3779b97f4a7c15, i, 1, 1<<20)
		if i%2000 == 1999 {
			for q.Len() > 0 {
				q.Take()
			}
		}
	}
}
