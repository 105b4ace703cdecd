package zone_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/store"
	"dialtone/zone/zonetest"
)

// together submits ops so that they come into one batch.
func together(t *testing.T, z *zone.Zone, ops ...func(*zone.Draft) error) []zone.Committed {
	t.Helper()
	out := make([]zone.Committed, len(ops))
	list := make([]zone.Op, len(ops))
	for i, f := range ops {
		list[i] = &zonetest.Op{OnEvaluate: f, OnDone: func(c zone.Committed) { out[i] = c }}
	}
	atOnce(t, z, list...)
	return out
}

// atOnce does ops in one batch.
func atOnce(t *testing.T, z *zone.Zone, ops ...zone.Op) {
	t.Helper()
	hold, held := make(chan bool), make(chan bool)
	if err := z.Submit(&zonetest.Op{OnEvaluate: func(*zone.Draft) error { held <- true; <-hold; return nil }}); err != nil {
		t.Fatal(err)
	}
	<-held
	for _, op := range ops {
		if err := z.Submit(op); err != nil {
			t.Fatal(err)
		}
	}
	close(hold)
	zonetest.Do(t, z, func(*zone.Draft) error { return nil }) // it is answered after them
}

// TestFailedOpAndTheNext: what a failed op looked at is as it was for the next: a number whose lease has ended has no records.
func TestFailedOpAndTheNext(t *testing.T) {
	z, s, c, _ := leased(t, "1")
	c.add(time.Minute + time.Second)
	got := together(t, z,
		func(d *zone.Draft) error {
			d.RRsets(rr.MustName("1.phones.example."))
			return errors.New("prerequisite")
		},
		func(d *zone.Draft) error {
			name := rr.MustName("1.phones.example.")
			if n := len(d.RRsets(name)); n > 0 {
				t.Errorf("the second op sees %d RRsets", n)
			}
			if err := addA("1", "\xc0\x00\x02\x63")(d); err != nil {
				return err
			}
			r := d.Registration("1")
			r.Lease = d.Now() + 3600_000
			d.Hold(r)
			return nil
		})
	if r, _ := s.Registration("1"); r.Lease == 0 {
		t.Error("it has no lease")
	}
	if got[1].Err == nil && len(lines(z, "1")) == 0 {
		t.Error("it was acknowledged, and nothing is there")
	}
}

func TestEndOfAKeyLeaseHidesNothing(t *testing.T) {
	z, _, c, _ := leased(t)
	zonetest.Do(t, z, func(d *zone.Draft) error {
		r := d.Registration("2")
		r.KeyLease = d.Now() + 60_000
		d.Hold(r)
		return nil
	})
	c.add(61 * time.Second)
	hold := make(chan bool)
	z.Submit(&zonetest.Op{OnEvaluate: func(*zone.Draft) error { <-hold; return nil }})
	z.EndLeases(c.now)
	if got := sees(z, "2"); got != zone.Answer {
		t.Errorf("the record without a lease is %v", got)
	}
	close(hold)
	settled(t, z)
}

func TestKeyLeaseGoesWithItsKEY(t *testing.T) {
	z, s, c, _ := leased(t)
	zonetest.Do(t, z, func(d *zone.Draft) error {
		r := d.Registration("2")
		r.KeyLease = d.Now() + 60_000
		d.Hold(r)
		return nil
	})
	zonetest.Do(t, z, func(d *zone.Draft) error {
		d.Set(rr.MustName("2.phones.example."), rr.RRset{Type: dns.TypeKEY})
		return nil
	})
	if r, _ := s.Registration("2"); r.KeyLease != 0 {
		t.Errorf("key lease %d without a KEY", r.KeyLease)
	}
	zonetest.Do(t, z, func(d *zone.Draft) error { // provisioned by the operator
		d.Set(rr.MustName("2.phones.example."), rr.RRset{Type: dns.TypeKEY, TTL: 60, Data: []string{"\x00\x00\x03\x0fABCD"}})
		return nil
	})
	c.add(61 * time.Second)
	z.EndLeases(c.now)
	settled(t, z)
	if len(lines(z, "2")) != 2 {
		t.Errorf("provisioned KEY went: %q", lines(z, "2"))
	}
}

func TestHiddenNumbersAreForgotten(t *testing.T) {
	z, _, c, _ := leased(t)
	const n = 400
	zonetest.Do(t, z, func(d *zone.Draft) error {
		for i := range n {
			number := fmt.Sprint(1000 + i)
			addA(number, "\xc0\x00\x02\x0b")(d)
			d.Hold(rr.Registration{Number: number, Lease: d.Now() + 250*int64(i+1)})
		}
		return nil
	})
	for range n - 5 {
		c.add(250 * time.Millisecond)
		z.EndLeases(c.now)
		settled(t, z)
	}
	if n := z.Hidden(); n > 10 {
		t.Errorf("%d are hidden", n)
	}
}

func realZone(t *testing.T, dir string, fail *atomic.Pointer[error], now func() time.Time) (*store.Store, *zone.Zone) {
	t.Helper()
	st, err := store.Open(store.Options{Dir: dir, MemTable: 1 << 20, Logger: slog.New(slog.DiscardHandler), FailCommit: func() error {
		if p := fail.Load(); p != nil {
			return *p
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := st.Zone(rr.MustName("phones.example."))
	if err != nil {
		t.Fatal(err)
	}
	if _, loaded, _ := kept.Meta(); !loaded {
		sets := zonetest.Parse(t, "phones.example.", leasedText)
		if err := kept.Seed(10, func(yield func(store.OwnedRRset, error) bool) {
			for _, s := range sets {
				if !yield(s, nil) {
					return
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	z, err := zone.Open(context.Background(), zone.Options{Apex: rr.MustName("phones.example."), Store: kept, RepairEvery: time.Millisecond,
		Logger: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return st, z
}

// TestFailedRefresh: a refresh that cannot be stored burns no serial, and the zone goes on.
func TestFailedRefresh(t *testing.T) {
	var fail atomic.Pointer[error]
	dir := t.TempDir()
	st, z := realZone(t, dir, &fail, time.Now)
	if got := zonetest.Do(t, z, addA("1", "\xc0\x00\x02\x01")); got.Err != nil {
		t.Fatal(got.Err)
	}
	err := errors.New("disk")
	fail.Store(&err)
	if got := renew(t, z, "1", time.Hour); !errors.Is(got.Err, zone.ErrStore) {
		t.Errorf("%+v", got)
	}
	fail.Store(nil)
	for z.Failed() != nil {
		runtime.Gosched()
	}
	for i := range 3 {
		got := zonetest.Do(t, z, addA("1", "\xc0\x00\x02"+string(rune(10+i))))
		if got.Err != nil {
			t.Errorf("update %d: %v", i, got.Err)
		}
		for z.Failed() != nil {
			runtime.Gosched()
		}
	}
	z.Close()
	st.Close()
	st, z = realZone(t, dir, &fail, time.Now)
	if got := zonetest.Do(t, z, addA("1", "\xc0\x00\x02\x20")); got.Err != nil {
		t.Errorf("after a restart: %v", got.Err)
	}
	z.Close()
	st.Close()
}

// TestSignerOfAFailedCommit: it has not signed anything.
func TestSignerOfAFailedCommit(t *testing.T) {
	var fail atomic.Pointer[error]
	dir := t.TempDir()
	st, z := realZone(t, dir, &fail, time.Now)
	err := fmt.Errorf("sync: %w", store.ErrTorn)
	fail.Store(&err)
	key := rr.MustName("dhcp.key.")
	got := zonetest.Do(t, z, func(d *zone.Draft) error {
		d.SetSigner(rr.Signer{Key: key, Signed: 7, Digest: 77})
		return addA("1", "\xc0\x00\x02\x63")(d)
	})
	if got.Err == nil {
		t.Error("it was to fail")
	}
	fail.Store(nil)
	for z.Failed() != nil {
		runtime.Gosched()
	}
	z.Close()
	st.Close()
	st, z = realZone(t, dir, &fail, time.Now)
	zonetest.Do(t, z, func(d *zone.Draft) error {
		if x := d.Signer(key); x.Signed != 0 {
			t.Errorf("signer of a failed commit: %+v", x)
		}
		return nil
	})
	z.Close()
	st.Close()
}

func TestBothLeasesEnd(t *testing.T) {
	z, _, c, _ := leased(t)
	zonetest.Do(t, z, func(d *zone.Draft) error {
		d.Hold(rr.Registration{Number: "2", Lease: d.Now() + 1000, KeyLease: d.Now() + 1000})
		return nil
	})
	c.add(2 * time.Second)
	z.EndLeases(c.now)
	settled(t, z)
	if n := z.LeasesEnded(); n != 1 {
		t.Errorf("%d leases ended, of 1", n)
	}
}

// TestBatchFromBeforeTheEnd: it shows nothing again whose lease has ended meanwhile.
func TestBatchFromBeforeTheEnd(t *testing.T) {
	z, _, c, _ := leased(t, "1")
	hold, held := make(chan bool), make(chan bool)
	z.Submit(&zonetest.Op{OnEvaluate: func(*zone.Draft) error { held <- true; <-hold; return nil }})
	<-held
	done := make(chan bool)
	z.Submit(&zonetest.Op{OnEvaluate: addA("1", "\xc0\x00\x02\x63"), OnDone: func(zone.Committed) { done <- true }})
	z.EndLeases(c.now.Add(70 * time.Second))
	c.add(70 * time.Second)
	close(hold)
	<-done
	if got := sees(z, "1"); got == zone.Answer {
		t.Errorf("%v, 10 s after the end", got)
	}
}

func TestFailedOpLeavesNothing(t *testing.T) {
	z, _, c, _ := leased(t, "1")
	c.add(time.Minute + time.Second)
	name, below := rr.MustName("1.phones.example."), rr.MustName("b.a.1.phones.example.")
	together(t, z,
		func(d *zone.Draft) error { d.RRsets(name); return errors.New("prerequisite") },
		func(d *zone.Draft) error {
			d.Set(name, rr.RRset{Type: dns.TypeA})
			d.Set(name, rr.RRset{Type: dns.TypeTXT})
			return nil
		},
		func(d *zone.Draft) error {
			d.Set(below, rr.RRset{Type: dns.TypeA, TTL: 60, Data: []string{"\xc0\x00\x02\x63"}})
			return errors.New("fails")
		},
	)
	if len(lines(z, "1")) > 0 {
		t.Error("a failed op left a record")
	}
}

// blind is a store that cannot tell which names are below a number.
type blind struct{ *zonetest.Store }

func (blind) Below([]string) ([]rr.Name, error) { return nil, errors.New("disk") }

// TestFaultGoesBeforeWhatTheOpConcludes: an op that could not read the store has not found anything out.
func TestFaultGoesBeforeWhatTheOpConcludes(t *testing.T) {
	sets := zonetest.Parse(t, "phones.example.", leasedText)
	z := zonetest.OpenWith(t, "phones.example.", leasedText, func(o *zone.Options) { o.Store = blind{zonetest.NewStore(t, sets)} })
	taken := errors.New("the number is taken")
	got := together(t, z,
		func(d *zone.Draft) error {
			if !d.IsEmpty("4") {
				return taken
			}
			return nil
		},
		addA("3", "\xc0\x00\x02\x63"))
	if !errors.Is(got[0].Err, zone.ErrStore) || errors.Is(got[0].Err, taken) {
		t.Errorf("the op ends with %v", got[0].Err)
	}
	if got[1].Err != nil {
		t.Errorf("the one behind it ends with %v", got[1].Err)
	}
}
