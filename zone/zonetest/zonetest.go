package zonetest

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// Open makes a zone from master file text. It is closed with the test.
func Open(t testing.TB, apex, text string) *zone.Zone {
	t.Helper()
	return OpenWith(t, apex, text, func(*zone.Options) {})
}

// OpenWith is Open with a change of the options.
func OpenWith(t testing.TB, apex, text string, change func(*zone.Options)) *zone.Zone {
	t.Helper()
	name := rr.MustName(apex)
	o := zone.Options{Apex: name, Store: NewStore(t, Parse(t, apex, text)), Logger: slog.New(slog.DiscardHandler)}
	change(&o)
	z, err := zone.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { z.Close() })
	return z
}

// Zones opens one zone for each entry: apex to master file text.
func Zones(t testing.TB, texts map[string]string) *zone.Zones {
	t.Helper()
	zs := zone.NewZones()
	for apex, text := range texts {
		if err := zs.Add(Open(t, apex, text)); err != nil {
			t.Fatal(err)
		}
	}
	return zs
}

// Parse reads master file text into RRsets, in canonical order.
func Parse(t testing.TB, apex, text string) []store.OwnedRRset {
	t.Helper()
	var sets []store.OwnedRRset
	zp := dns.NewZoneParser(strings.NewReader(text), dns.Fqdn(apex), "")
	zp.SetDefaultTTL(3600)
	for m, ok := zp.Next(); ok; m, ok = zp.Next() {
		r, err := rr.FromMiekg(m)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(sets, func(s store.OwnedRRset) bool { return s.Set.Type == r.Type && s.Owner.EqualFold(r.Owner) })
		if i < 0 {
			sets = append(sets, store.OwnedRRset{Owner: r.Owner, Set: rr.RRset{Type: r.Type, TTL: r.TTL}})
			i = len(sets) - 1
		}
		if !sets[i].Set.Contains(r.Data) {
			sets[i].Set.Data = append(sets[i].Set.Data, r.Data)
		}
	}
	if err := zp.Err(); err != nil {
		t.Fatal(err)
	}
	Sort(sets)
	return sets
}

// Sort orders RRsets canonically by owner, then by type.
func Sort(sets []store.OwnedRRset) {
	slices.SortFunc(sets, func(a, b store.OwnedRRset) int {
		if c := a.Owner.Compare(b.Owner); c != 0 {
			return c
		}
		return int(a.Set.Type) - int(b.Set.Type)
	})
}

// Text gives what a view holds as sorted master file lines.
func Text(v zone.View) []string {
	var lines []string
	apex := v.Zone().Apex()
	for n := range v.Nodes() {
		owner := rr.Name(n.Owner()) + apex
		sets := n.Sets()
		for s, ok := sets.Next(); ok; s, ok = sets.Next() {
			data := s.Data()
			for d, ok := data.Next(); ok; d, ok = data.Next() {
				lines = append(lines, rr.RR{Owner: owner, Type: s.Type(), TTL: s.TTL(), Data: string(d)}.String())
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// Read gives Text of the current version.
func Read(z *zone.Zone) []string {
	r := zone.NewReader()
	defer r.Close()
	r.Begin()
	defer r.End()
	return Text(z.View())
}

// Op is a zone.Op made of functions.
type Op struct {
	OnEvaluate func(d *zone.Draft) error
	OnDone     func(zone.Committed) // may be nil
}

// Evaluate calls OnEvaluate.
func (o *Op) Evaluate(d *zone.Draft) error { return o.OnEvaluate(d) }

// Done calls OnDone.
func (o *Op) Done(c zone.Committed) {
	if o.OnDone != nil {
		o.OnDone(c)
	}
}

// Do submits one change and waits for it.
func Do(t testing.TB, z *zone.Zone, change func(d *zone.Draft) error) zone.Committed {
	t.Helper()
	done := make(chan zone.Committed, 1)
	if err := z.Submit(&Op{OnEvaluate: change, OnDone: func(c zone.Committed) { done <- c }}); err != nil {
		t.Fatal(err)
	}
	return <-done
}
