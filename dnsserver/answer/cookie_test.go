package answer

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func secrets(t testing.TB, list ...string) (out [][16]byte) {
	for _, s := range list {
		out = append(out, [16]byte(unhex(t, s)))
	}
	return out
}

// The secrets of RFC 9018, appendix A.
const (
	secretA   = "e5e973e5a6b2a43f48e7dc849e37bfcf"
	secretOld = "dd3bdf9344b678b185a6f5cb60fca715"
	secretNew = "445536bcd2513298075a5d379663c962"
)

// TestVectors are the examples of RFC 9018, appendix A, through the whole
// server: what was asked, when, and what is answered.
func TestVectors(t *testing.T) {
	for _, c := range []struct {
		name, client, sent, got string
		secrets                 [][16]byte
		now                     int64
		valid                   bool
	}{
		{"A.1 learning", "198.51.100.100", "2464c4abcf10c957", "2464c4abcf10c957 01000000 5cf79f11 1f8130c3eee29480", secrets(t, secretA), 1559731985, false},
		{"A.2 the same client later", "198.51.100.100", "2464c4abcf10c957 01000000 5cf79f11 1f8130c3eee29480", "2464c4abcf10c957 01000000 5cf7a871 d4a564a1442aca77", secrets(t, secretA), 1559734385, true},
		{"A.3 reserved octets", "203.0.113.203", "fc93fc62807ddb86 01abcdef 5cf78f71 a314227b6679ebf5", "fc93fc62807ddb86 01000000 5cf7a9ac f73a7810aca2381e", secrets(t, secretA), 0x5cf7a9ac, false},
		{"A.3 in time", "203.0.113.203", "fc93fc62807ddb86 01abcdef 5cf78f71 a314227b6679ebf5", "", secrets(t, secretA), 0x5cf78f71 + 60, true},
		{"A.4 IPv6 and roll-over", "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298 01000000 5cf7c579 26556bd0934c72f8", "22681ab97d52c298 01000000 5cf7c609 a6bb79d16625507a", secrets(t, secretNew, secretOld), 0x5cf7c609, true},
		{"A.4 before the roll-over", "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298", "22681ab97d52c298 01000000 5cf7c579 26556bd0934c72f8", secrets(t, secretOld, secretNew), 0x5cf7c579, false},
		{"A.4 old secret gone", "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298 01000000 5cf7c579 26556bd0934c72f8", "22681ab97d52c298 01000000 5cf7c609 a6bb79d16625507a", secrets(t, secretNew), 0x5cf7c609, false},
		{"IPv4 mapped into IPv6", "::ffff:198.51.100.100", "2464c4abcf10c957 01000000 5cf79f11 1f8130c3eee29480", "2464c4abcf10c957 01000000 5cf7a871 d4a564a1442aca77", secrets(t, secretA), 1559734385, true},
		{"a zone is no part of the address", "2001:db8:220:1:59de:d0f4:8769:82b8%eth0", "22681ab97d52c298", "22681ab97d52c298 01000000 5cf7c579 26556bd0934c72f8", secrets(t, secretOld), 0x5cf7c579, false},
		{"another address", "198.51.100.101", "2464c4abcf10c957 01000000 5cf79f11 1f8130c3eee29480", "", secrets(t, secretA), 1559734385, false},
		{"another client cookie", "198.51.100.100", "2464c4abcf10c958 01000000 5cf79f11 1f8130c3eee29480", "", secrets(t, secretA), 1559734385, false},
		{"another version", "198.51.100.100", "2464c4abcf10c957 02000000 5cf79f11 1f8130c3eee29480", "", secrets(t, secretA), 1559734385, false},
		{"another reserved octet", "198.51.100.100", "2464c4abcf10c957 01000001 5cf79f11 1f8130c3eee29480", "", secrets(t, secretA), 1559734385, false},
		{"another time", "198.51.100.100", "2464c4abcf10c957 01000000 5cf79f12 1f8130c3eee29480", "", secrets(t, secretA), 1559734385, false},
		{"another hash", "198.51.100.100", "2464c4abcf10c957 01000000 5cf79f11 1f8130c3eee29481", "", secrets(t, secretA), 1559734385, false},
		{"an octet too many", "198.51.100.100", "2464c4abcf10c957 01000000 5cf79f11 1f8130c3eee29480 00", "", secrets(t, secretA), 1559734385, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, map[string]string{"phones.example.": phones}, Options{CookieSecrets: c.secrets})
			b.s.Client = client(netip.MustParseAddr(c.client))
			b.SetTime(time.Unix(c.now, 0))
			copy(b.out[:], bytes.Repeat([]byte{0xFF}, 512)) // replies are built over earlier ones
			raw, _ := b.respond(newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).cookie(unhex(t, c.sent)).b, false, 0)
			got := cookieOf(t, raw)
			if c.got != "" && !bytes.Equal(got, unhex(t, c.got)) {
				t.Errorf("got %x, want %s", got, c.got)
			}
			if b.s.Request.CookieValid != c.valid {
				t.Errorf("valid %v", b.s.Request.CookieValid)
			}
			if m := unpack(t, raw); m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 || len(got) != cookieLen {
				t.Errorf("%v", m)
			}
			// What the server makes it takes.
			b.respond(newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).cookie(got).b, false, 0)
			if !b.s.Request.CookieValid {
				t.Errorf("%x is not valid", got)
			}
		})
	}
}

// RFC 9018, section 4.1: a cookie of another version is not ours, whatever is hashed.
func TestCookieOfAnotherVersion(t *testing.T) {
	b := newPhones(t)
	b.SetTime(time.Unix(1559731985, 0))
	option := make([]byte, cookieLen)
	b.cookies.put(option, []byte("12345678"), b.s.Client.Addr())
	for version := range 256 {
		option[8] = byte(version)
		binary.LittleEndian.PutUint64(option[16:], b.cookies.secrets[0].hash(option, b.s.Client.Addr()))
		if b.respond(newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).cookie(option).b, false, 0); b.s.Request.CookieValid != (version == 1) {
			t.Errorf("version %d: valid %v", version, b.s.Request.CookieValid)
		}
	}
}

// cookie ends a message with OPT and a COOKIE option.
func (r *raw) cookie(data []byte) *raw { return r.opt(0, cookieOption(data)) }

func cookieOption(data []byte) string {
	return string(append([]byte{0, optCookie, 0, byte(len(data))}, data...))
}

// cookieOf gives the data of the COOKIE option in a message; nil when there is none.
func cookieOf(t testing.TB, msg []byte) (data []byte) {
	t.Helper()
	o := unpack(t, msg).IsEdns0()
	if o == nil {
		return nil
	}
	for _, opt := range o.Option {
		if c, ok := opt.(*dns.EDNS0_COOKIE); ok {
			if data != nil {
				t.Error("two COOKIE options")
			}
			data = unhex(t, c.Cookie)
		}
	}
	return data
}

// RFC 9018, section 4.3: an hour behind, five minutes ahead, by serial arithmetic.
func TestCookieTime(t *testing.T) {
	b := newPhones(t)
	for _, made := range []uint32{1 << 30, 0, 1, 1 << 31, 1<<32 - 1} {
		b.SetTime(time.Unix(int64(made), 0))
		raw, _ := b.respond(newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).cookie(make([]byte, 8)).b, false, 0)
		again := newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).cookie(cookieOf(t, raw)).b
		for age, want := range map[int64]bool{
			-1 << 31: false, 1<<31 - 1: false, -301: false, -300: true, 0: true, 1800: true, 3600: true, 3601: false,
		} {
			b.SetTime(time.Unix(int64(made)+age, 0))
			if b.respond(again, false, 0); b.s.Request.CookieValid != want {
				t.Errorf("made at %d, age %d: valid %v", made, age, !want)
			}
		}
	}
}

// RFC 7873, section 5.2.2: the lengths are 8 and 16 to 40; FORMERR to others.
func TestCookieLengths(t *testing.T) {
	b := newPhones(t)
	for n := range 60 {
		legal := n == 8 || n >= 16 && n <= 40
		data := bytes.Repeat([]byte{7}, n)
		for name, msg := range map[string]*raw{
			"query":  newRaw(0, 1, 0, 0, 1).question(hit, 1, 1),
			"UPDATE": newRaw(5, 1, 0, 0, 1).question(hit, dns.TypeSOA, 1),
			"AXFR":   newRaw(0, 1, 0, 0, 1).question(hit, dns.TypeAXFR, 1),
		} {
			raw, v := b.respond(msg.cookie(data).b, false, 0)
			if v == Later && legal && name != "query" {
				continue
			}
			m := unpack(t, raw)
			if m.IsEdns0() == nil || (m.Rcode == dns.RcodeSuccess) != legal || !legal && m.Rcode != dns.RcodeFormatError {
				t.Errorf("%s, %d octets: %v", name, n, m)
			}
			if got := cookieOf(t, raw); (len(got) == cookieLen && bytes.Equal(got[:8], data[:min(n, 8)])) != legal {
				t.Errorf("%s, %d octets: cookie %x", name, n, got)
			}
		}
	}
}

// RFC 7873, section 5.2: the first COOKIE option counts.
func TestFirstCookieCounts(t *testing.T) {
	b := newPhones(t)
	one, two, bad := cookieOption([]byte("11111111")), cookieOption([]byte("22222222")), cookieOption([]byte("333"))
	for options, want := range map[string]string{one + two: "11111111", two + one: "22222222", one + bad: "11111111", bad + one: ""} {
		raw, _ := b.respond(newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).opt(0, options).b, false, 0)
		rcode := dns.RcodeSuccess
		if want == "" {
			rcode = dns.RcodeFormatError
		}
		if got := cookieOf(t, raw); string(got[:min(8, len(got))]) != want || unpack(t, raw).Rcode != rcode {
			t.Errorf("%x: %x", options, raw)
		}
	}
}

// RFC 7873, section 5.4: a query without a question.
func TestCookieProbe(t *testing.T) {
	b := newPhones(t)
	probe := func(data []byte) *raw { return newRaw(0, 0, 0, 0, 1).cookie(data) }
	first, _ := b.respond(probe([]byte("12345678")).b, false, 0)
	good := cookieOf(t, first)
	wrong := bytes.Clone(good)
	wrong[cookieLen-1] ^= 1
	if len(good) != cookieLen || len(first) != headerLen+optLen+optionLen+cookieLen {
		t.Fatalf("%x", first)
	}
	for name, c := range map[string]struct {
		msg   *raw
		tcp   bool
		rcode int
	}{
		"client cookie":             {probe(good[:8]), false, dns.RcodeSuccess},
		"client cookie over TCP":    {probe(good[:8]), true, dns.RcodeSuccess},
		"good":                      {probe(good), false, dns.RcodeSuccess},
		"good over TCP":             {probe(good), true, dns.RcodeSuccess},
		"wrong":                     {probe(wrong), false, dns.RcodeBadCookie},
		"wrong over TCP":            {probe(wrong), true, dns.RcodeSuccess},
		"another server's form":     {probe(append([]byte("12345678"), 1, 2, 3, 4, 5, 6, 7, 8)), false, dns.RcodeBadCookie},
		"octets left over":          {probe(good).add("x"), false, dns.RcodeFormatError},
		"version 1":                 {newRaw(0, 0, 0, 0, 1).opt(0x10000, cookieOption(good)), false, dns.RcodeBadVers},
		"without cookie":            {newRaw(0, 0, 0, 0, 1).opt(0, ""), false, dns.RcodeFormatError},
		"without OPT":               {newRaw(0), false, dns.RcodeFormatError},
		"two questions with cookie": {newRaw(0, 2, 0, 0, 1).question(hit, 1, 1).question(hit, 1, 1).cookie(good), false, dns.RcodeFormatError},
		"as NOTIFY":                 {newRaw(4, 0, 0, 0, 1).cookie(good), false, -1},
	} {
		reply, v := b.respond(c.msg.b, c.tcp, 0)
		if v == Later && c.rcode == -1 {
			continue
		}
		m := unpack(t, reply)
		if m.Rcode != c.rcode || m.Authoritative || len(m.Question)+len(m.Answer)+len(m.Ns) != 0 {
			t.Errorf("%s: %v", name, m)
		}
		if got := cookieOf(t, reply); b.s.Request.Cookie != nil && (len(got) != cookieLen || string(got[:8]) != "12345678") {
			t.Errorf("%s: cookie %x", name, got)
		}
	}
}

// A server cookie is never a condition: an answer is the same with a wrong one.
func TestWrongCookiesAreAnswered(t *testing.T) {
	b := newPhones(t)
	for name, q := range paths() {
		if strings.Contains(name, "COOKIE") {
			continue
		}
		for _, tcp := range []bool{false, true} {
			m := q.Copy()
			want := b.ask(t, m, tcp)
			if m.IsEdns0() == nil {
				m.SetEdns0(1232, false)
			}
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: optCookie, Cookie: strings.Repeat("5a", 24)}}
			got := b.ask(t, m, tcp)
			if got.Rcode != want.Rcode || len(got.Answer) != len(want.Answer) || len(got.Ns) != len(want.Ns) || b.s.Request.CookieValid {
				t.Errorf("%s: %v\nwant %v", name, got, want)
			}
			if o := got.IsEdns0().Option; len(o) == 0 || o[0].Option() != optCookie || len(o[0].String()) != 2*cookieLen {
				t.Errorf("%s: %v", name, o)
			}
		}
	}
}

// RFC 7873, section 5.2: whatever the reply, it has a cookie if the request had one.
func TestEveryReplyHasACookie(t *testing.T) {
	b := newPhones(t)
	option := cookieOption([]byte("12345678"))
	for name, msg := range map[string]*raw{
		"REFUSED":              newRaw(0, 1, 0, 0, 1).question("\x05other\x00", 1, 1).opt(0, option),
		"NXNAME":               newRaw(0, 1, 0, 0, 1).question(hit, typeNXNAME, 1).opt(0, option),
		"CH":                   newRaw(0, 1, 0, 0, 1).question("\x02id\x06server\x00", dns.TypeTXT, 3).opt(0, option),
		"BADVERS":              newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).opt(0x10000, option),
		"another option bad":   newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).opt(0, "\x00\x09\x00\x01x"+option),
		"option list cut":      newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).opt(0, option+"\x00"),
		"two OPT":              newRaw(0, 1, 0, 0, 2).question(hit, 1, 1).opt(0, option).opt(0, ""),
		"record missing":       newRaw(0, 1, 0, 0, 2).question(hit, 1, 1).opt(0, option),
		"octets left over":     newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).opt(0, option).add("x"),
		"UPDATE of version 1":  newRaw(5, 1, 0, 0, 1).question(hit, dns.TypeSOA, 1).opt(0x10000, option),
		"two TSIG":             newRaw(0, 1, 0, 0, 3).question(hit, 1, 1).opt(0, option).record("\x01k\x00", dns.TypeTSIG, 255, 0, tsigData).record("\x01k\x00", dns.TypeTSIG, 255, 0, tsigData),
		"AXFR, octets left":    newRaw(0, 1, 0, 0, 1).question(hit, dns.TypeAXFR, 1).opt(0, option).add("x"),
		"UPDATE of two zones":  newRaw(5, 2, 0, 0, 1).question(hit, dns.TypeSOA, 1).question(hit, dns.TypeSOA, 1).opt(0, option),
		"NOTIFY":               newRaw(4, 1, 0, 0, 1).question(hit, dns.TypeSOA, 1).opt(0, option),
		"TSIG that is to come": newRaw(0, 1, 0, 0, 2).question(hit, 1, 1).opt(0, option).record("\x01k\x00", dns.TypeTSIG, 255, 0, tsigData),
	} {
		replies := map[string][]byte{}
		raw, v := b.respond(msg.b, false, 0)
		if v == Reply {
			replies["Respond"] = bytes.Clone(raw)
		}
		n := b.Error(msg.b, b.out[:], false, 0, dns.RcodeNotAuth, &EDE{EDEOther, "text"}, &b.s)
		replies["Error"] = bytes.Clone(b.out[:n])
		n = b.UpdateReply(msg.b, b.out[:], false, 0, dns.RcodeRefused, nil, nil, &b.s)
		replies["UpdateReply"] = bytes.Clone(b.out[:n])
		for by, reply := range replies {
			if got := cookieOf(t, reply); len(got) != cookieLen || string(got[:8]) != "12345678" {
				t.Errorf("%s by %s: cookie %x", name, by, got)
			}
			checkReply(t, msg.b, reply)
		}
		if got := b.AppendCookie([]byte("before"), &b.s); len(got) != 6+cookieLen || string(got[:14]) != "before12345678" {
			t.Errorf("%s: %x", name, got)
		}
	}
}

// RFC 6891, section 6.1.3: of a version that we do not know nothing is answered but the cookie.
func TestBadVersionHasOnlyACookie(t *testing.T) {
	b := newPhones(t)
	raw, _ := b.respond(newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).opt(0x10000, "\x00\x03\x00\x00"+cookieOption([]byte("12345678"))+"\x00\x0b\x00\x00").b, true, 0)
	if o := unpack(t, raw).IsEdns0().Option; len(o) != 1 || o[0].Option() != optCookie {
		t.Errorf("%v", o)
	}
}

// Room for the cookie is kept, so records go first; without any room it is left out.
func TestCookieAndSize(t *testing.T) {
	b := newBench(t, map[string]string{"phones.example.": bulk()}, Options{CookieSecrets: secrets(t, secretA)})
	const fits = 12 + 24 + 40*16 + optLen + optionLen + cookieLen
	for size, want := range map[uint16]bool{fits: true, fits - 1: false} {
		m := b.ask(t, withOPT(question(name("a40"), dns.TypeA), size, &dns.EDNS0_COOKIE{Code: optCookie, Cookie: "3132333435363738"}), false)
		if m.Truncated == want || (len(m.Answer) == 40) != want || len(m.IsEdns0().Option) != 1 {
			t.Errorf("size %d: tc %v, %d answers, %v", size, m.Truncated, len(m.Answer), m.IsEdns0())
		}
	}
	msg := newRaw(0, 0, 0, 0, 1).cookie([]byte("12345678")).b
	for room, want := range map[int]int{headerLen + optLen + optionLen + cookieLen: 1, headerLen + optLen + optionLen + cookieLen - 1: 0} {
		reply, _ := b.respond(msg, false, 1232-room)
		if o := unpack(t, reply).IsEdns0(); o == nil || len(o.Option) != want {
			t.Errorf("room %d: %v", room, o)
		}
	}
}

// maxEDEText leaves room for a cookie beside nearly the longest question.
func TestCookieAndEDEFit(t *testing.T) {
	b := newPhones(t)
	msg := newRaw(0, 1, 0, 0, 1).question(longName(251), 1, 1).cookie([]byte("12345678")).b
	n := b.Error(msg, b.out[:], false, 0, dns.RcodeServerFailure, &EDE{EDEOther, strings.Repeat("e", 300)}, &b.s)
	if m := unpack(t, b.out[:n]); len(m.IsEdns0().Option) != 2 || m.Truncated {
		t.Errorf("%v", m)
	}
}

// Switched off, or where the client's address is not known, COOKIE is an unknown option.
func TestCookiesOff(t *testing.T) {
	off := newBench(t, map[string]string{"phones.example.": phones}, Options{})
	unknown := newPhones(t)
	unknown.s.Client = nil
	for _, b := range []*bench{off, unknown} {
		for _, n := range []int{0, 7, 8, 24, 41} {
			raw, _ := b.respond(newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).cookie(make([]byte, n)).b, false, 0)
			if m := unpack(t, raw); m.Rcode != dns.RcodeSuccess || len(m.IsEdns0().Option) != 0 {
				t.Errorf("%d octets: %v", n, m)
			}
		}
		if got := b.outcome(t, newRaw(0, 0, 0, 0, 1).cookie(make([]byte, 8)).b, false); got.rcode != dns.RcodeFormatError {
			t.Errorf("%+v", got)
		}
		if got := b.AppendCookie(nil, &b.s); got != nil {
			t.Errorf("%x", got)
		}
	}
}

// counted counts how often the address is asked for.
type counted struct{ n int }

func (c *counted) Addr() netip.Addr { c.n++; return netip.Addr{} }

// The address costs nothing unless it is needed.
func TestAddressIsAskedForOnlyWithACookie(t *testing.T) {
	b := newPhones(t)
	c := &counted{}
	b.s.Client = c
	for _, m := range paths() {
		b.respond(pack(t, m), false, 0)
		if o := m.IsEdns0(); (c.n > 0) != (o != nil && len(o.Option) > 0 && o.Option[0].Option() == optCookie) {
			t.Errorf("%d times for %v", c.n, m)
		}
		c.n = 0
	}
}
