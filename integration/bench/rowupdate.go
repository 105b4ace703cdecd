//go:build linux

package main

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"dialtone/integration/bench/load"
)

// What the update loads have outstanding.
const (
	updateSockets = 8
	updateWindow  = 32
	updateTimeout = 5 * time.Second
)

// updatesByDnsperf measures signed updates that dnsperf sends.
func (b *bench) updatesByDnsperf(ctx context.Context, s *server, line string) error {
	before := s.cpu()
	p, err := b.dnsperf(ctx, s, s.data.updates, "-u", "-y", "hmac-sha256:"+keyName+":"+secret,
		"-q", fmt.Sprint(updateSockets*updateWindow))
	used := s.cpu() - before
	if err == nil {
		err = p.only("NOERROR")
	}
	if err != nil {
		return err
	}
	b.put(line, s.kind.name, p.rate())
	b.cost(line, s, used, p.took, float64(p.done))
	b.put(line+".lost", s.kind.name, float64(p.lost))
	return nil
}

// updates are the options of our own load.
func (b *bench) updates(s *server) load.UpdateOptions {
	return load.UpdateOptions{Addr: s.addr, Zone: zoneName, Key: load.Key{Name: keyName, Secret: secret}, First: s.data.first,
		Count: s.data.numbers, Sockets: updateSockets, Window: updateWindow, Timeout: updateTimeout, For: b.plan.load}
}

func acknowledged(r *load.UpdateResult, err error) error {
	if err != nil {
		return err
	}
	return onlyRcodes(r.Rcodes, r.Acked+r.Refused(), dns.RcodeSuccess)
}

// oneByOne measures what one client waits for one update, and beside it what the disk takes for one small promise.
func (b *bench) oneByOne(ctx context.Context, s *server) error {
	if s.kind == dialtone {
		took, err := timeWrites(s.set.dir, b.plan.oneByOne)
		if err != nil {
			return err
		}
		b.put("one.disk", dialtone.name, milliseconds(took))
	}
	o := b.updates(s)
	o.Sockets, o.Window, o.Total = 1, 1, uint64(b.plan.oneByOne)
	r, err := load.Updates(ctx, o)
	if err := acknowledged(r, err); err != nil {
		return err
	}
	b.put("one.update", s.kind.name, milliseconds(r.Latency.Percentile(50)))
	return nil
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

// sharing measures how long queries wait while updates go on, with both cores for server and loads alike.
func (b *bench) sharing(ctx context.Context) error {
	for round := range b.plan.rounds {
		for _, k := range []*kind{dialtone, knot} {
			b.say("round %d of %d: %s, queries beside updates", round+1, b.plan.rounds, k.name)
			visit := func() error { return b.shareVisit(ctx, k) }
			if err := b.try(ctx, "row 8", k, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) shareVisit(ctx context.Context, k *kind) error {
	var cores []int
	if b.plan.pin {
		cores = []int{serverCore, loadCore}
	}
	s, err := b.prepare(ctx, k, b.plan.numbers, how{cores: cores})
	if err != nil {
		return err
	}
	defer b.discard(s)
	if _, err := s.start(ctx); err != nil {
		return err
	}
	// Two loads and this goroutine run at once.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	o := load.PaceOptions{Addr: s.addr, Packets: s.data.packets, Sockets: 4, Rate: b.plan.queryRate, For: b.plan.load,
		Timeout: queryTimeout, Cores: cores}
	// What a server still does after its start is no part of either.
	warm := o
	warm.For /= 4
	if _, err := load.Pace(ctx, warm); err != nil {
		return err
	}
	if err := b.pace(ctx, s, "share.quiet", o); err != nil {
		return err
	}
	u := b.updates(s)
	var stop atomic.Bool
	var acked atomic.Uint64
	u.Rate, u.Stop, u.Acknowledged, u.Cores = b.plan.updateRate, &stop, &acked, cores
	type outcome struct {
		r   *load.UpdateResult
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := load.Updates(ctx, u)
		done <- outcome{r, err}
	}()
	for acked.Load() == 0 && len(done) == 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	err = b.pace(ctx, s, "share.busy", o)
	stop.Store(true)
	updates := <-done
	if err != nil {
		return err
	}
	if err := acknowledged(updates.r, updates.err); err != nil {
		return err
	}
	b.put("share.updates", k.name, updates.r.Rate())
	return nil
}

func (b *bench) pace(ctx context.Context, s *server, line string, o load.PaceOptions) error {
	r, err := load.Pace(ctx, o)
	if err == nil {
		err = onlyRcodes(r.Rcodes, r.Latency.Total(), dns.RcodeSuccess, dns.RcodeNameError)
	}
	if err != nil {
		return err
	}
	b.put(line, s.kind.name, milliseconds(r.Latency.Percentile(99)))
	b.put(line+".median", s.kind.name, milliseconds(r.Latency.Percentile(50)))
	b.put(line+".lost", s.kind.name, float64(r.Lost))
	b.put(line+".late", s.kind.name, milliseconds(r.Late))
	return nil
}
