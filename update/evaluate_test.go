package update

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/update/acl"
	"dialtone/zone/rr"
)

func build(t testing.TB, lines ...string) []byte {
	t.Helper()
	b := newBuilder(scenarioApex)
	for _, l := range lines {
		if err := b.line(l); err != nil {
			t.Fatal(err)
		}
	}
	return b.message()
}

func parse(t testing.TB, msg []byte) *Message {
	t.Helper()
	m, err := read(msg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// An RRset that no message can carry is refused, whichever way it comes about.
func TestRRsetMustFitAMessage(t *testing.T) {
	z := newMemory(t, scenarioApex, testZone)
	txt := func(i int) string { return fmt.Sprintf("add big 60 TXT %s%03d", strings.Repeat("x", 240), i) }
	var first, second []string
	for i := range 200 {
		first = append(first, txt(i))
		second = append(second, txt(200+i))
	}
	if _, err := Evaluate(z, parse(t, build(t, first...)), Limits{}); err != nil {
		t.Fatal(err)
	}
	before := len(z.dump())
	_, err := Evaluate(z, parse(t, build(t, second...)), Limits{})
	var e *Error
	if !errors.As(err, &e) || e.Rcode != dns.RcodeRefused || e.EDE != dns.ExtendedErrorCodeProhibited ||
		!strings.Contains(e.Text, "big.example. TXT") {
		t.Errorf("got %v", err)
	}
	if n := len(z.dump()); n != before {
		t.Errorf("refused update left %d records of %d", n, before)
	}
}

// The largest message, in the shapes that would be quadratic if done naively:
// one RRset of thousands of records, thousands of names.
func TestLargestMessages(t *testing.T) {
	shapes := map[string]func(i int) string{
		"one RRset": func(i int) string { return fmt.Sprintf("add a 60 A 10.0.%d.%d", i>>8, i&255) },
		"names":     func(i int) string { return fmt.Sprintf("add n%d 60 A 192.0.2.1", i) },
		"deletes":   func(i int) string { return fmt.Sprintf("del a A 10.0.%d.%d", i>>8, i&255) },
		"values":    func(i int) string { return fmt.Sprintf("prereq yxrrset a A 10.0.%d.%d", i>>8, i&255) },
	}
	z := newMemory(t, scenarioApex, testZone)
	z.Set(rr.MustName("a.example."), rr.RRset{Type: dns.TypeA})
	counts := map[string]int{}
	for _, shape := range []string{"one RRset", "values", "deletes", "names"} {
		var lines []string
		size := 40
		for i := 0; size < 65535-40; i++ {
			l := shapes[shape](i)
			size += len("nnnnn.example.") + 2 + 10 + 4
			lines = append(lines, l)
		}
		msg := build(t, lines...)
		if len(msg) > 65535 {
			t.Fatalf("%s: message of %d octets", shape, len(msg))
		}
		if _, err := Evaluate(z, parse(t, msg), Limits{}); err != nil {
			t.Fatalf("%s: %v", shape, err)
		}
		set, _ := z.RRset(rr.MustName("a.example."), dns.TypeA)
		counts[shape] = len(set.Data)
		if shape == "names" {
			counts[shape] = len(z.sets)
		}
	}
	if counts["one RRset"] < 2000 || counts["values"] != counts["one RRset"] || counts["deletes"] != 0 || counts["names"] < 2000 {
		t.Errorf("records after each message: %v", counts)
	}
	if err := z.check(); err != nil {
		t.Error(err)
	}
}

// A name is kept as one piece, so what it may hold is bounded: without that,
// whoever may change one name could make every change of it as costly as the
// whole zone.
func TestTypesOfOneNameAreBounded(t *testing.T) {
	z := newMemory(t, scenarioApex, testZone)
	n := rr.MustName("wide.example.")
	do := func(lines ...string) error {
		_, err := Evaluate(z, parse(t, build(t, lines...)), Limits{})
		return err
	}
	for i := range maxTypes {
		if err := do(fmt.Sprintf("add wide 60 TYPE%d \\# 1 00", 1000+i)); err != nil {
			t.Fatalf("type %d: %v", i, err)
		}
	}
	var refused *Error
	if err := do("add wide 60 A 192.0.2.1"); !errors.As(err, &refused) || refused.Rcode != dns.RcodeRefused ||
		!strings.Contains(refused.Text, "wide.example. would have 101 types") {
		t.Fatalf("one more: %v", err)
	}
	if err := do("del wide TYPE1000", "add wide 60 A 192.0.2.1"); err != nil {
		t.Fatalf("one for another: %v", err)
	}
	z.Set(n, rr.RRset{Type: 2000, TTL: 60, Data: []string{"x"}}) // from a zone file, say
	z.Set(n, rr.RRset{Type: 2001, TTL: 60, Data: []string{"x"}})
	if err := do("del wide TYPE2000", "add wide 60 A 192.0.2.2"); err != nil {
		t.Fatalf("a name that has too many gets fewer: %v", err)
	}
	if got := len(z.RRsets(n)); got != maxTypes+1 {
		t.Fatalf("%d types", got)
	}
}

// Sets that are large enough for an index behave as small ones do.
func TestIndexedSetsFollowEveryChange(t *testing.T) {
	z := newMemory(t, scenarioApex, testZone)
	want := map[string]bool{}
	var lines []string
	do := func(add bool, i int) {
		d := fmt.Sprintf("192.0.2.%d", i)
		if add {
			lines, want[d] = append(lines, "add many 60 A "+d), true
		} else {
			lines = append(lines, "del many A "+d)
			delete(want, d)
		}
	}
	for round := range 5 {
		for i := range 60 {
			do((i*7+round)%3 != 0, (i*13+round*5)%50)
		}
	}
	if _, err := Evaluate(z, parse(t, build(t, lines...)), Limits{}); err != nil {
		t.Fatal(err)
	}
	set, _ := z.RRset(rr.MustName("many.example."), dns.TypeA)
	if len(set.Data) != len(want) || len(want) <= manyRecords {
		t.Fatalf("%d records, want %d", len(set.Data), len(want))
	}
	for _, d := range set.Data {
		if !want[fmt.Sprintf("%d.%d.%d.%d", d[0], d[1], d[2], d[3])] {
			t.Errorf("%x should not be there", d)
		}
	}
}

// The slices that a State hands out are immutable.
func TestStatesSlicesAreNotWrittenTo(t *testing.T) {
	z := newMemory(t, scenarioApex, testZone)
	two := rr.MustName("two.example.")
	before, _ := z.RRset(two, dns.TypeA)
	data := strings.Join(before.Data, "|")
	for _, l := range []string{"del two A 192.0.2.1", "add two 60 A 192.0.2.7", "del two", "add two 60 A 192.0.2.1"} {
		if _, err := Evaluate(z, parse(t, build(t, l)), Limits{}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(before.Data, "|"); got != data {
			t.Fatalf("%s wrote to the old slice", l)
		}
	}
}

// A refusal says which permission is missing, with the EDE for it.
func TestRefusalNamesWhatIsMissing(t *testing.T) {
	list, err := acl.Compile(rr.MustName(scenarioApex), []acl.Rule{
		{AnyKey: true, Actions: acl.Update, Owner: acl.OwnerKey, Types: []uint16{dns.TypeA}},
	})
	if err != nil {
		t.Fatal(err)
	}
	who := acl.Principal{Key: rr.MustName("a.example."), Address: netip.MustParseAddr("192.0.2.1")}
	m := parse(t, build(t, "add a 60 A 192.0.2.1", "add b 60 A 192.0.2.1"))
	var e *Error
	if !errors.As(Authorize(m, who, list), &e) || e.Rcode != dns.RcodeRefused || e.EDE != dns.ExtendedErrorCodeProhibited ||
		e.Text != "key a.example. may not change b.example. A" {
		t.Errorf("got %v", e)
	}
	m.Updates = m.Updates[:1]
	if err := Authorize(m, who, list); err != nil {
		t.Error(err)
	}
	if n := testing.AllocsPerRun(100, func() { Authorize(m, who, list) }); n != 0 {
		t.Errorf("permission costs %v allocations", n)
	}
}

// Notes of a hostile update are bounded.
func TestNotesAreBounded(t *testing.T) {
	var lines []string
	for i := range maxTypes {
		lines = append(lines, fmt.Sprintf("add c 60 A 192.0.2.%d", i))
	}
	notes, err := Evaluate(newMemory(t, scenarioApex, testZone), parse(t, build(t, lines...)), Limits{})
	if err != nil || len(notes) != maxNotes {
		t.Errorf("%d notes, error %v", len(notes), err)
	}
}

func BenchmarkPhoneUpdate(b *testing.B) {
	z := newMemory(b, scenarioApex, testZone)
	msgs := [2][]byte{
		build(b, "del a A", "add a 60 A 192.0.2.7"),
		build(b, "del a A", "add a 60 A 192.0.2.8"),
	}
	list := allowAll(b)
	who := acl.Principal{Address: netip.MustParseAddr("192.0.2.1")}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m, err := read(msgs[i&1])
		if err == nil {
			err = Authorize(m, who, list)
		}
		if err == nil {
			_, err = Evaluate(bench{z}, m, Limits{MaxTTL: 300})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// bench leaves out what the State itself costs.
type bench struct{ *memory }

func (bench) Set(rr.Name, rr.RRset) {}

func BenchmarkLargestUpdate(b *testing.B) {
	var lines []string
	for i := range 2300 {
		lines = append(lines, fmt.Sprintf("add a 60 A 10.0.%d.%d", i>>8, i&255))
	}
	msg := build(b, lines...)
	z := bench{newMemory(b, scenarioApex, testZone)}
	b.ReportAllocs()
	for b.Loop() {
		m, err := read(msg)
		if err == nil {
			_, err = Evaluate(z, m, Limits{})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
