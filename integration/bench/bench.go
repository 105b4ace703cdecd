//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// bench is one run of the program.
type bench struct {
	plan        plan
	w           io.Writer // progress
	dir         string
	keep        bool
	programs    map[*kind]string
	dnsperfPath string
	made        map[int]*data
	seeds       map[int]string        // stores of dialtone by size
	firsts      map[int]time.Duration // what making them took, until row 12 has it
	runs        int                   // of servers, to name their directories
	results     results
}

func newBench(o options, w io.Writer) (*bench, error) {
	b := &bench{plan: o.plan, w: w, dir: o.dir, keep: o.dir != "", made: map[int]*data{}, seeds: map[int]string{},
		firsts: map[int]time.Duration{}}
	b.programs = map[*kind]string{dialtone: o.dialtone}
	var err error
	if b.dnsperfPath, err = locate("dnsperf", "dnsperf"); err != nil {
		return nil, err
	}
	if b.plan.pin {
		if _, err := exec.LookPath("taskset"); err != nil {
			return nil, fmt.Errorf("%w: apt-get install util-linux", err)
		}
	}
	if b.keep {
		err = os.MkdirAll(b.dir, 0o755)
	} else {
		b.dir, err = os.MkdirTemp(temporary(), "bench")
	}
	if err != nil {
		return nil, err
	}
	// Knot's control socket has to have a short path; programs that give up root have to reach their files.
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return nil, err
	}
	for _, k := range kinds[1:] {
		path, err := locate(k.program, k.debian)
		if err == nil {
			path, err = unconfined(path, b.dir)
		}
		if err != nil {
			b.close()
			return nil, err
		}
		b.programs[k] = path
	}
	return b, nil
}

// temporary is where temporary directories go: on a disk when there is a choice, for syncing memory tells nothing.
func temporary() string {
	if onDisk(os.TempDir()) {
		return os.TempDir()
	}
	return "/var/tmp"
}

func (b *bench) close() {
	if !b.keep {
		_ = os.RemoveAll(b.dir)
	}
}

// say prints one line of progress.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.w, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

// put notes one value and says it.
func (b *bench) put(line, server string, v float64) {
	b.results.add(line, server, v)
	if l := lineOf(line); l != nil && !l.beside {
		b.say("row %-2d  %-8s  %s: %s", l.row, server, b.plan.spell(l.what), l.unit.with(v))
	}
}

// try runs one measurement. One that fails is listed below the table and the others go on; only an interrupt ends them all.
func (b *bench) try(ctx context.Context, what string, k *kind, f func() error) error {
	err := f()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		text := fmt.Sprintf("%s, %s: %v", what, k.name, err)
		b.results.failures = append(b.results.failures, text)
		b.say("FAILED  %s", text)
	}
	return nil
}

// phase is a part of the run: rows that are measured in one go.
type phase struct {
	rows []int
	run  func(context.Context) error
}

func (b *bench) run(ctx context.Context) error {
	if !onDisk(b.dir) {
		b.results.notes = append(b.results.notes, b.dir+" is in memory: what syncing costs (rows 5 to 8, 10, 14) tells nothing here.")
	}
	for _, p := range []phase{
		{[]int{1, 2, 3, 5, 7, 9, 11, 13}, b.mainRounds},
		{[]int{12}, b.firstStarts},
		{[]int{4, 6, 15}, b.sizes},
		{[]int{8}, b.sharing},
		{[]int{10}, b.history},
		{[]int{13}, b.growing},
		{[]int{14}, b.disk},
	} {
		if !b.plan.wants(p.rows...) {
			continue
		}
		if err := p.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// mainRounds is what all servers do in turn at the usual size: in each round each is started once (twice where cookies are a
// setting), and everything is measured that can be before its store changes, then the updates.
func (b *bench) mainRounds(ctx context.Context) error {
	for round := range b.plan.rounds {
		for _, k := range kinds {
			if !b.plan.wants(1, 2, 3, 9, 11, 13) && !k.updates {
				continue
			}
			b.say("round %d of %d: %s", round+1, b.plan.rounds, k.name)
			visit := func() error { return b.visit(ctx, k) }
			if err := b.try(ctx, "round", k, visit); err != nil {
				return err
			}
			if !k.toggles || !b.plan.wants(3) {
				continue
			}
			visit = func() error { return b.cookieVisit(ctx, k) }
			if err := b.try(ctx, "row 3", k, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// step is one measurement of a visit.
type step struct {
	row int
	on  bool
	run func() error
}

func (b *bench) visit(ctx context.Context, k *kind) error {
	if !b.plan.wants(1, 2, 5, 7, 9, 11, 13) && k.toggles {
		return nil
	}
	s, err := b.prepare(ctx, k, b.plan.numbers, how{})
	if err != nil {
		return err
	}
	defer b.discard(s)
	took, err := s.start(ctx)
	if err != nil {
		return err
	}
	if b.plan.wants(11) {
		b.put("start.store", k.name, took.Seconds())
	}
	for _, st := range []step{
		{13, true, func() error { return b.memoryOf(ctx, s, "memory.start") }},
		{1, true, func() error { return b.queriesByDnsperf(ctx, s, "query.dnsperf", s.data.queries) }},
		{2, true, func() error { return b.queriesByLoad(ctx, s, "query.own", s.data.packets) }},
		{3, !k.toggles, func() error { return b.cookies(ctx, s) }},
		{9, true, func() error { return b.zoneTransfer(ctx, s) }},
		{7, k.updates, func() error { return b.oneByOne(ctx, s) }},
		{5, k.updates, func() error { return b.updatesByDnsperf(ctx, s, "update.dnsperf") }},
	} {
		if !st.on || !b.plan.wants(st.row) {
			continue
		}
		if err := b.try(ctx, fmt.Sprintf("row %d", st.row), k, st.run); err != nil {
			return err
		}
	}
	return nil
}

// cookieVisit is for servers that have to be told to check cookies: the other rows are measured without.
func (b *bench) cookieVisit(ctx context.Context, k *kind) error {
	s, err := b.prepare(ctx, k, b.plan.numbers, how{cookies: true})
	if err != nil {
		return err
	}
	defer b.discard(s)
	if _, err := s.start(ctx); err != nil {
		return err
	}
	return b.cookies(ctx, s)
}
