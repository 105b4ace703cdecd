package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"

	"dialtone/dnsserver/control"
	"dialtone/zone"
	"dialtone/zone/masterfile"
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

const (
	// maxImportNames is how many names one commit of an import may change. A name takes two KiB on its way, and the
	// commit keeps updates waiting.
	maxImportNames = 100_000
	// importStep is how many ZoneImport.Steps changes at a time, and how many are shown at a time.
	importStep = 10_000
)

// importTries is how often an import begins anew because the zone has changed.
const importTries = 5

// ZoneImport is the request to make a zone what a master file says; the file is uploaded.
type ZoneImport struct {
	Zone   string `json:"zone"`
	File   string `json:"file"` // its name, for messages and the audit log
	DryRun bool   `json:"dry_run,omitempty"`
	Leased bool   `json:"leased,omitempty"` // change numbers with a lease, too
	Force  bool   `json:"force,omitempty"`  // although the zone has changed since the file's serial
	Steps  bool   `json:"steps,omitempty"`  // in as many commits as it takes, and updates in between
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
		more := true // who has stopped is told nothing more
		done, err := c.doImport(ctx, who, in, file, func(i ZoneImportItem) bool {
			more = more && yield(i, nil)
			return more
		})
		switch {
		case !more:
		case err != nil:
			_, _ = io.Copy(io.Discard, file) // who still sends does not hear what it is told
			yield(ZoneImportItem{}, err)
		default:
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
	run := importRun{c: c, in: in, who: who, z: z, st: st, content: content, show: show}
	done, err := run.all(ctx)
	if err == nil && !in.DryRun && done.Serial != done.Before {
		return done, c.noteImport(who, in, done)
	}
	if err != nil && run.begun { // some steps are made
		return nil, errors.Join(err, c.noteImport(who, in, &run.total))
	}
	return done, err
}

// importRun is an import on its way.
type importRun struct {
	c       *commands
	in      ZoneImport
	who     control.Peer
	z       *zone.Zone
	st      *store.Zone
	content *masterfile.Content
	show    func(ZoneImportItem) bool

	begun bool             // a step was made
	stale bool             // a step has found other records than were compared
	total ZoneImportResult // of the steps that were made
}

func (r *importRun) all(ctx context.Context) (*ZoneImportResult, error) {
	for range importTries {
		done, err := r.once(ctx)
		switch {
		case !errors.Is(err, errStale):
			return done, err
		case r.begun && !r.in.Force:
			return nil, control.Mistakef("names of %s have changed while it was imported, and are as that left them; the others are as the file says", r.z.Apex())
		}
	}
	return nil, control.Mistakef("%s changes all the time: dialtone zone freeze %s comes first", r.z.Apex(), r.z.Apex())
}

// once compares the zone with the file and changes what differs; errStale says that something has changed meanwhile.
func (r *importRun) once(ctx context.Context) (*ZoneImportResult, error) {
	r.stale = false
	i := &importOp{apex: r.z.Apex(), leased: r.in.Leased, who: r.who}
	if err := r.compare(ctx, i); err != nil {
		return nil, err
	}
	if err := r.mayBegin(i); err != nil {
		return nil, err
	}
	if r.in.DryRun {
		i.showSOA(r.show)
		i.showChanges(r.show)
		return &i.result, nil
	}
	if err := submitImport(r.z, i); err != nil {
		return nil, err
	}
	r.add(i)
	if r.stale {
		return nil, errStale
	}
	return &r.total, nil
}

// add counts what an op has done.
func (r *importRun) add(i *importOp) {
	t := i.result
	if r.total.Zone != "" {
		t.Before = r.total.Before
		if i.committed == nil { // nothing was left for it to do
			t.Serial = r.total.Serial
		}
	}
	t.Deleted, t.Added, t.SOA = t.Deleted+r.total.Deleted, t.Added+r.total.Added, t.SOA || r.total.SOA
	r.total = t
}

// full is called with as many changes as one step has.
func (r *importRun) full(i *importOp) error {
	if !r.in.DryRun && !r.in.Steps {
		if len(i.changes) < maxImportNames {
			return nil
		}
		return control.Mistakef("more than %d names differ: --steps makes several commits of it", maxImportNames)
	}
	if err := r.mayBegin(i); err != nil {
		return err
	}
	step := &importOp{apex: i.apex, leased: i.leased, who: i.who, step: true, result: i.result, changes: i.changes}
	step.result.SOA = false
	if r.in.DryRun {
		step.showChanges(r.show)
		i.changes = nil
		return nil
	}
	i.changes, i.result.Deleted, i.result.Added = nil, 0, 0
	switch err := submitImport(r.z, step); {
	case errors.Is(err, errStale):
		r.stale = true
	case err != nil:
		return err
	default:
		r.begun = true
		r.add(step)
	}
	return nil
}

// mayBegin refuses what would undo changes. The apex, which comes first, was compared.
func (r *importRun) mayBegin(i *importOp) error {
	if err := i.compareSOA(); err != nil {
		return err
	}
	if i.result.Newer && !r.begun && !r.in.Force && !r.in.DryRun {
		return control.Mistakef("%s has changed since the serial of the file: it has serial %d, and the file %d. Export it again, freeze it before that if it changes often, or use --force to undo what has changed",
			i.apex, i.result.Before, i.result.FileSerial)
	}
	return nil
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
	conf := c.s.conf()
	o := zone.Options{Apex: st.Apex(), Store: st, Logger: c.s.log, Now: c.s.opts.Now}
	o.Bounds = zone.Bounds{JournalMaxAge: math.MaxInt64, JournalMaxSize: math.MaxInt64} // its history is not for this command to cut
	for _, z := range conf.Zones {
		if z.Apex.EqualFold(o.Apex) {
			o.Bounds = bounds(z, conf.Limits)
		}
	}
	z, err = zone.Open(ctx, o)
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

func submitImport(z *zone.Zone, i *importOp) error {
	if len(i.changes) == 0 && (i.step || !i.result.SOA && i.result.Serial == i.result.Before) {
		return nil
	}
	i.committed = make(chan zone.Committed, 1)
	if err := z.Submit(i); err != nil {
		return err
	}
	done := <-i.committed // the writer answers every op that it took
	i.result.Serial = done.Serial
	switch {
	case errors.Is(done.Err, zone.ErrTooBig), errors.Is(done.Err, zone.ErrZoneFull), errors.Is(done.Err, zone.ErrSerial):
		return control.Mistakef("%v", done.Err)
	}
	return done.Err
}

func (c *commands) noteImport(who control.Peer, in ZoneImport, done *ZoneImportResult) error {
	detail := fmt.Sprintf("%s: %d records deleted, %d added, serial %d to %d", in.File, done.Deleted, done.Added, done.Before, done.Serial)
	if err := c.s.audit(control.Entry{Action: "zone import", Who: who, Zone: done.Zone, Detail: detail}); err != nil {
		return fmt.Errorf("the zone is imported, but %w", err)
	}
	return nil
}

// compare finds what of a zone is not as the file says.
func (r *importRun) compare(ctx context.Context, i *importOp) error {
	here, stopHere := iter.Pull2(names(r.st.All(), i.apex))
	defer stopHere()
	there, stopThere := iter.Pull2(names(noErrors(r.content.Sorted()), i.apex))
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
			r.c.s.yielder.yield()
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
		i.take(change, r.z.HasLease)
		if len(i.changes) > 0 && len(i.changes)%importStep == 0 {
			if err := r.full(i); err != nil {
				return err
			}
		}
		if order <= 0 {
			a, errA, okA = here()
		}
		if order >= 0 {
			b, errB, okB = there()
		}
	}
	return nil
}
