package integration

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// silence is what a packet gets that must not be answered.
const silence = -1

// packet builds a message from a header and what follows.
func packet(flags uint16, counts [4]uint16, body ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0xab, 0xcd}, flags)
	for _, n := range counts {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return append(b, slices.Concat(body...)...)
}

func question(name string, qtype, qclass uint16) []byte {
	wire, err := peertest.WireName(name)
	if err != nil {
		panic(err)
	}
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(wire, qtype), qclass)
}

func opt(version byte, options ...byte) []byte {
	b := []byte{0, 0, 41, 4, 208, 0, version, 0, 0}
	return append(binary.BigEndian.AppendUint16(b, uint16(len(options))), options...)
}

// TestOddPackets sends what a server must not stumble over, by UDP and TCP, and wants the RCODE or the silence that
// the RFCs give for it.
func TestOddPackets(t *testing.T) {
	server := peertest.Dialtone(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): phonesFile})
	ours := question("5550000."+phones, dns.TypeA, dns.ClassINET)
	tsig := append(append([]byte{1, 'k', 0, 0, 250, 0, 255, 0, 0, 0, 0}, 0, 2), 1, 1)
	for _, c := range []struct {
		name string
		msg  []byte
		want int
	}{
		{"a good query", packet(0, [4]uint16{1}, ours), dns.RcodeSuccess},
		{"eleven octets", packet(0, [4]uint16{1})[:11], silence},
		{"a response", packet(0x8000, [4]uint16{1}, ours), silence},
		{"opcode IQUERY", packet(1<<11, [4]uint16{1}, ours), dns.RcodeNotImplemented},
		{"opcode STATUS", packet(2<<11, [4]uint16{}), dns.RcodeNotImplemented},
		{"opcode 15 with junk", packet(15<<11, [4]uint16{9, 9, 9, 9}, []byte{0xff, 0xff}), dns.RcodeNotImplemented},
		{"no question", packet(0, [4]uint16{}), dns.RcodeFormatError},
		{"two questions", packet(0, [4]uint16{2}, ours, ours), dns.RcodeFormatError},
		{"half a question", packet(0, [4]uint16{1}, ours[:5]), dns.RcodeFormatError},
		{"a record missing", packet(0, [4]uint16{1, 0, 0, 1}, ours), dns.RcodeFormatError},
		{"octets left over", packet(0, [4]uint16{1}, ours, []byte{0}), dns.RcodeFormatError},
		{"a name that points to itself", packet(0, [4]uint16{1}, []byte{0xc0, 12, 0, 1, 0, 1}), dns.RcodeFormatError},
		{"a label of type 01", packet(0, [4]uint16{1}, []byte{0x41, 0, 0, 1, 0, 1}), dns.RcodeFormatError},
		{"a name of 300 octets", packet(0, [4]uint16{1}, slices.Repeat([]byte{1, 'a'}, 150), []byte{0, 0, 1, 0, 1}), dns.RcodeFormatError},
		{"two OPT", packet(0, [4]uint16{1, 0, 0, 2}, ours, opt(0), opt(0)), dns.RcodeFormatError},
		{"an option longer than its OPT", packet(0, [4]uint16{1, 0, 0, 1}, ours, opt(0, 0, 3, 0, 9)), dns.RcodeFormatError},
		{"EDNS version 1", packet(0, [4]uint16{1, 0, 0, 1}, ours, opt(1)), dns.RcodeBadVers},
		{"an unknown option", packet(0, [4]uint16{1, 0, 0, 1}, ours, opt(0, 0xfd, 0xe8, 0, 1, 7)), dns.RcodeSuccess},
		{"TSIG that cannot be parsed", packet(0, [4]uint16{1, 0, 0, 1}, ours, tsig), dns.RcodeFormatError},
		{"TSIG before OPT", packet(0, [4]uint16{1, 0, 0, 2}, ours, tsig, opt(0)), dns.RcodeFormatError},
		{"a zone of others", packet(0, [4]uint16{1}, question("example.org.", dns.TypeA, dns.ClassINET)), dns.RcodeRefused},
		{"class HS", packet(0, [4]uint16{1}, question(phones, dns.TypeA, dns.ClassHESIOD)), dns.RcodeRefused},
		{"class CH, not an identity", packet(0, [4]uint16{1}, question("a.chaos.", dns.TypeTXT, dns.ClassCHAOS)), dns.RcodeRefused},
		{"type NXNAME", packet(0, [4]uint16{1}, question(phones, 128, dns.ClassINET)), dns.RcodeFormatError},
		{"type 65280 is data", packet(0, [4]uint16{1}, question(phones, 65280, dns.ClassINET)), dns.RcodeSuccess},
		{"all flags set", packet(0x07f0, [4]uint16{1}, ours), dns.RcodeSuccess},
		{"UPDATE with junk", packet(5<<11, [4]uint16{1, 0, 1, 0}, question(phones, dns.TypeSOA, dns.ClassINET), []byte{0xff}), dns.RcodeFormatError},
		{"UPDATE without a zone", packet(5<<11, [4]uint16{}), dns.RcodeFormatError},
		{"UPDATE with octets left over", packet(5<<11, [4]uint16{1}, question(phones, dns.TypeSOA, dns.ClassINET), []byte{0}), dns.RcodeFormatError},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := rcodeOverUDP(t, server.Addr, c.msg, c.want != silence); got != c.want {
				t.Errorf("over UDP: got %s, want %s", rcodeText(got), rcodeText(c.want))
			}
			if got := rcodeOverTCP(t, server.Addr, c.msg, c.want != silence); got != c.want {
				t.Errorf("over TCP: got %s, want %s", rcodeText(got), rcodeText(c.want))
			}
		})
	}
}

// rcodeOverUDP sends the message and then a good query from the same socket. When only that is answered, the message has
// met silence. Answers may overtake each other, so a message that is to be answered is waited for.
func rcodeOverUDP(t *testing.T, addr string, msg []byte, answered bool) int {
	t.Helper()
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(peertest.Patience)); err != nil {
		t.Fatal(err)
	}
	for _, m := range [][]byte{msg, marker()} {
		if _, err := conn.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 65535)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			t.Errorf("no answer: %v", err)
			return silence
		}
		if rcode := rcodeOf(t, buf[:n]); rcode != silence || !answered {
			return rcode
		}
	}
}

func rcodeOverTCP(t *testing.T, addr string, msg []byte, answered bool) int {
	t.Helper()
	s, err := peertest.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send(msg); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(marker()); err != nil && !isClosed(err) {
		t.Fatal(err)
	}
	for {
		reply, err := s.Receive()
		if isClosed(err) {
			return silence // a server may close a connection that carries what cannot be a query
		}
		if err != nil {
			t.Fatal(err)
		}
		if rcode := rcodeOf(t, reply); rcode != silence || !answered {
			return rcode
		}
	}
}

const markerID = 0x1234

func marker() []byte {
	m := packet(0, [4]uint16{1}, question(phones, dns.TypeSOA, dns.ClassINET))
	binary.BigEndian.PutUint16(m, markerID)
	return m
}

// rcodeOf gives the RCODE of a reply, or silence when it is the one to the marker.
func rcodeOf(t *testing.T, reply []byte) int {
	t.Helper()
	if len(reply) < 12 {
		t.Fatalf("a reply of %d octets", len(reply))
	}
	if binary.BigEndian.Uint16(reply) == markerID {
		return silence
	}
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("the reply does not unpack: %v\n%x", err, reply)
	}
	if !m.Response || m.Zero || m.AuthenticatedData || m.RecursionAvailable {
		t.Errorf("header of the reply: %+v", m.MsgHdr)
	}
	return m.Rcode // with the extended bits, when there is an OPT
}

// TestJunkHarmsNobody sends 20,000 random and mutilated datagrams; afterwards the server still answers, and the zone is what
// it was.
func TestJunkHarmsNobody(t *testing.T) {
	server := peertest.Dialtone(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): phonesFile})
	before := peertest.MustAXFR(t, server.Addr, phones).Lines(peertest.View{})
	random := rand.New(rand.NewPCG(env(t, "DIALTONE_TEST_SEED", rand.Uint64N(1<<32)), 12))
	conn, err := net.Dial("udp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for range 20_000 {
		// Updates are addressed to a zone that is not there, so that none can succeed by chance.
		base := packet(uint16(random.IntN(2)*5)<<11, [4]uint16{1, 0, 0, 1}, question("a.phones.invalid.", dns.TypeA, 1), opt(0))
		for range random.IntN(6) {
			base[random.IntN(len(base))] = byte(random.Uint32())
		}
		if _, err := conn.Write(base[:random.IntN(len(base)+1)]); err != nil {
			t.Fatal(err)
		}
	}
	peertest.Eventually(t, peertest.Patience, "an answer after the junk", func() error {
		_, err := peertest.Serial(server.Addr, phones)
		return err
	})
	after := peertest.MustAXFR(t, server.Addr, phones).Lines(peertest.View{})
	if d := peertest.Difference("before", before, "after", after); d != "" {
		t.Errorf("the zone has changed:\n%s", d)
	}
}

// TestLargestUpdate carries as many records as fit 65,535 octets in one message over TCP.
func TestLargestUpdate(t *testing.T) {
	server := peertest.Dialtone(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): phonesFile})
	m := peertest.Update{Zone: []peertest.Entry{{Owner: phones, Type: dns.TypeSOA, Class: dns.ClassINET}}}
	const records, entry = 1679, 39 // one entry: a name of 25 octets, ten of header, four of data
	for i := range records {
		m.Updates = append(m.Updates, peertest.Entry{Owner: fmt.Sprintf("7%07d.%s", i, phones), Type: dns.TypeA,
			Class: dns.ClassINET, TTL: 60, Data: []byte{10, 0, byte(i >> 8), byte(i)}})
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if len(packed) > 65535 || len(packed) < 65535-entry {
		t.Fatalf("the message has %d octets: not the largest", len(packed))
	}
	if got := rcodeOverTCP(t, server.Addr, packed, true); got != dns.RcodeSuccess {
		t.Fatalf("%d octets: %s", len(packed), rcodeText(got))
	}
	server.Kill(t)
	server.Restart(t)
	registered := 0
	for _, r := range peertest.MustAXFR(t, server.Addr, phones).Records {
		if strings.HasPrefix(r.Header().Name, "7") {
			registered++
		}
	}
	if registered != records {
		t.Errorf("%d of %d records are there", registered, records)
	}
}
