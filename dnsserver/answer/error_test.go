package answer

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/miekg/dns"
)

func updateMessage() *dns.Msg {
	m := new(dns.Msg)
	m.SetUpdate("phones.example.")
	m.RecursionDesired = true
	r, _ := dns.NewRR("5551234.phones.example. 60 IN A 192.0.2.1")
	m.Insert([]dns.RR{r})
	return m
}

// RFC 2136, section 3.8: the counts are zero; section 2.2: so are all flags.
func TestUpdateReply(t *testing.T) {
	b := newPhones(t)
	for _, rcode := range []uint16{dns.RcodeSuccess, dns.RcodeYXDomain, dns.RcodeNotZone, dns.RcodeRefused} {
		msg := pack(t, updateMessage())
		for name, n := range map[string]int{
			"UpdateReply": b.UpdateReply(msg, b.out[:], true, 0, rcode, nil, nil, &b.s),
			"Error":       b.Error(msg, b.out[:], true, 0, rcode, nil, &b.s),
		} {
			if n != headerLen || b.out[2] != 0xA8 || b.out[3] != byte(rcode) || strings.Trim(string(b.out[4:12]), "\x00") != "" {
				t.Errorf("%s: %x", name, b.out[:n])
			}
		}
	}
}

func TestErrorCarriesQuestionOPTAndEDE(t *testing.T) {
	b := newPhones(t)
	msg := pack(t, withOPT(question("Phones.Example.", dns.TypeAXFR), 1232, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}))
	n := b.Error(msg, b.out[:], true, 0, dns.RcodeRefused, &EDE{EDEProhibited, "no rule lets you"}, &b.s)
	checkReply(t, msg, b.out[:n])
	m := unpack(t, b.out[:n])
	if m.Rcode != dns.RcodeRefused || len(m.Question) != 1 || m.Question[0].Name != "Phones.Example." {
		t.Fatalf("%v", m)
	}
	o := m.IsEdns0().Option
	if len(o) != 2 || o[0].String() != "6e7331" {
		t.Fatalf("%v", o)
	}
	if e, ok := o[1].(*dns.EDNS0_EDE); !ok || e.InfoCode != 18 || e.ExtraText != "no rule lets you" {
		t.Errorf("%v", o[1])
	}
}

// RFC 8914, section 2: only to clients that sent OPT.
func TestNoEDEWithoutOPT(t *testing.T) {
	b := newPhones(t)
	msg := pack(t, question("phones.example.", dns.TypeAXFR))
	n := b.Error(msg, b.out[:], true, 0, dns.RcodeRefused, &EDE{EDEProhibited, "text"}, &b.s)
	if m := unpack(t, b.out[:n]); len(m.Extra) != 0 || m.Rcode != dns.RcodeRefused || m.Truncated {
		t.Errorf("%v", m)
	}
}

// RFC 8914, section 3: what does not fit is dropped, and TC says so.
func TestEDEDroppedForWantOfRoom(t *testing.T) {
	b := newPhones(t)
	msg := pack(t, withOPT(question(strings.Repeat(strings.Repeat("x", 60)+".", 4), dns.TypeA), 512))
	e := &EDE{EDEOther, strings.Repeat("e", 150)}
	for reserve, want := range map[int]bool{0: true, 100: false} {
		n := b.Error(msg, b.out[:], false, reserve, dns.RcodeServerFailure, e, &b.s)
		m := unpack(t, b.out[:n])
		if got := len(m.IsEdns0().Option) == 1; got != want || m.Truncated == want {
			t.Errorf("reserve %d: EDE %v, tc %v", reserve, got, m.Truncated)
		}
	}
}

// RFC 8914, section 2: the text is UTF-8 also when it was cut.
func TestEDETextIsCutBetweenRunes(t *testing.T) {
	for i := range 4 {
		text := EDE{Text: strings.Repeat("x", i) + strings.Repeat("☎", 100)}.text()
		if !utf8.ValidString(text) || len(text) > maxEDEText || len(text) < maxEDEText-3 {
			t.Errorf("%d: %d octets", i, len(text))
		}
	}
	if got := (EDE{Text: "short"}).text(); got != "short" {
		t.Error(got)
	}
}

// An RCODE above 15 needs OPT for its upper bits (RFC 6891, section 6.1.3).
func TestExtendedRcode(t *testing.T) {
	b := newPhones(t)
	with := pack(t, withOPT(question("phones.example.", dns.TypeA), 1232))
	n := b.Error(with, b.out[:], false, 0, dns.RcodeBadCookie, nil, &b.s)
	if m := unpack(t, b.out[:n]); m.Rcode != dns.RcodeBadCookie {
		t.Errorf("rcode %d", m.Rcode)
	}
	n = b.Error(pack(t, question("phones.example.", dns.TypeA)), b.out[:], false, 0, dns.RcodeBadCookie, nil, &b.s)
	if m := unpack(t, b.out[:n]); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("rcode %d without OPT", m.Rcode)
	}
}

func TestErrorStaysSilent(t *testing.T) {
	b := newPhones(t)
	for _, msg := range [][]byte{nil, make([]byte, 11), newRaw(0, 1).question(hit, 1, 1).flags(0x8000).b} {
		if n := b.Error(msg, b.out[:], false, 0, dns.RcodeRefused, nil, &b.s); n != 0 {
			t.Errorf("%x: %d octets", msg, n)
		}
	}
}

// What does not parse is left out.
func TestErrorToBrokenMessages(t *testing.T) {
	b := newPhones(t)
	for _, msg := range [][]byte{
		newRaw(4, 1).b, newRaw(4, 2).question(hit, 6, 1).question(hit, 6, 1).b, newRaw(4, 1, 5).question(hit, 6, 1).b, newRaw(9, 1).b,
	} {
		n := b.Error(msg, b.out[:], false, 0, dns.RcodeNotAuth, nil, &b.s)
		checkReply(t, msg, b.out[:n])
	}
}

// RFC 4892, section 2.4, and RFC 5001, section 2.3: what is not configured is not told.
func TestIdentityNotConfigured(t *testing.T) {
	b := newBench(t, map[string]string{"phones.example.": phones}, Options{})
	for _, name := range []string{"id.server.", "hostname.bind.", "version.bind.", "version.server."} {
		m := question(name, dns.TypeTXT)
		m.Question[0].Qclass = dns.ClassCHAOS
		if r := b.ask(t, m, false); r.Rcode != dns.RcodeRefused || r.Authoritative {
			t.Errorf("%s: %v", name, r)
		}
	}
	m := withOPT(question("phones.example.", dns.TypeA), 1232, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE})
	if r := b.ask(t, m, true); len(r.IsEdns0().Option) != 0 {
		t.Errorf("%v", r.IsEdns0())
	}
}

func TestOptionsDefaults(t *testing.T) {
	for given, want := range map[int]int{0: 1232, 1: 512, 511: 512, 1400: 1400, 1 << 20: 65535} {
		if got := New(Options{MaxUDP: given}).maxUDP; got != want {
			t.Errorf("MaxUDP %d: %d, want %d", given, got, want)
		}
	}
	if r := New(Options{ServerID: strings.Repeat("x", 300), Version: strings.Repeat("x", 300)}); len(r.serverID) != 255 || len(r.version) != 255 {
		t.Errorf("%d and %d octets", len(r.serverID), len(r.version))
	}
}
