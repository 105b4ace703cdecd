package web

import (
	"context"
	"crypto/tls"
	"errors"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"dialtone/dnsserver"
)

// Source is what the page shows: a running server.
type Source interface {
	Status() dnsserver.Status
	ZoneNames(most int) []string
	Number(ctx context.Context, q dnsserver.NumberQuestion) (dnsserver.NumberInfo, error)
	NumberHistory(ctx context.Context, q dnsserver.HistoryQuestion) iter.Seq2[dnsserver.HistoryItem, error]
	Hit(l dnsserver.Limit)
	Web() *dnsserver.WebCounters
}

// Options of Listen. Listen, Token and ParseNumber must be given.
type Options struct {
	Listen netip.AddrPort
	Token  string
	// Hosts are names by which browsers may reach the page, in lower case, beside addresses and localhost.
	Hosts []string
	TLS   *tls.Certificate // nil: HTTP without it
	// Connections and Streams are how many may be open (64 and 32). More are closed, or refused.
	Connections, Streams int
	// ParseNumber reads a number as people write it, into digits.
	ParseNumber func(text string) (string, error)
	Logger      *slog.Logger
}

// Server is the page's server.
type Server struct {
	o       Options
	hosts   map[string]bool
	log     *slog.Logger
	listen  net.Listener
	http    *http.Server
	assets  assets
	from    Source
	limits  limits
	session sessions
	shared  overview

	ctx    context.Context // of all requests; ends with Close
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

// Listen takes the address, so that one in use is told before anything else is
// begun. Who connects waits for Serve. Its error is a *dnsserver.BindError.
func Listen(ctx context.Context, o Options) (*Server, error) {
	if o.Connections <= 0 {
		o.Connections = 64
	}
	if o.Streams <= 0 {
		o.Streams = 32
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", o.Listen.String())
	if err != nil {
		return nil, &dnsserver.BindError{Failed: []dnsserver.BindFailure{{Proto: "web", Addr: o.Listen, Err: err}}}
	}
	s := &Server{o: o, log: o.Logger, listen: l, hosts: map[string]bool{"localhost": true}}
	for _, h := range o.Hosts {
		s.hosts[h] = true
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Addr is the address that was taken.
func (s *Server) Addr() netip.AddrPort { return s.listen.Addr().(*net.TCPAddr).AddrPort() }

// Serve begins to answer, in goroutines that end in Close.
func (s *Server) Serve(from Source) {
	s.from = from
	s.limits.init(from, s.o)
	s.session.init(s.o.Token, from)
	s.assets.init()
	s.http = &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: writeTime,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, BaseContext: func(net.Listener) context.Context { return s.ctx },
		ConnState: s.limits.connState, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	serve := s.http.Serve
	if s.o.TLS != nil {
		s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*s.o.TLS}, MinVersion: tls.VersionTLS12}
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	s.log.Info("the web page is served", "op", "start", "url", s.URL())
	s.ended.Go(func() {
		if err := serve(s.listen); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the web page is not served any more", "op", "web", "err", err)
		}
	})
}

// writeTime is how long a page, or a piece of a stream, may take to be taken.
const writeTime = 20 * time.Second

// URL is where the page is.
func (s *Server) URL() string {
	if s.o.TLS != nil {
		return "https://" + s.Addr().String() + "/"
	}
	return "http://" + s.Addr().String() + "/"
}

// Close ends all streams, waits a moment for what is being answered, and closes
// the address. It may be called without Serve, and twice.
func (s *Server) Close() {
	s.cancel()
	if s.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if s.http.Shutdown(ctx) != nil {
			s.http.Close()
		}
	}
	s.listen.Close()
	s.ended.Wait()
}

// handler is the way of every request.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/", s.assets.serve)
	mux.HandleFunc("GET /login", s.showLogin)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("GET /{$}", s.known(s.index))
	mux.HandleFunc("GET /history", s.known(s.historyPage))
	mux.HandleFunc("GET /events", s.known(s.events))
	mux.HandleFunc("GET /", s.known(s.nothing))
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.from.Web().Requests.Add(1)
		secure(w.Header(), s.o.TLS != nil)
		if !s.knowsHost(r.Host) {
			http.Error(w, "This page is not known by that name: ask for it by its address, or add the name to web.hosts.", http.StatusMisdirectedRequest)
			return
		}
		origin.Handler(mux).ServeHTTP(w, r)
	})
}

// secure sets what keeps a page to itself.
func secure(h http.Header, https bool) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
	if https {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// knowsHost tells whether a request names the page as it may be named. An address
// cannot be led elsewhere as a name can.
func (s *Server) knowsHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if _, err := netip.ParseAddr(trimBrackets(name)); err == nil {
		return true
	}
	return s.hosts[asciiLower(name)]
}

func trimBrackets(s string) string {
	if len(s) > 1 && s[0] == '[' && s[len(s)-1] == ']' {
		return s[1 : len(s)-1]
	}
	return s
}

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}
