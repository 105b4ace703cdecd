package answer

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/tools/txtar"

	"dialtone/dnsserver/ratelimit"
)

// checkReply holds a reply against the rules that every reply obeys.
func checkReply(t testing.TB, msg, reply []byte) {
	t.Helper()
	m := unpack(t, reply)
	opcode := msg[2] >> 3 & 15
	if !bytes.Equal(reply[:2], msg[:2]) {
		t.Errorf("ID %x for %x", reply[:2], msg[:2])
	}
	if !m.Response || m.Opcode != int(opcode) || m.RecursionAvailable || m.Zero || m.AuthenticatedData || m.CheckingDisabled {
		t.Errorf("header %+v", m.MsgHdr)
	}
	if rd := msg[2]&1 != 0; m.RecursionDesired != (rd && opcode != dns.OpcodeUpdate) {
		t.Errorf("RD %v for %v", m.RecursionDesired, rd)
	}
	checkQuestion(t, msg, reply)
	opts := 0
	for i, r := range m.Extra {
		if r.Header().Rrtype == dns.TypeOPT {
			opts++
			if i != len(m.Extra)-1 {
				t.Error("OPT is not the last record")
			}
		}
	}
	if opts > 1 || opts == 0 && m.Rcode > 15 {
		t.Errorf("%d OPT, rcode %d", opts, m.Rcode)
	}
	// What miekg/dns reads as a whole message has OPT exactly if the reply has.
	if in := new(dns.Msg); in.Unpack(msg) == nil && known(msg) && (in.IsEdns0() != nil) != (opts == 1) && rootOPT(in) {
		t.Errorf("OPT in the request %v, in the reply %d", in.IsEdns0() != nil, opts)
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError && m.Rcode != dns.RcodeYXDomain &&
		(len(m.Answer) > 0 || len(m.Ns) > 0 || m.Authoritative) {
		t.Errorf("data with rcode %d", m.Rcode)
	}
	checkOnce(t, m)
}

// rootOPT tells requests in which all OPT records stand where they may.
func rootOPT(m *dns.Msg) bool {
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for _, r := range section {
			if r.Header().Rrtype == dns.TypeOPT {
				return false
			}
		}
	}
	for _, r := range m.Extra {
		if r.Header().Rrtype == dns.TypeOPT && r.Header().Name != "." {
			return false
		}
	}
	return true
}

// checkQuestion: octet for octet if there is one.
func checkQuestion(t testing.TB, msg, reply []byte) {
	t.Helper()
	switch n := binary.BigEndian.Uint16(reply[4:]); n {
	case 0:
	case 1:
		end := headerLen + nameLen(reply[headerLen:]) + 4
		if binary.BigEndian.Uint16(msg[4:]) != 1 || len(msg) < end || !bytes.Equal(reply[headerLen:end], msg[headerLen:end]) {
			t.Errorf("question %x", reply[headerLen:end])
		}
	default:
		t.Errorf("%d questions", n)
	}
}

// checkOnce: an RRset is in a message once, with one TTL (RFC 2181, sections
// 5.2 and 5.5).
func checkOnce(t testing.TB, m *dns.Msg) {
	t.Helper()
	type key struct {
		name string
		t    uint16
	}
	type place struct {
		section int
		ttl     uint32
	}
	at := map[key]place{}
	seen := map[string]bool{}
	for i, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, r := range section {
			h := r.Header()
			if h.Rrtype == dns.TypeOPT {
				continue
			}
			k, p := key{dns.CanonicalName(h.Name), h.Rrtype}, place{i, h.Ttl}
			if was, ok := at[k]; ok && was != p {
				t.Errorf("%v in two places or with two TTLs", k)
			}
			at[k] = p
			r = dns.Copy(r)
			r.Header().Name = k.name
			if s := r.String(); seen[s] {
				t.Errorf("%s twice", s)
			} else {
				seen[s] = true
			}
		}
	}
}

// checkCookie: the reply has a cookie, made for the client's, exactly if the
// request has one that is well-formed and there is room for it.
func checkCookie(t testing.TB, msg, reply []byte, limit int) {
	t.Helper()
	in := new(dns.Msg)
	if in.Unpack(msg) != nil || !known(msg) || !rootOPT(in) {
		return
	}
	asked := ""
	for _, r := range in.Extra {
		o, ok := r.(*dns.OPT)
		if !ok {
			continue
		}
		for _, option := range o.Option {
			if c, ok := option.(*dns.EDNS0_COOKIE); ok {
				asked = c.Cookie
				break
			}
		}
		break // the first OPT is the one that counts
	}
	room := limit - headerLen - optLen - optionLen - cookieLen
	if binary.BigEndian.Uint16(reply[4:]) == 1 {
		room -= nameLen(reply[headerLen:]) + 4
	}
	n := len(asked) / 2
	want := (n == clientCookieLen || n >= minCookieLen && n <= maxCookieLen) && room >= 0
	got := cookieOf(t, reply)
	if want != (got != nil) || want && hex.EncodeToString(got[:clientCookieLen]) != asked[:2*clientCookieLen] {
		t.Errorf("asked with cookie %q, answered with %x, room %d", asked, got, room)
	}
}

// FuzzRespond: whatever it answers unpacks with miekg/dns and obeys the rules.
func FuzzRespond(f *testing.F) {
	files, _ := filepath.Glob("testdata/scenario/*.txtar")
	var benches []*bench
	for i, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		benches = append(benches, newBench(f, zonesOf(a), Options{ServerID: "ns1", Version: "dialtone 1", CookieSecrets: [][16]byte{{1}}}))
		seedQuestions(f, a, uint8(i))
	}
	f.Add(pack(f, updateMessage()), uint8(0), false, uint16(0))
	f.Add(newRaw(0, 1, 0, 0, 2).question(hit, 1, 1).opt(0x18000, "\x00\x03\x00\x00").opt(0, "").b, uint8(0), false, uint16(0))
	f.Add(newRaw(0, 1, 1, 0, 1).question(hit, 1, 1).record("\xc0\x0c", 1, 1, 0, "1234").record("\x01k\x00", dns.TypeTSIG, 255, 0, tsigData).b, uint8(1), true, uint16(99))
	f.Add(newRaw(0, 0, 0, 0, 1).cookie(make([]byte, 24)).b, uint8(0), false, uint16(0))
	f.Add(newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).opt(0, "\x00\x03\x00\x00"+cookieOption(make([]byte, 8))+cookieOption(make([]byte, 9))).b, uint8(0), false, uint16(399))
	f.Add(newRaw(5, 1, 0, 0, 1).question(hit, dns.TypeSOA, 1).cookie(make([]byte, 40)).b, uint8(0), false, uint16(0))
	f.Fuzz(func(t *testing.T, msg []byte, zones uint8, tcp bool, reserve uint16) {
		b, keep := benches[int(zones)%len(benches)], int(reserve%400)
		reply, v := b.respond(msg, tcp, keep)
		switch {
		case v == Drop && len(msg) >= headerLen && msg[2]&0x80 == 0:
			t.Error("no reply to a request")
		case v == Reply:
			if limit := b.limit(tcp) - keep; len(reply) > limit {
				t.Errorf("%d octets of %d", len(reply), limit)
			}
			checkReply(t, msg, reply)
			checkCookie(t, msg, reply, b.limit(tcp)-keep)
			if c := b.s.Response(msg); c.Class != ratelimit.Errors && !tcp && keep == 0 {
				checkSlip(t, msg, b)
			}
		case v == Later:
			reply := b.out[:b.Error(msg, b.out[:], tcp, keep, dns.RcodeRefused, &EDE{EDEProhibited, "no"}, &b.s)]
			checkReply(t, msg, reply)
			checkCookie(t, msg, reply, b.limit(tcp)-keep)
			reply = b.out[:b.UpdateReply(msg, b.out[:], tcp, keep, dns.RcodeSuccess, nil, nil, &b.s)]
			checkReply(t, msg, reply)
		}
	})
}

// checkSlip: what is sent in place of a reply is no longer than the request, a server cookie aside.
func checkSlip(t testing.TB, msg []byte, b *bench) {
	slip := b.out[:b.Slip(msg, b.out[:], &b.s)]
	checkReply(t, msg, slip)
	if len(slip) > len(msg)+cookieLen-clientCookieLen {
		t.Errorf("%d octets for %d", len(slip), len(msg))
	}
	if tc, bad := slip[2]&2 != 0, b.s.flags.cookie; tc == bad {
		t.Errorf("TC %v, cookie %v", tc, bad)
	}
}

// limit is the size of reply that the last request allows.
func (b *bench) limit(tcp bool) int {
	switch q := &b.s.Request; {
	case tcp:
		return maxSize
	case q.OPT:
		return min(max(int(q.Size), 512), 1232)
	}
	return 512
}

func seedQuestions(f *testing.F, a *txtar.Archive, zones uint8) {
	for _, file := range a.Files {
		for line := range bytes.Lines(file.Data) {
			if text, ok := bytes.CutPrefix(line, []byte("> ")); ok {
				m, tcp := parseWords(f, text)
				f.Add(pack(f, m), zones, tcp, uint16(0))
			}
		}
	}
}
