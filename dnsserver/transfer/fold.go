package transfer

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strings"

	"dialtone/zone/rr"
)

// folder holds the net change of every record that the journal touched and
// that is not as it was.
//
// A hundred thousand updates are two hundred thousand changes, and each is a
// look-up at a random place. A Go map of strings took nine tenths of the time
// of condensing for hashing, comparing and waiting for memory: what it held
// was four times as large, and every string kept its whole journal entry in
// memory. So the octets of what is held are copied to one place, and the
// changes are small and without pointers.
type folder struct {
	read, held int // octets

	seed    maphash.Seed
	slots   []uint64 // hash and index of the change plus one; 0 is an empty slot
	changes []change
	unused  []uint32 // indices of changes
	text    []byte   // owner and rdata of the forms
	dead    int      // octets of text that no form refers to
}

// change is a record before and after. Which record it is, owner in any case,
// type and canonical rdata tell, as in RFC 2136, section 1.1.1. TTL and case
// belong to the form: a record that differs in them only is deleted and added.
type change struct {
	before, after form
	hash          uint32
	typ           uint16
}

// form is a record as it is written. The zero form is a record that is not
// there: no owner is empty.
type form struct {
	at    int // in the text
	ttl   uint32
	data  uint16 // octets of rdata
	owner uint8  // octets of the owner, which stands before the rdata
}

const minSlots = 64

func newFolder() *folder {
	return &folder{seed: maphash.MakeSeed(), slots: make([]uint64, minSlots)}
}

// change takes one change of the journal.
func (f *folder) change(r *rr.RR, added bool) {
	size := len(r.Owner) + 10 + len(r.Data)
	f.read += size
	h := f.hash(r)
	slot, i := f.find(h, r)
	if i < 0 {
		c := change{hash: h, typ: r.Type}
		if added {
			c.after = f.write(r)
		} else {
			c.before = f.write(r)
		}
		f.insert(slot, c)
		f.held += size
		return
	}
	c := &f.changes[i]
	f.drop(&c.after)
	if added {
		c.after = f.write(r)
	}
	if f.same(c.before, c.after) {
		f.drop(&c.before)
		f.drop(&c.after)
		f.remove(slot, i)
		f.held -= size
	}
	f.compact()
}

// hash of what tells a record from others. It is seeded: those who send
// updates cannot choose records that collide.
func (f *folder) hash(r *rr.RR) uint32 {
	h := maphash.String(f.seed, string(r.Owner.Lower())) + uint64(r.Type)
	h = h*0x9E3779B97F4A7C15 ^ maphash.String(f.seed, rr.CanonicalData(r.Type, r.Data))
	return uint32(h ^ h>>32)
}

// find gives slot and index of a record's change, or the slot where it belongs
// and -1.
func (f *folder) find(h uint32, r *rr.RR) (slot uint32, index int) {
	mask := uint32(len(f.slots) - 1)
	for slot = h & mask; ; slot = (slot + 1) & mask {
		s := f.slots[slot]
		if s == 0 {
			return slot, -1
		}
		if uint32(s>>32) == h && f.is(&f.changes[uint32(s)-1], r) {
			return slot, int(uint32(s) - 1)
		}
	}
}

func (f *folder) is(c *change, r *rr.RR) bool {
	owner, data := f.octets(c.form())
	return c.typ == r.Type && rr.EqualFold(owner, r.Owner) &&
		(string(data) == r.Data || rr.EqualData(r.Type, string(data), r.Data))
}

// form gives one that is there.
func (c *change) form() form {
	if c.before.owner > 0 {
		return c.before
	}
	return c.after
}

func (f *folder) octets(x form) (owner, data []byte) {
	t := f.text[x.at:]
	return t[:x.owner], t[x.owner : int(x.owner)+int(x.data)]
}

func (f *folder) same(a, b form) bool {
	if a.owner != b.owner || a.data != b.data || a.ttl != b.ttl {
		return false
	}
	n := int(a.owner) + int(a.data)
	return string(f.text[a.at:][:n]) == string(f.text[b.at:][:n])
}

func (f *folder) write(r *rr.RR) form {
	x := form{ttl: r.TTL, at: len(f.text), data: uint16(len(r.Data)), owner: uint8(len(r.Owner))}
	f.text = append(append(f.text, r.Owner...), r.Data...)
	return x
}

func (f *folder) drop(x *form) {
	f.dead += int(x.owner) + int(x.data)
	*x = form{}
}

// compact keeps the text at about twice what is in use.
func (f *folder) compact() {
	if 2*f.dead < len(f.text) || f.dead < 64<<10+16*len(f.changes) {
		return
	}
	// With room for as much again, or the next form would have all of it copied.
	text := make([]byte, 0, 2*(len(f.text)-f.dead)+64<<10)
	for i := range f.changes {
		c := &f.changes[i]
		for _, x := range [...]*form{&c.before, &c.after} {
			n := int(x.owner) + int(x.data)
			octets := f.text[x.at:][:n]
			x.at = len(text)
			text = append(text, octets...)
		}
	}
	f.text, f.dead = text, 0
}

// insert adds a change at the slot that find gave.
func (f *folder) insert(slot uint32, c change) {
	var i uint32
	if n := len(f.unused); n > 0 {
		i, f.unused = f.unused[n-1], f.unused[:n-1]
		f.changes[i] = c
	} else {
		i = uint32(len(f.changes))
		f.changes = append(f.changes, c)
	}
	f.slots[slot] = uint64(c.hash)<<32 | uint64(i+1)
	if used := len(f.changes) - len(f.unused); 4*used > 3*len(f.slots) {
		f.grow()
	}
}

func (f *folder) grow() {
	old := f.slots
	f.slots = make([]uint64, 2*len(old))
	mask := uint32(len(f.slots) - 1)
	for _, s := range old {
		if s == 0 {
			continue
		}
		slot := uint32(s>>32) & mask
		for f.slots[slot] != 0 {
			slot = (slot + 1) & mask
		}
		f.slots[slot] = s
	}
}

// remove takes a change out and closes the gap that it leaves in its row of
// slots.
func (f *folder) remove(slot uint32, i int) {
	f.unused = append(f.unused, uint32(i))
	mask := uint32(len(f.slots) - 1)
	gap := slot
	for next := (gap + 1) & mask; f.slots[next] != 0; next = (next + 1) & mask {
		// One may move up unless its row begins behind the gap.
		if home := uint32(f.slots[next]>>32) & mask; (next-home)&mask >= (next-gap)&mask {
			f.slots[gap] = f.slots[next]
			gap = next
		}
	}
	f.slots[gap] = 0
}

// into writes the net change in the order of owners, so that the same
// difference always looks the same and its names compress.
func (f *folder) into(d *difference) {
	for _, k := range f.sorted() {
		c := &f.changes[k.index]
		if c.before.owner > 0 {
			owner, data := f.octets(c.before)
			d.deleted = d.deleted.append(owner, c.typ, c.before.ttl, data)
			d.count++
		}
		if c.after.owner > 0 {
			owner, data := f.octets(c.after)
			d.added = d.added.append(owner, c.typ, c.after.ttl, data)
			d.count++
		}
	}
}

// sortKey has the first octets of the owner beside a change: most pairs need
// no further look.
type sortKey struct {
	first uint64
	index uint32
}

func (f *folder) sorted() []sortKey {
	keys := make([]sortKey, 0, len(f.changes)-len(f.unused))
	for i := range f.changes {
		x := f.changes[i].form()
		if x.owner == 0 {
			continue
		}
		var first [8]byte
		owner, _ := f.octets(x)
		copy(first[:], owner)
		rr.LowerBytes(first[:])
		keys = append(keys, sortKey{binary.BigEndian.Uint64(first[:]), uint32(i)})
	}
	slices.SortFunc(keys, func(a, b sortKey) int {
		if a.first != b.first {
			return cmp.Compare(a.first, b.first)
		}
		return f.compare(&f.changes[a.index], &f.changes[b.index])
	})
	return keys
}

func (f *folder) compare(a, b *change) int {
	ownerA, dataA := f.octets(a.form())
	ownerB, dataB := f.octets(b.form())
	if c := compareFold(ownerA, ownerB); c != 0 {
		return c
	}
	if a.typ != b.typ {
		return cmp.Compare(a.typ, b.typ)
	}
	if _, names, _ := rr.NamesIn(a.typ, dataA); names == 0 {
		return bytes.Compare(dataA, dataB)
	}
	return strings.Compare(rr.CanonicalData(a.typ, string(dataA)), rr.CanonicalData(b.typ, string(dataB)))
}

// compareFold compares without regard to case.
func compareFold(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if x, y := lower(a[i]), lower(b[i]); x != y {
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(len(a), len(b))
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}
