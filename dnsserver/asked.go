package dnsserver

import (
	"context"
	"iter"
	"sync/atomic"

	"dialtone/dnsserver/control"
)

// What others who show a running server ask of it, as commands do over the socket. None
// of it changes anything.

// asker is nobody that the audit log would name.
var asker = control.Peer{UID: -1}

// Number tells all that is known of a number. An error that is a *control.Mistake can be
// corrected by who asks.
func (s *Server) Number(ctx context.Context, q NumberQuestion) (NumberInfo, error) {
	return s.commands.showNumber(ctx, asker, q)
}

// NumberHistory streams what a number had, the newest first.
func (s *Server) NumberHistory(ctx context.Context, q HistoryQuestion) iter.Seq2[HistoryItem, error] {
	return s.commands.numberHistory(ctx, asker, q)
}

// ZoneNames gives the zones that are served, at most so many.
func (s *Server) ZoneNames(most int) (names []string) {
	for _, z := range s.zones.All() {
		if len(names) == most {
			break
		}
		names = append(names, z.Apex().String())
	}
	return names
}

// Hit counts that a limit was reached.
func (s *Server) Hit(l Limit) { s.Counters.Limits.Hit(l) }

// WebCounters are those of the web page, which counts for itself.
type WebCounters struct {
	Connections, Streams, Sessions atomic.Int64
	Requests, Logins, LoginsFailed atomic.Uint64
}

// Web gives them.
func (s *Server) Web() *WebCounters { return &s.Counters.Web }

func (s *Server) collectWeb(e exporter) {
	w := &s.Counters.Web
	e.gauge("web_connections", "Open connections to the web page.", float64(w.Connections.Load()))
	e.gauge("web_streams", "Pages that are open and kept up to date.", float64(w.Streams.Load()))
	e.gauge("web_sessions", "Browsers that are logged in.", float64(w.Sessions.Load()))
	e.count("web_requests_total", "Requests to the web page.", w.Requests.Load())
	const logins = "Attempts to log in to the web page that were not held up, by result."
	e.count("web_logins_total", logins, w.Logins.Load(), "result", "ok")
	e.count("web_logins_total", logins, w.LoginsFailed.Load(), "result", "failed")
}
