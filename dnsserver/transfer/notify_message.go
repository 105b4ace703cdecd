package transfer

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"

	"dialtone/update/tsig"
	"dialtone/zone"
	"dialtone/zone/rr"

	"github.com/miekg/dns"
)

// message gives the message with the SOA as a hint (RFC 1996, section 3.7),
// or without when it would be more than a plain datagram can be sure to carry.
func (n *Notifier) message(p *pair, id uint16, now time.Time) (msg []byte, request *tsig.Request, err error) {
	soa := n.soa(p.zone)
	if told, err := rr.ParseSOA(soa.Data); err == nil {
		p.serial = told.Serial
	}
	for _, hint := range [...]bool{true, false} {
		msg = notifyMessage(id, soa, hint)
		if p.target.Key != "" {
			if msg, request, err = n.opt.Keys.SignRequest(msg, p.target.Key, now); err != nil {
				return nil, nil, err
			}
		}
		if len(msg) <= minUDPSize {
			break
		}
	}
	return msg, request, nil
}

func (n *Notifier) soa(z *zone.Zone) rr.RR {
	n.reader.Begin()
	defer n.reader.End()
	return currentSOA(z.Apex(), z.View())
}

// notifyMessage packs a NOTIFY. Fields that RFC 1996, section 3.2 does not
// name are zero.
func notifyMessage(id uint16, soa rr.RR, hint bool) []byte {
	b := make([]byte, 0, minUDPSize)
	b = binary.BigEndian.AppendUint16(b, id)
	b = append(b, dns.OpcodeNotify<<3|flagAA, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	b = append(b, soa.Owner...)
	b = binary.BigEndian.AppendUint16(b, dns.TypeSOA)
	b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	if !hint {
		return b
	}
	b[7] = 1
	b = append(b, 0xC0, headerLen)
	b = binary.BigEndian.AppendUint16(b, dns.TypeSOA)
	b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	b = binary.BigEndian.AppendUint32(b, soa.TTL)
	b = binary.BigEndian.AppendUint16(b, uint16(len(soa.Data)))
	return append(b, soa.Data...)
}

// datagram is what came to one of the sockets.
type datagram struct {
	from netip.AddrPort
	msg  []byte
}

// reply takes a datagram. What does not answer the last message to its sender
// is ignored, and the wait goes on.
func (n *Notifier) reply(d datagram, now time.Time) {
	if len(d.msg) < headerLen {
		return
	}
	p := n.schedule.waiting[replyKey{d.from, binary.BigEndian.Uint16(d.msg)}]
	if p == nil {
		return
	}
	rcode, ok := readReply(d.msg, p.zone.Apex())
	if !ok {
		return
	}
	log := n.log(p)
	if p.request != nil {
		if err := p.request.VerifyReply(d.msg, now); err != nil {
			log.Info("reply to NOTIFY does not verify", "err", err)
			return
		}
	}
	log = log.With("rcode", dns.RcodeToString[rcode])
	switch rcode {
	case dns.RcodeSuccess, dns.RcodeNotImplemented:
		// RFC 1996, sections 3.12 and 4.8
		n.Counters.Answered.Add(1)
		log.Debug("secondary was notified")
		n.schedule.answered(p, now)
	default:
		log.Info("secondary refuses NOTIFY")
		n.schedule.stopWaiting(p)
	}
}

// readReply checks that msg is a reply to a NOTIFY of the zone. NOTIMP may
// come without a question, from those who know no more than the header.
func readReply(msg []byte, apex rr.Name) (rcode int, ok bool) {
	rcode = int(msg[3] & 0xF)
	if msg[2]&flagQR == 0 || msg[2]>>3&0xF != dns.OpcodeNotify {
		return 0, false
	}
	switch binary.BigEndian.Uint16(msg[4:]) {
	case 0:
		return rcode, rcode != dns.RcodeSuccess
	case 1:
		name, off, err := rr.UnpackName(msg, headerLen)
		return rcode, err == nil && name.EqualFold(apex) && off+4 <= len(msg) &&
			binary.BigEndian.Uint16(msg[off:]) == dns.TypeSOA &&
			binary.BigEndian.Uint16(msg[off+2:]) == dns.ClassINET
	}
	return 0, false
}

// conn gives the socket for an address, opened when first needed.
func (n *Notifier) conn(to netip.Addr) (PacketConn, error) {
	network := "udp6"
	if to.Is4() {
		network = "udp4"
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.mu.conns[network]; c != nil {
		return c, nil
	}
	if n.mu.closed {
		return nil, net.ErrClosed
	}
	c, err := n.opt.Listen(network)
	if err != nil {
		return nil, err
	}
	n.mu.conns[network] = c
	n.wg.Go(func() { n.receive(network, c) })
	return c, nil
}

// receive hands on what comes to a socket until Close closes it. A socket
// that fails otherwise is left, and a new one opened for the next message.
func (n *Notifier) receive(network string, c PacketConn) {
	buf := make([]byte, 4096)
	for {
		size, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			n.dropConn(network, c, err)
			return
		}
		d := datagram{netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), append([]byte(nil), buf[:size]...)}
		select {
		case n.replies <- d:
		case <-n.done:
			return
		}
	}
}

func (n *Notifier) dropConn(network string, c PacketConn, cause error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.closed || errors.Is(cause, net.ErrClosed) {
		return
	}
	delete(n.mu.conns, network)
	if err := c.Close(); err != nil {
		cause = errors.Join(cause, err)
	}
	n.opt.Logger.Warn("socket for NOTIFY is opened anew", "op", "NOTIFY", "proto", network, "err", cause)
}
