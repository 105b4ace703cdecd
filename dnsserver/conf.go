package dnsserver

import (
	"log/slog"
	"net/netip"
	"time"

	"dialtone/dnsserver/answer"
	"dialtone/dnsserver/tap"
	"dialtone/dnsserver/transfer"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// What can be changed while the server runs hangs on one pointer, and is replaced as a whole: who takes it once sees
// one configuration. An update keeps the one that it was authorised by to its end.

// fixed is what a running server does not change.
type fixed struct {
	DataDir       string
	Version       string
	MetricsListen netip.AddrPort
	MetricsZones  int
	Logger        *slog.Logger
	LogLevel      *slog.LevelVar
	QuerySample   int
	Tap           *tap.Options
	Now           func() time.Time
	Progress      func(Progress)
	Reread        func(apply func(Options) (Reloaded, error)) (Reloaded, error)

	failCommit func() error
	buildFrom  int64
}

// conf is what a reload replaces. It is never changed.
type conf struct {
	Options                           // with defaults
	ownSecret bool                    // CookieSecrets are none of the configuration's
	byApex    map[rr.Name]*servedZone // by the apex in lower case
	responder *answer.Responder       // the answer path takes it once a batch
}

// conf gives the configuration that is in force.
func (s *Server) conf() *conf { return s.current.Load() }

// newServer is a server that holds nothing yet.
func newServer(o Options) *Server {
	c := newConf(o)
	o = c.Options
	s := &Server{zones: zone.NewZones(), built: map[rr.Name]*zone.Loaded{}, log: o.Logger}
	s.opts = fixed{
		DataDir: o.DataDir, Version: o.Version, MetricsListen: o.MetricsListen, MetricsZones: o.MetricsZones, Logger: o.Logger,
		LogLevel: o.LogLevel, QuerySample: o.QuerySample, Tap: o.Tap, Now: o.Now, Progress: o.Progress,
		Reread: o.Reread, failCommit: o.failCommit, buildFrom: o.buildFrom,
	}
	s.current.Store(c)
	s.instruments.init()
	return s
}

func newConf(o Options) *conf {
	return &conf{Options: o.withDefaults(), ownSecret: len(o.CookieSecrets) == 0, byApex: map[rr.Name]*servedZone{}}
}

func (s *Server) newResponder(c *conf) *answer.Responder {
	r := answer.New(answer.Options{
		Zones: s.zones, ServerID: c.ServerID, Version: s.opts.Version, MaxUDP: c.Limits.UDPSize, TCPIdle: c.Limits.TCPIdle,
		CookieSecrets: c.CookieSecrets,
	})
	r.SetTime(s.opts.Now())
	return r
}

func (s *Server) transferOptions(c *conf) transfer.Options {
	return transfer.Options{
		Transfers: c.Limits.Transfers, TransfersPerAddress: c.Limits.TransfersPerAddress,
		MaxUDP: c.Limits.UDPSize, ServerID: c.ServerID, Logger: s.log, Yield: s.yield,
	}
}

// notifySecondaries has the secondaries of a zone told from now on.
func (s *Server) notifySecondaries(z *servedZone) {
	if len(z.o.Notify) > 0 && !z.told {
		z.told = true
		z.z.OnPublish(s.notifier.Published)
	}
	if z.told {
		s.notifier.Replace(z.z, targets(z.o.Notify))
	}
}

func targets(list []NotifyTarget) []transfer.Target {
	out := make([]transfer.Target, len(list))
	for i, t := range list {
		out[i] = transfer.Target{Addr: t.Addr, Key: t.Key}
	}
	return out
}
