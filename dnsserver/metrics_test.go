package dnsserver

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"dialtone/zone/rr"
)

func withMetrics(t *testing.T) Options {
	o := testOptions(t)
	o.MetricsListen = netip.MustParseAddrPort("127.0.0.1:0")
	return o
}

// doEverything makes each kind of metric have a value.
func doEverything(t *testing.T, s *Server) {
	to := s.Addrs()[0]
	for _, proto := range []string{"udp", "tcp"} {
		ask(t, proto, to, query("100."+apex, dns.TypeA))
		ask(t, proto, to, query("100."+apex, dns.TypeCAA))
		ask(t, proto, to, query("none."+apex, dns.TypeAAAA))
	}
	ask(t, "udp", to, insert("m."+apex+" 60 A 192.0.2.1"))
	ask(t, "udp", to, signed(insert("m."+apex+" 60 A 192.0.2.1")))
	ask(t, "udp", to, new(dns.Msg).SetUpdate("example."))
	transferOf(t, to, new(dns.Msg).SetAxfr(apex))
	for testutil.ToFloat64(s.instruments.transfers.WithLabelValues("axfr", "full")) == 0 {
		runtime.Gosched() // the client has all of it a moment before
	}
	ask(t, "udp", to, new(dns.Msg).SetAxfr("example."))
	ask(t, "udp", to, new(dns.Msg).SetNotify(apex))
	m := query(apex, dns.TypeSOA)
	m.SetEdns0(1232, false)
	m.IsEdns0().SetVersion(1)
	ask(t, "udp", to, m)
}

func TestMetricsAreWellFormed(t *testing.T) {
	o := withMetrics(t)
	o.Zones[0].Notify = []NotifyTarget{{Addr: netip.MustParseAddrPort("127.0.0.1:1")}}
	s, _ := start(t, o)
	doEverything(t, s)
	problems, err := testutil.GatherAndLint(s.registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestQueriesAreCountedByTransportTypeAndRcode(t *testing.T) {
	s, _ := start(t, withMetrics(t))
	doEverything(t, s)
	wantMetrics(t, s,
		`dialtone_queries_total{proto="udp",rcode="NOERROR",type="A"} 1`,
		`dialtone_queries_total{proto="tcp",rcode="NOERROR",type="A"} 1`,
		`dialtone_queries_total{proto="udp",rcode="NOERROR",type="other"} 1`,
		`dialtone_queries_total{proto="tcp",rcode="NXDOMAIN",type="AAAA"} 1`,
		`dialtone_queries_total{proto="udp",rcode="BADVERS",type="SOA"} 1`,
		`dialtone_queries_total{proto="udp",rcode="NOTAUTH",type="AXFR"} 1`,
		`dialtone_queries_total{proto="udp",rcode="REFUSED",type="none"} 1`,
	)
}

func TestUpdatesAreCountedByRule(t *testing.T) {
	s, _ := start(t, withMetrics(t))
	doEverything(t, s)
	wantMetrics(t, s,
		`dialtone_updates_total{rcode="NOERROR",rule="acl[0]",zone="phones.example."} 1`,
		`dialtone_updates_total{rcode="REFUSED",rule="none",zone="phones.example."} 1`,
		`dialtone_updates_total{rcode="NOTAUTH",rule="none",zone=""} 1`,
		`dialtone_update_duration_seconds_count 3`,
		`dialtone_commit_updates_sum 1`,
		`dialtone_commit_duration_seconds_count 1`,
		`dialtone_transfers_total{kind="axfr",result="full"} 1`,
		`dialtone_transfers_total{kind="axfr",result="refused"} 1`,
		`dialtone_transfers_total{kind="ixfr",result="cut"} 0`,
		`dialtone_store_size_bytes{part="wal"}`,
		`dialtone_zone_journal_bytes{zone="phones.example."}`,
		`process_resident_memory_bytes`, `go_goroutines`, `dialtone_ready 1`,
	)
}

// Zones beyond Options.MetricsZones count together.
func TestZonesWithoutMetricsOfTheirOwn(t *testing.T) {
	o := withMetrics(t)
	o.MetricsZones = 1
	for _, name := range []string{"x", "y"} {
		z := o.Zones[0]
		z.Apex = rr.MustName(name + ".example.")
		o.Zones = append(o.Zones, z)
	}
	s, _ := start(t, o)
	wantMetrics(t, s, `dialtone_zone_names{zone="other"} 8`, `dialtone_zones 3`)
	var n int
	families, err := s.registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "dialtone_zone_serial" {
			n = len(f.GetMetric())
		}
	}
	if n != 1 {
		t.Errorf("%d zones have metrics of their own", n)
	}
}

func TestOneInSixteenBatchesIsTimed(t *testing.T) {
	s, _ := start(t, withMetrics(t))
	c := dial(t, "tcp", s.Addrs()[0])
	for range 4 * querySample {
		write(t, c, query("100."+apex, dns.TypeA))
		read(t, c)
		ask(t, "udp", s.Addrs()[0], query("100."+apex, dns.TypeA))
	}
	families, err := s.registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "dialtone_query_duration_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			n := m.GetHistogram().GetSampleCount()
			// Datagrams go to either of two readers.
			if low := 3 - uint64(len(s.tallies)); n < low || n > 4 {
				t.Errorf("%v: %d samples of %d queries", m.GetLabel(), n, 4*querySample)
			}
		}
	}
}

// The time of a batch is taken on the path of answers.
func TestTimingABatchAllocatesNothing(t *testing.T) {
	var i instruments
	i.init()
	if n := testing.AllocsPerRun(100, func() { i.batchAnswered(64, 100*time.Microsecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
