package dnsserver

import (
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
	"dialtone/dnsserver/ratelimit"
	"dialtone/zone"
)

// limitedOptions limit every class to one response a second, with a debt that lasts.
func limitedOptions(t testing.TB) Options {
	o := testOptions(t)
	o.RateLimit = ratelimit.Options{Rates: [ratelimit.Classes]int{1, 1, 1, 1, 1}, Window: time.Hour}
	o.MetricsListen = netip.MustParseAddrPort("127.0.0.1:0")
	return o
}

// flood sends messages from one socket and gives what came back, in order, up to the reply to a query with a valid
// cookie that is sent behind them.
func flood(t *testing.T, s *Server, cookie string, msgs ...*dns.Msg) (replies []*dns.Msg) {
	t.Helper()
	c := dial(t, "udp", s.Addrs()[0])
	last := withCookie(query(apex, dns.TypeSOA), cookie)
	for _, m := range append(msgs, last) {
		raw, err := m.Pack()
		if err == nil {
			_, err = c.Write(raw)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for {
		m := read(t, c)
		if m.Id == last.Id {
			if len(m.Answer) != 1 {
				t.Errorf("with a cookie: %v", m)
			}
			return replies
		}
		replies = append(replies, m)
	}
}

func repeated(n int, m func() *dns.Msg) []*dns.Msg {
	list := make([]*dns.Msg, n)
	for i := range list {
		list[i] = m()
	}
	return list
}

// A network that has had enough gets every second reply cut short; a client in it that comes by TCP or with a cookie
// gets everything, and so does who asks for something else.
func TestResponsesAreLimited(t *testing.T) {
	o := limitedOptions(t)
	var log lockedBuffer
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s, _ := start(t, o)
	to := s.Addrs()[0]
	cookie := learn(t, "tcp", to)
	ask100 := func() *dns.Msg { return query("100."+apex, dns.TypeA) }
	replies := flood(t, s, cookie, repeated(21, ask100)...)
	if len(replies) != 11 || len(replies[0].Answer) != 1 || replies[0].Truncated {
		t.Fatalf("%d replies, the first is %v", len(replies), replies[0])
	}
	for _, m := range replies[1:] {
		if !m.Truncated || m.Rcode != dns.RcodeSuccess || len(m.Answer)+len(m.Ns)+len(m.Extra) > 0 || len(m.Question) != 1 {
			t.Errorf("slipped: %v", m)
		}
	}
	if m := ask(t, "tcp", to, ask100()); len(m.Answer) != 1 {
		t.Errorf("over TCP: %v", m)
	}
	if m := ask(t, "udp", to, withCookie(ask100(), cookie)); len(m.Answer) != 1 {
		t.Errorf("with a cookie: %v", m)
	}
	if m := ask(t, "udp", to, query(apex, dns.TypeNS)); len(m.Answer) == 0 {
		t.Errorf("another name: %v", m)
	}
	if m := ask(t, "udp", to, signed(ask100())); len(m.Answer) != 1 {
		t.Errorf("signed: %v", m)
	}
	wantMetrics(t, s,
		`dialtone_responses_limited_total{action="dropped",class="responses"} 10`,
		`dialtone_responses_limited_total{action="slipped",class="responses"} 10`,
		`dialtone_responses_limited_total{action="dropped",class="nxdomains"} 0`,
		`dialtone_rate_limit_table_size 16384`,
		`dialtone_limit_hits_total{limit="rate_limit"} 20`,
	)
	line := regexp.MustCompile(`level=INFO msg="responses limited" op=rate_limit network=127\.0\.0\.0/24 class=responses name=100\.phones\.example\. type=A$`)
	for found := false; !found; {
		for _, l := range log.lines() {
			found = found || line.MatchString(l)
		}
	}
}

// Whoever knows cookies gets one in the place of TC, and goes on with it over UDP (RFC 7873, section 5.2.3).
func TestSlippedReplyHasACookie(t *testing.T) {
	o := limitedOptions(t)
	o.RateLimit.Slip = 1
	s, _ := start(t, o)
	to := s.Addrs()[0]
	for _, m := range []*dns.Msg{query("100."+apex, dns.TypeA), query("nobody."+apex, dns.TypeA), query("100."+apex, dns.TypeHTTPS)} {
		ask(t, "udp", to, m.Copy())
		r := ask(t, "udp", to, withCookie(m.Copy(), clientCookie))
		if r.Rcode != dns.RcodeBadCookie || r.Truncated || r.Authoritative || len(r.Answer)+len(r.Ns) > 0 || len(cookieOf(r)) != 48 {
			t.Fatalf("%v", r)
		}
		if nsid := len(r.IsEdns0().Option); nsid != 1 {
			t.Errorf("%d options", nsid)
		}
		if r = ask(t, "udp", to, withCookie(m.Copy(), cookieOf(r))); r.Rcode == dns.RcodeBadCookie || len(r.Answer)+len(r.Ns) == 0 {
			t.Errorf("with the cookie: %v", r)
		}
	}
}

// Errors are one class, whatever made them, on the spot or later; none is cut short.
func TestErrorsAreLimitedTogether(t *testing.T) {
	s, _ := start(t, limitedOptions(t))
	cookie := learn(t, "tcp", s.Addrs()[0])
	unknown := query("100."+apex, dns.TypeA)
	unknown.SetTsig("nobody.", dns.HmacSHA256, 300, time.Now().Unix())
	unknown.Extra[0].(*dns.TSIG).MAC = strings.Repeat("00", 32)
	unknown.Extra[0].(*dns.TSIG).MACSize = 32
	unknown.Extra[0].(*dns.TSIG).OrigId = unknown.Id
	status := query(apex, dns.TypeA)
	status.Opcode = dns.OpcodeStatus
	bad := []*dns.Msg{
		query("example.net.", dns.TypeA), query("100."+apex, dns.TypeMAILB), status,
		new(dns.Msg).SetUpdate("example.net."), new(dns.Msg).SetNotify(apex), unknown, new(dns.Msg).SetAxfr("example.net."),
	}
	replies := flood(t, s, cookie, bad...)
	for s.Counters.Limited.Of(ratelimit.Errors, ratelimit.Drop) < uint64(len(bad)-1) {
	}
	// Those that are answered later come behind the reply that flood waits for, but all are decided now.
	if len(replies) != 1 || replies[0].Rcode != dns.RcodeRefused {
		t.Errorf("%d replies", len(replies))
	}
	// What is proven is answered.
	if m := ask(t, "udp", s.Addrs()[0], signed(insert("l."+apex+" 60 A 192.0.2.1"))); m.Rcode != dns.RcodeRefused {
		t.Errorf("signed update: %v", m)
	}
	if m := ask(t, "udp", s.Addrs()[0], withCookie(new(dns.Msg).SetUpdate("example.net."), cookie)); m.Rcode != dns.RcodeNotAuth {
		t.Errorf("update with a cookie: %v", m)
	}
	if m := ask(t, "udp", s.Addrs()[0], insert("l."+apex+" 60 A 192.0.2.1")); m.Rcode != dns.RcodeSuccess {
		t.Errorf("update that is allowed: %v", m)
	}
}

// An incremental transfer over UDP is an answer like others; it is not cut short.
func TestTransfersOverUDPAreLimited(t *testing.T) {
	s, _ := start(t, limitedOptions(t))
	to := s.Addrs()[0]
	ask(t, "tcp", to, insert("l."+apex+" 60 A 192.0.2.1"))
	ixfr := func() *dns.Msg { return new(dns.Msg).SetIxfr(apex, 1, "ns1."+apex, "ns1."+apex) }
	if m := ask(t, "udp", to, ixfr()); len(m.Answer) < 4 {
		t.Fatalf("%v", m)
	}
	flood(t, s, learn(t, "tcp", to), repeated(5, ixfr)...)
	for s.Counters.Limited.Of(ratelimit.Answers, ratelimit.Drop) < 5 {
	}
	if m := ask(t, "udp", to, signed(ixfr())); m.Rcode != dns.RcodeRefused { // the key may not, and hears so
		t.Errorf("signed: %v", m)
	}
	if n := s.Counters.Limited.Of(ratelimit.Answers, ratelimit.Slip); n != 0 {
		t.Errorf("%d were cut short", n)
	}
}

func TestSetRateLimit(t *testing.T) {
	o := testOptions(t)
	s, _ := start(t, o)
	m := func() *dns.Msg { return query("100."+apex, dns.TypeA) }
	cut := func() (n int) {
		for range 4 {
			if ask(t, "udp", s.Addrs()[0], m()).Truncated {
				n++
			}
		}
		return n
	}
	on := ratelimit.Options{Rates: [ratelimit.Classes]int{1}, Window: time.Hour, Slip: 1}
	exempt := on
	exempt.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	logged := on
	logged.LogOnly = true
	for i, step := range []struct {
		o    ratelimit.Options
		want int
	}{{ratelimit.Options{}, 0}, {on, 3}, {exempt, 0}, {on, 3}, {logged, 0}, {ratelimit.Options{}, 0}} {
		s.SetRateLimit(step.o)
		if n := cut(); n != step.want {
			t.Errorf("step %d: %d of 4 were cut short", i, n)
		}
	}
	if n := s.Counters.Limited.Of(ratelimit.Answers, ratelimit.Logged); n != 3 {
		t.Errorf("%d were logged", n)
	}
}

// BenchmarkRateLimit is the answer path without sockets, with limits and without: what they cost beside the kernel's
// part shows in BenchmarkUDPQuery.
func BenchmarkRateLimit(b *testing.B) {
	s, _ := start(b, testOptions(b))
	raw, err := query("100."+apex, dns.TypeA).SetEdns0(1232, false).Pack()
	if err != nil {
		b.Fatal(err)
	}
	reader := zone.NewReader()
	defer reader.Close()
	scratch := &answer.Scratch{Client: &client{addr: netip.MustParseAddrPort("192.0.2.1:5300")}}
	out, responder := make([]byte, 1232), s.conf().responder
	for _, name := range []string{"off", "on"} {
		b.Run(name, func(b *testing.B) {
			l := ratelimit.New(ratelimit.Options{Rates: [ratelimit.Classes]int{1000, 1000, 1000, 1000, 1000}}, time.Now())
			var tally ratelimit.Tally
			reader.Begin()
			defer reader.End()
			b.ReportAllocs()
			for b.Loop() {
				responder.Respond(raw, out, false, 0, scratch)
				if name == "on" {
					l.Take(scratch.Client.Addr(), scratch.Response(raw), &tally)
				}
			}
		})
	}
}
