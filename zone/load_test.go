package zone_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
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

// TestLoadedIsWhatIsStored opens a zone from what went into its store, and one
// from the store: they are the same, and take the same changes.
func TestLoadedIsWhatIsStored(t *testing.T) {
	text := strings.Builder{}
	text.WriteString(sample)
	for i := range 100 {
		fmt.Fprintf(&text, "%d A 10.0.0.%d\n%d AAAA 2001:db8::%d\nX%d.Deep TXT \"%d\"\n", i, i, i, i, i, i)
	}
	apex := rr.MustName("phones.example.")
	kept := zonetest.NewStore(t, zonetest.Parse(t, "phones.example.", text.String()))
	loaded := zone.NewLoaded(apex, 10_000)
	for s, err := range kept.All() {
		if err == nil {
			err = loaded.Add(s)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	openWith := func(l *zone.Loaded) *zone.Zone {
		z, err := zone.Open(context.Background(), zone.Options{
			Apex: apex, Store: zonetest.NewStore(t, kept.Sets()), Loaded: l, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { z.Close() })
		return z
	}
	ours, theirs := openWith(loaded), openWith(nil)
	same := func() {
		t.Helper()
		if got, want := zonetest.Read(ours), zonetest.Read(theirs); !slices.Equal(got, want) || len(got) < 300 {
			t.Errorf("%d records are loaded, %d are stored", len(got), len(want))
		}
		one, octets := sizeOf(ours)
		two, wantOctets := sizeOf(theirs)
		if one != two || octets != wantOctets {
			t.Errorf("%d names and %d octets are loaded, %d and %d are stored", one, octets, two, wantOctets)
		}
	}
	same()
	for _, z := range []*zone.Zone{ours, theirs} {
		c := zonetest.Do(t, z, func(d *zone.Draft) error {
			d.Set(rr.MustName("x7.deep.phones.example."), rr.RRset{Type: dns.TypeTXT})
			return nil
		})
		if c.Err != nil || !c.Changed {
			t.Fatal(c)
		}
	}
	same()
	if err := zone.NewLoaded(apex, 0).Add(&rr.Octets{Owner: []byte("\x01x\x00"), Type: dns.TypeA}); err == nil {
		t.Error("a name outside the zone is taken")
	}
}

func sizeOf(z *zone.Zone) (names int, octets int64) {
	r := zone.NewReader()
	defer r.Close()
	r.Begin()
	defer r.End()
	return z.View().Size()
}
