package phone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// Numbers 1 to 9 have one digit each, below e164.phones.example.
const enumDirectory = `
$TTL 60
$ORIGIN e164.phones.example.
8.4.1.0.6.4.9.7.0.2.4.4 3600 NAPTR 100 10 "u" "E2U+sip" "!^\\+?(.*)$!sip:\\1@\\1.phones.example!" .
1 NAPTR 100 20 "u" "E2U+sip" "!^.*$!sip:second@x.example!" .
1 NAPTR 100 10 "U" "e2u+SIP" "!^.*$!sip:first@x.example!" .
1 NAPTR 200 5 "u" "E2U+voice:tel+sms:tel" "!^\\+?1$!tel:+1!" .
1 30 NAPTR 90 5 "" "E2U" "" more
1 NAPTR 10 5 "s" "SIP+D2U" "" _sip._udp
1 NAPTR 10 6 "u" "E2U+sip" "!^2$!sip:no@x.example!" .
1 NAPTR 10 7 "u" "sip+E2U" "!^.*$!sip:old@x.example!" .
more 20 NAPTR 1 1 "u" "E2U+mailto" "!^.*$!mailto:a@x.example!" .
more NAPTR 1 2 "" "" "" 1
2 NAPTR 1 1 "" "" "" a
a NAPTR 1 1 "" "" "" b
b NAPTR 1 1 "" "" "" c
c NAPTR 1 1 "" "" "" d
d NAPTR 1 1 "" "" "" e
e NAPTR 1 1 "" "" "" f
e NAPTR 1 2 "u" "E2U+sip" "!.*!sip:fifth!" .
f NAPTR 1 2 "u" "E2U+sip" "!.*!sip:sixth!" .
3 NAPTR 1 1 "" "" "" 3
4 NAPTR 1 1 "u" "E2U+sip" "!^.*$!sip:x!" elsewhere
4 NAPTR 1 2 "" "E2U+sip" "!^.*$!sip:x!" .
4 NAPTR 1 3 "" "E2U+sip" "" .
5 NAPTR 1 1 "u" "E2U+sip" "!^.*$!no scheme!" .
6 NAPTR 1 1 "" "" "" refused
6 NAPTR 1 2 "u" "E2U+sip" "!.*!sip:6!" .
7 NAPTR 1 1 "" "" "" refused
8 TXT "no NAPTR"
`

func newENUM(t *testing.T) (*fakeServer, *Resolver) {
	t.Helper()
	s := newServer(t, enumDirectory)
	s.answers(func(_ dns.ResponseWriter, req, reply *dns.Msg) bool {
		if strings.HasPrefix(req.Question[0].Name, "refused.") {
			reply.Rcode = dns.RcodeRefused
		}
		return true
	})
	return s, &Resolver{Servers: []string{s.addr}}
}

func TestLookupENUM(t *testing.T) {
	_, r := newENUM(t)
	for number, want := range map[string][]string{
		"+44 20 7946 0148": {"sip:442079460148@442079460148.phones.example [sip] 1h0m0s"},
		"442079460148":     {"sip:442079460148@442079460148.phones.example [sip] 1h0m0s"},
		"1": {"mailto:a@x.example [mailto] 20s", "sip:first@x.example [sip] 30s", "sip:second@x.example [sip] 30s",
			"tel:+1 [voice:tel sms:tel] 30s"},
		"2": {"sip:fifth [sip] 1m0s"},
		"6": {"sip:6 [sip] 1m0s"},
	} {
		e, err := r.LookupENUM(context.Background(), number, "e164.phones.example")
		if err != nil {
			t.Errorf("%s: %v", number, err)
			continue
		}
		var got []string
		for _, u := range e.URIs {
			got = append(got, fmt.Sprint(u.Text, " ", u.Services, " ", u.TTL))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", number, got, want)
		}
	}
}

func TestENUMThatLeadsNowhere(t *testing.T) {
	s, r := newENUM(t)
	for number, why := range map[string]string{
		"3":   "others have led already",
		"4":   "a replacement beside its expression; NAPTR 1 2",
		"5":   `"no scheme" is not a URI`,
		"8":   "number 8 (8.e164.phones.example.)",
		"+12": "number +12 (2.1.e164.phones.example.): ENUM leads to no URI",
	} {
		if e, err := r.LookupENUM(context.Background(), number, "e164.phones.example."); !errors.Is(err, ErrNoENUM) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, %v; want an error with %q", number, e, err, why)
		}
	}
	// What a server does not tell is not what is not there.
	var refused *ServerError
	if e, err := r.LookupENUM(context.Background(), "7", "e164.phones.example."); !errors.As(err, &refused) {
		t.Errorf("%v, %v", e, err)
	}
	asked := len(s.questions())
	var input *InputError
	for _, bad := range [][2]string{{"phone", "e164.arpa"}, {"", "e164.arpa"}, {"5551234", "e164.arpa"}, {"5551234", "i.E164.ARPA."},
		{"1", ""}, {"1", "a..b"}, {"123456789012345", strings.Repeat("a23456789.", 23)}} {
		if e, err := r.LookupENUM(context.Background(), bad[0], bad[1]); !errors.As(err, &input) {
			t.Errorf("%q: %v, %v", bad, e, err)
		}
	}
	if len(s.questions()) != asked {
		t.Error("a server was asked for what is no number")
	}
}

// TestENUMIsBounded has domains with many records that lead to others, that are of no use, and that are URIs.
func TestENUMIsBounded(t *testing.T) {
	s := newServer(t, "")
	lookup := func(count int, fill func(i int, n *dns.NAPTR)) (*ENUM, error) {
		s.answers(func(w dns.ResponseWriter, req, reply *dns.Msg) bool {
			reply.Rcode = dns.RcodeSuccess
			if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
				reply.Truncated = true
				return true
			}
			for i := range count {
				n := &dns.NAPTR{Hdr: dns.RR_Header{Name: req.Question[0].Name, Rrtype: dns.TypeNAPTR, Class: dns.ClassINET, Ttl: 60}, Order: uint16(i), Replacement: "."}
				fill(i, n)
				reply.Answer = append(reply.Answer, n)
			}
			return true
		})
		return (&Resolver{Servers: []string{s.addr}}).LookupENUM(context.Background(), "1", "e164.x.")
	}
	_, err := lookup(4, func(i int, n *dns.NAPTR) { n.Replacement = fmt.Sprintf("%d.%s", i, n.Hdr.Name) })
	asked := map[string]bool{}
	for _, q := range s.questions() {
		asked[q.Name] = true
	}
	if !errors.Is(err, ErrNoENUM) || len(asked) != maxDomains || len(err.Error()) > 1000 {
		t.Errorf("%d domains were asked: %v", len(asked), err)
	}
	uri := func(i int, n *dns.NAPTR) {
		n.Flags, n.Service, n.Regexp = "u", "E2U+sip", fmt.Sprintf("!.*!sip:%d!", i)
	}
	if e, err := lookup(100, uri); err != nil || len(e.URIs) != maxURIs || e.URIs[1].Text != "sip:1" {
		t.Errorf("%v, %v", e, err)
	}
	after := func(useless int) func(i int, n *dns.NAPTR) {
		return func(i int, n *dns.NAPTR) {
			if i >= useless {
				uri(i, n)
			}
		}
	}
	if e, err := lookup(100, after(maxRecords-1)); err != nil || len(e.URIs) != 1 {
		t.Errorf("%v, %v", e, err)
	}
	if e, err := lookup(100, after(maxRecords)); !errors.Is(err, ErrNoENUM) {
		t.Errorf("%v, %v", e, err)
	}
}

func TestEnumServices(t *testing.T) {
	for field, want := range map[string]string{
		"E2U+sip": "sip", "e2u+SIP": "sip", "E2U+voice:tel+sms:tel": "voice:tel sms:tel", "E2U+x-a:b:c": "x-a:b:c", "E2U+" + strings.Repeat("a", 32): strings.Repeat("a", 32),
	} {
		if got, err := enumServices(field); strings.Join(got, " ") != want || err != nil {
			t.Errorf("%q: %q, %v", field, got, err)
		}
	}
	for _, field := range []string{"", "E2U", "E2U+", "E2U+sip+", "E2U+:sip", "E2U+sip:", "sip+E2U", "SIP+D2U", "E2U+s_p", "E2U+s p", "E2U+\xc5\xbfip", "E2U+" + strings.Repeat("a", 33)} {
		if got, err := enumServices(field); err == nil {
			t.Errorf("%q: %q", field, got)
		}
	}
}

func TestNumberOf(t *testing.T) {
	r := &Resolver{Zone: "phones.example"}
	for uri, want := range map[string]Number{
		"sip:442079460148@442079460148.phones.example": "442079460148",
		"SIP:anyone@7.Phones.Example.":                 "7",
		"sip:7.phones.example":                         "7",
		"sip:+7;phone-context=x@7.phones.example":      "7",
		"sip:7@7.phones.example;user=phone":            "7",
		"sip:7?x@7.phones.example":                     "7",
	} {
		if got, ok := r.NumberOf(uri); got != want || !ok {
			t.Errorf("%s: %q, %v", uri, got, ok)
		}
	}
	for _, uri := range []string{"", "sip:", "sips:7@7.phones.example", "tel:+7", "mailto:7@7.phones.example", "sip:7@phones.example", "sip:7@x.phones.example",
		"sip:7@8.7.phones.example", "sip:7@7.phones.example.org", "sip:7@7.phones.example:5070", "sip:7@7.phones.example;transport=tcp",
		"sip:7@7.phones.example;lr;MAddr=192.0.2.1", "sip:7@x.example?to=a@7.phones.example", "sip:7@7.phones.example?x=y", "sip:7@7.phones.example;x?y=z",
		"sip:a@b@7.phones.example", "sip:7@1234567890123456.phones.example", "sip:7@192.0.2.1"} {
		if got, ok := r.NumberOf(uri); ok {
			t.Errorf("%s: %q", uri, got)
		}
	}
}

// FuzzENUM has any records for a number: what comes out are URIs, and not too many.
func FuzzENUM(f *testing.F) {
	for _, line := range []string{`u|E2U+sip|!^\\+?(.*)$!sip:\\1@\\1.phones.example!|.`, `||` + `|7.x.`, `u|E2U+a:b|/\\/\200/\027:/|.`, `u|E2U+sip|!\092\"!|.`} {
		f.Add(line, line)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		w := &enumWalk{number: "+7", seen: map[string]bool{}, query: newQuery(context.Background(), nil)}
		var records []dns.RR
		for i, line := range []string{one, two} {
			fields := append(strings.Split(line, "|"), "", "", "", "")
			records = append(records, &dns.NAPTR{Order: uint16(i), Flags: fields[0], Service: fields[1], Regexp: fields[2], Replacement: fields[3]})
		}
		// Two domains have them, all others are empty.
		for _, name := range []string{"7.x.", "7.y."} {
			w.query.known[question{name, dns.TypeNAPTR}] = records
		}
		for _, rr := range records {
			n := rr.(*dns.NAPTR)
			if q := (question{n.Replacement, dns.TypeNAPTR}); w.query.known[q] == nil {
				w.query.known[q] = []dns.RR{}
			}
		}
		if err := w.domain("7.x.", 0, maxTTL); err != nil {
			t.Fatal(err)
		}
		if len(w.uris) > 4 || len(w.reasons) > maxReasons {
			t.Fatalf("%q, %q", w.uris, w.reasons)
		}
		for _, u := range w.uris {
			if strings.ContainsFunc(u.Text, func(c rune) bool { return c <= ' ' || c > '~' }) || len(u.Services) == 0 {
				t.Fatalf("%q", u)
			}
		}
		if text := w.none().Error(); text != printable(text) {
			t.Fatalf("%q", text)
		}
	})
}
