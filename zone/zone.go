package zone

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
	"dialtone/zone/store"
	"dialtone/zone/table"
)

// Zone is one zone: its versions in memory, its place in the store, and its
// writer.
type Zone struct {
	apex   rr.Name
	labels int // of the apex
	o      Options
	log    *slog.Logger

	cur    atomic.Pointer[version]
	bounds atomic.Pointer[Bounds]
	table  table.Table
	held   held

	queue     queue
	stopped   chan struct{} // closed when the writer has ended
	fault     atomic.Pointer[fault]
	damage    atomic.Pointer[fault] // of what is stored, since the start
	frozen    atomic.Int64          // since when, nanoseconds since 1970; 0: it is not
	listeners struct {
		sync.Mutex
		list []func(z *Zone, serial uint32)
	}

	// Commits counts what went into the store; Gathered the batches that Options.CommitInterval made wait.
	Commits, Gathered atomic.Uint64

	committed atomic.Int64 // the last commit, nanoseconds since 1970

	// The writer's.
	w writer
}

// Options of Open; zero values are the defaults in parentheses.
type Options struct {
	Apex        rr.Name
	Store       Store
	Bounds                       // as long as there are no others
	Waiting     *Waiting         // (nil) bounds the ops that wait of several zones together
	BatchOctets int              // (1 MiB) of changes in one commit; one op may have more
	RepairEvery time.Duration    // (1s) between tries to make a failed store work
	Now         func() time.Time // (time.Now) the clock of leases
	Logger      *slog.Logger     // (slog.Default)

	// Loaded, when not nil, is what the store holds: Open uses it up and does not
	// read the store.
	Loaded *Loaded

	// Leases hears once, at Open or later, that the zone has come to have leases or
	// signatures: EndLeases has nothing to do before. It must not block.
	Leases func(z *Zone)

	// Progress hears now and then, while Open loads, how many RRsets there are.
	Progress func(rrsets int)

	// Committed, when not nil, hears of each commit: how many ops it had, and how long the store took.
	// It is called by the writer, and must be quick.
	Committed func(ops int, took time.Duration)

	// Yield lets others run; called after each piece of work of some 300 microseconds (runtime.Gosched).
	Yield func()

	// Trace, for tests, hears of each step of a commit in order.
	Trace func(step string)
}

// Bounds of a zone, which can be changed while it is open; zero values are the defaults in parentheses.
type Bounds struct {
	JournalMaxAge   time.Duration // (168h) older journal entries are dropped
	JournalMaxSize  int64         // (1 GiB) octets of journal entries that are kept
	QueueLen        int           // (4096) ops that may wait, by weight: see Submit
	MaxRecords      int           // (0: no limit) that the zone may come to hold by ops
	BatchOps        int           // (1024) ops in one commit
	RefreshInterval time.Duration // (25 ms) that refreshes of leases wait for more of them; negative: none
	CommitInterval  time.Duration // (2 ms) from commit to commit while several ops come at once; negative: none
}

// Store is what a zone needs of its place on disk; *store.Zone is one.
type Store interface {
	Meta() (m store.Meta, loaded bool, err error)
	All() iter.Seq2[*rr.Octets, error]
	Estimate() int // about how many RRsets All gives; 0 when it is not known
	Commit(c *store.Commit) error
	Repair(sets []store.OwnedRRset, held store.Held, burnedTo uint32) error
	Trim(now time.Time, maxAge time.Duration, maxSize int64) error
	Journal(from, to uint32) iter.Seq2[*store.Entry, error]
	Leases(yield func(number []byte, r rr.Registration)) error
	Registration(number string) (rr.Registration, error)
	Signers() ([]rr.Signer, error)
	Below(numbers []string) ([]rr.Name, error)
	LeftAt(serial uint32) (at time.Time, entries uint64, err error)
	ChangedAt() (time.Time, error)
}

func (b Bounds) withDefaults() Bounds {
	setDefault(&b.QueueLen, 4096)
	setDefault(&b.BatchOps, 1024)
	if b.JournalMaxAge <= 0 {
		b.JournalMaxAge = 168 * time.Hour
	}
	if b.JournalMaxSize <= 0 {
		b.JournalMaxSize = 1 << 30
	}
	if b.CommitInterval == 0 {
		b.CommitInterval = 2 * time.Millisecond
	}
	if b.RefreshInterval == 0 {
		b.RefreshInterval = 25 * time.Millisecond
	}
	return b
}

func setDefault(p *int, v int) {
	if *p <= 0 {
		*p = v
	}
}

func (o *Options) setDefaults() {
	setDefault(&o.BatchOctets, 1<<20)
	if o.RepairEvery <= 0 {
		o.RepairEvery = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Leases == nil {
		o.Leases = func(*Zone) {}
	}
	if o.Progress == nil {
		o.Progress = func(int) {}
	}
	if o.Committed == nil {
		o.Committed = func(int, time.Duration) {}
	}
	if o.Yield == nil {
		o.Yield = runtime.Gosched
	}
	if o.Trace == nil {
		o.Trace = func(string) {}
	}
}

// ErrNotLoaded says that the store has no content for the zone yet: seed it.
var ErrNotLoaded = errors.New("the zone is not in the store yet")

// Open loads a zone from its store and starts its writer, which ends with
// Close. Cancelling ctx ends the loading only.
func Open(ctx context.Context, o Options) (*Zone, error) {
	o.setDefaults()
	z := newZone(o.Apex)
	if o.Loaded != nil {
		z = o.Loaded.l.z
	}
	z.o, z.log, z.stopped = o, o.Logger, make(chan struct{})
	z.o.Loaded = nil
	z.SetBounds(o.Bounds)
	z.queue.init(o.Waiting)
	meta, loaded, err := o.Store.Meta()
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", o.Apex, err)
	}
	if !loaded {
		return nil, fmt.Errorf("zone %s: %w", o.Apex, ErrNotLoaded)
	}
	z.w.init(z, meta.Burned)
	held := make(chan error, 1)
	go func() { held <- z.loadHeld() }() // beside the records
	if o.Loaded != nil {
		o.Loaded.l.finish()
		err = z.publish(1)
	} else {
		err = z.load(ctx)
	}
	if err = errors.Join(err, <-held); err != nil {
		return nil, fmt.Errorf("zone %s: %w", o.Apex, err)
	}
	if got := z.cur.Load().serial; got != meta.Serial {
		return nil, fmt.Errorf("zone %s: the store says serial %d, its SOA record %d", o.Apex, meta.Serial, got)
	}
	go z.run()
	return z, nil
}

func newZone(apex rr.Name) *Zone {
	z := &Zone{apex: apex, labels: apex.CountLabels()}
	z.table.Init(epochs)
	return z
}

// publish makes what was put for a version visible.
func (z *Zone) publish(number uint64) error {
	v := &version{number: number, wild: z.w.wild > 0, names: z.w.names, numbers: z.w.numbers, records: z.w.records, octets: z.w.octets}
	apex, ok := z.table.Find(0, nil, number)
	if ok {
		v.apex = Node{apex}
		v.soa, ok = v.apex.Find(dns.TypeSOA)
	}
	if !ok {
		return errors.New("there is no SOA record")
	}
	c := v.soa.Data()
	data, _ := c.Next()
	soa, err := rr.ParseSOA(string(data))
	if err != nil {
		return err
	}
	v.serial, v.negTTL = soa.Serial, min(v.soa.TTL(), soa.Minimum)
	z.cur.Store(v)
	z.table.Published()
	return nil
}

// SetBounds changes the bounds, from the next commit on. What waits already stays.
func (z *Zone) SetBounds(b Bounds) {
	b = b.withDefaults()
	z.bounds.Store(&b)
}

// Apex of the zone, as configured.
func (z *Zone) Apex() rr.Name { return z.apex }

// View gives the current version. Call it between Begin and End of a Reader.
func (z *Zone) View() View {
	// In this order: a number leaves the ended ones when a version without its
	// old records is there.
	ended := z.held.ended.Load()
	return View{z, z.cur.Load(), ended}
}

// Journal gives the changes that lead from one serial to another, oldest
// first; store.ErrNoHistory when they are not kept.
func (z *Zone) Journal(from, to uint32) iter.Seq2[*store.Entry, error] {
	return z.o.Store.Journal(from, to)
}

// Stored tells what the store knows of the zone, its journal above all.
func (z *Zone) Stored() (store.Meta, error) {
	m, _, err := z.o.Store.Meta()
	return m, err
}

// LeftAt tells when the zone left a serial for the next one, and how many changes have come since then;
// store.ErrNoHistory when the journal does not know.
func (z *Zone) LeftAt(serial uint32) (at time.Time, changes uint64, err error) {
	return z.o.Store.LeftAt(serial)
}

// ChangedAt tells when the newest change of the zone was made; the zero time when the journal has none.
func (z *Zone) ChangedAt() (time.Time, error) { return z.o.Store.ChangedAt() }

// end gives how many octets of q stand before the apex.
func (z *Zone) end(q *QName) int { return q.Len - len(z.apex) }

// find gives the node with data at an owner relative to the apex. Writer only.
func (z *Zone) find(p *table.Path, owner string, number uint64) (Node, bool) {
	z.table.SetPath(p, []byte(owner))
	n, ok := z.table.FindPath(p, number)
	return Node{n}, ok && len(n.Body()) > 0
}

// OnPublish registers f, which the writer calls after each published change,
// when its updates have been answered. f must not block.
func (z *Zone) OnPublish(f func(z *Zone, serial uint32)) {
	z.listeners.Lock()
	defer z.listeners.Unlock()
	z.listeners.list = append(z.listeners.list, f)
}
