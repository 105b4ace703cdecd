package dnsserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// metricsServer serves /metrics, /healthz and /readyz over HTTP, from before zones are loaded to the end of
// Shutdown. A nil *metricsServer is one that is off.
type metricsServer struct {
	l     net.Listener
	http  *http.Server
	ended chan struct{} // closed when run has ended; nil before run
	log   *slog.Logger
}

func listenMetrics(ctx context.Context, s *Server) (*metricsServer, error) {
	addr := s.opts.MetricsListen
	if !addr.IsValid() {
		return nil, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr.String())
	if err != nil {
		return nil, &BindError{Failed: []BindFailure{{"metrics", addr, err}}}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry(), promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes,
		// One metric that is wrong must not take the others away.
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelError),
	}))
	s.serveHealth(mux)
	return &metricsServer{l: netutil.LimitListener(l, maxMetricsConns), log: s.log, http: &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}}, nil
}

// Bounds of what those cost who look at the server: connections, and scrapes at one time.
const maxMetricsConns, maxScrapes = 64, 4

// registry is all that is exported.
func (s *Server) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(s, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(s.instruments.all...)
	return r
}

func (m *metricsServer) addr() netip.AddrPort {
	if m == nil {
		return netip.AddrPort{}
	}
	return m.l.Addr().(*net.TCPAddr).AddrPort()
}

// run serves until close.
func (m *metricsServer) run() {
	if m == nil {
		return
	}
	m.ended = make(chan struct{})
	m.log.Info("metrics are served", "op", "start", "listen", m.addr())
	go func() {
		defer close(m.ended)
		if err := m.http.Serve(m.l); !errors.Is(err, http.ErrServerClosed) {
			m.log.Error("metrics failed", "op", "metrics", "err", err)
		}
	}()
}

// failed tells whether it has ended though nobody closed it.
func (m *metricsServer) failed() bool {
	if m == nil || m.ended == nil {
		return false
	}
	select {
	case <-m.ended:
		return true
	default:
		return false
	}
}

func (m *metricsServer) close() {
	if m == nil {
		return
	}
	m.http.Close()
	m.l.Close()
	if m.ended != nil {
		<-m.ended
	}
}
