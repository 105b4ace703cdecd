package zone

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/zone/rr"
	"dialtone/zone/store"
	"dialtone/zone/table"
)

// Leases
//
// A lease is of a number: the label next to the apex, and all that is below it.
// It is no zone data: a refresh changes neither serial nor journal. Of each
// number memory has the ends of its leases and when its key signed last
// (table.Leases); the store has the rest, too, and gets it in the transaction of
// the commit that it belongs to.
//
// When a lease ends
//
//	readers  stop to see the number: EndLeases, called several times a second,
//	         puts it into the set of ended ones, and a look-up that comes to it
//	         there finds nothing
//	updates  find the number without records, since the Draft takes them away
//	         before the first op of a batch that speaks of it
//	the zone loses the records by ops in the writer's queue, some hundred
//	         numbers each, one op after the other, so that other updates come
//	         in between
//
// A number that is registered again leaves the set of ended ones before that is
// acknowledged.

// held is what a zone keeps beside records.
type held struct {
	any  atomic.Bool // there is something in leases
	told sync.Once   // Options.Leases has heard of it
	// ended are the numbers whose leases have ended, until the records are gone;
	// nil for none, which is nearly always.
	ended atomic.Pointer[hidden]

	mu struct {
		sync.Mutex
		leases  table.Leases
		signers map[rr.Name]rr.Signer
		queue   []string       // numbers whose lease or key lease is to be ended
		pending *table.Numbers // those that are or were in queue since it was empty; nil for none
		going   bool           // an op is under way, or rests before it
		since   time.Time      // when queue began to fill
	}

	endedCount atomic.Uint64
}

// hidden are numbers that look-ups do not see. It is immutable.
type hidden struct {
	ended *table.Numbers
	alive *table.Numbers // of them, those that were registered again; nil for none
}

func (h *hidden) has(number []byte) bool {
	return h.ended.Has(number) && (h.alive == nil || !h.alive.Has(number))
}

// maxAlive is when hidden is made anew without those that live.
const maxAlive = 1024

// loadHeld reads what the store holds beside records.
func (z *Zone) loadHeld() error {
	h := &z.held
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.leases.Init(&z.table)
	err := z.o.Store.Leases(func(number []byte, r rr.Registration) { h.mu.leases.Load(number, leaseOf(&r)) })
	if err != nil {
		return err
	}
	list, err := z.o.Store.Signers()
	h.mu.signers = make(map[rr.Name]rr.Signer, len(list))
	for _, s := range list {
		h.mu.signers[s.Key] = s
	}
	z.noteLeasesLocked()
	return err
}

// noteLeasesLocked is called when something has been put into leases.
func (z *Zone) noteLeasesLocked() {
	h := &z.held
	h.any.Store(h.mu.leases.Len() > 0)
	if h.mu.leases.Len() > 0 {
		h.told.Do(func() { z.o.Leases(z) })
	}
}

// leaseOf is what memory keeps of a registration, and registrationOf the other
// way.
func leaseOf(r *rr.Registration) table.Lease {
	return table.Lease{End: r.Lease, KeyEnd: r.KeyLease, Signed: r.Signed, Public: r.Public}
}

func registrationOf(number string, l table.Lease) rr.Registration {
	return rr.Registration{Number: number, Lease: l.End, KeyLease: l.KeyEnd, Signed: l.Signed, Public: l.Public}
}

func (h *held) lease(number string) table.Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.leases.Get(number)
}

// Leased counts numbers with a lease or a key that signed, and the octets of
// memory that this takes.
func (z *Zone) Leased() (numbers int, octets int64) {
	h := &z.held
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.leases.Len(), h.mu.leases.Octets()
}

// Leases counts the numbers with a lease that runs, or that has ended less than a moment ago.
func (z *Zone) Leases() int {
	h := &z.held
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.leases.Running()
}

// HasLease tells whether a number has a lease, or its KEY record has one, that runs or has just ended.
func (z *Zone) HasLease(number string) bool {
	l := z.held.lease(number)
	return l.End != 0 || l.KeyEnd != 0
}

// LeaseEnd tells when the lease of a number ends, in milliseconds since 1970; 0 when it has none.
func (z *Zone) LeaseEnd(number string) int64 { return z.held.lease(number).End }

// KeyEnded tells whether the key lease of a number has ended, though its KEY may
// still be there.
func (z *Zone) KeyEnded(number string, now time.Time) bool {
	end := z.held.lease(number).KeyEnd
	return end != 0 && end <= now.UnixMilli()
}

// LeasesEnded counts the leases that ended since the start; key leases do not
// count.
func (z *Zone) LeasesEnded() uint64 { return z.held.endedCount.Load() }

// applyHeld takes over what a commit has put beside records. It comes after its
// records are published.
func (z *Zone) applyHeld(c *store.Held) {
	h := &z.held
	if len(c.Registrations)+len(c.Signers) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range c.Registrations {
		r := &c.Registrations[i]
		h.mu.leases.Put(strings.Clone(r.Number), leaseOf(r))
	}
	for _, s := range c.Signers {
		s.Key = rr.Name(strings.Clone(string(s.Key)))
		h.mu.signers[s.Key] = s
	}
	z.noteLeasesLocked()
}

// truth gives what memory has of what a failed commit would have put. What only
// the store had, who registered a number and from where, is lost by it.
func (h *held) truth(c *store.Held) (t store.Held) {
	for _, r := range c.Registrations {
		t.Registrations = append(t.Registrations, registrationOf(r.Number, h.lease(r.Number)))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range c.Signers {
		was := h.mu.signers[s.Key]
		was.Key = s.Key // it may not have signed before
		t.Signers = append(t.Signers, was)
	}
	return t
}

// revive shows the numbers of a batch again that live. Those that the batch has
// only taken the records of may stay hidden: there is nothing to be seen.
func (h *held) revive(numbers map[string]*draftNumber, now int64) {
	if h.ended.Load() == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.ended.Load()
	if old == nil { // EndLeases was faster
		return
	}
	var alive []string
	for number, n := range numbers {
		if l := h.mu.leases.Get(number); (!n.ended || n.added) && old.has([]byte(number)) && (l.End == 0 || l.End > now) {
			alive = append(alive, number)
		}
	}
	if len(alive) == 0 {
		return
	}
	next := &hidden{old.ended, withMore(old.alive, alive, 0)}
	if next.alive.Len() > maxAlive {
		next = &hidden{ended: without(next.ended, next.alive)}
	}
	h.ended.Store(next)
}

// EndLeases hides the numbers whose leases have ended by now, and queues ops
// that take their records away. It is to be called some times a second.
func (z *Zone) EndLeases(now time.Time) {
	h := &z.held
	if !h.any.Load() && h.ended.Load() == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.mu.going && len(h.mu.queue) == 0 {
		h.mu.pending, h.mu.since = nil, time.Now()
	}
	old := h.ended.Load()
	var hide, due []string
	var p pauses
	h.mu.leases.Due(now.UnixMilli(), func(number string, key bool) bool {
		p.step()
		// What ends with a key lease is no answer that anybody is led by.
		if !key && (old == nil || !old.has([]byte(number))) {
			hide = append(hide, number)
		}
		if h.mu.pending == nil || !h.mu.pending.Has([]byte(number)) {
			due = append(due, number)
		}
		return true
	})
	if len(due) > 0 {
		waited := len(h.mu.queue)
		h.mu.pending = withMore(h.mu.pending, nil, len(due))
		for _, number := range due { // both of its leases may have ended
			p.step()
			if !h.mu.pending.Has([]byte(number)) {
				h.mu.pending.Add(number)
				h.mu.queue = append(h.mu.queue, number)
			}
		}
		due = h.mu.queue[waited:]
	}
	switch {
	case h.mu.pending == nil:
		h.ended.Store(nil)
	case len(hide) > 0:
		h.ended.Store(h.hideMore(old, hide, len(hide) == len(due) && h.mu.pending.Len() == len(due)))
	}
	z.endSomeLocked()
}

// hideMore hides numbers beside the old ones, which are forgotten when all of
// them are over.
func (h *held) hideMore(old *hidden, more []string, over bool) *hidden {
	switch {
	case old == nil || over:
		return &hidden{ended: withMore(nil, more, 0)}
	case old.alive == nil:
		return &hidden{ended: withMore(old.ended, more, 0)}
	}
	// One of more may be among those that lived again.
	return &hidden{ended: withMore(without(old.ended, old.alive), more, 0)}
}

// withMore makes a set of an old one, which may be nil, and more, with room for
// others.
func withMore(old *table.Numbers, more []string, room int) *table.Numbers {
	n := len(more) + room
	if old != nil {
		n += old.Len()
	}
	s := table.NewNumbers(n)
	var p pauses
	add := func(number string) {
		p.step()
		s.Add(number)
	}
	if old != nil {
		old.All(add)
	}
	for _, number := range more {
		add(number)
	}
	return s
}

func without(s, others *table.Numbers) *table.Numbers {
	rest := table.NewNumbers(s.Len())
	var p pauses
	s.All(func(number string) {
		p.step()
		if !others.Has([]byte(number)) {
			rest.Add(number)
		}
	})
	return rest
}

// pauses lets others have the processor while there is much to do: on one, a
// query would wait for all of it.
type pauses struct{ steps int }

func (p *pauses) step() {
	if p.steps++; p.steps%512 == 0 {
		runtime.Gosched()
	}
}

const (
	// endAtOnce is how many numbers one op takes the records of: about a
	// millisecond's work.
	endAtOnce = 128
	// endWithin is in what time all that end at once should be gone. Ops rest
	// twice as long as they work as long as that is enough: nobody sees the
	// numbers any more, and queries need the processor. Measured with 200,000 on
	// one: without the rest they were gone in 3 s, and queries meanwhile took 10
	// ms and up to 93.
	endWithin = 10 * time.Second
)

// restLocked tells how long the next op should wait.
func (h *held) restLocked(took time.Duration) time.Duration {
	left := (len(h.mu.queue) + endAtOnce - 1) / endAtOnce
	if left == 0 {
		return 0
	}
	each := (endWithin - time.Since(h.mu.since)) / time.Duration(left)
	return max(min(2*took, each-took), 0)
}

// endSomeLocked queues the next op, if none is under way. What cannot be queued
// now is tried again by the next EndLeases.
func (z *Zone) endSomeLocked() {
	h := &z.held
	if _, frozen := z.Frozen(); frozen || h.mu.going || len(h.mu.queue) == 0 {
		return
	}
	n := min(len(h.mu.queue), endAtOnce)
	op := &endOp{z: z, numbers: h.mu.queue[:n:n], begun: time.Now()}
	if z.Submit(op) == nil {
		h.mu.going = true
		if h.mu.queue = h.mu.queue[n:]; len(h.mu.queue) == 0 {
			h.mu.queue = nil
		}
	}
}

// endOp takes the records of numbers away whose leases have ended.
type endOp struct {
	z       *Zone
	numbers []string
	ended   uint64
	begun   time.Time
}

// Evaluate looks at each number, which ends its lease if that is due.
func (e *endOp) Evaluate(d *Draft) error {
	d.held.used = true
	if err := d.lookBelow(e.numbers); err != nil {
		return err
	}
	e.ended = 0
	for i, number := range e.numbers {
		if n := d.number(number); n.ended {
			e.ended++
		}
		if i%16 == 15 {
			runtime.Gosched() // queries have waited for a tenth of a millisecond
		}
	}
	return nil
}

// Shrinks tells the writer that the op makes room.
func (e *endOp) Shrinks() bool { return true }

// Done goes on with the next op. What failed comes again with EndLeases.
func (e *endOp) Done(c Committed) {
	h := &e.z.held
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.going = false
	if c.Err != nil {
		h.mu.queue, h.mu.pending = nil, nil // all that is due is found again
		if !errors.Is(c.Err, ErrStore) && !errors.Is(c.Err, ErrFrozen) && !errors.Is(c.Err, ErrClosed) {
			e.z.log.Error("leases cannot be ended", "op", "lease", "zone", e.z.apex.String(), "first", e.numbers[0], "err", c.Err)
		}
		return
	}
	if h.endedCount.Add(e.ended); e.ended > 0 {
		e.z.log.Info("leases ended", "op", "lease", "zone", e.z.apex.String(), "numbers", e.ended, "first", e.numbers[0], "serial", c.Serial)
	}
	rest := h.restLocked(time.Since(e.begun))
	if rest == 0 {
		e.z.endSomeLocked()
		return
	}
	h.mu.going = true
	time.AfterFunc(rest, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.mu.going = false
		e.z.endSomeLocked()
	})
}
