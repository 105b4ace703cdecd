//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"dialtone/integration/bench/load"
)

// firstStarts measures the start from a zone file, with nothing stored yet.
func (b *bench) firstStarts(ctx context.Context) error {
	for round := range b.plan.rounds {
		for _, k := range []*kind{dialtone, knot} {
			b.say("round %d of %d: first start of %s", round+1, b.plan.rounds, k.name)
			visit := func() error { return b.firstStart(ctx, k) }
			if err := b.try(ctx, "row 12", k, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) firstStart(ctx context.Context, k *kind) error {
	// The store of the other rows was made by such a start.
	if took, ok := b.firsts[b.plan.numbers]; ok && k == dialtone {
		delete(b.firsts, b.plan.numbers)
		b.put("start.first", k.name, took.Seconds())
		return nil
	}
	s, err := b.prepare(ctx, k, b.plan.numbers, how{empty: true})
	if err != nil {
		return err
	}
	defer b.discard(s)
	took, err := s.start(ctx)
	if err != nil {
		return err
	}
	b.put("start.first", k.name, took.Seconds())
	return nil
}

// memoryOf measures what a server holds once it has come to rest: after some answers, when all looks in a third of the time
// that it is given see the same.
func (b *bench) memoryOf(ctx context.Context, s *server, line string) error {
	if _, err := load.Queries(ctx, load.QueryOptions{Addr: s.addr, Packets: s.data.packets, Sockets: 1, Window: 10,
		For: 50 * time.Millisecond, Timeout: queryTimeout}); err != nil {
		return err
	}
	const apart = 250 * time.Millisecond
	rest, since := int64(-1), time.Duration(0)
	for waited := time.Duration(0); ; waited += apart {
		now, err := s.memory()
		if err != nil {
			return err
		}
		if change := max(now, rest) - min(now, rest); rest < 0 || change >= now/200 {
			rest, since = now, waited
		}
		if waited-since >= b.plan.settle/3 || waited >= b.plan.settle {
			b.put(line, s.kind.name, float64(now)/(1<<20))
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(apart):
		}
	}
}

// growing measures the memory after many updates, and after as many again.
func (b *bench) growing(ctx context.Context) error {
	return b.try(ctx, "row 13", dialtone, func() error {
		s, err := b.prepare(ctx, dialtone, b.plan.numbers, how{})
		if err != nil {
			return err
		}
		defer b.discard(s)
		if _, err := s.start(ctx); err != nil {
			return err
		}
		for i, line := range []string{"memory.once", "memory.twice"} {
			o := b.updates(s)
			o.Total, o.Seed = uint64(b.plan.growth), uint64(i)
			r, err := b.watched(ctx, o, "row 13", nil)
			if err := acknowledged(r, err); err != nil {
				return err
			}
			if err := b.memoryOf(ctx, s, line); err != nil {
				return err
			}
		}
		return nil
	})
}

// disk measures what the store occupies while a bounded journal sees many more updates than it can hold.
func (b *bench) disk(ctx context.Context) error {
	return b.try(ctx, "row 14", dialtone, func() error {
		s, err := b.prepare(ctx, dialtone, b.plan.diskNumbers, how{})
		if err != nil {
			return err
		}
		defer b.discard(s)
		if _, err := s.start(ctx); err != nil {
			return err
		}
		o := b.updates(s)
		o.Total = uint64(b.plan.diskUpdates)
		var samples []float64
		var fault error
		look := func(acked uint64) string {
			n, err := diskUsed(filepath.Join(s.set.dir, "data"))
			if err != nil {
				fault = err
			}
			samples = append(samples, float64(n)/(1<<20))
			return fmt.Sprintf(", %.0f MiB on disk", samples[len(samples)-1])
		}
		r, err := b.watched(ctx, o, "row 14", look)
		if err := acknowledged(r, err); err != nil {
			return err
		}
		if look(r.Acked); fault != nil {
			return fault
		}
		half := len(samples) / 2
		b.put("disk.size", dialtone.name, slices.Max(samples))
		b.put("disk.steady", dialtone.name, slices.Max(samples[half:])/slices.Max(samples[:half+1]))
		b.put("disk.gap", dialtone.name, milliseconds(r.Gap))
		b.put("disk.rate", dialtone.name, r.Rate())
		return nil
	})
}

// looks is how often a watched load is looked at.
const looks = 20

// watched runs many updates and says how far they are. Look, when not nil, is called at each twentieth of them and adds to what
// is said. It runs beside the load, which does not wait for it.
func (b *bench) watched(ctx context.Context, o load.UpdateOptions, row string, look func(acked uint64) string) (*load.UpdateResult, error) {
	var acked atomic.Uint64
	o.Acknowledged = &acked
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		b.watch(o.Total, &acked, done, row, look)
	}()
	r, err := load.Updates(ctx, o)
	close(done)
	<-ended
	return r, err
}

func (b *bench) watch(total uint64, acked *atomic.Uint64, done <-chan struct{}, row string, look func(acked uint64) string) {
	step := max(1, total/looks)
	begin, said := time.Now(), time.Now()
	for next := step; ; {
		select {
		case <-done:
			return
		case <-time.After(20 * time.Millisecond):
		}
		n := acked.Load()
		if n < next {
			continue
		}
		next = n/step*step + step
		more := ""
		if look != nil {
			more = look(n)
		}
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			b.say("%s  %s of %s updates, %s/s%s", row, thousands(float64(n), 0), thousands(float64(total), 0),
				thousands(float64(n)/time.Since(begin).Seconds(), 0), more)
		}
	}
}
