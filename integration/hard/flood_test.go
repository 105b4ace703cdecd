//go:build hard

package hard

import (
	"fmt"
	"testing"
	"time"

	"dialtone/integration/peertest"
)

// memoryBeside is what a flood may make the server take, with the default limits and a small zone: 1,000 connections whose
// peers read nothing are most of it.
const memoryBeside = 256 << 20

// slower is how much longer the slowest hundredth of a good client's requests may take beside a flood.
const slower = 5

// tries is for how many times 10 seconds it may be exceeded, but for the last: what else the machine does is in
// these figures, too. A request that fails in any of them is a fault.
const tries = 3

// TestFloods has a good client ask, over UDP and TCP, and update its number, before a flood and beside it. None of its
// requests may fail, and the slowest hundredth may take five times as long.
//
// Server, good client and flood share the machine, which may have two cores. So the flood has the lowest priority, as one
// from elsewhere would take nothing of the server's processors, and a rate at which all three together need less than two
// cores: what a flood costs beyond that, the server cannot do anything about. The rates are some tenths of what the server
// can do of each kind at most, but for the connections, of which more come than there may be.
func TestFloods(t *testing.T) {
	const many = "60000" // addresses
	for _, row := range []struct {
		name, kind, rate, sources, open string
		limit                           string // that is reached; "" for none
		more                            string // configuration
	}{
		{"queries from forged addresses", "queries", "40000", many, "", "", ""},
		{"queries for names that are not there", "nxdomain", "40000", many, "", "", ""},
		{"updates from forged addresses", "update", "15000", many, "", "logged_refusals", ""},
		{"updates from one address", "update", "15000", "1", "", "logged_refusals", ""},
		// There is a line in the log for each update that is done. Here it would cost the test, which reads it, as much of the
		// processor as the server.
		{"updates with a valid key", "update-signed", "12000", "64", "", "", "log: {level: warn}\n"},
		{"junk instead of signatures", "tsig-junk", "15000", many, "", "logged_refusals", ""},
		{"connections", "tcp-connect", "3000", many, "3000", "tcp_connections", ""},
		{"connections from few addresses", "tcp-connect", "3000", "4", "3000", "tcp_per_address", ""},
		{"readers that are slow", "tcp-slow-read", "1000", many, "2000", "tcp_connections", ""},
		{"readers that are slow at few addresses", "tcp-slow-read", "1000", "10", "2000", "tcp_connections", ""},
		{"writers that are slow", "tcp-slow-write", "2000", many, "2000", "tcp_connections", ""},
		{"compression bombs", "bombs", "300", "10", "20", "logged_refusals", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := peertest.StartAbused(t, row.more)
			args := []string{"-rate", row.rate, "-sources", row.sources}
			if row.open != "" {
				args = append(args, "-open", row.open)
			}
			before := s.Good.For(5 * time.Second)
			flood := s.Flood(t, row.kind, args...)
			s.Good.For(time.Second) // the flood has risen
			slow := []string{""}
			for try := 0; try < tries && len(slow) > 0; try++ {
				slow = judge(t, before, s.Good.For(10*time.Second))
			}
			for _, text := range slow {
				t.Error(text)
			}
			t.Logf("the flood: %+v", flood.Stop(t))
			_, most := s.Memory(t)
			t.Logf("memory: at most %d MiB", most>>20)
			if most > memoryBeside {
				t.Errorf("more than %d MiB", memoryBeside>>20)
			}
			if row.limit != "" && s.Hits(t, row.limit) == 0 {
				t.Errorf("the limit %s was not reached: this was no flood", row.limit)
			}
		})
	}
}

// judge fails the test for each kind of requests of which some failed, and gives those that are too slow.
func judge(t *testing.T, before, during map[string]*peertest.Outcome) (slow []string) {
	t.Helper()
	for kind, b := range before {
		d := during[kind]
		t.Logf("before: %v", b)
		t.Logf("beside: %v", d)
		if b.Failed > 0 || d.Failed > 0 {
			t.Errorf("%s: %d failed before, and %d of %d beside the flood: %v", kind, b.Failed, d.Failed, d.Asked, d.Fault)
		}
		if was, is := b.Percentile(99), d.Percentile(99); is > slower*was {
			slow = append(slow, fmt.Sprintf("%s: p99 is %v beside the flood, %.1f times as long as %v", kind, is, float64(is)/float64(was), was))
		}
	}
	return slow
}
