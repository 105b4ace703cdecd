package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"dialtone/integration/peertest"
)

const keysConfig = `listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
zones:
  - name: phones.example.
    file: DIR/zone.db
    derived_keys: {seed_file: DIR/seed}
    acl: [{key: "*", action: update, self_number: true, max_records: 8}]
  - name: plain.example.
    file: DIR/zone.db
    acl: [{key: "*", action: update, self_number: true, max_records: 8}]
`

// keyServer is a server whose keys are changed while it serves.
type keyServer struct {
	*peertest.Server
	t       *testing.T
	updates int
}

func newKeyServer(t *testing.T) *keyServer {
	t.Helper()
	s := peertest.Dialtone(t, "phones.example.", keysConfig, map[string]string{
		"zone.db": phoneZone, "seed": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
	})
	return &keyServer{Server: s, t: t}
}

// key runs a key command and wants its exit code and what it prints.
func (s *keyServer) key(code int, want string, args ...string) string {
	s.t.Helper()
	r := peertest.Run(s.t, s.Dir, "", append([]string{peertest.Binary(s.t), "key", "--config", s.Dir + "/dialtone.yaml"}, args...)...)
	if r.Code != code || !strings.Contains(r.Stdout+r.Stderr, want) {
		s.t.Errorf("dialtone key %s: exit code %d, want %d and %q\n%s%s", strings.Join(args, " "), r.Code, code, want, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// nsupdate registers a number with a key file, and wants nsupdate to say want;
// "" for a success that is to be seen.
func (s *keyServer) nsupdate(number, zone, keyFile, want string) {
	s.t.Helper()
	dir := s.t.TempDir()
	file := peertest.Write(s.t, dir, "the.key", keyFile)
	s.updates++
	owner, address := number+"."+zone, fmt.Sprintf("10.0.0.%d", s.updates)
	script := fmt.Sprintf("server 127.0.0.1 %d\nzone %s\nupdate delete %s A\nupdate add %s 60 A %s\nsend\n", s.Port, zone, owner, owner, address)
	r := peertest.Run(s.t, dir, script, peertest.Program(s.t, "nsupdate"), "-k", file)
	if (r.Code == 0) != (want == "") || !strings.Contains(r.Stderr, want) {
		s.t.Errorf("nsupdate of %s: exit code %d, want %q\n%s%s", owner, r.Code, want, r.Stdout, r.Stderr)
	}
	if want == "" {
		wantLookups(s.t, s.Port, owner, address)
	}
}

// TestKeysOfPhones makes, shows, revokes and imports keys beside a running
// server, and without one; nsupdate takes what is printed, and the server takes
// nothing any more at once when it is revoked.
func TestKeysOfPhones(t *testing.T) {
	s := newKeyServer(t)
	const phones, plain = "phones.example.", "plain.example."

	// Derived: the vector of the README.
	first := s.key(0, `secret "Ai2Lfsc2viNuTc/hGx8bjRTK5S5RODJZ1DRX94xyoqk=";`, "show", "5551234", "-z", phones)
	s.nsupdate("5551234", phones, first, "")
	s.nsupdate("5551235", phones, first, "REFUSED") // another's number
	s.key(0, "derived at generation 2", "revoke", "5551234", "-z", phones)
	s.nsupdate("5551234", phones, first, "BADSIG")
	second := s.key(0, `secret "DqsGCJuNcykPQgCUcsoP+XyK1DvEksl+2IIsG9c7LX8=";`, "show", "5551234", "-z", phones)
	s.nsupdate("5551234", phones, second, "")
	s.key(0, "5551239 is blocked", "revoke", "5551239", "--block", "-z", phones)
	s.key(2, "5551239 is blocked since", "show", "5551239", "-z", phones)

	// Kept.
	s.key(2, "7 has no key in plain.example.", "show", "7", "-z", plain)
	kept := s.key(0, "algorithm hmac-sha512;", "add", "7", "--algorithm", "hmac-sha512", "-z", plain)
	s.nsupdate("7", plain, kept, "")
	s.key(2, "7 has a key since", "add", "7", "-z", plain)
	again := s.key(0, "hmac-sha256", "add", "7", "--replace", "-z", plain)
	s.nsupdate("7", plain, kept, "BADKEY")
	s.nsupdate("7", plain, again, "")
	s.key(0, "the number has none", "revoke", "7", "-z", plain)
	s.nsupdate("7", plain, again, "BADKEY")

	// Imported.
	var b strings.Builder
	const imported = 20_000
	for i := range imported {
		fmt.Fprintf(&b, "%d MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n", 4_420_000_000+i)
	}
	block := "key \"8.plain.example\" {\n\talgorithm hmac-sha384;\n\tsecret \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm\";\n};\n"
	peertest.Write(t, s.Dir, "keys.txt", b.String()+block)
	s.key(0, "keys.txt: 20001 keys imported into plain.example.", "import", "keys.txt", "-z", plain)
	s.nsupdate("8", plain, block, "")
	peertest.Write(t, s.Dir, "bad.txt", "4420000000 eA==\nx\n")
	s.key(2, "bad.txt:2: it wants NUMBER [ALGORITHM] SECRET", "import", "bad.txt", "-z", plain)
	last := s.key(0, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "show", "4420019999", "-z", plain)
	s.key(0, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "show", "4420000000", "-z", plain)

	// All of it after a restart, and in between without a server.
	check := func() {
		t.Helper()
		if lines := strings.Split(strings.TrimSpace(s.key(0, "", "list", "--json", "-z", plain)), "\n"); len(lines) != imported+2 {
			t.Errorf("%d keys are listed, want %d", len(lines), imported+2)
		} else {
			var key struct{ Number, Kind string }
			if err := json.Unmarshal([]byte(lines[imported]), &key); err != nil || key.Number != "7" || key.Kind != "none" {
				t.Errorf("%s: %v", lines[imported], err)
			}
		}
		s.key(0, "5551234  derived  hmac-sha256  2", "list", "-z", phones)
		s.key(0, "5551239  blocked", "list", "-z", phones)
	}
	check()
	if code := s.Stop(t); code != 0 {
		t.Errorf("the server ends with %d", code)
	}
	check()
	offline := s.key(0, "hmac-sha256", "add", "9", "-z", plain)
	s.Restart(t)
	check9 := strings.Count(s.key(0, "", "list", "-z", plain), "\n")
	if check9 != imported+4 {
		t.Errorf("%d lines after the restart, want %d", check9, imported+4)
	}
	s.nsupdate("9", plain, offline, "")
	s.nsupdate("4420019999", plain, last, "")
	s.nsupdate("5551234", phones, first, "BADSIG")
	s.nsupdate("5551234", phones, second, "")

	audit, err := os.ReadFile(s.Dir + "/data/audit.log")
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, line := range strings.Split(strings.TrimSpace(string(audit)), "\n") {
		var e struct {
			Time, Action, Zone, Number, Key, Detail string
			Who                                     struct{ UID *int }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time == "" || e.Who.UID == nil || *e.Who.UID != os.Getuid() {
			t.Errorf("audit log: %s: %v", line, err)
		}
		actions = append(actions, strings.TrimSpace(e.Action+" "+e.Number))
	}
	want := "key revoke 5551234, key revoke 5551239, key add 7, key add 7, key revoke 7, key import, key add 9"
	if got := strings.Join(actions, ", "); got != want {
		t.Errorf("audit log has %s, want %s", got, want)
	}
}

// TestKilledAfterAKeyCommand kills the server as soon as a command has
// returned: what it said was done is done.
func TestKilledAfterAKeyCommand(t *testing.T) {
	s := newKeyServer(t)
	const plain = "plain.example."
	var made []string
	for round := range 5 {
		number := fmt.Sprint(100 + round)
		file := s.key(0, "hmac-sha256", "add", number, "-z", plain)
		s.Kill(t)
		s.Restart(t)
		s.nsupdate(number, plain, file, "")
		made = append(made, file)
	}
	for round, file := range made {
		number := fmt.Sprint(100 + round)
		s.key(0, "the number has none", "revoke", number, "-z", plain)
		s.Kill(t)
		// The socket of the server that was killed is in nobody's way.
		s.key(2, number+" has no key", "show", number, "-z", plain)
		s.Restart(t)
		s.nsupdate(number, plain, file, "BADKEY")
	}
}

// TestImportAfterARevocation imports the same file before and after keys in it
// were revoked: they stay revoked, whatever the file says, and all others come.
func TestImportAfterARevocation(t *testing.T) {
	s := newKeyServer(t)
	const plain = "plain.example."
	key := func(number, secret string) string {
		return fmt.Sprintf("key \"%s.plain.example\" {\n\talgorithm hmac-sha256;\n\tsecret \"%s\";\n};\n", number, secret)
	}
	first, second, third := key("1", "Zmlyc3Q="), key("2", "c2Vjb25k"), key("3", "dGhpcmQ=")
	peertest.Write(t, s.Dir, "keys.txt", first+second)
	s.key(0, "keys.txt: 2 keys imported into plain.example.\nwarning: keys.txt:1: the secret of number 1 has 5 octets, fewer than the 32 of hmac-sha256, and 1 secret more: longer ones are safer\n",
		"import", "keys.txt", "-z", plain)
	s.nsupdate("1", plain, first, "")
	s.key(0, "1 is blocked", "revoke", "1", "--block", "-z", plain)
	s.key(0, "3 is blocked", "revoke", "3", "--block", "-z", plain)
	peertest.Write(t, s.Dir, "keys.txt", first+second+third)
	s.key(2, "and 2 secrets more: longer ones are safer\nkeys.txt:1: this secret of number 1 was revoked, and no secret of a number comes back", "import", "keys.txt", "-z", plain)
	s.key(2, "keys.txt:9: number 3 is blocked since", "import", "keys.txt", "-z", plain)
	s.key(2, "3 is blocked since", "show", "3", "-z", plain)
	s.key(2, "keys.txt: 2 keys imported into plain.example.\n", "import", "keys.txt", "-z", plain, "--replace")
	s.nsupdate("3", plain, third, "")
	s.key(0, "the number has none", "revoke", "3", "-z", plain)
	if code := s.Stop(t); code != 0 {
		t.Errorf("the server ends with %d", code)
	}
	s.key(2, "keys.txt: 2 keys left out\n", "import", "keys.txt", "-z", plain, "--replace")
	s.key(2, "1 is blocked since", "show", "1", "-z", plain)
	s.Restart(t)
	s.nsupdate("1", plain, first, "BADKEY")
	s.nsupdate("2", plain, second, "")
}
