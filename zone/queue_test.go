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

// TestBehindComesAfterAllThatWaited: by turns it would come second.
func TestBehindComesAfterAllThatWaited(t *testing.T) {
	var q queue
	q.init(nil)
	put := func(sender uint64) {
		t.Helper()
		if err := q.put(&idleOp{sender, 1}, 1000); err != nil {
			t.Fatal(err)
		}
	}
	behind := func(n uint64) {
		t.Helper()
		if err := q.putBehind(&idleOp{n, 0}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []uint64{1, 1, 1, 2} {
		put(s)
	}
	behind(100)
	put(3) // has a turn before it, and need not have
	put(1)
	behind(101)
	behind(102)
	if n := q.len(); n != 9 {
		t.Errorf("%d wait", n)
	}
	place, last := map[uint64]int{}, map[uint64]int{}
	for i := 0; ; i++ {
		op, open := q.take()
		if op == nil {
			if !open {
				t.Error("it is closed")
			}
			break
		}
		o := op.(*idleOp)
		place[o.sender] = i
		if place[100] == 0 {
			last[o.sender]++
		}
	}
	if last[1] < 3 || last[2] != 1 || place[100] == 0 {
		t.Errorf("before the first came %v", last)
	}
	if place[101] < place[1] || place[101] < place[3] || place[102] < place[101] {
		t.Errorf("the places are %v", place)
	}
	behind(103)
	q.close()
	if err := q.putBehind(&idleOp{}); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if op, _ := q.take(); op == nil || op.(*idleOp).sender != 103 {
		t.Error("what waits when the queue is closed is lost")
	}
	if op, open := q.take(); op != nil || open {
		t.Error("there is more")
	}
}
