//go:build soak

package soak

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"dialtone/integration/peertest"
)

// trouble makes some until the time given, with restarts or without.
func (s *soak) trouble(until time.Time, restarts bool) {
	kinds := []func(){s.suspend, s.diskFault, s.slowReaders, s.reload}
	if restarts {
		kinds = append(kinds, s.kill, s.kill, func() { s.restart(false) })
	}
	var next []func() // each kind comes as often as the others
	for time.Now().Before(until) && !s.t.Failed() {
		if len(next) == 0 {
			s.random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
			next = kinds
		}
		next[0]()
		next = next[1:]
		s.wait(min(time.Duration(1000+s.random.IntN(5000))*time.Millisecond, time.Until(until)))
	}
	s.wantUpdates()
}

func (s *soak) pid() int { return s.server.Pid() }

// kill ends the server as a crash would, in the middle of everything.
func (s *soak) kill() {
	s.kills.Add(1)
	s.server.Kill(s.t)
	s.server.Restart(s.t)
}

// maxStop is how long a server may take to end (after SIGTERM).
const maxStop = 5 * time.Second

// restart asks it to end. Transfers and updates are under way, unless it is quiet.
func (s *soak) restart(quiet bool) {
	s.stops.Add(1)
	begun := time.Now()
	code := s.server.Stop(s.t)
	took := time.Since(begun)
	s.longestStop = max(s.longestStop, took)
	if code != 0 || took > maxStop {
		s.t.Errorf("SIGTERM, quiet %v: exit code %d after %v", quiet, code, took)
	}
	s.server.Restart(s.t)
}

// suspend stops the process for some time; the clock goes on.
func (s *soak) suspend() {
	s.pauses.Add(1)
	s.server.Signal(s.t, syscall.SIGSTOP)
	s.wait(time.Duration(200+s.random.IntN(4000)) * time.Millisecond)
	s.server.Signal(s.t, syscall.SIGCONT)
}

// diskFault has every sync of the server fail for some seconds.
func (s *soak) diskFault() {
	fault := [...]string{"EIO", "ENOSPC"}[s.random.IntN(2)]
	cmd := exec.Command(peertest.Program(s.t, "strace"), "-f", "-qq", "-o", os.DevNull, "-p", strconv.Itoa(s.pid()),
		"-e", "trace=fdatasync,fsync,msync", "-e", "inject=fdatasync,fsync,msync:error="+fault)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	refused := s.refused.Load()
	deadline := time.Now().Add(peertest.Patience)
	for s.refused.Load() == refused && time.Now().Before(deadline) {
		s.wait(50 * time.Millisecond)
	}
	s.wait(time.Duration(s.random.IntN(2000)) * time.Millisecond)
	_ = cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() > 0 {
		s.t.Errorf("strace: %v", err)
	}
	if s.refused.Load() == refused {
		s.t.Errorf("no update was refused while %s is what a sync gets", fault)
	}
	s.faults.Add(1)
	s.wantUpdates()
}

// wantUpdates waits until updates are taken (again).
func (s *soak) wantUpdates() {
	peertest.Eventually(s.t, peertest.Patience, "updates are taken", func() error {
		c := peertest.NewClient(s.server.Addr, "tcp", nil)
		defer c.Close()
		rcode, err := c.Do(peertest.Register(phones, "5559999."+phones, fmt.Sprintf("10.0.0.%d", s.random.IntN(250))))
		if err == nil && rcode != dns.RcodeSuccess {
			err = fmt.Errorf("%s", dns.RcodeToString[rcode])
		}
		return err
	})
}

// slowReaders ask for the whole zone and take nothing of it; they are gone when the server gives them up, or here.
func (s *soak) slowReaders() {
	q, err := new(dns.Msg).SetAxfr(phones).Pack()
	if err != nil {
		s.t.Fatal(err)
	}
	for range 5 {
		c, err := net.Dial("tcp", s.server.Addr)
		if err != nil {
			s.t.Error(err)
			return
		}
		defer c.Close()
		_ = c.(*net.TCPConn).SetReadBuffer(1024)
		_, _ = (&dns.Conn{Conn: c}).Write(q)
	}
	s.wait(3 * time.Second)
}

// extraZone comes and goes by reloads.
const extraZone = "  - {name: extra.example., file: DIR/zone.db, acl: [{address: 127.0.0.0/8, action: [update, transfer]}]}\n"

// reload has the configuration read again, with a zone more or less than before, and at times with a mistake that must change nothing.
func (s *soak) reload() {
	path := s.server.Dir + "/dialtone.yaml"
	was, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	extra := strings.ReplaceAll(extraZone, "DIR", s.server.Dir)
	next, had := strings.CutSuffix(string(was), extra)
	if !had {
		next += extra
	}
	for _, c := range []struct {
		text string
		code int
	}{{next + "nonsense: 1\n", 2}, {next, 0}} {
		peertest.Write(s.t, s.server.Dir, "dialtone.yaml", c.text)
		r := peertest.Run(s.t, s.server.Dir, "", peertest.Binary(s.t), "reload", "--config", path)
		if r.Code != c.code {
			s.t.Errorf("reload: exit code %d, not %d\n%s%s", r.Code, c.code, r.Stdout, r.Stderr)
		}
	}
	s.reloads.Add(1)
	r, err := ask(s.server.Addr, "extra.example.", dns.TypeSOA)
	if err != nil || (len(r.Answer) == 1) == had {
		s.t.Errorf("after a reload, extra zone %v: %v, %v", !had, r, err)
	}
}
