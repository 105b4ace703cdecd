package transfer

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/zonetest"

	"github.com/miekg/dns"
)

func TestCopies(t *testing.T) {
	a, b := zonetest.Open(t, apex, smallZone), zonetest.Open(t, apex, smallZone)
	client, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	now := time.Unix(1000, 0)
	c := NewCopies(3)
	c.Note(a, client, "", 5, Sent, now)
	c.Note(a, client, rr.MustName("K."), 6, Sent, now)
	c.Note(b, netip.MustParseAddr("::ffff:192.0.2.1"), "", 7, Stated, now)
	c.Note(a, client, "", 3, Stated, now.Add(time.Second)) // the newest counts, not the highest
	all := c.All()
	if len(all[a]) != 2 || len(all[b]) != 1 {
		t.Fatalf("%+v", all)
	}
	if x := all[a][1]; x.Serial != 3 || x.Source != Stated || !x.At.Equal(now.Add(time.Second)) || x.Key != "" || x.Client != client {
		t.Errorf("%+v", x)
	}
	if x := all[b][0]; x.Client != client {
		t.Errorf("%+v", x)
	}
	c.Note(a, other, "", 9, Sent, now) // in place of the one heard of longest ago
	if all = c.All(); len(all[a]) != 2 || all[a][0].Key != "" || all[a][1].Client != other {
		t.Errorf("%+v", all)
	}
	c.Forget(a)
	if all = c.All(); len(all) != 1 || len(all[b]) != 1 {
		t.Errorf("%+v", all)
	}
	for i := range 10 {
		c.Note(a, client, rr.MustName(fmt.Sprintf("k%d.", i)), 1, Sent, now)
	}
	if all = c.All(); len(all[a]) != 3 || all[a][2].Key != rr.MustName("k9.") {
		t.Errorf("%+v", all)
	}
}

// Which target a client is: by address, and by key where that does not tell.
func TestCopyOfATarget(t *testing.T) {
	one, two := netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("192.0.2.1:5353")
	far := netip.MustParseAddrPort("[2001:db8::1]:53")
	k, l := rr.MustName("k."), rr.MustName("l.")
	for i, c := range []struct {
		targets []Target
		key     rr.Name
		want    int
	}{
		{nil, "", -1},
		{[]Target{{far, ""}, {one, ""}}, "", 1},
		{[]Target{{far, ""}, {one, k}}, "", 1},
		{[]Target{{far, ""}, {one, ""}}, rr.MustName("K."), 1},
		{[]Target{{one, k}, {two, l}}, l, 1},
		{[]Target{{one, k}, {two, l}}, "", -1},
		{[]Target{{one, ""}, {two, l}}, "", 0},
		{[]Target{{one, k}, {two, k}}, k, -1},
		{[]Target{{one, ""}, {two, ""}}, "", -1},
		{[]Target{{far, k}}, k, 0}, // it fetches from an address of its own
		{[]Target{{far, ""}}, "", -1},
		{[]Target{{far, k}, {netip.MustParseAddrPort("192.0.2.9:53"), k}}, k, -1},
	} {
		if got := (Copy{Client: one.Addr(), Key: c.key}).Of(c.targets); got != c.want {
			t.Errorf("case %d: %d, want %d", i, got, c.want)
		}
	}
}

// What a Notifier tells of its targets.
func TestTargetStates(t *testing.T) {
	notifying(t, Target{Addr: secondary}, nil, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
		state := func() TargetState {
			t.Helper()
			all := n.States()
			if len(all) != 1 || all[0].Zone != z || all[0].Target.Addr != secondary {
				t.Fatalf("%+v", all)
			}
			return all[0]
		}
		synctest.Wait()
		if s := state(); !s.Pending || !s.ToldAt.IsZero() || s.Silent {
			t.Errorf("before an answer: %+v", s)
		}
		w.reply(t, secondary, as(dns.RcodeSuccess))
		if s := state(); s.Pending || s.Told != 10 || !s.ToldAt.Equal(time.Now()) || s.Missed != 0 {
			t.Errorf("answered: %+v", s)
		}
		put(t, z, "5559999 60 IN A 192.0.2.99\n")
		synctest.Wait()
		if s := state(); !s.Pending || s.Told != 10 {
			t.Errorf("changed: %+v", s)
		}
		time.Sleep(time.Hour)
		if s := state(); s.Pending || s.Told != 10 || s.Missed != 6 || !s.Silent {
			t.Errorf("given up: %+v", s)
		}
		put(t, z, "5559998 60 IN A 192.0.2.99\n")
		w.sent()
		w.reply(t, secondary, as(dns.RcodeSuccess))
		if s := state(); s.Pending || s.Told != 12 || s.Missed != 0 || s.Silent {
			t.Errorf("back: %+v", s)
		}
		n.Close()
		if all := n.States(); all != nil {
			t.Errorf("after Close: %+v", all)
		}
	})
}

// Other targets: one that stays is not told again, one that comes is, and one that goes is not any more.
func TestReplacedTargets(t *testing.T) {
	notifying(t, Target{Addr: secondary}, nil, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
		other := netip.MustParseAddrPort("192.0.2.54:53")
		w.sent()
		w.reply(t, secondary, as(dns.RcodeSuccess))
		n.Replace(z, []Target{{Addr: secondary}, {Addr: netip.MustParseAddrPort("[::ffff:192.0.2.54]:53")}})
		if all := w.sent(); len(all) != 2 || all[1].to != other {
			t.Fatalf("%+v", all)
		}
		if all := n.States(); len(all) != 2 || all[0].Told != 10 || all[1].Target.Addr != other {
			t.Errorf("%+v", all)
		}
		n.Replace(z, []Target{{Addr: secondary}})
		time.Sleep(time.Hour)
		if all := w.sent(); len(all) != 2 || len(n.States()) != 1 {
			t.Errorf("the one that went is told again: %+v", all)
		}
		put(t, z, "5559999 60 IN A 192.0.2.99\n")
		if all := w.sent(); len(all) != 3 || all[2].to != secondary {
			t.Errorf("%+v", all)
		}
		n.Replace(z, nil)
		put(t, z, "5559998 60 IN A 192.0.2.99\n")
		time.Sleep(time.Hour)
		if all := w.sent(); len(all) != 3 || len(n.States()) != 0 || n.Counters.Pending.Load() != 0 {
			t.Errorf("none is left: %+v", all)
		}
	})
}
