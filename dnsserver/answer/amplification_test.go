package answer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/dnsserver/ratelimit"
)

// mixture is a zone with what makes answers long: many records and long ones, targets with addresses, chains, cuts with DS and
// glue, and numbers as phones leave them.
func mixture() string {
	var z strings.Builder
	z.WriteString(`$TTL 300
@ SOA ns1 hostmaster 7 3600 600 604800 45
@ NS ns1
@ NS ns2
@ MX 10 ns1
@ TXT "v=spf1 -all"
@ DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==
ns1 A 192.0.2.53
ns1 AAAA 2001:db8::53
ns2 A 192.0.2.54
ns2 AAAA 2001:db8::54
5551234 A 192.0.2.1
5551234 AAAA 2001:db8::1
5551234 NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.5551234
5551234 NAPTR 20 10 "s" "SIPS+D2T" "" _sips._tcp.5551234
5551234 HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1
5551234 KEY 512 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=
_sip._udp.5551234 SRV 0 0 5060 5551234
_sips._tcp.5551234 SRV 0 0 5061 5551234
* NAPTR 1 1 "u" "E2U+sip" "!^.*$!sip:desk@phones.example!" .
many NS many-ns-of-another-zone.example.
sub NS ns1.sub
sub NS ns2.sub
sub DS 1 13 2 3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B
ns1.sub A 192.0.2.55
ns1.sub AAAA 2001:db8::55
ns2.sub A 192.0.2.56
c0 CNAME c1
d DNAME e.d.f
`)
	for i := range 20 {
		fmt.Fprintf(&z, "c%d CNAME c%d\n", i+1, i+2)
		fmt.Fprintf(&z, "pbx SRV 0 0 5060 line%d\nline%d A 192.0.2.%d\nline%d AAAA 2001:db8::%d\n", i, i, i, i, i)
	}
	for i := range 13 {
		fmt.Fprintf(&z, "wide NS ns%d.wide\nns%d.wide A 192.0.2.%d\nns%d.wide AAAA 2001:db8::%d\n", i, i, i, i, i)
		fmt.Fprintf(&z, "wide DS %d 13 2 3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B\n", i)
	}
	for i := range 70 {
		fmt.Fprintf(&z, "full A 192.0.2.%d\n", i)
	}
	fmt.Fprintf(&z, "full AAAA 2001:db8::1\nlong TXT %s\n", strings.Repeat(`"`+strings.Repeat("t", 140)+`" `, 8))
	return z.String()
}

// asked are the ways of asking whose address nobody has proven.
var asked = map[string]func(*dns.Msg){
	"plain":  func(*dns.Msg) {},
	"EDNS":   func(m *dns.Msg) { m.SetEdns0(1232, false) },
	"EDNS 0": func(m *dns.Msg) { m.SetEdns0(0, false) },
	"DO":     func(m *dns.Msg) { m.SetEdns0(65535, true) },
	"NSID":   func(m *dns.Msg) { withOPT(m, 4096, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}) },
	"cookie": func(m *dns.Msg) {
		withOPT(m, 4096, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"})
	},
	"forged": func(m *dns.Msg) {
		withOPT(m, 4096, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: strings.Repeat("01", 24)})
	},
	"EXPIRE":   func(m *dns.Msg) { withOPT(m, 4096, &dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Empty: true}) },
	"EDNS 1":   func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) },
	"CHAOS":    func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
	"class HS": func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassHESIOD; m.SetEdns0(1232, false) },
	"two":      func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) },
	"STATUS":   func(m *dns.Msg) { m.Opcode = dns.OpcodeStatus },
}

// worst is the largest ratio of reply to request in octets, and what gives it.
type worst struct {
	ratio  float64
	octets int
	by     string
}

// TestAmplification holds what a forger gets for his octets, over all types and ways of asking. What the records
// themselves are, nobody can make smaller: the bounds are those of RFC 8482 for ANY, of 512 and 1232 octets, of
// an SOA record for what is not there, and of the request for errors. server_id and version are
// short here; who makes them long makes NSID and CHAOS worth more.
func TestAmplification(t *testing.T) {
	b := newBench(t, map[string]string{"phones.example.": mixture()}, Options{ServerID: "ns1", Version: "dialtone 1.2.3", CookieSecrets: [][16]byte{{1: 2}}})
	names := []string{"", "5551234", "_sip._udp.5551234", "_udp.5551234", "77", "x.5551234", "sub", "a.sub", "a.wide", "c0", "a.d", "pbx", "full", "long", "many"}
	all := map[string]worst{}
	note := func(class, by string, in, out int) {
		if w := all[class]; float64(out)/float64(in) > w.ratio {
			all[class] = worst{float64(out) / float64(in), max(w.octets, out), by}
		} else if out > w.octets {
			w.octets = out
			all[class] = w
		}
	}
	try := func(qname string, qtype uint16, way string) (octets int, cut bool) {
		m := question(qname, qtype)
		asked[way](m)
		msg := pack(t, m)
		by := qname + " " + dns.Type(qtype).String() + " " + way
		reply, v := b.respond(msg, false, 0)
		if v == Later { // AXFR and IXFR: refused later
			reply = b.out[:b.Error(msg, b.out[:], false, 0, dns.RcodeRefused, &EDE{Code: EDEProhibited}, &b.s)]
		}
		if x := unpack(t, reply); b.s.kind.class == ratelimit.Answers && len(reply) > minSize && len(x.Extra) > 1 {
			t.Errorf("%s: %d octets, with %d records that are not needed", by, len(reply), len(x.Extra)-1)
		}
		class := b.s.kind.class.String()
		cut = b.s.w.tc
		switch {
		case class == ratelimit.Errors.String():
		case qtype == dns.TypeANY:
			class = "ANY"
		case way == "CHAOS":
			class = "CHAOS"
		case !b.s.Request.OPT && (b.s.kind.class == ratelimit.Answers || b.s.kind.class == ratelimit.Referrals):
			class += " without EDNS"
		}
		note(class, by, len(msg), len(reply))
		if b.s.kind.class != ratelimit.Errors {
			octets = len(reply)
			checkSlip(t, msg, b)
			note("slipped", by, len(msg), b.Slip(msg, b.out[:], &b.s))
		}
		return octets, cut
	}
	for _, n := range names {
		least := map[string]int{}
		qname := strings.TrimPrefix(n+".phones.example.", ".")
		for way := range asked {
			for qtype := range uint16(270) {
				if qtype == dns.TypeANY || qtype == 0 {
					continue
				}
				octets, cut := try(qname, qtype, way)
				// Only answers count: what is not there, and what was cut, may be shorter.
				if b.s.kind.class == ratelimit.Answers && !cut && (octets < least[way] || least[way] == 0) {
					least[way] = octets
				}
			}
			for _, qtype := range []uint16{dns.TypeTA, dns.TypeDLV, 1234, 65280, 65535} {
				try(qname, qtype, way)
			}
			octets, _ := try(qname, dns.TypeANY, way)
			if b.s.kind.class == ratelimit.Answers && least[way] != 0 && octets > least[way] {
				t.Errorf("%s %s: ANY gives %d octets, the least type %d", qname, way, octets, least[way])
			}
		}
	}
	for qtype := range 65536 {
		try("5551234.phones.example.", uint16(qtype), "EDNS")
		try("example.net.", uint16(qtype), "EDNS")
	}
	for way := range asked {
		for _, qname := range []string{".", "example.net.", "version.bind.", "id.server.", "hostname.bind."} {
			try(qname, dns.TypeTXT, way)
			try(qname, typeNXNAME, way)
		}
	}
	for class, want := range map[string]struct {
		ratio  float64
		octets int
	}{
		"responses":              {24.76, 1216}, // a TXT record that fills a message
		"responses without EDNS": {8.98, 314},   // 17 CNAMEs
		"ANY":                    {24.76, 1219}, // of a name that has nothing but that TXT record, or that cut
		"referrals":              {24.39, 1219}, // 13 name servers with all their glue, and DS
		"referrals without EDNS": {13.13, 512},
		"nodata":                 {3.98, 182}, // DNAME, the CNAME made from it, SOA
		"nxdomains":              {2.22, 132}, // SOA
		"errors":                 {1.55, 95},  // a cookie and an extended error
		"CHAOS":                  {1.91, 57},
		"slipped":                {1.30, 89}, // a cookie
	} {
		got := all[class]
		if got.ratio > want.ratio || got.ratio < 0.99*want.ratio || got.octets != want.octets {
			t.Errorf("%s: %.3f times, by %s; %d octets at most; want %.3f, %d", class, got.ratio, got.by, got.octets, want.ratio, want.octets)
		}
		delete(all, class)
	}
	for class, got := range all {
		t.Errorf("%s: %+v", class, got)
	}
}
