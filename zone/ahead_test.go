package zone_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/zonetest"
)

// TestAheadFindsNodes has batches of names of two zones and of none.
func TestAheadFindsNodes(t *testing.T) {
	const head = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\n"
	text := strings.Builder{}
	text.WriteString(head)
	for i := range 1000 {
		fmt.Fprintf(&text, "%d A 10.0.0.1\n", i)
	}
	zs := zonetest.Zones(t, map[string]string{"phones.example.": text.String(), "other.example.": text.String()})
	r := zone.NewReader()
	defer r.Close()
	r.Begin()
	defer r.End()
	var a zone.Ahead
	batch := func(name string) int {
		for i := range 64 {
			a.Add([]byte(rr.MustName(fmt.Sprintf(name, i)) + "\x00\x01\x00\x01"))
		}
		return a.Ask(zs)
	}
	for _, c := range []struct {
		name string
		some bool
	}{
		{"%d.phones.example.", false}, // the zone is not known yet
		{"%d.Phones.EXAMPLE.", true},
		{"%d.other.example.", false},
		{"%d.other.example.", true},
		{"no%d.other.example.", false},
		{"x.%d.other.example.", false},
		{"%d.elsewhere.example.", false},
		{"%d.other.example.", false},
		{"%d.other.example.", true},
	} {
		if n := batch(c.name); c.some && (n < 32 || n > 64) || !c.some && n > 0 {
			t.Errorf("%s: %d nodes", c.name, n)
		}
	}
	wire := []byte("\x0212\x05other\x07example\x00\x00\x01\x00\x01")
	if n := testing.AllocsPerRun(10, func() {
		for range 100 {
			a.Add(wire)
		}
		a.Ask(zs)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzAhead takes octets that are no names.
func FuzzAhead(f *testing.F) {
	zs := zonetest.Zones(f, map[string]string{"phones.example.": sample, ".": "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n"})
	for _, wire := range []string{"", "\x00", "\x01", "\x01a", "\x01a\x00", "\x3f", "\xc0\x0c", "\x075551234\x06phones\x07example\x00", "\x075551234\x06phones\x07example", "\x02ns\x00\x00\x01"} {
		f.Add([]byte(wire), []byte("\x02ns\x00"))
	}
	r := zone.NewReader()
	f.Cleanup(r.Close)
	f.Fuzz(func(_ *testing.T, one, two []byte) {
		r.Begin()
		defer r.End()
		var a zone.Ahead
		for range 3 {
			a.Add(one)
			a.Add(two)
			a.Add(one)
			a.Ask(zs)
		}
	})
}

// named is an op that tells its names, of which some are not of the zone.
type named struct {
	zonetest.Op
	names []rr.Name
	asked *atomic.Int64
}

func (n *named) Names(add func(owner rr.Name)) {
	n.asked.Add(1)
	for _, name := range n.names {
		add(name)
	}
}

// TestWriterLooksAhead has the names of ops that wait asked for before they are
// evaluated, whatever they are.
func TestWriterLooksAhead(t *testing.T) {
	z := open(t)
	var asked atomic.Int64
	names := []rr.Name{"", "\x00", "\x01", "\x3fa", "\x05abcde", rr.MustName("5551234.phones.example."), rr.MustName("x.5551234.PHONES.example."),
		rr.MustName("phones.example."), rr.MustName("xphones.example."), rr.MustName("5551234.other.example.")}
	hold, done := make(chan struct{}), make(chan struct{}, 100)
	op := func(evaluate func(d *zone.Draft) error) *named {
		return &named{zonetest.Op{OnEvaluate: evaluate, OnDone: func(zone.Committed) { done <- struct{}{} }}, names, &asked}
	}
	const ops = 50
	for i := range ops {
		if err := z.Submit(op(func(*zone.Draft) error {
			if i == 0 {
				<-hold
			}
			return nil
		})); err != nil {
			t.Fatal(err)
		}
	}
	close(hold)
	for range ops {
		<-done
	}
	if asked.Load() < ops/2 {
		t.Errorf("the names of %d ops of %d were asked for", asked.Load(), ops)
	}
}
