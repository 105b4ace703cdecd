package dnsserver

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dnstap "github.com/dnstap/golang-dnstap"
	"github.com/miekg/dns"
	"google.golang.org/protobuf/proto"

	"dialtone/dnsserver/control"
	"dialtone/dnsserver/tap"
)

// tapped reads a dnstap file.
func tapped(t *testing.T, file string) (all []*dnstap.Message) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := dnstap.NewReader(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 128<<10)
	for {
		n, err := r.ReadFrame(buf)
		if errors.Is(err, io.EOF) {
			return all
		}
		x := new(dnstap.Dnstap)
		if err != nil || proto.Unmarshal(buf[:n], x) != nil {
			t.Fatal(err)
		}
		if string(x.Identity) != "test" {
			t.Errorf("identity %q", x.Identity)
		}
		all = append(all, x.Message)
	}
}

// Each message that comes, and each reply, is tapped once, on every way that there is.
func TestMessagesAreTapped(t *testing.T) {
	o := testOptions(t)
	o.Tap = &tap.Options{File: filepath.Join(t.TempDir(), "tap"), Queries: true, Updates: true, Responses: true}
	s, stop := start(t, o)
	to := s.Addrs()[0]
	for _, proto := range []string{"udp", "tcp"} {
		ask(t, proto, to, query("100."+apex, dns.TypeA))
		ask(t, proto, to, signed(query("100."+apex, dns.TypeA)))
		ask(t, proto, to, insert(proto+"."+apex+" 60 A 192.0.2.1"))
		ask(t, proto, to, signed(insert("100."+apex+" 60 A 192.0.2."+map[string]string{"udp": "1", "tcp": "2"}[proto])))
		ask(t, proto, to, new(dns.Msg).SetUpdate("other.example."))
	}
	stop()
	counts := map[string]int{}
	ids := map[uint16]int{}
	for _, m := range tapped(t, o.Tap.File) {
		counts[m.GetSocketProtocol().String()+" "+m.GetType().String()]++
		raw := slices.Concat(m.QueryMessage, m.ResponseMessage)
		var x dns.Msg
		if err := x.Unpack(raw); err != nil || x.Response != (m.ResponseMessage != nil) {
			t.Errorf("%v: %v", m, err)
		}
		ids[x.Id]++
		if m.GetResponsePort() != uint32(to.Port()) || m.GetQueryPort() == 0 || len(m.QueryAddress) != 4 {
			t.Errorf("%v", m)
		}
	}
	for _, proto := range []string{"UDP", "TCP"} {
		for kind, want := range map[string]int{"AUTH_QUERY": 2, "AUTH_RESPONSE": 2, "UPDATE_QUERY": 3, "UPDATE_RESPONSE": 3} {
			if got := counts[proto+" "+kind]; got != want {
				t.Errorf("%s %s: %d, want %d", proto, kind, got, want)
			}
		}
	}
	for id, n := range ids {
		if n%2 != 0 {
			t.Errorf("message %d: %d times", id, n)
		}
	}
}

func TestOneInSoManyQueriesIsLogged(t *testing.T) {
	o := testOptions(t)
	o.QuerySample = 5
	o.Limits.Readers = 1
	var log lockedBuffer
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s, stop := start(t, o)
	const asked = 50
	for range asked {
		ask(t, "udp", s.Addrs()[0], query("sub.100."+apex, dns.TypeAAAA))
		ask(t, "tcp", s.Addrs()[0], query("100."+apex, dns.TypeA))
		ask(t, "udp", s.Addrs()[0], insert("u."+apex+" 60 A 192.0.2.1")) // is no query
	}
	stop()
	udp := regexp.MustCompile(`msg=query op=query remote=127\.0\.0\.1:\d+ proto=udp key="" zone=phones\.example\. number=100 rcode=NXDOMAIN duration=\S+ name=sub\.100\.phones\.example\. type=AAAA octets=\d+$`)
	tcp := regexp.MustCompile(`msg=query op=query remote=127\.0\.0\.1:\d+ proto=tcp key="" zone=phones\.example\. number=100 rcode=NOERROR duration=\S+ name=100\.phones\.example\. type=A octets=\d+$`)
	counts := map[*regexp.Regexp]int{}
	for _, line := range log.lines() {
		for _, form := range []*regexp.Regexp{udp, tcp} {
			if form.MatchString(line) {
				counts[form]++
			}
		}
	}
	if counts[udp] != asked/5 || counts[tcp] != asked/5 {
		t.Errorf("%d of UDP and %d of TCP, want %d each in\n%s", counts[udp], counts[tcp], asked/5, strings.Join(log.lines(), "\n"))
	}
}

// A log that takes nothing delays no answer.
func TestQueriesDoNotWaitForTheLog(t *testing.T) {
	o := testOptions(t)
	o.QuerySample = 1
	stuck := &stuckWriter{wait: make(chan struct{})}
	o.Logger = slog.New(slog.NewTextHandler(stuck, nil))
	s, stop := start(t, o)
	stuck.stop.Store(true)
	c := dial(t, "udp", s.Addrs()[0])
	for s.queries.dropped.Load() == 0 {
		write(t, c, query("100."+apex, dns.TypeA))
		read(t, c)
	}
	stuck.stop.Store(false)
	close(stuck.wait)
	stop()
}

func TestLogLevelByCommand(t *testing.T) {
	o := testOptions(t)
	o.LogLevel = new(slog.LevelVar)
	var log lockedBuffer
	o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: o.LogLevel}))
	s, _ := start(t, o)
	c, err := control.Dial(t.Context(), o.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	call := func(level string) (LogLevelAnswer, error) {
		return control.Call[LogLevelAnswer](t.Context(), c, RequestLogLevel, LogLevelQuestion{level})
	}
	if a, err := call(""); err != nil || a != (LogLevelAnswer{"info", "info"}) {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := call("error"); err != nil || a != (LogLevelAnswer{"error", "info"}) {
		t.Errorf("%+v, %v", a, err)
	}
	ask(t, "udp", s.Addrs()[0], insert("u."+apex+" 60 A 192.0.2.1"))
	if strings.Contains(strings.Join(log.lines(), "\n"), "op=update") {
		t.Error("the update was logged")
	}
	var mistake *control.Mistake
	if _, err := call("loud"); !errors.As(err, &mistake) {
		t.Errorf("%v", err)
	}
	audit := auditLog(t, o.DataDir)
	if strings.Count(audit, "\n") != 1 || !strings.Contains(audit, `"action":"log-level"`) || !strings.Contains(audit, `"detail":"info to error"`) {
		t.Errorf("%s", audit)
	}
}

func TestProfilesByCommand(t *testing.T) {
	o := testOptions(t)
	start(t, o)
	c, err := control.Dial(t.Context(), o.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	get := func(name string, q ProfileQuestion) ([]byte, error) {
		r, err := control.Download(t.Context(), c, RequestProfile+name, q)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	for _, name := range []string{"heap", "allocs", "goroutine", "profile"} {
		b, err := get(name, ProfileQuestion{Seconds: 1})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		z, err := gzip.NewReader(bytes.NewReader(b)) // profiles are compressed
		if err == nil {
			_, err = io.Copy(io.Discard, z)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b, err := get("goroutine", ProfileQuestion{Text: true}); err != nil || !strings.Contains(string(b), "dnsserver.(*Server).tick") {
		t.Errorf("%.100s, %v", b, err)
	}
	var mistake *control.Mistake
	if _, err := get("profile", ProfileQuestion{Seconds: maxProfile + 1}); !errors.As(err, &mistake) {
		t.Errorf("%v", err)
	}
}
