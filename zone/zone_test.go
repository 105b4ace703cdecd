package zone_test

import (
	"errors"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/zonetest"
)

const sample = `
$TTL 300
@            SOA  ns1 hostmaster 10 3600 600 86400 30
@            NS   ns1
ns1          A    192.0.2.1
5551234      A    192.0.2.10
_sip._udp.5559999 SRV 0 0 5060 5551234
*.wild       A    192.0.2.99
a.*.deep     A    192.0.2.98
alias        CNAME 5551234
kid          NS   ns.kid
kid          DS   1 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.kid       A    192.0.2.53
d            DNAME target
`

func open(t testing.TB) *zone.Zone { return zonetest.Open(t, "phones.example.", sample) }

func lookup(t *testing.T, z *zone.Zone, name string, qtype uint16) zone.Result {
	t.Helper()
	r := zone.NewReader()
	defer r.Close()
	r.Begin()
	defer r.End()
	var q zone.QName
	q.SetName(rr.MustName(name))
	var res zone.Result
	z.View().Lookup(&q, qtype, &res)
	return res
}

func TestLookup(t *testing.T) {
	z := open(t)
	for _, c := range []struct {
		name  string
		qtype uint16
		want  zone.Outcome
		wild  bool
		owner int
	}{
		{"phones.example.", dns.TypeSOA, zone.Answer, false, 2},
		{"phones.example.", dns.TypeA, zone.NoData, false, 2},
		{"5551234.PHONES.example.", dns.TypeA, zone.Answer, false, 3},
		{"5551234.phones.example.", dns.TypeAAAA, zone.NoData, false, 3},
		{"5551235.phones.example.", dns.TypeA, zone.NXDomain, false, 0},
		{"x.5551234.phones.example.", dns.TypeA, zone.NXDomain, false, 0},
		{"5559999.phones.example.", dns.TypeA, zone.NoData, false, 3}, // RFC 4592, section 2.2.3
		{"_udp.5559999.phones.example.", dns.TypeANY, zone.NoData, false, 4},
		{"_sip._udp.5559999.phones.example.", dns.TypeSRV, zone.Answer, false, 5},
		{"x.y.wild.phones.example.", dns.TypeA, zone.Answer, true, 5},
		{"x.wild.phones.example.", dns.TypeAAAA, zone.NoData, true, 4},
		{"*.wild.phones.example.", dns.TypeA, zone.Answer, false, 4},
		{"a.*.wild.phones.example.", dns.TypeA, zone.NXDomain, false, 0}, // section 2.2.1
		{"x.deep.phones.example.", dns.TypeA, zone.NoData, true, 4},      // section 4.9
		{"alias.phones.example.", dns.TypeA, zone.CNAME, false, 3},
		{"alias.phones.example.", dns.TypeCNAME, zone.Answer, false, 3},
		{"alias.phones.example.", dns.TypeANY, zone.Answer, false, 3},
		{"kid.phones.example.", dns.TypeA, zone.Referral, false, 3},
		{"kid.phones.example.", dns.TypeDS, zone.Answer, false, 3},
		{"ns.kid.phones.example.", dns.TypeA, zone.Referral, false, 3},
		{"a.b.kid.phones.example.", dns.TypeDS, zone.Referral, false, 3},
		{"x.d.phones.example.", dns.TypeA, zone.DNAME, false, 3},
		{"d.phones.example.", dns.TypeA, zone.NoData, false, 3},
		{"d.phones.example.", dns.TypeDNAME, zone.Answer, false, 3},
	} {
		res := lookup(t, z, c.name, c.qtype)
		if res.Outcome != c.want || res.Wildcard != c.wild || res.OwnerLabels != c.owner {
			t.Errorf("%s %s: outcome %d wildcard %v owner %d, want %d %v %d", c.name, dns.Type(c.qtype),
				res.Outcome, res.Wildcard, res.OwnerLabels, c.want, c.wild, c.owner)
		}
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	z := open(t)
	r := zone.NewReader()
	defer r.Close()
	var q zone.QName
	var res zone.Result
	for _, name := range []string{"5551234.phones.example.", "no.such.phones.example.", "x.wild.phones.example.", "_sip._udp.5559999.phones.example."} {
		n := rr.MustName(name)
		if got := testing.AllocsPerRun(100, func() {
			r.Begin()
			q.SetName(n)
			z.View().Lookup(&q, dns.TypeA, &res)
			r.End()
		}); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func TestFindLongestZone(t *testing.T) {
	text := "@ 60 SOA a b 1 1 1 1 1\n@ NS ns.\n"
	zs := zonetest.Zones(t, map[string]string{"example.": text, "phones.example.": text, "a.b.phones.example.": text})
	for _, c := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"example.", dns.TypeA, "example."},
		{"x.example.", dns.TypeA, "example."},
		{"5.phones.example.", dns.TypeA, "phones.example."},
		{"b.phones.example.", dns.TypeA, "phones.example."},
		{"x.a.b.phones.example.", dns.TypeA, "a.b.phones.example."},
		{"a.b.phones.example.", dns.TypeDS, "phones.example."}, // RFC 4035, section 3.1.4.1
		{"example.", dns.TypeDS, "example."},
		{"other.", dns.TypeA, ""},
		{".", dns.TypeA, ""},
	} {
		var q zone.QName
		q.SetName(rr.MustName(c.name))
		got := ""
		if z := zs.Find(&q, c.qtype); z != nil {
			got = z.Apex().String()
		}
		if got != c.want {
			t.Errorf("%s %s: zone %q, want %q", c.name, dns.Type(c.qtype), got, c.want)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	z := open(b)
	r := zone.NewReader()
	defer r.Close()
	var q zone.QName
	var res zone.Result
	n := []byte(rr.MustName("5551234.phones.example."))
	b.ReportAllocs()
	for b.Loop() {
		r.Begin()
		q.Set(n)
		z.View().Lookup(&q, dns.TypeA, &res)
		r.End()
	}
}

// Numbers counts names, of the form that terminal numbers have, with records at that very name.
func TestNumbersAreCounted(t *testing.T) {
	z := open(t)
	want := func(n int) {
		t.Helper()
		r := zone.NewReader()
		defer r.Close()
		r.Begin()
		defer r.End()
		if got := z.View().Numbers(); got != n {
			t.Errorf("%d numbers, want %d", got, n)
		}
	}
	want(1)
	steps := []struct {
		owner string
		data  []string
		n     int
	}{
		{"5551235", []string{"\xc0\x00\x02\x01"}, 2}, {"5551235", []string{"\xc0\x00\x02\x02"}, 2},
		{"name", []string{"\xc0\x00\x02\x01"}, 2}, {"1.5551236", []string{"\xc0\x00\x02\x01"}, 2},
		{"1234567890123456", []string{"\xc0\x00\x02\x01"}, 2}, {"5551235", nil, 1}, {"name", nil, 1}, {"5551234", nil, 0},
	}
	for _, s := range steps {
		owner := rr.MustName(s.owner + ".phones.example.")
		done := zonetest.Do(t, z, func(d *zone.Draft) error {
			d.Set(owner, rr.RRset{Type: dns.TypeA, TTL: 60, Data: s.data})
			return nil
		})
		if done.Err != nil || !done.Changed {
			t.Fatalf("%s: %+v", s.owner, done)
		}
		want(s.n)
	}
}

// Bounds can be changed while the zone is open.
func TestBoundsChange(t *testing.T) {
	z := open(t)
	add := func(owner string) error {
		return zonetest.Do(t, z, func(d *zone.Draft) error {
			d.Set(rr.MustName(owner+".phones.example."), rr.RRset{Type: dns.TypeA, TTL: 60, Data: []string{"\xc0\x00\x02\x01"}})
			return nil
		}).Err
	}
	if err := add("5551235"); err != nil {
		t.Fatal(err)
	}
	z.SetBounds(zone.Bounds{MaxRecords: 5})
	if err := add("5551236"); !errors.Is(err, zone.ErrZoneFull) {
		t.Errorf("more than 5 records: %v", err)
	}
	z.SetBounds(zone.Bounds{})
	if err := add("5551236"); err != nil {
		t.Error(err)
	}
}

// Zones come and go in one moment, or not at all.
func TestReplacedZones(t *testing.T) {
	text := "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n"
	zs := zonetest.Zones(t, map[string]string{"a.example.": text, "b.example.": text})
	a, b := zs.Exact(rr.MustName("a.example.")), zs.Exact(rr.MustName("b.example."))
	c := zonetest.Open(t, "c.example.", text)
	if err := zs.Replace([]*zone.Zone{a}, []*zone.Zone{c, b}); err == nil || zs.Exact(a.Apex()) != a || zs.Exact(c.Apex()) != nil {
		t.Errorf("a zone that is there already: %v", err)
	}
	if err := zs.Replace([]*zone.Zone{a}, []*zone.Zone{c}); err != nil {
		t.Fatal(err)
	}
	if all := zs.All(); len(all) != 2 || all[0] != b || all[1] != c {
		t.Errorf("%d zones", len(all))
	}
	var q zone.QName
	q.SetName(rr.MustName("ns.a.example."))
	if zs.Find(&q, dns.TypeA) != nil {
		t.Error("a zone that went is found")
	}
	if err := zs.Replace(zs.All(), nil); err != nil || len(zs.All()) != 0 || zs.Find(&q, dns.TypeA) != nil {
		t.Errorf("all went: %v", err)
	}
}
