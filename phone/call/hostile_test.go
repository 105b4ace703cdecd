package call

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"golang.org/x/time/rate"
)

// TestOnlyThePeerIsHeard: audio is taken from the address that was agreed on, one
// port of it, in the codec that was agreed on.
func TestOnlyThePeerIsHeard(t *testing.T) {
	m, err := newMedia(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	from := func(ip string) *net.UDPConn {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(ip+":0")))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	peer, other, stranger := from("127.0.0.1"), from("127.0.0.1"), from("127.0.0.2")
	r := newRecording(filepath.Join(t.TempDir(), "r.wav"), newBudget(1<<20))
	s := &stream{codec: codecs[0], peer: netip.MustParseAddrPort("127.0.0.1:9"), listens: true}
	s.decode = func(b []byte) []byte { return b }
	m.listen(s, r, func(err error) { t.Error(err) })
	for i, x := range []struct {
		by    *net.UDPConn
		pt    uint8
		sound string
	}{
		{stranger, 0, "ZZZZ"}, {peer, 8, "ZZZZ"}, {peer, 0, ""}, {peer, 0, "AAAA"}, {other, 0, "ZZZZ"}, {peer, 0, "BBBB"},
	} {
		p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: x.pt, Timestamp: uint32(2 * i)}, Payload: []byte(x.sound)}
		octets, err := p.Marshal()
		if err == nil {
			_, err = x.by.WriteToUDPAddrPort(octets, m.local)
		}
		if err == nil {
			_, err = x.by.WriteToUDPAddrPort([]byte("\x80junk"), m.local)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	m.close()
	if got := recorded(t, r.file.Name()); string(got) != "AAAA\x00\x00\x00\x00BBBB" {
		t.Errorf("%q", got)
	}
}

// TestTurns: an Answerer that has read a lot forgets whom it read from, and takes
// calls as before.
func TestTurns(t *testing.T) {
	a := &Answerer{}
	addr := answers(t, a)
	a.agent.limit.SetLimit(rate.Inf)
	conn, err := net.Dial("udp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := asker(t, conn)
	for i := range messagesPerTurn + 100 {
		if _, err := conn.Write([]byte("\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 { // or the socket's buffer overflows
			ask(i)
		}
	}
	if size := a.agent.ua.TransportLayer().Pool("udp").Size(); size > 3 {
		t.Errorf("%d addresses are remembered", size)
	}
	c, d := call(addr)
	if err := c.Ring(context.Background(), "5551234", Talk{For: time.Millisecond}); err != nil {
		t.Errorf("%v, %v", err, d.events)
	}
}

// asker gives a function that asks OPTIONS and waits for the answer.
func asker(t *testing.T, conn net.Conn) func(int) {
	t.Helper()
	buf := make([]byte, 1<<16)
	conn.SetDeadline(time.Now().Add(2 * patience))
	return func(i int) {
		t.Helper()
		id := fmt.Sprintf("id-%d", i)
		_, err := fmt.Fprintf(conn, "OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK%s\r\n"+
			"From: <sip:t@127.0.0.1>;tag=t\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", id, id)
		for err == nil {
			var n int
			if n, err = conn.Read(buf); err == nil && bytes.Contains(buf[:n], []byte("Call-ID: "+id+"\r\n")) {
				return
			}
		}
		t.Fatalf("%s: %v", id, err)
	}
}

// FuzzAnswerer: whatever is sent to it, it answers the next.
func FuzzAnswerer(f *testing.F) {
	const invite = "INVITE sip:5551234@h SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:t@h>;tag=t\r\nTo: <sip:x@h>\r\n" +
		"Call-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:t@127.0.0.1:9>\r\nContent-Type: application/sdp\r\n\r\n" + anOffer
	f.Add([]byte(invite))
	for _, line := range strings.SplitAfter(invite, "\r\n")[1:9] {
		f.Add([]byte(strings.Replace(invite, line, "", 1)))
	}
	for _, method := range []string{"BYE", "ACK", "CANCEL", "OPTIONS", "REGISTER"} {
		f.Add([]byte(strings.ReplaceAll(invite, "INVITE", method)))
		f.Add([]byte(strings.ReplaceAll(strings.Replace(invite, "<sip:x@h>", "<sip:x@h>;tag=x", 1), "INVITE", method)))
	}
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nCSeq: 1 INVITE\r\n\r\n"))
	a := &Answerer{Listen: "127.0.0.1:0", MaxCalls: 4, MaxTime: 10 * time.Millisecond}
	if err := a.Open(); err != nil {
		f.Fatal(err)
	}
	a.agent.limit.SetLimit(rate.Inf)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.Error(err)
		}
	})
	i := 0
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := net.Dial("udp", a.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(data[:min(len(data), 60_000)]); err != nil {
			t.Fatal(err)
		}
		i++
		asker(t, conn)(i)
	})
}
