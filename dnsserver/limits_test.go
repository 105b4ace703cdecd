package dnsserver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/udp"
	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/zonetest"
)

// hold keeps the zone's writer busy until release is called.
func hold(t testing.TB, s *Server) (release func()) {
	t.Helper()
	busy, free := make(chan struct{}), make(chan struct{})
	err := s.zoneOf(rr.MustName(apex)).z.Submit(&zonetest.Op{
		OnEvaluate: func(*zone.Draft) error { close(busy); <-free; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	<-busy
	return func() { close(free) }
}

func write(t testing.TB, c *dns.Conn, m *dns.Msg) {
	t.Helper()
	if err := c.WriteMsg(m); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, c *dns.Conn) *dns.Msg {
	t.Helper()
	m, err := c.ReadMsg()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// RFC 7766, section 7: replies may leave out of order, so a query does not wait for an update.
func TestQueryOvertakesAnUpdateOnItsConnection(t *testing.T) {
	s, _ := start(t, testOptions(t))
	release := hold(t, s)
	c := dial(t, "tcp", s.Addrs()[0])
	write(t, c, insert("w."+apex+" 60 A 192.0.2.1"))
	write(t, c, query("100."+apex, dns.TypeA))
	if m := read(t, c); m.Opcode != dns.OpcodeQuery || len(m.Answer) != 1 {
		t.Errorf("want the query's reply: %v", m)
	}
	release()
	if m := read(t, c); m.Opcode != dns.OpcodeUpdate || m.Rcode != dns.RcodeSuccess {
		t.Errorf("want the update's reply: %v", m)
	}
}

func TestConnectionReadsNoMoreThanTCPInFlight(t *testing.T) {
	o := testOptions(t)
	o.Limits.TCPInFlight = 1
	s, _ := start(t, o)
	release := hold(t, s)
	c := dial(t, "tcp", s.Addrs()[0])
	write(t, c, insert("w."+apex+" 60 A 192.0.2.1"))
	write(t, c, query("100."+apex, dns.TypeA))
	release()
	if m := read(t, c); m.Opcode != dns.OpcodeUpdate {
		t.Errorf("want the update's reply first: %v", m)
	}
	if m := read(t, c); m.Opcode != dns.OpcodeQuery {
		t.Errorf("want the query's reply: %v", m)
	}
}

func TestFullUpdateQueueAnswersServfailAtOnce(t *testing.T) {
	o := testOptions(t)
	o.Limits.UpdateQueue = 1
	s, _ := start(t, o)
	release := hold(t, s)
	waiting := dial(t, "tcp", s.Addrs()[0])
	write(t, waiting, insert("w."+apex+" 60 A 192.0.2.1"))
	write(t, waiting, query("100."+apex, dns.TypeA))
	read(t, waiting) // so the update before it is in the queue
	for _, proto := range []string{"udp", "tcp"} {
		if m := ask(t, proto, s.Addrs()[0], insert("x."+apex+" 60 A 192.0.2.1")); m.Rcode != dns.RcodeServerFailure {
			t.Errorf("%s: %v", proto, m)
		}
		if got := addressOf(t, proto, s.Addrs()[0], "100."+apex); got != "192.0.2.100" {
			t.Errorf("%s: queries are not answered: %q", proto, got)
		}
	}
	release()
	if m := read(t, waiting); m.Rcode != dns.RcodeSuccess {
		t.Errorf("%v", m)
	}
	if n := s.Counters.Limits.Of(LimitUpdateQueue); n != 2 {
		t.Errorf("%d refused for the full queue, want 2", n)
	}
}

func TestFullSlowQueueAnswersServfailAtOnce(t *testing.T) {
	s := connServer(Limits{})
	s.slow.init(1, 1)
	sock, err := udp.Listen(context.Background(), netip.MustParseAddrPort("127.0.0.1:0"), udp.Options{OutSize: 1232})
	if err != nil {
		t.Fatal(err)
	}
	s.readers.Go(func() { s.readUDP(sock, new(batchTally)) })
	defer func() { sock.Stop(); s.readers.Wait(); sock.Close() }()
	c := dial(t, "udp", sock.Addr())
	write(t, c, insert("a."+apex+" 60 A 192.0.2.1")) // waits for ever: there are no workers
	second := insert("b." + apex + " 60 A 192.0.2.1")
	write(t, c, second)
	if m := read(t, c); m.Id != second.Id || m.Rcode != dns.RcodeServerFailure || m.Opcode != dns.OpcodeUpdate {
		t.Errorf("%v", m)
	}
	if s.Counters.Limits.Of(LimitSlowQueue) != 1 {
		t.Errorf("%d counted", s.Counters.Limits.Of(LimitSlowQueue))
	}
}

func TestShutdownAnswersTheUpdatesThatWait(t *testing.T) {
	s, _ := start(t, testOptions(t))
	release := hold(t, s)
	tcp, udp := dial(t, "tcp", s.Addrs()[0]), dial(t, "udp", s.Addrs()[0])
	const each = 20
	for i := range each {
		write(t, tcp, insert("t"+itoa(i)+"."+apex+" 60 A 192.0.2.1"))
		write(t, udp, insert("u"+itoa(i)+"."+apex+" 60 A 192.0.2.1"))
	}
	write(t, tcp, query("100."+apex, dns.TypeA))
	read(t, tcp) // all updates before it were read
	write(t, udp, query("100."+apex, dns.TypeA))
	read(t, udp)
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(context.Background()) }()
	<-s.ctx.Done() // the shutdown has begun
	release()
	for range each {
		for _, c := range []*dns.Conn{tcp, udp} {
			if m := read(t, c); m.Rcode != dns.RcodeSuccess {
				t.Errorf("%v", m)
			}
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := tcp.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection ended with %v", err)
	}
}

func TestShutdownIsNotHeldUpByAPeerThatReadsNothing(t *testing.T) {
	o := testOptions(t)
	o.Limits.TCPWrite = time.Hour
	s, _ := start(t, o)
	c := dial(t, "tcp", s.Addrs()[0])
	c.Conn.(*net.TCPConn).SetReadBuffer(4096)
	flood := framed(t, query("long."+apex, dns.TypeTXT))
	go func() {
		for {
			if _, err := c.Conn.Write(flood); err != nil {
				return
			}
		}
	}()
	for s.Counters.TCPMessages.Load() < 150 { // about as many replies as the kernel takes of them
		addressOf(t, "udp", s.Addrs()[0], "100."+apex)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func TestPipelinedQueriesAndHalfClose(t *testing.T) {
	s, _ := start(t, testOptions(t))
	c := dial(t, "tcp", s.Addrs()[0])
	const n = 2000
	var all []byte
	for i := range n {
		m := query("100."+apex, dns.TypeA)
		m.Id = uint16(i)
		all = append(all, framed(t, m)...)
	}
	go func() {
		c.Conn.Write(all)
		c.Conn.(*net.TCPConn).CloseWrite()
	}()
	for i := range n {
		if m := read(t, c); m.Id != uint16(i) || len(m.Answer) != 1 {
			t.Fatalf("%d: %v", i, m)
		}
	}
	if _, err := c.Conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection ended with %v", err)
	}
}

func TestManyConnections(t *testing.T) {
	o := testOptions(t)
	o.Limits.TCPConnections, o.Limits.TCPPerAddress = 400, 400
	s, _ := start(t, o)
	var conns []*dns.Conn
	for range 300 {
		conns = append(conns, dial(t, "tcp", s.Addrs()[0]))
	}
	for range 3 {
		for _, c := range conns {
			write(t, c, query("100."+apex, dns.TypeA))
		}
		for _, c := range conns {
			if m := read(t, c); len(m.Answer) != 1 {
				t.Fatal(m)
			}
		}
	}
	if n := s.Counters.TCPOpen.Load(); n != 300 {
		t.Errorf("%d open", n)
	}
}

func TestStalledTransferHoldsUpNobody(t *testing.T) {
	o := testOptions(t)
	var text strings.Builder
	text.WriteString(zoneText)
	for i := range 30000 {
		text.WriteString("n" + itoa(i) + " IN TXT \"" + strings.Repeat("z", 200) + "\"\n")
	}
	o.Zones[0].Text = text.String()
	s, _ := start(t, o)
	stalled := dial(t, "tcp", s.Addrs()[0])
	stalled.Conn.(*net.TCPConn).SetReadBuffer(4096)
	write(t, stalled, new(dns.Msg).SetAxfr(apex))
	for s.transferServer.Counters.Active.Load() == 0 {
		addressOf(t, "udp", s.Addrs()[0], "100."+apex)
	}
	for i := range 50 {
		name := "s" + itoa(i) + "." + apex
		if m := ask(t, "udp", s.Addrs()[0], insert(name+" 60 A 192.0.2.1")); m.Rcode != dns.RcodeSuccess {
			t.Fatal(m)
		}
		if got := addressOf(t, "tcp", s.Addrs()[0], name); got != "192.0.2.1" {
			t.Fatalf("%q", got)
		}
	}
	if n := len(transferOf(t, s.Addrs()[0], new(dns.Msg).SetAxfr(apex))); n != 30060 {
		t.Errorf("%d records in the other transfer", n)
	}
	for s.transferServer.Counters.Active.Load() > 1 { // the client may see the end before the server counts it
		addressOf(t, "udp", s.Addrs()[0], "100."+apex)
	}
	if n := s.transferServer.Counters.Active.Load(); n != 1 {
		t.Errorf("%d transfers are running, want the stalled one", n)
	}
}

func TestWildcardListenAnswersFromTheAskedAddress(t *testing.T) {
	o := testOptions(t)
	o.Listen = []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:0"), netip.MustParseAddrPort("[::]:0")}
	s, _ := start(t, o)
	for _, to := range []netip.AddrPort{
		netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), s.Addrs()[0].Port()),
		netip.AddrPortFrom(netip.IPv6Loopback(), s.Addrs()[1].Port()),
	} {
		// The client's socket is connected: it takes replies from the asked address only.
		if got := addressOf(t, "udp", to, "100."+apex); got != "192.0.2.100" {
			t.Errorf("%v: %q", to, got)
		}
		// Refused, since the rule is for 127.0.0.1: a reply of the slow path.
		want := dns.RcodeRefused
		if to.Addr().Is4() {
			want = dns.RcodeSuccess // 127.0.0.1 asks 127.0.0.2
		}
		if m := ask(t, "udp", to, insert("w."+apex+" 60 A 192.0.2.1")); m.Rcode != want {
			t.Errorf("%v: %v", to, m)
		}
	}
}

func TestEveryAddressThatCannotBeBoundIsNamed(t *testing.T) {
	first, _ := start(t, testOptions(t))
	o := testOptions(t)
	o.Listen = []netip.AddrPort{first.Addrs()[0], netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("192.0.2.254:5399")}
	_, err := Start(context.Background(), o)
	var bind *BindError
	if !errors.As(err, &bind) {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{first.Addrs()[0].String() + "/tcp: address already in use", "192.0.2.254:5399/udp", "192.0.2.254:5399/tcp"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	// Nothing is left open: the same directory serves once the addresses are good.
	o.Listen = o.Listen[1:2]
	start(t, o)
}

func TestEveryFaultyZoneIsNamed(t *testing.T) {
	o := testOptions(t)
	o.Zones = append(o.Zones,
		ZoneOptions{Apex: rr.MustName("a.example."), Text: "@ 60 IN NS ns1\n@ 60 IN A nonsense\n"},
		ZoneOptions{Apex: rr.MustName("b.example."), File: "/nonexistent/b.zone"})
	_, err := Start(context.Background(), o)
	var fault *ZoneError
	if !errors.As(err, &fault) {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{"zone a.example.: built-in:2:", "zone b.example.: /nonexistent/b.zone"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}

// wantMetrics has the server's metrics hold these lines.
func wantMetrics(t *testing.T, s *Server, lines ...string) {
	t.Helper()
	resp, err := http.Get("http://" + s.MetricsAddr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	for _, want := range lines {
		if !strings.Contains(string(body), want) {
			t.Errorf("%q is missing in:\n%s", want, body)
		}
	}
}

func TestMetrics(t *testing.T) {
	o := testOptions(t)
	o.MetricsListen = netip.MustParseAddrPort("127.0.0.1:0")
	s, _ := start(t, o)
	ask(t, "udp", s.Addrs()[0], insert("m."+apex+" 60 A 192.0.2.1"))
	wantMetrics(t, s,
		`dialtone_updates_total{rcode="NOERROR",rule="acl[0]",zone="phones.example."} 1`,
		`dialtone_zone_serial{zone="phones.example."} 2`,
		`dialtone_zone_failed{zone="phones.example."} 0`,
		`dialtone_messages_total{proto="udp"} 1`,
	)
}

func TestQueryOverUDPAllocatesNothing(t *testing.T) {
	s, _ := start(t, testOptions(t))
	h := &udpReader{s: s, reader: zone.NewReader(), replies: new(batchTally)}
	defer h.reader.Close()
	raw, _ := query("100."+apex, dns.TypeA).SetEdns0(1232, false).Pack()
	d := &udp.Datagram{Msg: raw, Out: make([]byte, 1232)}
	n := testing.AllocsPerRun(1000, func() {
		h.BeginBatch(nil)
		if h.Datagram(d) == 0 {
			t.Fatal("no reply")
		}
		h.EndBatch()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestUpdateReplyHasOPTIfAsked(t *testing.T) {
	s, _ := start(t, testOptions(t))
	for _, proto := range []string{"udp", "tcp"} {
		m := insert("o." + apex + " 60 A 192.0.2.1")
		if reply := ask(t, proto, s.Addrs()[0], m); reply.IsEdns0() != nil {
			t.Errorf("%s: OPT was volunteered: %v", proto, reply)
		}
		m = insert("o." + apex + " 60 A 192.0.2.2")
		m.SetEdns0(1232, true)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
		reply := ask(t, proto, s.Addrs()[0], m)
		opt := reply.IsEdns0()
		if opt == nil || !opt.Do() || len(opt.Option) != 1 {
			t.Errorf("%s: %v", proto, reply)
		}
	}
}

// RFC 2136, section 5: the network may reorder updates, but we do not.
func TestUpdatesOfOneClientKeepTheirOrder(t *testing.T) {
	o := testOptions(t)
	o.Limits.Readers = 4
	s, _ := start(t, o)
	for _, proto := range []string{"udp", "tcp"} {
		c := dial(t, proto, s.Addrs()[0])
		const n = 100
		for i := range n {
			m := new(dns.Msg).SetUpdate(apex)
			rrs := parseAll([]string{"order." + apex + " 60 A 192.0.2." + itoa(i)})
			m.RemoveRRset(rrs)
			m.Insert(rrs)
			write(t, c, m)
		}
		for range n {
			if m := read(t, c); m.Rcode != dns.RcodeSuccess {
				t.Fatal(m)
			}
		}
		if got := addressOf(t, proto, s.Addrs()[0], "order."+apex); got != "192.0.2.99" {
			t.Errorf("%s: the last update is not the last: %s", proto, got)
		}
	}
}

// RFC 9103, section 6.3.3.
func TestTransferAboveTheLimitIsServfail(t *testing.T) {
	o := testOptions(t)
	o.Limits.Transfers = 1
	var text strings.Builder
	text.WriteString(zoneText)
	for i := range 30000 {
		text.WriteString("n" + itoa(i) + " IN TXT \"" + strings.Repeat("z", 200) + "\"\n")
	}
	o.Zones[0].Text = text.String()
	s, stop := start(t, o)
	stalled := dial(t, "tcp", s.Addrs()[0])
	stalled.Conn.(*net.TCPConn).SetReadBuffer(4096)
	write(t, stalled, new(dns.Msg).SetAxfr(apex))
	for s.transferServer.Counters.Active.Load() == 0 {
		addressOf(t, "udp", s.Addrs()[0], "100."+apex)
	}
	// The second one is refused, and its connection goes on.
	c := dial(t, "tcp", s.Addrs()[0])
	write(t, c, withCookie(new(dns.Msg).SetAxfr(apex), clientCookie))
	if m := read(t, c); m.Rcode != dns.RcodeServerFailure || len(m.Answer) > 0 || !strings.HasPrefix(cookieOf(m), clientCookie) {
		t.Errorf("%v", m)
	}
	write(t, c, query("100."+apex, dns.TypeA))
	if m := read(t, c); len(m.Answer) != 1 {
		t.Errorf("%v", m)
	}
	stop() // cuts the stalled one: its peer reads nothing, and Shutdown does not wait for it
	if s.transferServer.Counters.Cut.Load() != 1 {
		t.Errorf("%d transfers cut", s.transferServer.Counters.Cut.Load())
	}
}

func TestUpdateIsMadeAlthoughItsPeerIsGone(t *testing.T) {
	s, _ := start(t, testOptions(t))
	release := hold(t, s)
	c := dial(t, "tcp", s.Addrs()[0])
	write(t, c, insert("g."+apex+" 60 A 192.0.2.1"))
	write(t, c, query("100."+apex, dns.TypeA))
	read(t, c) // the update before it is in the queue
	for _, cc := range s.tcp.list(false) {
		cc.close()
	}
	release()
	for s.Counters.Updates[dns.RcodeSuccess].Load() == 0 {
		addressOf(t, "udp", s.Addrs()[0], "100."+apex)
	}
	if got := addressOf(t, "udp", s.Addrs()[0], "g."+apex); got != "192.0.2.1" {
		t.Errorf("%q", got)
	}
}
