package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/zone"
	"dialtone/zone/masterfile"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// An import makes a zone what a master file says, by one op of the zone's writer: one commit, one serial, one entry
// of the journal, and secondaries follow by IXFR.
//
// The difference is found beside the writer, from what the store holds at one moment, and taken to it name by name.
// A name that has changed in between makes it begin anew.
//
// What must not get lost by it:
//
//   - numbers with a lease are their phones'. A phone may have moved since the file was made, and who put its old
//     address back would send its calls to a stranger. So they stay as they are, with all below them, unless
//     ZoneImport.Leased says otherwise; then the lease goes on with what the file says.
//   - changes since the file was made. It says by its serial which version it was made from, so one with a lower
//     serial than the zone's is refused, unless ZoneImport.Force says that the file is right.
//
// The new serial is the file's if that is greater (RFC 1982), and else the next one: it never goes back.

// MaxZoneImport is the most octets of a file that is imported.
const MaxZoneImport = 4 << 30

// maxImportNames is how many names one import may change: more do not fit one commit in any reasonable memory.
const maxImportNames = 2_000_000

// importTries is how often an import begins anew because the zone has changed.
const importTries = 5

// ZoneImport is the request to make a zone what a master file says; the file is uploaded.
type ZoneImport struct {
	Zone   string `json:"zone"`
	File   string `json:"file"` // its name, for messages and the audit log
	DryRun bool   `json:"dry_run,omitempty"`
	Leased bool   `json:"leased,omitempty"` // change numbers with a lease, too
	Force  bool   `json:"force,omitempty"`  // although the zone has changed since the file's serial
}

// ZoneImportItem is a part of the answer: with DryRun first what would be deleted and added, at last the result.
type ZoneImportItem struct {
	Deleted string            `json:"deleted,omitempty"` // a line of a master file, as
	Added   string            `json:"added,omitempty"`
	Result  *ZoneImportResult `json:"result,omitempty"`
}

// ZoneImportResult tells what an import did, or would do.
type ZoneImportResult struct {
	Zone       string `json:"zone"`
	Before     uint32 `json:"before"` // serial
	Serial     uint32 `json:"serial"` // after it
	FileSerial uint32 `json:"file_serial"`
	Deleted    int    `json:"deleted"` // records, without the SOA
	Added      int    `json:"added"`
	SOA        bool   `json:"soa"`    // more than the serial of the SOA record changes
	Leased     int    `json:"leased"` // names that differ and stay, for they belong to numbers with a lease
	Newer      bool   `json:"newer"`  // the zone has changed since the file's serial
}

func (c *commands) importZone(ctx context.Context, who control.Peer, in ZoneImport, file io.Reader) iter.Seq2[ZoneImportItem, error] {
	return func(yield func(ZoneImportItem, error) bool) {
		done, err := c.doImport(ctx, who, in, file, func(i ZoneImportItem) bool { return yield(i, nil) })
		if err != nil {
			yield(ZoneImportItem{}, err)
		} else {
			yield(ZoneImportItem{Result: done}, nil)
		}
	}
}

func (c *commands) doImport(ctx context.Context, who control.Peer, in ZoneImport, file io.Reader, show func(ZoneImportItem) bool) (*ZoneImportResult, error) {
	if !c.imports.TryLock() {
		return nil, control.Mistakef("another import is under way: one is made at a time")
	}
	defer c.imports.Unlock()
	z, st, close, err := c.openZone(ctx, in.Zone)
	if err != nil {
		return nil, err
	}
	defer close()
	content, problems := masterfile.Parse(file, "", z.Apex(), nil) // without a name there is no $INCLUDE
	if masterfile.Faulty(problems) {
		return nil, faultsOf(problems, in.File)
	}
	for range importTries {
		i := &importOp{apex: z.Apex(), leased: in.Leased, who: who, done: make(chan zone.Committed, 1)}
		if err := c.compare(ctx, i, z, st, content); err != nil {
			return nil, err
		}
		if in.DryRun {
			i.show(show)
			return &i.result, nil
		}
		if i.result.Newer && !in.Force {
			return nil, control.Mistakef("%s has changed since the serial of the file: it has serial %d, and the file %d. Export it again, freeze it before that if it changes often, or use --force to undo what has changed",
				z.Apex(), i.result.Before, i.result.FileSerial)
		}
		done, err := submitImport(z, i)
		if err == nil && done.Serial == done.Before {
			return done, nil // nothing differed
		}
		if err == nil {
			return done, c.noteImport(who, in, done)
		}
		if !errors.Is(err, errStale) {
			return nil, err
		}
	}
	return nil, control.Mistakef("%s changes all the time: dialtone zone freeze %s comes first", z.Apex(), z.Apex())
}

// openZone gives the zone that is served, or when no server runs, opens it for the time of a command.
func (c *commands) openZone(ctx context.Context, name string) (z *zone.Zone, st *store.Zone, close func() error, err error) {
	if st, err = c.keptZone(name); err != nil {
		return nil, nil, nil, err
	}
	if len(c.s.conf().byApex) > 0 {
		served, err := c.namedZone(name)
		if err != nil {
			return nil, nil, nil, err
		}
		return served.z, st, func() error { return nil }, nil
	}
	z, err = zone.Open(ctx, zone.Options{Apex: st.Apex(), Store: st, Logger: c.s.log, Now: c.s.opts.Now})
	if err != nil {
		return nil, nil, nil, err
	}
	return z, st, z.Close, nil
}

func faultsOf(problems []masterfile.Problem, file string) error {
	var lines []string
	for _, p := range problems {
		if p.File = file; !p.Warning {
			lines = append(lines, p.String())
		}
	}
	return control.Mistakef("%s", strings.Join(lines, "\n"))
}

func submitImport(z *zone.Zone, i *importOp) (*ZoneImportResult, error) {
	if len(i.changes) == 0 && !i.result.SOA && i.result.Serial == i.result.Before {
		return &i.result, nil
	}
	if err := z.Submit(i); err != nil {
		return nil, err
	}
	done := <-i.done // the writer answers every op that it took
	i.result.Serial = done.Serial
	switch {
	case errors.Is(done.Err, zone.ErrTooBig), errors.Is(done.Err, zone.ErrZoneFull), errors.Is(done.Err, zone.ErrSerial):
		return nil, control.Mistakef("%v", done.Err)
	case done.Err != nil:
		return nil, done.Err
	}
	return &i.result, nil
}

func (c *commands) noteImport(who control.Peer, in ZoneImport, done *ZoneImportResult) error {
	detail := fmt.Sprintf("%s: %d records deleted, %d added, serial %d to %d", in.File, done.Deleted, done.Added, done.Before, done.Serial)
	if err := c.s.audit(control.Entry{Action: "zone import", Who: who, Zone: done.Zone, Detail: detail}); err != nil {
		return fmt.Errorf("the zone is imported, but %w", err)
	}
	return nil
}

// compare finds what of a zone is not as the file says.
func (c *commands) compare(ctx context.Context, i *importOp, z *zone.Zone, st *store.Zone, content *masterfile.Content) error {
	here, stopHere := iter.Pull2(names(st.All(), i.apex))
	defer stopHere()
	there, stopThere := iter.Pull2(names(noErrors(content.Sorted()), i.apex))
	defer stopThere()
	i.result = ZoneImportResult{Zone: i.apex.String()}
	a, errA, okA := here()
	b, errB, okB := there()
	for n := 0; okA || okB; n++ {
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		if n%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			c.s.yielder.yield()
		}
		order := 0
		switch {
		case !okB:
			order = -1
		case !okA:
			order = 1
		default:
			order = a.owner.Compare(b.owner)
		}
		change := nameChange{owner: a.owner, before: a.sets, now: b.sets}
		switch {
		case order < 0:
			change.now = nil
		case order > 0:
			change = nameChange{owner: b.owner, now: b.sets}
		}
		i.take(change, z.HasLease)
		if len(i.changes) > maxImportNames {
			return control.Mistakef("more than %d names differ: that is a new zone, which a server with an empty data directory reads from its file", maxImportNames)
		}
		if order <= 0 {
			a, errA, okA = here()
		}
		if order >= 0 {
			b, errB, okB = there()
		}
	}
	return i.compareSOA()
}

// owned are the RRsets of a name.
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
	done    chan zone.Committed
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
	case len(i.changes) > 0 || r.SOA:
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

// show tells the difference name by name.
func (i *importOp) show(show func(ZoneImportItem) bool) {
	more := true
	say := func(item ZoneImportItem) { more = more && show(item) }
	if i.result.SOA {
		say(ZoneImportItem{Deleted: masterfile.Line(&rr.RR{Owner: i.apex, Type: i.old.Type, TTL: i.old.TTL, Data: i.old.Data[0]}, i.apex)})
		say(ZoneImportItem{Added: masterfile.Line(&rr.RR{Owner: i.apex, Type: i.file.Type, TTL: i.file.TTL, Data: rr.WithSerial(i.file.Data[0], i.result.Serial)}, i.apex)})
	}
	for _, c := range i.changes {
		c.each(func(r rr.RR) { say(ZoneImportItem{Deleted: masterfile.Line(&r, i.apex)}) },
			func(r rr.RR) { say(ZoneImportItem{Added: masterfile.Line(&r, i.apex)}) })
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
	if err := i.setSOA(d); err != nil {
		return err
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
func (i *importOp) Done(c zone.Committed) { i.done <- c }
