package masterfile

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"dialtone/zone/rr"
)

// written gives the text of a zone.
func written(t testing.TB, c *Content, apex rr.Name) string {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, apex, 60, "a zone\nfor a test")
	for o := range c.Sorted() {
		if err := w.Add(o); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil || w.Records != c.Records() {
		t.Fatalf("%d records of %d: %v", w.Records, c.Records(), err)
	}
	return b.String()
}

// recordsOf is a zone as text, octet by octet.
func recordsOf(c *Content) map[string]bool {
	m := map[string]bool{}
	for o := range c.All() {
		for _, d := range o.Data {
			m[fmt.Sprintf("%q %d %d %x", o.Owner, o.Type, o.TTL, d)] = true
		}
	}
	return m
}

const odd = `
$TTL 60
@ SOA ns1 Host\.Master 1 3600 600 86400 30
@ NS ns1
@ TYPE65534 \# 5 0d00010001
ns1 A 192.0.2.1
NS2 AAAA 2001:db8::1
\$ORIGIN TXT "no directive"
\@ TXT "no apex"
a\.b.c TXT "a dot in a label" "two" ""
sp\ ace TXT "\000\255\"\\;()"
\000\009 TXT "octets"
5551234 300 A 192.0.2.7
_sip._udp.5551234 SRV 0 0 5060 5551234
*.e164 NAPTR 100 10 "u" "E2U+sip" "!^\\+?(.*)$!sip:\\1@\\1.phones.example!" .
k KEY 512 3 15 AAAA
h HTTPS 1 . alpn="h2,h3" ipv4hint=192.0.2.1
caa CAA 0 issue "ca.example; x=y"
loc LOC 52 14 5 N 0 8 50 E 10m
wks TYPE11 \# 6 c00002010602
null TYPE10 \# 3 0a0d22
u TYPE65280 \# 0
apl APL 1:192.0.2.0/24
dn DNAME other.example.
mx MX 10 a\.b.c
`

func TestWhatIsWrittenIsRead(t *testing.T) {
	apex := rr.MustName("Phones.example.")
	c, problems := Parse(strings.NewReader(odd), "odd", apex, nil)
	if Faulty(problems) {
		t.Fatal(problems)
	}
	text := written(t, c, apex)
	again, problems := Parse(strings.NewReader(text), "written", apex, nil)
	if Faulty(problems) {
		t.Fatalf("%v\n%s", problems, text)
	}
	if want, got := recordsOf(c), recordsOf(again); !maps.Equal(want, got) {
		for r := range want {
			if !got[r] {
				t.Errorf("%s is missing", r)
			}
		}
		t.Error(text)
	}
	for _, want := range []string{
		"; a zone for a test\n$ORIGIN Phones.example.\n$TTL 60\n", "5551234\t300\tIN\tA\t192.0.2.7\n", "\n\\036ORIGIN\t60", "\n\\064\t60", "\na\\046b.c\t60", "caa\t60\tIN\tCAA\t0 issue",
		"TYPE10\t\\# 3 0a0d22\n", "TYPE11\t\\# 6 c00002010602\n", "TYPE65280\t\\# 0 \n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestLine(t *testing.T) {
	apex := rr.MustName("phones.example.")
	for want, r := range map[string]rr.RR{
		"5551234 60 IN A 192.0.2.1":     {Owner: rr.MustName("5551234.phones.example."), Type: rr.TypeA, TTL: 60, Data: "\xc0\x00\x02\x01"},
		"@ 1 IN NS ns1.phones.example.": {Owner: apex, Type: 2, TTL: 1, Data: "\x03ns1" + string(apex)},
		"x 1 IN TYPE65280 \\# 1 ff":     {Owner: rr.MustName("x.phones.example."), Type: 65280, TTL: 1, Data: "\xff"},
		`a\046b 1 IN TXT "\009tab"`:     {Owner: rr.MustName(`a\.b.phones.example.`), Type: 16, TTL: 1, Data: "\x04\ttab"},
	} {
		if got := Line(&r, apex); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// FuzzWriter: whatever a record holds, it is read as it was written.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("\x03abc"), uint16(1), []byte("\xc0\x00\x02\x01"))
	f.Add([]byte("\x01$\x01@"), uint16(16), []byte("\x03a\"b"))
	f.Add([]byte("\x01*"), uint16(35), []byte("\x00\x01\x00\x01\x01u\x00\x00\x00"))
	f.Add([]byte("\x01\x00"), uint16(64), []byte("\x00\x01\x00\x00\x01\x00\x03\x02h2"))
	f.Fuzz(func(t *testing.T, labels []byte, typ uint16, data []byte) {
		apex := rr.MustName("phones.example.")
		owner := rr.Name(labels) + apex
		if len(labels) == 0 || !owner.Valid() || !owner.IsBelowOrEqual(apex) || typ == 0 || typ == 6 || rr.IsMetaType(typ) || rr.ValidateData(typ, string(data)) != nil {
			return
		}
		var b bytes.Buffer
		w := NewWriter(&b, apex, 60, "")
		soa := rr.SOA{MName: apex, RName: apex, Serial: 1}.Data()
		for _, o := range []rr.Octets{
			{Owner: []byte(apex), Type: 6, TTL: 60, Data: [][]byte{[]byte(soa)}},
			{Owner: []byte(apex), Type: 2, TTL: 60, Data: [][]byte{[]byte(rr.MustName("ns.other."))}},
			{Owner: []byte(owner), Type: typ, TTL: 7, Data: [][]byte{data}},
		} {
			if err := w.Add(&o); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		c, _ := Parse(bytes.NewReader(b.Bytes()), "written", apex, nil)
		if want := fmt.Sprintf("%q %d %d %x", string(owner), typ, 7, data); !recordsOf(c)[want] {
			t.Errorf("%s is not read from\n%s", want, b.String())
		}
	})
}
