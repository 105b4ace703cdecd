package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// edge is a sequence of updates at a hard edge of RFC 2136 and what each server makes of it: the RCODEs, then the records
// that are gone and new. It is the second half of the table of deviations: what the random updates keep away from.
type edge struct {
	name    string
	rfc     string // the rule that decides
	why     string // why dialtone and a peer go apart; empty when all agree
	updates [][]string
	want    string // of dialtone
	bind    string // of BIND, when it is another
	knot    string // of Knot, when it is another
}

// TestEdgesOfUpdate sends each edge to a zone of its own at each server.
func TestEdgesOfUpdate(t *testing.T) {
	zones := make([]string, len(edges))
	for i := range edges {
		zones[i] = fmt.Sprintf("edge%d.example.", i)
	}
	all := streams(t, subjects(t, zones, diffZoneFile))
	for i, e := range edges {
		t.Run(e.name, func(t *testing.T) {
			if deviates := e.bind != "" || e.knot != ""; deviates != (e.why != "") || e.rfc == "" {
				t.Error("a deviation needs an RFC section and a reason, and only a deviation has one")
			}
			for _, s := range all {
				want := e.want
				switch {
				case s.name == "BIND" && e.bind != "":
					want = e.bind
				case s.name == "Knot" && e.knot != "":
					want = e.knot
				}
				if got := e.run(t, s, zones[i]); got != want {
					t.Errorf("%s (%s):\n got %s\nwant %s", s.name, e.rfc, got, want)
				}
			}
		})
	}
}

// run gives what a server makes of the edge.
func (e edge) run(t *testing.T, s *subject, zone string) string {
	t.Helper()
	view := peertest.View{FoldCase: true, NoSerial: true}
	before := peertest.MustAXFR(t, s.server.Addr, zone)
	var out []string
	for i, lines := range e.updates {
		m := peertest.Update{ID: uint16(i), Zone: []peertest.Entry{{Owner: zone, Type: dns.TypeSOA, Class: dns.ClassINET}}}
		for _, l := range lines {
			if rest, ok := strings.CutPrefix(l, "prereq "); ok {
				m.Prerequisites = append(m.Prerequisites, parseEntry(t, zone, rest))
			} else {
				m.Updates = append(m.Updates, parseEntry(t, zone, l))
			}
		}
		rcode, err := s.send(m)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rcodeText(rcode))
	}
	after := peertest.MustAXFR(t, s.server.Addr, zone)
	old, now := before.Lines(view), after.Lines(view)
	for _, l := range old {
		if !slices.Contains(now, l) {
			out = append(out, "-"+tidy(l, zone))
		}
	}
	for _, l := range now {
		if !slices.Contains(old, l) {
			out = append(out, "+"+tidy(l, zone))
		}
	}
	return strings.Join(out, " ")
}

func tidy(line, zone string) string {
	line = strings.ReplaceAll(line, "."+zone, "")
	line = strings.ReplaceAll(line, zone, "@")
	return "[" + strings.Join(strings.Fields(line), " ") + "]"
}

// parseEntry reads "owner TTL CLASS TYPE data"; the owner is relative unless it ends with a dot, @@ in the data is the zone.
func parseEntry(t *testing.T, zone, text string) peertest.Entry {
	t.Helper()
	f := strings.SplitN(text, " ", 5)
	for len(f) < 5 {
		f = append(f, "")
	}
	e := peertest.Entry{Owner: f[0]}
	switch {
	case f[0] == "@":
		e.Owner = zone
	case !strings.HasSuffix(f[0], "."):
		e.Owner += "." + zone
	}
	if _, err := fmt.Sscanf(f[1], "%d", &e.TTL); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	e.Class = map[string]uint16{"IN": dns.ClassINET, "CH": dns.ClassCHAOS, "NONE": dns.ClassNONE, "ANY": dns.ClassANY}[f[2]]
	var ok bool
	if e.Type, ok = dns.StringToType[f[3]]; !ok {
		if _, err := fmt.Sscanf(f[3], "TYPE%d", &e.Type); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if raw, ok := strings.CutPrefix(f[4], "hex:"); ok {
		if _, err := fmt.Sscanf(raw, "%x", &e.Data); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	} else if f[4] != "" {
		e.Data = mustRdata(f[3], strings.ReplaceAll(f[4], "@@", zone))
	}
	return e
}
