//go:build linux

package main

import "time"

// plan says how much is measured. The rows are the same in every plan, but for those that big leaves out.
type plan struct {
	rows   map[int]bool // nil: all
	rounds int
	load   time.Duration // of each load
	pin    bool          // server and loads have a core each

	numbers    int // in the zone of most rows
	small, big int // zones that rows 4 and 6 compare
	huge       bool
	queries    int // different ones in a load
	updates    int // different ones in a load
	oneByOne   int // updates of row 7, and writes beside it
	queryRate  float64
	updateRate float64

	historyNumbers, historyUpdates int // row 10
	growth                         int // updates before each look at the memory in row 13
	diskNumbers, diskUpdates       int // row 14
	disk                           bool
	settle                         time.Duration // for the memory to come to rest
}

// fullPlan is make bench.
var fullPlan = plan{
	rounds: 5, load: 5 * time.Second, pin: true,
	numbers: 1_000_000, small: 10_000, big: 10_000_000, huge: true,
	queries: 500_000, updates: 300_000, oneByOne: 500, queryRate: 50_000, updateRate: 10_000,
	historyNumbers: 10_000, historyUpdates: 100_000,
	growth:      1_000_000,
	diskNumbers: 1_000_000, diskUpdates: 10_000_000, disk: true,
	settle: 10 * time.Second,
}

// quickPlan is make bench-quick.
var quickPlan = plan{
	rounds: 2, load: 800 * time.Millisecond, pin: true,
	numbers: 1_000_000, small: 10_000, big: 1_000_000,
	queries: 200_000, updates: 100_000, oneByOne: 40, queryRate: 50_000, updateRate: 10_000,
	historyNumbers: 500, historyUpdates: 5_000,
	growth: 50_000,
	settle: 2 * time.Second,
}

// lastRow is the number of the last row.
const lastRow = 15

// wants tells whether one of the rows is to be measured.
func (p plan) wants(rows ...int) bool {
	for _, r := range rows {
		if !p.huge && r == 15 || !p.disk && r == 14 {
			continue
		}
		if p.rows == nil || p.rows[r] {
			return true
		}
	}
	return false
}
