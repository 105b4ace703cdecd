// Package udp reads and answers datagrams in batches.
//
// It owns: UDP sockets, their buffers and options, and the loop from a datagram to its reply. On Linux
// that is recvmmsg and sendmmsg with one sleep in the netpoller when nothing is left to read; elsewhere
// (and with the build tag portable) one datagram at a time.
//
// It must not know DNS. Only dnsserver may import it.
//
// # Sizes
//
// Every receive buffer has room for the largest datagram that there is, so none is ever cut: an update
// of 60 KiB over UDP is read whole. This costs address space and not memory, because the kernel
// touches only the pages that it fills, and queries fill the first one.
package udp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Handler answers datagrams. It is used by one goroutine.
type Handler interface {
	// BeginBatch and EndBatch enclose the datagrams that were read together. Replies are sent after
	// EndBatch. BeginBatch is given all of them; it must not keep them.
	BeginBatch(msgs [][]byte)
	EndBatch()
	// Datagram gives the number of octets that it wrote to d.Out as the reply, or 0 for none. It must
	// not block and must not keep d or its buffers.
	Datagram(d *Datagram) int
}

// Peer is where a datagram came from and by which address of ours. It is what a reply needs.
type Peer struct {
	Remote netip.AddrPort
	Local  netip.Addr // set on wildcard sockets only
}

// Options of Listen.
type Options struct {
	Buffer  int  // octets of kernel buffer, in and out, to ask for; 0: the system's default
	OutSize int  // octets of Datagram.Out
	Shared  bool // several sockets will be bound to the address (SO_REUSEPORT, Linux)

	// Sampled, when not nil, hears of one in SampleEvery batches how many datagrams it had, and how long it
	// took from their reading to the sending of their replies. The reading goroutine calls it.
	Sampled     func(datagrams int, took time.Duration)
	SampleEvery int // at least 1
}

// Socket is one UDP socket with the buffers of one reading goroutine.
type Socket struct {
	conn     *net.UDPConn
	raw      syscall.RawConn
	wildcard bool
	v6       bool
	outSize  int
	buffer   int
	sampler  sampler
	stopping atomic.Bool
	//lint:ignore U1000 only one kind of kernel needs something
	platform

	// SendErrors counts the replies that the kernel refused to send.
	SendErrors atomic.Uint64
	// Batches counts reads that gave at least one datagram.
	Batches atomic.Uint64
}

// CanShare tells whether the kernel spreads datagrams over the sockets that share an address.
const CanShare = canShare

// Listen binds a socket.
func Listen(ctx context.Context, addr netip.AddrPort, o Options) (*Socket, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	s := &Socket{wildcard: addr.Addr().IsUnspecified(), v6: addr.Addr().Is6(), outSize: o.OutSize, buffer: o.Buffer, sampler: sampler{every: o.SampleEvery, heard: o.Sampled}}
	network := "udp4"
	if s.v6 {
		network = "udp6" // also sets IPV6_V6ONLY, so that 0.0.0.0 and :: can both be served
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = s.setOptions(int(fd), o) }); cerr != nil {
			return cerr
		}
		return err
	}}
	pc, err := lc.ListenPacket(ctx, network, addr.String())
	if err != nil {
		return nil, err
	}
	s.conn = pc.(*net.UDPConn)
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		s.conn.Close()
		return nil, err
	}
	if err = s.prepare(); err != nil {
		s.conn.Close()
		return nil, err
	}
	return s, nil
}

// sampler takes the time of one in so many batches.
type sampler struct {
	heard   func(datagrams int, took time.Duration)
	every   int
	batches int
}

// begin gives the zero time for a batch whose time is not taken.
func (s *sampler) begin() (at time.Time) {
	if s.batches++; s.heard == nil || s.batches < s.every {
		return at
	}
	s.batches = 0
	return time.Now()
}

func (s *sampler) end(begun time.Time, datagrams int) {
	if !begun.IsZero() {
		s.heard(datagrams, time.Since(begun))
	}
}

// Addr is the bound address.
func (s *Socket) Addr() netip.AddrPort {
	return s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Serve reads and answers until Stop. It may be called once.
func (s *Socket) Serve(h Handler) error {
	err := s.serve(h)
	if s.stopping.Load() && (err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed)) {
		return nil
	}
	return err
}

// stopWrites bounds the wait for a network that takes nothing once Stop was called.
const stopWrites = time.Minute

// Stop makes Serve return after the batch at hand. Send works on until Close, but not for longer than
// stopWrites.
func (s *Socket) Stop() {
	s.stopping.Store(true)
	s.conn.SetWriteDeadline(time.Now().Add(stopWrites))
	s.conn.SetReadDeadline(time.Unix(1, 0))
}

// Close closes the socket.
func (s *Socket) Close() error { return s.conn.Close() }

// Send sends one late reply. Any goroutine may call it.
func (s *Socket) Send(msg []byte, p Peer) error {
	err := s.send(msg, p)
	if err != nil {
		s.SendErrors.Add(1)
	}
	return err
}
