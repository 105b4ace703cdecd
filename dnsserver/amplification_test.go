package dnsserver

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update/acl"
)

// junkTSIG adds a TSIG that is no good.
func junkTSIG(m *dns.Msg, key string, mac int, signed time.Time) *dns.Msg {
	m.SetTsig(key, dns.HmacSHA256, 300, signed.Unix())
	t := m.IsTsig()
	t.MACSize, t.MAC, t.OrigId = uint16(mac), strings.Repeat("ab", mac), m.Id
	return m
}

// withEDNS adds OPT.
func withEDNS(m *dns.Msg) *dns.Msg { m.SetEdns0(1232, false); return m }

// TestAmplificationOfTheRest is TestAmplification of package answer for what is answered later than on the spot. Nobody's
// address is proven here, and nothing is allowed: what is sent back is an error with the reason in words.
func TestAmplificationOfTheRest(t *testing.T) {
	o := testOptions(t)
	o.Zones[0].ACL = rules(t, apex, acl.Rule{AnyKey: true, Actions: acl.Update, SelfNumber: true})
	s, _ := start(t, o)
	odd := strings.Repeat(strings.Repeat(`\000`, 60)+".", 3) + apex
	now := time.Now()
	for class, c := range map[string]struct {
		ratio float64
		msgs  []*dns.Msg
	}{
		"UPDATE": {2.5, []*dns.Msg{
			new(dns.Msg).SetUpdate("."), new(dns.Msg).SetUpdate(apex), insert("1." + apex + " 60 A 192.0.2.1"),
			withEDNS(new(dns.Msg).SetUpdate(".")), withEDNS(new(dns.Msg).SetUpdate(apex)), withEDNS(insert("1." + apex + " 0 A 192.0.2.1")),
			withEDNS(insert(odd + " 60 A 192.0.2.1")), withEDNS(insert("1.other. 60 A 192.0.2.1")),
			withCookie(insert("1."+apex+" 60 A 192.0.2.1"), clientCookie),
		}},
		"NOTIFY": {2.2, []*dns.Msg{
			new(dns.Msg).SetNotify("."), new(dns.Msg).SetNotify(apex), withEDNS(new(dns.Msg).SetNotify(".")), withEDNS(new(dns.Msg).SetNotify(apex)),
			withCookie(new(dns.Msg).SetNotify(apex), clientCookie),
		}},
		"transfers": {3, []*dns.Msg{
			new(dns.Msg).SetAxfr("."), new(dns.Msg).SetAxfr(apex), withEDNS(new(dns.Msg).SetAxfr(".")), withEDNS(new(dns.Msg).SetAxfr(apex)),
			new(dns.Msg).SetIxfr(apex, 0, ".", "."), withEDNS(new(dns.Msg).SetIxfr(apex, 1, ".", ".")), withCookie(new(dns.Msg).SetAxfr(apex), clientCookie),
		}},
		"TSIG": {1.1, []*dns.Msg{
			junkTSIG(query(apex, dns.TypeA), ".", 32, now), junkTSIG(query(apex, dns.TypeA), "x.", 0, now), junkTSIG(query(apex, dns.TypeA), keyName, 32, now),
			junkTSIG(query(apex, dns.TypeA), keyName, 10, now), junkTSIG(query(apex, dns.TypeA), keyName, 32, now.Add(-time.Hour)),
			junkTSIG(withEDNS(query(apex, dns.TypeA)), keyName, 16, now), junkTSIG(insert("1."+apex+" 60 A 192.0.2.1"), keyName, 32, now),
			junkTSIG(withCookie(query(apex, dns.TypeA), clientCookie), keyName, 16, now),
		}},
	} {
		worst, by := 0.0, ""
		for _, m := range c.msgs {
			raw, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			reply := exchangeRaw(t, "udp", s.Addrs()[0], raw)
			if reply[3]&15 == dns.RcodeSuccess && (reply[7] > 0 || reply[9] > 0) {
				t.Errorf("%s: it was answered: %x", class, reply)
			}
			if r := float64(len(reply)) / float64(len(raw)); r > worst {
				worst, by = r, m.String()
			}
		}
		if worst > c.ratio || worst < 0.8*c.ratio {
			t.Errorf("%s: %.3f times, by %s; want %.3f", class, worst, by, c.ratio)
		}
	}
}

// BenchmarkJunk is the slow path without sockets: what is no good beside what is.
func BenchmarkJunk(b *testing.B) {
	s, _ := start(b, testOptions(b))
	now := time.Now()
	good, _, err := dns.TsigGenerate(query("100."+apex, dns.TypeA).SetTsig(keyName, dns.HmacSHA256, 300, now.Unix()), secret, "", false)
	if err != nil {
		b.Fatal(err)
	}
	msgs := map[string][]byte{"good": good}
	for name, m := range map[string]*dns.Msg{
		"wrong MAC":   junkTSIG(query("100."+apex, dns.TypeA), keyName, 32, now),
		"unknown key": junkTSIG(query("100."+apex, dns.TypeA), "123456."+apex, 32, now),
		"update":      withEDNS(new(dns.Msg).SetUpdate("example.")),
		"NOTIFY":      new(dns.Msg).SetNotify(apex),
		"AXFR":        new(dns.Msg).SetAxfr("example."),
	} {
		if msgs[name], err = m.Pack(); err != nil {
			b.Fatal(err)
		}
	}
	w := newWorker()
	defer w.reader.Close()
	for name, msg := range msgs {
		b.Run(name, func(b *testing.B) {
			from := &client{addr: netip.MustParseAddrPort("192.0.2.1:5300"), sock: s.listeners[0].sockets[0]}
			buf := make([]byte, len(msg))
			b.ReportAllocs()
			for b.Loop() {
				if s.answerSlow(w, buf[:copy(buf, msg)], from, arrival{at: time.Now()}) == nil {
					b.Fatal("no reply")
				}
			}
		})
	}
}
