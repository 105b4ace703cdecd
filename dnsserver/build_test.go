package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// largeOptions serves two zones from files, which count as large.
func largeOptions(t *testing.T, second string) Options {
	t.Helper()
	o := testOptions(t)
	o.buildFrom = 1
	var text strings.Builder
	text.WriteString(zoneText)
	for i := range 40_000 {
		fmt.Fprintf(&text, "%07d A 10.0.%d.%d\n", 5_000_000+i, i>>8, i&255)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first := o.Zones[0]
	first.File, first.Text = write("first", text.String()), ""
	o.Zones = []ZoneOptions{first, {Apex: rr.MustName("other.example."), File: write("second", second)}}
	return o
}

const otherZone = "$TTL 60\n@ SOA ns1 h 1 1 1 1 1\n@ NS ns1\nns1 A 192.0.2.1\n"

// TestFirstStartWithLargeFiles builds the data directory, takes updates, and
// starts again from it.
func TestFirstStartWithLargeFiles(t *testing.T) {
	o := largeOptions(t, otherZone)
	var mu sync.Mutex
	phases := map[Phase]int{}
	o.Progress = func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		phases[p.Phase] = max(phases[p.Phase], p.Records)
	}
	s, stop := start(t, o)
	if len(s.built) != 2 {
		t.Errorf("%d zones were built", len(s.built))
	}
	told := func(want ...Phase) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		for _, phase := range []Phase{Reading, Storing, Loading} {
			if slices.Contains(want, phase) != (phases[phase] >= 1<<15) {
				t.Errorf("%s: told of %d records", phase, phases[phase])
			}
		}
		clear(phases)
	}
	told(Reading, Storing)
	see := func(s *Server, name, want string) {
		t.Helper()
		if got := addressOf(t, "udp", s.Addrs()[0], name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	see(s, "5039999."+apex, "10.0.156.63")
	see(s, "ns1.other.example.", "192.0.2.1")
	if reply := ask(t, "udp", s.Addrs()[0], insert("new."+apex+" 60 A 192.0.2.7")); reply.Rcode != dns.RcodeSuccess {
		t.Error(reply)
	}
	stop()
	s, _ = start(t, o)
	if len(s.built) != 0 {
		t.Error("built again")
	}
	told(Loading)
	see(s, "5039999."+apex, "10.0.156.63")
	see(s, "new."+apex, "192.0.2.7")
}

// TestFirstStartTellsFaultsOfAllZones leaves nothing behind when a zone is at
// fault, or when it is stopped.
func TestFirstStartTellsFaultsOfAllZones(t *testing.T) {
	o := largeOptions(t, otherZone+"x A y\n")
	third := o.Zones[1]
	third.Apex = rr.MustName("third.example.")
	o.Zones = append(o.Zones, third)
	_, err := Start(context.Background(), o)
	for _, want := range []string{"other.example.", "third.example.", "second:5"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	var ze *ZoneError
	if !errors.As(err, &ze) || len(ze.Problems) != 1 {
		t.Errorf("%#v", err)
	}
	o = largeOptions(t, otherZone)
	ctx, cancel := context.WithCancel(context.Background())
	o.Progress = func(p Progress) {
		if p.Phase == Storing {
			cancel()
		}
	}
	if _, err := Start(ctx, o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if files, err := os.ReadDir(o.DataDir); len(files) > 0 || err != nil {
		t.Errorf("%d files are left, %v", len(files), err)
	}
}
