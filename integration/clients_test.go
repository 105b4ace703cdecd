package integration

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"dialtone/integration/peertest"
)

// tsigKeys has one key for each algorithm that dialtone takes.
func tsigKeys() []peertest.Key {
	var keys []peertest.Key
	for _, algorithm := range []string{"hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"} {
		secret := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(algorithm, 8)[:64]))
		keys = append(keys, peertest.Key{Name: strings.TrimPrefix(algorithm, "hmac-") + ".key.", Algorithm: algorithm, Secret: secret})
	}
	return keys
}

// keyedConfig lets the keys, and unsigned clients under "open", change and copy the zone.
func keyedConfig(keys []peertest.Key) string {
	var b strings.Builder
	b.WriteString("listen: [\"127.0.0.1:PORT\"]\ndata_dir: DIR/data\nserver_id: ns1\nkeys:\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "  - {name: %s, algorithm: %s, secret: %s}\n", k.Name, k.Algorithm, k.Secret)
	}
	b.WriteString("zones:\n  - name: phones.example.\n    file: DIR/zone.db\n    acl:\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "      - {key: %s, action: [update, transfer]}\n", k.Name)
	}
	b.WriteString("      - {address: [127.0.0.1/32], action: [update], update_owner: name, update_owner_match: sub-or-equal, update_owner_name: [open]}\n")
	return b.String()
}

// clientsOf gives the ways in which a person asks for an address. Each prints nothing but the answer.
func lookups(t *testing.T, port int, name string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	ask := func(argv ...string) string {
		r := peertest.Run(t, dir, "", argv...)
		if r.Code != 0 {
			t.Errorf("%s: exit code %d\n%s%s", strings.Join(argv, " "), r.Code, r.Stdout, r.Stderr)
		}
		return r.Stdout
	}
	p := strconv.Itoa(port)
	out := map[string]string{}
	for _, tcp := range []string{"+notcp", "+tcp"} {
		out["dig "+tcp] = strings.TrimSpace(ask(peertest.Program(t, "dig"), "@127.0.0.1", "-p", p, "+short", tcp, name, "A"))
		out["kdig "+tcp] = strings.TrimSpace(ask(peertest.Program(t, "kdig"), "@127.0.0.1", "-p", p, "+short", tcp, name, "A"))
	}
	for _, flag := range []string{"-u", "-t"} {
		out["drill "+flag] = drillAddress(ask(peertest.Program(t, "drill"), "-p", p, flag, name, "@127.0.0.1", "A"))
	}
	return out
}

// drillAddress finds the address in what drill prints, for drill has no short form.
func drillAddress(text string) string {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 5 && f[3] == "A" && !strings.HasPrefix(line, ";") {
			return f[4]
		}
	}
	return ""
}

func wantLookups(t *testing.T, port int, name, address string) {
	t.Helper()
	for client, got := range lookups(t, port, name) {
		if got != address {
			t.Errorf("%s says %q for %s, want %q", client, got, name, address)
		}
	}
}

// nsupdate and knsupdate read the same commands; they tell failure by their exit code.
func runUpdate(t *testing.T, program string, port int, key *peertest.Key, flags []string, commands ...string) peertest.Result {
	t.Helper()
	argv := append([]string{peertest.Program(t, program)}, flags...)
	if key != nil {
		argv = append(argv, "-y", key.Algorithm+":"+key.Name+":"+key.Secret)
	}
	script := fmt.Sprintf("server 127.0.0.1 %d\nzone phones.example.\n%s\nsend\n", port, strings.Join(commands, "\n"))
	return peertest.Run(t, t.TempDir(), script, argv...)
}

func mustUpdate(t *testing.T, program string, port int, key *peertest.Key, flags []string, commands ...string) {
	t.Helper()
	if r := runUpdate(t, program, port, key, flags, commands...); r.Code != 0 {
		t.Errorf("%s %v: exit code %d\n%s%s", program, flags, r.Code, r.Stdout, r.Stderr)
	}
}

// TestRegisterAndLookUpWithDebianClients registers numbers with nsupdate and knsupdate, unsigned and by each TSIG
// algorithm, over UDP and TCP, and sees them with dig, kdig and drill.
func TestRegisterAndLookUpWithDebianClients(t *testing.T) {
	keys := tsigKeys()
	server := peertest.Dialtone(t, phones, keyedConfig(keys), map[string]string{"zone.db": phonesFile})
	n := 0
	for _, program := range []string{"nsupdate", "knsupdate"} {
		for _, flags := range [][]string{nil, {"-v"}} {
			n++
			owner := fmt.Sprintf("%d.open.phones.example.", n)
			mustUpdate(t, program, server.Port, nil, flags, fmt.Sprintf("add %s 60 A 198.51.100.%d", owner, n))
			wantLookups(t, server.Port, owner, fmt.Sprintf("198.51.100.%d", n))
			for _, key := range keys {
				n++
				owner := fmt.Sprintf("%d.phones.example.", n)
				mustUpdate(t, program, server.Port, &key, flags, fmt.Sprintf("add %s 60 A 198.51.100.%d", owner, n))
				if got := digShort(t, server.Port, owner, "A"); got != fmt.Sprintf("198.51.100.%d", n) {
					t.Errorf("%s %v with %s: dig says %q", program, flags, key.Algorithm, got)
				}
			}
		}
	}
}

func digShort(t *testing.T, port int, args ...string) string {
	t.Helper()
	argv := append([]string{peertest.Program(t, "dig"), "@127.0.0.1", "-p", strconv.Itoa(port), "+short"}, args...)
	return strings.TrimSpace(peertest.Run(t, t.TempDir(), "", argv...).Stdout)
}

// TestUpdateFailuresReachTheClient shows the RCODE that each client prints for a prerequisite that fails, an update that the
// acl refuses, and a signature that is wrong.
func TestUpdateFailuresReachTheClient(t *testing.T) {
	keys := tsigKeys()
	server := peertest.Dialtone(t, phones, keyedConfig(keys), map[string]string{"zone.db": phonesFile})
	wrong := keys[2]
	wrong.Secret = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 32)))
	unknown := keys[2]
	unknown.Name = "nobody.key."
	for _, program := range []string{"nsupdate", "knsupdate"} {
		for _, c := range []struct {
			name    string
			key     *peertest.Key
			command []string
			want    string
		}{
			{"yxdomain", &keys[2], []string{"prereq nxdomain 5550000.phones.example.", "add a.phones.example. 60 A 192.0.2.1"}, "YXDOMAIN"},
			{"nxdomain", &keys[2], []string{"prereq yxdomain none.phones.example.", "add a.phones.example. 60 A 192.0.2.1"}, "NXDOMAIN"},
			{"yxrrset", &keys[2], []string{"prereq nxrrset 5550000.phones.example. A", "add a.phones.example. 60 A 192.0.2.1"}, "YXRRSET"},
			{"nxrrset", &keys[2], []string{"prereq yxrrset 5550000.phones.example. A 192.0.2.9", "add a.phones.example. 60 A 192.0.2.1"}, "NXRRSET"},
			{"notzone", &keys[2], []string{"add a.elsewhere. 60 A 192.0.2.1"}, "NOTZONE"},
			{"refused", nil, []string{"add a.phones.example. 60 A 192.0.2.1"}, "REFUSED"},
			{"badsig", &wrong, []string{"add a.phones.example. 60 A 192.0.2.1"}, "BADSIG"},
			{"badkey", &unknown, []string{"add a.phones.example. 60 A 192.0.2.1"}, "BADKEY"},
		} {
			t.Run(program+"/"+c.name, func(t *testing.T) {
				r := runUpdate(t, program, server.Port, c.key, nil, c.command...)
				text := strings.ToUpper(r.Stdout + r.Stderr)
				if r.Code == 0 || !strings.Contains(text, c.want) {
					t.Errorf("exit code %d, want a failure that says %s:\n%s", r.Code, c.want, text)
				}
			})
		}
	}
	if got := digShort(t, server.Port, "a.phones.example.", "A"); got != "" {
		t.Errorf("a failed update left %s", got)
	}
}

// TestRegistrationOutlivesRestartAndKill sees the number again after a clean stop and after SIGKILL.
func TestRegistrationOutlivesRestartAndKill(t *testing.T) {
	server := peertest.Dialtone(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): phonesFile})
	mustUpdate(t, "nsupdate", server.Port, nil, nil, "add 5551234.phones.example. 60 A 198.51.100.1")
	if code := server.Stop(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	server.Restart(t)
	wantLookups(t, server.Port, "5551234.phones.example.", "198.51.100.1")

	mustUpdate(t, "nsupdate", server.Port, nil, nil, "update delete 5551234.phones.example. A", "update add 5551234.phones.example. 60 A 198.51.100.2")
	server.Kill(t)
	server.Restart(t)
	wantLookups(t, server.Port, "5551234.phones.example.", "198.51.100.2")
}

// TestEmbeddedDefault runs dialtone serve in an empty directory, as the README has it: the start message, an unsigned
// registration from loopback, TTLs capped at 60 seconds, a transfer, and the data in ./dialtone-data.
func TestEmbeddedDefault(t *testing.T) {
	const port = 5300
	dir := t.TempDir()
	server := peertest.DialtoneDefault(t, dir, phones, port)
	// It answers before it has said everything.
	for _, want := range []string{"phones.example", "127.0.0.1", "5300", "nsupdate", "dig", "60", "no signature"} {
		peertest.Eventually(t, 30*time.Second, fmt.Sprintf("the start message mentions %q", want), func() error {
			if !strings.Contains(server.Log(), want) {
				return errors.New(server.Log())
			}
			return nil
		})
	}
	for i, program := range []string{"nsupdate", "knsupdate"} {
		owner, address := fmt.Sprintf("555123%d.phones.example.", i), fmt.Sprintf("198.51.100.%d", i+1)
		mustUpdate(t, program, port, nil, nil, fmt.Sprintf("add %s 86400 A %s", owner, address))
		wantLookups(t, port, owner, address)
	}
	r := peertest.Run(t, dir, "", peertest.Program(t, "dig"), "@127.0.0.1", "-p", "5300", "+noall", "+answer", "5551230.phones.example.", "A")
	if f := strings.Fields(r.Stdout); len(f) != 5 || f[1] != "60" {
		t.Errorf("a TTL of 86400 was asked for, 60 is the cap; dig prints %q", r.Stdout)
	}
	if got := digShort(t, port, "phones.example.", "AXFR"); !strings.Contains(got, "198.51.100.1") {
		t.Errorf("AXFR from loopback: %q", got)
	}
	server.Kill(t)
	server.Restart(t)
	wantLookups(t, port, "5551231.phones.example.", "198.51.100.2")
}
