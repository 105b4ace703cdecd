package dnsserver

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
)

// clientCookie is what the tests' client calls itself, in hexadecimal.
const clientCookie = "2464c4abcf10c957"

// withCookie adds OPT with a COOKIE option, and NSID beside it.
func withCookie(m *dns.Msg, cookie string) *dns.Msg {
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
	return m
}

// probe asks whether a cookie is good (RFC 7873, section 5.4).
func probe(cookie string) *dns.Msg { return withCookie(new(dns.Msg), cookie) }

// cookieOf gives the cookie of a reply, client's and server's; "" when there is none.
func cookieOf(m *dns.Msg) string {
	if o := m.IsEdns0(); o != nil {
		for _, option := range o.Option {
			if c, ok := option.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

// learn gets a cookie.
func learn(t testing.TB, proto string, to netip.AddrPort) string {
	t.Helper()
	cookie := cookieOf(ask(t, proto, to, withCookie(query("100."+apex, dns.TypeA), clientCookie)))
	if len(cookie) != 48 || !strings.HasPrefix(cookie, clientCookie) {
		t.Fatalf("cookie %q", cookie)
	}
	return cookie
}

func TestCookieIsGoodForItsAddress(t *testing.T) {
	o := testOptions(t)
	o.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("[::1]:0"), netip.MustParseAddrPort("0.0.0.0:0")}
	if c, err := net.ListenPacket("udp6", "[::1]:0"); err == nil {
		c.Close()
	} else {
		o.Listen = o.Listen[:1]
	}
	s, _ := start(t, o)
	for _, to := range s.Addrs() {
		if to.Addr().IsUnspecified() {
			to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), to.Port())
		}
		for _, learnt := range []string{"udp", "tcp"} {
			cookie := learn(t, learnt, to)
			for _, shown := range []string{"udp", "tcp"} {
				reply := ask(t, shown, to, probe(cookie))
				if reply.Rcode != dns.RcodeSuccess || !strings.HasPrefix(cookieOf(reply), clientCookie) {
					t.Errorf("%s: learnt by %s, shown by %s: %v", to, learnt, shown, reply)
				}
			}
			if reply := ask(t, "udp", to, probe(cookie[:47]+flip(cookie[47:]))); reply.Rcode != dns.RcodeBadCookie {
				t.Errorf("%s: a wrong cookie: %v", to, reply)
			}
		}
	}
	// The same from another address of this machine.
	c := newClient("udp")
	c.Dialer = &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	reply, _, err := c.Exchange(probe(learn(t, "udp", s.Addrs()[0])), s.Addrs()[0].String())
	if err != nil || reply.Rcode != dns.RcodeBadCookie {
		t.Errorf("from another address: %v %v", reply, err)
	}
}

// flip changes a hexadecimal digit.
func flip(digit string) string {
	n, _ := strconv.ParseUint(digit, 16, 4)
	return strconv.FormatUint(n^1, 16)
}

// RFC 7873, section 5.2: also on the slow path every reply to a cookie has one.
func TestSlowRepliesHaveCookies(t *testing.T) {
	s, _ := start(t, testOptions(t))
	to := s.Addrs()[0]
	other := new(dns.Msg).SetUpdate("other.example.")
	for name, c := range map[string]struct {
		m     *dns.Msg
		rcode int
	}{
		"update":                  {insert("a." + apex + " 60 A 192.0.2.7"), dns.RcodeSuccess},
		"refused update":          {insert(apex + " 60 RRSIG A 13 2 60 20300101000000 20200101000000 1 . AAAA"), dns.RcodeRefused},
		"update of another zone":  {other, dns.RcodeNotAuth},
		"signed query":            {signed(query("100."+apex, dns.TypeA)), dns.RcodeSuccess},
		"signed update":           {signed(insert(keyName + " 60 A 192.0.2.7")), dns.RcodeSuccess},
		"NOTIFY":                  {new(dns.Msg).SetNotify(apex), dns.RcodeRefused},
		"transfer elsewhere":      {new(dns.Msg).SetAxfr("other.example."), dns.RcodeNotAuth},
		"transfer that is denied": {signed(new(dns.Msg).SetAxfr(apex)), dns.RcodeRefused},
		"transfer":                {new(dns.Msg).SetAxfr(apex), dns.RcodeSuccess},
		"IXFR":                    {new(dns.Msg).SetIxfr(apex, 1<<31, ".", "."), dns.RcodeSuccess},
	} {
		for _, proto := range []string{"udp", "tcp"} {
			want := c.rcode
			if name == "transfer" && proto == "udp" {
				want = dns.RcodeFormatError
			}
			m := c.m.Copy()
			sig := m.IsTsig()
			if sig != nil {
				m.Extra = nil
			}
			if m = withCookie(m, clientCookie); sig != nil {
				m = signed(m)
			}
			reply := ask(t, proto, to, m)
			o := reply.IsEdns0()
			if reply.Rcode != want || o == nil || !strings.HasPrefix(cookieOf(reply), clientCookie) || len(cookieOf(reply)) != 48 {
				t.Errorf("%s by %s: %v", name, proto, reply)
			}
			if probed := ask(t, "udp", to, probe(cookieOf(reply))); probed.Rcode != dns.RcodeSuccess {
				t.Errorf("%s by %s: the cookie is not good: %v", name, proto, probed)
			}
		}
	}
}

// RFC 9018, section 5: servers with a secret in common take each other's cookies, also in a roll-over.
func TestServersShareCookies(t *testing.T) {
	servers := func(secrets ...byte) netip.AddrPort {
		o := testOptions(t)
		for _, b := range secrets {
			o.CookieSecrets = append(o.CookieSecrets, [16]byte{b})
		}
		s, _ := start(t, o)
		return s.Addrs()[0]
	}
	before, during, after, random := servers(1), servers(2, 1), servers(2), servers()
	for _, c := range []struct {
		name     string
		from, to netip.AddrPort
		rcode    int
	}{
		{"old to both", before, during, dns.RcodeSuccess},
		{"new to both", after, during, dns.RcodeSuccess},
		{"both to new", during, after, dns.RcodeSuccess},
		{"both to old", during, before, dns.RcodeBadCookie},
		{"old to new", before, after, dns.RcodeBadCookie},
		{"random to new", random, after, dns.RcodeBadCookie},
		{"random to itself", random, random, dns.RcodeSuccess},
		{"random to another", random, servers(), dns.RcodeBadCookie},
	} {
		if reply := ask(t, "udp", c.to, probe(learn(t, "udp", c.from))); reply.Rcode != c.rcode {
			t.Errorf("%s: %v", c.name, reply)
		}
	}
}

func TestCookiesSwitchedOff(t *testing.T) {
	o := testOptions(t)
	o.NoCookies, o.CookieSecrets = true, [][16]byte{{1}}
	s, _ := start(t, o)
	for _, proto := range []string{"udp", "tcp"} {
		for _, m := range []*dns.Msg{query("100."+apex, dns.TypeA), insert("a." + apex + " 60 A 192.0.2.7")} {
			if reply := ask(t, proto, s.Addrs()[0], withCookie(m, clientCookie)); reply.Rcode != dns.RcodeSuccess || cookieOf(reply) != "" {
				t.Errorf("%v", reply)
			}
		}
	}
}

// The clock of cookies goes on while the server runs, and only then.
func TestClockOfCookies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(Options{})
		s.conf().responder = answer.New(answer.Options{CookieSecrets: s.conf().CookieSecrets})
		s.ctx, s.cancel = context.WithCancel(context.Background())
		s.readers.Go(s.tick)
		w := newWorker()
		defer w.reader.Close()
		w.scratch.Client = &client{addr: netip.MustParseAddrPort("192.0.2.1:53")}
		made := func() string {
			msg, err := probe(clientCookie).Pack()
			if err != nil {
				t.Fatal(err)
			}
			n, _ := s.conf().responder.Respond(msg, w.out(), false, 0, &w.scratch)
			m := new(dns.Msg)
			if err := m.Unpack(w.out()[:n]); err != nil {
				t.Fatal(err)
			}
			return cookieOf(m)[24:32]
		}
		for range 3 {
			time.Sleep(time.Hour)
			synctest.Wait()
			if got, want := made(), strconv.FormatInt(time.Now().Unix(), 16); got != want {
				t.Errorf("made at %s, want %s", got, want)
			}
		}
		s.cancel()
		s.readers.Wait()
	})
}
