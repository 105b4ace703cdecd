package call

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
)

// media is the audio of one call: a socket, and once both sides agreed, what is
// played and what is heard.
type media struct {
	conn  *net.UDPConn
	local netip.AddrPort
	heard sync.WaitGroup
	ended atomic.Bool
}

// newMedia opens a socket at an address of ours.
func newMedia(ip netip.Addr) (*media, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	if err != nil {
		return nil, err
	}
	return &media{conn: conn, local: unmapped(conn.LocalAddr().(*net.UDPAddr).AddrPort())}, nil
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

const (
	frame     = 20 * time.Millisecond // of sound in a packet (RFC 3551, section 4.2)
	frameSize = sampleRate / 50 * sampleSize
	maxPacket = 1500
)

// play sends the sound at the pace at which it is heard, and returns when all of
// it is sent or ctx ends.
func (m *media) play(ctx context.Context, s *stream, a *Audio) error {
	packet := rtp.Packet{Header: rtp.Header{
		Version: 2, Marker: true, PayloadType: s.pt,
		SequenceNumber: uint16(rand.Uint32()), Timestamp: rand.Uint32(), SSRC: rand.Uint32(),
	}}
	timer := time.NewTimer(0)
	defer timer.Stop()
	begun := time.Now()
	for i, rest := 0, a.pcm; len(rest) > 0; i++ {
		timer.Reset(time.Until(begun.Add(time.Duration(i) * frame)))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		now := rest[:min(frameSize, len(rest))]
		rest = rest[len(now):]
		packet.Payload = s.encode(now)
		octets, err := packet.Marshal()
		if err != nil {
			return err
		}
		// One that cannot be sent is lost, like others on their way.
		if _, err := m.conn.WriteToUDPAddrPort(octets, s.peer); errors.Is(err, net.ErrClosed) {
			return err
		}
		packet.Marker = false
		packet.SequenceNumber++
		packet.Timestamp += uint32(len(now) / sampleSize)
	}
	return nil
}

// listen begins to hear what the other side sends. Without a recording, it is
// read and forgotten. An error of the recording is told once, and ends it.
func (m *media) listen(s *stream, r *recording, fault func(error)) {
	m.heard.Go(func() {
		if err := m.receive(s, r, fault); err != nil {
			fault(err)
		}
	})
}

// receive ends by close.
func (m *media) receive(s *stream, r *recording, fault func(error)) error {
	buf := make([]byte, maxPacket)
	var port uint16 // from which they send: not always where they listen
	for {
		n, from, err := m.conn.ReadFromUDPAddrPort(buf)
		from = unmapped(from)
		switch {
		case err != nil, from == m.local && m.ended.Load():
			if r == nil {
				return nil
			}
			r.failed = r.close()
			return r.failed
		case from.Addr() != s.peer.Addr(), port != 0 && from.Port() != port, !s.listens, r == nil:
			continue
		}
		var p rtp.Packet
		if p.Unmarshal(buf[:n]) != nil || p.PayloadType != s.pt || len(p.Payload) == 0 {
			continue
		}
		port = from.Port()
		if err := r.add(&p.Header, s.decode(p.Payload), time.Now()); err != nil {
			r.failed = errors.Join(err, r.close())
			fault(r.failed)
			r = nil
		}
	}
}

// drainWait bounds the wait for the last packets.
const drainWait = time.Second

// close ends both directions. What has come already is still heard: a packet to
// ourselves stands behind it in the queue.
func (m *media) close() {
	if m.ended.Swap(true) {
		return
	}
	// The queue may be full; then the time ends it.
	_, err := m.conn.WriteToUDPAddrPort(nil, m.local)
	if err = errors.Join(err, m.conn.SetReadDeadline(time.Now().Add(drainWait))); err == nil {
		m.heard.Wait()
	}
	m.conn.Close()
	m.heard.Wait()
}
