package answer

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// bulk is a zone whose answers do not fit everywhere.
func bulk() string {
	var z strings.Builder
	z.WriteString("$TTL 300\n@ SOA ns1 hostmaster 7 3600 600 604800 45\n@ NS ns1\nns1 A 192.0.2.53\n")
	for i := range 40 {
		fmt.Fprintf(&z, "a40 A 192.0.2.%d\n", i) // 640 octets
	}
	for i := range 200 {
		fmt.Fprintf(&z, "a200 A 192.0.2.%d\n", i) // 3200 octets
	}
	for i := range 20 {
		fmt.Fprintf(&z, "srv SRV 0 0 5060 target-number-%02d\n", i)
		fmt.Fprintf(&z, "target-number-%02d A 192.0.2.%d\n", i, i)
		fmt.Fprintf(&z, "target-number-%02d AAAA 2001:db8::%d\n", i, i)
	}
	for i := range 9 {
		fmt.Fprintf(&z, "naptr NAPTR %d 0 \"s\" \"SIP+D2U\" \"\" _s%d\n", i, i)
		for j := range (i*5 + 3) % 9 {
			fmt.Fprintf(&z, "_s%d SRV 0 0 %d way-%d.of-%d\nway-%d.of-%d A 192.0.2.%d\n", i, j, j, i%2, j, i%2, j)
		}
	}
	for i := range 12 {
		fmt.Fprintf(&z, "glue NS ns%d.glue\nns%d.glue A 192.0.2.%d\nns%d.glue AAAA 2001:db8::%d\n", i, i, i, i, i)
		fmt.Fprintf(&z, "sib NS ns%d.other\nns%d.other A 192.0.2.%d\nns%d.other AAAA 2001:db8::%d\n", i, i, i, i, i)
		fmt.Fprintf(&z, "both NS ns%d.other\n", i)
	}
	z.WriteString("both NS a.both\na.both A 192.0.2.99\n")
	for i := range 2400 {
		fmt.Fprintf(&z, "huge TXT %05d-0123456789\n", i) // 29 octets each
	}
	for i := range 2500 {
		fmt.Fprintf(&z, "manymx MX %d mx%d.many\n", i, i)
	}
	for i := range 5 {
		fmt.Fprintf(&z, "mx2499.many A 192.0.2.%d\nmx0.many A 192.0.2.%d\n", i, i)
	}
	fmt.Fprintf(&z, "ds NS ns1\nds DS 1 13 2 %s\n", strings.Repeat("3A4B", 220))
	fmt.Fprintf(&z, "toolong CNAME %s\n", strings.Repeat(strings.Repeat("n", 60)+".", 3)+"missing")
	return z.String()
}

func newBulk(t testing.TB) *bench {
	return newBench(t, map[string]string{"phones.example.": bulk()}, Options{ServerID: "ns1", CookieSecrets: [][16]byte{{1: 2}}})
}

func name(s string) string { return s + ".phones.example." }

func TestSizes(t *testing.T) {
	b := newBulk(t)
	for _, c := range []struct {
		name    string
		m       *dns.Msg
		tcp     bool
		reserve int
		tc      bool
		an, ns  int
		ar      int // OPT not counted; -1: any
	}{
		{"512 without OPT", question(name("a40"), dns.TypeA), false, 0, true, 0, 0, 0},
		{"OPT allows it", withOPT(question(name("a40"), dns.TypeA), 1232), false, 0, false, 40, 0, 0},
		{"exactly", withOPT(question(name("a40"), dns.TypeA), 12+24+40*16+11), false, 0, false, 40, 0, 0},
		{"one octet short", withOPT(question(name("a40"), dns.TypeA), 12+24+40*16+11-1), false, 0, true, 0, 0, 0},
		{"room for a TSIG", withOPT(question(name("a40"), dns.TypeA), 12+24+40*16+11+100), false, 100, false, 40, 0, 0},
		{"no room for a TSIG", withOPT(question(name("a40"), dns.TypeA), 12+24+40*16+11+99), false, 100, true, 0, 0, 0},
		{"client takes 4096, we send 1232", withOPT(question(name("a200"), dns.TypeA), 4096), false, 0, true, 0, 0, 0},
		{"TCP", question(name("a200"), dns.TypeA), true, 0, false, 200, 0, 0},
		{"EDNS size does not matter over TCP", withOPT(question(name("a200"), dns.TypeA), 512), true, 0, false, 200, 0, 0},
		{"more than TCP has", question(name("huge"), dns.TypeTXT), true, 0, true, 0, 0, 0},
		{"additional is dropped without TC", question(name("srv"), dns.TypeSRV), false, 0, true, 0, 0, 0},
		{"additional is dropped without TC", withOPT(question(name("srv"), dns.TypeSRV), 1232), false, 0, false, 20, 0, -1},
		{"all additional over TCP", question(name("srv"), dns.TypeSRV), true, 0, false, 20, 0, 40},
		// RFC 9471, section 3.1
		{"in-domain glue or TC", question("x."+name("glue"), dns.TypeA), false, 0, true, 0, 12, -1},
		{"in-domain glue fits", withOPT(question("x."+name("glue"), dns.TypeA), 1232), false, 0, false, 0, 12, 24},
		{"sibling glue without TC", question("x."+name("sib"), dns.TypeA), false, 0, false, 0, 12, -1},
		{"in-domain glue goes before the other", question("x."+name("both"), dns.TypeA), false, 0, false, 0, 13, -1},
		{"DS or TC", dnssec(question("x."+name("ds"), dns.TypeA), 512), false, 0, true, 0, 1, 0},
		{"no DS without DO", question("x."+name("ds"), dns.TypeA), false, 0, false, 0, 1, -1},
		// Targets that are looked up are bounded: the last MX has addresses too.
		{"compressed beyond what pointers reach", question(name("manymx"), dns.TypeMX), true, 0, false, 2500, 0, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw, v := b.respond(pack(t, c.m), c.tcp, c.reserve)
			if v != Reply {
				t.Fatal(v)
			}
			m := unpack(t, raw)
			ar := len(m.Extra)
			if m.IsEdns0() != nil {
				ar--
			}
			if m.Truncated != c.tc || len(m.Answer) != c.an || len(m.Ns) != c.ns || c.ar >= 0 && ar != c.ar {
				t.Errorf("tc %v, counts %d %d %d, %d octets", m.Truncated, len(m.Answer), len(m.Ns), ar, len(raw))
			}
			if (c.m.IsEdns0() != nil) != (m.IsEdns0() != nil) {
				t.Error("OPT is lost")
			}
		})
	}
}

func dnssec(m *dns.Msg, size uint16) *dns.Msg { m.SetEdns0(size, true); return m }

// The additional section gets whole RRsets, as many as fit; none beyond 512
// octets for an address that may be forged.
func TestAdditionalByWholeRRsets(t *testing.T) {
	b := newBulk(t)
	full := b.ask(t, question(name("srv"), dns.TypeSRV), true)
	forged := b.ask(t, withOPT(question(name("srv"), dns.TypeSRV), 1232), false)
	if forged.Truncated || len(forged.Answer) != len(full.Answer) || len(forged.Extra) != 1 {
		t.Errorf("to an address that is not proven: %v", forged)
	}
	cookie := make([]byte, cookieLen)
	b.cookies.put(cookie, []byte("12345678"), b.s.Client.Addr())
	before := -1
	for size := uint16(1100); size <= 1232; size++ {
		m := b.ask(t, withOPT(question(name("srv"), dns.TypeSRV), size, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString(cookie)}), false)
		if m.Truncated || len(m.Answer) != len(full.Answer) {
			t.Fatalf("size %d: tc %v, %d answers", size, m.Truncated, len(m.Answer))
		}
		if len(m.Extra) < before-1 {
			t.Errorf("size %d: %d additional records, had %d", size, len(m.Extra), before)
		}
		before = len(m.Extra)
	}
	if before < 2 {
		t.Error("no additional data ever")
	}
}

// RFC 6604, section 3: the RCODE is that of the last link, also when TC tells
// that the links did not fit.
func TestRcodeOfTruncatedChain(t *testing.T) {
	long := func(c string) string { return strings.Repeat(strings.Repeat(c, 60)+".", 3) + c }
	z := "$TTL 300\n@ SOA ns1 hostmaster 7 3600 600 604800 45\n@ NS ns1\n" +
		long("q") + " CNAME " + long("r") + "\n" + long("r") + " CNAME " + long("s") + "\n"
	b := newBench(t, map[string]string{"phones.example.": z}, Options{})
	m := b.ask(t, question(name(long("q")), dns.TypeA), false)
	if !m.Truncated || m.Rcode != dns.RcodeNameError {
		t.Errorf("tc %v, rcode %d, %d answers", m.Truncated, m.Rcode, len(m.Answer))
	}
}

// Every size gives a reply within it that unpacks and says nothing that the
// whole answer does not say.
func TestEverySize(t *testing.T) {
	b := newBulk(t)
	for _, q := range []*dns.Msg{
		question("x."+name("glue"), dns.TypeA), question(name("srv"), dns.TypeSRV), question(name("toolong"), dns.TypeA), question("x."+name("both"), dns.TypeA),
		question(name("a40"), dns.TypeANY), question(name("naptr"), dns.TypeNAPTR),
	} {
		whole := records(b.ask(t, q, true))
		for size := 0; size <= 1300; size++ {
			m := withOPT(q.Copy(), uint16(size), &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
			for _, reserve := range []int{0, 90, 400} {
				raw, v := b.respond(pack(t, m), false, reserve)
				if v != Reply {
					t.Fatalf("size %d reserve %d: verdict %d", size, reserve, v)
				}
				if limit := min(max(size, 512), 1232) - reserve; len(raw) > limit {
					t.Fatalf("size %d reserve %d: %d octets", size, reserve, len(raw))
				}
				checkReply(t, pack(t, m), raw)
				for r := range records(unpack(t, raw)) {
					if !whole[r] {
						t.Fatalf("size %d reserve %d: %s", size, reserve, r)
					}
				}
			}
		}
	}
}

func records(m *dns.Msg) map[string]bool {
	set := map[string]bool{}
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, r := range section {
			if r.Header().Rrtype != dns.TypeOPT {
				set[r.String()] = true
			}
		}
	}
	return set
}

// A buffer that is too small is a limit like any other.
func TestSmallBuffers(t *testing.T) {
	b := newPhones(t)
	for _, m := range paths() {
		msg := pack(t, m)
		for size := range 200 {
			out := make([]byte, size)
			b.reader.Begin()
			n, v := b.Respond(msg, out, true, 0, &b.s)
			b.reader.End()
			if v == Reply {
				checkReply(t, msg, out[:n])
			} else if n != 0 || v != Drop {
				t.Errorf("size %d: verdict %d, %d octets", size, v, n)
			}
		}
	}
}
