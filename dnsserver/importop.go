package dnsserver

import (
	"errors"
	"iter"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/zone"
	"dialtone/zone/masterfile"
	"dialtone/zone/rr"
)

// ownedSets are the RRsets of a name.
type ownedSets struct {
	owner rr.Name
	sets  []rr.RRset
}

func noErrors(sets iter.Seq[*rr.Octets]) iter.Seq2[*rr.Octets, error] {
	return func(yield func(*rr.Octets, error) bool) {
		for o := range sets {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// names gathers the RRsets of each name.
func names(sets iter.Seq2[*rr.Octets, error], apex rr.Name) iter.Seq2[ownedSets, error] {
	return func(yield func(ownedSets, error) bool) {
		var last ownedSets
		for o, err := range sets {
			if err != nil {
				yield(ownedSets{}, err)
				return
			}
			if last.owner != "" && !rr.EqualFold(o.Owner, string(last.owner)) {
				if !yield(last, nil) {
					return
				}
				last = ownedSets{}
			}
			owner, set := o.Clone()
			if last.owner == "" {
				last.owner = owner[:len(owner)-len(apex)] + apex
			}
			last.sets = append(last.sets, set)
		}
		if last.owner != "" {
			yield(last, nil)
		}
	}
}

// nameChange is a name with its RRsets before and after an import, by ascending type; the apex without its SOA.
type nameChange struct {
	owner       rr.Name
	before, now []rr.RRset
}

// importOp makes a zone what a file says.
type importOp struct {
	apex    rr.Name
	leased  bool
	who     control.Peer
	result  ZoneImportResult
	changes []nameChange
	old     rr.RRset // SOA of the zone, as it was compared
	file    rr.RRset // SOA of the file
	step    bool     // not the last: the SOA record stays

	committed chan zone.Committed
}

func (i *importOp) take(c nameChange, hasLease func(number string) bool) {
	if c.owner.EqualFold(i.apex) {
		c.before, i.old = withoutSOA(c.before)
		c.now, i.file = withoutSOA(c.now)
	}
	deleted, added := c.count()
	if deleted+added == 0 {
		return
	}
	if number := c.owner.TopLabel(i.apex); number != "" && !i.leased && hasLease(number) {
		i.result.Leased++
		return
	}
	i.result.Deleted += deleted
	i.result.Added += added
	i.changes = append(i.changes, c)
}

func withoutSOA(sets []rr.RRset) (rest []rr.RRset, soa rr.RRset) {
	for _, s := range sets {
		if s.Type == dns.TypeSOA {
			soa = s
		} else {
			rest = append(rest, s)
		}
	}
	return rest, soa
}

// compareSOA finds which serial the zone will have.
func (i *importOp) compareSOA() error {
	if len(i.old.Data) != 1 || len(i.file.Data) != 1 {
		return errors.New("there is no SOA record")
	}
	old, err1 := rr.ParseSOA(i.old.Data[0])
	file, err2 := rr.ParseSOA(i.file.Data[0])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	r := &i.result
	r.Before, r.Serial, r.FileSerial = old.Serial, old.Serial, file.Serial
	r.SOA = !i.old.Equal(rr.RRset{Type: i.file.Type, TTL: i.file.TTL, Data: []string{rr.WithSerial(i.file.Data[0], old.Serial)}})
	r.Newer = file.Serial != old.Serial && !rr.SerialGreater(file.Serial, old.Serial)
	switch {
	case rr.SerialGreater(file.Serial, old.Serial):
		r.Serial = file.Serial
	case r.Deleted+r.Added > 0 || r.SOA:
		r.Serial = rr.NextSerial(old.Serial)
	}
	return nil
}

// each calls f with the records that differ.
func (c *nameChange) each(deleted, added func(r rr.RR)) {
	diff := func(a, b []rr.RRset, f func(r rr.RR)) {
		for _, s := range a {
			other := rr.RRset{Type: s.Type}
			for _, o := range b {
				if o.Type == s.Type && o.TTL == s.TTL { // another TTL is another record to whoever follows
					other = o
				}
			}
			other.EachMissing(s, func(data string) { f(rr.RR{Owner: c.owner, Type: s.Type, TTL: s.TTL, Data: data}) })
		}
	}
	diff(c.before, c.now, deleted)
	diff(c.now, c.before, added)
}

func (c *nameChange) count() (deleted, added int) {
	c.each(func(rr.RR) { deleted++ }, func(rr.RR) { added++ })
	return deleted, added
}

func (i *importOp) showSOA(show func(ZoneImportItem) bool) {
	if !i.result.SOA {
		return
	}
	line := func(set rr.RRset, data string) string {
		return masterfile.Line(&rr.RR{Owner: i.apex, Type: set.Type, TTL: set.TTL, Data: data}, i.apex)
	}
	_ = show(ZoneImportItem{Deleted: line(i.old, i.old.Data[0])}) &&
		show(ZoneImportItem{Added: line(i.file, rr.WithSerial(i.file.Data[0], i.result.Serial))})
}

// showChanges tells the difference name by name.
func (i *importOp) showChanges(show func(ZoneImportItem) bool) {
	more := true
	for n := range i.changes {
		i.changes[n].each(func(r rr.RR) { more = more && show(ZoneImportItem{Deleted: masterfile.Line(&r, i.apex)}) },
			func(r rr.RR) { more = more && show(ZoneImportItem{Added: masterfile.Line(&r, i.apex)}) })
		if !more {
			return
		}
	}
}

// errStale says that a name is not any more what it was when it was compared.
var errStale = errors.New("the zone has changed meanwhile")

// WhileFrozen lets the writer do it in a frozen zone.
func (i *importOp) WhileFrozen() {}

// Author is called by the zone's writer.
func (i *importOp) Author() rr.Author { return rr.Author{Kind: rr.ByImport, UID: int32(i.who.UID)} }

// Evaluate is called by the zone's writer.
func (i *importOp) Evaluate(d *zone.Draft) error {
	for n := range i.changes {
		c := &i.changes[n]
		if number := c.owner.TopLabel(i.apex); number != "" && !i.leased {
			if r := d.Registration(number); r.Lease != 0 || r.KeyLease != 0 {
				return errStale
			}
		}
		now, _ := withoutSOA(d.RRsets(c.owner))
		if !equalSets(now, c.before) {
			return errStale
		}
	}
	if !i.step {
		if err := i.setSOA(d); err != nil {
			return err
		}
	}
	for n := range i.changes {
		i.changes[n].apply(d)
	}
	return nil
}

func equalSets(a, b []rr.RRset) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !a[i].Equal(b[i]) {
			return false
		}
	}
	return true
}

// setSOA takes the file's SOA record. The serial stays unless the file's is greater: the writer moves it on.
func (i *importOp) setSOA(d *zone.Draft) error {
	set, ok := d.RRset(i.apex, dns.TypeSOA)
	if !ok {
		return errStale
	}
	now, err := rr.ParseSOA(set.Data[0])
	if err != nil {
		return err
	}
	serial := now.Serial
	if rr.SerialGreater(i.result.FileSerial, serial) {
		serial = i.result.FileSerial
	}
	d.Set(i.apex, rr.RRset{Type: dns.TypeSOA, TTL: i.file.TTL, Data: []string{rr.WithSerial(i.file.Data[0], serial)}})
	return nil
}

func (c *nameChange) apply(d *zone.Draft) {
	for _, s := range c.before {
		if !has(c.now, s.Type) {
			d.Set(c.owner, rr.RRset{Type: s.Type})
		}
	}
	for _, s := range c.now {
		d.Set(c.owner, s)
	}
}

func has(sets []rr.RRset, t uint16) bool {
	for _, s := range sets {
		if s.Type == t {
			return true
		}
	}
	return false
}

// Done is called by the zone's writer.
func (i *importOp) Done(c zone.Committed) { i.committed <- c }
