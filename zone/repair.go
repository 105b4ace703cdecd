package zone

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// fail answers a batch that the store did not commit, and then tries to make
// the store work again until it does or the zone is closed. Ops that stand
// behind it or were queued meanwhile are refused, so that nobody waits for a
// broken disk.
func (w *writer) fail(c *store.Commit, err error) {
	z := w.z
	err = fmt.Errorf("%w: %w", ErrStore, err)
	z.fault.Store(&fault{err, time.Now()})
	z.log.Error("updates are refused until the store works again", "op", "commit", "zone", z.apex.String(),
		"serial", c.To, "err", err)
	z.o.Trace("fail")
	serial := z.cur.Load().serial
	for _, op := range slices.Concat(w.ops, w.behind) {
		op.Done(Committed{Err: err, Serial: serial})
	}
	w.behind = nil
	if len(c.Sets) > 0 {
		w.burn(c)
	}
	truth, held := w.truth(c), z.held.truth(&c.Held)
	tick := time.NewTicker(z.o.RepairEvery)
	defer tick.Stop()
	for tries := 1; ; tries++ {
		again := z.o.Store.Repair(truth, held, w.burned)
		if again == nil {
			break
		}
		if tries&(tries-1) == 0 { // 1, 2, 4, 8 ...: loud, but not a flood
			z.log.Error("the store still cannot commit", "op", "repair", "zone", z.apex.String(), "tries", tries, "err", again)
		}
		if !w.refuseUntil(tick.C, err) {
			z.log.Error("closed before the store worked again; what was acknowledged is kept", "op", "repair", "zone", z.apex.String())
			return
		}
	}
	z.fault.Store(nil)
	z.log.Warn("the store works again", "op", "repair", "zone", z.apex.String(), "serial", serial)
	z.o.Trace("repaired")
}

// burnable is how far ahead a serial may be to be burned, so that others can
// still follow it: serials are compared half way round (RFC 1982).
const burnable = 1<<31 - 1<<16

// burn keeps the serial of a failed commit from being used again, unless it
// jumped so far that this would leave no serial to go on with. Then only the
// repair stands between it and a second content, and that is enough: a process
// that repairs has never shown the failed commit, and one that finds it on
// disk after a crash never repairs it.
func (w *writer) burn(c *store.Commit) {
	switch {
	case c.To-c.From < burnable:
		w.burned = c.To
	case w.burned == 0:
		w.burned = c.From
	}
}

// truth gives what memory says of the RRsets that a failed commit touched.
func (w *writer) truth(c *store.Commit) []store.OwnedRRset {
	sets := make([]store.OwnedRRset, 0, len(c.Sets))
	for _, s := range c.Sets {
		n := w.draft.node(s.Owner)
		was, ok := findSet(n.before, s.Set.Type)
		if !ok {
			was = rr.RRset{Type: s.Set.Type}
		}
		sets = append(sets, store.OwnedRRset{Owner: n.owner, Set: was})
	}
	return sets
}

// refuseUntil refuses what is in the queue until the next tick; false when
// the zone was closed.
func (w *writer) refuseUntil(tick <-chan time.Time, err error) bool {
	q := &w.z.queue
	for {
		op, open := q.take()
		switch {
		case op != nil:
			op.Done(Committed{Err: err, Serial: w.z.cur.Load().serial})
			continue
		case !open:
			return false
		}
		select {
		case <-q.wake:
		case <-tick:
			return true
		}
	}
}

// trimmer keeps the journal in its bounds, beside the writer and never in its
// way.
type trimmer struct {
	z    *Zone
	last time.Time
	done chan struct{} // holds a token while no trim is under way
}

const trimEvery = 5 * time.Second

// start begins a trim when the last one is a while ago.
func (t *trimmer) start() {
	if now := time.Now(); now.Sub(t.last) >= trimEvery {
		select {
		case <-t.done:
			t.last = now
			go t.run(now)
		default:
		}
	}
}

// run is one trim; Close waits for it.
func (t *trimmer) run(now time.Time) {
	b := t.z.bounds.Load()
	if err := t.z.o.Store.Trim(now, b.JournalMaxAge, b.JournalMaxSize); err != nil && t.z.Failed() == nil {
		t.z.log.Warn("journal is not trimmed", "op", "trim", "zone", t.z.apex.String(), "err", err)
		if errors.Is(err, store.ErrCorrupt) && t.z.damage.CompareAndSwap(nil, &fault{err, now}) {
			t.z.log.Error("what is stored of the zone is damaged: dialtone zone export comes before a restart", "op", "trim", "zone", t.z.apex.String())
		}
	}
	t.done <- struct{}{}
}
