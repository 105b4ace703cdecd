package transfer

import (
	"context"
	"errors"

	"dialtone/zone/store"
)

// alwaysWorth is the size in octets up to which a difference is sent whatever
// the size of the zone: it is one message or so either way.
const alwaysWorth = 32 << 10

// incremental answers with the difference from the client's serial. It is not
// done, and nothing was sent, when there is no history for it or the whole
// zone is cheaper: that is never an error (RFC 1995, section 4).
//
// The journal is read without holding the zone's version: what it says about
// two serials does not change.
func (a *reply) incremental(ctx context.Context) (done bool, err error) {
	a.reader.Begin()
	v := a.look()
	_, octets := v.Size()
	a.reader.End()

	d, err := a.difference(ctx, a.budget(octets))
	if err != nil && ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		if !errors.Is(err, errTooMuch) && !errors.Is(err, store.ErrNoHistory) {
			a.opt.Logger.Warn("journal cannot be read for IXFR, the whole zone is sent", "op", a.op(), "remote", a.Remote,
				"zone", a.zone.Apex().String(), "serial", a.Serial, "err", err)
		}
		return false, nil
	}
	a.stats.Style = Incremental
	p := a.packer(ctx)
	if err = d.pack(p, a); errors.Is(err, errOverflow) {
		return false, nil
	}
	return true, a.end(p, err)
}

// difference condenses the journal. Over TCP, where that can take memory and
// time, transfers take turns; they wait for each other's work, never for
// each other's peers.
func (a *reply) difference(ctx context.Context, b budget) (*difference, error) {
	if a.TCP {
		select {
		case a.condensing <- struct{}{}:
			defer func() { <-a.condensing }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return condense(ctx, a.zone.Journal(a.Serial, a.stats.Serial), a.Serial, a.stats.Serial, b, a.opt.Yield)
}

// pack writes the sequence of RFC 1995, section 4.
func (d *difference) pack(p *packer, a *reply) error {
	if err := p.rr(a.soa); err != nil {
		return err
	}
	if err := p.rr(d.oldSOA); err != nil {
		return err
	}
	if err := d.deleted.each(p.record); err != nil {
		return err
	}
	if err := p.rr(a.soa); err != nil {
		return err
	}
	if err := d.added.each(p.record); err != nil {
		return err
	}
	return p.rr(a.soa)
}

// budget: a difference larger than the zone is not worth its work, nor is one
// for which much more journal has to be read than the zone is large. Phones
// that come and go leave long journals behind small differences. What cannot
// go into one datagram is not worth much reading either.
func (a *reply) budget(zone int64) budget {
	size := int(zone)
	if !a.TCP {
		return budget{read: 256 << 10, hold: 64 << 10, keep: 8 << 10}
	}
	return budget{
		read: max(4*size, 1<<20),
		hold: a.opt.MaxDifference,
		keep: min(max(size, alwaysWorth), a.opt.MaxDifference),
	}
}
