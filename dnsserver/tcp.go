package dnsserver

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// connections are the open TCP connections, within Limits.
type connections struct {
	mu struct {
		sync.Mutex
		all       map[*conn]struct{}
		byAddress map[netip.Addr]int
		closed    bool // no more are taken
	}
	ended sync.WaitGroup // both goroutines of every connection
}

func (cs *connections) init() {
	cs.mu.all = map[*conn]struct{}{}
	cs.mu.byAddress = map[netip.Addr]int{}
}

// accept takes connections until the listener is closed.
func (s *Server) accept(l *net.TCPListener) {
	for {
		c, err := l.AcceptTCP()
		switch {
		case err == nil:
			boundUnsent(c)
			s.adopt(c, c.RemoteAddr().(*net.TCPAddr).AddrPort())
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of files, mostly: it passes when connections end.
			s.Counters.AcceptErrors.Add(1)
			s.pause(50 * time.Millisecond)
		}
	}
}

// pause waits, but not longer than the server runs.
func (s *Server) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}

// adopt makes a connection one of ours, or closes it.
func (s *Server) adopt(nc net.Conn, remote netip.AddrPort) {
	c := newConn(s, nc, remote)
	evicted, reached, ok := s.tcp.add(c, s.conf().Limits)
	if reached < numLimits {
		s.Counters.Limits.Hit(reached)
	}
	if evicted != nil {
		s.Counters.TCPEvicted.Add(1)
		evicted.close()
	}
	if !ok {
		s.Counters.TCPRefused.Add(1)
		nc.Close()
		return
	}
	s.Counters.TCPAccepted.Add(1)
	s.Counters.TCPOpen.Add(1)
	c.run()
}

// add registers c. When a limit is reached the connection that is idle longest, of the same address if
// it is that address's limit, makes room; it is returned, to be closed. reached is numLimits when none is.
func (cs *connections) add(c *conn, limits Limits) (evicted *conn, reached Limit, ok bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	addr := c.from.addr.Addr()
	reached = numLimits
	crowded := cs.mu.byAddress[addr] >= limits.TCPPerAddress
	switch {
	case cs.mu.closed:
		return nil, numLimits, false
	case crowded || len(cs.mu.all) >= limits.TCPConnections:
		if reached = LimitTCPConnections; crowded {
			reached = LimitTCPPerAddress
		}
		if evicted = cs.longestIdleLocked(addr, crowded); evicted == nil {
			return nil, reached, false
		}
		cs.dropLocked(evicted)
	}
	cs.mu.all[c] = struct{}{}
	cs.mu.byAddress[addr]++
	cs.ended.Add(1)
	return evicted, reached, true
}

func (cs *connections) longestIdleLocked(addr netip.Addr, only bool) *conn {
	var oldest *conn
	var since int64
	for c := range cs.mu.all {
		if only && c.from.addr.Addr() != addr {
			continue
		}
		if at, idle := c.idleSince(); idle && (oldest == nil || at < since) {
			oldest, since = c, at
		}
	}
	return oldest
}

// dropLocked frees c's place. It is called again when c has ended.
func (cs *connections) dropLocked(c *conn) {
	if _, ok := cs.mu.all[c]; !ok {
		return
	}
	delete(cs.mu.all, c)
	addr := c.from.addr.Addr()
	if cs.mu.byAddress[addr]--; cs.mu.byAddress[addr] == 0 {
		delete(cs.mu.byAddress, addr)
	}
}

// remove is for a connection both goroutines of which have ended.
func (cs *connections) remove(c *conn) {
	cs.mu.Lock()
	cs.dropLocked(c)
	cs.mu.Unlock()
	cs.ended.Done()
}

// stop takes no more connections and has the open ones read no more.
func (cs *connections) stop() {
	for _, c := range cs.list(true) {
		c.stopReading()
	}
}

// cut closes all connections.
func (cs *connections) cut() {
	for _, c := range cs.list(true) {
		c.close()
	}
}

// levels tells how many there are, and how many the address has that has most.
func (cs *connections) levels() (total, most int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, n := range cs.mu.byAddress {
		most = max(most, n)
	}
	return len(cs.mu.all), most
}

func (cs *connections) list(closing bool) []*conn {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.mu.closed = cs.mu.closed || closing
	all := make([]*conn, 0, len(cs.mu.all))
	for c := range cs.mu.all {
		all = append(all, c)
	}
	return all
}
