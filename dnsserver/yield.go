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
// a query waited 5 ms for its answer, and up to 10. runtime.Gosched alone does not help: it runs what is
// known to be ready, and that a datagram has come is not known yet. What makes the runtime look is a
// goroutine that waits for a socket while nothing else is ready. So yield waits for an octet that it has
// just written into a pipe: the runtime finds it, and with it all that has come meanwhile.
type yielder struct {
	mu struct {
		sync.Mutex
		r, w  *os.File
		raw   syscall.RawConn
		octet [1]byte
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
	y.mu.r, y.mu.w, y.mu.raw = r, w, raw
}

func (y *yielder) close() {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.mu.raw != nil {
		y.mu.r.Close()
		y.mu.w.Close()
		y.mu.raw = nil
	}
}

// yield lets others run, those too that wait for a socket that has become ready.
func (y *yielder) yield() {
	y.poll()
	runtime.Gosched()
}

func (y *yielder) poll() {
	if !y.mu.TryLock() {
		return // another goroutine has the runtime look at this moment
	}
	defer y.mu.Unlock()
	if y.mu.raw == nil {
		return
	}
	written := false
	_ = y.mu.raw.Read(func(uintptr) bool {
		if written {
			return true
		}
		_, err := y.mu.w.Write(y.mu.octet[:])
		written = err == nil
		return !written
	})
	if written {
		_, _ = y.mu.r.Read(y.mu.octet[:])
	}
}
