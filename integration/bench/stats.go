//go:build linux

package main

import (
	"slices"
	"sync"
)

// cell is where a value belongs: a line of the table and a server.
type cell struct{ line, server string }

// results are the values of all rounds.
type results struct {
	mu struct {
		sync.Mutex
		values map[cell][]float64
	}
	failures []string
	notes    []string
}

func (r *results) add(line, server string, v float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.values == nil {
		r.mu.values = map[cell][]float64{}
	}
	c := cell{line, server}
	r.mu.values[c] = append(r.mu.values[c], v)
}

// summary is what is told of the rounds of one cell.
type summary struct {
	median, min, max float64
	rounds           int
}

func (r *results) of(line, server string) summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	return summarize(r.mu.values[cell{line, server}])
}

func summarize(values []float64) summary {
	if len(values) == 0 {
		return summary{}
	}
	v := slices.Sorted(slices.Values(values))
	return summary{median: median(v), min: v[0], max: v[len(v)-1], rounds: len(v)}
}

// median of sorted values; between the two in the middle when their number is even.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
