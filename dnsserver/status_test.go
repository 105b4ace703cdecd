package dnsserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/dnsserver/transfer"
)

func TestStatus(t *testing.T) {
	o := testOptions(t)
	o.Version = "dialtone 1"
	o.MetricsListen = netip.MustParseAddrPort("127.0.0.1:0")
	s, stop := start(t, o)
	for _, n := range []string{"5551234", "5551235"} {
		if m := ask(t, "udp", s.Addrs()[0], insert(n+"."+apex+" 60 A 192.0.2.1")); m.Rcode != dns.RcodeSuccess {
			t.Fatal(m)
		}
	}
	c := command(t, o)
	st, err := control.Call[Status](t.Context(), c, RequestStatus, StatusQuestion{})
	if err != nil {
		t.Fatal(err)
	}
	if st.Version != o.Version || st.PID != os.Getpid() || st.DataDir != o.DataDir || len(st.Listen) != 1 || st.Listen[0] != s.Addrs()[0] ||
		st.Metrics == nil || *st.Metrics != s.MetricsAddr() || st.Uptime <= 0 {
		t.Errorf("%+v", st)
	}
	if st.Sync == nil || st.Sync.Took <= 0 || st.Disk == nil || st.Disk.Free <= 0 || st.Disk.Reserve <= 0 {
		t.Errorf("sync %+v, disk %+v", st.Sync, st.Disk)
	}
	if st.Rates.Updates.Total != 2 || st.Rates.Syncs.Total < 2 {
		t.Errorf("%+v", st.Rates)
	}
	if st.ZonesTotal != 1 || len(st.Zones) != 1 || st.Numbers != 3 || st.FaultsTotal != 0 || len(st.Limits) != 0 || st.SecondariesTotal != 0 {
		t.Fatalf("%+v", st)
	}
	z := st.Zones[0]
	if z.Zone != apex || z.Serial != 3 || z.Numbers != 3 || z.Names != 6 || z.JournalEntries != 2 || z.JournalFrom != 1 || z.Journal <= 0 ||
		z.Changed.IsZero() || z.Committed.IsZero() || z.Queue != 0 || z.Leases != 0 {
		t.Errorf("%+v", z)
	}
	if _, err := control.Call[Status](t.Context(), c, RequestStatus, StatusQuestion{Zone: "other.example."}); err == nil || !strings.Contains(err.Error(), "not served here") {
		t.Errorf("another zone: %v", err)
	}
	if st, err := control.Call[Status](t.Context(), c, RequestStatus, StatusQuestion{Zone: "PHONES.example"}); err != nil || st.ZonesTotal != 1 {
		t.Errorf("the zone: %+v, %v", st, err)
	}
	stop()
	var mistake *control.Mistake
	if _, err := control.Call[Status](t.Context(), command(t, o), RequestStatus, StatusQuestion{}); !errors.As(err, &mistake) {
		t.Errorf("without a server: %v", err)
	}
}

// An empty list is a list: who reads JSON wants to count.
func TestStatusHasLists(t *testing.T) {
	s, _ := start(t, testOptions(t))
	text, err := json.Marshal(s.Status())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"secondaries":[]`, `"senders":[]`, `"limits":[]`, `"faults":[]`, `"queries_each":[`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestStatusTellsFaults(t *testing.T) {
	var broken atomic.Bool
	o := testOptions(t)
	o.failCommit = func() error {
		if broken.Load() {
			return errors.New("the disk is gone")
		}
		return nil
	}
	s, _ := start(t, o)
	if st := s.Status(); st.FaultsTotal != 0 {
		t.Fatalf("%+v", st.Faults)
	}
	broken.Store(true)
	if m := ask(t, "udp", s.Addrs()[0], insert("5551234."+apex+" 60 A 192.0.2.1")); m.Rcode != dns.RcodeServerFailure {
		t.Fatal(m)
	}
	if err := os.Remove(filepath.Join(o.DataDir, control.SocketName)); err != nil {
		t.Fatal(err)
	}
	st := s.Status()
	if st.FaultsTotal != 2 || st.Faults[0].Kind != FaultStore || st.Faults[0].Zone != apex || st.Faults[0].Since.IsZero() ||
		!strings.Contains(st.Faults[0].Text, "the disk is gone") || st.Faults[1].Kind != FaultSocket || st.Zones[0].Fault == "" {
		t.Errorf("%+v", st.Faults)
	}
}

func TestStatusTellsLimits(t *testing.T) {
	o := testOptions(t)
	o.Limits.UpdateQueue = 1
	s, _ := start(t, o)
	release := hold(t, s)
	waiting := dial(t, "tcp", s.Addrs()[0])
	write(t, waiting, insert("w."+apex+" 60 A 192.0.2.1"))
	write(t, waiting, query("100."+apex, dns.TypeA))
	read(t, waiting)
	if m := ask(t, "udp", s.Addrs()[0], insert("x."+apex+" 60 A 192.0.2.1")); m.Rcode != dns.RcodeServerFailure {
		t.Fatal(m)
	}
	st := s.Status()
	if st.Queue.Updates != 1 || st.Queue.Fullest != apex || st.Queue.InIt != 1 || st.Queue.Limit != 1 || st.TCP.Used != 1 {
		t.Errorf("%+v", st.Queue)
	}
	if len(st.Limits) != 1 || st.Limits[0].Limit != "update_queue" || st.Limits[0].Total != 1 || st.Limits[0].Minute != 1 {
		t.Errorf("%+v", st.Limits)
	}
	release()
	read(t, waiting)
}

func TestStatusTellsWhoUpdatesMost(t *testing.T) {
	o := testOptions(t)
	now := time.Now()
	o.Now = func() time.Time { return now }
	s, _ := start(t, o)
	to := s.Addrs()[0]
	for i := range 100 {
		ask(t, "udp", to, insert(fmt.Sprintf("w.%s 60 A 192.0.2.%d", apex, i)))
	}
	for range 70 {
		ask(t, "tcp", to, new(dns.Msg).SetUpdate("example."))
	}
	for i := range 80 {
		ask(t, "udp", to, signed(insert(fmt.Sprintf("%s 60 A 192.0.2.%d", keyName, i))))
	}
	wrong := dns.Client{TsigSecret: map[string]string{keyName: "d3Jvbmc="}, Timeout: 10 * time.Second}
	for range 5 {
		if reply, _, err := wrong.Exchange(signed(insert("x."+apex+" 60 A 192.0.2.1")), to.String()); reply == nil {
			t.Fatal(err)
		}
	}
	want := []SenderStatus{{"", "127.0.0.1", 175, 75}, {keyName, "127.0.0.1", 80, 0}}
	if got := s.Status().Senders; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// What a secondary has is known by what it fetched, and by what it says.
func TestStatusOfSecondaries(t *testing.T) {
	o := testOptions(t)
	silent := dial(t, "udp", netip.MustParseAddrPort("127.0.0.1:9")).LocalAddr().String() // a socket that answers nothing
	o.Zones[0].Notify = []NotifyTarget{{Addr: netip.MustParseAddrPort(silent)}}
	s, _ := start(t, o)
	to := s.Addrs()[0]
	one := func() SecondaryStatus {
		t.Helper()
		st := s.Status()
		if st.SecondariesTotal != 1 || len(st.Secondaries) != 1 || st.Secondaries[0].Address != silent || !st.Secondaries[0].Target {
			t.Fatalf("%+v", st.Secondaries)
		}
		return st.Secondaries[0]
	}
	if x := one(); x.State != SecondaryUnknown || x.Serial != nil || x.Told != nil {
		t.Errorf("at the start: %+v", x)
	}
	axfr := new(dns.Msg).SetAxfr(apex)
	transferOf(t, to, axfr)
	until(t, func() bool { return one().State == SecondaryCurrent })
	if x := one(); *x.Serial != 1 || x.By != transfer.Sent || x.At.IsZero() || x.Serials != 0 {
		t.Errorf("after AXFR: %+v", x)
	}
	for i := range 3 {
		if m := ask(t, "tcp", to, insert("555123"+itoa(i)+"."+apex+" 60 A 192.0.2.1")); m.Rcode != dns.RcodeSuccess {
			t.Fatal(m)
		}
	}
	if x := one(); x.State != SecondaryBehind || *x.Serial != 1 || x.Serials != 3 || x.Changes != 3 || x.Since.IsZero() || x.Seconds < 0 || x.Older || x.Fault != "" {
		t.Errorf("after 3 updates: %+v", x)
	}
	ixfr := func(serial uint32) {
		t.Helper()
		transferOf(t, to, new(dns.Msg).SetIxfr(apex, serial, "ns1."+apex, "hostmaster."+apex))
	}
	ixfr(2)
	until(t, func() bool { return one().State == SecondaryCurrent })
	if x := one(); *x.Serial != 4 || x.By != transfer.Sent {
		t.Errorf("after IXFR: %+v", x)
	}
	ixfr(4)
	if x := one(); x.State != SecondaryCurrent || x.By != transfer.Stated {
		t.Errorf("after IXFR from the newest: %+v", x)
	}
	ixfr(9)
	if x := one(); x.State != SecondaryAhead || !strings.Contains(x.Fault, "newer than the zone's") {
		t.Errorf("after IXFR from one that is ahead: %+v", x)
	}
	if st := s.Status(); st.FaultsTotal != 1 || st.Faults[0].Kind != FaultSecondary {
		t.Errorf("%+v", st.Faults)
	}
}

// until waits for what another goroutine does next.
func until(t testing.TB, what func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !what(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
	}
}

func TestSecondaryThatIsLate(t *testing.T) {
	serial := uint32(7)
	for i, c := range []struct {
		x      SecondaryStatus
		silent bool
		want   string
	}{
		{SecondaryStatus{State: SecondaryCurrent}, true, ""},
		{SecondaryStatus{State: SecondaryUnknown}, false, ""},
		{SecondaryStatus{State: SecondaryUnknown}, true, "does not answer NOTIFY"},
		{SecondaryStatus{State: SecondaryBehind, Seconds: 59}, false, ""},
		{SecondaryStatus{State: SecondaryBehind, Seconds: 61}, false, "refresh time, 1m0s"},
		{SecondaryStatus{State: SecondaryBehind, Older: true, Serial: &serial}, false, "serial 7, which is older"},
	} {
		if c.x.judge(c.silent, time.Minute); (c.x.Fault == "") != (c.want == "") || !strings.Contains(c.x.Fault, c.want) {
			t.Errorf("case %d: %q, want %q", i, c.x.Fault, c.want)
		}
	}
}
