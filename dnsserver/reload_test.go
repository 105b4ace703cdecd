package dnsserver

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/update/acl"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

const otherApex = "other.example."

// reloadable is a server whose configuration a test changes.
type reloadable struct {
	*Server
	o Options // that the next reload finds
}

func startReloadable(t testing.TB, o Options) *reloadable {
	t.Helper()
	r := &reloadable{}
	o.Reread = func(apply func(Options) (Reloaded, error)) (Reloaded, error) { return apply(r.o) }
	r.Server, _ = start(t, o)
	o.Zones, o.Keys = slices.Clone(o.Zones), slices.Clone(o.Keys)
	r.o = o
	return r
}

// reload wants these changes, and what takes a restart.
func (r *reloadable) reload(t testing.TB, changes, restart []string) {
	t.Helper()
	out, err := r.Reload(t.Context(), control.Peer{UID: 7})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(out.Changes, changes) || !slices.Equal(out.Restart, restart) {
		t.Errorf("changes:\n  %s\nrestart:\n  %s", strings.Join(out.Changes, "\n  "), strings.Join(out.Restart, "\n  "))
	}
}

// secondZone may be updated and transferred by anybody on this machine.
func secondZone(t testing.TB) ZoneOptions {
	local := acl.Rule{Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Actions: acl.Update | acl.Transfer}
	return ZoneOptions{Apex: rr.MustName(otherApex), Text: zoneText, ACL: rules(t, otherApex, local)}
}

// inOther makes an update one of the second zone.
func inOther(m *dns.Msg) *dns.Msg {
	m.Question[0].Name = otherApex
	return m
}

func rcodeOf(t testing.TB, s *Server, m *dns.Msg) string {
	t.Helper()
	return dns.RcodeToString[ask(t, "tcp", s.Addrs()[0], m).Rcode]
}

func TestReloadOfNothing(t *testing.T) {
	r := startReloadable(t, testOptions(t))
	r.reload(t, nil, nil)
	if lines := auditLog(t, r.o.DataDir); !strings.Contains(lines, `"action":"reload","who":{"uid":7},"detail":"nothing has changed"`) {
		t.Error(lines)
	}
}

func TestReloadOfKeysAndRules(t *testing.T) {
	r := startReloadable(t, testOptions(t))
	if got := rcodeOf(t, r.Server, signed(insert("100."+apex+" 60 A 192.0.2.7"))); got != "NOERROR" {
		t.Fatal(got)
	}
	first := r.o.Keys[0]
	r.o.Keys = []tsig.Key{{Name: rr.MustName("new.key."), Algorithm: tsig.HMACSHA512, Secret: []byte("0123456789abcdef0123456789abcdef")}}
	r.o.Zones[0].ACL = rules(t, apex, acl.Rule{AnyKey: true, Actions: acl.Update})
	r.reload(t, []string{"key new.key. added", "key " + keyName + " removed", "acl of zone " + apex + " changed"}, nil)
	if m := ask(t, "tcp", r.Addrs()[0], insert("w."+apex+" 60 A 192.0.2.7")); m.Rcode != dns.RcodeRefused {
		t.Errorf("unsigned: %v", m)
	}
	c := newClient("tcp")
	if reply, _, err := c.Exchange(signed(insert("100."+apex+" 60 A 192.0.2.8")), r.Addrs()[0].String()); reply == nil || reply.Rcode != dns.RcodeNotAuth {
		t.Errorf("by the key that is gone: %v, %v", reply, err)
	}
	c.TsigSecret = map[string]string{"new.key.": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
	m := insert("w." + apex + " 60 A 192.0.2.9")
	m.SetTsig("new.key.", dns.HmacSHA512, 300, time.Now().Unix())
	if reply, _, err := c.Exchange(m, r.Addrs()[0].String()); err != nil || reply.Rcode != dns.RcodeSuccess {
		t.Errorf("by the new key: %v, %v", reply, err)
	}
	second := r.o.Keys[0]
	second.Secret = []byte("another secret of thirty-two octets")
	r.o.Keys = []tsig.Key{first, second}
	r.o.SignedLate = map[rr.Name]time.Duration{second.Name: time.Second}
	r.reload(t, []string{"key " + keyName + " added", "secret of key new.key. changed", "signed_late of key new.key. changed"}, nil)
	second.Algorithm = tsig.HMACSHA256
	r.o.Keys = []tsig.Key{first, second}
	r.reload(t, []string{"key new.key. changed from hmac-sha512 to hmac-sha256"}, nil)
}

// A zone that comes is served, one that goes is not answered any more, and has what it had when it comes again.
func TestReloadOfZones(t *testing.T) {
	r := startReloadable(t, testOptions(t))
	other := query("100."+otherApex, dns.TypeA)
	if got := rcodeOf(t, r.Server, other); got != "REFUSED" {
		t.Fatal(got)
	}
	both := append(slices.Clone(r.o.Zones), secondZone(t))
	r.o.Zones = both
	r.reload(t, []string{"zone " + otherApex + " added, with serial 1"}, nil)
	if got := rcodeOf(t, r.Server, inOther(insert("5551234."+otherApex+" 60 A 192.0.2.1"))); got != "NOERROR" {
		t.Fatal(got)
	}
	r.o.Zones = slices.Clone(both)
	r.o.Zones[1].File = "elsewhere"
	if out, err := r.Reload(t.Context(), control.Peer{}); err != nil || len(out.Changes) != 0 || len(out.Notes) != 1 || !strings.Contains(out.Notes[0], "is not read") {
		t.Errorf("another file: %+v, %v", out, err)
	}
	r.o.Zones = both[:1]
	r.reload(t, []string{"zone " + otherApex + " removed: it is not answered any more, its data stays in the data directory"}, nil)
	for _, m := range []*dns.Msg{other, query("none."+otherApex, dns.TypeA)} {
		if got := rcodeOf(t, r.Server, m); got != "REFUSED" {
			t.Errorf("%v: %s", m.Question, got)
		}
	}
	if got := rcodeOf(t, r.Server, inOther(insert("5551235."+otherApex+" 60 A 192.0.2.1"))); got != "NOTAUTH" {
		t.Errorf("update: %s", got)
	}
	if got := rcodeOf(t, r.Server, query("100."+apex, dns.TypeA)); got != "NOERROR" {
		t.Errorf("the zone that stays: %s", got)
	}
	if st := r.Status(); st.ZonesTotal != 1 {
		t.Errorf("%d zones", st.ZonesTotal)
	}
	r.o.Zones = both
	r.reload(t, []string{"zone " + otherApex + " added, with serial 2"}, nil)
	if got := addressOf(t, "udp", r.Addrs()[0], "5551234."+otherApex); got != "192.0.2.1" {
		t.Errorf("it has %q", got)
	}
}

func TestReloadOfZoneSettings(t *testing.T) {
	r := startReloadable(t, testOptions(t))
	sock := dial(t, "udp", r.Addrs()[0]).LocalAddr().String()
	z := &r.o.Zones[0]
	z.MaxTTL, z.MaxRecords, z.JournalMaxSize, z.Lease.Max = 10, 100, 1<<20, 600
	z.Notify = []NotifyTarget{{Addr: netip.MustParseAddrPort(sock)}}
	z.Seed, _ = tsig.NewSeed(make([]byte, tsig.MinSeed))
	var want []string
	for _, name := range []string{"max_records", "journal", "max_ttl", "lease", "notify", "derived_keys"} {
		want = append(want, name+" of zone "+apex+" changed")
	}
	r.reload(t, want, nil)
	if m := ask(t, "tcp", r.Addrs()[0], insert("w."+apex+" 60 A 192.0.2.1")); m.Rcode != dns.RcodeSuccess {
		t.Fatal(m)
	}
	if m := ask(t, "tcp", r.Addrs()[0], query("w."+apex, dns.TypeA)); m.Answer[0].Header().Ttl != 10 {
		t.Errorf("%v", m)
	}
	if st := r.Status(); st.SecondariesTotal != 1 || st.Secondaries[0].Address != sock {
		t.Errorf("%+v", st.Secondaries)
	}
	z.Notify = nil
	r.reload(t, want[4:5], nil)
	if st := r.Status(); st.SecondariesTotal != 0 {
		t.Errorf("%+v", st.Secondaries)
	}
}

func TestReloadOfLimits(t *testing.T) {
	o := testOptions(t)
	o.ServerID = "one"
	r := startReloadable(t, o)
	r.o.ServerID = "two"
	r.o.Limits.UpdateQueue, r.o.Limits.TCPIdle, r.o.Limits.RRsetRecords = 5, time.Minute, 1
	r.o.Limits.Readers, r.o.Limits.UDPSize = 5, 1400
	r.o.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}
	r.o.DataDir = "/elsewhere"
	r.o.MetricsListen = netip.MustParseAddrPort("127.0.0.1:2")
	restart := []string{
		"listen stays 127.0.0.1:0, and is 127.0.0.1:1 after a restart", "data_dir stays " + o.DataDir + ", and is /elsewhere after a restart",
		"metrics.listen stays off, and is 127.0.0.1:2 after a restart",
		"limits.udp_size stays 1232, and is 1400 after a restart", "limits.readers stays 2, and is 5 after a restart",
	}
	r.reload(t, []string{
		`server_id changed from "one" to "two"`, "limits.update_queue changed from 4096 to 5", "limits.rrset_records changed from 0 to 1",
		"limits.tcp_idle changed from 10s to 1m0s",
	}, restart)
	if got := rcodeOf(t, r.Server, insert("w."+apex+" 60 A 192.0.2.1", "w."+apex+" 60 A 192.0.2.2")); got != "REFUSED" {
		t.Errorf("two records where one is allowed: %s", got)
	}
	id := new(dns.Msg).SetQuestion("id.server.", dns.TypeTXT)
	id.Question[0].Qclass = dns.ClassCHAOS
	if m := ask(t, "udp", r.Addrs()[0], id); len(m.Answer) != 1 || m.Answer[0].(*dns.TXT).Txt[0] != "two" {
		t.Errorf("%v", m)
	}
	if st := r.Status(); st.Queue.Limit != 5 {
		t.Errorf("%+v", st.Queue)
	}
	r.reload(t, nil, restart) // which are still not in force
}

// Every limit can be changed, or is said to take a restart.
func TestReloadKnowsAllLimits(t *testing.T) {
	known := map[string]bool{}
	for _, l := range limitSettings {
		if known[l.field] {
			t.Errorf("%s is there twice", l.field)
		}
		known[l.field] = true
	}
	fields := reflect.TypeFor[Limits]()
	for i := range fields.NumField() {
		if name := fields.Field(i).Name; !known[name] {
			t.Errorf("limitSettings has no %s", name)
		}
	}
	if len(known) != fields.NumField() {
		t.Errorf("%d settings, %d fields", len(known), fields.NumField())
	}
}

func TestReloadWithFaultsChangesNothing(t *testing.T) {
	r := startReloadable(t, testOptions(t))
	good := r.o
	bad := secondZone(t)
	bad.Text = zoneText + "x A 192.0.2.300\n"
	gone := secondZone(t)
	gone.Apex, gone.Text, gone.File = rr.MustName("gone.example."), "", filepath.Join(t.TempDir(), "none")
	fine := secondZone(t)
	fine.Apex = rr.MustName("fine.example.")
	r.o.Zones = append(slices.Clone(good.Zones), fine, bad, gone)
	r.o.Zones[0].ACL = acl.List{}
	r.o.Keys = nil
	_, err := r.Reload(t.Context(), control.Peer{})
	var fault *ZoneError
	if !errors.As(err, &fault) || !strings.Contains(err.Error(), "built-in:12") || !strings.Contains(err.Error(), gone.File) {
		t.Errorf("%v", err)
	}
	r.o = good
	r.o.Zones = append(slices.Clone(good.Zones), good.Zones[0])
	if _, err := r.Reload(t.Context(), control.Peer{}); err == nil || !strings.Contains(err.Error(), "configured twice") {
		t.Errorf("%v", err)
	}
	if kept, err := r.store.Zones(); err != nil || len(kept) != 1 {
		t.Errorf("the store has %v, %v", kept, err)
	}
	if got := rcodeOf(t, r.Server, signed(insert("100."+apex+" 60 A 192.0.2.7"))); got != "NOERROR" {
		t.Errorf("an update by what was: %s", got)
	}
	if got := rcodeOf(t, r.Server, query("100.fine.example.", dns.TypeA)); got != "REFUSED" {
		t.Errorf("a zone beside the faulty ones: %s", got)
	}
	r.o = good
	r.reload(t, nil, nil)
}

func TestReloadByCommand(t *testing.T) {
	o := testOptions(t)
	s, _ := start(t, o)
	var mistake *control.Mistake
	if _, err := control.Call[Reloaded](t.Context(), command(t, o), RequestReload, ReloadQuestion{}); !errors.As(err, &mistake) {
		t.Errorf("nothing to read: %v", err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	r := startReloadable(t, o)
	r.o.ServerID = "changed"
	out, err := control.Call[Reloaded](t.Context(), command(t, o), RequestReload, ReloadQuestion{})
	if err != nil || len(out.Changes) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}

// An update that waits in a zone that is taken out is committed and answered.
func TestUpdateThatWaitsInAZoneThatGoes(t *testing.T) {
	o := testOptions(t)
	o.Zones = append(o.Zones, secondZone(t))
	r := startReloadable(t, o)
	release := hold(t, r.Server)
	waiting := dial(t, "tcp", r.Addrs()[0])
	write(t, waiting, insert("5551234."+apex+" 60 A 192.0.2.1"))
	write(t, waiting, query("100."+apex, dns.TypeA))
	read(t, waiting) // so the update before it is in the queue
	r.o.Zones = r.o.Zones[1:]
	done := make(chan error)
	go func() {
		_, err := r.Reload(t.Context(), control.Peer{})
		done <- err
	}()
	until(t, func() bool { return rcodeOf(t, r.Server, query("100."+apex, dns.TypeA)) == "REFUSED" })
	release()
	if m := read(t, waiting); m.Rcode != dns.RcodeSuccess {
		t.Errorf("%v", m)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.o.Zones = o.Zones
	r.reload(t, []string{"zone " + apex + " added, with serial 2"}, nil)
	if got := addressOf(t, "udp", r.Addrs()[0], "5551234."+apex); got != "192.0.2.1" {
		t.Errorf("it has %q", got)
	}
}

// TestReloadsLoseNothing reloads all the time, between two configurations, while clients query, update and transfer. In
// the zone that is in both everything is answered, and in the one that comes and goes all that is acknowledged is kept.
func TestReloadsLoseNothing(t *testing.T) {
	o := testOptions(t)
	r := startReloadable(t, o)
	to := r.Addrs()[0]
	one, two := r.o, r.o
	two.Zones = append(slices.Clone(one.Zones), secondZone(t))
	two.Zones[0].MaxTTL, two.Zones[0].Notify = 200, []NotifyTarget{{Addr: netip.MustParseAddrPort("127.0.0.1:9")}}
	two.Keys = append(slices.Clone(one.Keys), tsig.Key{Name: rr.MustName("more.key."), Algorithm: tsig.HMACSHA256, Secret: make([]byte, 32)})
	two.Limits.UpdateQueue, two.Limits.KeyCache, two.Limits.UpdatesPerSource = 1000, 5, 1_000_000
	var over atomic.Bool
	var kept sync.Map // numbers of the other zone that were acknowledged
	var clients sync.WaitGroup
	client := func(proto string, each func(i int) (m *dns.Msg, good func(reply *dns.Msg) bool)) {
		clients.Go(func() {
			c := newClient(proto)
			conn, err := c.Dial(to.String())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			for i := 0; !over.Load(); i++ {
				m, good := each(i)
				reply, _, err := c.ExchangeWithConn(m, conn)
				if err != nil || !good(reply) {
					t.Errorf("%s: %v\n%v", proto, err, reply)
					return
				}
			}
		})
	}
	noerror := func(m *dns.Msg) bool { return m.Rcode == dns.RcodeSuccess }
	for _, proto := range []string{"udp", "tcp"} {
		client(proto, func(int) (*dns.Msg, func(*dns.Msg) bool) {
			return query("100."+apex, dns.TypeA), func(m *dns.Msg) bool { return len(m.Answer) == 1 }
		})
		client(proto, func(i int) (*dns.Msg, func(*dns.Msg) bool) {
			return insert(proto + itoa(i) + "." + apex + " 60 A 192.0.2.1"), noerror
		})
		client(proto, func(i int) (*dns.Msg, func(*dns.Msg) bool) {
			name := proto + itoa(i) + "." + otherApex
			return inOther(insert(name + " 60 A 192.0.2.1")), func(m *dns.Msg) bool {
				if noerror(m) {
					kept.Store(name, true)
				}
				return noerror(m) || m.Rcode == dns.RcodeNotAuth
			}
		})
	}
	clients.Go(func() {
		for i := 0; !over.Load(); i++ {
			if got := rcodeOf(t, r.Server, signed(insert("100."+apex+" 60 AAAA 2001:db8::"+itoa(i%9)))); got != "NOERROR" {
				t.Errorf("a signed update: %s", got)
				return
			}
			if list := transferOf(t, to, new(dns.Msg).SetAxfr(apex)); len(list) < 4 {
				t.Errorf("a transfer of %d records", len(list))
				return
			}
		}
	})
	for i := range 60 {
		r.o = two
		if i%2 == 1 {
			r.o = one
		}
		if _, err := r.Reload(t.Context(), control.Peer{}); err != nil {
			t.Error(err)
		}
	}
	over.Store(true)
	clients.Wait()
	r.o = two
	if _, err := r.Reload(t.Context(), control.Peer{}); err != nil {
		t.Fatal(err)
	}
	n := 0
	kept.Range(func(name, _ any) bool {
		n++
		if got := addressOf(t, "tcp", to, name.(string)); got != "192.0.2.1" {
			t.Errorf("%s was acknowledged and is %q", name, got)
		}
		return true
	})
	t.Logf("%d updates of the zone that comes and goes", n)
	if n == 0 {
		t.Error("the other zone was never updated")
	}
}

// Whoever adds an option decides whether a reload changes it (differences, zoneDifference) or not (keepFixed), and adds it
// here.
func TestReloadKnowsAllOptions(t *testing.T) {
	for kind, known := range map[reflect.Type]string{
		reflect.TypeFor[Options](): "Listen DataDir ServerID Version CookieSecrets NoCookies Keys SignedLate Zones Limits RateLimit Logger QuerySample " +
			"LogLevel Tap MetricsListen MetricsZones Now Progress Reread failCommit buildFrom",
		reflect.TypeFor[ZoneOptions](): "Apex File Text MaxTTL MaxRecords Lease ACL Notify Seed JournalMaxAge JournalMaxSize",
	} {
		for i := range kind.NumField() {
			if name := kind.Field(i).Name; !slices.Contains(strings.Fields(known), name) {
				t.Errorf("what does a reload do about %s.%s?", kind.Name(), name)
			}
		}
	}
}
