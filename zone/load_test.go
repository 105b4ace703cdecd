package zone_test

import (
	"context"
	"iter"
	"log/slog"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/zonetest"
)

// countingStore makes numbers as it goes, so that only the loading allocates.
type countingStore struct {
	zone.Store
	numbers int
}

func (s *countingStore) All() iter.Seq2[*rr.Octets, error] {
	return func(yield func(*rr.Octets, error) bool) {
		for stored, err := range s.Store.All() {
			if !yield(stored, err) {
				return
			}
		}
		x := rr.Octets{Owner: []byte("\x070000000\x06phones\x07example\x00"), Type: dns.TypeA, TTL: 60, Data: [][]byte{{192, 0, 2, 1}}}
		for i := range s.numbers {
			for d := 7; d > 0; d-- {
				x.Owner[d] = byte('0' + i%10)
				i /= 10
			}
			if !yield(&x, nil) {
				return
			}
		}
	}
}

// TestLoadAllocatesNothingForANumber holds that a start makes no garbage: the
// allocations left are those of slabs and segments.
func TestLoadAllocatesNothingForANumber(t *testing.T) {
	kept := zonetest.NewStore(t, zonetest.Parse(t, "phones.example.", "@ SOA ns host 1 1 1 1 1\n"))
	const count = 50_000
	allocs := testing.AllocsPerRun(1, func() {
		z, err := zone.Open(context.Background(), zone.Options{
			Apex: rr.MustName("phones.example."), Store: &countingStore{kept, count}, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		z.Close()
	})
	if allocs > count/100 {
		t.Errorf("%.0f allocations for %d numbers", allocs, count)
	}
}
