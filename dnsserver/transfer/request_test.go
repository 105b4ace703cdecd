package transfer

import (
	"errors"
	"testing"

	"dialtone/zone/rr"

	"github.com/miekg/dns"
)

func TestParseReadsRequest(t *testing.T) {
	q := ixfr(4000000000)
	q.Question[0].Name = "Phones.EXAMPLE."
	q.Ns[0].Header().Name = "phones.example."
	q.RecursionDesired = true
	q.SetEdns0(1400, true)
	q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Empty: true}, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1}}}
	q.SetTsig("key.", dns.HmacSHA256, 300, 1)
	r := ask(t, q, true)
	if r.ID != q.Id || !r.RD || r.Type != dns.TypeIXFR || r.Serial != 4000000000 || !r.EDNS || r.UDPSize != 1400 || !r.DO || !r.Expire || r.NSID {
		t.Errorf("got %+v", r)
	}
	if r.Zone != rr.MustName("Phones.EXAMPLE.") || string(r.Question) != string(r.Zone)+"\x00\xfb\x00\x01" {
		t.Errorf("question %q", r.Question)
	}
}

func TestParseRefuses(t *testing.T) {
	pack := func(q *dns.Msg, change func(*dns.Msg)) []byte {
		change(q)
		b, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	edns := func(f func(*dns.OPT)) func(*dns.Msg) {
		return func(m *dns.Msg) { m.SetEdns0(1232, false); f(m.IsEdns0()) }
	}
	whole := pack(ixfr(1), func(*dns.Msg) {})
	cut := func(n int) []byte { return whole[:len(whole)-n] }
	badOption := pack(axfr(), edns(func(o *dns.OPT) { o.Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1, 2}}} }))
	badOption[len(badOption)-3] = 9 // the option's length
	for _, c := range []struct {
		name  string
		msg   []byte
		rcode uint16
	}{
		{"nothing", nil, dns.RcodeFormatError},
		{"short header", whole[:11], dns.RcodeFormatError},
		{"header alone", whole[:12], dns.RcodeFormatError},
		{"question cut off", whole[:20], dns.RcodeFormatError},
		{"record cut off", cut(1), dns.RcodeFormatError},
		{"record without rdata", cut(22), dns.RcodeFormatError},
		{"octets behind", append(cut(0), 0), dns.RcodeFormatError},
		{"no question", pack(axfr(), func(m *dns.Msg) { m.Question = nil }), dns.RcodeFormatError},
		{"two questions", pack(axfr(), func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), dns.RcodeFormatError},
		{"other type", pack(axfr(), func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }), dns.RcodeFormatError},
		{"IXFR without SOA", pack(ixfr(1), func(m *dns.Msg) { m.Ns = nil }), dns.RcodeFormatError},
		{"IXFR with another's SOA", pack(ixfr(1), func(m *dns.Msg) { m.Ns[0].Header().Name = "example." }), dns.RcodeFormatError},
		{"class CH", pack(axfr(), func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), dns.RcodeRefused},
		{"EDNS version 1", pack(axfr(), edns(func(o *dns.OPT) { o.SetVersion(1) })), dns.RcodeBadVers},
		{"two OPT", pack(axfr(), func(m *dns.Msg) { m.SetEdns0(1232, false); m.Extra = append(m.Extra, m.Extra[0]) }), dns.RcodeFormatError},
		{"OPT with owner", pack(axfr(), edns(func(o *dns.OPT) { o.Hdr.Name = "x." })), dns.RcodeFormatError},
		{"option cut off", badOption, dns.RcodeFormatError},
	} {
		r, err := Parse(c.msg)
		var e *Error
		if !errors.As(err, &e) || e.Rcode != c.rcode {
			t.Errorf("%s: got %+v, %v", c.name, r, err)
		}
	}
}

// Whatever is accepted is a question that can be repeated.
func FuzzParse(f *testing.F) {
	for _, q := range []*dns.Msg{axfr(), ixfr(7), axfr().SetEdns0(4096, true), ixfr(7).SetEdns0(0, false)} {
		b, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\xfc\x00\x01"))
	f.Add([]byte("\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x00\x00\xfc\x00\x01"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		r, err := Parse(msg)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%v is no refusal", err)
			}
			return
		}
		if !r.Zone.Valid() || len(r.Question) != len(r.Zone)+4 || r.UDPSize < 512 {
			t.Fatalf("accepted %+v", r)
		}
		if r.Type != dns.TypeAXFR && r.Type != dns.TypeIXFR {
			t.Fatalf("type %d", r.Type)
		}
	})
}
