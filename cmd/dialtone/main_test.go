package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"dialtone/config"
	"dialtone/dnsserver"
)

func TestMain(m *testing.M) {
	systemConfig = os.Getenv("TEST_SYSTEM_CONFIG") // not what this machine may have
	testscript.Main(m, map[string]func(){"dialtone": main})
}

// TestScripts runs the scenarios in testdata: what is typed, what is read, and
// the exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			g, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
			if err == nil {
				e.Setenv("GROUP", g.Name)
			}
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exit":   exitCode,
			"occupy": occupy,
			"served": served,
			"damage": damage,
		},
	})
}

// exit CODE COMMAND ARGS... wants that exit code.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE COMMAND ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

// occupy VARIABLE takes a TCP port of 127.0.0.1 until the script ends.
func occupy(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// served CONFIG starts a server on a configuration and stops it again.
func served(ts *testscript.TestScript, _ bool, args []string) {
	conf, err := config.Load(ts.MkAbs(args[0]))
	ts.Check(err)
	o, err := options(conf)
	ts.Check(err)
	o.Logger = slog.New(slog.DiscardHandler)
	s, err := dnsserver.Start(context.Background(), o)
	ts.Check(err)
	ts.Check(s.Shutdown(context.Background()))
}

// damage PATTERN OFFSET COUNT changes octets of the first file that matches.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	list, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(list) == 0 {
		ts.Fatalf("no file %s", args[0])
	}
	data, err := os.ReadFile(list[0])
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	for i := range n {
		data[at+i] ^= 0x55
	}
	ts.Check(os.WriteFile(list[0], data, 0o600))
}

// server is a running process of dialtone.
type server struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr *strings.Builder
}

// start runs the test binary as dialtone.
func start(t *testing.T, dir string, env []string, args ...string) *server {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "dialtone")
	if err := os.Symlink(exe, bin); err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: exec.CommandContext(context.Background(), bin, args...), stderr: new(strings.Builder)}
	s.cmd.Dir, s.cmd.Env, s.cmd.Stderr = dir, append(os.Environ(), env...), s.stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdout = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
	return s
}

// readUntil reads the standard output up to the line with text.
func (s *server) readUntil(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	for !strings.Contains(b.String(), text) {
		line, err := s.stdout.ReadString('\n')
		if err != nil {
			t.Fatalf("%v; standard output:\n%s\nstandard error:\n%s", err, b.String(), s.stderr)
		}
		b.WriteString(line)
	}
	return b.String()
}

// stop sends the signal and wants a clean end.
func (s *server) stop(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, s.stdout)
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("after %v: %v\n%s", sig, err, s.stderr)
	}
}

// The lines that the start message shows must work as they are, and what they
// registered must be there after a restart.
func TestServeWithoutConfigurationDoesWhatItsMessageSays(t *testing.T) {
	dir, env := t.TempDir(), []string{"DIALTONE_LISTEN=127.0.0.1:0"}
	s := start(t, dir, env, "serve")
	text := s.readUntil(t, "Ctrl-C")
	for _, want := range []string{"serves phones.example. on 127.0.0.1:", "no signature", "only this machine", "capped at 60 s", "./dialtone-data", "| nsupdate"} {
		if !strings.Contains(text, want) {
			t.Errorf("the start message lacks %q:\n%s", want, text)
		}
	}
	add := regexp.MustCompile(`printf 'server (\S+) (\d+)\\nzone (\S+)\\nupdate delete \S+ A\\nupdate add (.*)\\nsend\\n' \| nsupdate`).FindStringSubmatch(text)
	dig := regexp.MustCompile(`dig @(\S+) -p (\d+) (\S+) A \+short`).FindStringSubmatch(text)
	if add == nil || dig == nil {
		t.Fatalf("no lines to try:\n%s", text)
	}
	record, err := dns.NewRR(add[4])
	if err != nil {
		t.Fatal(err)
	}
	update := new(dns.Msg)
	update.SetUpdate(add[3])
	update.Insert([]dns.RR{record})
	reply, err := dns.Exchange(update, net.JoinHostPort(add[1], add[2]))
	if err != nil || reply.Rcode != dns.RcodeSuccess {
		t.Fatalf("%v\n%v", reply, err)
	}
	lookUp(t, net.JoinHostPort(dig[1], dig[2]), dig[3], "192.0.2.17")
	s.stop(t, syscall.SIGTERM)

	s = start(t, dir, env, "serve")
	dig = regexp.MustCompile(`dig @(\S+) -p (\d+) (\S+) A \+short`).FindStringSubmatch(s.readUntil(t, "Ctrl-C"))
	lookUp(t, net.JoinHostPort(dig[1], dig[2]), dig[3], "192.0.2.17")
	s.stop(t, syscall.SIGINT)
}

// timeout(1) signals its child and then the group of the child; a terminal that closes sends SIGHUP.
func TestSignalsThatComeTwiceOrFromTheTerminalStopCleanly(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		s := start(t, t.TempDir(), []string{"DIALTONE_LISTEN=127.0.0.1:0"}, "serve")
		s.readUntil(t, "Ctrl-C")
		if err := s.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		s.cmd.Process.Signal(sig) // it may have ended already
		io.Copy(io.Discard, s.stdout)
		if err := s.cmd.Wait(); err != nil || !strings.Contains(s.stderr.String(), "msg=stopped") {
			t.Errorf("after %v twice: %v\n%s", sig, err, s.stderr)
		}
	}
}

// Two servers on one directory would destroy it.
func TestASecondServerOnTheDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	env := []string{"DIALTONE_LISTEN=127.0.0.1:0", "DIALTONE_DATA_DIR=data"}
	first := start(t, dir, env, "serve")
	first.readUntil(t, "Ctrl-C")
	second := start(t, dir, env, "serve")
	io.Copy(io.Discard, second.stdout)
	err := second.cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.HasPrefix(second.stderr.String(), "environment: DIALTONE_DATA_DIR: data directory data ") {
		t.Errorf("%v\n%s", err, second.stderr)
	}
	first.stop(t, syscall.SIGTERM)
}

func lookUp(t *testing.T, server, name, want string) {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, dns.TypeA)
	reply, err := dns.Exchange(q, server)
	if err != nil {
		t.Fatal(err)
	}
	if len(reply.Answer) != 1 || reply.Answer[0].(*dns.A).A.String() != want {
		t.Fatalf("%v", reply)
	}
}

// Every setting must reach the server: one that is read and then forgotten
// would do nothing, silently.
func TestEverySettingReachesTheServer(t *testing.T) {
	const file = `listen: ["127.0.0.1:5300"]
data_dir: d
server_id: ns1
cookie_secrets: [00112233445566778899aabbccddeeff]
cookies: false
keys: [{name: k., algorithm: hmac-sha512, secret: YWJj, signed_late: 3s}]
zones:
  - name: a.
    file: f
    max_ttl: 5
    max_records: 25
    acl: [{key: "*", action: update, update_owner: name, update_owner_match: pattern, update_owner_name: "x?", update_type: A}, {deny: true}]
    notify: [{address: "127.0.0.1:1", key: k.}]
    lease: {default: 1m, min: 2s, max: 3h, key_max: 4h}
    journal: {max_age: 1h, max_size: 2}
    derived_keys: {seed: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}
metrics: {listen: "127.0.0.1:2", zones: 21}
rate_limit: {responses_per_second: 1, referrals_per_second: 2, nodata_per_second: 3, nxdomains_per_second: 4, errors_per_second: 5, all_per_second: 6,
  window: 7s, slip: 8, ipv4_prefix: 9, ipv6_prefix: 10, exempt: 192.0.2.0/24, table_size: 2048, log_only: true}
log: {query_sample: 25}
web: {listen: "127.0.0.1:3", token_file: TOKEN, hosts: a, connections: 30, streams: 31}
dnstap: {file: tap, max_file: 1MiB, queue: 64KiB, queries: true, updates: true, responses: true}
limits: {update_queue: 1, update_queue_total: 20, updates_per_key: 21, updates_per_source: 22, update_records: 23, name_records: 24, logged_refusals: 25, batch_ops: 2, commit_interval: 3ms, refresh_interval: 4ms, rrset_records: 3, names_per_number: 20, slow_queue: 4, source_updates: 16, update_answers: 17, key_verifications: 18, tsig_verifications: 26, claims_per_source: 19, tcp_connections: 5,
  tcp_per_address: 6, tcp_in_flight: 7, tcp_idle: 8s, tcp_write: 9s, transfers: 10, transfers_per_address: 11, udp_size: 512, udp_buffer: 13, readers: 14, key_cache: 15}
`
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := config.LoadBytes([]byte(strings.Replace(file, "TOKEN", token, 1)), "/x/y")
	if err != nil {
		t.Fatal(err)
	}
	o, err := options(conf)
	if err != nil {
		t.Fatal(err)
	}
	o.Logger, o.Now = nil, nil
	wantSet(t, "Options", o, "Logger", "LogLevel", "Reread", "Now", "Progress", "failCommit", "buildFrom")
	wantSet(t, "Limits", o.Limits)
	wantSet(t, "RateLimit", o.RateLimit)
	if want := [...]int{1, 2, 3, 4, 5, 6}; o.RateLimit.Rates != want {
		t.Errorf("rates %v", o.RateLimit.Rates)
	}
	wantSet(t, "Tap", *o.Tap, "Socket", "Identity", "Version", "Logger")
	wantSet(t, "ZoneOptions", o.Zones[0], "Text")
	wantSet(t, "LeaseLimits", o.Zones[0].Lease)
	wantSet(t, "NotifyTarget", o.Zones[0].Notify[0])
	wantSet(t, "Key", o.Keys[0])
	wantSet(t, "web.Options", webOptions(conf.Web, slog.Default()), "TLS")
	if o.Zones[0].ACL.Len() != 2 || o.Listen[0] != netip.MustParseAddrPort("127.0.0.1:5300") {
		t.Errorf("%+v", o)
	}
}
