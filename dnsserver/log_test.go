package dnsserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// lockedBuffer takes log lines of several goroutines.
type lockedBuffer struct {
	mu struct {
		sync.Mutex
		b bytes.Buffer
	}
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.b.Write(p)
}

func (l *lockedBuffer) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.mu.b.String()), "\n")
}

func TestOneLogLineForEachEventWithItsFieldsInOrder(t *testing.T) {
	o := testOptions(t)
	var log lockedBuffer
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s, stop := start(t, o)
	to := s.Addrs()[0]
	ask(t, "udp", to, signed(insert("l."+apex+" 60 A 192.0.2.1")))
	ask(t, "tcp", to, insert("l."+apex+" 60 A 192.0.2.1"))
	ask(t, "tcp", to, new(dns.Msg).SetUpdate("example."))
	transferOf(t, to, new(dns.Msg).SetAxfr(apex))
	ask(t, "udp", to, new(dns.Msg).SetAxfr("example."))
	ask(t, "udp", to, new(dns.Msg).SetNotify(apex))
	stop()
	for _, want := range []string{
		`msg="update refused" op=update remote=127\.0\.0\.1:\d+ proto=udp key=100\.phones\.example\. zone=phones\.example\. number=l serial=0 rcode=REFUSED rule=none duration=\S+ why=".*l\.phones\.example\.`,
		`msg=update op=update remote=127\.0\.0\.1:\d+ proto=tcp key="" zone=phones\.example\. number=l serial=2 rcode=NOERROR rule=acl\[0\] duration=[0-9.]+[a-zµ]+$`,
		`msg="update refused" op=update remote=127\.0\.0\.1:\d+ proto=tcp key="" zone=example\. number="" serial=0 rcode=NOTAUTH rule=none duration=\S+ why="no such zone here"$`,
		`msg=transfer op=axfr remote=127\.0\.0\.1:\d+ proto=tcp zone=phones\.example\. serial=2 rcode=NOERROR style=full messages=1 records=11`,
		`msg="transfer refused" op=axfr remote=127\.0\.0\.1:\d+ proto=udp .*rcode=`,
		`msg="NOTIFY refused" op=notify remote=127\.0\.0\.1:\d+ proto=udp zone=phones\.example\. rcode=REFUSED`,
	} {
		count := 0
		for _, line := range log.lines() {
			if regexp.MustCompile(want).MatchString(line) {
				count++
			}
		}
		if count != 1 {
			t.Errorf("%d lines match %s in\n%s", count, want, strings.Join(log.lines(), "\n"))
		}
	}
}

// updateFields are those of each update's line, in their order.
var updateFields = []string{"time", "level", "msg", "op", "remote", "proto", "key", "zone", "number", "serial", "rcode", "rule", "duration"}

// Names and texts that others choose are on one line each, and cannot look like another field or line.
func TestHostileNamesStayOnTheirLine(t *testing.T) {
	hostile := []string{
		"x\nlevel=INFO msg=update", "a=b rcode=NOERROR", `quote"d`, `back\slash`, "bell\a\x1b[31mred", "nul\x00", "ümlaut", "\xff\xfe", "\u202egnirts", "tab\there", "del\x7f",
	}
	for _, format := range []string{"text", "json"} {
		o := testOptions(t)
		var log lockedBuffer
		o.Logger = slog.New(slog.NewJSONHandler(&log, nil))
		if format == "text" {
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		}
		s, stop := start(t, o)
		for _, label := range hostile {
			for _, zone := range []string{apex, "other.example."} {
				m := new(dns.Msg).SetUpdate(escaped(label) + "." + zone)
				if zone == apex {
					m = insert(escaped(label) + "." + apex + " 60 A 192.0.2.1")
				}
				ask(t, "udp", s.Addrs()[0], m)
				c := newClient("udp")
				c.TsigSecret[escaped(label)+"."] = secret
				// The key is not known here, and the client says so.
				if reply, _, err := c.Exchange(m.SetTsig(escaped(label)+".", dns.HmacSHA256, 300, time.Now().Unix()), s.Addrs()[0].String()); reply == nil {
					t.Fatal(err)
				}
			}
		}
		stop()
		updates := 0
		for _, line := range log.lines() {
			for _, r := range line {
				if r < 0x20 || r > 0x7e && r != 'µ' {
					t.Errorf("%s: %U in %q", format, r, line)
				}
			}
			if !strings.Contains(line, `op=update`) && !strings.Contains(line, `"op":"update"`) {
				continue
			}
			updates++
			if got := fieldsOf(t, format, line); len(got) < len(updateFields) || !slices.Equal(got[:len(updateFields)], updateFields) {
				t.Errorf("%s: fields %v in %s", format, got, line)
			}
		}
		if want := 2 * len(hostile); updates != want {
			t.Errorf("%s: %d lines of updates, want %d", format, updates, want)
		}
	}
}

func escaped(label string) string {
	var b strings.Builder
	for _, c := range []byte(label) {
		fmt.Fprintf(&b, "\\%03d", c)
	}
	return b.String()
}

// fieldsOf gives the names of a line's fields in their order.
func fieldsOf(t *testing.T, format, line string) (names []string) {
	t.Helper()
	if format == "text" {
		for rest := line; rest != ""; {
			name, value, ok := strings.Cut(rest, "=")
			if !ok {
				t.Fatalf("no field in %q", rest)
			}
			names = append(names, name)
			quoted, err := strconv.QuotedPrefix(value)
			if err != nil {
				quoted, _, _ = strings.Cut(value, " ")
			}
			rest = strings.TrimPrefix(value[len(quoted):], " ")
		}
		return names
	}
	d := json.NewDecoder(strings.NewReader(line))
	for depth := 0; ; {
		name, err := d.Token()
		if err == io.EOF {
			return names
		}
		if err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if delim, ok := name.(json.Delim); ok {
			if depth++; delim == '}' {
				depth -= 2
			}
			continue
		}
		names = append(names, name.(string))
		if _, err := d.Token(); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
	}
}

// stuckWriter takes nothing while stop is set, until wait is closed.
type stuckWriter struct {
	stop atomic.Bool
	wait chan struct{}
}

func (w *stuckWriter) Write(b []byte) (int, error) {
	if w.stop.Load() {
		<-w.wait
	}
	return len(b), nil
}

// TestDurationBeginsWithTheArrival: what an update has waited for a worker is part of what it took.
func TestDurationBeginsWithTheArrival(t *testing.T) {
	o := testOptions(t)
	var log lockedBuffer
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	now := time.Now()
	o.Now = func() time.Time { return now }
	s, stop := start(t, o)
	w := newWorker()
	defer w.reader.Close()
	from := client{addr: netip.MustParseAddrPort("127.0.0.1:9"), sock: s.listeners[0].sockets[0]}
	raw, err := new(dns.Msg).SetUpdate("example.").Pack()
	if err != nil {
		t.Fatal(err)
	}
	if s.answerSlow(w, raw, &from, arrival{at: now.Add(-3 * time.Second)}) == nil {
		t.Error("no answer")
	}
	stop()
	if all := strings.Join(log.lines(), "\n"); !strings.Contains(all, "rcode=NOTAUTH rule=none duration=3s ") {
		t.Error(all)
	}
}
