package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/integration/peertest"
)

const leaseConfig = `listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
keys:
  - {name: 5551234.phones.example., algorithm: hmac-sha256, secret: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
  - {name: admin.key., algorithm: hmac-sha256, secret: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
zones:
  - name: phones.example.
    file: DIR/zone.db
    lease: {min: 1s, default: 2s}
    acl:
      - {key: admin.key., action: [update, transfer]}
      - {key: "*", action: update, self_number: true, max_records: 8}
      - {key: "*", action: update, self_number: true, claim: first_come, numbers: ["2000-2999"]}
      - {address: 127.0.0.1, action: transfer}
    notify: ["127.0.0.1:NSDPORT"]
`

// waitFor asks a server until it says how a number stands: an address, or NXDOMAIN.
func waitFor(t *testing.T, addr, name, want string) {
	t.Helper()
	peertest.Eventually(t, peertest.Patience, fmt.Sprintf("%s is %s at %s", name, want, addr), func() error {
		r, err := dns.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), addr)
		if err != nil {
			return err
		}
		got := dns.RcodeToString[r.Rcode]
		for _, x := range r.Answer {
			if a, ok := x.(*dns.A); ok {
				got = a.A.String()
			}
		}
		if got != want {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

// TestLeaseOfNsupdate is that of a client that cannot ask for one: its number goes from the server and from a secondary, and
// the operator's names stay.
func TestLeaseOfNsupdate(t *testing.T) {
	port := peertest.Port(t)
	s := peertest.Dialtone(t, "phones.example.", strings.ReplaceAll(leaseConfig, "NSDPORT", fmt.Sprint(port)), map[string]string{"zone.db": phoneZone})
	nsd := peertest.NSD(t, "phones.example.", peertest.NSDSecondary("phones.example.", s.Addr, nil), nil, port)
	dir := t.TempDir()
	key := peertest.Write(t, dir, "k", "key \"5551234.phones.example.\" { algorithm hmac-sha256; secret \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"; };\n")
	admin := peertest.Write(t, dir, "a", "key \"admin.key.\" { algorithm hmac-sha256; secret \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"; };\n")
	send := func(key, lines string) {
		t.Helper()
		r := peertest.Run(t, dir, fmt.Sprintf("server 127.0.0.1 %d\nzone phones.example.\n%ssend\n", s.Port, lines), peertest.Program(t, "nsupdate"), "-k", key)
		if r.Code != 0 {
			t.Errorf("nsupdate: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
	}
	send(admin, "add ns2.phones.example. 60 A 192.0.2.2\n")
	send(key, "add 5551234.phones.example. 60 A 192.0.2.1\nadd _sip._udp.5551234.phones.example. 60 SRV 0 0 5060 5551234.phones.example.\n")
	waitFor(t, s.Addr, "5551234.phones.example.", "NXDOMAIN")
	waitFor(t, nsd.Addr, "5551234.phones.example.", "NXDOMAIN")
	waitFor(t, nsd.Addr, "_sip._udp.5551234.phones.example.", "NXDOMAIN")
	waitFor(t, nsd.Addr, "ns2.phones.example.", "192.0.2.2")

	// A lease that ends while the server is down has ended when it comes back.
	send(key, "add 5551234.phones.example. 60 A 192.0.2.1\n")
	s.Kill(t)
	s.Restart(t)
	waitFor(t, s.Addr, "5551234.phones.example.", "NXDOMAIN")
}

// TestFirstComeRegisters: a key pair claims a number by dialtone register, or by nsupdate, and no other gets it.
func TestFirstComeRegisters(t *testing.T) {
	s := peertest.Dialtone(t, "phones.example.", strings.ReplaceAll(leaseConfig, "NSDPORT", "9"), map[string]string{"zone.db": phoneZone})
	dir := t.TempDir()
	run := func(code int, stderr string, args ...string) string {
		t.Helper()
		r := peertest.Run(t, dir, "", append([]string{peertest.Binary(t)}, args...)...)
		if r.Code != code || !strings.Contains(r.Stderr, stderr) {
			t.Errorf("dialtone %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.Code, code, r.Stdout, r.Stderr)
		}
		return r.Stdout
	}
	pair := func(number string) string {
		t.Helper()
		sub := t.TempDir()
		run(0, "", "key", "generate", number, "--zone", "phones.example", "--dir", sub)
		files, err := filepath.Glob(sub + "/*.private")
		if err != nil || len(files) != 1 {
			t.Fatalf("%v, %v", files, err)
		}
		return files[0]
	}
	mine, other, outside := pair("2001"), pair("2001"), pair("3001")
	out := run(0, "", "register", "2001", "-s", s.Addr, "-k", mine, "-a", "192.0.2.1", "--lease", "1h")
	if !strings.Contains(out, "2001 is at 192.0.2.1 for 1h0m0s") {
		t.Error(out)
	}
	run(3, "belongs to another key", "register", "2001", "-s", s.Addr, "-k", other, "-a", "192.0.2.66")
	run(3, "may not", "register", "3001", "-s", s.Addr, "-k", outside, "-a", "192.0.2.66")
	s.Kill(t)
	s.Restart(t)
	run(3, "belongs to another key", "register", "2001", "-s", s.Addr, "-k", other, "-a", "192.0.2.66")
	waitFor(t, s.Addr, "2001.phones.example.", "192.0.2.1")
	// Of two updates of one second the server knows, after it was killed, no order: the later is to be signed anew.
	peertest.Eventually(t, peertest.Patience, "it registers again", func() error {
		r := peertest.Run(t, dir, "", peertest.Binary(t), "register", "2001", "-s", s.Addr, "-k", mine, "-a", "192.0.2.2", "--lease", "1h")
		if r.Code != 0 {
			return errors.New(r.Stderr)
		}
		return nil
	})
	waitFor(t, s.Addr, "2001.phones.example.", "192.0.2.2")

	key := pair("2002")
	text, err := os.ReadFile(strings.TrimSuffix(key, ".private") + ".key")
	if err != nil {
		t.Fatal(err)
	}
	record := strings.Replace(string(text), "IN KEY", "60 IN KEY", 1)
	for _, c := range []struct {
		flags []string
		code  int
	}{{[]string{"-k", key}, 2}, {[]string{"-v", "-k", key}, 0}} {
		r := peertest.Run(t, dir, fmt.Sprintf("server 127.0.0.1 %d\nzone phones.example.\nadd 2002.phones.example. 60 A 192.0.2.3\nadd %s\nsend\n", s.Port, strings.TrimSpace(record)),
			append([]string{peertest.Program(t, "nsupdate")}, c.flags...)...)
		if r.Code != c.code {
			t.Errorf("nsupdate %q: exit code %d\n%s%s", c.flags, r.Code, r.Stdout, r.Stderr)
		}
	}
	// The lease is the default one; the key stays.
	waitFor(t, s.Addr, "2002.phones.example.", "NOERROR")
}

// TestReleasedNumberIsFree: what is known of a number is shown, and a lost key locks nobody out.
func TestReleasedNumberIsFree(t *testing.T) {
	s := peertest.Dialtone(t, "phones.example.", strings.ReplaceAll(leaseConfig, "NSDPORT", "9"), map[string]string{"zone.db": phoneZone})
	dir, config := t.TempDir(), filepath.Join(s.Dir, "dialtone.yaml")
	run := func(code int, wants []string, args ...string) string {
		t.Helper()
		r := peertest.Run(t, dir, "", append([]string{peertest.Binary(t)}, args...)...)
		if r.Code != code {
			t.Errorf("dialtone %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.Code, code, r.Stdout, r.Stderr)
		}
		for _, want := range wants {
			if !strings.Contains(r.Stdout+r.Stderr, want) {
				t.Errorf("dialtone %s does not say %q:\n%s%s", strings.Join(args, " "), want, r.Stdout, r.Stderr)
			}
		}
		return r.Stdout
	}
	pair := func() string {
		t.Helper()
		sub := t.TempDir()
		run(0, nil, "key", "generate", "2001", "--zone", "phones.example", "--dir", sub)
		files, err := filepath.Glob(sub + "/*.private")
		if err != nil || len(files) != 1 {
			t.Fatalf("%v, %v", files, err)
		}
		return files[0]
	}
	lost, found := pair(), pair()
	run(5, []string{"none", "not registered"}, "number", "show", "2001", "-c", config)
	run(2, []string{"has nothing in phones.example."}, "number", "release", "2001", "-c", config)
	run(2, []string{"is not a number"}, "number", "show", "abc", "-c", config)
	run(2, []string{"the zone other. is not served here"}, "number", "show", "1", "-c", config, "-z", "other")
	run(0, nil, "register", "2001", "-s", s.Addr, "-k", lost, "-a", "192.0.2.1", "--lease", "1h", "--sip-port", "5060")
	run(0, []string{"192.0.2.1", "_sip._udp.2001.phones.example.", "left, until", "ED25519", "from 127.0.0.1, signed by 2001.phones.example."},
		"number", "show", "2001", "-c", config)
	run(0, []string{`"addresses":["192.0.2.1"]`, `"updated_from":"127.0.0.1"`}, "number", "show", "2001", "-c", config, "--json")
	run(3, []string{"belongs to another key"}, "register", "2001", "-s", s.Addr, "-k", found, "-a", "192.0.2.2")
	run(0, []string{"2001 is free", "gone: 2001.phones.example. 60 IN A 192.0.2.1"}, "number", "release", "2001", "-c", config)
	waitFor(t, s.Addr, "2001.phones.example.", "NXDOMAIN")
	peertest.Eventually(t, peertest.Patience, "the other key has it", func() error { // what is signed in the second of the release may be late
		r := peertest.Run(t, dir, "", peertest.Binary(t), "register", "2001", "-s", s.Addr, "-k", found, "-a", "192.0.2.2")
		if r.Code != 0 {
			return errors.New(r.Stderr)
		}
		return nil
	})
	run(3, []string{"belongs to another key"}, "register", "2001", "-s", s.Addr, "-k", lost, "-a", "192.0.2.1")

	// A secret that the server keeps.
	key := peertest.Write(t, dir, "77.key", run(0, nil, "key", "add", "77", "-c", config))
	run(0, nil, "register", "77", "-s", s.Addr, "-k", key, "-a", "192.0.2.7")
	run(0, []string{"kept", "192.0.2.7"}, "number", "show", "77", "-c", config)
	run(0, []string{"77 is free", "key add 77 makes the next"}, "number", "release", "77", "-c", config)
	run(3, []string{"BADKEY"}, "register", "77", "-s", s.Addr, "-k", key, "-a", "192.0.2.7")
	audit, err := os.ReadFile(filepath.Join(s.Dir, "data", "audit.log"))
	if err != nil || strings.Count(string(audit), `"action":"number release"`) != 2 {
		t.Errorf("audit log: %v\n%s", err, audit)
	}
}
