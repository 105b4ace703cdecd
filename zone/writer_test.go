package zone_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/zonetest"
)

func a(ip ...byte) rr.RRset {
	return rr.RRset{Type: dns.TypeA, TTL: 60, Data: []string{string(ip)}}
}

// batch submits ops so that they are evaluated in one batch, and gives what
// became of them.
func batch(t *testing.T, z *zone.Zone, ops ...func(d *zone.Draft) error) []zone.Committed {
	t.Helper()
	hold, held := make(chan struct{}), make(chan struct{})
	var once sync.Once // ops of a batch that is split are evaluated again
	done := make(chan zone.Committed, len(ops))
	for i, f := range ops {
		first := i == 0
		op := &zonetest.Op{OnDone: func(c zone.Committed) { done <- c }, OnEvaluate: func(d *zone.Draft) error {
			if first {
				once.Do(func() { close(held) })
				<-hold
			}
			return f(d)
		}}
		if err := z.Submit(op); err != nil {
			t.Fatal(err)
		}
		if first {
			<-held
		}
	}
	close(hold)
	var all []zone.Committed
	for range ops {
		all = append(all, <-done)
	}
	return all
}

func TestCommitOrder(t *testing.T) {
	var trace []string
	z := zonetest.OpenWith(t, "phones.example.", sample, func(o *zone.Options) {
		o.Trace = func(s string) { trace = append(trace, s) }
	})
	name := rr.MustName("1.phones.example.")
	batch(t, z,
		func(d *zone.Draft) error { d.Set(name, a(192, 0, 2, 1)); return nil },
		func(d *zone.Draft) error { return errors.New("prerequisite") },
		func(d *zone.Draft) error { d.Set(name, a(192, 0, 2, 2)); return nil })
	z.Close()
	const want = "evaluate evaluate evaluate append publish reply reply reply notify"
	if got := strings.Join(trace, " "); got != want {
		t.Errorf("order of a commit: %s\nwant: %s", got, want)
	}
}

func TestBatchHasOneSerialAndFailuresStandAlone(t *testing.T) {
	z := open(t)
	one, two := rr.MustName("1.phones.example."), rr.MustName("2.phones.example.")
	bad := errors.New("no")
	got := batch(t, z,
		func(d *zone.Draft) error { d.Set(one, a(192, 0, 2, 1)); return nil },
		func(d *zone.Draft) error {
			if _, ok := d.RRset(one, dns.TypeA); !ok {
				t.Error("an op does not see the one before it")
			}
			d.Set(one, rr.RRset{Type: dns.TypeA})
			d.Set(two, a(192, 0, 2, 9))
			return bad
		},
		func(d *zone.Draft) error {
			if _, ok := d.RRset(two, dns.TypeA); ok {
				t.Error("a failed op left something")
			}
			d.Set(two, a(192, 0, 2, 2))
			return nil
		},
		func(d *zone.Draft) error { d.Set(one, a(192, 0, 2, 1)); return nil })
	want := []zone.Committed{{Changed: true, Serial: 11}, {Err: bad, Serial: 11}, {Changed: true, Serial: 11}, {Serial: 11}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func TestNetDifference(t *testing.T) {
	st := zonetest.NewStore(t, zonetest.Parse(t, "phones.example.", sample))
	z := zonetest.OpenWith(t, "phones.example.", sample, func(o *zone.Options) { o.Store = st })
	name := rr.MustName("5551234.phones.example.")
	c := zonetest.Do(t, z, func(d *zone.Draft) error {
		old, _ := d.RRset(name, dns.TypeA)
		d.Set(name, rr.RRset{Type: dns.TypeA})
		d.Set(name, old)
		return nil
	})
	if c.Err != nil || c.Changed || c.Serial != 10 {
		t.Errorf("delete and add of the same record: %+v", c)
	}
	other := rr.MustName("9.phones.example.")
	for _, c := range batch(t, z,
		func(d *zone.Draft) error { d.Set(other, a(1, 2, 3, 4)); return nil },
		func(d *zone.Draft) error { d.Set(other, rr.RRset{Type: dns.TypeA}); return nil }) {
		if c.Err != nil || !c.Changed || c.Serial != 10 {
			t.Errorf("ops that undo each other: %+v", c)
		}
	}
	if st.Commits() != 0 {
		t.Errorf("%d commits, want none", st.Commits())
	}
}

func soa(serial uint32) func(d *zone.Draft) error {
	return func(d *zone.Draft) error {
		old, _ := d.RRset(d.Apex(), dns.TypeSOA)
		d.Set(d.Apex(), rr.RRset{Type: dns.TypeSOA, TTL: old.TTL, Data: []string{rr.WithSerial(old.Data[0], serial)}})
		return nil
	}
}

func TestSerial(t *testing.T) {
	z := open(t)
	for _, serial := range []uint32{20, 1<<31 - 1 + 20, 1<<32 - 1} {
		if c := zonetest.Do(t, z, soa(serial)); c.Err != nil || c.Serial != serial {
			t.Errorf("explicit serial %d: %+v", serial, c)
		}
	}
	// RFC 2136, section 4.2: never 0.
	c := zonetest.Do(t, z, func(d *zone.Draft) error { d.Set(rr.MustName("7.phones.example."), a(1, 1, 1, 1)); return nil })
	if c.Err != nil || c.Serial != 1 {
		t.Errorf("serial behind 2^32-1: %+v", c)
	}
	if c := zonetest.Do(t, z, func(d *zone.Draft) error { d.Set(d.Apex(), rr.RRset{Type: dns.TypeSOA}); return nil }); c.Err == nil {
		t.Error("the SOA record could be taken away")
	}
}

func TestOpsSeeTheSerialOfTheirBatch(t *testing.T) {
	z := open(t)
	got := batch(t, z,
		func(d *zone.Draft) error { d.Set(rr.MustName("7.phones.example."), a(1, 1, 1, 1)); return nil },
		func(d *zone.Draft) error {
			s, _ := d.RRset(d.Apex(), dns.TypeSOA)
			if x, _ := rr.ParseSOA(s.Data[0]); x.Serial != 11 {
				t.Errorf("serial %d behind a change, want 11", x.Serial)
			}
			return nil
		}, soa(30))
	if got[2].Serial != 30 || zonetest.Read(z)[0] == "" {
		t.Errorf("%+v", got)
	}
}

func TestStoreFailure(t *testing.T) {
	st := zonetest.NewStore(t, zonetest.Parse(t, "phones.example.", sample))
	repaired := make(chan struct{})
	z := zonetest.OpenWith(t, "phones.example.", sample, func(o *zone.Options) {
		o.Store, o.RepairEvery = st, 1
		o.Trace = func(s string) {
			if s == "repaired" {
				close(repaired)
			}
		}
	})
	before := zonetest.Read(z)
	st.Fail(errors.New("disk on fire"))
	set := func(d *zone.Draft) error { d.Set(rr.MustName("7.phones.example."), a(1, 1, 1, 1)); return nil }
	for i, c := range batch(t, z, set, func(*zone.Draft) error { return nil }) {
		if !errors.Is(c.Err, zone.ErrStore) || c.Serial != 10 || c.Changed {
			t.Errorf("op %d of the failed commit: %+v", i, c)
		}
	}
	if err := z.Submit(&zonetest.Op{OnEvaluate: set}); !errors.Is(err, zone.ErrStore) {
		t.Errorf("Submit to a failed zone: %v", err)
	}
	if z.Failed() == nil {
		t.Error("the fault does not show")
	}
	if !slices.Equal(before, zonetest.Read(z)) {
		t.Error("a failed commit is served")
	}
	st.Fail(nil)
	<-repaired
	if c := zonetest.Do(t, z, set); c.Err != nil || c.Serial != 12 {
		t.Errorf("after repair: %+v; serial 11 may name the failed content and must not be used", c)
	}
}

func TestQueueFull(t *testing.T) {
	z := zonetest.OpenWith(t, "phones.example.", sample, func(o *zone.Options) { o.QueueLen = 1 })
	hold, held := make(chan struct{}), make(chan struct{})
	var done sync.WaitGroup
	done.Add(2)
	op := func(f func(d *zone.Draft) error) zone.Op {
		return &zonetest.Op{OnEvaluate: f, OnDone: func(zone.Committed) { done.Done() }}
	}
	nop := func(d *zone.Draft) error { return nil }
	if err := z.Submit(op(func(d *zone.Draft) error { close(held); <-hold; return nil })); err != nil {
		t.Fatal(err)
	}
	<-held
	if err := z.Submit(op(nop)); err != nil {
		t.Fatal(err)
	}
	if err := z.Submit(op(nop)); !errors.Is(err, zone.ErrQueueFull) {
		t.Errorf("third op: %v", err)
	}
	close(hold)
	done.Wait()
	z.Close()
	if err := z.Submit(op(nop)); !errors.Is(err, zone.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestReadersSeeOneVersion has readers that check that two names always
// change together, while a writer changes, removes and adds them.
func TestReadersSeeOneVersion(t *testing.T) {
	z := open(t)
	var stop atomic.Bool
	var wg sync.WaitGroup
	names := [2]rr.Name{rr.MustName("_a._b.1.phones.example."), rr.MustName("2.phones.example.")}
	for range 2 {
		wg.Go(func() {
			r := zone.NewReader()
			defer r.Close()
			var q zone.QName
			var res zone.Result
			for !stop.Load() {
				r.Begin()
				v := z.View()
				var got [2]string
				for i, n := range names {
					q.SetName(n)
					if v.Lookup(&q, dns.TypeA, &res); res.Outcome == zone.Answer {
						d := res.Set.Data()
						x, _ := d.Next()
						got[i] = string(x)
					}
				}
				if got[0] != got[1] {
					t.Errorf("half an update at serial %d: %x %x", v.Serial(), got[0], got[1])
				}
				r.End()
			}
		})
	}
	wg.Go(func() {
		for !stop.Load() {
			zonetest.Read(z)
		}
	})
	for i := range 3000 {
		zonetest.Do(t, z, func(d *zone.Draft) error {
			for _, n := range names {
				set := a(10, byte(i>>16), byte(i>>8), byte(i))
				if i%5 == 4 {
					set.Data = nil
				}
				d.Set(n, set)
			}
			d.Set(rr.MustName(fmt.Sprintf("n%d.phones.example.", i%700)), a(10, 0, 0, byte(i)))
			return nil
		})
	}
	stop.Store(true)
	wg.Wait()
}
