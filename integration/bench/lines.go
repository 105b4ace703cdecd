//go:build linux

package main

import (
	"math"
	"strconv"
	"strings"
)

// unit says how values are written.
type unit struct {
	name   string
	digits int
}

var (
	perSecond = unit{"/s", 0}
	micro     = unit{"us", 2}
	milli     = unit{"ms", 3}
	second    = unit{"s", 3}
	mebi      = unit{"MiB", 1}
	kibi      = unit{"KiB", 0}
	percent   = unit{"%", 0}
	count     = unit{"", 0}
	times     = unit{"x", 2}
)

func (u unit) number(v float64) string { return thousands(v, u.digits) }

func (u unit) with(v float64) string { return strings.TrimSpace(u.number(v) + " " + u.name) }

// line is one line of the table: what was measured, for those servers that have it.
type line struct {
	row     int
	id      string // in the results
	what    string // NUMBERS, SMALL and so on stand for the plan's: see spell
	unit    unit
	lower   bool // less is better
	beside  bool // tells about the line before, and has no target
	load    bool // a load of queries, which the server's core may be too fast for
	targets []target
}

// target is what a line of dialtone's is held against.
type target struct {
	factor float64
	best   []*kind // the better of these servers
	line   string  // or another line of dialtone's
	fixed  bool    // or the factor itself
	text   string
}

func against(factor float64, text string, servers ...*kind) target {
	return target{factor: factor, best: servers, text: text}
}

// queryLines are the lines of one load of queries.
func queryLines(row int, id, what string, own bool) []line {
	all := []line{
		{row: row, id: id, what: what, unit: perSecond, load: true, targets: []target{against(1.1, ">= 1.1 x the better of Knot and NSD", knot, nsd)}},
		{row: row, id: id + ".cpu", what: "server's processor time for one", unit: micro, beside: true},
		{row: row, id: id + ".busy", what: "server's core busy", unit: percent, beside: true},
		{row: row, id: id + ".lost", what: "lost", unit: count, beside: true},
	}
	if own {
		all = append(all, line{row: row, id: id + ".self", what: "load's processor time for one", unit: micro, beside: true})
	}
	return all
}

// sizeLines compare a large zone with a small one.
func sizeLines(row int, id, what string, factor float64, text string, queries bool) []line {
	return []line{
		{row: row, id: id + ".big", what: what + ", BIG numbers", unit: perSecond, load: queries,
			targets: []target{{factor: factor, line: id + ".small", text: text}}},
		{row: row, id: id + ".small", what: what + ", SMALL numbers", unit: perSecond, beside: true},
		{row: row, id: id + ".big.busy", what: "server's core busy, BIG numbers", unit: percent, beside: true},
		{row: row, id: id + ".small.busy", what: "server's core busy, SMALL numbers", unit: percent, beside: true},
		{row: row, id: id + ".big.cpu", what: "server's processor time for one, BIG numbers", unit: micro, beside: true},
		{row: row, id: id + ".small.cpu", what: "server's processor time for one, SMALL numbers", unit: micro, beside: true},
	}
}

// table is every line in its order.
var table = concat(
	queryLines(1, "query.dnsperf", "UDP queries, dnsperf", false),
	queryLines(2, "query.own", "UDP queries, our own load", true),
	queryLines(3, "cookie.dnsperf", "UDP queries with a cookie, dnsperf", false),
	queryLines(3, "cookie.own", "UDP queries with a cookie, our own load", true),
	sizeLines(4, "size.dnsperf", "UDP queries, dnsperf", 0.75, ">= 0.75 x at SMALL", true),
	sizeLines(4, "size.own", "UDP queries, our own load", 0.75, ">= 0.75 x at SMALL", true),
	[]line{
		{row: 5, id: "update.dnsperf", what: "signed updates acknowledged, dnsperf", unit: perSecond,
			targets: []target{against(20, ">= 20 x Knot", knot), against(20, ">= 20 x BIND", bind)}},
		{row: 5, id: "update.dnsperf.cpu", what: "server's processor time for one", unit: micro, beside: true},
		{row: 5, id: "update.dnsperf.busy", what: "server's core busy", unit: percent, beside: true},
		{row: 5, id: "update.dnsperf.lost", what: "lost", unit: count, beside: true},
	},
	sizeLines(6, "size.update", "signed updates acknowledged", 0.7, ">= 0.7 x at SMALL", false),
	[]line{
		{row: 7, id: "one.update", what: "one client, one signed update at a time: median", unit: milli, lower: true,
			targets: []target{against(1, "<= BIND", bind), {factor: 3, line: "one.disk", text: "<= 3 writes to the disk"}}},
		{row: 7, id: "one.disk", what: "4 KiB appended and synced: median", unit: milli, beside: true},

		{row: 8, id: "share.busy", what: "99 % of QRATE queries/s wait at most, beside URATE updates/s", unit: milli, lower: true,
			targets: []target{{factor: 3, line: "share.quiet", text: "<= 3 x without updates"}}},
		{row: 8, id: "share.quiet", what: "the same without updates", unit: milli, beside: true},
		{row: 8, id: "share.busy.median", what: "median beside updates", unit: milli, beside: true},
		{row: 8, id: "share.quiet.median", what: "median without updates", unit: milli, beside: true},
		{row: 8, id: "share.busy.lost", what: "queries lost beside updates", unit: count, lower: true,
			targets: []target{{factor: 0, fixed: true, text: "none"}}},
		{row: 8, id: "share.updates", what: "updates acknowledged meanwhile", unit: perSecond, beside: true},
		{row: 8, id: "share.busy.late", what: "load behind its own schedule beside updates, at most", unit: milli, beside: true},
		{row: 8, id: "share.quiet.late", what: "load behind its own schedule without updates, at most", unit: milli, beside: true},

		{row: 9, id: "axfr", what: "AXFR of NUMBERS numbers", unit: second, lower: true, targets: []target{against(1, "<= Knot", knot)}},
		{row: 9, id: "axfr.octets", what: "size of that AXFR", unit: mebi, beside: true},

		{row: 10, id: "ixfr", what: "IXFR across HUPDATES updates to HNUMBERS numbers", unit: second, lower: true,
			targets: []target{against(0.25, "<= 0.25 x BIND", bind)}},
		{row: 10, id: "ixfr.octets", what: "size of that IXFR", unit: kibi, lower: true,
			targets: []target{against(0.25, "<= 0.25 x BIND", bind)}},

		{row: 11, id: "start.store", what: "start with NUMBERS numbers to the first answer", unit: second, lower: true,
			targets: []target{against(0.5, "<= 0.5 x Knot", knot)}},
		{row: 12, id: "start.first", what: "first start from a zone file of NUMBERS numbers", unit: second, lower: true,
			targets: []target{against(1.5, "<= 1.5 x Knot", knot)}},

		{row: 13, id: "memory.start", what: "memory after the start", unit: mebi, lower: true,
			targets: []target{against(0.4, "<= 0.4 x Knot", knot)}},
		{row: 13, id: "memory.once", what: "memory after GROWTH updates", unit: mebi, lower: true,
			targets: []target{{factor: 1.3, line: "memory.start", text: "<= 1.3 x after the start"}}},
		{row: 13, id: "memory.twice", what: "memory after as many again", unit: mebi, lower: true,
			targets: []target{{factor: 1.3, line: "memory.start", text: "<= 1.3 x after the start"},
				{factor: 1.1, line: "memory.once", text: "steady: <= 1.1 x the line before"}}},

		{row: 14, id: "disk.size", what: "largest store during DUPDATES updates", unit: mebi, lower: true,
			targets: []target{{factor: 1024, fixed: true, text: "<= 1 GiB"}}},
		{row: 14, id: "disk.steady", what: "largest of the second half against the first", unit: times, lower: true,
			targets: []target{{factor: 1.1, fixed: true, text: "steady: <= 1.1 x"}}},
		{row: 14, id: "disk.gap", what: "longest pause between two acknowledgements", unit: milli, lower: true,
			targets: []target{{factor: 100, fixed: true, text: "<= 100 ms"}}},
		{row: 14, id: "disk.rate", what: "updates acknowledged meanwhile", unit: perSecond, beside: true},

		{row: 15, id: "huge.start", what: "start with BIG numbers to the first answer", unit: second, lower: true,
			targets: []target{{factor: 15, fixed: true, text: "<= 15 s"}}},
		{row: 15, id: "huge.memory", what: "memory after that start", unit: mebi, lower: true,
			targets: []target{{factor: 1.2 * 1024, fixed: true, text: "<= 1.2 GiB"}}},
	},
)

func concat(lists ...[]line) (all []line) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func lineOf(id string) *line {
	for i := range table {
		if table[i].id == id {
			return &table[i]
		}
	}
	return nil
}

// spell puts the plan's numbers into a text.
func (p plan) spell(text string) string {
	n := func(v int) string { return thousands(float64(v), 0) }
	return strings.NewReplacer("HNUMBERS", n(p.historyNumbers), "HUPDATES", n(p.historyUpdates), "DUPDATES", n(p.diskUpdates),
		"NUMBERS", n(p.numbers), "SMALL", n(p.small), "BIG", n(p.big), "GROWTH", n(p.growth),
		"QRATE", thousands(p.queryRate, 0), "URATE", thousands(p.updateRate, 0)).Replace(text)
}

// verdict is how dialtone's value stands to a target.
type verdict struct {
	ratio float64 // NaN: there is none
	met   bool
	known bool // both values are there
}

// judge compares medians.
func (r *results) judge(l line, t target) verdict {
	v := r.of(l.id, dialtone.name)
	if t.fixed {
		return verdict{ratio: math.NaN(), met: v.rounds > 0 && v.median <= t.factor, known: v.rounds > 0}
	}
	other := math.NaN()
	better := math.Max
	if l.lower {
		better = math.Min
	}
	for _, k := range t.best {
		if o := r.of(l.id, k.name); o.rounds > 0 {
			if math.IsNaN(other) {
				other = o.median
			}
			other = better(other, o.median)
		}
	}
	if t.line != "" {
		if o := r.of(t.line, dialtone.name); o.rounds > 0 {
			other = o.median
		}
	}
	ratio := v.median / other
	if v.rounds == 0 || math.IsNaN(ratio) || math.IsInf(ratio, 0) {
		return verdict{ratio: math.NaN()}
	}
	return verdict{ratio: ratio, known: true, met: l.lower && ratio <= t.factor || !l.lower && ratio >= t.factor}
}

// thousands writes a number with commas.
func thousands(v float64, digits int) string {
	s := strconv.FormatFloat(math.Abs(v), 'f', digits, 64)
	whole, rest, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	if v < 0 {
		whole = "-" + whole
	}
	return whole
}
