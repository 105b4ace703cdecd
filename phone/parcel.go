package phone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// parcel is a message to one server, ready to be sent, by one port for all that
// is sent of it by UDP.
type parcel struct {
	msg       *dns.Msg // without its signature
	wire      []byte
	mac       string   // of the signature, hexadecimal
	signed    int64    // when, in seconds since 1970
	corrected bool     // the time signed is the server's
	udp       net.Conn // nil until it is needed
}

func (p *parcel) close() {
	if p.udp != nil {
		p.udp.Close()
		p.udp = nil
	}
}

func (p *parcel) sign(key *Key, at int64) (err error) {
	p.signed = at
	p.wire, p.mac, err = key.sign(p.msg.Copy(), time.Unix(at, 0))
	return err
}

// send gives a reply to this message, and whether its signature was verified.
// By UDP what is no such reply is passed over until the time is up: it may be
// anybody's (RFC 8945, section 5.4).
func (p *parcel) send(ctx context.Context, proto, server string, key *Key, wait time.Duration) (reply *dns.Msg, signed bool, err error) {
	deadline := time.Now().Add(wait)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	conn := p.udp
	if proto != "udp" || conn == nil {
		if conn, err = (&net.Dialer{Deadline: deadline}).DialContext(ctx, proto, server); err != nil {
			return nil, false, err
		}
	}
	if proto == "udp" {
		p.udp = conn
	} else {
		defer conn.Close()
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, false, err
	}
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	c := &dns.Conn{Conn: conn, UDPSize: udpSize}
	if _, err := c.Write(p.wire); err != nil {
		return nil, false, err
	}
	var fault error
	for {
		octets, err := c.ReadMsgHeader(nil)
		switch {
		case err == nil:
			reply, signed, err = p.open(octets, key)
			if err == nil || proto != "udp" {
				return reply, signed, err
			}
			fault = err
		case !errors.Is(err, dns.ErrShortRead):
			if fault != nil {
				err = fault
			}
			return nil, false, err
		}
	}
}

// open reads octets that should be the reply.
func (p *parcel) open(octets []byte, key *Key) (reply *dns.Msg, signed bool, err error) {
	reply = new(dns.Msg)
	if err := reply.Unpack(octets); err != nil {
		return nil, false, fmt.Errorf("its answer is malformed: %w", err)
	}
	if reply.Id != p.msg.Id || !reply.Response || reply.Opcode != p.msg.Opcode ||
		len(reply.Question) > 0 && !sameQuestion(reply.Question[0], p.msg.Question[0]) {
		return nil, false, errors.New("its answer is to another question")
	}
	t := reply.IsTsig()
	if t == nil || !key.signsReplies() {
		return reply, false, nil
	}
	// An error of the signature may come without one.
	if err := p.verify(octets, key); err != nil && t.Error == dns.RcodeSuccess {
		return nil, false, fmt.Errorf("the signature of its answer is wrong: %w", err)
	} else if err != nil {
		return reply, false, nil
	}
	return reply, true, nil
}

func sameQuestion(a, b dns.Question) bool {
	return strings.EqualFold(a.Name, b.Name) && a.Qtype == b.Qtype && a.Qclass == b.Qclass
}
