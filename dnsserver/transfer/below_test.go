package transfer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone/zonetest"
)

// mixed has what the short way of packing takes and what it leaves: numbers
// with one record and with several, names that are deeper, rdata with names
// that are compressed and that are not.
func mixed() string {
	var b strings.Builder
	b.WriteString("@ 60 IN SOA ns1 admin 10 3600 600 864000 30\n@ 60 IN NS ns1\n@ 60 IN MX 10 mail\nns1 60 IN A 192.0.2.1\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "%d 60 IN A 10.0.%d.%d\n", 5000000+i, i>>8, i&255)
		switch i % 7 {
		case 0:
			fmt.Fprintf(&b, "%d 70 IN AAAA 2001:db8::%x\n%d 80 IN TXT \"%s\"\n", 5000000+i, i, 5000000+i, strings.Repeat("x", i%200))
		case 1:
			fmt.Fprintf(&b, "%d 60 IN NAPTR 1 1 \"u\" \"E2U+sip\" \"!^.*$!sip:a@b!\" ns1\n", 5000000+i)
		case 2:
			fmt.Fprintf(&b, "%d 60 IN MX 10 %d\n", 5000000+i, 5000000+i/2)
		case 3:
			fmt.Fprintf(&b, "a.%d 60 IN A 192.0.2.9\nB.a.%d 60 IN CNAME %d\n", 5000000+i, 5000000+i, 5000000+i/3)
		case 4:
			fmt.Fprintf(&b, "ext%d 60 IN A 192.0.2.1\next%d 60 IN A 192.0.2.2\n", i, i)
		}
	}
	return b.String()
}

// Whatever a zone holds and whatever the size of messages, the records come
// back as they are.
func TestEveryKindOfZoneComesBack(t *testing.T) {
	z := zonetest.Open(t, apex, mixed())
	want := zonetest.Read(z)
	for _, size := range []int{512, 4096, 17000, 65535} {
		for _, question := range []string{apex, strings.ToUpper(apex)} {
			got := serve(t, testServer(func(o *Options) { o.MessageSize = size }), ask(t, new(dns.Msg).SetAxfr(question), true), z)
			all := lines(t, got.records())
			all = all[:len(all)-1] // the SOA at the end
			slices.Sort(all)
			if !slices.Equal(all, want) {
				t.Errorf("messages of %d octets, question %s: %d records, want %d", size, question, len(all), len(want))
			}
		}
	}
}

// BenchmarkPackNumbers packs a zone of numbers with an address each.
func BenchmarkPackNumbers(b *testing.B) {
	const numbers = 100000
	z := bigZone(b, numbers)
	s, r := testServer(), ask(b, axfr(), true)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Serve(context.Background(), r, z, nil, func([]byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/numbers, "ns/record")
}
