//go:build linux

package main

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the expected reports")

func TestSummary(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   summary
	}{
		{nil, summary{}},
		{[]float64{3}, summary{3, 3, 3, 1}},
		{[]float64{9, 1, 5}, summary{5, 1, 9, 3}},
		{[]float64{4, 1, 9, 2}, summary{3, 1, 9, 4}},
	} {
		if got := summarize(c.values); got != c.want {
			t.Errorf("%v gives %+v, not %+v", c.values, got, c.want)
		}
	}
}

func TestThousands(t *testing.T) {
	for want, v := range map[string]float64{"0": 0.4, "999": 999, "1,000": 999.6, "12,345,678": 12345678, "-1,234": -1234} {
		if got := thousands(v, 0); got != want {
			t.Errorf("%v is %q, not %q", v, got, want)
		}
	}
	if got := thousands(1234.567, 2); got != "1,234.57" {
		t.Errorf("%q", got)
	}
}

func TestJudge(t *testing.T) {
	var r results
	for _, v := range []struct {
		line, server string
		value        float64
	}{
		{"up", "dialtone", 110}, {"up", "Knot", 90}, {"up", "NSD", 100},
		{"down", "dialtone", 30}, {"down", "Knot", 50}, {"down", "NSD", 20},
		{"zero", "dialtone", 5}, {"zero", "Knot", 0}, {"alone", "dialtone", 5},
	} {
		r.add(v.line, v.server, v.value)
	}
	up, down := line{id: "up"}, line{id: "down", lower: true}
	for name, c := range map[string]struct {
		line  line
		t     target
		ratio float64
		met   bool
		known bool
	}{
		"the better is the larger":  {up, against(1.1, "", knot, nsd), 1.1, true, true},
		"not enough":                {up, against(1.11, "", knot, nsd), 1.1, false, true},
		"the better is the smaller": {down, against(1.5, "", knot, nsd), 1.5, true, true},
		"too much":                  {down, against(1.4, "", knot, nsd), 1.5, false, true},
		"a peer without a value":    {up, against(1, "", bind), math.NaN(), false, false},
		"another line":              {down, target{factor: 6, line: "alone"}, 6, true, true},
		"another line is missing":   {down, target{factor: 6, line: "none"}, math.NaN(), false, false},
		"a figure":                  {down, target{factor: 30, fixed: true}, math.NaN(), true, true},
		"over a figure":             {down, target{factor: 29, fixed: true}, math.NaN(), false, true},
		"against nothing":           {line{id: "zero", lower: true}, against(1, "", knot), math.NaN(), false, false},
		"nothing of ours":           {line{id: "none"}, target{factor: 1, fixed: true}, math.NaN(), false, false},
	} {
		got := r.judge(c.line, c.t)
		same := math.IsNaN(got.ratio) && math.IsNaN(c.ratio) || math.Abs(got.ratio-c.ratio) < 1e-9
		if !same || got.met != c.met || got.known != c.known {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestTableIsWhole(t *testing.T) {
	seen, rows := map[string]bool{}, map[int]bool{}
	for _, l := range table {
		if seen[l.id] {
			t.Errorf("%s is there twice", l.id)
		}
		seen[l.id], rows[l.row] = true, true
		if l.beside != (len(l.targets) == 0) {
			t.Errorf("%s: a line has either a target or stands beside one", l.id)
		}
		for _, g := range l.targets {
			if g.line != "" && lineOf(g.line) == nil {
				t.Errorf("%s is held against %s, which does not exist", l.id, g.line)
			}
			if g.text == "" || g.line == "" && !g.fixed && len(g.best) == 0 {
				t.Errorf("%s has a target without a text or anything to hold against", l.id)
			}
		}
	}
	r := report{plan: fullPlan}
	for row := 1; row <= lastRow; row++ {
		if !rows[row] {
			t.Errorf("row %d has no line", row)
		}
		r.rows = append(r.rows, reportRow{row: row})
	}
	for _, m := range r.methods() {
		if strings.Contains(m, "%!") || strings.HasSuffix(m, ": ") {
			t.Errorf("how it was measured: %q", m)
		}
	}
}

// TestReport compares both forms of the report with files.
func TestReport(t *testing.T) {
	var res results
	for _, v := range []struct {
		line, server string
		values       []float64
	}{
		{"query.dnsperf", "dialtone", []float64{121000, 119000, 120000}}, {"query.dnsperf.busy", "dialtone", []float64{67}},
		{"query.dnsperf", "Knot", []float64{100000, 90000, 110000}}, {"query.dnsperf.busy", "Knot", []float64{98}},
		{"query.dnsperf.cpu", "dialtone", []float64{4.567}}, {"query.dnsperf.lost", "dialtone", []float64{0, 0, 0}},
		{"size.update.big", "dialtone", []float64{60}}, {"size.update.small", "dialtone", []float64{100}},
		{"one.update", "dialtone", []float64{1.2}}, {"one.update", "BIND", []float64{2.4}}, {"one.disk", "dialtone", []float64{0.3}},
		{"share.busy.lost", "dialtone", []float64{0}}, {"axfr", "dialtone", []float64{0.5}},
	} {
		for _, x := range v.values {
			res.add(v.line, v.server, x)
		}
	}
	r := &report{date: time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC), took: 83 * time.Second, machine: []string{"a processor, 2 cores"},
		versions: []string{"dialtone: dialtone v1"}, plan: fullPlan, failures: []string{"row 9, Knot: it ended"}}
	r.fill(&res)
	var text bytes.Buffer
	r.text(&text)
	for name, got := range map[string]string{"report.txt": text.String(), "report.md": r.markdown()} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs (-update rewrites it):\n%s", name, got)
		}
	}
}
