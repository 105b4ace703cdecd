//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"dialtone/integration/bench/load"
)

// zoneTransfer measures one AXFR of the whole zone.
func (b *bench) zoneTransfer(ctx context.Context, s *server) error {
	r, err := load.Transfer(ctx, s.addr, zoneName, load.TypeAXFR, 0)
	if err != nil {
		return err
	}
	// Two SOA, NS, the address of the name server, and the numbers.
	if want := s.data.numbers + 4; r.Records != want {
		return fmt.Errorf("the transfer has %d records, not %d", r.Records, want)
	}
	b.put("axfr", s.kind.name, r.Took.Seconds())
	b.put("axfr.octets", s.kind.name, float64(r.Octets)/(1<<20))
	return nil
}

// history measures the IXFR across many updates to few numbers. The updates are done once, the transfer in every round.
func (b *bench) history(ctx context.Context) error {
	for _, k := range []*kind{dialtone, bind} {
		b.say("%s: %s updates, then the IXFR across them", k.name, thousands(float64(b.plan.historyUpdates), 0))
		visit := func() error { return b.historyVisit(ctx, k) }
		if err := b.try(ctx, "row 10", k, visit); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) historyVisit(ctx context.Context, k *kind) error {
	// In a zone of these numbers alone, the whole zone would be the smaller answer.
	s, err := b.prepare(ctx, k, 10*b.plan.historyNumbers, how{history: true})
	if err != nil {
		return err
	}
	defer b.discard(s)
	if _, err := s.start(ctx); err != nil {
		return err
	}
	before, err := serialOf(s.addr)
	if err != nil {
		return err
	}
	o := b.updates(s)
	o.Total, o.Count = uint64(b.plan.historyUpdates), b.plan.historyNumbers
	r, err := b.watched(ctx, o, "row 10", nil)
	if err := acknowledged(r, err); err != nil {
		return err
	}
	for range b.plan.rounds {
		t, err := load.Transfer(ctx, s.addr, zoneName, load.TypeIXFR, before)
		switch {
		case err != nil:
			return err
		case !t.Incremental:
			return fmt.Errorf("it sends the whole zone in place of the changes")
		}
		b.put("ixfr", k.name, t.Took.Seconds())
		b.put("ixfr.octets", k.name, float64(t.Octets)/(1<<10))
	}
	return nil
}

func serialOf(addr string) (uint32, error) {
	q := new(dns.Msg)
	q.SetQuestion(zoneName, dns.TypeSOA)
	c := dns.Client{Timeout: 5 * time.Second}
	r, _, err := c.Exchange(q, addr)
	if err != nil {
		return 0, err
	}
	for _, a := range r.Answer {
		if soa, ok := a.(*dns.SOA); ok {
			return soa.Serial, nil
		}
	}
	return 0, fmt.Errorf("no SOA of %s: %s", zoneName, dns.RcodeToString[r.Rcode])
}
