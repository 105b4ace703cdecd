package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"github.com/creack/pty"
	"golang.org/x/term"

	"dialtone/dnsserver"
)

var topNow = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

// topStatus has so many zones and secondaries, and a fault and a limit.
func topStatus(zones, secondaries int) dnsserver.Status {
	st := dnsserver.Status{Version: "dialtone 1", PID: 1, Now: topNow, Uptime: 60, ZonesTotal: zones, Numbers: 123456,
		Rates:  dnsserver.Rates{Queries: dnsserver.Rate{Second: 12345, Minute: 9}, QueriesEach: []uint64{0, 1, 50, 100}},
		Faults: []dnsserver.Fault{{Kind: dnsserver.FaultStore, Zone: "z0.example.", Text: "the disk\x1b[2J is gone"}}, FaultsTotal: 1,
		Senders: []dnsserver.SenderStatus{{Key: "dhcp.key.", Source: "192.0.2.7", Updates: 812.3}, {Source: "2001:db8::/64", Updates: 7, Refused: 7}},
		Limits:  []dnsserver.LimitHits{{Limit: "update_queue", Minute: 2, Total: 5}},
	}
	for i := range zones {
		st.Zones = append(st.Zones, dnsserver.ZoneStatus{Zone: fmt.Sprintf("z%d.example.", i), Serial: 10, Numbers: i, Queue: zones - i})
	}
	for i := range secondaries {
		st.Secondaries = append(st.Secondaries, dnsserver.SecondaryStatus{Zone: "z0.example.", Address: fmt.Sprintf("192.0.2.%d:53", i), State: dnsserver.SecondaryUnknown, Target: true})
	}
	return st
}

func topOf(st dnsserver.Status) *topModel {
	m := newTopModel(func(context.Context) (dnsserver.Status, error) { return st, nil }, time.Second)
	m.take(st, nil)
	return m
}

func press(m *topModel, keys ...string) (last tea.Cmd) {
	for _, k := range keys {
		last = m.key(k)
	}
	return last
}

// Whatever the terminal's size is, the picture has it.
func TestTopFitsTheTerminal(t *testing.T) {
	for _, styled := range []bool{false, true} {
		for _, zones := range []int{0, 1, 3, 1000} {
			for _, size := range [][2]int{{80, 24}, {200, 60}, {40, 10}, {20, 5}, {1, 1}, {10, 2}} {
				m := topOf(topStatus(zones, zones/2))
				m.styled = styled
				m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
				for _, key := range []string{"s", "end", "?", "pgup", "?"} {
					press(m, key)
					view := m.picture()
					for _, code := range []string{bold, red, invert, plain} {
						view = strings.ReplaceAll(view, code, "")
					}
					lines := strings.Split(view, "\n")
					if len(lines) != max(size[1], 1) {
						t.Errorf("%v, %d zones: %d lines", size, zones, len(lines))
					}
					for _, l := range lines {
						if utf8.RuneCountInString(l) > size[0] || strings.ContainsAny(l, "\x1b\r\t") {
							t.Errorf("%v, %d zones: %q", size, zones, l)
						}
					}
				}
			}
		}
	}
}

func TestTopShowsWhatMatters(t *testing.T) {
	m := topOf(topStatus(3, 2))
	view := m.picture()
	for _, want := range []string{
		"dialtone 1  up 1m00s  2026-11-26 08:00:00Z", "queries    12,345/s        9.0/s in a minute   ▁▄█\n", "numbers 123,456",
		"ZONE*", "z2.example.", "SECONDARY", "192.0.2.1:53", "dhcp.key.             192.0.2.7      812        0\n", "FAULT store z0.example.: the disk?[2J is gone", "limit update_queue reached 2 times in the last minute",
		"q quit  s sort (zone)",
	} {
		if !strings.Contains(view, want) {
			t.Errorf("no %q in\n%s", want, view)
		}
	}
	if all := m.all(); strings.Contains(all, "q quit") || !strings.Contains(all, "FAULT") || !strings.HasSuffix(all, "\n") {
		t.Errorf("%s", all)
	}
	m.take(dnsserver.Status{}, errors.New("the server is gone"))
	if view = m.picture(); !strings.HasPrefix(view, "! no answer since 08:00:00Z: the server is gone") || !strings.Contains(view, "z2.example.") {
		t.Errorf("%s", view)
	}
}

func TestTopSortsAndScrolls(t *testing.T) {
	m := topOf(topStatus(100, 0))
	first := func() string { return m.zones()[0].Zone }
	if first() != "z0.example." {
		t.Error(first())
	}
	press(m, "r")
	if first() != "z99.example." {
		t.Error(first())
	}
	press(m, "r", "s")
	next := topStatus(100, 0)
	next.Now = topNow.Add(2 * time.Second)
	next.Zones[7].Serial = 20
	m.take(next, nil)
	if first() != "z7.example." || m.moves["z7.example."] != 5 {
		t.Errorf("%s changes most, %v", first(), m.moves[first()])
	}
	press(m, "s")
	if first() != "z99.example." { // the most numbers
		t.Error(first())
	}
	press(m, "s", "s")
	if first() != "z0.example." { // the longest queue
		t.Error(first())
	}
	press(m, "down", "down", "up")
	if lines := m.zonesFrom(m.offset, 5); !strings.HasPrefix(lines[1], "z1.example.") || lines[5] != "  and 95 more" {
		t.Errorf("%q", lines)
	}
	press(m, "end", "pgdown")
	if view := m.picture(); !strings.Contains(view, "z99.example.") || strings.Contains(view, "more") {
		t.Errorf("%s", view)
	}
	press(m, "home", "up")
	if m.offset != 0 {
		t.Error(m.offset)
	}
	for range topColumns {
		press(m, "s")
	}
	if topColumns[m.column].name != "queue" {
		t.Error(topColumns[m.column].name)
	}
}

func TestTopLooksAgain(t *testing.T) {
	m := topOf(topStatus(1, 0))
	if _, cmd := m.Update(topDue{}); cmd == nil {
		t.Error("it does not look")
	} else if a := cmd().(topAnswer); a.err != nil || a.st.PID != 1 {
		t.Errorf("%+v", a)
	}
	if _, cmd := m.Update(topAnswer{topStatus(2, 0), nil}); cmd == nil || len(m.st.Zones) != 2 {
		t.Error("it does not look again")
	}
	m.Update(tea.KeyPressMsg{Code: tea.KeySpace, Text: " "})
	if !m.stopped || !strings.Contains(m.picture(), "stopped") {
		t.Error("it does not stop")
	}
	for _, k := range []string{"q", "ctrl+c", "esc"} {
		if cmd := press(m, k); cmd == nil || cmd() != (tea.QuitMsg{}) {
			t.Errorf("%s does not quit", k)
		}
	}
}

func TestGraph(t *testing.T) {
	for want, values := range map[string][]uint64{"": nil, "    ": {0, 0, 0, 0}, " ▁█": {0, 1, 1000}, "▄█▁": {9, 4, 8, 1}, "████": {7, 7, 7, 7}} {
		if got := graph(values, max(3, len([]rune(want)))); got != want {
			t.Errorf("%v: %q, want %q", values, got, want)
		}
	}
}

// In a real terminal: it shows the picture, follows its size, and leaves it as it was, however it ends.
func TestTopInATerminal(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, []string{"DIALTONE_LISTEN=127.0.0.1:0", "DIALTONE_DATA_DIR=data"}, "serve")
	s.readUntil(t, "Ctrl-C")
	for _, end := range []func(tty *os.File, p *os.Process) error{
		func(tty *os.File, _ *os.Process) error { _, err := tty.WriteString("q"); return err },
		func(tty *os.File, _ *os.Process) error { _, err := tty.WriteString("\x03"); return err },
		func(_ *os.File, p *os.Process) error { return p.Signal(syscall.SIGTERM) },
		func(_ *os.File, p *os.Process) error { return p.Signal(syscall.SIGINT) },
	} {
		cmd := exec.Command(s.cmd.Path, "top", "--every", "200ms")
		cmd.Args[0], cmd.Dir, cmd.Env = "dialtone", dir, append(s.cmd.Env, "DIALTONE_DATA_DIR=data", "TERM=xterm")
		tty, theirs, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		before, err := term.GetState(int(theirs.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := errors.Join(pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 80}), cmd.Start()); err != nil {
			t.Fatal(err)
		}
		seen := &screen{tty: tty}
		seen.until(t, "phones.example.")
		seen.until(t, "? keys")
		if err := pty.Setsize(tty, &pty.Winsize{Rows: 10, Cols: 30}); err != nil {
			t.Fatal(err)
		}
		seen.until(t, "q quit") // at another place
		if err := end(tty, cmd.Process); err != nil {
			t.Fatal(err)
		}
		seen.until(t, "\x1b[?1049l") // the other screen is left
		seen.until(t, "\x1b[?25h")   // and the cursor is shown
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%q", err, seen.text)
		}
		if after, err := term.GetState(int(theirs.Fd())); err != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("the terminal was %+v and is %+v, %v", before, after, err)
		}
		theirs.Close()
		tty.Close()
	}
	s.stop(t, syscall.SIGTERM)
}

// screen reads what a program writes to its terminal.
type screen struct {
	tty  *os.File
	text string
}

func (s *screen) until(t *testing.T, want string) {
	t.Helper()
	b := make([]byte, 4096)
	for !strings.Contains(s.text, want) {
		n, err := s.tty.Read(b)
		if s.text += string(b[:n]); err != nil && !strings.Contains(s.text, want) {
			t.Fatalf("%v, without %q\n%q", err, want, s.text)
		}
	}
	_, s.text, _ = strings.Cut(s.text, want)
}
