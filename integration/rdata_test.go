package integration

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// TestWhatIsAcceptedCanBeTransferred adds records with random data to dialtone, most of which are malformed and refused. What
// it takes, BIND, NSD and Knot must be able to copy: one record that a secondary cannot parse stops its transfer of
// the whole zone.
func TestWhatIsAcceptedCanBeTransferred(t *testing.T) {
	seed := env(t, "DIALTONE_TEST_SEED", rand.Uint64N(1<<32))
	random := rand.New(rand.NewPCG(seed, 3597))
	server := peertest.Dialtone(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): phonesFile})
	s := &subject{name: "dialtone", server: server}
	if err := s.redial(); err != nil {
		t.Fatal(err)
	}
	defer func() { s.stream.Close() }()
	codes := map[int]int{}
	for i := range 10_000 {
		rcode, err := s.send(peertest.Update{ID: uint16(i), Zone: []peertest.Entry{{Owner: phones, Type: dns.TypeSOA, Class: dns.ClassINET}},
			Updates: []peertest.Entry{{Owner: fmt.Sprintf("%d.%s", i, phones), Type: pickDataType(random), Class: dns.ClassINET, TTL: 60, Data: randomData(random)}}})
		if err != nil {
			t.Fatal(err)
		}
		codes[rcode]++
	}
	if codes[dns.RcodeSuccess] < 1000 || codes[dns.RcodeFormatError] < 1000 {
		t.Errorf("%v: too few of one kind", named(codes))
	}
	t.Logf("seed %d: %v", seed, named(codes))
	for _, peer := range []*peertest.Server{
		peertest.BIND(t, phones, peertest.BINDSecondary(phones, server.Addr, nil), nil),
		peertest.NSD(t, phones, peertest.NSDSecondary(phones, server.Addr, nil), nil),
		peertest.Knot(t, phones, peertest.KnotSecondary(phones, server.Addr, nil), nil),
	} {
		peertest.Converged(t, time.Minute, phones, server, peer, peertest.View{FoldCase: true})
	}
}

// pickDataType gives a type that a phone might have. Those that only DNSSEC and few others use have rules of their own in
// BIND, which has them in the zone for a purpose.
func pickDataType(random *rand.Rand) uint16 {
	for {
		t := uint16(1 + random.IntN(67))
		switch random.IntN(10) {
		case 0:
			t = dns.TypeURI
		case 1:
			t = dns.TypeCAA
		}
		switch t {
		case dns.TypeSOA, dns.TypeSIG, dns.TypeKEY, dns.TypeNXT, dns.TypeOPT, dns.TypeDS, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeDNSKEY,
			dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeIPSECKEY, dns.TypeCDS, dns.TypeCDNSKEY, dns.TypeCNAME, dns.TypeDNAME, dns.TypeNS:
			continue
		}
		return t
	}
}

// randomData is noise, small numbers, or small numbers around a name: each is well-formed for some types.
func randomData(random *rand.Rand) []byte {
	few := func(n, below int) []byte {
		b := make([]byte, random.IntN(n))
		for i := range b {
			b[i] = byte(random.IntN(below))
		}
		return b
	}
	switch random.IntN(3) {
	case 0:
		return few(40, 256)
	case 1:
		return few(12, 4)
	default:
		return append(append(few(8, 3), 1, 'a', 0), few(8, 7)...)
	}
}
