//go:build !linux || portable

package udp

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Other kernels share an address among sockets but do not spread datagrams over them.
const canShare = false

// platform keeps the connections that know which control messages were asked for.
type platform struct {
	v4conn *ipv4.PacketConn
	v6conn *ipv6.PacketConn
}

// Datagram is one datagram and the place of its reply.
type Datagram struct {
	Msg []byte
	Out []byte

	peer Peer
}

// Peer gives the datagram's origin.
func (d *Datagram) Peer() Peer { return d.peer }

// Addr gives the sender's address.
func (d *Datagram) Addr() netip.Addr { return d.peer.Remote.Addr().WithZone("") }

// setOptions runs before bind and has nothing to do here; see prepare.
func (s *Socket) setOptions(int, Options) error { return nil }

// prepare sets the buffers and asks the kernel for the local address of each datagram.
func (s *Socket) prepare() error {
	if s.buffer > 0 {
		// Take what is granted.
		_ = s.conn.SetReadBuffer(s.buffer)
		_ = s.conn.SetWriteBuffer(s.buffer)
	}
	switch {
	case !s.wildcard:
		return nil
	case s.v6:
		s.v6conn = ipv6.NewPacketConn(s.conn)
		return s.v6conn.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	default:
		s.v4conn = ipv4.NewPacketConn(s.conn)
		return s.v4conn.SetControlMessage(ipv4.FlagDst, true)
	}
}

func (s *Socket) serve(h Handler) error {
	in, out := make([]byte, 65535), make([]byte, s.outSize)
	var d Datagram
	msgs := make([][]byte, 1)
	for !s.stopping.Load() {
		n, peer, err := s.read(in)
		switch {
		case err == nil:
		case s.stopping.Load(), errors.Is(err, net.ErrClosed):
			return err
		default:
			// The kernel reports faults of earlier replies here; the socket stays good.
			time.Sleep(time.Millisecond)
			continue
		}
		s.Batches.Add(1)
		begun := s.sampler.begin()
		d = Datagram{Msg: in[:n:n], Out: out, peer: peer}
		msgs[0] = d.Msg
		h.BeginBatch(msgs)
		size := h.Datagram(&d)
		h.EndBatch()
		if size > 0 {
			// Counted by Send; there is nobody to tell.
			_ = s.Send(out[:size], peer)
		}
		s.sampler.end(begun, 1)
	}
	return nil
}

func (s *Socket) read(in []byte) (n int, p Peer, err error) {
	if !s.wildcard {
		n, p.Remote, err = s.conn.ReadFromUDPAddrPort(in)
		return n, p, err
	}
	var from net.Addr
	if s.v6 {
		var cm *ipv6.ControlMessage
		n, cm, from, err = s.v6conn.ReadFrom(in)
		if err == nil && cm != nil {
			p.Local, _ = netip.AddrFromSlice(cm.Dst)
			if p.Local.IsLinkLocalUnicast() {
				p.Local = p.Local.WithZone(strconv.Itoa(cm.IfIndex))
			}
		}
	} else {
		var cm *ipv4.ControlMessage
		n, cm, from, err = s.v4conn.ReadFrom(in)
		if err == nil && cm != nil {
			p.Local, _ = netip.AddrFromSlice(cm.Dst)
			p.Local = p.Local.Unmap()
		}
	}
	if err == nil {
		p.Remote = from.(*net.UDPAddr).AddrPort()
		p.Remote = netip.AddrPortFrom(p.Remote.Addr().Unmap(), p.Remote.Port())
	}
	return n, p, err
}

func (s *Socket) send(msg []byte, p Peer) error {
	var err error
	switch {
	case !p.Local.IsValid():
		_, err = s.conn.WriteToUDPAddrPort(msg, p.Remote)
	case s.v6:
		cm := &ipv6.ControlMessage{Src: p.Local.WithZone("").AsSlice()}
		if i, aerr := strconv.Atoi(p.Local.Zone()); aerr == nil {
			cm.IfIndex = i
		}
		_, err = s.v6conn.WriteTo(msg, cm, net.UDPAddrFromAddrPort(p.Remote))
	default:
		_, err = s.v4conn.WriteTo(msg, &ipv4.ControlMessage{Src: p.Local.AsSlice()}, net.UDPAddrFromAddrPort(p.Remote))
	}
	return err
}

// Sender sends late replies of one socket.
type Sender struct{ s *Socket }

// NewSender makes a Sender.
func (s *Socket) NewSender() *Sender { return &Sender{s} }

// Add sends one reply. A reply that is longer than Options.OutSize is counted in SendErrors and not sent.
func (x *Sender) Add(msg []byte, p Peer) {
	if len(msg) > x.s.outSize {
		x.s.SendErrors.Add(1)
		return
	}
	// Counted by Send; there is nobody to tell.
	_ = x.s.Send(msg, p)
}

// Flush has nothing left to send.
func (x *Sender) Flush() {}

// Dropped is 0: systems have no common way to tell.
func (s *Socket) Dropped() uint32 { return 0 }
