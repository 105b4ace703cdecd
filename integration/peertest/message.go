package peertest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/miekg/dns"
)

// Entry is one record of an update message, as raw as the wire: class ANY may have data, and the type
// need not be known to anyone.
type Entry struct {
	Owner string // presentation form, any case, \DDD escapes
	Type  uint16
	Class uint16
	TTL   uint32
	Data  []byte
}

func (e Entry) String() string {
	return fmt.Sprintf("%s %d %s %s %x", e.Owner, e.TTL, dns.Class(e.Class), dns.Type(e.Type), e.Data)
}

// Update is an UPDATE message that miekg/dns would refuse to build when it has to.
type Update struct {
	ID            uint16
	Zone          []Entry // Type and Class count; RFC 2136, section 2.3 wants exactly one
	Prerequisites []Entry
	Updates       []Entry
}

// Pack writes the message without compression.
func (u Update) Pack() ([]byte, error) {
	b := binary.BigEndian.AppendUint16(nil, u.ID)
	b = binary.BigEndian.AppendUint16(b, uint16(dns.OpcodeUpdate)<<11)
	b = binary.BigEndian.AppendUint16(b, uint16(len(u.Zone)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(u.Prerequisites)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(u.Updates)))
	b = binary.BigEndian.AppendUint16(b, 0)
	for _, z := range u.Zone {
		name, err := WireName(z.Owner)
		if err != nil {
			return nil, err
		}
		b = append(b, name...)
		b = binary.BigEndian.AppendUint16(b, z.Type)
		b = binary.BigEndian.AppendUint16(b, z.Class)
	}
	for _, e := range append(append([]Entry{}, u.Prerequisites...), u.Updates...) {
		name, err := WireName(e.Owner)
		if err != nil {
			return nil, err
		}
		b = append(b, name...)
		b = binary.BigEndian.AppendUint16(b, e.Type)
		b = binary.BigEndian.AppendUint16(b, e.Class)
		b = binary.BigEndian.AppendUint32(b, e.TTL)
		b = binary.BigEndian.AppendUint16(b, uint16(len(e.Data)))
		b = append(b, e.Data...)
	}
	return b, nil
}

// WireName gives a presentation name in wire form.
func WireName(name string) ([]byte, error) {
	buf := make([]byte, 256)
	n, err := dns.PackDomainName(dns.Fqdn(name), buf, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return buf[:n], nil
}

// Rdata gives the wire form of record data written as in a master file.
func Rdata(rrtype, text string) ([]byte, error) {
	r, err := dns.NewRR(". 0 IN " + rrtype + " " + text)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 65535)
	n, err := dns.PackRR(r, buf, 0, nil, false)
	if err != nil {
		return nil, err
	}
	return buf[11:n], nil // the owner "." and the ten octets of the header
}

// Stream is a TCP connection that carries messages as octets.
type Stream struct {
	conn net.Conn
	in   []byte
}

// Dial opens a Stream.
func Dial(addr string) (*Stream, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &Stream{conn: c}, nil
}

// Close closes the connection.
func (s *Stream) Close() { _ = s.conn.Close() }

// Send writes one message.
func (s *Stream) Send(msg []byte) error {
	out := binary.BigEndian.AppendUint16(make([]byte, 0, len(msg)+2), uint16(len(msg)))
	if err := s.conn.SetWriteDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	_, err := s.conn.Write(append(out, msg...))
	return err
}

// Receive reads one message. The octets are good until the next Receive.
func (s *Stream) Receive() ([]byte, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		return nil, err
	}
	var head [2]byte
	if _, err := io.ReadFull(s.conn, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if cap(s.in) < n {
		s.in = make([]byte, n)
	}
	_, err := io.ReadFull(s.conn, s.in[:n])
	return s.in[:n], err
}

// Exchange sends one message and waits for the next to come.
func (s *Stream) Exchange(msg []byte) ([]byte, error) {
	if err := s.Send(msg); err != nil {
		return nil, err
	}
	return s.Receive()
}

// Datagram sends one message over UDP and waits for the reply; ok is false when none comes in time.
func Datagram(addr string, msg []byte, within time.Duration) (reply []byte, ok bool, err error) {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write(msg); err != nil {
		return nil, false, err
	}
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, false, err
	}
	buf := make([]byte, 65535)
	n, err := c.Read(buf)
	if err != nil {
		return nil, false, nil
	}
	return buf[:n], true, nil
}
