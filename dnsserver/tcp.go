package dnsserver

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// connections are the open TCP connections, within Limits.
type connections struct {
	mu struct {
		sync.Mutex
		all       []*conn
		byAddress map[netip.Addr][]*conn
		closed    bool // no more are taken
	}
	ended sync.WaitGroup // both goroutines of every connection
}

func (cs *connections) init() { cs.mu.byAddress = map[netip.Addr][]*conn{} }

// place is where a connection stands in the two lists.
type place struct {
	taken            bool
	inAll, inAddress int
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

// add registers c. When a limit is reached another one makes room, of the same address if it is that address's limit;
// it is returned, to be closed. reached is numLimits when none is.
func (cs *connections) add(c *conn, limits Limits) (evicted *conn, reached Limit, ok bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	addr := c.from.addr.Addr()
	own := cs.mu.byAddress[addr]
	reached = numLimits
	switch {
	case cs.mu.closed:
		return nil, numLimits, false
	case len(own) >= limits.TCPPerAddress:
		reached = LimitTCPPerAddress
		evicted = cs.leastLocked(own, len(own))
	case len(cs.mu.all) >= limits.TCPConnections:
		reached = LimitTCPConnections
		evicted = cs.leastLocked(cs.mu.all, len(own))
	}
	if reached < numLimits && evicted == nil {
		return nil, reached, false
	}
	if evicted != nil {
		cs.dropLocked(evicted)
		own = cs.mu.byAddress[addr]
	}
	c.place = place{taken: true, inAll: len(cs.mu.all), inAddress: len(own)}
	cs.mu.all = append(cs.mu.all, c)
	cs.mu.byAddress[addr] = append(own, c)
	cs.ended.Add(1)
	return evicted, reached, true
}

// looksAtMost is how many connections are looked at to find the one that makes room; where there are more, so many
// that stand apart. A flood of connections must not cost the more, the more there are.
const looksAtMost = 64

// leastLocked gives the connection of a list that makes room for one of an address that has so many; nil for none.
// Of those that are worth the same it is the one on which nothing has moved for the longest time.
func (cs *connections) leastLocked(list []*conn, own int) (least *conn) {
	now := time.Now().UnixNano()
	value, since := busy, int64(0)
	at, stride := 0, 1
	if n := len(list); n > looksAtMost {
		at, stride = rand.IntN(n), n/looksAtMost
	}
	for i := range min(len(list), looksAtMost) {
		c := list[(at+i*stride)%len(list)]
		v, moved := c.worth(now)
		if v >= fresh && len(cs.mu.byAddress[c.from.addr.Addr()]) > own+1 {
			v = crowding
		}
		if v < value || v == value && v < busy && moved < since {
			least, value, since = c, v, moved
		}
	}
	return least
}

// dropLocked frees c's place. It is called again when c has ended.
func (cs *connections) dropLocked(c *conn) {
	if !c.place.taken {
		return
	}
	c.place.taken = false
	addr := c.from.addr.Addr()
	cs.mu.all = dropPlace(cs.mu.all, c.place.inAll, func(c *conn, at int) { c.place.inAll = at })
	own := dropPlace(cs.mu.byAddress[addr], c.place.inAddress, func(c *conn, at int) { c.place.inAddress = at })
	if cs.mu.byAddress[addr] = own; len(own) == 0 {
		delete(cs.mu.byAddress, addr)
	}
}

// dropPlace puts the last connection into a place that becomes free.
func dropPlace(list []*conn, at int, moved func(c *conn, at int)) []*conn {
	last := len(list) - 1
	list[at] = list[last]
	moved(list[at], at)
	list[last] = nil
	return list[:last]
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
	for _, own := range cs.mu.byAddress {
		most = max(most, len(own))
	}
	return len(cs.mu.all), most
}

func (cs *connections) list(closing bool) []*conn {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.mu.closed = cs.mu.closed || closing
	return slices.Clone(cs.mu.all)
}
