package update

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// request packs an UPDATE with miekg/dns.
func request(t testing.TB, build func(m *dns.Msg)) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetUpdate("example.")
	build(m)
	w, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func mustRR(t testing.TB, text string) dns.RR {
	t.Helper()
	x, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestParseReadsWhatMiekgPacks(t *testing.T) {
	w := request(t, func(m *dns.Msg) {
		m.Compress = true
		m.NameUsed([]dns.RR{mustRR(t, "a.example. A 192.0.2.1")})
		m.Used([]dns.RR{mustRR(t, "a.example. 0 MX 10 mail.example.")})
		m.Insert([]dns.RR{mustRR(t, "a.example. 60 SRV 1 2 3 sip.example."), mustRR(t, "b.EXAMPLE. 60 TXT hi")})
		m.Remove([]dns.RR{mustRR(t, "a.example. A 192.0.2.1")})
		m.RemoveRRset([]dns.RR{mustRR(t, "a.example. A 192.0.2.1")})
		m.RemoveName([]dns.RR{mustRR(t, "a.example. A 192.0.2.1")})
		m.SetEdns0(1232, false)
	})
	m, err := read(w)
	if err != nil {
		t.Fatal(err)
	}
	a := rr.MustName("a.example.")
	want := []Record{
		{Owner: a, Type: dns.TypeANY, Class: dns.ClassANY, Empty: true},
		{Owner: a, Type: dns.TypeMX, Class: dns.ClassINET, Data: "\x00\x0a\x04mail\x07example\x00"},
		{Owner: a, Type: dns.TypeSRV, Class: dns.ClassINET, TTL: 60, Data: "\x00\x01\x00\x02\x00\x03\x03sip\x07example\x00"},
		{Owner: rr.MustName("b.EXAMPLE."), Type: dns.TypeTXT, Class: dns.ClassINET, TTL: 60, Data: "\x02hi"},
		{Owner: a, Type: dns.TypeA, Class: dns.ClassNONE, Data: "\xc0\x00\x02\x01"},
		{Owner: a, Type: dns.TypeA, Class: dns.ClassANY, Empty: true},
		{Owner: a, Type: dns.TypeANY, Class: dns.ClassANY, Empty: true},
	}
	got := append(append([]Record{}, m.Prerequisites...), m.Updates...)
	if len(m.Prerequisites) != 2 || len(got) != len(want) {
		t.Fatalf("%d prerequisites, %d records: %+v", len(m.Prerequisites), len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("record %d:\n got %+v\nwant %+v", i, got[i], want[i])
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := request(t, func(m *dns.Msg) {
		m.Insert([]dns.RR{mustRR(t, "a.example. 60 A 192.0.2.1")})
		m.SetEdns0(1232, false)
	})
	edit := func(f func(w []byte) []byte) []byte { return f(append([]byte{}, good...)) }
	count := func(at int, n uint16) []byte {
		return edit(func(w []byte) []byte { binary.BigEndian.PutUint16(w[at:], n); return w })
	}
	cases := map[string][]byte{
		"nothing":                             nil,
		"half a header":                       good[:11],
		"no zone (RFC 2136, section 3.1.1)":   count(4, 0),
		"two zones (RFC 2136, section 3.1.1)": count(4, 2),
		"fewer records than there are":        count(8, 0),
		"more updates than there are":         count(8, 2),
		"65535 prerequisites":                 count(6, 65535),
		"65535 additional records":            count(10, 65535),
		"an octet behind the last record":     append(edit(func(w []byte) []byte { return w }), 0),
		"an owner that points forwards": edit(func(w []byte) []byte {
			w[12] = 0xc0
			w[13] = 0xff
			return w
		}),
		"an owner that points at itself": edit(func(w []byte) []byte {
			w[12] = 0xc0
			w[13] = 12
			return w
		}),
	}
	if _, err := read(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		cases[fmt.Sprintf("cut to %d octets", i)] = good[:i]
	}
	for name, w := range cases {
		_, err := read(w)
		var e *Error
		if !errors.As(err, &e) || e.Rcode != dns.RcodeFormatError || e.Text == "" {
			t.Errorf("%s: got %v, want FORMERR with a text", name, err)
		}
	}
}

// Empty rdata of a type that has none to spare is malformed where a value is
// meant, but not where RFC 2136, section 2.4 or 2.5 wants it empty.
func TestParseEmptyData(t *testing.T) {
	cases := []struct {
		line string
		ok   bool
	}{
		{"raw update x 60 IN A", false},
		{"raw update x 60 IN NULL", false}, // Knot could not take it over
		{"raw update x 60 IN TYPE65280", true},
		{"raw update x 0 ANY A", true},
		{"raw update x 0 NONE A", true},
		{"raw prereq x 0 IN A", false},
		{"raw prereq x 0 IN APL", true},
		{"raw prereq x 0 ANY A", true},
		{"raw prereq x 0 NONE A", true},
	}
	for _, c := range cases {
		b := newBuilder(scenarioApex)
		if err := b.line(c.line); err != nil {
			t.Fatal(err)
		}
		if _, err := read(b.message()); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.line, err)
		}
	}
}

// What Parse returns must not change when the caller reuses its buffer.
func TestParseDoesNotAliasTheBuffer(t *testing.T) {
	w := request(t, func(m *dns.Msg) {
		m.Insert([]dns.RR{mustRR(t, "a.example. 60 A 192.0.2.1"), mustRR(t, "a.example. 60 TXT hello")})
	})
	m, err := read(w)
	if err != nil {
		t.Fatal(err)
	}
	clear(w)
	if m.Zone.String() != "example." || m.Updates[0].Owner.String() != "a.example." ||
		m.Updates[0].Data != "\xc0\x00\x02\x01" || m.Updates[1].Data != "\x05hello" {
		t.Errorf("message changed with the buffer: %+v", m)
	}
}

// A claimed count must not cost memory that the octets do not justify.
func TestParseBoundsAllocation(t *testing.T) {
	w := request(t, func(*dns.Msg) {})
	binary.BigEndian.PutUint16(w[6:], 65535)
	binary.BigEndian.PutUint16(w[8:], 65535)
	const runs = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		if _, err := read(w); err == nil {
			t.Fatal("accepted")
		}
	}
	runtime.ReadMemStats(&after)
	got := (after.TotalAlloc - before.TotalAlloc) / runs
	if limit := uint64(4096); got > limit {
		t.Errorf("a message of %d octets made Parse allocate %d", len(w), got)
	}
}

func TestErrorTextsAreShort(t *testing.T) {
	long := strings.Repeat(strings.Repeat(`\255`, 63)+".", 3)
	b := newBuilder(scenarioApex)
	for _, l := range []string{"prereq yxdomain " + long + "example.", "add " + long + "example. 60 A 192.0.2.1"} {
		if err := b.line(l); err != nil {
			t.Fatal(err)
		}
	}
	m, err := read(b.message())
	if err != nil {
		t.Fatal(err)
	}
	_, err = Evaluate(newMemory(t, scenarioApex, testZone), m, Limits{})
	var e *Error
	if !errors.As(err, &e) || e.Rcode != dns.RcodeNameError || len(e.Text) > maxEDE {
		t.Errorf("got %v", err)
	}
	note := Note{Owner: m.Updates[0].Owner, Type: dns.TypeA, Reason: whyCNAME}
	if n := len(EDEText([]Note{note, note, note})); n == 0 || n > maxEDE+20 {
		t.Errorf("text of notes has %d octets", n)
	}
}

const testZone = `
@ SOA ns1 admin 10 3600 600 86400 60
@ NS ns1
ns1 A 192.0.2.53
a A 192.0.2.1
two A 192.0.2.1
two A 192.0.2.2
c CNAME a
host.ent A 192.0.2.3
*.w A 192.0.2.4
mx MX 10 Mail.Example.
`
