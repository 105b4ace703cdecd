package web

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"dialtone/dnsserver"
)

// limits bound what browsers may cost.
type limits struct {
	from        Source
	connections int64
	streams     int64

	mu struct {
		sync.Mutex
		minute   int64                // of attempts
		attempts map[netip.Prefix]int // to log in, by where they came from
		all      int
	}
}

// Attempts to log in, in a minute.
const (
	attemptsEach = 5  // of an address, IPv6: of a network of 64 bits
	attemptsAll  = 60 // whoever makes them
)

func (l *limits) init(from Source, o Options) {
	l.from, l.connections, l.streams = from, int64(o.Connections), int64(o.Streams)
}

// connState counts connections, and closes at once those that are too many.
func (l *limits) connState(c net.Conn, state http.ConnState) {
	n := &l.from.Web().Connections
	switch state {
	case http.StateNew:
		if n.Add(1) > l.connections {
			l.from.Hit(dnsserver.LimitWebConnections)
			c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		n.Add(-1)
	}
}

// openStream takes one of the streams; false when there are enough.
func (l *limits) openStream() bool {
	n := &l.from.Web().Streams
	if n.Add(1) > l.streams {
		l.closeStream()
		l.from.Hit(dnsserver.LimitWebStreams)
		return false
	}
	return true
}

func (l *limits) closeStream() { l.from.Web().Streams.Add(-1) }

// mayTry tells whether an address may try to log in, and counts that.
func (l *limits) mayTry(from netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute := now.Unix() / 60; minute != l.mu.minute || l.mu.attempts == nil {
		l.mu.minute, l.mu.attempts, l.mu.all = minute, map[netip.Prefix]int{}, 0
	}
	who := network(from)
	if l.mu.all >= attemptsAll || l.mu.attempts[who] >= attemptsEach {
		l.from.Hit(dnsserver.LimitWebLogins)
		return false
	}
	l.mu.all++
	l.mu.attempts[who]++
	return true
}

// forgive forgets the attempts of who has the token.
func (l *limits) forgive(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	who := network(from)
	l.mu.all -= min(l.mu.all, l.mu.attempts[who])
	delete(l.mu.attempts, who)
}

func network(a netip.Addr) netip.Prefix {
	bits := 32
	if a = a.Unmap().WithZone(""); a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero value for no address
	return p
}

// source is where a request comes from.
func source(r *http.Request) netip.Addr {
	a, _ := netip.ParseAddrPort(r.RemoteAddr)
	return a.Addr().Unmap()
}
