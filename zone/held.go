package zone

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

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
	any atomic.Bool // there is something in leases
	// ended are the numbers whose leases have ended, until the records are gone;
	// nil for none, which is nearly always.
	ended atomic.Pointer[hidden]

	mu struct {
		sync.Mutex
		leases  table.Leases
		signers map[rr.Name]rr.Signer
		queue   []string       // numbers whose lease or key lease is to be ended
		pending *table.Numbers // those that are or were in queue since it was empty; nil for none
		going   bool           // an op is under way
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
	err := z.o.Store.Leases(func(number []byte, lease, keyLease int64, signed uint32) {
		h.mu.leases.Load(number, table.Lease{End: lease, KeyEnd: keyLease, Signed: signed})
	})
	if err != nil {
		return err
	}
	list, err := z.o.Store.Signers()
	h.mu.signers = make(map[rr.Name]rr.Signer, len(list))
	for _, s := range list {
		h.mu.signers[s.Key] = s
	}
	h.any.Store(h.mu.leases.Len() > 0)
	return err
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

// KeyEnded tells whether the key lease of a number has ended, though its KEY may
// still be there.
func (z *Zone) KeyEnded(number string, now time.Time) bool {
	end := z.held.lease(number).KeyEnd
	return end != 0 && end <= now.UnixMilli()
}

// LeasesEnded counts the leases that ended since the start; key leases do not
// count.
func (z *Zone) LeasesEnded() uint64 { return z.held.endedCount.Load() }

// apply takes over what a commit has put beside records. It comes after its
// records are published.
func (h *held) apply(c *store.Held) {
	if len(c.Registrations)+len(c.Signers) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range c.Registrations {
		r := &c.Registrations[i]
		h.mu.leases.Put(strings.Clone(r.Number), table.Lease{End: r.Lease, KeyEnd: r.KeyLease, Signed: r.Signed})
	}
	for _, s := range c.Signers {
		s.Key = rr.Name(strings.Clone(string(s.Key)))
		h.mu.signers[s.Key] = s
	}
	h.any.Store(h.mu.leases.Len() > 0)
}

// truth gives what memory has of what a failed commit would have put. What only
// the store had, who registered a number and from where, is lost by it.
func (h *held) truth(c *store.Held) (t store.Held) {
	for _, r := range c.Registrations {
		l := h.lease(r.Number)
		t.Registrations = append(t.Registrations, rr.Registration{Number: r.Number, Lease: l.End, KeyLease: l.KeyEnd, Signed: l.Signed})
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
	old := h.ended.Load()
	if old == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	old = h.ended.Load()
	var alive []string
	for number, n := range numbers {
		if l := h.mu.leases.Get(number); (!n.ended || n.added) && old.has([]byte(number)) && (l.End == 0 || l.End > now) {
			alive = append(alive, number)
		}
	}
	if len(alive) == 0 {
		return
	}
	next := &hidden{old.ended, withMore(old.alive, alive)}
	if next.alive.Len() > maxAlive {
		rest := table.NewNumbers(next.ended.Len())
		next.ended.All(func(number string) {
			if !next.alive.Has([]byte(number)) {
				rest.Add(number)
			}
		})
		next = &hidden{ended: rest}
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
		h.mu.pending = nil
	}
	old := h.ended.Load()
	var hide, queue []string
	h.mu.leases.Due(now.UnixMilli(), func(number string, key bool) bool {
		// What ends with a key lease is no answer that anybody is led by.
		if !key && (old == nil || !old.has([]byte(number))) {
			hide = append(hide, number)
		}
		if h.mu.pending == nil || !h.mu.pending.Has([]byte(number)) {
			queue = append(queue, number)
		}
		return true
	})
	if len(queue) > 0 {
		queue = slices.Compact(slices.Sorted(slices.Values(queue))) // both of its leases may have ended
		h.mu.pending = withMore(h.mu.pending, queue)
		h.mu.queue = append(h.mu.queue, queue...)
	}
	switch {
	case h.mu.pending == nil:
		h.ended.Store(nil)
	case len(hide) > 0:
		h.ended.Store(h.hideMore(old, hide, len(hide) == len(queue) && h.mu.pending.Len() == len(queue)))
	}
	z.endSomeLocked()
}

// hideMore hides numbers beside the old ones, which are forgotten when all of
// them are over.
func (h *held) hideMore(old *hidden, more []string, over bool) *hidden {
	if old == nil || over {
		return &hidden{ended: withMore(nil, more)}
	}
	if old.alive == nil {
		return &hidden{ended: withMore(old.ended, more)}
	}
	// One of more may be among those that lived again.
	rest := table.NewNumbers(old.ended.Len() + len(more))
	old.ended.All(func(number string) {
		if !old.alive.Has([]byte(number)) {
			rest.Add(number)
		}
	})
	for _, number := range more {
		rest.Add(number)
	}
	return &hidden{ended: rest}
}

func withMore(old *table.Numbers, more []string) *table.Numbers {
	n := len(more)
	if old != nil {
		n += old.Len()
	}
	s := table.NewNumbers(n)
	if old != nil {
		old.All(s.Add)
	}
	for _, number := range more {
		s.Add(number)
	}
	return s
}

// endAtOnce is how many numbers one op takes the records of.
const endAtOnce = 256

// endSomeLocked queues the next op, if none is under way. What cannot be queued
// now is tried again by the next EndLeases.
func (z *Zone) endSomeLocked() {
	h := &z.held
	if h.mu.going || len(h.mu.queue) == 0 {
		return
	}
	n := min(len(h.mu.queue), endAtOnce)
	op := &endOp{z: z, numbers: h.mu.queue[:n:n]}
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
}

// Evaluate looks at each number, which ends its lease if that is due.
func (e *endOp) Evaluate(d *Draft) error {
	d.held.used = true
	if err := d.lookBelow(e.numbers); err != nil {
		return err
	}
	e.ended = 0
	for _, number := range e.numbers {
		if n := d.number(number); n.ended {
			e.ended++
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
		if !errors.Is(c.Err, ErrStore) && !errors.Is(c.Err, ErrClosed) {
			e.z.log.Error("leases cannot be ended", "op", "lease", "zone", e.z.apex.String(), "first", e.numbers[0], "err", c.Err)
		}
		return
	}
	if h.endedCount.Add(e.ended); e.ended > 0 {
		e.z.log.Info("leases ended", "op", "lease", "zone", e.z.apex.String(), "numbers", e.ended, "first", e.numbers[0], "serial", c.Serial)
	}
	e.z.endSomeLocked()
}

// draftHeld is what a batch changes beside records.
type draftHeld struct {
	used    bool // the zone or the batch has anything of it
	written bool // the batch has written any of it
	now     int64
	numbers map[string]*draftNumber
	room    []draftNumber // for those of numbers
	signers map[rr.Name]rr.Signer
	undo    []undoNumber
	undoKey []undoSigner
	below   map[string][]rr.Name // see lookBelow
}

// draftNumber is what is held of a number in a batch.
type draftNumber struct {
	rr.Registration
	write bool // it is to be written
	ended bool // its lease has
	whole bool // nothing of it is missing
	added bool // an op has set a record at it or below it
}

type undoNumber struct {
	n     *draftNumber
	was   draftNumber
	first bool // it was not looked at before
}

type undoSigner struct {
	was   rr.Signer
	first bool
}

func (h *draftHeld) reset(z *Zone) {
	h.used = z.held.any.Load() || z.held.ended.Load() != nil
	h.written = false
	h.now = z.o.Now().UnixMilli()
	clear(h.numbers)
	h.room = h.room[:0]
	clear(h.signers)
	clear(h.below)
	h.undo, h.undoKey = h.undo[:0], h.undoKey[:0]
}

func (h *draftHeld) keep() { h.undo, h.undoKey = h.undo[:0], h.undoKey[:0] }

func (h *draftHeld) revert() {
	for _, u := range slices.Backward(h.undo) {
		if u.first {
			delete(h.numbers, u.n.Number)
		} else {
			*u.n = u.was
		}
	}
	for _, u := range slices.Backward(h.undoKey) {
		if u.first {
			delete(h.signers, u.was.Key)
		} else {
			h.signers[u.was.Key] = u.was
		}
	}
	h.keep()
}

// changes gives what the batch is to put into the store, in order.
func (h *draftHeld) changes() (c store.Held) {
	for _, n := range h.numbers {
		if n.write {
			c.Registrations = append(c.Registrations, n.Registration)
		}
	}
	for _, s := range h.signers {
		c.Signers = append(c.Signers, s)
	}
	slices.SortFunc(c.Registrations, func(a, b rr.Registration) int { return strings.Compare(a.Number, b.Number) })
	return c
}

// Now is the time of the batch, in milliseconds since 1970.
func (d *Draft) Now() int64 { return d.held.now }

// number gives what is held of a number. The first look in a batch takes its
// records away if its lease has ended.
func (d *Draft) number(number string) *draftNumber {
	h := &d.held
	if n := h.numbers[number]; n != nil {
		return n
	}
	l := d.z.held.lease(number)
	if len(h.room) == cap(h.room) { // what was given out stays where it is
		h.room = make([]draftNumber, 0, 64)
	}
	h.room = append(h.room, draftNumber{Registration: rr.Registration{Number: number, Lease: l.End, KeyLease: l.KeyEnd, Signed: l.Signed}})
	n := &h.room[len(h.room)-1]
	if h.numbers == nil {
		h.numbers = map[string]*draftNumber{}
	}
	h.numbers[number] = n
	h.undo = append(h.undo, undoNumber{n: n, first: true})
	if l.Ends(h.now) {
		d.end(n)
	}
	return n
}

// end takes away what the leases of a number allowed to be there.
func (d *Draft) end(n *draftNumber) {
	keyToo := n.KeyLease != 0 && n.KeyLease <= d.held.now
	if n.Lease != 0 && n.Lease <= d.held.now {
		// No op before has looked at names of the number.
		if err := d.lookBelow([]string{n.Number}); err != nil {
			d.fault = err
			return
		}
		d.takeAway(n.Number, keyToo, d.held.below[n.Number])
		n.Lease, n.write, n.ended = 0, true, true
	}
	d.complete(n)
	if keyToo {
		d.Set(d.nameOf(n.Number), rr.RRset{Type: dns.TypeKEY})
		n.KeyLease, n.write = 0, true
	}
}

// complete reads what memory does not have of a number that is about to be
// written, and will still be there.
func (d *Draft) complete(n *draftNumber) {
	if n.whole || n.Signed == 0 && n.KeyLease == 0 && n.Lease == 0 {
		return
	}
	r, err := d.z.o.Store.Registration(n.Number)
	if err != nil {
		d.fault = fmt.Errorf("%w: %w", ErrStore, err)
		return
	}
	n.Digest, n.Public, n.Updated, n.Key, n.From = r.Digest, r.Public, r.Updated, r.Key, r.From
	n.whole = true
}

func (d *Draft) nameOf(number string) rr.Name {
	return rr.Name(string(byte(len(number))) + number + string(d.z.apex))
}

// takeAway removes all records of a number and of the names below it, its KEY
// only with keyToo.
func (d *Draft) takeAway(number string, keyToo bool, below []rr.Name) {
	own := d.nameOf(number)
	for i := range len(below) + 1 {
		owner := own
		if i < len(below) {
			owner = below[i]
		}
		for _, set := range d.node(owner).now {
			if keyToo || set.Type != dns.TypeKEY || !owner.EqualFold(own) {
				d.Set(owner, rr.RRset{Type: set.Type})
			}
		}
	}
}

// namesBelow gives the names below a number that may have records, those of ops
// before in the batch too.
func (d *Draft) namesBelow(number string) ([]rr.Name, error) {
	if err := d.lookBelow([]string{number}); err != nil {
		return nil, err
	}
	own := d.nameOf(number)
	names := slices.Clone(d.held.below[number])
	for _, n := range d.touched {
		if len(n.owner) > len(own) && n.owner.IsBelowOrEqual(own) {
			names = append(names, n.owner)
		}
	}
	return names, nil
}

// lookBelow finds out which names are below numbers, as the version has them
// that the batch is based on: of those that have any, memory knows only how
// many, and the store which.
func (d *Draft) lookBelow(numbers []string) error {
	h := &d.held
	if h.below == nil {
		h.below = map[string][]rr.Name{}
	}
	var ask []string
	for _, number := range numbers {
		if _, known := h.below[number]; known {
			continue
		}
		d.z.table.SetPath(&d.path, []byte(string(byte(len(number)))+number))
		if d.z.table.HasBelow(&d.path) {
			ask = append(ask, number)
		} else {
			h.below[number] = nil
		}
	}
	if len(ask) == 0 {
		return nil
	}
	owners, err := d.z.o.Store.Below(ask)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	for _, number := range ask {
		h.below[number] = nil
	}
	for _, owner := range owners {
		if number := owner.TopLabel(d.z.apex); len(owner) > 1+len(number)+len(d.z.apex) {
			h.below[number] = append(h.below[number], owner)
		}
	}
	return nil
}

// forgetEmpty ends the leases of numbers that an op has left without records, or
// has given a lease though they have none, and key leases without a KEY: what is
// registered there next begins anew.
func (d *Draft) forgetEmpty() {
	for i := range d.undo {
		u := &d.undo[i]
		if u.node.key == "" {
			continue
		}
		n := d.number(rr.Name(u.node.key).TopLabel(""))
		if len(u.node.now) == 0 {
			d.forgetIfEmpty(n)
		}
		if n.KeyLease == 0 || len(u.node.key) != 1+len(n.Number) {
			continue
		}
		if _, ok := findSet(u.node.now, dns.TypeKEY); !ok { // what is provisioned next has no lease
			d.noteUndo(n)
			n.KeyLease, n.write = 0, true
			d.complete(n)
		}
	}
	for i := range d.held.undo {
		if n := d.held.undo[i].n; n.write {
			d.forgetIfEmpty(n)
		}
	}
}

func (d *Draft) forgetIfEmpty(n *draftNumber) {
	if n.Lease == 0 && n.KeyLease == 0 || !d.isEmpty(n.Number) {
		return
	}
	d.noteUndo(n)
	n.Lease, n.KeyLease, n.write = 0, 0, true
	d.complete(n)
}

func (d *Draft) isEmpty(number string) bool {
	if len(d.node(d.nameOf(number)).now) > 0 {
		return false
	}
	names, err := d.namesBelow(number)
	for _, owner := range names {
		if len(d.node(owner).now) > 0 {
			return false
		}
	}
	return err == nil
}

func (d *Draft) noteUndo(n *draftNumber) {
	d.held.undo = append(d.held.undo, undoNumber{n: n, was: *n})
}

// Registration gives what is held of a number: its leases and the time signed.
// Of the rest the store alone knows.
func (d *Draft) Registration(number string) rr.Registration {
	d.held.used = d.held.used || d.z.held.any.Load()
	return d.number(number).Registration
}

// Stored gives all that is held of a number, what memory has not included.
func (d *Draft) Stored(number string) (rr.Registration, error) {
	d.held.used = d.held.used || d.z.held.any.Load()
	n := d.number(number)
	if n.whole {
		return n.Registration, nil
	}
	r, err := d.z.o.Store.Registration(number)
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrStore, err)
	}
	// Memory rounds ends up, and this batch may have ended them.
	r.Number, r.Lease, r.KeyLease, r.Signed = number, n.Lease, n.KeyLease, n.Signed
	return r, nil
}

// CountBelow gives how many names below a number have records.
func (d *Draft) CountBelow(number string) (int, error) {
	names, err := d.namesBelow(number)
	seen := map[*draftNode]bool{} // one that was there and is touched comes twice
	for _, owner := range names {
		if n := d.node(owner); len(n.now) > 0 {
			seen[n] = true
		}
	}
	return len(seen), err
}

// IsEmpty tells whether a number has no records, at its name and below it.
func (d *Draft) IsEmpty(number string) bool { return d.isEmpty(number) }

// Hold replaces what is held of a number.
func (d *Draft) Hold(r rr.Registration) {
	d.held.used = true
	n := d.number(r.Number)
	d.noteUndo(n)
	n.Registration, n.write, n.whole, d.held.written = r, true, true, true
}

// Withdraw takes away all records of a number and below it, and its leases;
// with keyToo its KEY as well.
func (d *Draft) Withdraw(number string, keyToo bool) {
	d.held.used = true
	n := d.number(number)
	names, err := d.namesBelow(number)
	if err != nil {
		d.fault = err
		return
	}
	d.takeAway(number, keyToo, names)
	d.noteUndo(n)
	n.Lease, n.write = 0, true
	if keyToo {
		n.KeyLease = 0
	}
	d.complete(n)
}

// Signer gives when a key that is not that of a number signed last.
func (d *Draft) Signer(key rr.Name) rr.Signer {
	key = key.Lower()
	if s, ok := d.held.signers[key]; ok {
		return s
	}
	h := &d.z.held
	h.mu.Lock()
	defer h.mu.Unlock()
	if s, ok := h.mu.signers[key]; ok {
		return s
	}
	return rr.Signer{Key: key}
}

// SetSigner replaces it.
func (d *Draft) SetSigner(s rr.Signer) {
	h := &d.held
	was, known := h.signers[s.Key]
	if h.signers == nil {
		h.signers = map[rr.Name]rr.Signer{}
	}
	if !known {
		was.Key = s.Key
	}
	h.undoKey = append(h.undoKey, undoSigner{was, !known})
	h.signers[s.Key], h.written = s, true
}

// Below gives the owners at a number and below it, as the last commit left them.
func (z *Zone) Below(number string) ([]rr.Name, error) {
	return z.o.Store.Below([]string{number})
}

// Registration reads all that is held of a number; the zero value when that is
// nothing.
func (z *Zone) Registration(number string) (rr.Registration, error) {
	return z.o.Store.Registration(number)
}
