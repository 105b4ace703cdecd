package peertest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience bounds every wait for something that should happen soon.
const Patience = 30 * time.Second

// pollEvery is the pace of polling; nothing is decided by it.
const pollEvery = 10 * time.Millisecond

// Process is a running program. Its output is kept, and shown when the test fails.
type Process struct {
	Name string
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{} // closed once the program has been waited for
	err  error         // of Wait; read it after done
}

// Start runs argv in dir. The program is killed when the test ends.
func Start(t testing.TB, name, dir string, argv ...string) *Process {
	t.Helper()
	p := &Process{Name: name, log: &logBuffer{}, done: make(chan struct{})}
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go p.wait()
	t.Cleanup(func() {
		for _, sign := range []string{"DATA RACE", "panic: ", "fatal error: "} {
			if strings.Contains(p.Log(), sign) {
				t.Errorf("%s printed %q", name, sign)
			}
		}
		if t.Failed() || os.Getenv("DIALTONE_TEST_LOGS") != "" {
			t.Logf("log of %s:\n%s", name, tail(p.Log(), 60))
		}
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// wait ends when the program does.
func (p *Process) wait() {
	p.err = p.cmd.Wait()
	close(p.done)
}

// Log gives what the program has printed so far.
func (p *Process) Log() string { return p.log.String() }

// Says waits until the program has printed something, and fails at once when it ends before.
func (p *Process) Says(t testing.TB, text string) {
	t.Helper()
	p.Ready(t, func() error {
		if !strings.Contains(p.Log(), text) {
			return fmt.Errorf("it has not said %q", text)
		}
		return nil
	})
}

// Pid is the number of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends the program a signal.
func (p *Process) Signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
}

// Stop asks the program to end and waits for it. It returns the exit code.
func (p *Process) Stop(t testing.TB) int {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.Wait(t)
}

// Kill ends the program as a crash would.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	_ = p.cmd.Process.Kill()
	p.Wait(t)
}

// Wait gives the exit code of a program that is about to end; -1 when a signal ended it.
func (p *Process) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(Patience):
		t.Fatalf("%s did not end within %v; its log:\n%s", p.Name, Patience, tail(p.Log(), 40))
		return -1
	}
}

// Ready polls until probe succeeds, and fails at once when the program ends before.
func (p *Process) Ready(t testing.TB, probe func() error) {
	t.Helper()
	p.readyWithin(t, Patience, probe)
}

func (p *Process) readyWithin(t testing.TB, within time.Duration, probe func() error) {
	t.Helper()
	var last error
	err := poll(within, p.done, func() error { last = probe(); return last })
	if err != nil {
		t.Fatalf("%s did not come up: %v (%v); its log:\n%s", p.Name, err, last, tail(p.Log(), 60))
	}
}

// Eventually polls until cond gives nil, and fails the test with its last error when it does not
// within the time given.
func Eventually(t testing.TB, within time.Duration, what string, cond func() error) {
	t.Helper()
	if err := poll(within, nil, cond); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

var errEnded = errors.New("the program ended")

func poll(within time.Duration, ended <-chan struct{}, cond func() error) error {
	deadline := time.After(within)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := cond()
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errEnded
		case <-deadline:
			return fmt.Errorf("not within %v: %w", within, err)
		case <-tick.C:
		}
	}
}

// Result is what a client printed and how it ended.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Run runs a client to its end, feeding it stdin.
func Run(t testing.TB, dir, stdin string, argv ...string) Result {
	t.Helper()
	r, err := run(dir, stdin, argv...)
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(argv, " "), err, r.Stdout, r.Stderr)
	}
	return r
}

func run(dir, stdin string, argv ...string) (Result, error) {
	var out, errs logBuffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		return Result{}, err
	}
	guard := time.AfterFunc(2*Patience, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	r := Result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
	if !guard.Stop() {
		return r, fmt.Errorf("no end within %v", 2*Patience)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return r, nil
	}
	return r, err
}

// Write puts a file into dir and gives its path.
func Write(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := dir + "/" + name
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// logBuffer collects output while others read it.
type logBuffer struct {
	mu struct {
		sync.Mutex
		buf bytes.Buffer
	}
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.buf.String()
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
