package dnsserver

import (
	"strconv"
	"strings"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"dialtone/zone"
)

// namespace is what all names of metrics begin with.
const namespace = "dialtone"

// Describe sends nothing: the metrics are made from counters when they are asked for.
func (s *Server) Describe(chan<- *prometheus.Desc) {}

// Collect makes a Server a prometheus.Collector.
func (s *Server) Collect(out chan<- prometheus.Metric) {
	e := exporter{out}
	e.gauge("build_info", "1, with the version as a label.", 1, "version", strings.TrimPrefix(s.opts.Version, "dialtone "))
	ready := 0.0
	if s.readiness().Ready {
		ready = 1
	}
	e.gauge("ready", "1 while /readyz says so: the server serves, and its store takes commits.", ready)
	if s.phase.now.Load() == phaseStarting {
		return // what follows is still being made
	}
	s.collectMessages(e)
	s.collectQueries(e)
	s.collectUpdates(e)
	s.collectTransfers(e)
	s.collectZones(e)
	s.collectStore(e)
	s.collectKeys(e)
	s.collectBackups(e)
	s.collectLimits(e)
	s.collectRateLimit(e)
	s.collectLevels(e)
	s.collectWatched(e)
	s.collectWeb(e)
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
	e.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(namespace+"_"+name, help, names, nil), kind, v, values...)
}

func rcodeName(i int) string {
	if i == dns.RcodeBadVers { // the other name of 16 is for TSIG alone, where it is in no header
		return "BADVERS"
	}
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
	e.count("updates_unneeded_total", "Successful updates that changed nothing.", c.UpdatesUnneeded.Load())
	e.count("updates_denied_total", "Updates refused before they came into a queue: by the access list, for their signature, or for a limit.", c.UpdateDenied.Load())
	e.gauge("updates_sources_remembered", "Signed updates that took their source address and are taken from no other.", float64(s.sources.remembered()))
	e.gauge("updates_senders_remembered", "Keys and sources whose rates are known, of 65536 at most; none while there are no rates.", float64(s.senders.remembered()))
	answers, repeated := s.answered.remembered()
	e.gauge("updates_answers_remembered", "Answers to signed updates that a message sent again would get.", float64(answers))
	e.count("updates_repeated_total", "Signed updates that were sent again and got the first answer.", repeated)
	const failed = "Updates answered SERVFAIL, by reason."
	full := c.Limits.Of(LimitUpdateQueue) + c.Limits.Of(LimitUpdateQueueShare) + c.Limits.Of(LimitUpdateQueueTotal)
	e.count("updates_failed_total", failed, full, "reason", "queue_full")
	e.count("updates_failed_total", failed, c.UpdateStoreDown.Load(), "reason", "store")
}

func (s *Server) collectTransfers(e exporter) {
	e.gauge("transfers_active", "Transfers that are being sent.", float64(s.transferServer.Counters.Active.Load()))
	e.gauge("notify_pending", "Secondaries that are not known to have the newest serial of a zone, each zone counted.", float64(s.notifier.Counters.Pending.Load()))
	for addr, t := range s.notifier.Targets() {
		secondary := addr.String()
		e.count("notify_sent_total", "NOTIFY messages sent.", t.Sent.Load(), "secondary", secondary)
		e.count("notify_answered_total", "Replies that ended a NOTIFY.", t.Answered.Load(), "secondary", secondary)
		e.count("notify_failed_total", "NOTIFY messages without a good reply.", t.Missed.Load(), "secondary", secondary)
		e.count("notify_given_up_total", "Zones of which a secondary missed every try, until the next change.", t.GivenUp.Load(), "secondary", secondary)
	}
}

func (s *Server) collectStore(e exporter) {
	size, err := s.store.Size()
	if err != nil {
		return // it is closed
	}
	const help = "Octets of the store's files: tables of Badger's LSM tree, write-ahead logs, and the value log, which stays empty."
	e.gauge("store_size_bytes", help, float64(size.Tables), "part", "lsm")
	e.gauge("store_size_bytes", help, float64(size.Logs), "part", "wal")
	e.gauge("store_size_bytes", help, float64(size.Values), "part", "vlog")
	failed := 0.0
	if s.store.Failed() != nil {
		failed = 1
	}
	e.gauge("store_failed", "1 while the store takes no commits because the disk failed.", failed)
	if free, reserve, ok := s.store.Space(); ok {
		e.gauge("store_free_bytes", "Octets that are free on the file system of the data directory.", float64(free))
		e.gauge("store_reserve_bytes", "Octets that must be free there for a commit.", float64(reserve))
	}
}

// otherZones is the zone of metrics for all zones that have none of their own.
const otherZones = "other"

// zoneFigures are what is told of one zone, or of those together that have no metrics of their own.
type zoneFigures struct {
	names                        int
	octets, journal, leaseOctets int64
	commits, gathered, ended     uint64
	leased, queued               int
	failed, frozen               int
	updates                      ruleTally
}

// collectZones gives metrics to as many zones as Options.MetricsZones, in the order of their names; what is
// more is counted together.
func (s *Server) collectZones(e exporter) {
	r := zone.NewReader()
	defer r.Close()
	zones := s.zones.All()
	var rest *zoneFigures
	for i, z := range zones {
		own := zoneFigures{}
		f := &own
		if i >= s.opts.MetricsZones {
			if rest == nil {
				rest = new(zoneFigures)
			}
			f = rest
		}
		r.Begin()
		v := z.View()
		serial := v.Serial()
		names, octets := v.Size()
		r.End()
		f.add(z, names, octets)
		if served := s.zoneOf(z.Apex()); served != nil {
			f.updates.sum(served.updates)
		}
		if f == &own {
			apex := z.Apex().String()
			e.gauge("zone_serial", "Serial of the zone.", float64(serial), "zone", apex)
			f.collect(e, apex)
		}
	}
	if rest != nil {
		rest.collect(e, otherZones)
	}
	e.gauge("zones", "Zones that are served.", float64(len(zones)))
	s.unzoned.collect(e, "")
	s.collectSecondaries(e, r, zones[:min(len(zones), s.opts.MetricsZones)])
}

// collectSecondaries tells how far the notify targets are behind, as far as it is known.
func (s *Server) collectSecondaries(e exporter, r *zone.Reader, zones []*zone.Zone) {
	for _, x := range s.secondaries(r, zones, s.opts.Now()) {
		if !x.Target || x.State == SecondaryUnknown {
			continue
		}
		labels := []string{"zone", x.Zone, "secondary", x.Address, "key", x.Key}
		e.gauge("secondary_behind_serials", "Serials by which the copy of a notify target is behind; 0: it is current. Absent while it is not known what it has.", float64(x.Serials), labels...)
		e.gauge("secondary_behind_seconds", "For how long there has been a newer version than the one that a notify target is known to have.", x.Seconds, labels...)
	}
}

func (f *zoneFigures) add(z *zone.Zone, names int, octets int64) {
	f.names += names
	f.octets += octets
	f.commits += z.Commits.Load()
	f.gathered += z.Gathered.Load()
	leased, size := z.Leased()
	f.leased += leased
	f.leaseOctets += size
	f.ended += z.LeasesEnded()
	if m, err := z.Stored(); err == nil {
		f.journal += m.JournalSize
	}
	f.queued += z.QueueLen()
	if z.Failed() != nil {
		f.failed = 1
	}
	if _, frozen := z.Frozen(); frozen {
		f.frozen = 1
	}
}

func (f *zoneFigures) collect(e exporter, zone string) {
	e.gauge("zone_names", "Names with data.", float64(f.names), "zone", zone)
	e.gauge("zone_bytes", "Octets of an uncompressed transfer, roughly.", float64(f.octets), "zone", zone)
	e.gauge("zone_journal_bytes", "Octets of the history that is kept for incremental transfers.", float64(f.journal), "zone", zone)
	e.gauge("zone_update_queue_length", "Updates that wait for the zone's writer: update_queue bounds them.", float64(f.queued), "zone", zone)
	e.count("zone_commits_total", "Commits of the zone: each is one sync, and one serial unless it changes leases only.", f.commits, "zone", zone)
	e.count("zone_commits_gathered_total", "Batches of updates that commit_interval made wait for more.", f.gathered, "zone", zone)
	e.gauge("zone_leases", "Numbers with a lease, or with a key that has signed.", float64(f.leased), "zone", zone)
	e.gauge("zone_leases_bytes", "Memory that they take.", float64(f.leaseOctets), "zone", zone)
	e.count("zone_leases_ended_total", "Numbers whose lease ended.", f.ended, "zone", zone)
	e.gauge("zone_failed", "1 while the zone refuses updates because the store cannot commit.", float64(f.failed), "zone", zone)
	e.gauge("zone_frozen", "1 while an operator keeps the zone from changing: see dialtone zone freeze.", float64(f.frozen), "zone", zone)
	f.updates.collect(e, zone)
}
