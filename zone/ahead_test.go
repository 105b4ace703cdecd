package zone_test

import (
	"fmt"
	"strings"
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
