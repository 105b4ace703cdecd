package zone

import (
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
	"dialtone/zone/store"
	"dialtone/zone/table"
)

// Draft is the zone as it will be after the batch that is being evaluated: a
// private view, which shows what the updates before it in the batch left. It
// belongs to the zone's writer and is valid only inside Op.Evaluate.
//
// RRsets that it hands out are immutable.
type Draft struct {
	z       *Zone
	base    *version
	nodes   map[string]*draftNode   // by owner relative to the apex, lower-case
	under   map[string][]*draftNode // those below the labels next to the apex, by these
	touched []*draftNode            // in order of first touch
	undo    []undoStep              // of the op that is being evaluated
	held    draftHeld               // what is held beside records
	authors authors                 // of the ops
	octets  int                     // of all that was read and set in this batch, roughly
	fault   error                   // what an op did wrong to the draft, or the store could not tell
	path    table.Path
}

type draftNode struct {
	key    string     // owner relative to the apex, lower-case
	owner  rr.Name    // in the case as entered, under the apex as configured
	before []rr.RRset // in the version that is served
	now    []rr.RRset
	by     uint32 // of Draft.authors, who changed it last
	seen   bool   // in undo of this op
}

type undoStep struct {
	node  *draftNode
	owner rr.Name
	sets  []rr.RRset
	by    uint32
}

func (d *Draft) reset() {
	clear(d.nodes)
	clear(d.under)
	d.touched, d.undo, d.octets, d.fault = d.touched[:0], d.undo[:0], 0, nil
	d.base = d.z.cur.Load()
	d.held.reset(d.z)
	d.authors.reset()
}

// Apex of the zone.
func (d *Draft) Apex() rr.Name { return d.z.apex }

// RRset gives an RRset; false when it does not exist. Owners compare case
// folded. owner must be in the zone.
func (d *Draft) RRset(owner rr.Name, t uint16) (rr.RRset, bool) {
	return findSet(d.node(owner).now, t)
}

// RRsets gives the RRsets of a name by ascending type; none when the name is
// not in use, as an empty non-terminal is not (RFC 2136, section 2.4.4).
func (d *Draft) RRsets(owner rr.Name) []rr.RRset { return d.node(owner).now }

// Set replaces the RRset of set.Type at owner; one without data removes it.
// It holds no rule of DNS but one: the apex keeps a single SOA.
//
// What differs in the case of names only is no change: an RRset that is equal
// to the one that stands stays as it is spelled, and so does an owner for as
// long as the version that is served has data there. Otherwise memory, store
// and journal would come to spell it differently.
func (d *Draft) Set(owner rr.Name, set rr.RRset) {
	n := d.node(owner)
	if set.Type == dns.TypeSOA && n.key == "" {
		if err := checkSOA(set); err != nil {
			d.fault = err
			return
		}
	}
	if d.held.used && len(set.Data) > 0 && n.key != "" {
		d.number(rr.Name(n.key).TopLabel("")).added = true
	}
	i, found := slices.BinarySearchFunc(n.now, set.Type, func(s rr.RRset, t uint16) int { return int(s.Type) - int(t) })
	if found && n.now[i].Equal(set) {
		return
	}
	if !n.seen {
		n.seen = true
		d.undo = append(d.undo, undoStep{n, n.owner, n.now, n.by})
	}
	n.by = d.authors.now
	if len(n.now) == 0 && len(n.before) == 0 {
		n.owner = d.spelled(owner) // a name that comes to be in use takes the case of its first record
	}
	switch {
	case found && len(set.Data) == 0:
		n.now = slices.Delete(slices.Clone(n.now), i, i+1)
	case found:
		n.now = slices.Clone(n.now)
		n.now[i] = set
	case len(set.Data) > 0:
		n.now = slices.Insert(slices.Clone(n.now), i, set)
	}
	for _, x := range set.Data {
		d.octets += len(owner) + 12 + len(x)
	}
}

func checkSOA(set rr.RRset) error {
	if len(set.Data) != 1 {
		return fmt.Errorf("the zone would have %d SOA records", len(set.Data))
	}
	_, err := rr.ParseSOA(set.Data[0])
	return err
}

func findSet(sets []rr.RRset, t uint16) (rr.RRset, bool) {
	for _, s := range sets {
		if s.Type == t {
			return s, true
		}
	}
	return rr.RRset{}, false
}

func (d *Draft) node(owner rr.Name) *draftNode {
	key := owner[:len(owner)-len(d.z.apex)].Lower()
	if d.held.used && key != "" {
		// A number whose lease has ended has no records. This comes first: an op that
		// failed has looked at it, and nothing has come of that.
		d.number(key.TopLabel(""))
	}
	if n := d.nodes[string(key)]; n != nil {
		return n
	}
	n := &draftNode{key: string(key), owner: d.spelled(owner)}
	d.octets += len(owner)
	if m, ok := d.z.find(&d.path, string(key), d.base.number); ok {
		if own := m.Owner(); string(own) != string(n.owner[:len(own)]) {
			n.owner = rr.Name(own) + d.z.apex
		}
		n.before = decodeNode(m)
		n.now = n.before
		d.octets += len(m.n.Body())
	}
	d.nodes[n.key] = n
	d.touched = append(d.touched, n)
	if len(n.key) > 0 && len(n.key) > 1+int(n.key[0]) {
		if d.under == nil {
			d.under = map[string][]*draftNode{}
		}
		top := key.TopLabel("")
		d.under[top] = append(d.under[top], n)
	}
	return n
}

// spelled gives owner with the apex as it is configured: memory does not keep
// in which case the apex was written.
func (d *Draft) spelled(owner rr.Name) rr.Name {
	apex := d.z.apex
	if own := owner[:len(owner)-len(apex)]; owner[len(own):] != apex {
		return own + apex
	}
	return owner
}

// keep ends an op that succeeded and tells whether it changed anything: what
// counts is the net difference, so a record that was deleted and added again
// is no change.
func (d *Draft) keep() bool {
	changed := false
	for _, u := range d.undo {
		u.node.seen = false
		if equalSets(u.sets, u.node.now) {
			u.node.now, u.node.owner, u.node.by = u.sets, u.owner, u.by
		} else {
			changed = true
		}
	}
	d.held.keep()
	d.undo = d.undo[:0]
	return changed
}

// growth is how many records the op that is being evaluated adds, less those
// that it takes away.
func (d *Draft) growth() (n int) {
	for _, u := range d.undo {
		n += countRecords(u.node.now) - countRecords(u.sets)
	}
	return n
}

// revert ends an op that failed.
func (d *Draft) revert() {
	for _, u := range d.undo {
		u.node.seen = false
		u.node.now, u.node.owner, u.node.by = u.sets, u.owner, u.by
	}
	d.held.revert()
	d.undo, d.fault = d.undo[:0], nil
}

func equalSets(a, b []rr.RRset) bool {
	return slices.EqualFunc(a, b, rr.RRset.Equal)
}

// serial of the draft's SOA.
func (d *Draft) serial() uint32 {
	soa, _ := d.RRset(d.z.apex, dns.TypeSOA)
	s, _ := rr.ParseSOA(soa.Data[0])
	return s.Serial
}

func (d *Draft) setSerial(serial uint32) {
	n := d.node(d.z.apex)
	soa, _ := findSet(n.now, dns.TypeSOA)
	d.Set(d.z.apex, rr.RRset{Type: dns.TypeSOA, TTL: soa.TTL, Data: []string{rr.WithSerial(soa.Data[0], serial)}})
	d.keep()
}

// diff gives the net difference of the batch, nil when there is none.
func (d *Draft) diff() *store.Commit {
	c := &store.Commit{From: d.base.serial}
	for _, n := range d.touched {
		d.diffNode(c, n)
	}
	if len(c.Sets) == 0 {
		return d.onlyHeld()
	}
	c.Held = d.held.changes()
	oldSOA, _ := findSet(d.node(d.z.apex).before, dns.TypeSOA)
	newSOA, _ := findSet(d.node(d.z.apex).now, dns.TypeSOA)
	c.To = d.serial()
	c.OldSOA = rr.RR{Owner: d.z.apex, Type: dns.TypeSOA, TTL: oldSOA.TTL, Data: oldSOA.Data[0]}
	c.NewSOA = rr.RR{Owner: d.z.apex, Type: dns.TypeSOA, TTL: newSOA.TTL, Data: newSOA.Data[0]}
	return c
}

// onlyHeld gives a commit of what the batch puts beside records; nil when that
// is nothing.
func (d *Draft) onlyHeld() *store.Commit {
	c := &store.Commit{From: d.base.serial, To: d.base.serial, Held: d.held.changes()}
	if len(c.Held.Registrations)+len(c.Held.Signers) == 0 {
		return nil
	}
	return c
}

func (d *Draft) diffNode(c *store.Commit, n *draftNode) {
	deleted, added := len(c.Deleted), len(c.Added)
	i, j := 0, 0
	for i < len(n.before) || j < len(n.now) {
		var old, now rr.RRset
		switch {
		case j == len(n.now) || i < len(n.before) && n.before[i].Type < n.now[j].Type:
			old = n.before[i]
			now.Type = old.Type
			i++
		case i == len(n.before) || n.now[j].Type < n.before[i].Type:
			now = n.now[j]
			j++
		default:
			old, now = n.before[i], n.now[j]
			i, j = i+1, j+1
			if old.Equal(now) {
				if !slices.Equal(old.Data, now.Data) {
					n.now = slices.Clone(n.now)
					n.now[j-1] = old // ops that undid each other changed its spelling
				}
				continue
			}
		}
		c.Sets = append(c.Sets, store.OwnedRRset{Owner: n.owner, Set: now})
		if now.Type == dns.TypeSOA && n.key == "" {
			continue
		}
		c.Deleted = appendMissing(c.Deleted, n.owner, old, now)
		c.Added = appendMissing(c.Added, n.owner, now, old)
	}
	if more, fewer := c.Added[added:], c.Deleted[deleted:]; len(more)+len(fewer) > 0 {
		d.authors.note(&c.Authors, n, d.z.apex, more, len(fewer))
	}
}

// appendMissing adds the records of a that b does not have octet by octet, so
// that what follows the journal spells names as the zone does; all of them
// when the RRset was retimed.
func appendMissing(to []rr.RR, owner rr.Name, a, b rr.RRset) []rr.RR {
	const few = 16
	has := func(x string) bool { return slices.Contains(b.Data, x) }
	switch {
	case a.TTL != b.TTL:
		has = func(string) bool { return false }
	case len(a.Data) > few && len(b.Data) > few:
		have := make(map[string]bool, len(b.Data))
		for _, x := range b.Data {
			have[x] = true
		}
		has = func(x string) bool { return have[x] }
	}
	for _, x := range a.Data {
		if !has(x) {
			to = append(to, rr.RR{Owner: owner, Type: a.Type, TTL: a.TTL, Data: x})
		}
	}
	return to
}
