package zone

import (
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
	ended atomic.Pointer[table.Numbers]

	mu struct {
		sync.Mutex
		leases  table.Leases
		signers map[rr.Name]rr.Signer
		queue   []string // numbers whose records are to go
		going   bool     // an op is under way
	}

	endedCount atomic.Uint64
}

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
		if was, ok := h.mu.signers[s.Key]; ok {
			t.Signers = append(t.Signers, was)
		}
	}
	return t
}

// revive takes the numbers of a batch that live again out of the ended ones.
// Those that the batch has only taken the records of may stay: there is nothing
// to be hidden.
func (h *held) revive(numbers map[string]*draftNumber, now int64) {
	if h.ended.Load() == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	ended := h.ended.Load()
	var alive map[string]bool
	for number, n := range numbers {
		if (!n.ended || n.added) && ended.Has([]byte(number)) && !h.mu.leases.Get(number).Ends(now) {
			if alive == nil {
				alive = map[string]bool{}
			}
			alive[number] = true
		}
	}
	if alive == nil {
		return
	}
	rest := table.NewNumbers(ended.Len())
	ended.All(func(number string) {
		if !alive[number] {
			rest.Add(number)
		}
	})
	h.ended.Store(rest)
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
	old := h.ended.Load()
	waiting := h.mu.going || len(h.mu.queue) > 0
	var due []string
	h.mu.leases.Due(now.UnixMilli(), func(number string) bool {
		if !waiting || old == nil || !old.Has([]byte(number)) {
			due = append(due, number)
		}
		return true
	})
	switch {
	case len(due) == 0 && !waiting:
		h.ended.Store(nil)
		return
	case len(due) > 0:
		h.ended.Store(withMore(old, due))
		h.mu.queue = append(h.mu.queue, due...)
	}
	z.endSomeLocked()
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

// Done goes on with the next op. What failed comes again with EndLeases.
func (e *endOp) Done(c Committed) {
	h := &e.z.held
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.going = false
	if c.Err != nil {
		h.mu.queue = nil // all that is due is found again
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
	if keyToo {
		d.Set(d.nameOf(n.Number), rr.RRset{Type: dns.TypeKEY})
		n.KeyLease, n.write = 0, true
	}
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
		h.below[number] = nil
		d.z.table.SetPath(&d.path, []byte(string(byte(len(number)))+number))
		if d.z.table.HasBelow(&d.path) {
			ask = append(ask, number)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	owners, err := d.z.o.Store.Below(ask)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	for _, owner := range owners {
		if number := owner.TopLabel(d.z.apex); len(owner) > 1+len(number)+len(d.z.apex) {
			h.below[number] = append(h.below[number], owner)
		}
	}
	return nil
}

// forgetEmpty ends the leases of numbers that an op has left without records:
// what is registered there next begins anew.
func (d *Draft) forgetEmpty() {
	for i := range d.undo {
		u := &d.undo[i]
		if len(u.node.now) > 0 || u.node.key == "" {
			continue
		}
		n := d.number(rr.Name(u.node.key).TopLabel(""))
		if n.Lease == 0 && n.KeyLease == 0 || !d.isEmpty(n.Number) {
			continue
		}
		d.noteUndo(n)
		n.Lease, n.KeyLease, n.write = 0, 0, true
	}
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

// Digest is that of the newest message that a number's own key signed, 0 when
// it is not known.
func (d *Draft) Digest(number string) (uint64, error) {
	if n := d.number(number); n.Digest != 0 {
		return n.Digest, nil
	}
	r, err := d.z.o.Store.Registration(number)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return r.Digest, nil
}

// Hold replaces what is held of a number.
func (d *Draft) Hold(r rr.Registration) {
	d.held.used = true
	n := d.number(r.Number)
	d.noteUndo(n)
	n.Registration, n.write, d.held.written = r, true, true
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
