package answer

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone"
	"dialtone/zone/zonetest"
)

// phones is the zone of most tests.
const phones = `
$TTL 300
@            3600 SOA ns1 hostmaster 7 3600 600 604800 45
@                 NS  ns1
@                 NS  ns2.other.example.
@                 MX  10 mail
ns1               A   192.0.2.53
ns1               AAAA 2001:db8::53
mail              A   192.0.2.25
5551234      60   A   198.51.100.1
5551234      60   AAAA 2001:db8::1
5551234           TXT "a phone"
alias             CNAME 5551234
sub               NS  ns1.sub
sub               DS  1 13 2 3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B3A4B
ns1.sub           A   192.0.2.54
_sip._udp.5551234 SRV 0 0 5060 5551234
`

type bench struct {
	*Responder
	reader *zone.Reader
	s      Scratch
	out    [maxSize]byte
}

func newBench(t testing.TB, texts map[string]string, o Options) *bench {
	t.Helper()
	o.Zones = zonetest.Zones(t, texts)
	b := &bench{Responder: New(o), reader: zone.NewReader()}
	b.s.Client = client(netip.MustParseAddr("198.51.100.100"))
	t.Cleanup(b.reader.Close)
	return b
}

func newPhones(t testing.TB) *bench {
	return newBench(t, map[string]string{"phones.example.": phones}, Options{ServerID: "ns1", Version: "dialtone 1", CookieSecrets: [][16]byte{{1: 2}}})
}

// client is an address that asks.
type client netip.Addr

func (c client) Addr() netip.Addr { return netip.Addr(c) }

func (b *bench) respond(msg []byte, tcp bool, reserve int) ([]byte, Verdict) {
	b.reader.Begin()
	defer b.reader.End()
	n, v := b.Respond(msg, b.out[:], tcp, reserve, &b.s)
	return b.out[:n:n], v
}

// ask sends m and unpacks the reply, which must be there.
func (b *bench) ask(t testing.TB, m *dns.Msg, tcp bool) *dns.Msg {
	t.Helper()
	raw, v := b.respond(pack(t, m), tcp, 0)
	if v != Reply {
		t.Fatalf("verdict %d for %v", v, m)
	}
	return unpack(t, raw)
}

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func unpack(t testing.TB, raw []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(raw); err != nil {
		t.Fatalf("the reply does not unpack: %v\n%x", err, raw)
	}
	return m
}

func question(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.RecursionDesired = false
	return m
}

func withOPT(m *dns.Msg, size uint16, options ...dns.EDNS0) *dns.Msg {
	m.SetEdns0(size, false)
	m.IsEdns0().Option = options
	return m
}
