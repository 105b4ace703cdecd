package dnsserver

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// health asks for /healthz or /readyz.
func health(t *testing.T, at netip.AddrPort, path string) (status int, r readiness) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + at.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("%s is %q", path, kind)
	}
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		t.Error(err)
	}
	return resp.StatusCode, r
}

func wantUnready(t *testing.T, at netip.AddrPort, reason, zone string) {
	t.Helper()
	status, r := health(t, at, "/readyz")
	if status != http.StatusServiceUnavailable || r.Ready || len(r.Reasons) != 1 || r.Reasons[0].Reason != reason || r.Reasons[0].Zone != zone || r.Reasons[0].Detail == "" {
		t.Errorf("%d %+v, want not ready for %s %s", status, r, reason, zone)
	}
	if status, _ := health(t, at, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
}

func wantReady(t *testing.T, at netip.AddrPort) {
	t.Helper()
	if status, r := health(t, at, "/readyz"); status != http.StatusOK || !r.Ready || len(r.Reasons) != 0 {
		t.Errorf("%d %+v, want ready", status, r)
	}
}

// addrHandler notes where metrics are served.
type addrHandler struct {
	slog.Handler
	at *atomic.Pointer[netip.AddrPort]
}

func (h addrHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h addrHandler) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if at, ok := a.Value.Any().(netip.AddrPort); ok && strings.HasPrefix(r.Message, "metrics") {
			h.at.Store(&at)
		}
		return true
	})
	return nil
}

func TestReadyFromTheStartToTheEnd(t *testing.T) {
	o := withMetrics(t)
	var at atomic.Pointer[netip.AddrPort]
	o.Logger = slog.New(addrHandler{slog.DiscardHandler, &at})
	starts := 0
	o.Progress = func(Progress) {
		if starts++; starts == 1 {
			wantUnready(t, *at.Load(), "starting", "")
			resp, err := http.Get("http://" + at.Load().String() + "/metrics")
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("metrics during the start: %v, %v", resp, err)
			}
			http.DefaultClient.CloseIdleConnections()
		}
	}
	s, stop := start(t, o)
	if starts == 0 {
		t.Error("nothing was seen of the start")
	}
	wantReady(t, s.MetricsAddr())
	release := hold(t, s)
	waiting := dial(t, "tcp", s.Addrs()[0])
	write(t, waiting, insert("w."+apex+" 60 A 192.0.2.1"))
	write(t, waiting, query("100."+apex, dns.TypeA))
	read(t, waiting) // so the update before it is in the queue
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	for s.phase.now.Load() != phaseStopping {
		runtime.Gosched()
	}
	wantUnready(t, s.MetricsAddr(), "stopping", "")
	release()
	<-stopped
}

func TestNotReadyWhileTheStoreCannotCommit(t *testing.T) {
	o := withMetrics(t)
	var fails atomic.Bool
	o.failCommit = func() error {
		if fails.Load() {
			return errors.New("the disk is gone")
		}
		return nil
	}
	s, _ := start(t, o)
	fails.Store(true)
	ask(t, "udp", s.Addrs()[0], insert("w."+apex+" 60 A 192.0.2.1"))
	wantUnready(t, s.MetricsAddr(), "store", apex)
	wantMetrics(t, s, "dialtone_ready 0")
	fails.Store(false)
	for s.zones.All()[0].Failed() != nil {
		runtime.Gosched()
	}
	wantReady(t, s.MetricsAddr())
}
