package zone_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/store"
	"dialtone/zone/zonetest"
)

// run is one run of the model against a real store.
type run struct {
	t   *testing.T
	rnd *rand.Rand
	witness

	dir   string
	fail  atomic.Pointer[error] // of the next commits and repairs
	store *store.Store
	kept  *store.Zone
	zone  *zone.Zone
	model model

	readers   sync.WaitGroup // of this zone
	stop      chan struct{}
	held      []heldView
	fixed     chan struct{} // a token when a repair has succeeded
	committed int
	refused   int
	jumps     int // of nearly half a round
	crashes   int
}

type heldView struct {
	r     *zone.Reader
	v     zone.View
	lines []string
}

func (r *run) open() {
	r.t.Helper()
	var err error
	r.store, err = store.Open(store.Options{Dir: r.dir, MemTable: 1 << 20, Logger: slog.New(slog.DiscardHandler),
		FailCommit: func() error {
			if p := r.fail.Load(); p != nil {
				return *p
			}
			return nil
		}})
	if err != nil {
		r.t.Fatal(err)
	}
	if r.kept, err = r.store.Zone(modelApex); err != nil {
		r.t.Fatal(err)
	}
	if _, loaded, _ := r.kept.Meta(); !loaded {
		sets := zonetest.Parse(r.t, modelApex.String(), sample)
		if err := r.kept.Seed(10, func(yield func(store.OwnedRRset, error) bool) {
			for _, s := range sets {
				if !yield(s, nil) {
					return
				}
			}
		}); err != nil {
			r.t.Fatal(err)
		}
		r.model = model{}
		for _, s := range sets {
			r.model.set(nil, s.Owner, s.Set)
		}
	}
	r.fixed = make(chan struct{}, 1)
	fixed := r.fixed
	r.zone, err = zone.Open(context.Background(), zone.Options{Apex: modelApex, Store: r.kept, RepairEvery: time.Millisecond,
		BatchOctets: 64 << 10, Logger: slog.New(slog.DiscardHandler), Trace: func(step string) {
			if step == "repaired" {
				fixed <- struct{}{}
			}
		}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.stop = make(chan struct{})
	for i := range 2 {
		z, st, rnd := r.zone, r.kept, rand.New(rand.NewPCG(uint64(i), r.rnd.Uint64()))
		r.readers.Go(func() { r.watch(z, st, rnd) })
	}
}

// watch reads the zone, and its journal from serials that were seen, all the
// time.
func (r *run) watch(z *zone.Zone, st *store.Zone, rnd *rand.Rand) {
	reader := zone.NewReader()
	defer reader.Close()
	for {
		select {
		case <-r.stop:
			return
		default:
		}
		reader.Begin()
		v := z.View()
		serial, lines := v.Serial(), text(v)
		reader.End()
		if err := r.see(serial, lines); err != nil {
			r.t.Error(err)
		}
		if all := r.serials(); len(all) > 0 {
			r.follow(st, all[rnd.IntN(len(all))], serial, lines)
		}
	}
}

// follow replays the journal between two serials, when it is kept.
func (r *run) follow(st *store.Zone, from, to uint32, want []string) (ok bool) {
	old, _ := r.content(from)
	got, err := replay(old, st.Journal(from, to))
	for _, may := range []error{store.ErrNoHistory, store.ErrReopened, store.ErrBroken, store.ErrClosed} {
		if errors.Is(err, may) {
			return false
		}
	}
	if err != nil {
		r.t.Errorf("journal from %d to %d: %v", from, to, err)
	} else if from != to && !slices.Equal(got, want) {
		r.t.Errorf("journal from %d leads elsewhere than %d: without %s, with %s", from, to, without(want, got), without(got, want))
	}
	return true
}

// close ends the zone; crash leaves the store as it is and goes on with a
// copy of its files.
func (r *run) close(crash bool) {
	r.t.Helper()
	for len(r.held) > 0 {
		r.letGo(0)
	}
	close(r.stop)
	r.readers.Wait()
	if crash {
		r.crashes++
		r.dir = r.copyOfDir()
	}
	if err := r.zone.Close(); err != nil {
		r.t.Fatal(err)
	}
	if err := r.store.Close(); err != nil && !crash {
		r.t.Fatal(err)
	}
}

// copyOfDir copies the store's files as they are at one moment: while none
// comes or goes.
func (r *run) copyOfDir() string {
	r.t.Helper()
	moment := func() string {
		names, err := filepath.Glob(filepath.Join(r.dir, "*"))
		if err != nil {
			r.t.Fatal(err)
		}
		manifest, err := os.ReadFile(filepath.Join(r.dir, "MANIFEST"))
		if err != nil {
			r.t.Fatal(err)
		}
		return fmt.Sprint(names, manifest)
	}
	for {
		dir, before := r.t.TempDir(), moment()
		err := os.CopyFS(dir, os.DirFS(r.dir))
		if before != moment() || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			r.t.Fatal(err)
		}
		return dir
	}
}

func (r *run) letGo(i int) {
	h := r.held[i]
	if got := text(h.v); !slices.Equal(got, h.lines) {
		r.t.Errorf("the view of serial %d moved: without %s, with %s", h.v.Serial(), without(h.lines, got), without(got, h.lines))
	}
	h.r.End()
	h.r.Close()
	r.held = slices.Delete(r.held, i, i+1)
}

// change is what an op does, by the set of a draft or of the model.
type change = func(set func(rr.Name, rr.RRset), soa rr.RRset) error

func (r *run) op() change {
	type step struct {
		owner rr.Name
		set   rr.RRset
	}
	var steps []step
	labels := []string{"a", "b", "A", "*", "5551234", "ns1"}
	for range 1 + r.rnd.IntN(4) {
		text := labels[r.rnd.IntN(len(labels))]
		for r.rnd.IntN(3) == 0 && len(text) < 8 {
			text = labels[r.rnd.IntN(len(labels))] + "." + text
		}
		if r.rnd.IntN(4) == 0 {
			text = strings.ToUpper(text)
		}
		s := rr.RRset{Type: [...]uint16{dns.TypeA, dns.TypeTXT, dns.TypePTR}[r.rnd.IntN(3)], TTL: 60 * uint32(1+r.rnd.IntN(2))}
		for i := range r.rnd.IntN(4) {
			x := byte('a' + r.rnd.IntN(3) - 32*r.rnd.IntN(2))
			switch s.Type {
			case dns.TypeA:
				s.Data = append(s.Data, string([]byte{10, 0, x, byte(i)}))
			case dns.TypeTXT:
				s.Data = append(s.Data, string([]byte{2, x, byte(i)}))
			default:
				s.Data = append(s.Data, string([]byte{1, x, 1, byte('0' + i), 0}))
			}
		}
		if r.rnd.IntN(60) == 0 { // several of these do not fit one transaction
			s = rr.RRset{Type: dns.TypeTXT, TTL: 60}
			for i := range 200 {
				s.Data = append(s.Data, "\xff"+strings.Repeat(string(rune('a'+i%26)), 250)+fmt.Sprintf("%05d", i))
			}
		}
		steps = append(steps, step{rr.MustName(text + "." + [...]string{"phones", "Phones"}[r.rnd.IntN(2)] + ".example."), s})
	}
	jump, fails := uint32(0), r.rnd.IntN(6) == 0
	if r.rnd.IntN(8) == 0 {
		jump = [...]uint32{1, 2, 1 << 16, 1<<31 - 1}[r.rnd.IntN(4)]
		if jump > 1<<16 { // not by the same each time: twice half way round would bring a serial back
			jump -= r.rnd.Uint32N(1 << 24)
		}
	}
	return func(set func(rr.Name, rr.RRset), soa rr.RRset) error {
		for _, s := range steps {
			set(s.owner, s.set)
		}
		if old, _ := rr.ParseSOA(soa.Data[0]); jump > 0 && old.Serial+jump != 0 {
			set(modelApex, rr.RRset{Type: dns.TypeSOA, TTL: soa.TTL, Data: []string{rr.WithSerial(soa.Data[0], old.Serial+jump)}})
		}
		if fails {
			return errOp
		}
		return nil
	}
}

var errOp = errors.New("prerequisite not met")

// batch submits ops that are, as far as their octets allow, evaluated
// together, and gives what became of them.
func (r *run) batch(ops []change) []zone.Committed {
	r.t.Helper()
	held, hold := make(chan struct{}), make(chan struct{})
	var once sync.Once
	done := make([]zone.Committed, len(ops))
	var wg sync.WaitGroup
	for i, op := range ops {
		wg.Add(1)
		if err := r.zone.Submit(&zonetest.Op{
			OnEvaluate: func(d *zone.Draft) error {
				if i == 0 {
					once.Do(func() { close(held) })
					<-hold
				}
				soa, _ := d.RRset(modelApex, dns.TypeSOA)
				return op(d.Set, soa)
			},
			OnDone: func(c zone.Committed) { done[i] = c; wg.Done() },
		}); err != nil {
			r.t.Fatal(err)
		}
		if i == 0 {
			<-held
		}
	}
	close(hold)
	wg.Wait()
	return done
}

// apply has the model do what ops did: those with one serial were one commit.
func (r *run) apply(ops []change, done []zone.Committed) {
	r.t.Helper()
	base := r.model.clone()
	for i, c := range done {
		switch {
		case c.Err == nil:
		case errors.Is(c.Err, zone.ErrStore), errors.Is(c.Err, zone.ErrTooBig):
			r.refused++
		case !errors.Is(c.Err, errOp):
			r.t.Fatal(c.Err)
		}
		if c.Err == nil {
			soa, before := r.model[modelApex].sets[dns.TypeSOA], r.model.clone()
			if err := ops[i](func(o rr.Name, s rr.RRset) { r.model.set(base, o, s) }, soa); err != nil {
				r.t.Fatalf("op %d was to fail: %v", i, err)
			}
			r.model.keep(before)
		}
		if i == len(done)-1 || done[i+1].Serial != c.Serial {
			r.commit(base, c.Serial)
			base = r.model.clone()
		}
	}
}

// commit ends a commit of the model.
func (r *run) commit(base model, serial uint32) {
	r.t.Helper()
	was := base.serial()
	if serial != was {
		r.committed++
		if serial == 0 || !rr.SerialGreater(serial, was) {
			r.t.Fatalf("serial %d behind %d", serial, was)
		}
		if serial-was > 1<<30 {
			r.jumps++
		}
	}
	r.model.settle(base)
	soa := base[modelApex].sets[dns.TypeSOA]
	soa.Data = []string{rr.WithSerial(soa.Data[0], serial)}
	r.model[modelApex].sets[dns.TypeSOA] = soa
}

// check compares memory, store and model, and has the journal lead here.
func (r *run) check() {
	r.t.Helper()
	want := r.model.lines()
	if got := read(r.zone); !slices.Equal(got, want) {
		r.t.Fatalf("serial %d: memory lacks %s and has %s", r.model.serial(), without(want, got), without(got, want))
	}
	if got := kept(r.t, r.kept); !slices.Equal(got, want) {
		r.t.Fatalf("serial %d: the store lacks %s and has %s", r.model.serial(), without(want, got), without(got, want))
	}
	if err := r.see(r.model.serial(), want); err != nil {
		r.t.Fatal(err)
	}
	m, _, _ := r.kept.Meta()
	if m.Serial != r.model.serial() {
		r.t.Fatalf("meta has serial %d, not %d", m.Serial, r.model.serial())
	}
	at, count := m.JournalFrom, uint64(0)
	for e, err := range r.kept.Journal(at, m.Serial) {
		if errors.Is(err, store.ErrNoHistory) && r.jumps > 1 {
			return // the old end may be a whole round of serials behind
		}
		if err != nil {
			r.t.Fatalf("journal from its old end %d to %d: %v", at, m.Serial, err)
		}
		count++
		if _, ok := r.content(e.From); ok && r.rnd.IntN(8) == 0 && !r.follow(r.kept, e.From, m.Serial, want) {
			r.t.Fatalf("journal from %d, which is kept, cannot be read", e.From)
		}
	}
	if count != m.JournalCount {
		r.t.Fatalf("journal has %d entries, meta says %d", count, m.JournalCount)
	}
}

// step is one random thing that happens to the zone.
func (r *run) step() {
	r.t.Helper()
	var ops []change
	for range 1 + r.rnd.IntN(6) {
		ops = append(ops, r.op())
	}
	var fault error
	switch r.rnd.IntN(12) {
	case 0:
		fault = errors.New("before the write")
	case 1:
		fault = store.ErrTorn
	}
	if fault != nil {
		r.fail.Store(&fault)
	}
	var trim sync.WaitGroup
	if r.rnd.IntN(6) == 0 {
		m, _, _ := r.kept.Meta()
		trim.Go(func() { // it may meet a fault of the others
			if err := r.kept.Trim(time.Now(), 0, m.JournalSize/2); errors.Is(err, store.ErrCorrupt) {
				r.t.Error(err)
			}
		})
	}
	done := r.batch(ops)
	r.apply(ops, done)
	trim.Wait()
	first := slices.IndexFunc(done, func(c zone.Committed) bool { return errors.Is(c.Err, zone.ErrStore) })
	failed := first >= 0
	switch {
	case failed && r.rnd.IntN(2) == 0: // the process dies, or ends, before it could repair
		lost := [][]change{ops[first : first+1]} // of a batch that was split
		if first == 0 || !slices.ContainsFunc(done[:first], func(c zone.Committed) bool { return c.Err == nil && c.Changed }) {
			lost = append(lost, ops)
		}
		r.restart(r.rnd.IntN(2) == 0, fault, lost)
	case failed:
		r.fail.Store(nil)
		<-r.fixed
	case r.rnd.IntN(25) == 0:
		r.fail.Store(nil)
		r.restart(r.rnd.IntN(2) == 0, nil, nil)
	}
	r.fail.Store(nil)
	r.check()
}

// restart ends the zone and opens it again. What was acknowledged is there;
// the commit that failed, of one of the lists in lost, may be, if all of it is.
func (r *run) restart(crash bool, fault error, lost [][]change) {
	r.t.Helper()
	r.close(crash)
	r.fail.Store(nil)
	r.open()
	got := read(r.zone)
	if slices.Equal(got, r.model.lines()) {
		return
	}
	if !errors.Is(fault, store.ErrTorn) {
		r.t.Fatalf("a restart took away %s and brought %s", without(r.model.lines(), got), without(got, r.model.lines()))
	}
	m, _, _ := r.kept.Meta()
	before := r.model
	for _, ops := range lost {
		r.model = before.clone()
		done := make([]zone.Committed, len(ops))
		for i, op := range ops {
			done[i] = zone.Committed{Serial: m.Serial, Err: op(func(rr.Name, rr.RRset) {}, r.model[modelApex].sets[dns.TypeSOA])}
		}
		r.apply(ops, done)
		if slices.Equal(got, r.model.lines()) {
			return
		}
	}
	want := r.model.lines()
	r.t.Fatalf("a torn commit came back in part: lacks %s, has %s", without(want, got), without(got, want))
}

// TestModel does random things to a zone with a real store: batches with
// failing ops and jumps of the serial, faults of the disk, crashes, restarts
// and trims, beside readers that hold old versions and follow the journal.
func TestModel(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := &run{t: t, rnd: rand.New(rand.NewPCG(seed, 7)), dir: t.TempDir()}
			r.mu.seen = map[uint32][]string{}
			r.open()
			r.check()
			for range 120 {
				if r.rnd.IntN(4) == 0 {
					h := heldView{r: zone.NewReader()}
					h.r.Begin()
					h.v = r.zone.View()
					h.lines = text(h.v)
					r.held = append(r.held, h)
				}
				r.step()
				if len(r.held) > 0 && r.rnd.IntN(4) == 0 {
					r.letGo(r.rnd.IntN(len(r.held)))
				}
			}
			r.close(false)
			if r.committed < 50 || r.refused == 0 || r.crashes == 0 {
				t.Errorf("%d commits, %d refused ops, %d crashes: the test saw too little", r.committed, r.refused, r.crashes)
			}
		})
	}
}
