package dnsserver

import (
	"net"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// A secondary on a slow line takes its transfer in small portions; that must not look like a stall.
func TestKernelTakesLittleOfWhatThePeerHasNoRoomFor(t *testing.T) {
	s, _ := start(t, testOptions(t))
	c := dial(t, "tcp", s.Addrs()[0])
	write(t, c, query("100."+apex, dns.TypeA))
	read(t, c)
	s.tcp.mu.Lock()
	defer s.tcp.mu.Unlock()
	if len(s.tcp.mu.all) != 1 {
		t.Fatalf("%d connections", len(s.tcp.mu.all))
	}
	for _, open := range s.tcp.mu.all {
		raw, err := open.nc.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if ctl := raw.Control(func(fd uintptr) {
			got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowAt)
		}); ctl != nil || err != nil || got != maxUnsent {
			t.Errorf("%d octets, %v, %v", got, ctl, err)
		}
	}
}
