//go:build linux && !portable

package udp

import (
	"net"
	"net/netip"
	"testing"
)

// A socket that nobody reads loses what its buffer has no room for.
func TestDroppedCountsWhatTheBufferHasNoRoomFor(t *testing.T) {
	s, err := Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"), Options{OutSize: 512, Buffer: 4096})
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Dropped(); n != 0 {
		t.Fatalf("%d before anything came", n)
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const sent = 5000 // loopback delivers in Write
	for range sent {
		if _, err := c.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Dropped(); n == 0 || n >= sent {
		t.Errorf("%d of %d were dropped", n, sent)
	}
	s.Close()
	if n := s.Dropped(); n != 0 {
		t.Errorf("%d of a closed socket", n)
	}
}
