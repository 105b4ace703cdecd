//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// report is the table and what has to be known to read it.
type report struct {
	date     time.Time
	took     time.Duration
	machine  []string
	versions []string // one a program
	rows     []reportRow
	notes    []string // what this run has to say
	failures []string
	plan     plan
}

// reportRow is one row of the table in text.
type reportRow struct {
	row               int
	number, what      string
	cells             []string // one a server
	ratio, goal, met  string
	beside, continued bool
}

// busyEnough is the share of its core that a server has to use before its limit was measured, and not the load's.
const busyEnough = 95

func (b *bench) report(begin time.Time) *report {
	r := &report{date: begin, took: time.Since(begin), machine: machine(), plan: b.plan, failures: b.results.failures}
	for _, k := range kinds {
		r.versions = append(r.versions, k.name+": "+versionOf(b.programs[k], k.version))
	}
	r.versions = append(r.versions, "dnsperf: "+versionOf(b.dnsperfPath, []string{"-l", "0"}))
	r.fill(&b.results)
	r.notes = append(r.notes, b.results.notes...)
	return r
}

// fill makes the rows of all lines that have values.
func (r *report) fill(res *results) {
	for _, l := range table {
		row := reportRow{row: l.row, number: fmt.Sprint(l.row), what: r.plan.spell(l.what), beside: l.beside}
		if l.unit.name != "" {
			row.what += ", " + l.unit.name
		}
		any := false
		var idle []string
		for _, k := range kinds {
			s := res.of(l.id, k.name)
			any = any || s.rounds > 0
			row.cells = append(row.cells, written(l.unit, s))
			if busy := res.of(l.id+".busy", k.name); l.load && busy.rounds > 0 && busy.median < busyEnough {
				row.cells[len(row.cells)-1] += " *"
				idle = append(idle, fmt.Sprintf("%s %.0f %%", k.name, busy.median))
			}
		}
		if idle != nil {
			r.notes = append(r.notes, fmt.Sprintf("\\* Row %d, %s: the load tool was the limit, not the server, which can do more; its core was busy: %s.",
				l.row, r.plan.spell(l.what), strings.Join(idle, ", ")))
		}
		if !any {
			continue
		}
		r.rows = append(r.rows, withTargets(row, l, res, r.plan)...)
	}
}

// withTargets adds the verdicts; what has two targets takes two rows.
func withTargets(row reportRow, l line, res *results, p plan) []reportRow {
	rows := []reportRow{row}
	for i, t := range l.targets {
		if i > 0 {
			rows = append(rows, reportRow{row: l.row, continued: true, cells: make([]string, len(row.cells))})
		}
		at := &rows[i]
		at.goal = p.spell(t.text)
		v := res.judge(l, t)
		if !math.IsNaN(v.ratio) {
			at.ratio = thousands(v.ratio, 2)
		}
		switch {
		case !v.known:
			at.met = "?"
		case v.met:
			at.met = "yes"
		default:
			at.met = "no"
		}
	}
	return rows
}

// written is the median with the spread of the rounds.
func written(u unit, s summary) string {
	switch {
	case s.rounds == 0:
		return ""
	case s.rounds == 1 || s.min == s.max:
		return u.number(s.median)
	}
	return fmt.Sprintf("%s (%s to %s)", u.number(s.median), u.number(s.min), u.number(s.max))
}

var heads = []string{"row", "what", "dialtone", "Knot", "NSD", "BIND", "ratio", "target", "met"}

func (row reportRow) fields() []string {
	what := row.what
	if row.beside {
		what = "- " + what
	}
	return append(append([]string{row.number, what}, row.cells...), row.ratio, row.goal, row.met)
}

// text prints the table for a terminal.
func (r *report) text(w io.Writer) {
	all := [][]string{heads}
	for _, row := range r.rows {
		all = append(all, row.fields())
	}
	widths := make([]int, len(heads))
	for _, f := range all {
		for i, s := range f {
			widths[i] = max(widths[i], utf8.RuneCountInString(s))
		}
	}
	for _, f := range all {
		var b strings.Builder
		for i, s := range f {
			b.WriteString(s + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(s)+2))
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	for _, n := range r.notes {
		fmt.Fprintln(w, strings.TrimPrefix(n, `\`))
	}
	for _, f := range r.failures {
		fmt.Fprintln(w, "FAILED:", f)
	}
	fmt.Fprintf(w, "took %v\n", r.took.Round(time.Second))
}

// markdown is BENCHMARKS.md.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\ndialtone beside Knot, NSD and BIND on one machine. `make bench` made this file; do not edit it.\n\n")
	fmt.Fprintf(&b, "- %s, %v of measuring\n", r.date.UTC().Format("2006-01-02"), r.took.Round(time.Minute))
	for _, l := range append(append([]string{}, r.machine...), r.versions...) {
		fmt.Fprintf(&b, "- %s\n", l)
	}
	fmt.Fprintf(&b, "\nEach value is the median of the rounds (least to most). Ratio is dialtone's value against what the target names.\n\n")
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(heads, " | "), strings.Repeat("---|", len(heads)))
	for _, row := range r.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row.fields(), " | "))
	}
	list := func(head string, items []string) {
		if len(items) > 0 {
			fmt.Fprintf(&b, "\n## %s\n\n- %s\n", head, strings.Join(items, "\n- "))
		}
	}
	list("Of this run", r.notes)
	list("What failed", r.failures)
	list("How each row was measured", r.methods())
	list("Settings", settings())
	list("What limits the meaning", limits())
	return b.String()
}
