//go:build soak

package soak

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"dialtone/integration/peertest"
)

// sample is what a process holds.
type sample struct {
	at                      time.Duration
	goroutines, files, anon float64 // files without those of the data directory; anon in MiB
}

var (
	goroutines = regexp.MustCompile(`(?m)^go_goroutines (\S+)`)
	anonymous  = regexp.MustCompile(`(?m)^RssAnon:\s+(\d+) kB`)
)

func (s *soak) sample() (x sample, err error) {
	x.at = time.Since(s.begun)
	resp, err := http.Get(s.metrics)
	if err != nil {
		return x, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return x, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid()))
	if err != nil {
		return x, err
	}
	for _, f := range []struct {
		pattern *regexp.Regexp
		text    string
		to      *float64
	}{{goroutines, string(text), &x.goroutines}, {anonymous, string(status), &x.anon}} {
		m := f.pattern.FindStringSubmatch(f.text)
		if m == nil {
			return x, fmt.Errorf("nothing like %s is told", f.pattern)
		}
		if *f.to, err = strconv.ParseFloat(m[1], 64); err != nil {
			return x, err
		}
	}
	x.anon /= 1024
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.pid()))
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && !strings.HasPrefix(to, s.server.Dir) {
			x.files++
		}
	}
	return x, err
}

// watchMemory samples all the time until stop, for the slope.
func (s *soak) watchMemory(stop <-chan struct{}) (samples []sample) {
	for {
		if x, err := s.sample(); err == nil {
			samples = append(samples, x)
		}
		select {
		case <-time.After(*duration / 200):
		case <-stop:
			return samples
		}
	}
}

// pauseLoad lets the clients be quiet.
func (s *soak) pauseLoad() {
	s.paused.Store(true)
	s.wantUpdates()
}

// Bounds of what a leak is. A runtime keeps some; a leak of one a trouble or one a minute is more than that in 15 minutes.
const (
	moreGoroutines = 10
	moreFiles      = 10
	moreMemory     = 48 // MiB
)

// wantNoLeak compares with the first quiet moment: before the load.
func (s *soak) wantNoLeak() {
	close(s.memory.stop)
	samples := <-s.memory.samples
	var now sample
	peertest.Eventually(s.t, time.Minute, "goroutines and files are given back when it is quiet", func() (err error) {
		if now, err = s.sample(); err != nil {
			return err
		}
		if now.goroutines > s.first.goroutines+moreGoroutines || now.files > s.first.files+moreFiles {
			return fmt.Errorf("%.0f goroutines and %.0f files, %.0f and %.0f at first", now.goroutines, now.files, s.first.goroutines, s.first.files)
		}
		return nil
	})
	s.goroutines, s.files, s.anon = now.goroutines-s.first.goroutines, now.files-s.first.files, now.anon
	// The first third is how it warms up.
	samples = samples[len(samples)/3:]
	if len(samples) < 10 {
		s.t.Fatalf("only %d samples", len(samples))
	}
	s.slope = slope(samples)
	minutes := (samples[len(samples)-1].at - samples[0].at).Minutes()
	if s.slope*minutes > moreMemory {
		s.t.Errorf("memory grows by %.2f MiB a minute", s.slope)
	}
}

// slope of the line that fits best, in MiB a minute.
func slope(samples []sample) float64 {
	var n, x, y, xx, xy float64
	for _, p := range samples {
		m := p.at.Minutes()
		n, x, y, xx, xy = n+1, x+m, y+p.anon, xx+m*m, xy+m*p.anon
	}
	return (n*xy - x*y) / (n*xx - x*x)
}
