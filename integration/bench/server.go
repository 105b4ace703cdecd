//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// patience bounds the wait for a server to come up or to end.
const patience = 5 * time.Minute

// server is a program that runs on a directory of its own.
type server struct {
	kind  *kind
	set   setting
	data  *data
	addr  string
	argv  []string
	env   []string
	cmd   *exec.Cmd
	ended chan struct{} // closed when the program has ended
	say   func(format string, args ...any)
}

// options of prepare.
type how struct {
	cookies, history bool
	empty            bool  // without dialtone's store: it reads the zone file
	cores            []int // nil: the server's core
}

// prepare makes the directory of a server: its configuration, and the store of one that keeps it.
func (b *bench) prepare(ctx context.Context, k *kind, numbers int, h how) (*server, error) {
	d, err := b.data(numbers)
	if err != nil {
		return nil, err
	}
	if k.keeps && !h.empty {
		if err := b.seed(ctx, k, d); err != nil {
			return nil, err
		}
	}
	b.runs++
	dir := filepath.Join(b.dir, fmt.Sprintf("s%d", b.runs))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if k.keeps && !h.empty {
		if err := copyStore(ctx, b.seeds[numbers], filepath.Join(dir, "data")); err != nil {
			return nil, err
		}
	}
	// BIND keeps its journal beside the zone file.
	file := filepath.Join(dir, "zone")
	if err := os.Symlink(d.zone, file); err != nil {
		return nil, err
	}
	s := &server{kind: k, data: d, say: b.say, set: setting{dir: dir, zoneFile: file, cookies: h.cookies, history: h.history, cores: h.cores}}
	if s.set.cores == nil && b.plan.pin {
		s.set.cores = []int{serverCore}
	}
	return s, b.configure(s)
}

func (b *bench) configure(s *server) error {
	var err error
	if s.set.port, err = freePort(); err != nil {
		return err
	}
	s.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.set.port))
	conf := filepath.Join(s.set.dir, s.kind.file)
	if err := os.WriteFile(conf, []byte(s.kind.config(s.set)), 0o644); err != nil {
		return err
	}
	s.argv = s.kind.argv(b.programs[s.kind], conf, s.set)
	if len(s.set.cores) > 0 {
		list := strings.Trim(strings.ReplaceAll(fmt.Sprint(s.set.cores), " ", ","), "[]")
		s.argv = append([]string{"taskset", "-c", list}, s.argv...)
		s.env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(s.set.workers()))
	}
	// What the making of files left to write must not be written during a measurement.
	syscall.Sync()
	return nil
}

// seed makes the store of a server that keeps one, once for each size.
func (b *bench) seed(ctx context.Context, k *kind, d *data) error {
	if b.seeds[d.numbers] != "" {
		return nil
	}
	s, err := b.prepare(ctx, k, d.numbers, how{empty: true})
	if err != nil {
		return err
	}
	took, err := s.start(ctx)
	if err == nil {
		err = s.stop()
	}
	if err != nil {
		s.kill()
		return err
	}
	b.say("%s has stored %s numbers; from start to answer %.1f s", k.name, thousands(float64(d.numbers), 0), took.Seconds())
	b.firsts[d.numbers] = took
	b.seeds[d.numbers] = filepath.Join(s.set.dir, "data")
	return nil
}

// start runs the program, and gives the time until it answers for a number.
func (s *server) start(ctx context.Context) (time.Duration, error) {
	log, err := os.OpenFile(filepath.Join(s.set.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}
	defer func() { _ = log.Close() }()
	s.cmd = exec.Command(s.argv[0], s.argv[1:]...)
	s.cmd.Dir, s.cmd.Env = s.set.dir, s.env
	s.cmd.Stdout, s.cmd.Stderr = log, log
	// A group of its own: an interrupt at the terminal is for this program, which then ends its servers.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.ended = make(chan struct{})
	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}(s.cmd, s.ended)
	if err := s.untilAnswer(ctx); err != nil {
		s.kill()
		return 0, fmt.Errorf("%s did not come up: %w; its log ends:\n%s", s.kind.name, err, s.logTail())
	}
	return time.Since(begin), nil
}

// pollEvery is the pace at which a starting server is asked: the precision of what a start is said to take.
const pollEvery = time.Millisecond

func (s *server) untilAnswer(ctx context.Context) error {
	q := new(dns.Msg)
	q.SetQuestion(fmt.Sprintf("%d.%s", s.data.first+s.data.numbers/2, zoneName), dns.TypeA)
	m, err := q.Pack()
	if err != nil {
		return err
	}
	begin, said := time.Now(), time.Now()
	last := errors.New("no answer")
	for time.Since(begin) < patience {
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			s.say("%s is starting: %.0f s so far", s.kind.name, time.Since(begin).Seconds())
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.ended:
			return errors.New("it ended")
		default:
		}
		if last = s.ask(m); last == nil {
			return nil
		}
	}
	return last
}

// ask sends one query on a socket of its own and reads what comes within the pace of polling.
func (s *server) ask(m []byte) error {
	c, err := net.Dial("udp", s.addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	wait := time.Now().Add(pollEvery)
	_ = c.SetReadDeadline(wait)
	if _, err := c.Write(m); err != nil {
		time.Sleep(time.Until(wait))
		return err
	}
	buf := make([]byte, 512)
	n, err := c.Read(buf)
	if err != nil {
		time.Sleep(time.Until(wait))
		return err
	}
	r := new(dns.Msg)
	if err := r.Unpack(buf[:n]); err != nil {
		return err
	}
	if r.Rcode != dns.RcodeSuccess || len(r.Answer) != 1 {
		time.Sleep(time.Until(wait))
		return fmt.Errorf("it answers %s with %d records", dns.RcodeToString[r.Rcode], len(r.Answer))
	}
	return nil
}

// stop ends the server in the way that keeps its store in order.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(patience):
		s.kill()
		return fmt.Errorf("%s did not stop within %v", s.kind.name, patience)
	}
}

// kill ends the server and its children at once.
func (s *server) kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // fails when nothing is left
	<-s.ended
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func (s *server) logTail() string {
	text, err := os.ReadFile(filepath.Join(s.set.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// discard ends the server and removes what it wrote, unless the data is to be kept.
func (b *bench) discard(s *server) {
	s.kill()
	if b.keep {
		return
	}
	_ = os.RemoveAll(s.set.dir)
}

// copyStore copies a store, whose files may have holes. Links would not do: Badger empties a table before it removes it.
func copyStore(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "-r", "--sparse=auto", "--reflink=auto", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copying a store: %w\n%s", err, out)
	}
	return nil
}

// freePort gives a port that is free for UDP and TCP, below the range for outgoing connections.
func freePort() (int, error) {
	for range 1000 {
		port := 12000 + rand.IntN(18000)
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		c, err := net.ListenPacket("udp", addr)
		_ = l.Close()
		if err == nil {
			_ = c.Close()
			return port, nil
		}
	}
	return 0, errors.New("no free port between 12000 and 30000 on 127.0.0.1")
}
