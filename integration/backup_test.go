package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// command runs dialtone with a server's configuration.
func command(t *testing.T, s *peertest.Server, args ...string) peertest.Result {
	t.Helper()
	return peertest.Run(t, s.Dir, "", append([]string{peertest.Binary(t)}, append(args, "--config", s.Dir+"/dialtone.yaml")...)...)
}

func mustCommand(t *testing.T, s *peertest.Server, args ...string) string {
	t.Helper()
	r := command(t, s, args...)
	if r.Code != 0 {
		t.Fatalf("dialtone %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// restoreInto makes the data directory of a server that is stopped anew, from backups, and starts it.
func restoreInto(t *testing.T, s *peertest.Server, files ...string) {
	t.Helper()
	if err := os.RemoveAll(s.Dir + "/data"); err != nil {
		t.Fatal(err)
	}
	mustCommand(t, s, append([]string{"restore"}, files...)...)
	s.Restart(t)
}

// writer is a client that writes a count to its number, over and over.
type writer struct {
	owner       string
	acked, sent atomic.Int64
}

func (w *writer) run(t *testing.T, addr string, stop <-chan struct{}) {
	c := peertest.NewClient(addr, "tcp", nil)
	defer c.Close()
	for n := int64(1); ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		w.sent.Store(n)
		m := peertest.Register(phones, w.owner, fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255))
		if rcode, err := c.Do(m); err != nil || rcode != dns.RcodeSuccess {
			t.Errorf("%s: %s, %v", w.owner, dns.RcodeToString[rcode], err)
			return
		}
		w.acked.Store(n)
	}
}

// TestBackupsWhileUpdatesGoOn makes a full backup and increments while clients write. Each chain, restored, holds all that was
// acknowledged before its last backup began, and nothing that was sent after it ended.
func TestBackupsWhileUpdatesGoOn(t *testing.T) {
	server := peertest.Dialtone(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): paddedFile(2000)})
	other := peertest.Dialtone(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): phonesFile})
	writers := make([]*writer, 8)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range writers {
		writers[i] = &writer{owner: fmt.Sprintf("666%d.%s", i, phones)}
		wg.Go(func() { writers[i].run(t, server.Addr, stop) })
	}
	counts := func(of func(w *writer) *atomic.Int64) (list []int64) {
		for _, w := range writers {
			list = append(list, of(w).Load())
		}
		return list
	}
	acked := func(w *writer) *atomic.Int64 { return &w.acked }
	sent := func(w *writer) *atomic.Int64 { return &w.sent }
	peertest.Eventually(t, peertest.Patience, "all clients write", func() error {
		for _, n := range counts(acked) {
			if n < 20 {
				return fmt.Errorf("one has written %d", n)
			}
		}
		return nil
	})
	var files []string
	var before, after [][]int64
	for i := range 3 {
		files = append(files, filepath.Join(server.Dir, fmt.Sprint("backup", i)))
		args := []string{"backup", files[i]}
		if i > 0 {
			args = append(args, "--since", files[i-1])
		}
		before = append(before, counts(acked))
		mustCommand(t, server, args...)
		after = append(after, counts(sent))
	}
	close(stop)
	wg.Wait()
	for i := range files {
		if fi, err := os.Stat(files[i]); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", fi.Mode(), err)
		}
		other.Stop(t)
		restoreInto(t, other, files[:i+1]...)
		copied := peertest.MustAXFR(t, other.Addr, phones)
		found := map[string]int64{}
		for _, r := range copied.Records {
			if a, ok := r.(*dns.A); ok && a.A.To4()[0] == 10 {
				found[strings.ToLower(a.Hdr.Name)] = int64(a.A.To4()[1])<<16 | int64(a.A.To4()[2])<<8 | int64(a.A.To4()[3])
			}
		}
		for j, w := range writers {
			if n := found[w.owner]; n < before[i][j] || n > after[i][j] {
				t.Errorf("backup %d: %s has %d, %d was acknowledged before it, and %d sent when it ended", i, w.owner, n, before[i][j], after[i][j])
			}
		}
	}
	last := mustCommand(t, server, "backup", server.Dir+"/last", "--since", files[2])
	if !strings.Contains(last, "what has changed since version") {
		t.Error(last)
	}
	other.Stop(t)
	restoreInto(t, other, append(files, server.Dir+"/last")...)
	want := peertest.MustAXFR(t, server.Addr, phones).Lines(peertest.View{NoSerial: true})
	got := peertest.MustAXFR(t, other.Addr, phones).Lines(peertest.View{NoSerial: true})
	if d := peertest.Difference("the server", want, "the restored one", got); d != "" {
		t.Error(d)
	}
}

// followed starts a server with a zone of so many padded names, of which NSD and Knot are secondaries.
func followed(t *testing.T, names int) (server *peertest.Server, secondaries []*peertest.Server) {
	t.Helper()
	ports := []int{peertest.Port(t), peertest.Port(t)}
	config := openConfig(phones) + fmt.Sprintf("    notify: [\"127.0.0.1:%d\", \"127.0.0.1:%d\"]\n", ports[0], ports[1])
	server = peertest.Dialtone(t, phones, config, map[string]string{peertest.ZoneFile(phones): paddedFile(names)})
	return server, []*peertest.Server{
		peertest.NSD(t, phones, peertest.NSDSecondary(phones, server.Addr, nil), nil, ports[0]),
		peertest.Knot(t, phones, peertest.KnotSecondary(phones, server.Addr, nil), nil, ports[1]),
	}
}

// TestSecondariesAfterARestore: NSD and Knot have changes that are lost, and follow the restored server all the same. Whoever has
// a lost serial is led to what is there now.
func TestSecondariesAfterARestore(t *testing.T) {
	server, peers := followed(t, 200)
	converged := func() {
		t.Helper()
		for _, p := range peers {
			peertest.Converged(t, time.Minute, phones, server, p, peertest.View{FoldCase: true})
		}
	}
	update := func(n int) {
		t.Helper()
		c := peertest.NewClient(server.Addr, "tcp", nil)
		defer c.Close()
		if rcode, err := c.Do(peertest.Register(phones, "777."+phones, fmt.Sprintf("10.0.0.%d", n))); err != nil || rcode != dns.RcodeSuccess {
			t.Fatalf("%s, %v", dns.RcodeToString[rcode], err)
		}
	}
	update(1)
	mustCommand(t, server, "backup", server.Dir+"/backup")
	var lost []peertest.Content
	for n := 2; n < 6; n++ {
		lost = append(lost, peertest.MustAXFR(t, server.Addr, phones)) // the first is that of the backup
		update(n)
	}
	lost = append(lost, peertest.MustAXFR(t, server.Addr, phones))
	converged()
	server.Kill(t)
	restoreInto(t, server, server.Dir+"/backup")
	for n := 100; n < 110; n++ { // more than were lost
		update(n)
	}
	converged()
	after := peertest.MustAXFR(t, server.Addr, phones)
	for i, before := range lost {
		wantWayForward(t, server, before, after, i == 0)
	}
}

// TestExportLoadsInOtherServers exports a zone with odd names and data, which BIND, NSD and Knot then serve from that file.
func TestExportLoadsInOtherServers(t *testing.T) {
	server := peertest.Dialtone(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): phonesFile})
	s := &subject{name: "dialtone", server: server}
	if err := s.redial(); err != nil {
		t.Fatal(err)
	}
	defer func() { s.stream.Close() }()
	taken := addOddRecords(t, s)
	file := filepath.Join(server.Dir, "exported.zone")
	mustCommand(t, server, "zone", "export", phones, file)
	r := peertest.Run(t, server.Dir, "", peertest.Program(t, "named-checkzone"), "-k", "ignore", phones, file)
	if r.Code != 0 || !strings.Contains(r.Stdout, "OK") {
		t.Errorf("named-checkzone: %s%s", r.Stdout, r.Stderr)
	}
	if r := command(t, server, "zone", "import", phones, file); r.Code != 0 || !strings.Contains(r.Stdout, "is as the file says") {
		t.Errorf("imported again: %s%s", r.Stdout, r.Stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{peertest.ZoneFile(phones): string(text)}
	want := peertest.MustAXFR(t, server.Addr, phones).Lines(peertest.View{FoldCase: true})
	for _, peer := range []*peertest.Server{
		peertest.BIND(t, phones, peertest.BINDPrimary(phones), files),
		peertest.NSD(t, phones, peertest.NSDPrimary(phones), files),
		peertest.Knot(t, phones, peertest.KnotPrimary(phones), files),
	} {
		got := peertest.MustAXFR(t, peer.Addr, phones).Lines(peertest.View{FoldCase: true})
		if d := peertest.Difference("dialtone", want, peer.Name, got); d != "" {
			t.Errorf("%s has another zone:\n%s", peer.Name, d)
		}
	}
	if taken < 500 {
		t.Errorf("only %d records were taken", taken)
	}
}

// addOddRecords adds records with odd names and with random data, most of which are refused. It gives how many were taken.
func addOddRecords(t *testing.T, s *subject) (taken int) {
	t.Helper()
	seed := env(t, "DIALTONE_TEST_SEED", rand.Uint64N(1<<32))
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1035))
	add := func(e peertest.Entry) {
		t.Helper()
		rcode, err := s.send(peertest.Update{Zone: []peertest.Entry{{Owner: phones, Type: dns.TypeSOA, Class: dns.ClassINET}}, Updates: []peertest.Entry{e}})
		if err != nil {
			t.Fatal(err)
		}
		if rcode == dns.RcodeSuccess {
			taken++
		}
	}
	for i, label := range append(rawLabels, "$origin", `\$ttl`, "a$b", `\(`, `x\)y`, "*.wild", "_sip._udp.5551234") {
		add(peertest.Entry{Owner: label + "." + phones, Type: dns.TypeTXT, Class: dns.ClassINET, TTL: uint32(i), Data: []byte("\x03\x00\xff\"\x02\\;")})
	}
	for i := range 4000 {
		typ := pickDataType(random)
		if typ == dns.TypeMD || typ == dns.TypeMF {
			continue // BIND takes them in a transfer, but in no file
		}
		add(peertest.Entry{Owner: fmt.Sprintf("%d.%s", i, phones), Type: typ, Class: dns.ClassINET, TTL: 60, Data: randomData(random)})
	}
	return taken
}

// TestImportIsFollowedByIXFR: what an import changes reaches NSD and Knot as a difference, as any update does.
func TestImportIsFollowedByIXFR(t *testing.T) {
	server, peers := followed(t, 2000)
	for _, p := range peers {
		peertest.Converged(t, time.Minute, phones, server, p, peertest.View{FoldCase: true})
	}
	before := peertest.MustAXFR(t, server.Addr, phones)
	ixfrs := regexp.MustCompile(`IXFR, incoming, remote \S+, finished`)
	had := len(ixfrs.FindAllString(peers[1].Log(), -1))
	mustCommand(t, server, "zone", "freeze", phones)
	text := mustCommand(t, server, "zone", "export", phones)
	edited := strings.Replace(text, "A\t192.0.2.", "A\t198.51.100.", 20) + "888 60 A 192.0.2.88\n888 60 TXT \"by hand\"\n"
	file := peertest.Write(t, server.Dir, "edited.zone", edited)
	shown := mustCommand(t, server, "zone", "import", phones, file, "--dry-run")
	if !strings.Contains(shown, "\n+888 60 IN A 192.0.2.88\n") || !strings.Contains(shown, "Nothing is changed yet") {
		t.Error(shown)
	}
	said := mustCommand(t, server, "zone", "import", phones, file)
	if want := fmt.Sprintf("serial %d (it was %d)", before.SOA.Serial+1, before.SOA.Serial); !strings.Contains(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
	mustCommand(t, server, "zone", "thaw", phones)
	for _, p := range peers {
		peertest.Converged(t, time.Minute, phones, server, p, peertest.View{FoldCase: true})
	}
	wantWayForward(t, server, before, peertest.MustAXFR(t, server.Addr, phones), true)
	if n := len(ixfrs.FindAllString(peers[1].Log(), -1)); n != had+1 {
		t.Errorf("Knot has got %d IXFRs for one import", n-had)
	}
}
