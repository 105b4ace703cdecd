package dnsserver

import (
	"os"
	"runtime"
	"sync"
	"syscall"
)

// yielder lets queries run beside work that takes long.
//
// Go looks at its sockets when a processor has nothing to run, and else every 10 ms. A transfer is two
// goroutines that hand messages to each other and never leave their processor idle, so on one processor
// a query waited 5 ms for its answer, and up to 10; beside a flood of updates, which keeps workers, a
// zone's writer and the sender of replies busy, it did on two. runtime.Gosched alone does not help: it runs
// what is known to be ready, and that a datagram has come is not known yet. What makes the runtime look is a
// goroutine that waits for a socket while nothing else is ready. So yield waits for an octet that it has
// just written into a pipe: the runtime finds it, and with it all that has come meanwhile. Who yields while
// another waits for that octet waits with it, or the runtime would still have something to run.
type yielder struct {
	raw  syscall.RawConn // nil: there is no pipe
	r, w *os.File
	mu   struct {
		sync.Mutex
		round  chan struct{} // closed when the runtime has looked; nil when nobody waits for that
		closed bool
	}
}

// init makes the pipe; without one, yield does what runtime.Gosched does.
func (y *yielder) init() {
	r, w, err := os.Pipe()
	if err != nil {
		return
	}
	raw, err := r.SyscallConn()
	if err != nil {
		r.Close()
		w.Close()
		return
	}
	y.r, y.w, y.raw = r, w, raw
}

func (y *yielder) close() {
	y.mu.Lock()
	closed, round := y.mu.closed, y.mu.round
	y.mu.closed = true
	y.mu.Unlock()
	if round != nil {
		<-round
	}
	if !closed && y.raw != nil {
		y.r.Close()
		y.w.Close()
	}
}

// yield lets others run, those too that wait for a socket that has become ready.
func (y *yielder) yield() {
	y.mu.Lock()
	round := y.mu.round
	if round != nil {
		y.mu.Unlock()
		<-round
		return
	}
	if y.mu.closed || y.raw == nil {
		y.mu.Unlock()
		runtime.Gosched()
		return
	}
	round = make(chan struct{})
	y.mu.round = round
	y.mu.Unlock()
	y.poll()
	y.mu.Lock()
	y.mu.round = nil
	y.mu.Unlock()
	close(round)
	runtime.Gosched()
}

// poll is for one goroutine at a time.
func (y *yielder) poll() {
	var octet [1]byte
	written := false
	_ = y.raw.Read(func(uintptr) bool {
		if written {
			return true
		}
		_, err := y.w.Write(octet[:])
		written = err == nil
		return !written
	})
	if written {
		_, _ = y.r.Read(octet[:])
	}
}

// turns yields now and then: a goroutine that has much to do calls step after each piece of some 10 microseconds. A
// yield costs about 5, when nobody else has anything to do.
type turns struct {
	y *yielder
	n int
}

// stepsATurn make some hundred microseconds, a part of what a query may wait beside a flood. With half as many a
// commit finds fewer updates to share its sync: 56,000 a second in place of 74,000 with one processor.
const stepsATurn = 64

func (t *turns) step() {
	if t.n++; t.n == stepsATurn {
		t.n = 0
		t.y.yield()
	}
}

// rest begins a new turn: the goroutine has slept.
func (t *turns) rest() { t.n = 0 }
