package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"dialtone/dnsserver"
)

// liveLine shows how far a start is, in one line that is written over and over.
// Log lines go through it, so that they stand above and not in the middle of
// it. A start that is over at once shows nothing.
type liveLine struct {
	now func() time.Time
	mu  struct {
		sync.Mutex
		w     io.Writer
		next  time.Time // when the line is due
		shown bool
		done  bool
		zone  string
		phase dnsserver.Phase
		began time.Time // the phase
	}
}

const (
	// liveAfter is how long a start is silent.
	liveAfter = 300 * time.Millisecond
	// liveEvery is how often the line changes.
	liveEvery = 100 * time.Millisecond

	clearLine = "\r\x1b[K"
)

// isTerminal tells whether somebody may be looking at w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

func newLiveLine(w io.Writer, now func() time.Time) *liveLine {
	l := &liveLine{now: now}
	l.mu.w, l.mu.next = w, now().Add(liveAfter)
	return l
}

// show takes what dnsserver.Options.Progress gives. Of several zones that are
// loaded at a time it shows the one that it hears of when the line is due.
func (l *liveLine) show(p dnsserver.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if zone := p.Zone.String(); zone != l.mu.zone || p.Phase != l.mu.phase {
		l.mu.zone, l.mu.phase, l.mu.began = zone, p.Phase, now
	}
	l.textLocked(now, func() string { return progressText(p, now.Sub(l.mu.began)) })
}

// text shows any text.
func (l *liveLine) text(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.textLocked(l.now(), func() string { return text })
}

func (l *liveLine) textLocked(now time.Time, text func() string) {
	if l.mu.done || now.Before(l.mu.next) {
		return
	}
	l.mu.next, l.mu.shown = now.Add(liveEvery), true
	fmt.Fprint(l.mu.w, clearLine+text())
}

func progressText(p dnsserver.Progress, took time.Duration) string {
	text := fmt.Sprintf("%s %s: %s", p.Zone, p.Phase, grouped(p.Records))
	if p.Of > 0 {
		text += " of " + grouped(p.Of)
	}
	text += " records"
	if took > liveEvery {
		text += fmt.Sprintf(", %s a second", grouped(int(float64(p.Records)/took.Seconds())))
	}
	return text
}

// Write passes on a log line.
func (l *liveLine) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clearLocked()
	return l.mu.w.Write(b)
}

// end takes the line away for good.
func (l *liveLine) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clearLocked()
	l.mu.done = true
}

func (l *liveLine) clearLocked() {
	if l.mu.shown {
		fmt.Fprint(l.mu.w, clearLine)
		l.mu.shown = false
	}
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
