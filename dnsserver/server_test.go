package dnsserver

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update/acl"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

const zoneText = `
$TTL 60
@      IN SOA ns1 hostmaster 1 3600 600 86400 30
@      IN NS  ns1
ns1    IN A   192.0.2.1
100    IN A   192.0.2.100
long   IN TXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
long   IN TXT "1123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
long   IN TXT "2123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
long   IN TXT "3123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
long   IN TXT "4123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
`

const (
	apex    = "phones.example."
	keyName = "100.phones.example."
	secret  = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
)

// rules compiles an access control list.
func rules(t testing.TB, zone string, list ...acl.Rule) acl.List {
	t.Helper()
	l, err := acl.Compile(rr.MustName(zone), list)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// testOptions serves one zone on free ports of 127.0.0.1. Unsigned updates and transfers are allowed
// from 127.0.0.1, and the key may update its own name.
func testOptions(t testing.TB) Options {
	t.Helper()
	list := rules(t, apex,
		acl.Rule{Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Actions: acl.Update | acl.Transfer},
		acl.Rule{AnyKey: true, Actions: acl.Update, Owner: acl.OwnerKey, Types: []uint16{dns.TypeA, dns.TypeAAAA}},
	)
	raw, _ := base64.StdEncoding.DecodeString(secret)
	return Options{
		Listen:   []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		DataDir:  t.TempDir(),
		ServerID: "test",
		Keys:     []tsig.Key{{Name: rr.MustName(keyName), Algorithm: tsig.HMACSHA256, Secret: raw}},
		Zones:    []ZoneOptions{{Apex: rr.MustName(apex), Text: zoneText, ACL: list, MaxTTL: 300}},
		Limits:   Limits{Readers: 2},
		Logger:   slog.New(slog.DiscardHandler),
	}
}

// start runs a server for the test. stop may be called before the test ends.
func start(t testing.TB, o Options) (s *Server, stop func()) {
	t.Helper()
	s, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

func newClient(proto string) *dns.Client {
	return &dns.Client{Net: proto, Timeout: 10 * time.Second, TsigSecret: map[string]string{keyName: secret}}
}

// ask sends m and gives the reply; a lost reply fails the test.
func ask(t testing.TB, proto string, to netip.AddrPort, m *dns.Msg) *dns.Msg {
	t.Helper()
	reply, _, err := newClient(proto).Exchange(m, to.String())
	if err != nil {
		t.Fatalf("%s: %v", proto, err)
	}
	return reply
}

func query(name string, qtype uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(name, qtype)
}

// insert makes an update that adds records.
func insert(records ...string) *dns.Msg {
	m := new(dns.Msg).SetUpdate(apex)
	m.Insert(parseAll(records))
	return m
}

func parseAll(lines []string) []dns.RR {
	var all []dns.RR
	for _, line := range lines {
		r, err := dns.NewRR(line)
		if err != nil {
			panic(err)
		}
		all = append(all, r)
	}
	return all
}

func signed(m *dns.Msg) *dns.Msg {
	return m.SetTsig(keyName, dns.HmacSHA256, 300, time.Now().Unix())
}

// addressOf asks for an A record; "" when there is none.
func addressOf(t testing.TB, proto string, to netip.AddrPort, name string) string {
	t.Helper()
	reply := ask(t, proto, to, query(name, dns.TypeA))
	if len(reply.Answer) == 0 {
		return ""
	}
	return reply.Answer[0].(*dns.A).A.String()
}

func TestAcknowledgedUpdatesSurviveARestart(t *testing.T) {
	o := testOptions(t)
	s, stop := start(t, o)
	to := s.Addrs()[0]
	for _, proto := range []string{"udp", "tcp"} {
		name := proto + "." + apex
		if reply := ask(t, proto, to, insert(name+" 60 A 192.0.2.7")); reply.Rcode != dns.RcodeSuccess {
			t.Fatalf("%s update: %v", proto, reply)
		}
		// Acknowledged is visible, on any transport.
		for _, by := range []string{"udp", "tcp"} {
			if got := addressOf(t, by, to, name); got != "192.0.2.7" {
				t.Errorf("%s after an update by %s, asked by %s: %q", name, proto, by, got)
			}
		}
	}
	reply := ask(t, "udp", to, signed(insert(keyName+" 9999 AAAA 2001:db8::7")))
	if reply.Rcode != dns.RcodeSuccess || reply.IsTsig() == nil {
		t.Fatalf("signed update: %v", reply)
	}
	serial := soa(t, to)
	if serial < 4 {
		t.Errorf("serial is %d after three updates of serial 1", serial)
	}
	stop()

	s, _ = start(t, o)
	to = s.Addrs()[0]
	for _, name := range []string{"udp." + apex, "tcp." + apex} {
		if got := addressOf(t, "udp", to, name); got != "192.0.2.7" {
			t.Errorf("%s after the restart: %q", name, got)
		}
	}
	reply = ask(t, "udp", to, query(keyName, dns.TypeAAAA))
	if len(reply.Answer) != 1 || reply.Answer[0].Header().Ttl != 300 {
		t.Errorf("want one AAAA with the capped TTL: %v", reply)
	}
	if got := soa(t, to); got != serial {
		t.Errorf("serial is %d after the restart, was %d", got, serial)
	}
}

func soa(t testing.TB, to netip.AddrPort) uint32 {
	t.Helper()
	reply := ask(t, "udp", to, query(apex, dns.TypeSOA))
	if len(reply.Answer) != 1 {
		t.Fatalf("no SOA: %v", reply)
	}
	return reply.Answer[0].(*dns.SOA).Serial
}

func TestSignedQueryIsAnsweredSigned(t *testing.T) {
	s, _ := start(t, testOptions(t))
	for _, proto := range []string{"udp", "tcp"} {
		// The client verifies the reply's TSIG.
		reply := ask(t, proto, s.Addrs()[0], signed(query(keyName, dns.TypeA)))
		if reply.IsTsig() == nil || len(reply.Answer) != 1 {
			t.Errorf("%s: %v", proto, reply)
		}
	}
}

func TestBadSignatures(t *testing.T) {
	s, _ := start(t, testOptions(t))
	tests := []struct {
		name   string
		change func(m *dns.Msg)
		secret string
		tsig   uint16
	}{
		{"unknown key", func(m *dns.Msg) { m.IsTsig().Hdr.Name = "no.such.key." }, secret, dns.RcodeBadKey},
		{"other algorithm", func(m *dns.Msg) { m.IsTsig().Algorithm = dns.HmacSHA512 }, secret, dns.RcodeBadKey},
		{"wrong secret", func(*dns.Msg) {}, "d3Jvbmd3cm9uZ3dyb25nd3Jvbmd3cm9uZ3dyb25n", dns.RcodeBadSig},
		{"wrong time", func(m *dns.Msg) { m.IsTsig().TimeSigned -= 3600 }, secret, dns.RcodeBadTime},
	}
	for _, tt := range tests {
		for _, proto := range []string{"udp", "tcp"} {
			t.Run(tt.name+" "+proto, func(t *testing.T) {
				m := signed(insert(keyName + " 60 A 192.0.2.8"))
				tt.change(m)
				raw, _, err := dns.TsigGenerate(m, tt.secret, "", false)
				if err != nil {
					t.Fatal(err)
				}
				reply := new(dns.Msg)
				if err := reply.Unpack(exchangeRaw(t, proto, s.Addrs()[0], raw)); err != nil {
					t.Fatal(err)
				}
				if reply.Rcode != dns.RcodeNotAuth || reply.IsTsig() == nil || reply.IsTsig().Error != tt.tsig {
					t.Errorf("want NOTAUTH with TSIG error %d: %v", tt.tsig, reply)
				}
			})
		}
	}
	if got := s.Counters.TSIGFailed.Load(); got != 8 {
		t.Errorf("%d refused signatures counted, want 8", got)
	}
	if got := addressOf(t, "udp", s.Addrs()[0], keyName); got != "192.0.2.100" {
		t.Errorf("address is %s", got)
	}
}

// exchangeRaw sends octets and gives the octets of the reply.
func exchangeRaw(t testing.TB, proto string, to netip.AddrPort, msg []byte) []byte {
	t.Helper()
	c := dial(t, proto, to)
	defer c.Close()
	return exchangeOn(t, c, msg)
}

func dial(t testing.TB, proto string, to netip.AddrPort) *dns.Conn {
	t.Helper()
	nc, err := net.Dial(proto, to.String())
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(20 * time.Second)) // only so that a lost reply fails the test
	t.Cleanup(func() { nc.Close() })
	return &dns.Conn{Conn: nc, UDPSize: 65535}
}

func exchangeOn(t testing.TB, c *dns.Conn, msg []byte) []byte {
	t.Helper()
	if _, err := c.Write(msg); err != nil {
		t.Fatal(err)
	}
	reply, err := c.ReadMsgHeader(nil)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestRefusedUpdateSaysWhichPermissionIsMissing(t *testing.T) {
	o := testOptions(t)
	o.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:0")}
	s, _ := start(t, o)
	m := insert("200.phones.example. 60 A 192.0.2.9")
	m.SetEdns0(1232, false)
	// 127.0.0.2 asks, which no rule without a key allows.
	c := &dns.Client{Net: "udp", Timeout: 10 * time.Second, TsigSecret: map[string]string{keyName: secret},
		Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}}
	if reply, _, err := c.Exchange(m.Copy(), s.Addrs()[0].String()); err != nil || reply.Rcode != dns.RcodeRefused {
		t.Fatalf("want REFUSED without a signature: %v, %v", reply, err)
	}
	if s.Counters.UpdateDenied.Load() != 1 {
		t.Errorf("%d denied updates counted before one is signed, want 1", s.Counters.UpdateDenied.Load())
	}
	m.SetTsig(keyName, dns.HmacSHA256, 300, time.Now().Unix())
	reply, _, err := c.Exchange(m, s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	if reply.Rcode != dns.RcodeRefused {
		t.Fatalf("want REFUSED: %v", reply)
	}
	var ede *dns.EDNS0_EDE
	for _, opt := range reply.IsEdns0().Option {
		if e, ok := opt.(*dns.EDNS0_EDE); ok {
			ede = e
		}
	}
	if ede == nil || ede.InfoCode != dns.ExtendedErrorCodeProhibited || !strings.Contains(ede.ExtraText, "200.phones.example.") {
		t.Errorf("EDE is %v", ede)
	}
	if s.Counters.UpdateDenied.Load() != 2 {
		t.Errorf("%d denied updates counted, want 2", s.Counters.UpdateDenied.Load())
	}
}

func TestUpdateForAZoneThatIsNotServedIsNotAuth(t *testing.T) {
	s, _ := start(t, testOptions(t))
	m := new(dns.Msg).SetUpdate("example.")
	if reply := ask(t, "udp", s.Addrs()[0], m); reply.Rcode != dns.RcodeNotAuth {
		t.Errorf("%v", reply)
	}
	// A name in the zone is no zone.
	m = new(dns.Msg).SetUpdate("100." + apex)
	if reply := ask(t, "tcp", s.Addrs()[0], m); reply.Rcode != dns.RcodeNotAuth {
		t.Errorf("%v", reply)
	}
}

func TestNotifyIsRefused(t *testing.T) {
	s, _ := start(t, testOptions(t))
	for name, want := range map[string]int{apex: dns.RcodeRefused, "other.example.": dns.RcodeNotAuth} {
		reply := ask(t, "udp", s.Addrs()[0], new(dns.Msg).SetNotify(name))
		if reply.Rcode != want || reply.Opcode != dns.OpcodeNotify || len(reply.Question) != 1 {
			t.Errorf("%s: %v", name, reply)
		}
	}
}

func TestLargestUpdateOverTCP(t *testing.T) {
	s, _ := start(t, testOptions(t))
	m := new(dns.Msg).SetUpdate(apex)
	var raw []byte
	for i := 0; ; i++ {
		m.Ns = append(m.Ns, &dns.TXT{
			Hdr: dns.RR_Header{Name: "n" + itoa(i) + "." + apex, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60},
			Txt: []string{strings.Repeat("x", 200)},
		})
		next, err := m.Pack()
		if err != nil || len(next) > 65535 {
			break
		}
		raw = next
	}
	// Fill up to the last octet with the text of a record of its own.
	m.Ns = m.Ns[:len(m.Ns)-1]
	fill := &dns.NULL{Hdr: dns.RR_Header{Name: "f." + apex, Rrtype: dns.TypeNULL, Class: dns.ClassINET, Ttl: 60}}
	last := m.Ns[len(m.Ns)-1].Header().Name
	m.Ns[len(m.Ns)-1] = fill
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	fill.Data = strings.Repeat("y", 65535-len(raw))
	if raw, err = m.Pack(); err != nil || len(raw) != 65535 {
		t.Fatalf("%d octets, %v", len(raw), err)
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(exchangeRaw(t, "tcp", s.Addrs()[0], raw)); err != nil || reply.Rcode != dns.RcodeSuccess {
		t.Fatalf("%v %v", reply, err)
	}
	if got := ask(t, "tcp", s.Addrs()[0], query("n0."+apex, dns.TypeTXT)); len(got.Answer) != 1 {
		t.Errorf("%v", got)
	}
	if got := ask(t, "tcp", s.Addrs()[0], query(last, dns.TypeTXT)); got.Rcode != dns.RcodeNameError {
		t.Errorf("%v", got)
	}
}

func TestLargeUpdateOverUDPIsReadWhole(t *testing.T) {
	s, _ := start(t, testOptions(t))
	m := new(dns.Msg).SetUpdate(apex)
	for i := range 200 {
		m.Insert(parseAll([]string{"u" + itoa(i) + "." + apex + " 60 TXT " + strings.Repeat("x", 200)}))
	}
	if reply := ask(t, "udp", s.Addrs()[0], m); reply.Rcode != dns.RcodeSuccess {
		t.Fatalf("%v", reply)
	}
	if got := ask(t, "udp", s.Addrs()[0], query("u199."+apex, dns.TypeTXT)); len(got.Answer) != 1 {
		t.Errorf("%v", got)
	}
}

func itoa(i int) string {
	var b [8]byte
	n := len(b)
	for {
		n--
		b[n] = byte('0' + i%10)
		if i /= 10; i == 0 {
			return string(b[n:])
		}
	}
}

func TestTransfers(t *testing.T) {
	s, _ := start(t, testOptions(t))
	to := s.Addrs()[0]
	from := soa(t, to)
	ask(t, "udp", to, insert("new."+apex+" 60 A 192.0.2.33"))

	full := transferOf(t, to, new(dns.Msg).SetAxfr(apex))
	if n := len(full); n != 11 || full[0].Header().Rrtype != dns.TypeSOA || full[n-1].Header().Rrtype != dns.TypeSOA {
		t.Errorf("AXFR: %v", full)
	}
	diff := transferOf(t, to, new(dns.Msg).SetIxfr(apex, from, "ns1."+apex, "hostmaster."+apex))
	if len(diff) != 5 || diff[3].Header().Name != "new."+apex {
		t.Errorf("IXFR: %v", diff)
	}
	// RFC 5936, section 4.2: not over UDP.
	if reply := ask(t, "udp", to, new(dns.Msg).SetAxfr(apex)); reply.Rcode == dns.RcodeSuccess || len(reply.Answer) > 0 {
		t.Errorf("AXFR over UDP: %v", reply)
	}
	reply := ask(t, "udp", to, new(dns.Msg).SetIxfr(apex, from, "ns1."+apex, "hostmaster."+apex))
	if len(reply.Answer) != 5 && len(reply.Answer) != 1 {
		t.Errorf("IXFR over UDP: %v", reply)
	}
	if reply := ask(t, "tcp", to, new(dns.Msg).SetAxfr("other.example.")); reply.Rcode != dns.RcodeNotAuth {
		t.Errorf("AXFR of another zone: %v", reply)
	}
}

func transferOf(t testing.TB, to netip.AddrPort, m *dns.Msg) []dns.RR {
	t.Helper()
	tr := &dns.Transfer{DialTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second}
	in, err := tr.In(m, to.String())
	if err != nil {
		t.Fatal(err)
	}
	var all []dns.RR
	for e := range in {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		all = append(all, e.RR...)
	}
	return all
}

func TestTransferNeedsPermission(t *testing.T) {
	o := testOptions(t)
	o.Zones[0].ACL = acl.List{}
	s, _ := start(t, o)
	reply := ask(t, "tcp", s.Addrs()[0], new(dns.Msg).SetAxfr(apex))
	if reply.Rcode != dns.RcodeRefused || s.Counters.TransferDenied.Load() != 1 {
		t.Errorf("%v", reply)
	}
}

func TestMalformedMessagesDoNotStopAnything(t *testing.T) {
	s, _ := start(t, testOptions(t))
	to := s.Addrs()[0]
	good, _ := query("100."+apex, dns.TypeA).Pack()
	upd, _ := insert("x." + apex + " 60 A 192.0.2.1").Pack()
	sig, _, _ := dns.TsigGenerate(signed(query("100."+apex, dns.TypeA)), secret, "", false)
	udp, tcp := dial(t, "udp", to), dial(t, "tcp", to)
	for _, whole := range [][]byte{good, upd, sig} {
		for n := range len(whole) {
			for _, c := range []*dns.Conn{udp, tcp} {
				c.Write(whole[:n])
			}
			broken := bytes.Clone(whole)
			broken[n] ^= 0xff
			udp.Write(broken)
		}
	}
	for _, proto := range []string{"udp", "tcp"} {
		if got := addressOf(t, proto, to, "100."+apex); got != "192.0.2.100" {
			t.Errorf("%s: %q", proto, got)
		}
	}
	marker := query("100."+apex, dns.TypeA)
	marker.Id = 4711
	raw, _ := marker.Pack()
	tcp.Write(raw)
	for {
		reply, err := tcp.ReadMsgHeader(nil)
		if err != nil {
			t.Fatalf("the connection with malformed messages ended: %v", err)
		}
		if reply[0] == 4711>>8 && reply[1] == 4711&0xff && len(reply) > 40 {
			return
		}
	}
}

func TestShutdownLeavesNothingRunning(t *testing.T) {
	o := testOptions(t)
	before := runtime.NumGoroutine()
	for range 2 {
		s, stop := start(t, o)
		conns := []*dns.Conn{dial(t, "tcp", s.Addrs()[0]), dial(t, "tcp", s.Addrs()[0])}
		raw, _ := query("100."+apex, dns.TypeA).Pack()
		exchangeOn(t, conns[0], raw)
		ask(t, "udp", s.Addrs()[0], insert("z."+apex+" 60 A 192.0.2.1"))
		stop()
		for _, c := range conns {
			c.Close()
		}
	}
	// The runtime ends goroutines of closed files and Badger a moment after they have said goodbye.
	deadline := time.Now().Add(20 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
	}
}
