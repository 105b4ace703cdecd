package dnsserver

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dialtone/zone"
)

// metricsServer serves /metrics over HTTP. A nil *metricsServer is one that is off.
type metricsServer struct {
	l     net.Listener
	http  *http.Server
	ended chan struct{} // closed when run has ended; nil before run
	log   func(msg string, args ...any)
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
	registry := prometheus.NewRegistry()
	registry.MustRegister(s)
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return &metricsServer{l: l, log: s.log.Error, http: &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
	}}, nil
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
	go func() {
		defer close(m.ended)
		if err := m.http.Serve(m.l); !errors.Is(err, http.ErrServerClosed) {
			m.log("metrics failed", "op", "metrics", "err", err)
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

// Describe sends nothing: the metrics are made from counters when they are asked for.
func (s *Server) Describe(chan<- *prometheus.Desc) {}

// Collect makes a Server a prometheus.Collector.
func (s *Server) Collect(out chan<- prometheus.Metric) {
	e := exporter{out}
	s.collectMessages(e)
	s.collectUpdates(e)
	s.collectTransfers(e)
	s.collectZones(e)
	s.collectKeys(e)
	s.collectLimits(e)
	s.collectLevels(e)
}

// exporter turns numbers into metrics.
type exporter struct{ out chan<- prometheus.Metric }

func (e exporter) count(name, help string, n uint64, labels ...string) {
	e.send(prometheus.CounterValue, name, help, float64(n), labels)
}

func (e exporter) gauge(name, help string, v float64, labels ...string) {
	e.send(prometheus.GaugeValue, name, help, v, labels)
}

// send takes labels as name, value, name, value...
func (e exporter) send(kind prometheus.ValueType, name, help string, v float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	e.out <- prometheus.MustNewConstMetric(prometheus.NewDesc("dialtone_"+name, help, names, nil), kind, v, values...)
}

func rcodeName(i int) string {
	if name, ok := dns.RcodeToString[i]; ok {
		return name
	}
	return strconv.Itoa(i)
}

func (s *Server) collectMessages(e exporter) {
	c := &s.Counters
	const messages = "Messages read."
	e.count("messages_total", messages, c.UDPMessages.Load(), "proto", "udp")
	e.count("messages_total", messages, c.TCPMessages.Load(), "proto", "tcp")
	e.count("messages_dropped_total", "Messages that must not be answered.", c.Dropped.Load())
	for i := range c.Replies {
		if n := c.Replies[i].Load(); n > 0 {
			e.count("replies_total", "Replies other than to updates, by the lower four bits of RCODE.", n, "rcode", rcodeName(i))
		}
	}
	var sendErrors, batches uint64
	for _, l := range s.listeners {
		for _, sock := range l.sockets {
			sendErrors += sock.SendErrors.Load()
			batches += sock.Batches.Load()
		}
	}
	e.count("udp_send_errors_total", "UDP replies that the kernel refused to send.", sendErrors)
	e.count("udp_batches_total", "Reads that gave at least one datagram.", batches)
	e.count("tsig_failed_total", "Requests whose TSIG was refused.", c.TSIGFailed.Load())
	e.count("sig0_failed_total", "Updates whose SIG(0) was refused.", c.SIG0Failed.Load())
	e.count("sig0_verified_total", "Signatures of SIG(0) that were verified, right or wrong: key_verifications bounds them.", c.KeysVerified.Load())
	e.count("notify_refused_total", "NOTIFY messages sent to this server.", c.NotifyRefused.Load())
	e.gauge("tcp_connections", "Open TCP connections.", float64(c.TCPOpen.Load()))
	e.count("tcp_accepted_total", "TCP connections opened.", c.TCPAccepted.Load())
	e.count("tcp_accept_errors_total", "Failures to accept a TCP connection.", c.AcceptErrors.Load())
	const closed = "TCP connections closed by this server, by reason."
	e.count("tcp_closed_total", closed, c.TCPRefused.Load(), "reason", "limit")
	e.count("tcp_closed_total", closed, c.TCPEvicted.Load(), "reason", "evicted")
	e.count("tcp_closed_total", closed, c.TCPIdle.Load(), "reason", "idle")
	e.count("tcp_closed_total", closed, c.TCPStalled.Load(), "reason", "stalled")
}

func (s *Server) collectUpdates(e exporter) {
	c := &s.Counters
	for i := range c.Updates {
		if n := c.Updates[i].Load(); n > 0 || i == dns.RcodeSuccess {
			e.count("updates_total", "Updates answered, by RCODE.", n, "rcode", rcodeName(i))
		}
	}
	e.count("updates_unneeded_total", "Successful updates that changed nothing.", c.UpdatesUnneeded.Load())
	e.count("updates_denied_total", "Updates refused by the access list.", c.UpdateDenied.Load())
	e.gauge("updates_sources_remembered", "Signed updates that took their source address and are taken from no other.", float64(s.sources.remembered()))
	answers, repeated := s.answered.remembered()
	e.gauge("updates_answers_remembered", "Answers to signed updates that a message sent again would get.", float64(answers))
	e.count("updates_repeated_total", "Signed updates that were sent again and got the first answer.", repeated)
	const failed = "Updates answered SERVFAIL, by reason."
	e.count("updates_failed_total", failed, c.Limits.Of(LimitUpdateQueue), "reason", "queue_full")
	e.count("updates_failed_total", failed, c.UpdateStoreDown.Load(), "reason", "store")
}

func (s *Server) collectTransfers(e exporter) {
	e.count("transfers_denied_total", "Transfers refused by the access list.", s.Counters.TransferDenied.Load())
	if s.transferServer == nil {
		return // the server is still starting
	}
	t := &s.transferServer.Counters
	e.gauge("transfers_active", "Transfers that are being sent.", float64(t.Active.Load()))
	const sent = "Transfers sent to the end, by style."
	e.count("transfers_total", sent, t.Full.Load(), "style", "full")
	e.count("transfers_total", sent, t.Incremental.Load(), "style", "incremental")
	e.count("transfers_total", sent, t.Single.Load(), "style", "single")
	e.count("transfers_busy_total", "Transfers refused because too many were running.", t.Busy.Load())
	e.count("transfers_cut_total", "Transfers begun and not ended.", t.Cut.Load())
	n := &s.notifier.Counters
	e.gauge("notify_pending", "Secondaries that are not known to have the newest serial.", float64(n.Pending.Load()))
	e.count("notify_sent_total", "NOTIFY messages sent.", n.Sent.Load())
	e.count("notify_answered_total", "Replies that ended a NOTIFY.", n.Answered.Load())
	e.count("notify_missed_total", "NOTIFY messages without a good reply.", n.Missed.Load())
	e.count("notify_given_up_total", "Secondaries that missed every try.", n.GivenUp.Load())
}

func (s *Server) collectZones(e exporter) {
	r := zone.NewReader()
	defer r.Close()
	for _, z := range s.zones.All() {
		apex := z.Apex().String()
		r.Begin()
		v := z.View()
		serial := v.Serial()
		names, size := v.Size()
		r.End()
		e.gauge("zone_serial", "Serial of the zone.", float64(serial), "zone", apex)
		e.gauge("zone_names", "Names with data.", float64(names), "zone", apex)
		e.gauge("zone_octets", "Octets of an uncompressed transfer, roughly.", float64(size), "zone", apex)
		e.count("zone_commits_total", "Commits of the zone: each is one sync, and one serial unless it changes leases only.", z.Commits.Load(), "zone", apex)
		e.count("zone_commits_gathered_total", "Batches of updates that commit_interval made wait for more.", z.Gathered.Load(), "zone", apex)
		leased, octets := z.Leased()
		e.gauge("zone_leases", "Numbers with a lease, or with a key that has signed.", float64(leased), "zone", apex)
		e.gauge("zone_leases_octets", "Memory that they take.", float64(octets), "zone", apex)
		e.count("zone_leases_ended_total", "Numbers whose lease ended.", z.LeasesEnded(), "zone", apex)
		failed := 0.0
		if z.Failed() != nil {
			failed = 1
		}
		e.gauge("zone_failed", "1 while the zone refuses updates because the store cannot commit.", failed, "zone", apex)
	}
}
