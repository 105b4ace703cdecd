package acl

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

const apex = rr.Name("\x06phones\x07example\x00")

// changes is what an update changes: "owner TYPE", owners below the apex.
type changes []string

func (c changes) NumChanges() int { return len(c) }

func (c changes) Change(i int) (rr.Name, uint16) {
	owner, word, _ := strings.Cut(c[i], " ")
	t, err := ParseType(word)
	if err != nil {
		panic(err)
	}
	if owner == "@" {
		return apex, t
	}
	if !strings.HasSuffix(owner, ".") {
		owner += "." + apex.String()
	}
	return rr.MustName(owner), t
}

func compileList(t testing.TB, rules ...Rule) List {
	t.Helper()
	l, err := Compile(apex, rules)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func from(addr, key string) Principal {
	p := Principal{Address: netip.MustParseAddr(addr)}
	if key != "" {
		p.Key = rr.MustName(key)
	}
	return p
}

func prefixes(text ...string) (ps []netip.Prefix) {
	for _, s := range text {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

func names(text ...string) (ns []rr.Name) {
	for _, s := range text {
		ns = append(ns, rr.MustName(s))
	}
	return ns
}

// TestDecide covers address, key, action, deny and the order of rules.
func TestDecide(t *testing.T) {
	l := compileList(t,
		Rule{Addresses: prefixes("192.0.2.66/32"), Deny: true},
		Rule{Keys: names("xfr.key.", "Other.Key."), Actions: Transfer},
		Rule{Addresses: prefixes("192.0.2.0/24", "2001:db8::/32"), Actions: Transfer | Query},
		Rule{AnyKey: true, Addresses: prefixes("198.51.100.0/24"), Actions: Notify},
		Rule{Keys: names("bad.key."), Actions: Update, Deny: true},
		Rule{AnyKey: true, Actions: Update},
		Rule{Addresses: prefixes("::ffff:203.0.113.0/120"), Actions: Query},
	)
	cases := []struct {
		what Action
		who  Principal
		rule int
		ok   bool
	}{
		{Transfer, from("192.0.2.1", ""), 2, true},
		{Transfer, from("::ffff:192.0.2.1", ""), 2, true},
		{Transfer, from("2001:db8::1", ""), 2, true},
		{Query, from("192.0.2.1", ""), 2, true},
		{Notify, from("192.0.2.1", ""), -1, false},
		{Transfer, from("192.0.2.66", ""), 0, false},
		{Update, from("192.0.2.66", "a.key."), 0, false}, // a deny rule without keys catches signed requests too
		{Transfer, from("198.51.100.1", "xfr.key."), 1, true},
		{Transfer, from("198.51.100.1", "XFR.Key."), 1, true},
		{Transfer, from("198.51.100.1", "other.key."), 1, true},
		{Transfer, from("192.0.2.1", "a.key."), -1, false}, // a rule without keys is for unsigned requests
		{Transfer, from("198.51.100.1", ""), -1, false},
		{Notify, from("198.51.100.1", "any.key."), 3, true},
		{Notify, from("203.0.113.1", "any.key."), -1, false},
		{Update, from("203.0.113.1", "any.key."), 5, true},
		{Update, from("203.0.113.1", "bad.key."), 4, false},
		{Update, from("203.0.113.1", ""), -1, false},
		{Query, from("203.0.113.1", ""), 6, true},
		{Query, from("fe80::1%eth0", ""), -1, false},
	}
	for _, c := range cases {
		for kind, d := range map[string]Decision{"Decide": l.Decide(c.what, c.who), "DecideUpdate": l.DecideUpdate(c.who, changes{"a A"})} {
			if kind == "DecideUpdate" && c.what != Update {
				continue
			}
			if d.Allowed != c.ok || d.Rule != c.rule {
				t.Errorf("%s: %s to %s: %+v, want rule %d, %v", kind, c.who, c.what, d, c.rule, c.ok)
			}
			if d.Allowed != (d.Text == "") {
				t.Errorf("%s: %s to %s: %v with text %q", kind, c.who, c.what, d.Allowed, d.Text)
			}
		}
	}
}

func TestZeroListAllowsNothing(t *testing.T) {
	var l List
	for _, who := range []Principal{from("127.0.0.1", ""), from("127.0.0.1", "a.key.")} {
		if l.Decide(Query|Notify|Transfer|Update, who).Allowed || l.DecideUpdate(who, changes{}).Allowed {
			t.Errorf("%s is allowed", who)
		}
	}
}

// TestRestrictions covers owner, match and type for one rule.
func TestRestrictions(t *testing.T) {
	key := func(m Match) Rule { return Rule{AnyKey: true, Actions: Update, Owner: OwnerKey, Match: m} }
	zone := func(m Match) Rule { return Rule{AnyKey: true, Actions: Update, Owner: OwnerZone, Match: m} }
	name := func(m Match, n ...string) Rule {
		return Rule{AnyKey: true, Actions: Update, Owner: OwnerName, Match: m, OwnerNames: n}
	}
	types := func(ts ...uint16) Rule { return Rule{AnyKey: true, Actions: Update, Types: ts} }
	cases := []struct {
		rule Rule
		what changes
		ok   bool
	}{
		{key(SubOrEqual), changes{"a A", "x.a TXT"}, true},
		{key(SubOrEqual), changes{"A ANY"}, true},
		{key(SubOrEqual), changes{"a A", "b A"}, false},
		{key(SubOrEqual), changes{"xa A"}, false},
		{key(SubOrEqual), changes{"@ A"}, false},
		{key(Equal), changes{"a A"}, true},
		{key(Equal), changes{"x.a A"}, false},
		{key(Sub), changes{"x.a A"}, true},
		{key(Sub), changes{"a A"}, false},
		{key(Equal), changes{}, true},
		{zone(SubOrEqual), changes{"@ NS", "a A"}, true},
		{zone(Equal), changes{"@ NS"}, true},
		{zone(Equal), changes{"a A"}, false},
		{zone(Sub), changes{"@ NS"}, false},
		{zone(Sub), changes{"a A"}, true},
		{zone(SubOrEqual), changes{"other. A"}, false},
		{name(SubOrEqual, "b", "c.phones.example."), changes{"b A", "x.c A"}, true},
		{name(SubOrEqual, "b", "c.phones.example."), changes{"b A", "d A"}, false},
		{name(Equal, `a\.b`), changes{`a\.b A`}, true},
		{name(Equal, `a\.b`), changes{`a.b A`}, false},
		{name(Sub, "phones.example."), changes{"a A"}, true},
		{name(SubOrEqual, "phones.example"), changes{"a A"}, false}, // no final dot: below the zone
		{name(SubOrEqual, "phones.example"), changes{"x.phones.example A"}, true},
		{name(Pattern, "555????"), changes{"5551234 A"}, true},
		{name(Pattern, "555????"), changes{"555123 A"}, false},
		{name(Pattern, "555????"), changes{"55512345 A"}, false},
		{name(Pattern, "555????"), changes{"x.5551234 A"}, false},
		{name(Pattern, "555????"), changes{"5551234 A", "4441234 A"}, false},
		{types(dns.TypeA, dns.TypeAAAA), changes{"a A", "b AAAA"}, true},
		{types(dns.TypeA, dns.TypeAAAA), changes{"a A", "b TXT"}, false},
		{types(dns.TypeA, dns.TypeAAAA), changes{"a ANY"}, false},
		{types(dns.TypeA, dns.TypeANY), changes{"a ANY"}, true},
		{types(dns.TypeA, dns.TypeANY), changes{"a TXT"}, false},
	}
	who := from("192.0.2.1", "a.phones.example.")
	for _, c := range cases {
		d := compileList(t, c.rule).DecideUpdate(who, c.what)
		if d.Allowed != c.ok {
			t.Errorf("%+v, %q: allowed %v", c.rule, c.what, d.Allowed)
		}
	}
}

// A deny rule must not be escaped by mixing in what it does not speak of, nor
// by deleting a whole name.
func TestDenyCannotBeEscaped(t *testing.T) {
	l := compileList(t,
		Rule{AnyKey: true, Actions: Update, Deny: true, Owner: OwnerName, OwnerNames: []string{"_spf"}, Types: []uint16{dns.TypeTXT}},
		Rule{AnyKey: true, Actions: Update},
	)
	cases := []struct {
		what changes
		ok   bool
	}{
		{changes{"_spf TXT"}, false},
		{changes{"a A", "_spf TXT"}, false},
		{changes{"_spf ANY"}, false},
		{changes{"x._SPF TXT"}, false},
		{changes{"_spf A"}, true},
		{changes{"a TXT"}, true},
		{changes{}, true},
	}
	for _, c := range cases {
		if d := l.DecideUpdate(from("192.0.2.1", "k."), c.what); d.Allowed != c.ok {
			t.Errorf("%q: allowed %v: %s", c.what, d.Allowed, d.Text)
		}
	}
}

// The text names the first record that nothing allows, seen from the rule that
// went furthest.
func TestRefusalText(t *testing.T) {
	l := compileList(t,
		Rule{Keys: names("admin.key."), Actions: Update},
		Rule{AnyKey: true, Actions: Update, Owner: OwnerKey, Types: []uint16{dns.TypeA}},
		Rule{AnyKey: true, Actions: Update, Owner: OwnerName, OwnerNames: []string{"shared"}, Types: []uint16{dns.TypeTXT}},
		Rule{Addresses: prefixes("192.0.2.13/32"), Actions: Update, Deny: true},
	)
	phone := from("192.0.2.1", "a.phones.example.")
	cases := []struct {
		who  Principal
		what changes
		want string
	}{
		{phone, changes{"a A", "b A"}, "key a.phones.example. may not change b.phones.example. A"},
		{phone, changes{"a TXT"}, "key a.phones.example. may not change a.phones.example. TXT"},
		{phone, changes{"shared TXT", "shared A"}, "key a.phones.example. may not change shared.phones.example. A"},
		{phone, changes{"a ANY"}, "key a.phones.example. may not delete all of a.phones.example."},
		{from("192.0.2.1", ""), changes{"a A"}, "an unsigned request from 192.0.2.1 may not update: no rule allows it"},
		{from("192.0.2.13", ""), changes{"a A"}, "an unsigned request from 192.0.2.13 may not change a.phones.example. A: a rule denies it"},
		{from("192.0.2.13", ""), changes{}, "an unsigned request from 192.0.2.13 may not update: a rule denies it"},
	}
	for _, c := range cases {
		if d := l.DecideUpdate(c.who, c.what); d.Text != c.want || d.Allowed {
			t.Errorf("%q:\n got %q\nwant %q", c.what, d.Text, c.want)
		}
	}
	if d := l.Decide(Transfer, phone); d.Text != "key a.phones.example. may not transfer: no rule allows it" {
		t.Errorf("transfer: %q", d.Text)
	}
}

func TestAllowingAllocatesNothing(t *testing.T) {
	l := compileList(t,
		Rule{Keys: names("admin.key."), Actions: Update | Transfer},
		Rule{AnyKey: true, Actions: Update, Owner: OwnerName, Match: Pattern, OwnerNames: []string{"555????", "a*"}},
	)
	who := from("192.0.2.1", "A.phones.example.")
	what := fixed{rr.MustName("a.phones.example.")}
	n := testing.AllocsPerRun(100, func() {
		if !l.DecideUpdate(who, &what).Allowed {
			t.Fatal("refused")
		}
	})
	if n > 1 { // folding the capital of the key
		t.Errorf("%v allocations", n)
	}
	who.Key = who.Key.Lower()
	if n := testing.AllocsPerRun(100, func() { l.DecideUpdate(who, &what) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type fixed struct{ owner rr.Name }

func (f *fixed) NumChanges() int              { return 2 }
func (f *fixed) Change(int) (rr.Name, uint16) { return f.owner, dns.TypeA }

// All faults of all rules come at once, each with its rule.
func TestCompileReportsAllFaults(t *testing.T) {
	_, err := Compile(apex, []Rule{
		{AnyKey: true},
		{Actions: Update, Owner: OwnerKey, Text: "acl.conf:7"},
		{Actions: Update, Owner: OwnerName},
		{Actions: Update, Owner: OwnerZone, Match: Pattern, OwnerNames: []string{"a"}},
		{Actions: Update, Owner: OwnerName, OwnerNames: []string{"a..b", "other.example.", "", strings.Repeat("x", 64)}},
		{Actions: Update, Owner: OwnerName, Match: Pattern, OwnerNames: []string{"a..b", `x\`, `x\25`, `x\999`, "", strings.Repeat("?", 64), strings.Repeat("a.", 130)}},
		{Actions: Update, Addresses: []netip.Prefix{{}}},
		{Actions: Update, Owner: OwnerName, Match: Pattern, OwnerNames: []string{"ok", "."}},
	})
	counts := map[int]int{}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		t.Fatalf("error %v is not joined", err)
	}
	for _, e := range joined.Unwrap() {
		var re *RuleError
		if !errors.As(e, &re) {
			t.Fatalf("%v is no *RuleError", e)
		}
		counts[re.Index]++
	}
	want := map[int]int{0: 1, 1: 1, 2: 1, 3: 2, 4: 4, 5: 7, 6: 1}
	if fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("faults by rule: %v, want %v:\n%v", counts, want, err)
	}
	if !strings.Contains(err.Error(), "acl.conf:7: ") || !strings.Contains(err.Error(), "acl rule 1: ") {
		t.Errorf("text does not name the rules:\n%v", err)
	}
}

func TestPattern(t *testing.T) {
	cases := []struct {
		pattern, name string
		fits          bool
	}{
		{"*", "a.phones.example.", true},
		{"*", "phones.example.", false},
		{"*", "a.b.phones.example.", false},
		{"*.b", "a.b.phones.example.", true},
		{"a*c", "ac.phones.example.", true},
		{"a*c", "abbc.phones.example.", true},
		{"a*c", "abcd.phones.example.", false},
		{"a*b*c", "axbxbc.phones.example.", true},
		{"*a*", "bab.phones.example.", true},
		{"?", "a.phones.example.", true},
		{"?*", "a.phones.example.", true},
		{"??*", "a.phones.example.", false},
		{"A?", "ab.PHONES.example.", true},
		{`\*`, "*.phones.example.", true},
		{`\*`, "a.phones.example.", false},
		{`\?`, "?.phones.example.", true},
		{`a\.b`, `a\.b.phones.example.`, true},
		{`a\.`, `a\..phones.example.`, true},
		{`\255?`, `\255\000.phones.example.`, true},
		{"_acme.*.phones.example.", "_acme.a.phones.example.", true},
		{"*.example.", "phones.example.", true},
		{"*.example.", "a.phones.example.", false},
		{".", ".", true},
		{".", "a.", false},
	}
	for _, c := range cases {
		p, err := parsePattern(apex, c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if got := p.fits(rr.MustName(c.name)); got != c.fits {
			t.Errorf("%s against %s: %v", c.pattern, c.name, got)
		}
	}
}

// FuzzPattern compares fitsLabel with the plain recursive definition.
func FuzzPattern(f *testing.F) {
	for _, s := range [][2]string{{"a*b", "axxb"}, {"*?*", "a"}, {"555????", "5551234"}, {`\*`, "*"}, {"", "a"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, text, label string) {
		p, err := parsePattern(rr.Root, text)
		if err != nil || len(p) != 1 || len(p[0]) > 12 || len(label) > 12 {
			return
		}
		if got, want := fitsLabel(p[0], label), fitsPlainly(p[0], label); got != want {
			t.Errorf("%q against %q: %v, want %v", text, label, got, want)
		}
	})
}

func fitsPlainly(p []token, s string) bool {
	switch {
	case len(p) == 0:
		return s == ""
	case p[0] == anyOctets:
		return fitsPlainly(p[1:], s) || s != "" && fitsPlainly(p, s[1:])
	case s == "":
		return false
	}
	return (p[0] == anyOctet || p[0] == token(lower(s[0]))) && fitsPlainly(p[1:], s[1:])
}

func TestWords(t *testing.T) {
	for _, w := range actions {
		a, err := ParseAction(w)
		if err != nil || a.String() != w {
			t.Errorf("action %s: %v, %v", w, a, err)
		}
	}
	if o, err := ParseOwner("key"); o != OwnerKey || err != nil {
		t.Errorf("owner key: %v, %v", o, err)
	}
	if m, err := ParseMatch("pattern"); m != Pattern || err != nil {
		t.Errorf("match pattern: %v, %v", m, err)
	}
	if m, err := ParseMatch(""); m != SubOrEqual || err != nil {
		t.Errorf("no match: %v, %v", m, err)
	}
	for word, want := range map[string]uint16{"a": 1, "AAAA": 28, "TYPE65280": 65280, "any": 255, "type1": 1} {
		if got, err := ParseType(word); got != want || err != nil {
			t.Errorf("type %s: %d, %v", word, got, err)
		}
	}
	for _, word := range []string{"", "X", "AXFR", "OPT", "TYPE250", "TYPE0", "TYPE65536", "TYPE"} {
		if got, err := ParseType(word); err == nil {
			t.Errorf("type %q: %d", word, got)
		}
	}
	_, err1 := ParseAction("Update")
	_, err2 := ParseOwner("keys")
	_, err3 := ParseMatch("exact")
	for _, err := range []error{err1, err2, err3} {
		if err == nil || !strings.Contains(err.Error(), "use ") {
			t.Errorf("wrong word: %v", err)
		}
	}
}

// TestNumbers covers self_number and numbers for one rule.
func TestNumbers(t *testing.T) {
	self := Rule{AnyKey: true, Actions: Update, SelfNumber: true}
	of := func(n ...string) Rule { return Rule{AnyKey: true, Actions: Update, Numbers: n} }
	both := Rule{AnyKey: true, Actions: Update, SelfNumber: true, Numbers: []string{"2000-2999"}}
	typed := Rule{AnyKey: true, Actions: Update, SelfNumber: true, Types: []uint16{dns.TypeA}}
	cases := []struct {
		rule Rule
		key  string
		what changes
		ok   bool
	}{
		{self, "5551234.phones.example.", changes{"5551234 A", "5551234 ANY", "_sip._udp.5551234 SRV", "_sip._udp.5551234 ANY"}, true},
		{self, "5551234.PHONES.example.", changes{"5551234 AAAA", "5551234 NAPTR", "5551234 TXT", "5551234 HTTPS", "5551234 SVCB"}, true},
		{self, "5551234.phones.example.", changes{"5551235 A"}, false},
		{self, "5551234.phones.example.", changes{"5551234 A", "5551235 A"}, false},
		{self, "5551234.phones.example.", changes{"15551234 A"}, false},
		{self, "5551234.phones.example.", changes{"@ A"}, false},
		{self, "5551234.phones.example.", changes{"5551234 CNAME"}, false},
		{self, "5551234.phones.example.", changes{"5551234 NS"}, false},
		{self, "5551234.phones.example.", changes{"5551234 KEY"}, true},
		{self, "5551234.phones.example.", changes{}, true},
		{self, "phones.example.", changes{"5551234 A"}, false},
		{self, "a.phones.example.", changes{"a A"}, false},
		{self, "x.5551234.phones.example.", changes{"x.5551234 A"}, false},
		{self, "5551234.other.example.", changes{"5551234 A"}, false},
		{self, "5551234.", changes{"5551234 A"}, false},
		{self, "1234567890123456.phones.example.", changes{"1234567890123456 A"}, false},
		{self, "123456789012345.phones.example.", changes{"123456789012345 A"}, true},
		{of("5551234"), "pbx.", changes{"5551234 A", "x.5551234 TXT", "5551234 CNAME"}, true},
		{of("5551234"), "pbx.", changes{"5551235 A"}, false},
		{of("2000-2999"), "pbx.", changes{"2000 A", "2999 A"}, true},
		{of("2000-2999"), "pbx.", changes{"3000 A"}, false},
		{of("2000-2999"), "pbx.", changes{"20000 A"}, false},
		{of("2000-2999"), "pbx.", changes{"2000a A"}, false},
		{of("4420*"), "pbx.", changes{"4420 A", "442079460148 A"}, true},
		{of("4420*"), "pbx.", changes{"4421 A"}, false},
		{of("*"), "pbx.", changes{"1 A", "123456789012345 A"}, true},
		{of("*"), "pbx.", changes{"a A"}, false},
		{of("*"), "pbx.", changes{"@ A"}, false},
		{of("*"), "pbx.", changes{"1234567890123456 A"}, false},
		{of("7", "2000-2999"), "pbx.", changes{"7 A", "2500 A"}, true},
		{both, "2500.phones.example.", changes{"2500 A"}, true},
		{both, "3500.phones.example.", changes{"3500 A"}, false},
		{typed, "2500.phones.example.", changes{"2500 A"}, true},
		{typed, "2500.phones.example.", changes{"2500 ANY"}, false},
		{typed, "2500.phones.example.", changes{"2500 TXT"}, false},
	}
	for _, c := range cases {
		if d := compileList(t, c.rule).DecideUpdate(from("192.0.2.1", c.key), c.what); d.Allowed != c.ok {
			t.Errorf("key %s, numbers %q, self_number %v, types %v: %q is allowed: %v", c.key, c.rule.Numbers, c.rule.SelfNumber, c.rule.Types, c.what, d.Allowed)
		}
	}
	denied := compileList(t, Rule{AnyKey: true, Actions: Update, SelfNumber: true, Deny: true}, Rule{AnyKey: true, Actions: Update})
	for _, what := range []changes{{"7 CNAME"}, {"7 A"}, {"8 A", "x.7 MX"}, {"7 ANY"}} {
		if denied.DecideUpdate(from("192.0.2.1", "7.phones.example."), what).Allowed {
			t.Errorf("%q passes a rule that denies a number its own name", what)
		}
	}
	limited := compileList(t, Rule{AnyKey: true, Actions: Update, SelfNumber: true, MaxRecords: 8})
	if d := limited.DecideUpdate(from("192.0.2.1", "7.phones.example."), changes{"7 A"}); d.MaxRecords != 8 {
		t.Errorf("%+v", d)
	}
	who, what := from("192.0.2.1", "7.phones.example."), fixed{rr.MustName("7.phones.example.")}
	if n := testing.AllocsPerRun(100, func() { limited.DecideUpdate(who, &what) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNumbersThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"": "digits", "a": "digits", "1-": "digits", "-1": "digits", "1234567890123456": "digits", "20*-30": "range and has a *", "1**": "digits",
		"20-3": "different length", "30-20": "behind its end", "+44*": "digits", "1-2-3": "digits", "4 4": "digits",
	} {
		_, err := Compile(apex, []Rule{{AnyKey: true, Actions: Update, Numbers: []string{text}}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "2000-2999") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for want, r := range map[string]Rule{
		"self_number needs a key":  {Actions: Update, SelfNumber: true},
		"not go with update_owner": {AnyKey: true, Actions: Update, SelfNumber: true, Owner: OwnerKey},
		"max_records is -1":        {AnyKey: true, Actions: Update, MaxRecords: -1},
		"with deny they mean":      {AnyKey: true, Actions: Update, Deny: true, MaxRecords: 8},
	} {
		if _, err := Compile(apex, []Rule{r}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestEqualLists(t *testing.T) {
	rule := func() Rule {
		return Rule{AnyKey: true, Actions: Update, SelfNumber: true, Numbers: []string{"55*"}, MaxRecords: 8}
	}
	one, same := rule(), rule()
	one.Text, same.Text = "a.yaml:5", "a.yaml:7"
	if !compileList(t, one).Equal(compileList(t, same)) || !(List{}).Equal(List{}) {
		t.Error("equal lists differ")
	}
	for i, change := range []func(r *Rule){
		func(r *Rule) { r.AnyKey, r.Keys = false, []rr.Name{rr.MustName("5551234.phones.example.")} }, func(r *Rule) { r.Actions |= Transfer },
		func(r *Rule) { r.Numbers[0] = "56*" }, func(r *Rule) { r.MaxRecords = 9 },
		func(r *Rule) { r.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} },
	} {
		r := rule()
		change(&r)
		if compileList(t, one).Equal(compileList(t, r)) {
			t.Errorf("case %d makes no difference", i)
		}
	}
	if compileList(t, one).Equal(compileList(t, one, same)) {
		t.Error("one rule more makes no difference")
	}
}
