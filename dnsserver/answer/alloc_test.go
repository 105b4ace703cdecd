package answer

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// paths are the ways through Respond that must not allocate.
func paths() map[string]*dns.Msg {
	do := question("a.sub.phones.example.", dns.TypeA)
	do.SetEdns0(1232, true)
	return map[string]*dns.Msg{
		"hit":        question("5551234.phones.example.", dns.TypeA),
		"hit/OPT":    withOPT(question("5551234.phones.example.", dns.TypeA), 1232),
		"hit/NSID":   withOPT(question("5551234.phones.example.", dns.TypeA), 1232, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}),
		"hit/COOKIE": withOPT(question("5551234.phones.example.", dns.TypeA), 1232, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: strings.Repeat("01", 24)}),
		"nodata":     question("5551234.phones.example.", dns.TypePTR),
		"nxdomain":   question("5559999.phones.example.", dns.TypeA),
		"ent":        question("_udp.5551234.phones.example.", dns.TypeA),
		"cname":      question("alias.phones.example.", dns.TypeA),
		"referral":   question("a.sub.phones.example.", dns.TypeA),
		"referralDO": do,
		"any":        question("5551234.phones.example.", dns.TypeANY),
		"soa":        question("phones.example.", dns.TypeSOA),
		"ns":         question("phones.example.", dns.TypeNS),
		"srv":        question("_sip._udp.5551234.phones.example.", dns.TypeSRV),
		"refused":    withOPT(question("example.net.", dns.TypeA), 1232),
	}
}

func TestRespondAllocatesNothing(t *testing.T) {
	b := newPhones(t)
	for name, m := range paths() {
		t.Run(name, func(t *testing.T) {
			raw := pack(t, m)
			for _, tcp := range []bool{false, true} {
				if n := testing.AllocsPerRun(100, func() { b.respond(raw, tcp, 0) }); n != 0 {
					t.Errorf("%v allocations, tcp %v", n, tcp)
				}
			}
			if n := testing.AllocsPerRun(100, func() { b.s.Response(raw); b.Slip(raw, b.out[:], &b.s) }); n != 0 {
				t.Errorf("%v allocations when it is limited", n)
			}
		})
	}
}

func TestErrorRepliesAllocateNothing(t *testing.T) {
	b := newPhones(t)
	m := new(dns.Msg)
	m.SetUpdate("phones.example.")
	raw := pack(t, withOPT(m, 1232))
	e := &EDE{EDEProhibited, "key a. may not change b. A"}
	n := testing.AllocsPerRun(100, func() {
		b.Error(raw, b.out[:], false, 0, dns.RcodeRefused, e, &b.s)
		b.UpdateReply(raw, b.out[:], false, 0, dns.RcodeSuccess, nil, e, &b.s)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRespond(b *testing.B) {
	z := newPhones(b)
	for name, m := range paths() {
		b.Run(name, func(b *testing.B) {
			raw := pack(b, m)
			z.reader.Begin()
			defer z.reader.End()
			b.ReportAllocs()
			for b.Loop() {
				z.Respond(raw, z.out[:1232], false, 0, &z.s)
			}
		})
	}
}
