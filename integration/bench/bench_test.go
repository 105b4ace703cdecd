//go:build linux

package main

import (
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const perfQueries = `DNS Performance Testing Tool
[Status] Command line: dnsperf -s 127.0.0.1
Statistics:

  Queries sent:         240183
  Queries completed:    240001 (99.92%)
  Queries lost:         182 (0.08%)

  Response codes:       NOERROR 228001 (95.00%), NXDOMAIN 12000 (5.00%)
  Average packet size:  request 38, response 60
  Run time (s):         2.000500
  Queries per second:   119970.507373
`

const perfUpdates = `
  Updates sent:         199566
  Updates completed:    199566 (100.00%)
  Updates lost:         0 (0.00%)

  Response codes:       NOERROR 199566 (100.00%)
  Run time (s):         8.003851
`

func TestParsePerf(t *testing.T) {
	p, err := parsePerf(perfQueries)
	if err != nil {
		t.Fatal(err)
	}
	if p.done != 240001 || p.lost != 182 || p.took != 2000500*time.Microsecond ||
		!maps.Equal(p.rcodes, map[string]int{"NOERROR": 228001, "NXDOMAIN": 12000}) {
		t.Errorf("%+v", p)
	}
	if p.only("NOERROR", "NXDOMAIN") != nil || p.only("NOERROR") == nil {
		t.Error("the RCODEs are not told apart")
	}
	if p, err = parsePerf(perfUpdates); err != nil || p.done != 199566 || p.only("NOERROR") != nil {
		t.Errorf("%+v, %v", p, err)
	}
	if (perf{}).only("NOERROR") == nil {
		t.Error("no replies are good replies")
	}
	for _, lacking := range []string{"Queries completed", "Queries lost", "Run time"} {
		if _, err := parsePerf(strings.Replace(perfQueries, lacking, "x", 1)); err == nil {
			t.Errorf("accepted without %q", lacking)
		}
	}
}

func TestChosenRows(t *testing.T) {
	rows, err := chosen("1, 5,15")
	if err != nil {
		t.Fatal(err)
	}
	p := fullPlan
	p.rows = rows
	if !p.wants(1) || !p.wants(2, 5) || p.wants(2, 3) || !p.wants(15) {
		t.Errorf("%v", rows)
	}
	p = quickPlan
	if p.wants(14) || p.wants(15) || !p.wants(14, 13) {
		t.Error("the quick plan has the wrong rows")
	}
	for _, bad := range []string{"0", "16", "x", "1,,2"} {
		if _, err := chosen(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestCommandLine(t *testing.T) {
	program := filepath.Join(t.TempDir(), "dialtone")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for args, out := range map[string]string{"": "BENCHMARKS.md", "-quick": "", "-rows 1": "", "-rows 1 -out x.md": "x.md", "-quick -out y.md": "y.md"} {
		o, err := parse(append(strings.Fields(args), "-dialtone", program))
		if err != nil || o.out != out {
			t.Errorf("%q: out is %q, %v", args, o.out, err)
		}
	}
	o, err := parse([]string{"-rounds", "3", "-seconds", "0.5", "-numbers", "50", "-dialtone", program})
	if err != nil || o.plan.rounds != 3 || o.plan.load != 500*time.Millisecond || o.plan.numbers != 50 {
		t.Errorf("%+v, %v", o.plan, err)
	}
	for _, bad := range [][]string{{"-dialtone", program + "x"}, {"-dialtone", program, "1"}, {"-dialtone", program, "-rows", "99"}} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
}

func TestCopyStoreAndDiskUsed(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.MkdirAll(filepath.Join(from, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("x", 100_000)
	if err := os.WriteFile(filepath.Join(from, "sub", "000001.sst"), []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	hole := filepath.Join(from, "hole")
	if err := os.WriteFile(hole, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(hole, 1<<30); err != nil {
		t.Fatal(err)
	}
	if err := copyStore(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	// What is done to the first must not be seen in the second.
	if err := os.Truncate(filepath.Join(from, "sub", "000001.sst"), 0); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(to, "sub", "000001.sst"))
	if err != nil || string(got) != body {
		t.Errorf("%d octets were copied: %v", len(got), err)
	}
	if n, err := diskUsed(to); err != nil || n >= 1<<29 {
		t.Errorf("%d octets used: %v", n, err)
	}
}

func TestOwnProcessIsMeasured(t *testing.T) {
	pids, err := family(os.Getpid())
	if err != nil || pids[0] != os.Getpid() {
		t.Errorf("%v, %v", pids, err)
	}
	st, err := statOf(os.Getpid())
	if err != nil || st.parent != os.Getppid() {
		t.Errorf("%+v, %v", st, err)
	}
	if n, err := pss(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("%d octets: %v", n, err)
	}
	if took, err := timeWrites(t.TempDir(), 3); err != nil || took <= 0 {
		t.Errorf("a write took %v: %v", took, err)
	}
	if lines := machine(); len(lines) != 3 {
		t.Errorf("the machine is %q", lines)
	}
}

// TestFailuresAreListed: one measurement that fails does not stop the others, an interrupt does.
func TestFailuresAreListed(t *testing.T) {
	b := &bench{w: io.Discard}
	ctx, cancel := context.WithCancel(t.Context())
	if err := b.try(ctx, "row 9", knot, func() error { return io.ErrUnexpectedEOF }); err != nil {
		t.Error(err)
	}
	if err := b.try(ctx, "row 9", nsd, func() error { return nil }); err != nil {
		t.Error(err)
	}
	cancel()
	if err := b.try(ctx, "row 9", bind, func() error { return nil }); err == nil {
		t.Error("an interrupt is passed over")
	}
	if want := "row 9, Knot: unexpected EOF"; len(b.results.failures) != 1 || b.results.failures[0] != want {
		t.Errorf("%q", b.results.failures)
	}
}
