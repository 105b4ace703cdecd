package peertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Server is a name server under test, or a peer.
type Server struct {
	*Process
	Addr string // 127.0.0.1:port, UDP and TCP
	Port int
	Dir  string
	argv []string
	zone string // a zone that is asked for to see whether the server is up

	// StartsWithin is how long it may take to come up, when that is more than Patience.
	StartsWithin time.Duration
}

// launch starts the program and waits until it answers for the zone.
func (s *Server) launch(t testing.TB) {
	t.Helper()
	s.Process = Start(t, filepath.Base(s.argv[0]), s.Dir, s.argv...)
	s.readyWithin(t, max(Patience, s.StartsWithin), s.answers)
}

// answers asks for the SOA of the server's zone over UDP and TCP.
func (s *Server) answers() error {
	for _, network := range []string{"udp", "tcp"} {
		c := dns.Client{Net: network, Timeout: time.Second}
		q := new(dns.Msg)
		q.SetQuestion(s.zone, dns.TypeSOA)
		r, _, err := c.Exchange(q, s.Addr)
		if err != nil {
			return err
		}
		if r.Rcode != dns.RcodeSuccess || len(r.Answer) == 0 {
			return fmt.Errorf("%s: SOA of %s: %s", network, s.zone, dns.RcodeToString[r.Rcode])
		}
	}
	return nil
}

// Restart starts the server again after Stop or Kill, on the same data and port.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.launch(t)
}

// Key is a TSIG key as all programs want it.
type Key struct {
	Name      string // with final dot
	Algorithm string // hmac-sha256...
	Secret    string // base64
}

// Dialtone starts the built binary on a configuration in which PORT stands for a free port and DIR for the
// server's own directory. Files are put into that directory first. The zone is asked for to see that it is up.
func Dialtone(t testing.TB, zone, config string, files map[string]string) *Server {
	t.Helper()
	s := NewDialtone(t, config, files)
	s.zone = dns.Fqdn(zone)
	s.launch(t)
	return s
}

// DialtoneWithin is Dialtone for one that has much to load.
func DialtoneWithin(t testing.TB, within time.Duration, zone, config string, files map[string]string) *Server {
	t.Helper()
	s := NewDialtone(t, config, files)
	s.zone, s.StartsWithin = dns.Fqdn(zone), within
	s.launch(t)
	return s
}

// NewDialtone is Dialtone without starting it.
func NewDialtone(t testing.TB, config string, files map[string]string) *Server {
	t.Helper()
	bin := Binary(t)
	s := &Server{Dir: t.TempDir(), Port: Port(t)}
	s.Addr = fmt.Sprintf("127.0.0.1:%d", s.Port)
	fill := strings.NewReplacer("PORT", strconv.Itoa(s.Port), "DIR", s.Dir)
	for name, content := range files {
		Write(t, s.Dir, name, content)
	}
	path := Write(t, s.Dir, "dialtone.yaml", fill.Replace(config))
	s.argv = []string{bin, "serve", "--config", path}
	return s
}

// BIND runs named on a configuration in which PORT and DIR are replaced likewise. A port may be given that a primary had to
// know before.
func BIND(t testing.TB, zone, config string, files map[string]string, port ...int) *Server {
	t.Helper()
	s := newPeer(t, zone, "named.conf", config, files, port)
	s.argv = []string{Daemon(t, "named", s.Dir), "-g", "-n", "1", "-c", s.Dir + "/named.conf"}
	s.launch(t)
	return s
}

// Knot runs knotd.
func Knot(t testing.TB, zone, config string, files map[string]string, port ...int) *Server {
	t.Helper()
	s := newPeer(t, zone, "knot.conf", config, files, port)
	s.argv = []string{Daemon(t, "knotd", s.Dir), "-c", s.Dir + "/knot.conf"}
	s.launch(t)
	return s
}

// NSD runs nsd.
func NSD(t testing.TB, zone, config string, files map[string]string, port ...int) *Server {
	t.Helper()
	s := newPeer(t, zone, "nsd.conf", config, files, port)
	s.argv = []string{Daemon(t, "nsd", s.Dir), "-d", "-c", s.Dir + "/nsd.conf"}
	s.launch(t)
	return s
}

func newPeer(t testing.TB, zone, name, config string, files map[string]string, port []int) *Server {
	t.Helper()
	if len(port) == 0 {
		port = []int{Port(t)}
	}
	s := &Server{Dir: peerDir(t), Port: port[0], zone: dns.Fqdn(zone)}
	s.Addr = fmt.Sprintf("127.0.0.1:%d", s.Port)
	for file, content := range files {
		Write(t, s.Dir, file, content)
	}
	Write(t, s.Dir, name, strings.NewReplacer("PORT", strconv.Itoa(s.Port), "DIR", s.Dir).Replace(config))
	return s
}

// peerDir gives a directory that a program may use after giving up root, too. Its name is short: a path of
// a control socket must fit 108 octets.
func peerDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// DialtoneDefault runs dialtone serve without a configuration in dir. The port is the one of the embedded default.
func DialtoneDefault(t testing.TB, dir, zone string, port int) *Server {
	t.Helper()
	s := &Server{Dir: dir, Port: port, Addr: fmt.Sprintf("127.0.0.1:%d", port), zone: dns.Fqdn(zone)}
	s.argv = []string{Binary(t), "serve"}
	s.launch(t)
	return s
}

// Refuses starts a server that is expected to end at once, and gives what it printed and its exit code.
func (s *Server) Refuses(t testing.TB) (log string, code int) {
	t.Helper()
	p := Start(t, filepath.Base(s.argv[0]), s.Dir, s.argv...)
	code = p.Wait(t)
	return p.Log(), code
}
