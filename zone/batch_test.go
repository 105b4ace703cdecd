package zone_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/store"
	"dialtone/zone/zonetest"
)

const farthest = 1<<31 - 1 // that a serial may jump (RFC 1982, section 3.1)

// TestJumpsThatAreTooFarTogether has updates of the SOA in one batch that are
// each allowed behind the one before: each gets the serial that it asks for.
func TestJumpsThatAreTooFarTogether(t *testing.T) {
	z := open(t)
	name := rr.MustName("7.phones.example.")
	set := func(d *zone.Draft) error { d.Set(name, a(1, 1, 1, 1)); return nil }
	for round := range uint32(2) { // the second time no serial is burned any more
		at := uint32(10 + 100*round)
		var got []uint32
		for _, c := range batch(t, z, set, soa(at+farthest), soa(at-2), soa(at+100)) {
			if c.Err != nil {
				t.Fatal(c.Err)
			}
			got = append(got, c.Serial)
		}
		if fmt.Sprint(got[1:]) != fmt.Sprint([]uint32{at + farthest, at - 2, at + 100}) {
			t.Errorf("from serial %d: %d", at, got)
		}
	}
	if c := zonetest.Do(t, z, soa(9)); !errors.Is(c.Err, zone.ErrSerial) || c.Serial != 210 {
		t.Errorf("a serial that does not follow: %+v", c)
	}
}

// failing gives a zone whose store fails when it is told to, and what to wait
// for until it is repaired.
func failing(t *testing.T, change func(*zone.Options)) (*zone.Zone, *zonetest.Store, chan struct{}) {
	st := zonetest.NewStore(t, zonetest.Parse(t, "phones.example.", sample))
	repaired := make(chan struct{}, 1)
	return zonetest.OpenWith(t, "phones.example.", sample, func(o *zone.Options) {
		o.Store, o.RepairEvery = st, 1
		o.Trace = func(s string) {
			if s == "repaired" {
				repaired <- struct{}{}
			}
		}
		change(o)
	}), st, repaired
}

// TestSerialsAreLeftBehindAFailedJump fails the farthest jump that there is:
// behind its serial there is none that could follow the zone's.
func TestSerialsAreLeftBehindAFailedJump(t *testing.T) {
	for _, far := range []uint32{farthest, farthest - 1, farthest - 1<<16, farthest - 1<<17} {
		z, st, repaired := failing(t, func(*zone.Options) {})
		for i := range byte(3) {
			st.Fail(errors.New("disk on fire"))
			if c := zonetest.Do(t, z, soa(10+far)); !errors.Is(c.Err, zone.ErrStore) {
				t.Fatal(c)
			}
			st.Fail(nil)
			<-repaired
			if i < 2 {
				continue // fails again without a commit between
			}
			c := zonetest.Do(t, z, func(d *zone.Draft) error { d.Set(rr.MustName("7.phones.example."), a(1, 1, 1, 1)); return nil })
			if c.Err != nil || !rr.SerialGreater(c.Serial, 10) {
				t.Errorf("behind a failed jump by %d: %+v", far, c)
			}
		}
	}
}

// TestSplitBatchDoesNotWaitForTheStore fails the first commit of a batch that
// was split: the ops behind it are refused at once, not when the store works.
func TestSplitBatchDoesNotWaitForTheStore(t *testing.T) {
	z, st, repaired := failing(t, func(*zone.Options) {})
	st.Fail(errors.New("disk on fire"))
	for i, c := range batch(t, z, soa(10+farthest), soa(8), soa(100)) {
		if !errors.Is(c.Err, zone.ErrStore) || c.Serial != 10 {
			t.Errorf("op %d: %+v", i, c)
		}
	}
	st.Fail(nil)
	<-repaired
	if c := zonetest.Do(t, z, soa(100)); c.Err != nil || c.Serial != 100 {
		t.Errorf("behind the repair: %+v", c)
	}
}

// TestBatchIsBoundedByWhatItTakesAway holds that deletions count: what they
// take away goes through the journal and through memory as well.
func TestBatchIsBoundedByWhatItTakesAway(t *testing.T) {
	z, st, _ := failing(t, func(o *zone.Options) { o.BatchOctets = 1000 })
	var put, clear []func(d *zone.Draft) error
	for i := range 4 {
		name := rr.MustName(fmt.Sprintf("n%d.phones.example.", i))
		long := rr.RRset{Type: dns.TypeTXT, TTL: 60, Data: []string{"\xff" + fmt.Sprintf("%0255d", i)}}
		for t := range uint16(4) {
			long := long
			long.Type = 65280 + t
			put = append(put, func(d *zone.Draft) error { d.Set(name, long); return nil })
		}
		clear = append(clear, func(d *zone.Draft) error {
			for _, s := range d.RRsets(name) {
				d.Set(name, rr.RRset{Type: s.Type})
			}
			return nil
		})
	}
	batch(t, z, put...)
	before := st.Commits()
	batch(t, z, clear...)
	if n := st.Commits() - before; n != 4 {
		t.Errorf("%d commits for what 4 batches of 1000 octets can take away", n)
	}
}

// TestOpsGather holds the next batch back until as many ops wait as the last
// one had, or the zone is closed; the interval itself never passes here.
func TestOpsGather(t *testing.T) {
	z, st, _ := failing(t, func(o *zone.Options) { o.CommitInterval = time.Hour })
	set := func(i byte) func(d *zone.Draft) error {
		return func(d *zone.Draft) error { d.Set(rr.MustName("7.phones.example."), a(1, 1, 1, i)); return nil }
	}
	for i := range byte(3) { // one client alone never waits
		zonetest.Do(t, z, set(i))
	}
	batch(t, z, set(11), set(12), set(13))
	before, gathered := st.Commits(), z.Gathered.Load()
	done := make(chan zone.Committed, 4)
	for i := range byte(3) {
		if err := z.Submit(&zonetest.Op{OnEvaluate: set(20 + i), OnDone: func(c zone.Committed) { done <- c }}); err != nil {
			t.Fatal(err)
		}
		for z.Gathered.Load() == gathered { // the first waits for the others
			runtime.Gosched()
		}
	}
	for range 3 {
		if c := <-done; c.Err != nil || c.Serial != 15 {
			t.Errorf("%+v, want all in the commit of serial 15", c)
		}
	}
	if n := st.Commits() - before; n != 1 || z.Gathered.Load() != gathered+1 || z.Commits.Load() != 5 {
		t.Errorf("%d commits for what came behind a batch of three; %d gathered, %d in all", n, z.Gathered.Load()-gathered, z.Commits.Load())
	}
	if err := z.Submit(&zonetest.Op{OnEvaluate: set(30), OnDone: func(c zone.Committed) { done <- c }}); err != nil {
		t.Fatal(err)
	}
	z.Close()
	if c := <-done; c.Err != nil || c.Serial != 16 {
		t.Errorf("closed while it waits for more: %+v", c)
	}
}

// TestOpsDoNotWaitForever has fewer ops come than before.
func TestOpsDoNotWaitForever(t *testing.T) {
	z, _, _ := failing(t, func(*zone.Options) {})
	set := func(d *zone.Draft) error { return nil }
	batch(t, z, set, set, set)
	if c := zonetest.Do(t, z, set); c.Err != nil {
		t.Error(c)
	}
}

// TestIdleZoneIsSmall is for servers with very many zones.
func TestIdleZoneIsSmall(t *testing.T) {
	const count = 200
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range count {
		open(t)
	}
	runtime.ReadMemStats(&after)
	// Twice what a zone keeps: what it takes to make it is counted as well.
	if got := (after.TotalAlloc - before.TotalAlloc) / count; got > 32<<10 {
		t.Errorf("%d octets a zone", got)
	}
}

// TestDamageIsRemembered: what a trim finds is told of until the next start, and updates go on.
func TestDamageIsRemembered(t *testing.T) {
	z, st, _ := failing(t, func(*zone.Options) {})
	if _, err := z.Damaged(); err != nil {
		t.Fatal(err)
	}
	st.FailTrim(fmt.Errorf("%w: journal with a gap", store.ErrCorrupt))
	zonetest.Do(t, z, soa(10))
	for since, err := z.Damaged(); err == nil; since, err = z.Damaged() {
		if !since.IsZero() {
			t.Fatal(since)
		}
		runtime.Gosched()
	}
	st.FailTrim(nil)
	if c := zonetest.Do(t, z, soa(11)); c.Err != nil || c.Serial != 11 {
		t.Errorf("%+v", c)
	}
	if since, err := z.Damaged(); !errors.Is(err, store.ErrCorrupt) || since.IsZero() {
		t.Errorf("%v since %v", err, since)
	}
}
