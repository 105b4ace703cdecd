package zone_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/store"
	"dialtone/zone/zonetest"
)

// authored is an op that says who makes it.
type authored struct {
	zonetest.Op
	who rr.Author
}

func (a *authored) Author() rr.Author { return a.who }

func byKey(key, from string) rr.Author {
	a := rr.Author{Kind: rr.ByUpdate, From: netip.MustParseAddr(from)}
	if key != "" {
		a.Key = rr.MustName(key)
	}
	return a
}

// madeBy does ops in one batch and gives what the journal has of it.
func madeBy(t *testing.T, z *zone.Zone, s *zonetest.Store, ops ...zone.Op) []string {
	t.Helper()
	atOnce(t, z, ops...)
	c := s.Last()
	var lines []string
	for i, records := range [][]rr.RR{c.Deleted, c.Added} {
		runs := [][]store.Run{c.Authors.DeletedBy, c.Authors.AddedBy}[i]
		for _, run := range runs {
			by := "nobody"
			if run.By > 0 {
				a := c.Authors.List[run.By-1]
				by = fmt.Sprintf("%s key=%s own=%v from=%s as=%d uid=%d", a.Kind, a.Key, a.OwnKey, a.From, a.FromAdded, a.UID)
			}
			for _, r := range records[:run.Count] {
				lines = append(lines, fmt.Sprintf("%c%s %s: %s", "-+"[i], r.Owner, rr.TypeString(r.Type), by))
			}
			records = records[run.Count:]
		}
		if len(records) > 0 {
			t.Errorf("%d records without an author", len(records))
		}
	}
	return lines
}

func as(who rr.Author, f func(d *zone.Draft) error) zone.Op {
	return &authored{zonetest.Op{OnEvaluate: f}, who}
}

func TestTheJournalSaysWhoMadeAChange(t *testing.T) {
	z, s, c, _ := leased(t, "1")
	const at = "\xc0\x00\x02\x63"
	fails := errors.New("no")
	got := madeBy(t, z, s,
		as(byKey("2.phones.example.", "192.0.2.99"), addA("2", at)),
		as(byKey("3.phones.example.", "192.0.2.98"), addA("3", at)),
		as(byKey("pbx.key.", "::ffff:192.0.2.99"), addA("4", at)),
		as(byKey("pbx.key.", "192.0.2.99"), addA("5", at)),
		as(byKey("", "2001:db8::1"), func(d *zone.Draft) error {
			d.Set(rr.MustName("6.phones.example."), rr.RRset{Type: dns.TypeAAAA, Data: []string{string(netip.MustParseAddr("2001:db8::1").AsSlice())}})
			d.Set(rr.MustName("_sip._udp.4.phones.example."), rr.RRset{Type: dns.TypeSRV})
			return nil
		}),
		as(rr.Author{Kind: rr.ByRelease, UID: 1000}, addA("name", at)),
		as(byKey("other.key.", "192.0.2.1"), func(d *zone.Draft) error {
			if err := addA("5", "\x01\x02\x03\x04")(d); err != nil {
				return err
			}
			return fails
		}),
		&zonetest.Op{OnEvaluate: addA("7", at)},
	)
	want := []string{
		"-2.phones.example. A: update key=<no name> own=true from=invalid IP as=1 uid=0",
		"-_sip._udp.4.phones.example. SRV: update key=<no name> own=false from=2001:db8::1 as=0 uid=0",
		"-name.phones.example. A: release key=<no name> own=false from=invalid IP as=0 uid=1000",
		"+2.phones.example. A: update key=<no name> own=true from=invalid IP as=1 uid=0",
		"+3.phones.example. A: update key=<no name> own=true from=192.0.2.98 as=0 uid=0",
		"+4.phones.example. A: update key=pbx.key. own=false from=invalid IP as=1 uid=0",
		"+5.phones.example. A: update key=pbx.key. own=false from=invalid IP as=1 uid=0",
		"+6.phones.example. AAAA: update key=<no name> own=false from=invalid IP as=28 uid=0",
		"+name.phones.example. A: release key=<no name> own=false from=invalid IP as=0 uid=1000",
		"+7.phones.example. A: nobody",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if n := len(s.Last().Authors.List); n != 6 {
		t.Errorf("%d authors, want each once: 6", n)
	}

	// Whoever looks at a number whose lease has ended is not who takes its records away.
	c.add(2 * time.Minute)
	got = madeBy(t, z, s, as(byKey("2.phones.example.", "192.0.2.5"), func(d *zone.Draft) error {
		d.RRsets(rr.MustName("1.phones.example."))
		return addA("2", "\xc0\x00\x02\x05")(d)
	}))
	slices.Sort(got)
	lease := ": lease end key=<no name> own=false from=invalid IP as=0 uid=0"
	own := ": update key=<no name> own=true from=invalid IP as=1 uid=0"
	want = []string{"+2.phones.example. A" + own, "-1.phones.example. A" + lease, "-1.phones.example. TXT" + lease, "-2.phones.example. A" + own,
		"-_sip._udp.1.phones.example. SRV" + lease, "-b.a.1.phones.example. A" + lease}
	if !slices.Equal(got, want) {
		t.Errorf("at the end of a lease: got %q\nwant %q", got, want)
	}
}
