package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dialtone/integration/peertest"
	"dialtone/integration/stage"
)

const agentConfig = `listen: ["192.0.2.53:53"]
data_dir: data
keys:
  - {name: 5551234.phones.example., algorithm: hmac-sha256, secret: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
zones:
  - name: phones.example.
    file: zone.db
    lease: {min: 2s}
    acl:
      - {key: "*", action: update, self_number: true, source_address: true, max_records: 8}
`

const agentKey = "5551234.phones.example.:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"

// machine is a host on which dialtone runs.
type machine struct{ *stage.Host }

func (m *machine) start(t *testing.T, argv ...string) *peertest.Process {
	t.Helper()
	return m.Start(t, append([]string{peertest.Binary(t)}, argv...)...)
}

// phoneAndServer are two machines and a cable. The phone, at eth0, has no address.
func phoneAndServer(t *testing.T) (phone, server *machine) {
	t.Helper()
	one, other := stage.Pair(t, "phone", "server")
	phone, server = &machine{one}, &machine{other}
	server.IP(t, "addr add 192.0.2.53/24 dev eth0")
	peertest.Write(t, server.Dir, "dialtone.yaml", agentConfig)
	peertest.Write(t, server.Dir, "zone.db", phoneZone)
	peertest.Write(t, phone.Dir, "phone.key", agentKey)
	server.start(t, "serve", "--config", "dialtone.yaml")
	peertest.Eventually(t, peertest.Patience, "the server answers", func() error { return server.finds(t, "") })
	return phone, server
}

// finds wants the number to be at an address; none: it is not registered.
func (m *machine) finds(t *testing.T, address string) error {
	t.Helper()
	r := m.Run(t, peertest.Binary(t), "lookup", "5551234", "--server", "192.0.2.53")
	if want := "udp " + address + ":5070, for 2s\n"; address != "" && r.Stdout == want || address == "" && r.Code == 5 {
		return nil
	}
	return fmt.Errorf("lookup ends with %d: %s%s, want %q", r.Code, r.Stdout, r.Stderr, address)
}

// told is a line of dialtone phone --json.
type told struct {
	State, Error, Server string
	Addresses            []string
	Lease, Retry         float64
}

// tells waits for a line from the nth on that is wanted, and gives the number of the next.
func tells(t *testing.T, p *peertest.Process, from int, want func(told) bool) (next int) {
	t.Helper()
	peertest.Eventually(t, peertest.Patience, "what the agent tells", func() error {
		lines := strings.SplitAfter(p.Log(), "\n")
		for i, line := range lines[:len(lines)-1] {
			var e told
			if i < from {
				continue
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if want(e) {
				next = i + 1
				return nil
			}
		}
		return fmt.Errorf("it told\n%s", p.Log())
	})
	return next
}

func registeredAt(address string, lease float64) func(told) bool {
	return func(e told) bool {
		return e.State == "registered" && slices.Equal(e.Addresses, []string{address}) && e.Lease == lease
	}
}

// TestAgentFollowsTheAddress is the day of a phone whose address comes, changes and goes, and of its agent, which is ended
// in all ways.
func TestAgentFollowsTheAddress(t *testing.T) {
	phone, server := phoneAndServer(t)
	agent := func(flags ...string) *peertest.Process {
		t.Helper()
		return phone.start(t, append([]string{"phone", "5551234", "--server", "192.0.2.53", "--key-file", "phone.key",
			"--sip-port", "5070", "--ttl", "2", "--json"}, flags...)...)
	}
	// found waits where a lease is so short that a busy machine may miss it.
	found := func(address string) {
		t.Helper()
		peertest.Eventually(t, peertest.Patience, "it is found there", func() error { return server.finds(t, address) })
	}
	p := agent("--lease", "2s")
	at := tells(t, p, 0, func(e told) bool { return e.State == "no-address" })
	for _, address := range []string{"192.0.2.10", "192.0.2.11"} {
		phone.IP(t, "addr flush dev eth0 scope global", "addr add "+address+"/24 dev eth0")
		at = tells(t, p, at, registeredAt(address, 2))
		at = tells(t, p, at, func(e told) bool { return e.State == "refreshed" })
		found(address)
	}
	if code := p.Stop(t); code != 0 {
		t.Errorf("the agent ends with %d", code)
	}
	tells(t, p, at, func(e told) bool { return e.State == "withdrawn" })
	if err := server.finds(t, ""); err != nil {
		t.Error(err)
	}

	// One that has no time to take it away: it is there until its lease is over.
	p = agent("--lease", "2s")
	tells(t, p, 0, registeredAt("192.0.2.11", 2))
	p.Kill(t)
	found("")

	// One that is not to, and whose interface is named.
	p = agent("--address", "eth0", "--no-withdraw")
	tells(t, p, 0, registeredAt("192.0.2.11", 3600))
	if code := p.Stop(t); code != 0 {
		t.Errorf("the agent ends with %d", code)
	}
	found("192.0.2.11")
}

// TestPhoneExamples runs what phone/examples has for machines where no agent runs.
func TestPhoneExamples(t *testing.T) {
	examples, err := filepath.Abs("../phone/examples")
	if err != nil {
		t.Fatal(err)
	}
	phone, server := phoneAndServer(t)
	log := filepath.Join(phone.Dir, "log")
	peertest.Write(t, phone.Dir, "dialtone", fmt.Sprintf("#!/bin/sh\necho \"$*\" >>%s\nexec %s \"$@\"\n", log, peertest.Binary(t)))
	if err := os.Chmod(filepath.Join(phone.Dir, "dialtone"), 0o755); err != nil {
		t.Fatal(err)
	}
	conf := peertest.Write(t, phone.Dir, "conf", "NUMBER=5551234\nOPTIONS='--server 192.0.2.53 --key-file "+phone.Dir+"/phone.key --sip-port 5070 --ttl 2'\nINTERFACE=eth0\n")
	// hook runs one, and wants the number to be at an address then. Others have not run before.
	hook := func(address string, want []string, script string, env ...string) {
		t.Helper()
		env = append(env, "PATH="+phone.Dir+":"+os.Getenv("PATH"), "DIALTONE_PHONE="+conf)
		r := phone.Run(t, slices.Concat([]string{"env", "-i"}, env, []string{"sh", "-c", script})...)
		if r.Code != 0 {
			t.Fatalf("%q %s: exit code %d\n%s%s", env, script, r.Code, r.Stdout, r.Stderr)
		}
		peertest.Eventually(t, peertest.Patience, "the number is found", func() error { return server.finds(t, address) })
		ran, err := os.ReadFile(log)
		if got := strings.Split(strings.TrimSuffix(string(ran), "\n"), "\n"); err != nil && len(want) > 0 || len(want) > 0 && !slices.Equal(got, want) {
			t.Errorf("%q %s ran %q, %v", env, script, got, err)
		}
	}
	common := "register 5551234 --server 192.0.2.53 --key-file " + phone.Dir + "/phone.key --sip-port 5070 --ttl 2 "
	phone.IP(t, "addr add 192.0.2.10/24 dev eth0")
	dhclient := ". " + examples + "/dhclient-exit-hook; echo went on"
	hook("", nil, dhclient, "reason=PREINIT", "interface=eth0")
	hook("192.0.2.10", []string{common + "--address eth0 --lease 3600s"}, dhclient, "reason=BOUND", "interface=eth0", "new_dhcp_lease_time=3600")
	phone.IP(t, "addr flush dev eth0 scope global", "addr add 192.0.2.11/24 dev eth0")
	hook("192.0.2.11", []string{common + "--address eth0 --lease 3600s", common + "--address eth0"}, dhclient, "reason=REBIND", "interface=eth0")

	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	manager := examples + "/networkmanager-dispatcher "
	hook("192.0.2.11", nil, manager+"eth0 down")
	hook("192.0.2.11", nil, manager+"lo pre-down")
	hook("", []string{common + "--withdraw --timeout 2s"}, manager+"eth0 pre-down")
	hook("192.0.2.11", []string{common + "--withdraw --timeout 2s", common + "--address eth0 --timeout 10s"}, manager+"eth0 dhcp4-change")
}

// TestPhoneUnit asks systemd about the unit, and how much it keeps the phone from.
func TestPhoneUnit(t *testing.T) {
	unit, err := os.ReadFile("../phone/examples/dialtone-phone@.service")
	if err != nil {
		t.Fatal(err)
	}
	const program = "ExecStart=/usr/local/bin/dialtone "
	if !strings.Contains(string(unit), program) {
		t.Fatalf("no %q in the unit", program)
	}
	dir := t.TempDir()
	file := peertest.Write(t, dir, "dialtone-phone@5551234.service", strings.Replace(string(unit), program, "ExecStart="+peertest.Binary(t)+" ", 1))
	analyze := peertest.Program(t, "systemd-analyze")
	if r := peertest.Run(t, dir, "", analyze, "verify", file); r.Code != 0 || r.Stdout+r.Stderr != "" {
		t.Errorf("verify: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	// Tenths: 0 is closed, 100 open.
	if r := peertest.Run(t, dir, "", analyze, "security", "--offline=yes", "--threshold=15", file); r.Code != 0 {
		t.Errorf("security: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}
