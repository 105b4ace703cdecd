package dnsserver

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestRefusalsAreLoggedToALimit(t *testing.T) {
	var r refusals
	r.set(3)
	now := time.Unix(1_800_000_000, 0)
	logged := func(signed bool) (n int) {
		for range 10 {
			if r.mayLog(signed, now) {
				n++
			}
		}
		return n
	}
	if n := logged(false); n != 3 {
		t.Errorf("%d lines of anybody, want 3", n)
	}
	if n := logged(true); n != 3 {
		t.Errorf("%d lines of a key, want 3 beside those of anybody", n)
	}
	if n := r.leftOut(); n != 14 {
		t.Errorf("%d were left out, want 14", n)
	}
	now = now.Add(time.Second)
	if n := logged(false); n != 3 || r.leftOut() != 7 {
		t.Errorf("%d lines a second later, want 3", n)
	}
}

// TestFloodDoesNotFloodTheLog sends more junk than is logged; the log tells of the rest.
func TestFloodDoesNotFloodTheLog(t *testing.T) {
	o := testOptions(t)
	var log bytes.Buffer
	lines := make(chan string, 1000)
	o.Logger = slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) { lines <- string(b); return len(b), nil }), nil))
	o.Limits.LoggedRefusals = 5
	stopped := time.Now()
	o.Now = func() time.Time { return stopped }
	s, stop := start(t, o)
	c := dial(t, "tcp", s.Addrs()[0])
	for range 50 {
		write(t, c, insert("x.example.org. 60 A 192.0.2.1"))
		read(t, c)
	}
	for i := range 10 { // what is done has its line, however many are refused
		write(t, c, insert(fmt.Sprintf("new.%s 60 A 192.0.2.%d", apex, i)))
		read(t, c)
	}
	s.tellLeftOut()
	stop()
	close(lines)
	for l := range lines {
		log.WriteString(l)
	}
	if n := strings.Count(log.String(), "rcode=NOTZONE"); n != 5 {
		t.Errorf("%d lines of refused updates, want 5", n)
	}
	if n := strings.Count(log.String(), "rcode=NOERROR"); n != 10 {
		t.Errorf("%d lines of updates that were done, want 10", n)
	}
	if !strings.Contains(log.String(), "messages=45") || s.Counters.Limits.Of(LimitLoggedRefusals) != 45 {
		t.Errorf("the log does not tell of the other 45:\n%s", log.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
