package peertest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Memory gives what a process has in memory now and had at most, in octets.
func (p *Process) Memory(t testing.TB) (now, most int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = kb << 10
		case "VmHWM":
			most = kb << 10
		}
	}
	if most == 0 {
		t.Fatalf("no memory in\n%s", status)
	}
	return now, most
}

// Metrics fetches what a server tells at an address; each line without its comment is a name with its value.
func Metrics(t testing.TB, addr string) map[string]float64 {
	t.Helper()
	c := http.Client{Timeout: Patience}
	r, err := c.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		if at := strings.LastIndexByte(strings.TrimSpace(line), ' '); at > 0 && line[0] != '#' {
			if v, err := strconv.ParseFloat(strings.TrimSpace(line)[at+1:], 64); err == nil {
				all[line[:at]] = v
			}
		}
	}
	return all
}

// Sample calls f with what memory a process has, now and then, until stop is called, which gives the most.
func (p *Process) Sample(t testing.TB) (stop func() int64) {
	done, most := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		top := int64(0)
		for {
			select {
			case <-done:
				most <- top
				return
			case <-tick.C:
				now, _ := p.Memory(t)
				top = max(top, now)
			}
		}
	}()
	return func() int64 { close(done); return <-most }
}
