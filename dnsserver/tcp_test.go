package dnsserver

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestWhoMakesRoom fills a server with connections of all kinds, and looks which goes for each one more.
func TestWhoMakesRoom(t *testing.T) {
	s := connServer(Limits{TCPConnections: 7, TCPPerAddress: 4, TCPIdle: time.Hour})
	long := time.Now().Add(-time.Minute).UnixNano()
	made := func(name, addr string, moved int64, set func(c *conn)) *conn {
		near, far := net.Pipe()
		t.Cleanup(func() { near.Close(); far.Close() })
		c := newConn(s, near, netip.MustParseAddrPort(addr))
		c.moved.Store(moved)
		set(c)
		return c
	}
	names := map[*conn]string{}
	for i, k := range []struct {
		name, addr string
		moved      int64
		set        func(c *conn)
	}{
		{"stuck", "192.0.2.1:1", long, func(c *conn) { c.asked.Store(true); c.writing.Store(true) }},
		{"idle", "192.0.2.2:1", long + 1, func(c *conn) { c.asked.Store(true) }},
		{"never asked", "192.0.2.3:1", long + 2, func(*conn) {}},
		{"busy", "192.0.2.4:1", long, func(c *conn) { c.asked.Store(true); c.inFlight.Add(1) }},
		{"one of two", "192.0.2.5:1", long, func(c *conn) { c.asked.Store(true); c.inFlight.Add(1) }},
		{"the other", "192.0.2.5:2", long + 1, func(c *conn) { c.asked.Store(true); c.inFlight.Add(1) }},
		{"idle for less long", "192.0.2.6:1", long + 5, func(c *conn) { c.asked.Store(true) }},
	} {
		c := made(k.name, k.addr, k.moved, k.set)
		names[c] = k.name
		if out, reached, ok := s.tcp.add(c, s.conf().Limits); out != nil || reached != numLimits || !ok {
			t.Fatalf("connection %d: %v, %v, %v", i, names[out], reached, ok)
		}
	}
	for i, want := range []string{"never asked", "idle", "idle for less long", "stuck", "one of two"} {
		c := made("new", fmt.Sprintf("198.51.100.%d:1", i), time.Now().UnixNano(), func(c *conn) { c.asked.Store(true); c.inFlight.Add(1) })
		names[c] = "new"
		if out, reached, ok := s.tcp.add(c, s.conf().Limits); !ok || reached != LimitTCPConnections || names[out] != want {
			t.Errorf("%q makes room, want %q", names[out], want)
		}
	}
	c := made("more", "203.0.113.1:1", time.Now().UnixNano(), func(*conn) {})
	if out, _, ok := s.tcp.add(c, s.conf().Limits); ok {
		t.Errorf("%q makes room, though all are busy and no address has more than another", names[out])
	}
	for _, c := range s.tcp.list(false) {
		s.tcp.remove(c)
	}
	if total, most := s.tcp.levels(); total != 0 || most != 0 {
		t.Errorf("%d connections, %d of one address, are left", total, most)
	}
}

// TestRoomIsFoundAmongMany: of a thousand connections some are looked at, and one of them makes room.
func TestRoomIsFoundAmongMany(t *testing.T) {
	s := connServer(Limits{TCPConnections: 1000, TCPPerAddress: 1000, TCPIdle: time.Hour})
	long := time.Now().Add(-time.Minute).UnixNano()
	for i := range 2000 {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		c := newConn(s, near, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1))
		c.moved.Store(long)
		if _, _, ok := s.tcp.add(c, s.conf().Limits); !ok {
			t.Fatalf("no room for connection %d", i)
		}
		for at, c := range s.tcp.mu.all {
			if i%100 == 0 && c.place.inAll != at {
				t.Fatalf("connection at %d says that it is at %d", at, c.place.inAll)
			}
		}
	}
	if total, most := s.tcp.levels(); total != 1000 || most != 1 {
		t.Errorf("%d connections, %d of one address", total, most)
	}
}
