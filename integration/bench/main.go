//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "interrupted: all servers and loads have been ended")
		os.Exit(1)
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	plan     plan
	dir      string // keeps the data; empty: a temporary one
	out      string // empty: printed only
	dialtone string
}

func command(ctx context.Context, args []string, w io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if err := onLoadCore(o.plan.pin); err != nil {
		return err
	}
	begin := time.Now()
	b, err := newBench(o, w)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.run(ctx); err != nil {
		return err
	}
	r := b.report(begin)
	fmt.Fprintln(w)
	r.text(w)
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(r.markdown()), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(w, "\nwritten to %s\n", o.out)
	}
	if n := len(b.results.failures); n > 0 {
		return fmt.Errorf("%d measurements failed: they are listed below the table", n)
	}
	return nil
}

func parse(args []string) (options, error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	var o options
	quick := f.Bool("quick", false, "fewer rounds and shorter loads: three minutes altogether, printed only")
	rows := f.String("rows", "", "rows of the table to measure, as 1,5,9; all when empty")
	rounds := f.Int("rounds", 0, "rounds whose median counts")
	seconds := f.Float64("seconds", 0, "length of each load")
	numbers := f.Int("numbers", 0, "numbers in the zone of most rows")
	out := f.String("out", "", "file for the report (BENCHMARKS.md when everything is measured)")
	f.StringVar(&o.dir, "dir", "", "directory for data, kept afterwards; a temporary one when empty")
	f.StringVar(&o.dialtone, "dialtone", "bin/dialtone", "the program that is measured")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q: there are no arguments, only options", f.Arg(0))
	}
	o.plan = fullPlan
	o.out = "BENCHMARKS.md"
	if *quick {
		o.plan, o.out = quickPlan, ""
	}
	if *rows != "" {
		o.out = ""
	}
	if *out != "" {
		o.out = *out
	}
	if *rounds > 0 {
		o.plan.rounds = *rounds
	}
	if *seconds > 0 {
		o.plan.load = time.Duration(*seconds * float64(time.Second))
	}
	if *numbers > 0 {
		o.plan.numbers = *numbers
	}
	var err error
	if o.plan.rows, err = chosen(*rows); err != nil {
		return o, err
	}
	if o.dialtone, err = filepath.Abs(o.dialtone); err != nil {
		return o, err
	}
	if _, err := os.Stat(o.dialtone); err != nil {
		return o, fmt.Errorf("%w: make build makes it, -dialtone names another", err)
	}
	o.plan.pin = o.plan.pin && runtime.NumCPU() >= 2 || os.Getenv(pinned) != ""
	return o, nil
}

// chosen reads a list of rows; none means all.
func chosen(list string) (map[int]bool, error) {
	if list == "" {
		return nil, nil
	}
	rows := map[int]bool{}
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > lastRow {
			return nil, fmt.Errorf("-rows %s: %q is no row, they are numbered 1 to %d", list, text, lastRow)
		}
		rows[n] = true
	}
	return rows, nil
}

// The core of the server, and the core of the loads.
const (
	serverCore = 0
	loadCore   = 1
)

// pinned in the environment says that this process has been started again already.
const pinned = "BENCH_PINNED"

// onLoadCore starts this program again on the loads' core: all its threads, and all loads that it starts, are there then.
func onLoadCore(pin bool) error {
	if !pin || os.Getenv(pinned) != "" {
		return nil
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return fmt.Errorf("%w: apt-get install util-linux", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	argv := append([]string{"taskset", "-c", strconv.Itoa(loadCore), self}, os.Args[1:]...)
	return syscall.Exec(taskset, argv, append(os.Environ(), pinned+"=1"))
}
