package answer

import (
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/zonetest"
)

// One answer sees one version of a zone, however often its chain comes back.
func TestAnswerSeesOneVersion(t *testing.T) {
	z := zonetest.Open(t, "phones.example.", phones)
	reader := zone.NewReader()
	defer reader.Close()
	reader.Begin()
	defer reader.End()
	var l lookup
	before := l.view(z).Serial()
	zonetest.Do(t, z, func(d *zone.Draft) error {
		d.Set(rr.MustName("new.phones.example."), rr.RRset{Type: dns.TypeA, TTL: 60, Data: []string{"1234"}})
		return nil
	})
	if now := z.View().Serial(); now == before {
		t.Fatal("the zone did not change")
	}
	if got := l.view(z).Serial(); got != before {
		t.Errorf("serial %d, began with %d", got, before)
	}
	l.start(nil)
	if got := l.view(z).Serial(); got == before {
		t.Error("the next answer sees the old version")
	}
}

// What an update adds is in the next answer, what it removes is not.
func TestAnswersFollowUpdates(t *testing.T) {
	z := zonetest.Open(t, "phones.example.", phones)
	zs := zone.NewZones()
	if err := zs.Add(z); err != nil {
		t.Fatal(err)
	}
	b := &bench{Responder: New(Options{Zones: zs}), reader: zone.NewReader()}
	defer b.reader.Close()
	set := func(owner string, data ...string) {
		zonetest.Do(t, z, func(d *zone.Draft) error {
			d.Set(rr.MustName(owner), rr.RRset{Type: dns.TypeA, TTL: 60, Data: data})
			return nil
		})
	}
	expect := func(rcode, answers int) {
		t.Helper()
		m := b.ask(t, question("555.phones.example.", dns.TypeA), false)
		if m.Rcode != rcode || len(m.Answer) != answers {
			t.Errorf("rcode %d, %d answers; want %d, %d", m.Rcode, len(m.Answer), rcode, answers)
		}
	}
	expect(dns.RcodeNameError, 0)
	set("555.phones.example.", "\xc0\x00\x02\x01", "\xc0\x00\x02\x02")
	expect(dns.RcodeSuccess, 2)
	set("below.555.phones.example.", "\xc0\x00\x02\x03")
	set("555.phones.example.")
	expect(dns.RcodeSuccess, 0) // an empty non-terminal
	set("below.555.phones.example.")
	expect(dns.RcodeNameError, 0)
}

func TestNameSet(t *testing.T) {
	var l lookup
	if l.seen(linkOwner, []byte("\x01a\x00")) || !l.seen(linkOwner, []byte("\x01a\x00")) || l.seen(dnameOwner, []byte("\x01a\x00")) || l.isSeen(linkOwner, []byte("\x01b\x00")) {
		t.Error("wrong")
	}
	for i := range 2 * maxNotes {
		l.seen(addressOwner, []byte{1, byte(i), 0})
	}
	if l.names.count != maxNotes {
		t.Errorf("%d notes", l.names.count)
	}
}
