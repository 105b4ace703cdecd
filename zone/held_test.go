package zone_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/zonetest"
)

const leasedText = `
@ SOA ns host 10 3600 600 86400 30
@ NS ns
ns A 192.0.2.1
1 A 192.0.2.11
1 TXT "one"
_sip._udp.1 SRV 0 0 5060 1
b.a.1 A 192.0.2.12
2 A 192.0.2.2
2 KEY 0 3 15 AAAA
name A 192.0.2.3
_sip._udp.4 SRV 0 0 5060 4
`

// clock is the time of a zone.
type clock struct{ now time.Time }

func (c *clock) add(d time.Duration) { c.now = c.now.Add(d) }

// leased opens a zone in which leases of a minute run for these numbers. again opens it once more on the same store.
func leased(t *testing.T, numbers ...string) (z *zone.Zone, s *zonetest.Store, c *clock, again func() *zone.Zone) {
	t.Helper()
	c = &clock{time.Unix(1_800_000_000, 0)}
	s = zonetest.NewStore(t, zonetest.Parse(t, "phones.example.", leasedText))
	again = func() *zone.Zone {
		return zonetest.OpenWith(t, "phones.example.", leasedText, func(o *zone.Options) {
			o.Store, o.Now, o.RepairEvery = s, func() time.Time { return c.now }, time.Millisecond
		})
	}
	z = again()
	for _, n := range numbers {
		renew(t, z, n, time.Minute)
	}
	return z, s, c, again
}

func renew(t *testing.T, z *zone.Zone, number string, lease time.Duration) zone.Committed {
	t.Helper()
	return zonetest.Do(t, z, func(d *zone.Draft) error {
		r := d.Registration(number)
		r.Lease = d.Now() + lease.Milliseconds()
		d.Hold(r)
		return nil
	})
}

func addA(owner, addr string) func(d *zone.Draft) error {
	return func(d *zone.Draft) error {
		d.Set(rr.MustName(owner+".phones.example."), rr.RRset{Type: dns.TypeA, TTL: 60, Data: []string{addr}})
		return nil
	}
}

// sees tells what a look-up of a name gives.
func sees(z *zone.Zone, owner string) zone.Outcome {
	r := zone.NewReader()
	defer r.Close()
	r.Begin()
	defer r.End()
	var q zone.QName
	var res zone.Result
	q.SetName(rr.MustName(owner + ".phones.example."))
	z.View().Lookup(&q, dns.TypeA, &res)
	if _, found := z.View().Node(&q); found != (res.Outcome == zone.Answer) && res.Outcome != zone.NoData {
		return 0
	}
	return res.Outcome
}

func serialOf(z *zone.Zone) uint32 { return z.View().Serial() }

// settled waits until the writer has done what waits.
func settled(t *testing.T, z *zone.Zone) {
	t.Helper()
	for range 4 { // an op may queue the next one
		zonetest.Do(t, z, func(*zone.Draft) error { return nil })
	}
}

func lines(z *zone.Zone, number string) (list []string) {
	for _, l := range zonetest.Read(z) {
		if owner, _, _ := strings.Cut(l, "\t"); owner == number+".phones.example." || strings.HasSuffix(owner, "."+number+".phones.example.") {
			list = append(list, l)
		}
	}
	return list
}

func TestLeaseEnds(t *testing.T) {
	z, s, c, _ := leased(t, "1", "2", "name", "4")
	if got := serialOf(z); got != 10 {
		t.Errorf("a lease made serial %d", got)
	}
	c.add(59 * time.Second)
	z.EndLeases(c.now)
	settled(t, z)
	if got := sees(z, "1"); got != zone.Answer || serialOf(z) != 10 {
		t.Errorf("before the end: %v, serial %d", got, serialOf(z))
	}
	renew(t, z, "name", time.Minute)
	c.add(1001 * time.Millisecond)
	z.EndLeases(c.now)
	for owner, want := range map[string]zone.Outcome{
		"1": zone.NXDomain, "_sip._udp.1": zone.NXDomain, "b.a.1": zone.NXDomain, "4": zone.NXDomain, "name": zone.Answer, "ns": zone.Answer,
	} {
		if got := sees(z, owner); got != want {
			t.Errorf("%s at the end: %v, want %v", owner, got, want)
		}
	}
	settled(t, z)
	for _, n := range []string{"1", "4"} {
		if got := lines(z, n); len(got) > 0 {
			t.Errorf("%s has %q", n, got)
		}
	}
	if got := lines(z, "2"); len(got) != 1 || !strings.Contains(got[0], "KEY") {
		t.Errorf("2 has %q", got)
	}
	if got := serialOf(z); got != 11 {
		t.Errorf("serial %d", got)
	}
	deleted := 0
	for e, err := range z.Journal(10, 11) {
		if err != nil {
			t.Fatal(err)
		}
		deleted += len(e.Deleted)
	}
	if deleted != 6 {
		t.Errorf("the journal deletes %d records", deleted)
	}
	if r, err := s.Registration("1"); err != nil || r != (rr.Registration{}) {
		t.Errorf("held is %+v, %v", r, err)
	}
	z.EndLeases(c.now)
	if n, _ := z.Leased(); n != 1 {
		t.Errorf("%d leases", n)
	}
	if got := sees(z, "2"); got != zone.NoData {
		t.Errorf("2, which keeps its KEY: %v", got)
	}
}

// TestRefreshIsFreeAndDurable: no serial, no journal entry, but in the store.
func TestRefreshIsFreeAndDurable(t *testing.T) {
	z, s, c, again := leased(t, "1")
	c.add(50 * time.Second)
	if got := renew(t, z, "1", time.Minute); got.Err != nil || got.Changed || got.Serial != 10 {
		t.Errorf("%+v", got)
	}
	r, _ := s.Registration("1")
	if want := c.now.Add(time.Minute).UnixMilli(); r.Lease != want {
		t.Errorf("lease ends at %d, want %d", r.Lease, want)
	}
	z.Close()
	c.add(59 * time.Second)
	z = again()
	z.EndLeases(c.now)
	settled(t, z)
	if sees(z, "1") != zone.Answer {
		t.Error("the start shortened a lease")
	}
	z.Close()
	c.add(2 * time.Second)
	z = again()
	z.EndLeases(c.now)
	if sees(z, "1") != zone.NXDomain {
		t.Error("a lease that ended while the server was down is answered")
	}
	settled(t, z)
	if got := lines(z, "1"); len(got) > 0 {
		t.Errorf("left is %q", got)
	}
}

// TestUpdatesFindNothingBehindALease: whether EndLeases came by or not.
func TestUpdatesFindNothingBehindALease(t *testing.T) {
	for _, hidden := range []bool{false, true} {
		z, s, c, _ := leased(t, "1")
		c.add(time.Minute + time.Second)
		hold := make(chan bool)
		if hidden { // the writer is busy, so the records are still there
			if err := z.Submit(&zonetest.Op{OnEvaluate: func(*zone.Draft) error { <-hold; return nil }}); err != nil {
				t.Fatal(err)
			}
			z.EndLeases(c.now)
			if sees(z, "1") != zone.NXDomain {
				t.Error("it is seen")
			}
			close(hold)
		}
		fails := zonetest.Do(t, z, func(d *zone.Draft) error {
			if n := len(d.RRsets(rr.MustName("_sip._udp.1.phones.example."))); n > 0 {
				t.Errorf("an op sees %d RRsets", n)
			}
			return errors.New("no")
		})
		if fails.Err == nil {
			t.Error(fails)
		}
		// The same content as before is there again: the lease is what is new.
		got := zonetest.Do(t, z, func(d *zone.Draft) error {
			r := d.Registration("1")
			if r.Lease != 0 {
				t.Errorf("lease %d", r.Lease)
			}
			if r.Lease = d.Now() + 60_000; !hidden {
				d.Hold(r)
			}
			return addA("1", "\xc0\x00\x02\x0b")(d)
		})
		if got.Err != nil || sees(z, "1") != zone.Answer || sees(z, "_sip._udp.1") != zone.NXDomain || len(lines(z, "1")) != 1 {
			t.Errorf("hidden %v: %+v, %v, %q", hidden, got, sees(z, "1"), lines(z, "1"))
		}
		if r, _ := s.Registration("1"); (r.Lease != 0) == hidden {
			t.Errorf("hidden %v: held is %+v", hidden, r)
		}
		z.EndLeases(c.now)
		settled(t, z)
		if sees(z, "1") != zone.Answer {
			t.Error("it went after all")
		}
	}
}

// TestHiddenNumberLivesAgain without any change of the zone: it was refreshed in the last moment.
func TestHiddenNumberLivesAgain(t *testing.T) {
	z, _, c, _ := leased(t, "2")
	start := c.now
	hold, held := make(chan bool), make(chan bool)
	if err := z.Submit(&zonetest.Op{OnEvaluate: func(*zone.Draft) error { held <- true; <-hold; return nil }}); err != nil {
		t.Fatal(err)
	}
	<-held
	done := make(chan zone.Committed, 1)
	refresh := &zonetest.Op{OnDone: func(c zone.Committed) { done <- c }, OnEvaluate: func(d *zone.Draft) error {
		r := d.Registration("2")
		r.Lease = d.Now() + 120_000
		d.Hold(r)
		return nil
	}}
	if err := z.Submit(refresh); err != nil {
		t.Fatal(err)
	}
	z.EndLeases(start.Add(61 * time.Second))
	if sees(z, "2") != zone.NXDomain {
		t.Error("it is seen")
	}
	close(hold)
	if got := <-done; got.Err != nil || got.Changed {
		t.Errorf("%+v", got)
	}
	if sees(z, "2") != zone.Answer {
		t.Error("it is not seen although the refresh was acknowledged")
	}
	settled(t, z)
	if sees(z, "2") != zone.Answer || serialOf(z) != 10 {
		t.Errorf("it went, serial %d", serialOf(z))
	}
}

func TestLeaseEndsWhileTheStoreFails(t *testing.T) {
	z, s, c, _ := leased(t, "1", "2")
	s.Fail(errors.New("no disk"))
	if got := renew(t, z, "2", time.Hour); !errors.Is(got.Err, zone.ErrStore) {
		t.Errorf("%+v", got)
	}
	c.add(61 * time.Second)
	z.EndLeases(c.now)
	if sees(z, "1") != zone.NXDomain || sees(z, "2") != zone.NXDomain {
		t.Error("it is seen")
	}
	s.Fail(nil)
	for z.Failed() != nil {
		runtime.Gosched()
	}
	if r, _ := s.Registration("2"); r.Lease > c.now.UnixMilli() {
		t.Errorf("what was not acknowledged is held: %+v", r)
	}
	z.EndLeases(c.now)
	settled(t, z)
	if got := lines(z, "1"); len(got) > 0 {
		t.Errorf("left is %q", got)
	}
}

func TestManyLeasesEnd(t *testing.T) {
	z, s, c, _ := leased(t)
	const n = 3000
	got := zonetest.Do(t, z, func(d *zone.Draft) error {
		for i := range n {
			number := fmt.Sprint(1000 + i)
			if err := addA(number, "\xc0\x00\x02\x0b")(d); err != nil {
				return err
			}
			if i%3 == 0 {
				addA("_x."+number, "\xc0\x00\x02\x0c")(d)
			}
			d.Hold(rr.Registration{Number: number, Lease: d.Now() + 1000 + int64(i%2)})
		}
		return nil
	})
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	before := zonetest.Parse(t, "phones.example.", leasedText)
	c.add(2 * time.Second)
	z.EndLeases(c.now)
	for i := range n {
		if got := sees(z, fmt.Sprint(1000+i)); got != zone.NXDomain {
			t.Fatalf("%d: %v", i, got)
		}
	}
	for len(s.Sets()) > len(before) {
		z.EndLeases(c.now)
		settled(t, z)
	}
	if k, _ := z.Leased(); k != 0 {
		t.Errorf("%d leases are left", k)
	}
}

// TestEmptyNumberForgetsItsLease: what is registered there next is not bound by it.
func TestEmptyNumberForgetsItsLease(t *testing.T) {
	z, s, c, _ := leased(t, "1", "4")
	remove := func(owner string, types ...uint16) func(*zone.Draft) error {
		return func(d *zone.Draft) error {
			for _, x := range types {
				d.Set(rr.MustName(owner+".phones.example."), rr.RRset{Type: x})
			}
			return nil
		}
	}
	zonetest.Do(t, z, remove("1", dns.TypeA, dns.TypeTXT))
	if r, _ := s.Registration("1"); r.Lease == 0 {
		t.Error("it has names below it, and no lease")
	}
	zonetest.Do(t, z, func(d *zone.Draft) error {
		return errors.Join(remove("_sip._udp.1", dns.TypeSRV)(d), remove("b.a.1", dns.TypeA)(d))
	})
	zonetest.Do(t, z, remove("_sip._udp.4", dns.TypeSRV))
	for _, n := range []string{"1", "4"} {
		if r, _ := s.Registration(n); r.Lease != 0 {
			t.Errorf("%s: held is %+v", n, r)
		}
	}
	zonetest.Do(t, z, addA("1", "\xc0\x00\x02\x0b"))
	c.add(time.Hour)
	z.EndLeases(c.now)
	settled(t, z)
	if sees(z, "1") != zone.Answer {
		t.Error("it went")
	}
}

func TestWithdraw(t *testing.T) {
	z, s, _, _ := leased(t, "1", "2")
	zonetest.Do(t, z, func(d *zone.Draft) error {
		if err := addA("new.1", "\xc0\x00\x02\x0b")(d); err != nil {
			return err
		}
		d.Withdraw("1", false)
		d.Withdraw("2", false)
		return nil
	})
	if got := slices.Concat(lines(z, "1"), lines(z, "2")); len(got) != 1 || !strings.Contains(got[0], "KEY") {
		t.Errorf("left is %q", got)
	}
	zonetest.Do(t, z, func(d *zone.Draft) error { d.Withdraw("2", true); return nil })
	if got := lines(z, "2"); len(got) != 0 {
		t.Errorf("left is %q", got)
	}
	if r, _ := s.Registration("1"); r.Lease != 0 {
		t.Errorf("held is %+v", r)
	}
}

func TestKeyLease(t *testing.T) {
	z, s, c, _ := leased(t, "2")
	zonetest.Do(t, z, func(d *zone.Draft) error {
		r := d.Registration("2")
		r.KeyLease = d.Now() + 120_000
		d.Hold(r)
		return nil
	})
	for step, want := range []int{2, 1, 0} {
		z.EndLeases(c.now)
		settled(t, z)
		if got := lines(z, "2"); len(got) != want {
			t.Errorf("step %d: %q", step, got)
		}
		c.add(61 * time.Second)
	}
	if r, _ := s.Registration("2"); r != (rr.Registration{}) {
		t.Errorf("held is %+v", r)
	}
}

func TestSigners(t *testing.T) {
	z, _, _, again := leased(t)
	key := rr.MustName("pbx.key.")
	set := func(signed uint32, err error) {
		zonetest.Do(t, z, func(d *zone.Draft) error {
			d.SetSigner(rr.Signer{Key: key, Signed: signed})
			return err
		})
	}
	want := func(want uint32) {
		t.Helper()
		zonetest.Do(t, z, func(d *zone.Draft) error {
			if got := d.Signer(rr.MustName("PBX.key.")); got.Signed != want || got.Key != key {
				t.Errorf("%+v, want %d", got, want)
			}
			return nil
		})
	}
	want(0)
	set(5, nil)
	set(6, errors.New("no"))
	want(5)
	z.Close()
	z = again()
	want(5)
}
