package zone

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
	"dialtone/zone/store"
)

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
	h.room = append(h.room, draftNumber{Registration: registrationOf(number, l)})
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

// end takes away what the leases of a number allowed to be there. It is not the op
// that does it, which has only looked at the number.
func (d *Draft) end(n *draftNumber) {
	op := d.authors.now
	d.authors.now = byLease
	defer func() { d.authors.now = op }()
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
		d.Set(rr.NumberName(n.Number, d.z.apex), rr.RRset{Type: dns.TypeKEY})
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

// takeAway removes all records of a number and of the names below it, its KEY
// only with keyToo.
func (d *Draft) takeAway(number string, keyToo bool, below []rr.Name) {
	own := rr.NumberName(number, d.z.apex)
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
	names := slices.Clone(d.held.below[number])
	for _, n := range d.under[number] {
		names = append(names, n.owner)
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
	seen := make(map[*draftNumber]bool, 4)
	for i := range d.undo {
		u := &d.undo[i]
		if u.node.key == "" {
			continue
		}
		n := d.number(rr.Name(u.node.key).TopLabel(""))
		if len(u.node.now) == 0 && !seen[n] {
			seen[n] = true
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
		if n := d.held.undo[i].n; n.write && !seen[n] {
			seen[n] = true
			d.forgetIfEmpty(n)
		}
	}
}

func (d *Draft) forgetIfEmpty(n *draftNumber) {
	if n.Lease == 0 && n.KeyLease == 0 || !d.IsEmpty(n.Number) {
		return
	}
	d.noteUndo(n)
	n.Lease, n.KeyLease, n.write = 0, 0, true
	d.complete(n)
}

// IsEmpty tells whether a number has no records, at its name and below it.
func (d *Draft) IsEmpty(number string) bool {
	if len(d.node(rr.NumberName(number, d.z.apex)).now) > 0 {
		return false
	}
	names, err := d.namesBelow(number)
	if err != nil {
		d.fault = err
		return false
	}
	for _, owner := range names {
		if len(d.node(owner).now) > 0 {
			return false
		}
	}
	return true
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
