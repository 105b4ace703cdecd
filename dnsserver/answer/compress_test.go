package answer

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/tools/txtar"

	"dialtone/zone/rr"
	"dialtone/zone/zonetest"
)

// RFC 3597, section 4: only the names in rdata of the types of RFC 1035 are
// compressed.
func TestCompressedTypes(t *testing.T) {
	data := string(make([]byte, 64)) // reads as root names everywhere
	for typ := range 1 << 16 {
		_, count, compress := rr.NamesIn(uint16(typ), data)
		got := namesOf(uint16(typ))
		if compress != (got.count > 0) || compress && got.count != count {
			t.Errorf("%s: %+v, want %d %v", rr.TypeString(uint16(typ)), got, count, compress)
		}
		if spans, _, _ := rr.NamesIn(uint16(typ), data); compress && spans[0][0] != got.skip {
			t.Errorf("%s: skip %d, want %d", rr.TypeString(uint16(typ)), got.skip, spans[0][0])
		}
	}
}

// The names in these stand in full, though the question would serve.
func TestNeverCompressed(t *testing.T) {
	const wire = "\x06target\x06phones\x07example\x00"
	z := phones + `
srv SRV 0 0 5060 target
naptr NAPTR 1 1 "s" "" "" target
dn DNAME target
svc SVCB 1 target
https HTTPS 1 target
rp RP target target
afsdb AFSDB 1 target
kx KX 1 target
rrsig RRSIG A 13 2 60 20300101000000 20200101000000 1 target AAAA
nsec NSEC target A
`
	b := newBench(t, map[string]string{"phones.example.": z}, Options{})
	for _, typ := range []uint16{dns.TypeSRV, dns.TypeNAPTR, dns.TypeDNAME, dns.TypeSVCB, dns.TypeHTTPS, dns.TypeRP, dns.TypeAFSDB, dns.TypeKX, dns.TypeRRSIG, dns.TypeNSEC} {
		label := strings.ToLower(dns.TypeToString[typ])
		if typ == dns.TypeDNAME {
			label = "dn"
		}
		if typ == dns.TypeSVCB {
			label = "svc"
		}
		raw, v := b.respond(pack(t, question(label+".phones.example.", typ)), false, 0)
		if v != Reply || !bytes.Contains(raw, []byte(wire)) {
			t.Errorf("%s: %x", label, raw)
		}
	}
	raw, _ := b.respond(pack(t, question("alias.phones.example.", dns.TypeCNAME)), false, 0)
	if want := "\x075551234\xc0\x12"; !bytes.HasSuffix(raw, []byte(want)) {
		t.Errorf("CNAME is not compressed: %x", raw)
	}
}

// Compression must not change the case of what a record says.
func TestRdataKeepsItsCase(t *testing.T) {
	b := newBench(t, map[string]string{"phones.example.": phones + "m MX 1 Mail.PHONES.example.\n"}, Options{})
	for _, q := range []string{"m.phones.example.", "M.pHoNeS.ExAmPlE."} {
		m := b.ask(t, question(q, dns.TypeMX), false)
		if got := m.Answer[0].(*dns.MX).Mx; got != "Mail.PHONES.example." || m.Answer[0].Header().Name != q {
			t.Errorf("%s: %v", q, m.Answer[0])
		}
	}
}

// An owner in the additional section points to the target that it belongs to.
func TestAdditionalOwnersArePointers(t *testing.T) {
	b := newPhones(t)
	raw, _ := b.respond(pack(t, question("_sip._udp.5551234.phones.example.", dns.TypeSRV)), false, 0)
	m := unpack(t, raw)
	if len(m.Extra) != 2 {
		t.Fatalf("%v", m)
	}
	if want := headerLen + 34 + 4 + (2 + 10 + 6 + 24) + (2 + 10 + 4) + (2 + 10 + 16); len(raw) != want {
		t.Errorf("%d octets, want %d", len(raw), want)
	}
}

// Whatever a zone holds is answered octet for octet, in whatever case it is
// asked for, over TCP and over UDP.
func TestAnswersAreWhatTheZoneHolds(t *testing.T) {
	files, _ := filepath.Glob("testdata/scenario/*.txtar")
	checked := 0
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		zones := zonesOf(a)
		b := newBench(t, zones, Options{})
		for apex, text := range zones {
			for _, set := range zonetest.Parse(t, apex, text) {
				for _, tcp := range []bool{false, true} {
					checked += checkSet(t, b, set.Owner, set.Set, tcp)
				}
			}
		}
	}
	if checked < 200 {
		t.Errorf("only %d RRsets checked", checked)
	}
}

func checkSet(t *testing.T, b *bench, owner rr.Name, set rr.RRset, tcp bool) int {
	t.Helper()
	asked := rr.Name(randomCase(string(owner)))
	m := b.ask(t, question(asked.String(), set.Type), tcp)
	if m.Truncated || !m.Authoritative || len(m.Answer) == 0 || m.Answer[0].Header().Rrtype == dns.TypeDNAME && set.Type != dns.TypeDNAME {
		return 0 // below a cut or occluded
	}
	if len(m.Answer) != len(set.Data) {
		t.Errorf("%s: %v", asked, m)
		return 0
	}
	for i, r := range m.Answer {
		want := rr.RR{Owner: asked, Type: set.Type, TTL: set.TTL, Data: set.Data[i]}
		got, err := rr.FromMiekg(r)
		if err != nil || got != want {
			t.Errorf("got %v, want %v: %v", got, want, err)
		}
	}
	return 1
}

func randomCase(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'a' <= c && c <= 'z' && rand.IntN(2) == 0 {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// However many names there are, and however alike, they come back as they went.
func TestManyNames(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 30 {
		var text strings.Builder
		text.WriteString("$TTL 300\n@ SOA ns1 hostmaster 7 3600 600 604800 45\n@ NS ns1\nns1 A 192.0.2.53\n")
		want := map[string]bool{}
		for range 1 + random.IntN(120*(1+round%3*5)) {
			var name strings.Builder
			for range 1 + random.IntN(1+round%7) {
				fmt.Fprintf(&name, "%s.", strings.Repeat(string('a'+rune(random.IntN(3))), 1+random.IntN(4)))
			}
			name.WriteString("phones.example.")
			want[name.String()] = true
			fmt.Fprintf(&text, "ptr PTR %s\n", name.String())
		}
		b := newBench(t, map[string]string{"phones.example.": text.String()}, Options{})
		m := b.ask(t, question("ptr.phones.example.", dns.TypePTR), true)
		if len(m.Answer) != len(want) || m.Truncated {
			t.Fatalf("%d answers, want %d", len(m.Answer), len(want))
		}
		for _, r := range m.Answer {
			if !want[r.(*dns.PTR).Ptr] {
				t.Errorf("%v", r)
			}
		}
	}
}

// What stands further back than a pointer reaches is written again.
func TestNamesBeyondPointers(t *testing.T) {
	z := phones + "back SRV 0 0 1 far.away\nfar.away A 192.0.2.77\nfar.away AAAA 2001:db8::77\n"
	for i := range 100 {
		z += fmt.Sprintf("back TXT %03d-%s\n", i, strings.Repeat("x", 200))
	}
	b := newBench(t, map[string]string{"phones.example.": z}, Options{})
	m := b.ask(t, question("back.phones.example.", dns.TypeANY), true)
	if len(m.Answer) != 101 || len(m.Extra) != 2 {
		t.Fatalf("counts %d %d", len(m.Answer), len(m.Extra))
	}
	for _, r := range m.Extra {
		if r.Header().Name != "far.away.phones.example." {
			t.Errorf("%v", r)
		}
	}
}

// The root label is written as such: it is shorter than a pointer.
func TestRootOwner(t *testing.T) {
	b := newBench(t, map[string]string{".": ". 300 SOA ns. h. 1 2 3 4 5\n. 300 NS ns.\nns. 300 A 192.0.2.1\n"}, Options{})
	m := b.ask(t, question(".", dns.TypeNS), false)
	raw, _ := b.respond(pack(t, question(".", dns.TypeNS)), false, 0)
	if len(m.Answer) != 1 || m.Answer[0].Header().Name != "." || raw[headerLen+5] != 0 {
		t.Errorf("%v\n%x", m, raw)
	}
	if m = b.ask(t, question("missing.", dns.TypeA), false); m.Rcode != dns.RcodeNameError || m.Ns[0].Header().Name != "." {
		t.Errorf("%v", m)
	}
}

// RFC 7505, section 3: a null MX has no host whose address could be added.
func TestNullTarget(t *testing.T) {
	b := newBench(t, map[string]string{".": ". 300 SOA ns. h. 1 2 3 4 5\n. 300 NS ns.\n. 300 A 192.0.2.1\nmx. 300 MX 0 .\nsrv. 300 SRV 0 0 0 .\n"}, Options{})
	for _, q := range []*dns.Msg{question("mx.", dns.TypeMX), question("srv.", dns.TypeSRV)} {
		if m := b.ask(t, q, false); len(m.Answer) != 1 || len(m.Extra) != 0 {
			t.Errorf("%v", m)
		}
	}
}

// The table survives the wrap of its round counter.
func TestForgetWraps(t *testing.T) {
	var w writer
	w.out, w.limit = make([]byte, 512), 512
	w.seen.round = ^uint32(0)
	w.pos = headerLen
	if !w.name([]byte("\x01a\x00")) || w.seen.used != 1 {
		t.Fatal("not written")
	}
	w.seen.forget()
	if off, _ := w.seen.find(w.out, 0, []byte("\x01a")); off != 0 || w.seen.round != 0 {
		t.Errorf("found at %d in round %d", off, w.seen.round)
	}
}

// What was dropped for want of room must not be pointed to, though its octets
// still stand there.
func TestNothingPointsIntoDroppedRecords(t *testing.T) {
	var w writer
	w.out, w.limit, w.pos = make([]byte, 512), 512, headerLen
	if !w.name([]byte("\x01a\x03com\x00")) {
		t.Fatal("not written")
	}
	w.back(headerLen)
	if !w.name([]byte("\x03com\x00")) || string(w.out[headerLen:w.pos]) != "\x03com\x00" {
		t.Errorf("%q", w.out[headerLen:w.pos])
	}
}
