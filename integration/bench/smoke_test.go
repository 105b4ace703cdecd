//go:build linux

package main

import (
	"bytes"
	"testing"
	"time"

	"dialtone/integration/peertest"
)

// tinyPlan measures everything, so small that its figures tell nothing.
var tinyPlan = plan{
	rounds: 1, load: 200 * time.Millisecond,
	numbers: 1_000, small: 500, big: 2_000, huge: true,
	queries: 1_000, updates: 1_000, oneByOne: 5, queryRate: 5_000, updateRate: 100,
	historyNumbers: 100, historyUpdates: 300,
	growth:      200,
	diskNumbers: 500, diskUpdates: 400, disk: true,
	settle: 300 * time.Millisecond,
}

// only lists lines that not every server has; a line that is not here is dialtone's alone.
var only = map[string][]*kind{
	"update.dnsperf": {dialtone, knot, bind},
	"one.update":     {dialtone, knot, bind},
	"share.busy":     {dialtone, knot},
	"share.quiet":    {dialtone, knot},
	"share.updates":  {dialtone, knot},
	"axfr":           kinds,
	"axfr.octets":    kinds,
	"ixfr":           {dialtone, bind},
	"ixfr.octets":    {dialtone, bind},
	"start.store":    kinds,
	"start.first":    {dialtone, knot},
	"memory.start":   kinds,
	"query.dnsperf":  kinds,
	"query.own":      kinds,
	"cookie.dnsperf": kinds,
	"cookie.own":     kinds,
}

// TestEveryRowHasItsValues runs the whole program on tiny zones, against all servers. It judges no speed.
func TestEveryRowHasItsValues(t *testing.T) {
	for _, k := range kinds[1:] {
		peertest.Program(t, k.program)
	}
	peertest.Program(t, "dnsperf")
	var progress bytes.Buffer
	b, err := newBench(options{plan: tinyPlan, dialtone: peertest.Binary(t)}, &progress)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	begin := time.Now()
	if err := b.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	for _, f := range b.results.failures {
		t.Error(f)
	}
	for _, l := range table {
		want := only[l.id]
		if want == nil {
			want = []*kind{dialtone}
		}
		for _, k := range want {
			if b.results.of(l.id, k.name).rounds != 1 {
				t.Errorf("row %d has no value of %s: %s", l.row, k.name, l.what)
			}
		}
	}
	if r := b.report(begin); len(r.rows) < len(table) {
		t.Errorf("the report has %d rows for %d lines", len(r.rows), len(table))
	}
	if t.Failed() {
		t.Log(progress.String())
	}
}
