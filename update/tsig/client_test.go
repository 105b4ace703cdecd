package tsig_test

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

// tiny answers queries with one address, AXFR with a few messages and
// updates with NOERROR, all signed, on one port of UDP and TCP.
type tiny struct {
	ring  *tsig.Keyring
	clock func() time.Time
	port  string
	seen  chan seen
}

// seen is what became of one request.
type seen struct {
	opcode int
	key    rr.Name
	mac    int
	err    error
}

func startTiny(t *testing.T, r *tsig.Keyring, skew time.Duration) *tiny {
	t.Helper()
	l, p := listenBoth(t)
	s := &tiny{ring: r, clock: func() time.Time { return time.Now().Add(skew) }, seen: make(chan seen, 64)}
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	done := make(chan struct{}, 2)
	go func() { s.serveUDP(p); done <- struct{}{} }()
	go func() { s.serveTCP(l); done <- struct{}{} }()
	t.Cleanup(func() {
		l.Close()
		p.Close()
		<-done
		<-done
	})
	return s
}

// listenBoth tries ports until one is free for UDP and TCP.
func listenBoth(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	var err error
	for range 20 {
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			continue
		}
		var p net.PacketConn
		if p, err = net.ListenPacket("udp", l.Addr().String()); err == nil {
			return l, p
		}
		l.Close()
	}
	t.Fatal(err)
	return nil, nil
}

func (s *tiny) serveUDP(p net.PacketConn) {
	buf := make([]byte, 65535)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		for _, reply := range s.answer(buf[:n]) {
			p.WriteTo(reply, from)
		}
	}
}

func (s *tiny) serveTCP(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		c := &dns.Conn{Conn: conn}
		for {
			request, err := c.ReadMsgHeader(nil)
			if err != nil {
				break
			}
			for _, reply := range s.answer(request) {
				c.Write(reply)
			}
		}
		conn.Close()
	}
}

func (s *tiny) answer(request []byte) [][]byte {
	q := new(dns.Msg)
	if err := q.Unpack(request); err != nil {
		return nil
	}
	c, err := s.ring.Verify(request, s.clock())
	s.seen <- seen{opcode: q.Opcode, key: c.Key(), mac: len(c.MAC()), err: err}
	m := new(dns.Msg).SetReply(q)
	if e, bad := err.(*tsig.Error); bad {
		m.Rcode = int(e.Rcode)
		b, _ := m.Pack()
		return [][]byte{e.SignReply(b, s.clock())}
	}
	messages := []*dns.Msg{m}
	switch {
	case q.Opcode == dns.OpcodeUpdate:
	case q.Question[0].Qtype == dns.TypeAXFR:
		messages = transfer(q, 3)
	default:
		m.Authoritative = true
		m.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
			A:   []byte{192, 0, 2, 1},
		}}
	}
	var out [][]byte
	stream := c.Stream()
	for _, m := range messages {
		b, _ := m.Pack()
		out = append(out, stream.Sign(b, s.clock()))
	}
	return out
}

// run gives all that a client prints; its exit code is part of that.
func run(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed: make test installs it", name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out) + "\nexit: " + err.Error()
	}
	return string(out)
}

// verified wants one request that verified.
func (s *tiny) verified(t *testing.T, opcode, mac int) {
	t.Helper()
	select {
	case got := <-s.seen:
		if got.err != nil || got.opcode != opcode || got.key != rr.MustName(keyName) || got.mac != mac {
			t.Errorf("the server saw %+v", got)
		}
	default:
		t.Error("the server saw nothing")
	}
}

func wants(t *testing.T, out string, good, bad []string) {
	t.Helper()
	for _, s := range good {
		if !strings.Contains(out, s) {
			t.Errorf("%q is missing in:\n%s", s, out)
		}
	}
	for _, s := range bad {
		if strings.Contains(strings.ToLower(out), strings.ToLower(s)) {
			t.Errorf("%q is in:\n%s", s, out)
		}
	}
}

// What the clients say when they do not like a signature.
var complaints = []string{"verify", "validat", "failed", "warning", "error:", "exit:"}

func TestQueryClients(t *testing.T) {
	for _, a := range all {
		s := startTiny(t, ring(t, a, tsig.Options{}), 0)
		key := a.String() + ":" + keyName + ":" + base64Secret
		for _, client := range []string{"dig", "kdig"} {
			t.Run(client+" "+a.String(), func(t *testing.T) {
				for _, transport := range []string{"+notcp", "+tcp"} {
					out := run(t, "", client, "@127.0.0.1", "-p", s.port, "-y", key, "+norecurse", transport, "PhOnE.example.", "A")
					wants(t, out, []string{"NOERROR", "192.0.2.1", "TSIG"}, complaints)
					s.verified(t, dns.OpcodeQuery, a.Size())
				}
				out := run(t, "", client, "@127.0.0.1", "-p", s.port, "-y", key, "phones.example.", "AXFR")
				wants(t, out, []string{"192.0.2.1", "192.0.2.2", "SOA"}, complaints)
				s.verified(t, dns.OpcodeQuery, a.Size())
			})
		}
	}
}

func TestUpdateClients(t *testing.T) {
	for _, a := range all {
		s := startTiny(t, ring(t, a, tsig.Options{}), 0)
		for _, client := range []string{"nsupdate", "knsupdate"} {
			t.Run(client+" "+a.String(), func(t *testing.T) {
				input := "server 127.0.0.1 " + s.port + "\nzone phones.example.\nupdate add 5551234.phones.example. 60 A 192.0.2.7\nsend\nquit\n"
				out := run(t, input, client, "-y", a.String()+":"+keyName+":"+base64Secret)
				wants(t, out, nil, complaints)
				s.verified(t, dns.OpcodeUpdate, a.Size())
			})
		}
	}
}

func TestTruncatingClient(t *testing.T) {
	s := startTiny(t, ring(t, tsig.HMACSHA256, tsig.Options{}), 0)
	out := run(t, "", "dig", "@127.0.0.1", "-p", s.port, "-y", "hmac-sha256-128:"+keyName+":"+base64Secret, "+norecurse", "phone.example.", "A")
	wants(t, out, []string{"NOERROR", "192.0.2.1", "TSIG"}, complaints)
	s.verified(t, dns.OpcodeQuery, 16)
}

// The clients' words tell errors that they understood from replies that they
// could not verify.
func TestClientsUnderstandErrors(t *testing.T) {
	good := "hmac-sha256:" + keyName + ":" + base64Secret
	for _, x := range []struct {
		name, key string
		skew      time.Duration
		opts      tsig.Options
		dig, kdig []string
	}{
		{"unknown key", "hmac-sha256:other.key.:" + base64Secret, 0, tsig.Options{}, []string{"status: NOTAUTH", "tsig indicates error", "BADKEY"}, []string{"failed to verify TSIG", "status: BADKEY"}},
		{"other algorithm", "hmac-sha512:" + keyName + ":" + base64Secret, 0, tsig.Options{}, []string{"status: NOTAUTH", "tsig indicates error", "BADKEY"}, []string{"failed to verify TSIG", "status: BADKEY"}},
		{"wrong secret", "hmac-sha256:" + keyName + ":AAAA", 0, tsig.Options{}, []string{"status: NOTAUTH", "tsig indicates error", "BADSIG"}, []string{"failed to verify TSIG", "status: BADSIG"}},
		{"slow clock", good, time.Hour, tsig.Options{}, []string{"status: NOTAUTH", "clocks are unsynchronized", "BADTIME 6"}, []string{"TSIG out of time window", "status: BADTIME"}},
		{"fast clock", good, -time.Hour, tsig.Options{}, []string{"status: NOTAUTH", "clocks are unsynchronized", "BADTIME 6"}, []string{"TSIG out of time window", "status: BADTIME"}},
		{"short MAC", "hmac-sha256-128:" + keyName + ":" + base64Secret, 0, tsig.Options{MinMAC: 32}, []string{"status: NOTAUTH", "tsig indicates error", "BADTRUNC"}, nil},
	} {
		s := startTiny(t, ring(t, tsig.HMACSHA256, x.opts), x.skew)
		for client, want := range map[string][]string{"dig": x.dig, "kdig": x.kdig} {
			if want == nil {
				continue
			}
			t.Run(client+" "+x.name, func(t *testing.T) {
				out := run(t, "", client, "@127.0.0.1", "-p", s.port, "-y", x.key, "+norecurse", "phone.example.", "A")
				wants(t, out, want, nil)
			})
		}
	}
}
