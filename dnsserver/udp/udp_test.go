package udp

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// echo answers with the datagram itself, as far as it fits, and remembers peers.
type echo struct {
	batches, ended int
	peers          chan Peer
	unequal        atomic.Int64 // Addr was not what Peer told
}

func (e *echo) BeginBatch([][]byte) { e.batches++ }
func (e *echo) EndBatch()           { e.ended++ }
func (e *echo) Datagram(d *Datagram) int {
	if d.Addr() != d.Peer().Remote.Addr().WithZone("") {
		e.unequal.Add(1)
	}
	if e.peers != nil {
		e.peers <- d.Peer()
	}
	if bytes.Equal(d.Msg, []byte("silence")) {
		return 0
	}
	return copy(d.Out, d.Msg)
}

func start(t testing.TB, listen string, h Handler, o Options) *Socket {
	t.Helper()
	s, err := Listen(context.Background(), netip.MustParseAddrPort(listen), o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(h) }()
	t.Cleanup(func() {
		if e, ok := h.(*echo); ok && e.unequal.Load() > 0 {
			t.Errorf("Addr differed from Peer %d times", e.unequal.Load())
		}
		s.Stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		s.Close()
	})
	return s
}

func dial(t testing.TB, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second)) // a lost reply fails the test, it does not hang it
	return c
}

func TestRepliesReachTheirSenders(t *testing.T) {
	s := start(t, "127.0.0.1:0", &echo{}, Options{OutSize: 1232, Buffer: 1 << 20})
	const clients, rounds = 5, 200
	conns := make([]*net.UDPConn, clients)
	for i := range conns {
		conns[i] = dial(t, s.Addr())
	}
	buf := make([]byte, 2048)
	for r := range rounds {
		for i, c := range conns {
			c.Write([]byte("silence")) // its slot must not disturb the next one's reply
			c.Write([]byte{byte(i), byte(r)})
		}
		for i, c := range conns {
			n, err := c.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if want := []byte{byte(i), byte(r)}; !bytes.Equal(buf[:n], want) {
				t.Fatalf("client %d got %x, want %x", i, buf[:n], want)
			}
		}
	}
}

func TestLargestDatagramIsReadWhole(t *testing.T) {
	s := start(t, "127.0.0.1:0", &echo{}, Options{OutSize: 65535, Buffer: 1 << 20})
	c := dial(t, s.Addr())
	want := bytes.Repeat([]byte("0123456789abcdef"), 4096)[:65507]
	if _, err := c.Write(want); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 65535)
	n, err := c.Read(got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[:n], want) {
		t.Fatalf("got %d octets, want %d", n, len(want))
	}
}

func TestWildcardAnswersFromTheAskedAddress(t *testing.T) {
	for _, tt := range []struct{ listen, ask string }{
		{"0.0.0.0:0", "127.0.0.2"},
		{"0.0.0.0:0", "127.0.0.1"},
		{"[::]:0", "::1"},
	} {
		t.Run(tt.listen+" "+tt.ask, func(t *testing.T) {
			h := &echo{peers: make(chan Peer, 1)}
			s := start(t, tt.listen, h, Options{OutSize: 512})
			ask := netip.MustParseAddr(tt.ask)
			// A connected socket takes datagrams from the address that it asked only.
			c := dial(t, netip.AddrPortFrom(ask, s.Addr().Port()))
			c.Write([]byte("now"))
			buf := make([]byte, 16)
			if n, err := c.Read(buf); err != nil || string(buf[:n]) != "now" {
				t.Fatalf("%q, %v", buf[:n], err)
			}
			p := <-h.peers
			if p.Local != ask {
				t.Errorf("local address is %v, want %v", p.Local, ask)
			}
			if want := c.LocalAddr().(*net.UDPAddr).AddrPort(); p.Remote != want {
				t.Errorf("remote address is %v, want %v", p.Remote, want)
			}
			if err := s.Send([]byte("late"), p); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(buf); err != nil || string(buf[:n]) != "late" {
				t.Fatalf("%q, %v", buf[:n], err)
			}
		})
	}
}

func TestRefusedReplyDoesNotHoldUpTheOthers(t *testing.T) {
	s := start(t, "127.0.0.1:0", tooLong{}, Options{OutSize: 65535})
	c := dial(t, s.Addr())
	c.Write([]byte("long")) // its reply is larger than a datagram can be
	c.Write([]byte("good"))
	buf := make([]byte, 16)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "good" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	if s.SendErrors.Load() != 1 {
		t.Errorf("%d send errors counted, want 1", s.SendErrors.Load())
	}
}

type tooLong struct{}

func (tooLong) BeginBatch([][]byte) {}
func (tooLong) EndBatch()           {}
func (tooLong) Datagram(d *Datagram) int {
	if string(d.Msg) == "long" {
		return 65535
	}
	return copy(d.Out, d.Msg)
}

// keeper answers nothing and hands over whom it heard.
type keeper struct{ peers chan Peer }

func (keeper) BeginBatch([][]byte) {}
func (keeper) EndBatch()           {}
func (k keeper) Datagram(d *Datagram) int {
	k.peers <- d.Peer()
	return 0
}

// TestLateRepliesReachTheirSenders sends more than one system call takes, to several clients in turn.
func TestLateRepliesReachTheirSenders(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		t.Run(listen, func(t *testing.T) {
			const clients, replies = 5, 150
			k := keeper{make(chan Peer, clients)}
			s := start(t, listen, k, Options{OutSize: 512, Buffer: 1 << 20})
			ask := s.Addr().Addr()
			switch {
			case ask == netip.IPv4Unspecified():
				ask = netip.MustParseAddr("127.0.0.3")
			case ask == netip.IPv6Unspecified():
				ask = netip.IPv6Loopback()
			}
			conns, peers := make([]*net.UDPConn, clients), make([]Peer, clients)
			for i := range conns {
				conns[i] = dial(t, netip.AddrPortFrom(ask, s.Addr().Port()))
				conns[i].Write([]byte{byte(i)})
				peers[i] = <-k.peers
			}
			x := s.NewSender()
			x.Flush()
			want := func(i, r int) []byte { // of several lengths, as replies have them
				return append([]byte{byte(i), byte(r)}, make([]byte, r/10%3)...)
			}
			for r := range replies {
				for i, p := range peers {
					x.Add(want(i, r), p)
				}
			}
			x.Add(make([]byte, 513), peers[0])
			x.Flush()
			buf := make([]byte, 16)
			for r := range replies {
				for i, c := range conns {
					n, err := c.Read(buf)
					if err != nil || !bytes.Equal(buf[:n], want(i, r)) {
						t.Fatalf("client %d got %x, want %x; %v", i, buf[:n], want(i, r), err)
					}
				}
			}
			if n := s.SendErrors.Load(); n != 1 {
				t.Errorf("%d send errors counted, want 1 for the reply that is too long", n)
			}
		})
	}
}

func TestAddressInUse(t *testing.T) {
	a := start(t, "127.0.0.1:0", &echo{}, Options{OutSize: 512})
	if s, err := Listen(context.Background(), a.Addr(), Options{OutSize: 512}); err == nil {
		s.Close()
		t.Fatal("the address was bound twice")
	}
}
