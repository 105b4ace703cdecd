package integration

import (
	"errors"
	"testing"
	"time"

	"dialtone/integration/peertest"
)

// TestFloodsDoNotHarm is the quick form of hard.TestFloods: a second of each flood. Nothing of a good client may fail, and
// the limit that a flood runs into must be counted. How long the client waits is not judged here.
func TestFloodsDoNotHarm(t *testing.T) {
	const many = "60000" // addresses
	for _, row := range []struct {
		name, kind, rate, sources, open string
		limit                           string // that is reached; "" for none
		more                            string // configuration
	}{
		{"queries from forged addresses", "queries", "10000", many, "", "", ""},
		{"queries for names that are not there", "nxdomain", "10000", many, "", "", ""},
		{"updates from forged addresses", "update", "5000", many, "", "logged_refusals", ""},
		{"updates with a valid key", "update-signed", "5000", "64", "", "updates_per_key", "limits: {updates_per_key: 1000}\nlog: {level: warn}\n"},
		{"junk instead of signatures", "tsig-junk", "5000", many, "", "logged_refusals", ""},
		{"connections", "tcp-connect", "3000", "4", "2000", "tcp_per_address", ""},
		{"readers that are slow", "tcp-slow-read", "2000", "4", "900", "tcp_per_address", ""},
		{"writers that are slow", "tcp-slow-write", "2000", "4", "900", "tcp_per_address", ""},
		{"compression bombs", "bombs", "300", "10", "20", "logged_refusals", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := peertest.StartAbused(t, row.more)
			args := []string{"-rate", row.rate, "-sources", row.sources}
			if row.open != "" {
				args = append(args, "-open", row.open)
			}
			flood := s.Flood(t, row.kind, args...)
			if row.limit != "" { // the flood has risen
				peertest.Eventually(t, peertest.Patience, "the flood reaches the limit "+row.limit, func() error {
					if s.Hits(t, row.limit) == 0 {
						return errors.New("not yet")
					}
					return nil
				})
			}
			for kind, o := range s.Good.For(time.Second) {
				if o.Failed > 0 {
					t.Errorf("%s: %d of %d failed: %v", kind, o.Failed, o.Asked, o.Fault)
				}
			}
			if r := flood.Stop(t); r.Sent == 0 {
				t.Errorf("this was no flood: %+v", r)
			}
		})
	}
}
