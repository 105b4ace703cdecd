package acl

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Every reason for which a rule does not decide.
func TestExplainUpdate(t *testing.T) {
	dhcp, mine := rr.MustName("dhcp.key."), rr.MustName("5551234.phones.example.")
	net := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	key := Principal{Key: dhcp, Address: netip.MustParseAddr("192.0.3.1")}
	phone := Principal{Key: mine}
	for i, c := range []struct {
		rule Rule
		who  Principal
		what changes
		why  string // "": the rule decides
	}{
		{Rule{Keys: []rr.Name{dhcp}, Actions: Update}, key, changes{"a A"}, ""},
		{Rule{Keys: []rr.Name{dhcp}, Actions: Transfer}, key, changes{"a A"}, "it is not for updates"},
		{Rule{Addresses: net, Keys: []rr.Name{dhcp}, Actions: Update}, key, changes{"a A"}, "192.0.3.1 is none of its addresses"},
		{Rule{Addresses: net, Keys: []rr.Name{dhcp}, Actions: Update}, Principal{Key: dhcp}, changes{"a A"}, "none is given"},
		{Rule{Keys: []rr.Name{dhcp}, Actions: Update}, Principal{}, changes{"a A"}, "it is for signed updates"},
		{Rule{Actions: Update}, key, changes{"a A"}, "it is for updates that are not signed"},
		{Rule{AnyKey: true, Actions: Update, SelfNumber: true}, Principal{Key: mine, Claims: true, PublicKey: "x"}, changes{"5551234 A"}, "the rule has no claim: first_come"},
		{Rule{Keys: []rr.Name{dhcp}, Actions: Update}, phone, changes{"a A"}, "5551234.phones.example. is none of its keys"},
		{Rule{Keys: []rr.Name{mine}, Actions: Update}, Principal{Key: mine, PublicKey: "x"}, changes{"5551234 A"}, "shared secrets"},
		{Rule{AnyKey: true, Actions: Update, Types: []uint16{dns.TypeTXT}}, key, changes{"a TXT", "a A"}, "a.phones.example. A is of none of its types"},
		{Rule{AnyKey: true, Actions: Update, SelfNumber: true}, key, changes{"a A"}, "key dhcp.key. is not that of a number"},
		{Rule{AnyKey: true, Actions: Update, SelfNumber: true}, phone, changes{"5551235 A"}, "is not number 5551234, whose key it is"},
		{Rule{AnyKey: true, Actions: Update, Numbers: []string{"2*"}}, key, changes{"31 A"}, "31.phones.example. is none of its numbers"},
		{Rule{AnyKey: true, Actions: Update, Owner: OwnerName, OwnerNames: []string{"b"}}, key, changes{"a A"}, "a.phones.example. is none of its owners"},
		{Rule{AnyKey: true, Actions: Update, Owner: OwnerKey}, key, changes{"a A"}, "a.phones.example. is none of its owners"},
		{Rule{Deny: true, Owner: OwnerName, OwnerNames: []string{"b"}}, key, changes{"a A"}, "it denies other records"},
		{Rule{Deny: true, Owner: OwnerName, OwnerNames: []string{"a"}}, key, changes{"a A"}, ""},
	} {
		c.rule.Text = "file:7"
		last := Rule{AnyKey: true, Actions: Update}
		l := compileList(t, c.rule, last)
		d, steps := l.ExplainUpdate(c.who, c.what)
		if want := l.DecideUpdate(c.who, c.what); d != want {
			t.Errorf("case %d: %+v, but it is %+v that is decided", i, d, want)
		}
		s := steps[0]
		if s.Place != "file:7" || !s.Looked || s.Decides != (c.why == "") || !strings.Contains(s.Why, c.why) || (s.Why == "") != (c.why == "") {
			t.Errorf("case %d: %+v", i, s)
		}
		if s.Decides && steps[1].Looked {
			t.Errorf("case %d: the second rule was looked at", i)
		}
	}
}

func TestRuleInOneLine(t *testing.T) {
	l := compileList(t,
		Rule{AnyKey: true, Actions: Update, SelfNumber: true, Numbers: []string{"5*"}, MaxRecords: 8, SourceAddress: true, FirstCome: true},
		Rule{Deny: true, Keys: []rr.Name{rr.MustName("k.")}, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Types: []uint16{dns.TypeA, dns.TypeANY}},
		Rule{Actions: Update | Transfer, Owner: OwnerName, Match: Equal, OwnerNames: []string{"a", "b"}},
	)
	_, steps := l.ExplainUpdate(Principal{}, changes{"a A"})
	var got []string
	for _, s := range steps {
		got = append(got, s.Text)
	}
	want := []string{
		"allow, action update, key *, self_number, numbers 5*, max_records 8, source_address, claim first_come",
		"deny, action query notify transfer update, key k., address 192.0.2.0/24, update_type A ANY",
		"allow, action transfer update, update_owner name, update_owner_name a b, update_owner_match equal",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}
