package peertest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Flood is a running flood: see integration/flood.
type Flood struct {
	kind  string
	cmd   *exec.Cmd
	stdin io.Closer
	out   *logBuffer
}

// FloodResult is what it says at its end.
type FloodResult struct {
	Sent, Failed, Closed uint64
	Rcodes               map[int]uint64
	Seconds              float64
}

// floodProgram is built once per test run, beside the server.
var floodProgram struct {
	once sync.Once
	path string
	err  error
}

// StartFlood starts a flood with the lowest priority, so that on a machine of few cores it takes what the server and
// the good client leave, as a flood from elsewhere would. It is stopped with the test at the latest.
func StartFlood(t testing.TB, kind string, args ...string) *Flood {
	t.Helper()
	floodProgram.once.Do(func() {
		dir, err := os.MkdirTemp("", "dialtone-flood-")
		if err != nil {
			floodProgram.err = err
			return
		}
		floodProgram.path = filepath.Join(dir, "flood")
		out, err := exec.Command("go", "build", "-o", floodProgram.path, "dialtone/integration/flood").CombinedOutput()
		if err != nil {
			floodProgram.err = fmt.Errorf("building the flood: %v\n%s", err, out)
		}
	})
	if floodProgram.err != nil {
		t.Fatal(floodProgram.err)
	}
	argv := append([]string{"-n", "19", floodProgram.path, "-kind", kind}, args...)
	f := &Flood{kind: kind, cmd: exec.Command(Program(t, "nice"), argv...), out: &logBuffer{}}
	f.cmd.Stdout, f.cmd.Stderr = f.out, os.Stderr
	stdin, err := f.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.stdin = stdin
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.stdin.Close(); _ = f.cmd.Wait() })
	return f
}

// Stop ends the flood.
func (f *Flood) Stop(t testing.TB) FloodResult {
	t.Helper()
	_ = f.stdin.Close()
	if err := f.cmd.Wait(); err != nil {
		t.Fatalf("flood %s: %v\n%s", f.kind, err, f.out)
	}
	var r FloodResult
	if err := json.Unmarshal([]byte(f.out.String()), &r); err != nil {
		t.Fatalf("flood %s says %q: %v", f.kind, f.out, err)
	}
	return r
}
