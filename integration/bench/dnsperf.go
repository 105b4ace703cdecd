//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// perf is what dnsperf reports of a run.
type perf struct {
	done   int // answered queries, or updates
	lost   int
	took   time.Duration
	rcodes map[string]int
}

func (p perf) rate() float64 { return float64(p.done) / p.took.Seconds() }

// only wants no RCODE but those named.
func (p perf) only(rcodes ...string) error {
	left := 0
	for _, n := range p.rcodes {
		left += n
	}
	for _, r := range rcodes {
		left -= p.rcodes[r]
	}
	switch {
	case left > 0:
		return fmt.Errorf("%d of %d replies have a wrong RCODE: %v", left, p.done, p.rcodes)
	case p.done == 0:
		return fmt.Errorf("no replies at all")
	}
	return nil
}

// dnsperf runs dnsperf against a server; it is on the same core as this program.
func (b *bench) dnsperf(ctx context.Context, s *server, file string, args ...string) (perf, error) {
	args = append([]string{"-s", "127.0.0.1", "-p", strconv.Itoa(s.set.port), "-d", file, "-c", "8",
		"-l", strconv.FormatFloat(b.plan.load.Seconds(), 'f', -1, 64)}, args...)
	out, err := exec.CommandContext(ctx, b.dnsperfPath, args...).CombinedOutput()
	if ctx.Err() != nil {
		return perf{}, context.Cause(ctx)
	}
	if err != nil {
		return perf{}, fmt.Errorf("dnsperf: %w\n%s", err, out)
	}
	p, err := parsePerf(string(out))
	if err != nil {
		return perf{}, fmt.Errorf("%w\n%s", err, out)
	}
	return p, nil
}

var (
	perfDone  = regexp.MustCompile(`(?m)^ *(?:Queries|Updates) completed: +([0-9]+)`)
	perfLost  = regexp.MustCompile(`(?m)^ *(?:Queries|Updates) lost: +([0-9]+)`)
	perfTook  = regexp.MustCompile(`(?m)^ *Run time \(s\): +([0-9.]+)`)
	perfCodes = regexp.MustCompile(`(?m)^ *Response codes: +(.*)$`)
	perfCode  = regexp.MustCompile(`([A-Z0-9]+) ([0-9]+) \(`)
)

// parsePerf reads the statistics that dnsperf prints.
func parsePerf(out string) (perf, error) {
	p := perf{rcodes: map[string]int{}}
	field := func(r *regexp.Regexp) string {
		if m := r.FindStringSubmatch(out); m != nil {
			return strings.TrimSpace(m[1])
		}
		return ""
	}
	var err error
	if p.done, err = strconv.Atoi(field(perfDone)); err != nil {
		return p, fmt.Errorf("dnsperf did not say how much was completed")
	}
	if p.lost, err = strconv.Atoi(field(perfLost)); err != nil {
		return p, fmt.Errorf("dnsperf did not say how much was lost")
	}
	seconds, err := strconv.ParseFloat(field(perfTook), 64)
	if err != nil || seconds <= 0 {
		return p, fmt.Errorf("dnsperf did not say how long it ran")
	}
	p.took = time.Duration(seconds * float64(time.Second))
	for _, m := range perfCode.FindAllStringSubmatch(field(perfCodes), -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return p, err
		}
		p.rcodes[m[1]] = n
	}
	return p, nil
}
