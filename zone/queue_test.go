package zone

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// TestQueueIsInOrder compares the queue with a plain list.
// idleOp has a size, so that no two are the same.
type idleOp struct{ _ int }

func (*idleOp) Evaluate(*Draft) error { return nil }
func (*idleOp) Done(Committed)        {}

func TestQueueIsInOrder(t *testing.T) {
	const limit = 300
	rnd := rand.New(rand.NewPCG(1, 1))
	var q queue
	q.init()
	var want []Op
	for i := range 20000 {
		if rnd.IntN(1000) < 520-i/200 { // more in at first, more out at last
			op := new(idleOp)
			err := q.put(op, limit)
			if full := len(want) == limit; full != errors.Is(err, ErrQueueFull) {
				t.Fatalf("%d wait, of at most %d: %v", len(want), limit, err)
			} else if !full {
				want = append(want, op)
			}
		} else {
			op, open := q.take()
			if len(want) == 0 {
				if op != nil || !open {
					t.Fatalf("an empty queue gave %v, %v", op, open)
				}
				continue
			}
			if op != want[0] {
				t.Fatal("another op than the one that waits longest")
			}
			want = want[1:]
		}
		if q.len() != len(want) || cap(q.mu.ops) > 4*limit {
			t.Fatalf("%d ops in room for %d, want %d", q.len(), cap(q.mu.ops), len(want))
		}
	}
	q.close()
	if err := q.put(new(idleOp), limit); !errors.Is(err, ErrClosed) {
		t.Fatalf("put into a closed queue: %v", err)
	}
	for _, op := range want {
		if got := q.next(); got != op {
			t.Fatal("what waited when the queue was closed is lost")
		}
	}
	if q.next() != nil || cap(q.mu.ops) > keepOps {
		t.Fatalf("closed and empty, with room for %d", cap(q.mu.ops))
	}
}
