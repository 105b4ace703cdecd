package dnsserver

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/zone/masterfile"
	"dialtone/zone/rr"
)

func zoneState(t testing.TB, c *control.Client, request string) ZoneState {
	t.Helper()
	s, err := control.Call[ZoneState](t.Context(), c, request, ZoneQuestion{Zone: apex})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// export gives the text of the zone.
func export(t testing.TB, c *control.Client) string {
	t.Helper()
	r, err := control.Download(t.Context(), c, RequestZoneExport, ZoneQuestion{Zone: apex})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// importText imports a text, and gives the difference that was shown, and the result.
func importText(t testing.TB, c *control.Client, in ZoneImport, text string) (diff []string, r *ZoneImportResult, err error) {
	t.Helper()
	in.Zone = apex
	for item, err := range control.UploadList[ZoneImportItem](t.Context(), c, RequestZoneImport, in, strings.NewReader(text)) {
		switch {
		case err != nil:
			return diff, nil, err
		case item.Result != nil:
			r = item.Result
		case item.Deleted != "":
			diff = append(diff, "-"+item.Deleted)
		default:
			diff = append(diff, "+"+item.Added)
		}
	}
	return diff, r, nil
}

func mustImport(t testing.TB, c *control.Client, in ZoneImport, text string) *ZoneImportResult {
	t.Helper()
	_, r, err := importText(t, c, in, text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantMistake(t testing.TB, err error, want string) {
	t.Helper()
	var m *control.Mistake
	if !errors.As(err, &m) || !strings.Contains(m.Text, want) {
		t.Errorf("%v, want the mistake %q", err, want)
	}
}

// without drops the lines that hold any of the texts.
func without(text string, drop ...string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if !slices.ContainsFunc(drop, func(d string) bool { return strings.Contains(line, d) }) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func refusedWith(t testing.TB, r *dns.Msg, text string) {
	t.Helper()
	if r.Rcode != dns.RcodeRefused {
		t.Errorf("RCODE %s", dns.RcodeToString[r.Rcode])
		return
	}
	for _, o := range r.IsEdns0().Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok && strings.Contains(e.ExtraText, text) {
			return
		}
	}
	t.Errorf("the reply does not say %q:\n%s", text, r)
}

// TestFrozenZone: nothing changes it but an import, and who changes nothing is let in.
func TestFrozenZone(t *testing.T) {
	var clock testClock
	o := testOptions(t)
	o.Now = clock.now
	s, stop := start(t, o)
	to := s.Addrs()[0]
	c := command(t, o)
	lease := func(number, address string) *dns.Msg {
		return withLease(movedTo(number+"."+apex, address), leaseData(600))
	}
	for _, number := range []string{"1", "2"} {
		if r := ask(t, "tcp", to, lease(number, "192.0.2.1")); r.Rcode != dns.RcodeSuccess {
			t.Fatal(r)
		}
	}
	frozen := zoneState(t, c, RequestZoneFreeze)
	if frozen.Serial != soa(t, to) || frozen.Frozen.IsZero() {
		t.Errorf("%+v", frozen)
	}
	_, err := control.Call[ZoneState](t.Context(), c, RequestZoneFreeze, ZoneQuestion{Zone: apex})
	wantMistake(t, err, "is frozen already, since ")
	const why = "the zone is frozen while its operator works at it"
	again := withLease(insert("3."+apex+" 60 A 192.0.2.3"), leaseData(600))
	refusedWith(t, ask(t, "udp", to, again), why)
	refusedWith(t, ask(t, "tcp", to, lease("1", "192.0.2.9")), why)
	_, err = control.Call[NumberReleased](t.Context(), c, RequestNumberRelease, NumberRelease{NumberQuestion: NumberQuestion{Number: "1"}})
	wantMistake(t, err, "is frozen since")
	i, err := control.Call[NumberInfo](t.Context(), c, RequestNumberShow, NumberQuestion{Number: "1"})
	if err != nil || !i.Frozen.Equal(frozen.Frozen) {
		t.Errorf("%+v, %v", i, err)
	}
	if st := s.Status(); !st.Zones[0].Frozen.Equal(frozen.Frozen) {
		t.Errorf("status: %+v", st.Zones[0])
	}

	// A phone that renews keeps its number; the other's lease ends in answers.
	clock.ahead.Store(int64(500 * time.Second))
	if r := ask(t, "tcp", to, lease("1", "192.0.2.1")); r.Rcode != dns.RcodeSuccess || len(granted(t, r)) == 0 {
		t.Errorf("a refresh: %s", r)
	}
	clock.ahead.Store(int64(700 * time.Second))
	isGone(t, to, "2."+apex)
	wantAnswer(t, to, "1."+apex, "192.0.2.1")
	// It may come back as it was, too: then nothing of the zone has changed.
	if r := ask(t, "tcp", to, lease("2", "192.0.2.1")); r.Rcode != dns.RcodeSuccess {
		t.Errorf("a late refresh: %s", r)
	}
	wantAnswer(t, to, "2."+apex, "192.0.2.1")
	if soa(t, to) != frozen.Serial {
		t.Errorf("serial %d, frozen at %d", soa(t, to), frozen.Serial)
	}
	clock.ahead.Store(int64(1400 * time.Second))
	isGone(t, to, "1."+apex)
	if soa(t, to) != frozen.Serial {
		t.Errorf("serial %d, frozen at %d", soa(t, to), frozen.Serial)
	}

	thawed := zoneState(t, c, RequestZoneThaw)
	if !thawed.Frozen.Equal(frozen.Frozen) || thawed.Serial != frozen.Serial {
		t.Errorf("%+v", thawed)
	}
	_, err = control.Call[ZoneState](t.Context(), c, RequestZoneThaw, ZoneQuestion{Zone: apex})
	wantMistake(t, err, "is not frozen")
	for soa(t, to) == frozen.Serial { // the records of ended leases go now
	}
	if r := ask(t, "udp", to, again); r.Rcode != dns.RcodeSuccess {
		t.Errorf("the very message that was refused: %s", r)
	}
	// A start thaws.
	zoneState(t, c, RequestZoneFreeze)
	c.Close()
	stop()
	s, _ = start(t, o)
	if r := ask(t, "udp", s.Addrs()[0], insert("4."+apex+" 60 A 192.0.2.3")); r.Rcode != dns.RcodeSuccess {
		t.Errorf("after a start: %s", r)
	}
	audit := auditLog(t, o.DataDir)
	if strings.Count(audit, `"action":"zone freeze"`) != 2 || strings.Count(audit, `"action":"zone thaw"`) != 1 {
		t.Errorf("audit log:\n%s", audit)
	}
}

// TestFreezeComesAfterWhatWasTaken: when it has ended the serial stays, whatever waits.
func TestFreezeComesAfterWhatWasTaken(t *testing.T) {
	o := testOptions(t)
	s, _ := start(t, o)
	to := s.Addrs()[0]
	c := command(t, o)
	defer c.Close()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 50 {
				r := ask(t, "tcp", to, insert(itoa(1000*i+n)+"."+apex+" 60 A 192.0.2.1"))
				if r.Rcode != dns.RcodeSuccess && r.Rcode != dns.RcodeRefused {
					t.Error(r)
				}
			}
		})
	}
	for range 10 {
		at := zoneState(t, c, RequestZoneFreeze).Serial
		if export := export(t, c); !strings.Contains(export, " "+itoa(int(at))+" 3600 600 86400 30") || soa(t, to) != at {
			t.Errorf("frozen at %d, and now at %d", at, soa(t, to))
		}
		zoneState(t, c, RequestZoneThaw)
	}
	wg.Wait()
}

func TestZoneExport(t *testing.T) {
	o := testOptions(t)
	s, stop := start(t, o)
	to := s.Addrs()[0]
	if r := ask(t, "udp", to, insert("5551234."+apex+" 60 A 192.0.2.17")); r.Rcode != dns.RcodeSuccess {
		t.Fatal(r)
	}
	want := recordsAt(t, to)
	c := command(t, o)
	text := export(t, c)
	_, err := control.Download(t.Context(), c, RequestZoneExport, ZoneQuestion{Zone: "other."})
	wantMistake(t, err, "there is no zone other. in "+o.DataDir+", only "+apex)
	c.Close()
	stop()
	content, problems := masterfile.Parse(strings.NewReader(text), "export", rr.MustName(apex), nil)
	if len(problems) > 0 {
		t.Errorf("%v", problems)
	}
	got := map[string]bool{}
	for o := range content.All() {
		for _, d := range o.Data {
			if o.Type != dns.TypeSOA {
				got[rr.RR{Owner: rr.Name(o.Owner), Type: o.Type, TTL: o.TTL, Data: string(d)}.String()] = true
			}
		}
	}
	if serial, err := content.Serial(); err != nil || serial != 2 || !maps.Equal(got, want) {
		t.Errorf("serial %d, %v: %v, want %v", serial, err, got, want)
	}
	if lines := strings.SplitN(text, "\n", 5); !strings.HasPrefix(lines[3], "@\t60\tIN\tSOA\t") {
		t.Errorf("it begins with\n%s", strings.Join(lines[:4], "\n"))
	}
	// Without a server the very same.
	c = command(t, o)
	defer c.Close()
	if again := export(t, c); without(again, "; zone") != without(text, "; zone") {
		t.Errorf("without a server:\n%s\nwith it:\n%s", again, text)
	}
}

// TestZoneImport: the zone becomes what the file says in one step, which IXFR tells.
func TestZoneImport(t *testing.T) {
	o := testOptions(t)
	s, stop := start(t, o)
	to := s.Addrs()[0]
	c := command(t, o)
	for _, r := range []string{"1 60 A 192.0.2.1", "2 60 A 192.0.2.2", "3 60 A 192.0.2.3"} {
		owner, rest, _ := strings.Cut(r, " ")
		if r := ask(t, "udp", to, insert(owner+"."+apex+" "+rest)); r.Rcode != dns.RcodeSuccess {
			t.Fatal(r)
		}
	}
	text := export(t, c)
	serial := soa(t, to)
	if r := mustImport(t, c, ZoneImport{}, text); r.Serial != serial || r.Before != serial || r.Deleted+r.Added != 0 {
		t.Errorf("what was exported: %+v", r)
	}
	edited := without(text, "192.0.2.1\n") + "2 120 A 192.0.2.22\n4 60 A 192.0.2.4\n4 60 TXT \"x\"\n"
	edited = strings.Replace(without(edited, "2\t60"), " hostmaster.", " root.", 1)
	want := []string{
		"-@ 60 IN SOA ns1.phones.example. hostmaster.phones.example. 4 3600 600 86400 30",
		"+@ 60 IN SOA ns1.phones.example. root.phones.example. 5 3600 600 86400 30",
		"-1 60 IN A 192.0.2.1", "-2 60 IN A 192.0.2.2", "+2 120 IN A 192.0.2.22", "+4 60 IN A 192.0.2.4", "+4 60 IN TXT \"x\"", "-ns1 60 IN A 192.0.2.1",
	}
	diff, r, err := importText(t, c, ZoneImport{DryRun: true}, edited)
	if err != nil || !slices.Equal(diff, want) || r.Deleted != 3 || r.Added != 3 || r.Serial != serial+1 || !r.SOA || r.Newer {
		t.Fatalf("%+v, %v:\n%s", r, err, strings.Join(diff, "\n"))
	}
	if soa(t, to) != serial {
		t.Error("a dry run has changed the zone")
	}
	if r := mustImport(t, c, ZoneImport{File: "edited.zone"}, edited); r.Serial != serial+1 || r.Deleted != 3 || r.Added != 3 {
		t.Errorf("%+v", r)
	}
	m := new(dns.Msg)
	m.SetIxfr(apex, serial, ".", ".")
	steps := transferOf(t, to, m)
	if len(steps) != 4+3+3 || steps[1].(*dns.SOA).Serial != serial || steps[0].(*dns.SOA).Serial != serial+1 || steps[0].(*dns.SOA).Mbox != "root."+apex {
		t.Errorf("IXFR:\n%v", steps)
	}
	// A file from before that would undo changes.
	_, _, err = importText(t, c, ZoneImport{}, text)
	wantMistake(t, err, "has changed since the serial of the file: it has serial 5, and the file 4")
	if r := mustImport(t, c, ZoneImport{Force: true}, text); r.Serial != serial+2 {
		t.Errorf("by force: %+v", r)
	}
	if got := export(t, c); without(got, "; zone", "SOA") != without(text, "; zone", "SOA") {
		t.Errorf("by force:\n%s", got)
	}
	// A greater serial is taken, and nothing is ever taken back.
	jump := strings.Replace(text, " 4 3600", " 2026112601 3600", 1)
	if r := mustImport(t, c, ZoneImport{}, jump); r.Serial != 2026112601 || soa(t, to) != r.Serial {
		t.Errorf("to a serial of a date: %+v", r)
	}
	_, r, err = importText(t, c, ZoneImport{DryRun: true}, strings.Replace(text, " 4 3600", " 4173596249 3600", 1)) // 2^31 away: neither is greater
	if err != nil || !r.Newer || r.Serial != 2026112601 {
		t.Errorf("%+v, %v", r, err)
	}
	for bad, want := range map[string]string{
		"x":                                    "there is no SOA record",
		text + "1 60 CNAME x\n":                "1.phones.example. has a CNAME record",
		text + "1.other. 60 A 192.0.2.1\n":     "1.other. is not in the zone",
		text + "$INCLUDE /etc/passwd\n":        "can be included",
		text + "$INCLUDE " + "zones_test.go\n": "can be included",
	} {
		before := soa(t, to)
		_, _, err := importText(t, c, ZoneImport{File: "bad.zone", Force: true}, bad)
		wantMistake(t, err, want)
		if err != nil && !strings.Contains(err.Error(), "bad.zone") || soa(t, to) != before {
			t.Errorf("%v, serial %d", err, soa(t, to))
		}
	}
	c.Close()
	stop()
	// Without a server.
	c = command(t, o)
	if r := mustImport(t, c, ZoneImport{Force: true}, edited); r.Serial != 2026112602 || r.Deleted != 3 {
		t.Errorf("without a server: %+v", r)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, o)
	wantAnswer(t, s.Addrs()[0], "2."+apex, "192.0.2.22")
	audit := auditLog(t, o.DataDir)
	if strings.Count(audit, `"action":"zone import"`) != 4 || !strings.Contains(audit, "edited.zone: 3 records deleted, 3 added, serial 4 to 5") {
		t.Errorf("audit log:\n%s", audit)
	}
}

// TestZoneImportLeftEarly: who stops reading is told nothing more, and the next import can begin.
func TestZoneImportLeftEarly(t *testing.T) {
	o := testOptions(t)
	s, _ := start(t, o)
	c := command(t, o)
	defer c.Close()
	text := export(t, c) + "one 60 A 192.0.2.1\ntwo 60 A 192.0.2.2\n"
	for i, err := range s.commands.importZone(t.Context(), asker, ZoneImport{Zone: apex, DryRun: true}, strings.NewReader(text)) {
		if err != nil || i.Added == "" {
			t.Errorf("%+v, %v", i, err)
		}
		break
	}
	if diff, _, err := importText(t, c, ZoneImport{DryRun: true}, text); err != nil || len(diff) != 2 {
		t.Errorf("the next one: %q, %v", diff, err)
	}
}

// TestZoneImportAndLeases: what a phone holds by a lease is not for a file to say.
func TestZoneImportAndLeases(t *testing.T) {
	o := testOptions(t)
	s, _ := start(t, o)
	to := s.Addrs()[0]
	c := command(t, o)
	defer c.Close()
	update := func(address string) {
		t.Helper()
		m := movedTo("1."+apex, address)
		m.Insert(parseAll([]string{"_sip._udp.1." + apex + " 60 SRV 0 0 5060 1." + apex}))
		if r := ask(t, "tcp", to, withLease(m, leaseData(600))); r.Rcode != dns.RcodeSuccess {
			t.Fatal(r)
		}
	}
	update("192.0.2.1")
	text := export(t, c)
	update("192.0.2.2") // the phone moves while the file is edited
	edited := without(text, "_sip") + "2 60 A 192.0.2.9\n"
	diff, r, err := importText(t, c, ZoneImport{DryRun: true}, edited)
	if err != nil || !slices.Equal(diff, []string{"+2 60 IN A 192.0.2.9"}) || r.Leased != 2 || !r.Newer {
		t.Errorf("%+v, %v: %v", r, err, diff)
	}
	mustImport(t, c, ZoneImport{Force: true}, edited)
	wantAnswer(t, to, "1."+apex, "192.0.2.2")
	wantAnswer(t, to, "2."+apex, "192.0.2.9")
	if r := mustImport(t, c, ZoneImport{Force: true, Leased: true}, edited); r.Leased != 0 || r.Deleted != 2 || r.Added != 1 {
		t.Errorf("%+v", r)
	}
	wantAnswer(t, to, "1."+apex, "192.0.2.1")
	i, err := control.Call[NumberInfo](t.Context(), c, RequestNumberShow, NumberQuestion{Number: "1"})
	if err != nil || i.Lease.IsZero() {
		t.Errorf("the lease is gone: %+v, %v", i, err)
	}
	mustImport(t, c, ZoneImport{Force: true, Leased: true}, without(edited, "1\t60\tIN\tA\t192.0.2.1"))
	i, err = control.Call[NumberInfo](t.Context(), c, RequestNumberShow, NumberQuestion{Number: "1"})
	if err != nil || !i.Lease.IsZero() || len(i.Records) > 0 {
		t.Errorf("without records, with a lease: %+v, %v", i, err)
	}
}

// TestZoneImportBesideUpdates: an import is one step among updates, none of which gets lost that touches
// other names; in a frozen zone it goes first time.
func TestZoneImportBesideUpdates(t *testing.T) {
	o := testOptions(t)
	var text strings.Builder
	text.WriteString(zoneText)
	for i := range 2000 {
		text.WriteString(itoa(5_000_000+i) + " 60 A 192.0.2.1\n")
	}
	o.Zones[0].Text = text.String()
	s, _ := start(t, o)
	to := s.Addrs()[0]
	c := command(t, o)
	defer c.Close()
	exported := export(t, c)
	stop := make(chan struct{})
	acked := map[string]bool{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := itoa(6_000_000+i%100) + "." + apex
			m := insert(name + " 60 A 192.0.2." + itoa(1+i%200))
			m.RemoveRRset(parseAll([]string{name + " 60 A 192.0.2.1"}))
			slices.Reverse(m.Ns)
			if r := ask(t, "tcp", to, m); r.Rcode != dns.RcodeSuccess {
				t.Error(r)
				return
			}
			acked[name] = true
		}
	})
	for i := range 6 {
		changed := strings.ReplaceAll(exported, "192.0.2.1\n", "198.51.100."+itoa(i+1)+"\n")
		_, r, err := importText(t, c, ZoneImport{Force: true}, changed)
		var m *control.Mistake
		if errors.As(err, &m) && strings.Contains(m.Text, "changes all the time") {
			continue // so it says what to do, which is next
		}
		if err != nil || r.Added < 2000 {
			t.Errorf("%+v, %v", r, err)
		}
		wantAnswer(t, to, "5001999."+apex, "198.51.100."+itoa(i+1))
	}
	close(stop)
	wg.Wait()
	zoneState(t, c, RequestZoneFreeze)
	before := soa(t, to)
	r := mustImport(t, c, ZoneImport{Force: true}, exported)
	if r.Before != before || r.Serial != before+1 || soa(t, to) != before+1 {
		t.Errorf("%+v", r)
	}
	if got := export(t, c); without(got, "; zone", "SOA") != without(exported, "; zone", "SOA") {
		t.Error("a frozen zone is not what was imported")
	}
	if len(acked) == 0 {
		t.Error("no update was made beside it")
	}
}

// TestZoneImportInSteps: what is more than one commit should hold is refused, or done in several.
func TestZoneImportInSteps(t *testing.T) {
	o := testOptions(t)
	s, _ := start(t, o)
	to := s.Addrs()[0]
	c := command(t, o)
	defer c.Close()
	base := export(t, c)
	many := func(names int, address string) string {
		var b strings.Builder
		b.WriteString(base)
		for i := range names {
			b.WriteString(itoa(5_000_000+i) + " 60 A " + address + "\n")
		}
		return b.String()
	}
	_, _, err := importText(t, c, ZoneImport{}, many(maxImportNames+importStep, "192.0.2.1"))
	wantMistake(t, err, "more than 100000 names differ: --steps makes several commits of it")
	if soa(t, to) != 1 {
		t.Error("what was refused has changed the zone")
	}
	for i, want := range []uint32{4, 7} {
		text := many(2*importStep+500, "192.0.2."+itoa(i+1))
		diff, r, err := importText(t, c, ZoneImport{DryRun: true, Force: true}, text)
		if err != nil || len(diff) != r.Deleted+r.Added || r.Added != 2*importStep+500 || !slices.Contains(diff, "+5000000 60 IN A 192.0.2."+itoa(i+1)) {
			t.Fatalf("%d lines, %+v, %v", len(diff), r, err)
		}
		r = mustImport(t, c, ZoneImport{Steps: true, Force: i > 0}, text)
		if r.Before != want-3 || r.Serial != want || r.Added != 2*importStep+500 || soa(t, to) != want {
			t.Errorf("%+v, serial %d, want %d", r, soa(t, to), want)
		}
		wantAnswer(t, to, itoa(5_000_000+2*importStep+499)+"."+apex, "192.0.2."+itoa(i+1))
	}
	// As many as steps have: nothing is left for the last one but the serial of the file.
	text := strings.Replace(many(0, ""), " 1 3600", " 100 3600", 1)
	r := mustImport(t, c, ZoneImport{Steps: true}, text)
	if r.Serial != 100 || r.Deleted != 2*importStep+500 || without(export(t, c), "; zone", "SOA") != without(base, "; zone", "SOA") {
		t.Errorf("%+v", r)
	}
	r = mustImport(t, c, ZoneImport{Steps: true, Force: true}, many(importStep, "192.0.2.1"))
	if r.Serial != 101 || r.Added != importStep || soa(t, to) != 101 {
		t.Errorf("one whole step: %+v", r)
	}
}

// An op that finds other records than were compared changes nothing.
func TestStaleImport(t *testing.T) {
	o := testOptions(t)
	s, _ := start(t, o)
	z := s.zoneOf(rr.MustName(apex))
	op := &importOp{apex: z.o.Apex, changes: []nameChange{{owner: rr.MustName("100." + apex), before: nil}}}
	if err := submitImport(z.z, op); !errors.Is(err, errStale) {
		t.Error(err)
	}
	if soa(t, s.Addrs()[0]) != 1 {
		t.Error("it has changed the zone")
	}
}
