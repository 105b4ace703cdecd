package zone

import (
	"errors"
	"testing"
)

// idleOp has a sender.
type idleOp struct {
	sender uint64
	weight int
}

func (*idleOp) Evaluate(*Draft) error        { return nil }
func (*idleOp) Done(Committed)               {}
func (o *idleOp) Sender() (id uint64, w int) { return o.sender, o.weight }

func TestQueueHasItsLimits(t *testing.T) {
	var q queue
	q.init(nil)
	put := func(sender uint64) error { return q.put(&idleOp{sender, 1}, 10) }
	for range 8 {
		if err := put(1); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(1); !errors.Is(err, ErrQueueShare) || !errors.Is(err, ErrQueueFull) {
		t.Errorf("one sender takes it all: %v", err)
	}
	if err := errors.Join(put(2), put(3)); err != nil {
		t.Errorf("the others: %v", err)
	}
	if err := put(4); !errors.Is(err, ErrQueueFull) || errors.Is(err, ErrQueueShare) {
		t.Errorf("more than the limit: %v", err)
	}
	var order []uint64
	for op, _ := q.take(); op != nil; op, _ = q.take() {
		order = append(order, op.(*idleOp).sender)
	}
	if len(order) != 10 || order[1] != 2 || order[2] != 3 {
		t.Errorf("they take turns: %d", order)
	}
}

// TestQueuesShareARoom: zones have a limit together, and one leaves room for the others.
func TestQueuesShareARoom(t *testing.T) {
	all := NewWaiting(10)
	var one, other queue
	one.init(all)
	other.init(all)
	n := 0
	for one.put(&idleOp{uint64(n), 1}, 100) == nil {
		n++
	}
	if n != 8 || all.Weight() != 8 {
		t.Errorf("one zone has %d, %d in all", n, all.Weight())
	}
	if err := one.put(&idleOp{1, 1}, 100); !errors.Is(err, ErrAllFull) || !errors.Is(err, ErrQueueFull) {
		t.Errorf("%v", err)
	}
	for range 2 {
		if err := other.put(&idleOp{1, 1}, 100); err != nil {
			t.Errorf("the other zone: %v", err)
		}
	}
	if err := other.put(&idleOp{1, 1}, 100); !errors.Is(err, ErrAllFull) {
		t.Errorf("more than the limit: %v", err)
	}
	for _, q := range []*queue{&one, &other} {
		for op, _ := q.take(); op != nil; op, _ = q.take() {
		}
	}
	if all.Weight() != 0 {
		t.Errorf("%d are counted, and none waits", all.Weight())
	}
}

func TestClosedQueue(t *testing.T) {
	var q queue
	q.init(nil)
	ops := []*idleOp{{1, 1}, {1, 1}, {2, 1}}
	for _, op := range ops {
		if err := q.put(op, 10); err != nil {
			t.Fatal(err)
		}
	}
	q.close()
	if err := q.put(new(idleOp), 10); !errors.Is(err, ErrClosed) {
		t.Fatalf("put into a closed queue: %v", err)
	}
	for _, want := range []*idleOp{ops[0], ops[2], ops[1]} {
		if got := q.next(); got != want {
			t.Fatal("what waited when the queue was closed is lost")
		}
	}
	if q.next() != nil {
		t.Fatal("closed and empty")
	}
}
