package dnsserver

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/update/acl"
	"dialtone/zone/rr"
)

// What is explained is what happens: the same updates, asked about and made.
func TestExplainedUpdatesHappenSo(t *testing.T) {
	o := testOptions(t)
	o.Zones = append(o.Zones, secondZone(t))
	s, _ := start(t, o)
	c := command(t, o)
	explain := func(q ExplainQuestion) Explanation {
		t.Helper()
		e, err := control.Call[Explanation](t.Context(), c, RequestExplain, q)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for i, x := range []struct {
		q       ExplainQuestion
		update  *dns.Msg
		allowed bool
		rule    int
	}{
		{ExplainQuestion{Key: "100", Zone: apex, Number: "100", Type: "A", Data: "192.0.2.1"}, signed(insert("100." + apex + " 60 A 192.0.2.1")), true, 1},
		{ExplainQuestion{Key: keyName, Number: "100." + apex, Type: "TXT", Data: `"a"`}, signed(insert("100." + apex + ` 60 TXT "a"`)), false, -1},
		{ExplainQuestion{Key: keyName, Zone: apex, Number: "101", Type: "A", Data: "192.0.2.1"}, signed(insert("101." + apex + " 60 A 192.0.2.1")), false, -1},
		{ExplainQuestion{Key: "none", Address: "127.0.0.1", Zone: apex, Number: "w", Type: "A", Data: "192.0.2.1"}, insert("w." + apex + " 60 A 192.0.2.1"), true, 0},
		{ExplainQuestion{Key: "none", Address: "127.0.0.1", Zone: apex, Number: "w", Type: "A", Data: "0.0.0.0"}, insert("w." + apex + " 60 A 0.0.0.0"), false, 0},
		{ExplainQuestion{Key: "none", Address: "127.0.0.1", Zone: apex, Number: "w", Type: "NSEC", Data: "a. A"}, insert("w." + apex + " 60 NSEC a. A"), false, 0},
	} {
		e := explain(x.q)
		made := ask(t, "tcp", s.Addrs()[0], x.update)
		if e.Allowed != x.allowed || e.Rule != x.rule || e.Zone != apex || len(e.Rules) != 2 {
			t.Errorf("case %d: %+v", i, e)
		}
		if e.Allowed != (made.Rcode == dns.RcodeSuccess) || !e.Allowed && (made.Rcode != dns.RcodeRefused || e.Why == "") {
			t.Errorf("case %d: explained as %+v, but answered %v", i, e, made)
		}
	}
	if e := explain(ExplainQuestion{Key: "none.key.", Number: "1." + otherApex, Type: "A"}); e.Zone != otherApex || len(e.Notes) != 1 || !strings.Contains(e.Notes[0], "BADKEY") {
		t.Errorf("%+v", e)
	}
	s.zoneOf(rr.MustName(apex)).z.Freeze(time.Now())
	if e := explain(ExplainQuestion{Key: "none", Zone: apex, Number: "w", Type: "A"}); !strings.Contains(strings.Join(e.Notes, "\n"), "is frozen") {
		t.Errorf("%+v", e)
	}
	var mistake *control.Mistake
	for want, q := range map[string]ExplainQuestion{
		"several zones":      {Key: "none", Number: "1", Type: "A"},
		"not served here":    {Key: "none", Zone: "x.", Number: "1", Type: "A"},
		"in no zone":         {Key: "none", Number: "1.nowhere.", Type: "A"},
		"is not a type":      {Key: "none", Zone: apex, Number: "1", Type: "OPT"},
		"--data":             {Key: "none", Zone: apex, Number: "1", Type: "A", Data: "x"},
		"one line":           {Key: "none", Zone: apex, Number: "1", Type: "A", Data: "192.0.2.1\nx"},
		"--address":          {Key: "none", Zone: apex, Number: "1", Type: "A", Address: "x"},
		"KEY is":             {Key: "a..b", Zone: apex, Number: "1", Type: "A"},
		"name the key":       {Key: "none", Public: true, Zone: apex, Number: "1", Type: "A"},
		`a..b`:               {Key: "none", Zone: apex, Number: "a..b", Type: "A"},
		"is in no zone that": {Key: "none", Zone: apex, Number: "1." + otherApex, Type: "A"},
	} {
		if _, err := control.Call[Explanation](t.Context(), c, RequestExplain, q); !errors.As(err, &mistake) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", q, err, want)
		}
	}
}

// Public keys, and a claim of a number, without a server.
func TestExplainClaims(t *testing.T) {
	o := testOptions(t)
	o.Zones[0].ACL = rules(t, apex, acl.Rule{AnyKey: true, Actions: acl.Update, SelfNumber: true, Numbers: []string{"55*"}, FirstCome: true})
	const key = "512 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4="
	for i, x := range []struct {
		q       ExplainQuestion
		allowed bool
	}{
		{ExplainQuestion{Key: "5551234", Claim: true, Number: "5551234", Type: "KEY", Data: key}, true},
		{ExplainQuestion{Key: "5551234", Public: true, Number: "5551234", Type: "A", Data: "192.0.2.1"}, true},
		{ExplainQuestion{Key: "661234", Claim: true, Number: "661234", Type: "KEY", Data: key}, false},
		{ExplainQuestion{Key: "5551234", Number: "5551234", Type: "KEY", Data: key}, false}, // a shared secret brings no KEY
	} {
		if e, err := Explain(o, x.q); err != nil || e.Allowed != x.allowed {
			t.Errorf("case %d: %+v, %v", i, e, err)
		}
	}
}
