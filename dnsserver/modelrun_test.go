package dnsserver

import (
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"dialtone/integration/peertest"
	"dialtone/update"
	"dialtone/update/acl"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// machine is a server that does what the model does, and secondaries that copy it.
type machine struct {
	*model
	o       Options
	s       *Server
	clock   atomic.Int64          // seconds since 1970, as the server has it
	fault   atomic.Pointer[error] // of the next commits
	dirs    []string
	serial  uint32
	lines   []string           // at that serial
	copies  []peertest.Content // of secondaries that have stopped to follow
	sent    []sentUpdate       // signed updates that were taken
	burned  bool               // a commit failed, whose serial is not used again
	pending bool               // leases have ended: their records go soon
}

type sentUpdate struct {
	raw []byte
	u   *modelUpdate
}

// modelKeys are those of two numbers, and one that all may share.
var modelKeys = []string{"5551", "5552", "shared."}

func newMachine(t *rapid.T) *machine {
	m := &machine{model: &model{sets: map[modelKey]modelSet{}, leases: map[string]int64{}, signed: map[string]int64{}, now: 1_800_000_000}}
	m.sets[modelKey{"", dns.TypeNS}] = modelSet{60, []string{"ns.other.example."}}
	list, err := acl.Compile(rr.MustName(apex), []acl.Rule{
		{Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Actions: acl.Update | acl.Transfer},
		{Keys: []rr.Name{rr.MustName("shared.")}, Actions: acl.Update},
		{AnyKey: true, Actions: acl.Update, SelfNumber: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := base64.StdEncoding.DecodeString(secret)
	m.o = Options{
		Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, DataDir: m.newDir(t),
		Zones: []ZoneOptions{{Apex: rr.MustName(apex), ACL: list, MaxTTL: modelMaxTTL,
			Text:  "@ 60 IN SOA ns.other.example. admin.other.example. 4294967290 3600 600 86400 30\n@ 60 IN NS ns.other.example.\n",
			Lease: update.LeaseLimits{Min: modelMinLease, Max: modelMaxLease, KeyMax: modelMaxLease}}},
		Limits: Limits{Readers: 1}, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Unix(m.clock.Load(), 0) },
		failCommit: func() error {
			if p := m.fault.Load(); p != nil {
				return *p
			}
			return nil
		},
	}
	for _, k := range modelKeys {
		m.o.Keys = append(m.o.Keys, tsig.Key{Name: rr.MustName(nameOf(k)), Algorithm: tsig.HMACSHA256, Secret: raw})
	}
	m.clock.Store(m.now)
	m.start(t)
	m.serial, m.lines = 4294967290, m.model.lines()
	t.Cleanup(func() {
		m.stop(t)
		for _, d := range m.dirs {
			_ = os.RemoveAll(d)
		}
	})
	return m
}

func (m *machine) newDir(t *rapid.T) string {
	dir, err := os.MkdirTemp("", "dialtone-model-")
	if err != nil {
		t.Fatal(err)
	}
	m.dirs = append(m.dirs, dir)
	return dir
}

func (m *machine) start(t *rapid.T) {
	var err error
	if m.s, err = Start(context.Background(), m.o); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) stop(t *rapid.T) {
	if err := m.s.Shutdown(context.Background()); err != nil && m.fault.Load() == nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func (m *machine) addr() string { return m.s.Addrs()[0].String() }

// draw draws an update that is signed now.
func (m *machine) draw(t *rapid.T) *modelUpdate {
	u := updates.Draw(t, "update")
	u.signed = m.now
	return u
}

// Update sends one and wants the model's answer.
func (m *machine) Update(t *rapid.T) {
	u := m.draw(t)
	raw := pack(t, u)
	reply := m.send(t, raw)
	before := m.model.clone()
	switch want := m.model.update(u); {
	case reply.Rcode == dns.RcodeNotAuth && before.mayBeOld(u) && want != dns.RcodeRefused:
		*m.model = *before
	case before.mustBeOld(u) && want != dns.RcodeRefused:
		t.Fatalf("%s of an old update, at %d: %s", dns.RcodeToString[reply.Rcode], m.now, u)
	case reply.Rcode != want:
		t.Fatalf("%s instead of %s: %s", dns.RcodeToString[reply.Rcode], dns.RcodeToString[want], u)
	case want == dns.RcodeSuccess:
		m.checkGranted(t, u, reply)
		if u.signer != "" {
			m.sent = append(m.sent, sentUpdate{raw, u})
		}
	}
}

func (m *machine) checkGranted(t *rapid.T, u *modelUpdate, reply *dns.Msg) {
	if u.lease < 0 {
		return
	}
	want := uint32(u.lease)
	if want > 0 {
		want = min(max(want, modelMinLease), modelMaxLease)
	}
	for _, o := range reply.IsEdns0().Option {
		if ul, ok := o.(*dns.EDNS0_UL); ok && ul.Lease == want {
			return
		}
	}
	t.Fatalf("no lease of %d is granted: %s", want, reply)
}

// Again sends a signed update that was done before, which must not be done again.
func (m *machine) Again(t *rapid.T) {
	if len(m.sent) == 0 {
		return
	}
	was := rapid.SampledFrom(m.sent).Draw(t, "of")
	if reply := m.send(t, was.raw); reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNotAuth {
		t.Fatalf("%s: %s", dns.RcodeToString[reply.Rcode], was.u)
	}
}

// Serial sets one: ahead, behind, or as far as it goes (RFC 1982, section 3.2).
func (m *machine) Serial(t *rapid.T) {
	step := rapid.SampledFrom([]uint32{1, 7, 1 << 30, 1<<31 - 1, 1 << 31, 1<<32 - 1}).Draw(t, "step")
	r, err := dns.NewRR(fmt.Sprintf("%s 60 IN SOA ns.other.example. admin.other.example. %d 3600 600 86400 30", apex, m.serial+step))
	if err != nil {
		t.Fatal(err)
	}
	u := new(dns.Msg).SetUpdate(apex)
	u.Insert([]dns.RR{r})
	raw, err := u.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if reply := m.send(t, raw); reply.Rcode != dns.RcodeSuccess {
		t.Fatalf("%s", dns.RcodeToString[reply.Rcode])
	}
	now, want := m.content(t).SOA.Serial, m.serial+step
	switch ahead := step < 1<<31 && want != 0; {
	case !ahead && now != m.serial, ahead && now != want && !(m.burned && rr.SerialGreater(now, want)):
		t.Fatalf("serial %d is %d after a step of %d", m.serial, now, step)
	case ahead && step >= 1<<30:
		m.copies = nil // twice that, and their serials are ahead
	}
	m.serial = now
}

// Clock moves it, ends leases and lets the server look at it.
func (m *machine) Clock(t *rapid.T) {
	m.now += rapid.SampledFrom([]int64{1, 3, 9, 30, 60, 600, 3600, 86400, -1, -20, -86400}).Draw(t, "seconds")
	m.clock.Store(m.now)
	m.lookAtClock()
}

func (m *machine) lookAtClock() {
	had := len(m.leases)
	m.expire()
	m.pending = m.pending || len(m.leases) < had
	m.s.lookAtClock()
}

// Restart ends the server and starts it again.
func (m *machine) Restart(t *rapid.T) {
	m.stop(t)
	m.start(t)
	m.lookAtClock()
}

// Crash goes on with a copy of the data directory as it is now.
func (m *machine) Crash(t *rapid.T) {
	m.crash(t)
	m.lookAtClock()
}

func (m *machine) crash(t *rapid.T) {
	old := m.s
	m.o.DataDir = m.copyOfDir(t, m.o.DataDir)
	none := error(nil)
	if m.fault.Load() == nil {
		m.fault.Store(&none) // of the old one's Shutdown nothing is wanted
	}
	if err := old.Shutdown(context.Background()); err != nil && *m.fault.Load() == nil {
		t.Errorf("Shutdown: %v", err)
	}
	m.fault.Store(nil)
	m.start(t)
}

// copyOfDir copies a store's files as they are at one moment: while none comes or goes.
func (m *machine) copyOfDir(t *rapid.T, from string) string {
	moment := func() string {
		names, _ := filepath.Glob(filepath.Join(from, "*"))
		manifest, err := os.ReadFile(filepath.Join(from, "MANIFEST"))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(names, manifest)
	}
	for {
		dir, before := m.newDir(t), moment()
		err := os.CopyFS(dir, withoutSockets{os.DirFS(from)})
		if before != moment() || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
}

// withoutSockets is a directory without what cannot be copied.
type withoutSockets struct{ fs.FS }

// ReadDir leaves them out.
func (w withoutSockets) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(w.FS, name)
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool { return e.Type()&fs.ModeSocket != 0 }), err
}

// Fault has an update meet a disk that fails before or after the write, and then repairs it, or lets the server crash.
func (m *machine) Fault(t *rapid.T) {
	fault := rapid.SampledFrom([]error{store.ErrTorn, errors.New("before the write")}).Draw(t, "fault")
	crash := rapid.Bool().Draw(t, "crash")
	u := m.draw(t)
	u.signer, u.lease = "", -1 // else nobody could tell from outside what is there after a crash
	after := m.model.clone()
	want := after.update(u)
	m.burned = true
	m.fault.Store(&fault)
	reply := m.send(t, pack(t, u))
	changes := want == dns.RcodeSuccess && !slices.Equal(after.lines(), m.model.lines())
	if reply.Rcode != want && reply.Rcode != dns.RcodeServerFailure || changes && reply.Rcode == want {
		t.Fatalf("%s without a disk, of what would be %s: %s", dns.RcodeToString[reply.Rcode], dns.RcodeToString[want], u)
	}
	if got := m.records(t); !slices.Equal(got, m.model.lines()) && !m.pending {
		t.Fatalf("what is not stored is served: %v", got)
	}
	if crash {
		m.crash(t)
		m.lookAtClock()
		if changes && errors.Is(fault, store.ErrTorn) {
			after.expire()
			if slices.Equal(m.settled(t, after.lines()), after.lines()) {
				*m.model = *after
			}
		}
		return
	}
	m.fault.Store(nil)
	await(t, "the store is repaired", func() bool { return m.s.Zones().All()[0].Failed() == nil })
}

// await polls until something has come to pass.
func await(t *rapid.T, what string, cond func() bool) {
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// settled waits for the records of the model or of another, and gives them.
func (m *machine) settled(t *rapid.T, other []string) (got []string) {
	await(t, "the zone is as the model", func() bool {
		got = m.records(t)
		return slices.Equal(got, other) || slices.Equal(got, m.model.lines())
	})
	return got
}

// Copy has one more secondary copy the zone, and stop to follow for now.
func (m *machine) Copy(t *rapid.T) {
	if m.copies = append(m.copies, m.content(t)); len(m.copies) > 8 {
		m.copies = m.copies[1:]
	}
}

// Follow brings a secondary forward by IXFR.
func (m *machine) Follow(t *rapid.T) {
	if len(m.copies) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.copies)-1).Draw(t, "which")
	forward := m.copies[i]
	ixfr, err := peertest.IXFR(m.addr(), apex, forward.SOA.Serial, nil)
	if err == nil {
		forward, err = forward.Apply(ixfr)
	}
	if err != nil {
		t.Fatal(err)
	}
	now := m.content(t)
	if d := peertest.Difference("AXFR", now.Lines(peertest.View{}), "copy and IXFR", forward.Lines(peertest.View{})); d != "" {
		t.Fatalf("IXFR since %d leads elsewhere:\n%s", m.copies[i].SOA.Serial, d)
	}
	m.copies[i] = forward
}

// Look asks for a name over UDP and TCP.
func (m *machine) Look(t *rapid.T) {
	owner := rapid.SampledFrom(modelOwners).Draw(t, "owner")
	typ := rapid.SampledFrom([]uint16{dns.TypeA, dns.TypeTXT, dns.TypeSRV, dns.TypeCNAME}).Draw(t, "type")
	for _, network := range []string{"udp", "tcp"} {
		reply, _, err := (&dns.Client{Net: network, Timeout: 30 * time.Second}).Exchange(new(dns.Msg).SetQuestion(nameOf(owner), typ), m.addr())
		if err != nil {
			t.Fatal(err)
		}
		if m.has(owner, dns.TypeCNAME) && typ != dns.TypeCNAME {
			if len(reply.Answer) == 0 || reply.Answer[0].Header().Rrtype != dns.TypeCNAME {
				t.Fatalf("%s has a CNAME: %s", owner, reply)
			}
			continue
		}
		var got []string
		for _, a := range reply.Answer {
			got = append(got, dataOf(a))
		}
		slices.Sort(got)
		if !slices.Equal(got, m.sets[modelKey{owner, typ}].data) || (reply.Rcode == dns.RcodeNameError) == m.exists(owner) {
			t.Fatalf("%s %s, want %v: %s", owner, dns.TypeToString[typ], m.sets[modelKey{owner, typ}].data, reply)
		}
	}
}

// Check compares all of the zone. A serial never goes back, and names one content.
func (m *machine) Check(t *rapid.T) {
	var now peertest.Content
	if m.pending {
		m.settled(t, m.model.lines())
		m.pending = false
	}
	now = m.content(t)
	got := records(now)
	if d := peertest.Difference("the model", m.model.lines(), "the zone", got); d != "" {
		t.Fatalf("at %d:\n%s", m.now, d)
	}
	changed := !slices.Equal(got, m.lines)
	if serial := now.SOA.Serial; serial != m.serial && !rr.SerialGreater(serial, m.serial) || changed && serial == m.serial {
		t.Fatalf("serial %d after %d, changed: %v", serial, m.serial, changed)
	}
	m.serial, m.lines = now.SOA.Serial, got
}

func (m *machine) content(t *rapid.T) peertest.Content {
	c, err := peertest.AXFR(m.addr(), apex, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (m *machine) records(t *rapid.T) []string { return records(m.content(t)) }

func records(c peertest.Content) []string { return c.Lines(peertest.View{FoldCase: true})[1:] }

// send sends a message and reads the answer.
func (m *machine) send(t *rapid.T, raw []byte) *dns.Msg {
	network := rapid.SampledFrom([]string{"udp", "tcp"}).Draw(t, "over")
	c, err := net.Dial(network, m.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn := &dns.Conn{Conn: c, UDPSize: 4096}
	if _, err := conn.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	p, err := conn.ReadMsgHeader(nil)
	if err != nil {
		t.Fatal(err)
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(p); err != nil {
		t.Fatal(err)
	}
	return reply
}

func dataOf(r dns.RR) string { return strings.TrimPrefix(r.String(), r.Header().String()) }

// TestServerAgainstModel does random things to a server, in any order: updates of all forms, leases, a clock that moves, restarts,
// crashes, faults of the disk, queries and transfers. What it finds is shrunk to a short script. Flags of rapid make it go on for longer.
func TestServerAgainstModel(t *testing.T) {
	fewChecks(t)
	if err := flag.Set("rapid.nofailfile", "true"); err != nil { // the seed is enough, and leaves nothing in the tree
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) { t.Repeat(rapid.StateMachineActions(newMachine(t))) })
}

// fewChecks is for a test that starts servers: rapid's own number is for what takes no time.
func fewChecks(t *testing.T) {
	t.Helper()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if asked {
		return
	}
	if err := flag.Set("rapid.checks", "12"); err != nil {
		t.Fatal(err)
	}
}
