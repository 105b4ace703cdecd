package zone_test

import (
	"slices"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/zonetest"
)

// TestMemoryStoreAndJournalSpellAlike holds that names have one case wherever
// a zone is kept, however updates write them: a restart must not change what a
// serial names, and IXFR must lead to what AXFR shows.
func TestMemoryStoreAndJournalSpellAlike(t *testing.T) {
	type change = func(d *zone.Draft) error
	set := func(owner string, sets ...rr.RRset) change {
		name := rr.MustName(owner)
		return func(d *zone.Draft) error {
			for _, s := range sets {
				d.Set(name, s)
			}
			return nil
		}
	}
	ns := func(targets ...string) rr.RRset {
		s := rr.RRset{Type: dns.TypeNS, TTL: 60}
		for _, x := range targets {
			s.Data = append(s.Data, string(rr.MustName(x)))
		}
		return s
	}
	one := a(192, 0, 2, 1)
	six := rr.RRset{Type: dns.TypeAAAA, TTL: 60, Data: []string{"0123456789abcdef"}}
	noA, noAAAA := rr.RRset{Type: dns.TypeA}, rr.RRset{Type: dns.TypeAAAA}
	for name, batches := range map[string][][]change{
		"an empty non-terminal was spelled otherwise": {{set("x.Ent.phones.example.", one)}, {set("ent.phones.example.", one)}},
		"another type takes the place":                {{set("New.phones.example.", one)}, {set("new.phones.example.", noA, six)}},
		"one of two types comes back": {{set("New.phones.example.", one, six)},
			{set("NEW.phones.example.", noA, noAAAA, one)}},
		"gone and back in one batch":  {{set("New.phones.example.", one)}, {set("new.phones.example.", noA), set("new.phones.example.", six)}},
		"gone and back later":         {{set("New.phones.example.", one)}, {set("new.phones.example.", noA)}, {set("new.phones.example.", six)}},
		"the apex in another case":    {{set("new.PHONES.example.", one)}, {set("new.phones.EXAMPLE.", six)}},
		"a record among others":       {{set("d.phones.example.", ns("Ns1.example."))}, {set("d.phones.example.", ns("ns1.example.", "ns2.example."))}},
		"an RRset beside a change":    {{set("d.phones.example.", ns("Ns1.example."))}, {set("d.phones.example.", ns("ns1.example."), one)}},
		"an RRset that changed twice": {{set("d.phones.example.", ns("Ns1.example."))}, {set("d.phones.example.", ns("ns1.example.", "ns2.example.")), set("d.phones.example.", ns("ns1.example."), one)}},
	} {
		t.Run(name, func(t *testing.T) {
			st := zonetest.NewStore(t, zonetest.Parse(t, "phones.example.", sample))
			z := zonetest.OpenWith(t, "phones.example.", sample, func(o *zone.Options) { o.Store = st })
			copied := read(z)
			for _, ops := range batches {
				for _, c := range batch(t, z, ops...) {
					if c.Err != nil {
						t.Fatal(c.Err)
					}
				}
			}
			memory := read(z)
			if on := kept(t, st); !slices.Equal(on, memory) {
				t.Errorf("in memory only: %s\nin the store only: %s", without(memory, on), without(on, memory))
			}
			copied, err := replay(copied, z.Journal(10, 10+uint32(len(batches))))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(copied, memory) {
				t.Errorf("in memory only: %s\nin a copy only: %s", without(memory, copied), without(copied, memory))
			}
		})
	}
}
