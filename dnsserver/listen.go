package dnsserver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"dialtone/dnsserver/udp"
)

// listener is one address of Options.Listen.
type listener struct {
	addr    netip.AddrPort
	sockets []*udp.Socket
	tcp     *net.TCPListener
}

func (l *listener) close() {
	for _, s := range l.sockets {
		s.Close()
	}
	if l.tcp != nil {
		l.tcp.Close()
	}
}

// bindAll binds every address on UDP and TCP and tells of all that cannot be bound.
func bindAll(ctx context.Context, o Options, sampled func(int, time.Duration)) ([]*listener, error) {
	var all []*listener
	var failed []BindFailure
	for _, addr := range o.Listen {
		l, faults := bind(ctx, addr, o.Limits, sampled)
		if len(faults) > 0 {
			failed = append(failed, faults...)
			continue
		}
		all = append(all, l)
	}
	if len(failed) == 0 {
		return all, nil
	}
	for _, l := range all {
		l.close()
	}
	return nil, &BindError{Failed: failed}
}

// portTries is how often a port that the system chose for TCP is tried on UDP, where another process
// may have it.
const portTries = 16

func bind(ctx context.Context, addr netip.AddrPort, limits Limits, sampled func(int, time.Duration)) (*listener, []BindFailure) {
	for try := 1; ; try++ {
		l, faults := bindOnce(ctx, addr, limits, sampled)
		if len(faults) == 0 {
			return l, nil
		}
		l.close()
		taken := len(faults) == 1 && faults[0].Proto == "udp" && errors.Is(faults[0].Err, syscall.EADDRINUSE)
		if addr.Port() != 0 || !taken || try == portTries {
			return nil, faults
		}
	}
}

// bindOnce takes TCP first: it cannot be shared, so it notices another server, even a second one of
// this user, whose UDP sockets would let themselves be shared.
func bindOnce(ctx context.Context, addr netip.AddrPort, limits Limits, sampled func(int, time.Duration)) (*listener, []BindFailure) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	l := &listener{addr: addr}
	var faults []BindFailure
	network := "tcp4"
	if addr.Addr().Is6() {
		network = "tcp6" // also sets IPV6_V6ONLY
	}
	lc := net.ListenConfig{KeepAlive: -1} // the idle timer is shorter
	tcp, err := lc.Listen(ctx, network, addr.String())
	if err != nil {
		faults = append(faults, BindFailure{"tcp", addr, err})
	} else {
		l.tcp = tcp.(*net.TCPListener)
		l.addr = netip.AddrPortFrom(addr.Addr(), uint16(l.tcp.Addr().(*net.TCPAddr).Port))
	}
	readers := limits.Readers
	if !udp.CanShare {
		readers = 1
	}
	for range readers {
		s, err := udp.Listen(ctx, l.addr, udp.Options{
			Buffer: limits.UDPBuffer, OutSize: limits.UDPSize, Shared: readers > 1, Sampled: sampled, SampleEvery: querySample,
		})
		if err != nil {
			faults = append(faults, BindFailure{"udp", addr, err})
			break
		}
		l.sockets = append(l.sockets, s)
		if l.addr.Port() == 0 { // TCP failed
			break
		}
	}
	return l, faults
}
