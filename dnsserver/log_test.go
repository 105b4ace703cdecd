package dnsserver

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"

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
		`msg="update refused" op=update remote=127\.0\.0\.1:\d+ proto=udp key=100\.phones\.example\. zone=phones\.example\. rcode=REFUSED why=".*l\.phones\.example\.`,
		`msg=update op=update remote=127\.0\.0\.1:\d+ proto=tcp zone=phones\.example\. serial=2 rcode=NOERROR took=`,
		`msg="update refused" op=update remote=127\.0\.0\.1:\d+ proto=tcp zone=example\. rcode=NOTAUTH`,
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
