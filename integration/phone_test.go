package integration

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"dialtone/integration/peertest"
)

const phoneConfig = `listen: ["127.0.0.1:PORT", "[::1]:PORT"]
data_dir: DIR/data
keys:
  - {name: 5551234.phones.example., algorithm: hmac-sha256, secret: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
  - {name: pbx.key., algorithm: hmac-sha512, secret: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg=="}
zones:
  - name: phones.example.
    file: DIR/zone.db
    acl:
      - {key: "*", action: update, self_number: true, source_address: true, max_records: 8}
      - {key: pbx.key., action: update, numbers: ["2000-2999", "4420*"]}
`

const phoneZone = "$TTL 60\n@ SOA ns1 hostmaster 1 3600 900 604800 30\n@ NS ns1\nns1 A 127.0.0.1\n"

// TestPhoneRegistersAndIsFound is the day of a phone: it registers, moves, is looked up by a caller, cannot take another's
// number, and leaves.
func TestPhoneRegistersAndIsFound(t *testing.T) {
	s := peertest.Dialtone(t, "phones.example.", phoneConfig, map[string]string{"zone.db": phoneZone})
	dir := t.TempDir()
	key := peertest.Write(t, dir, "phone.key", `key "5551234.phones.example." {
	algorithm hmac-sha256;
	secret "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
};
`)
	pbx := peertest.Write(t, dir, "pbx.key", "hmac-sha512:pbx.key.:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==\n")
	v4, v6 := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)), net.JoinHostPort("::1", strconv.Itoa(s.Port))
	const unchecked = "\x00"
	run := func(code int, stdout, stderr string, args ...string) {
		t.Helper()
		r := peertest.Run(t, dir, "", append([]string{peertest.Binary(t)}, args...)...)
		if r.Code != code || stdout != unchecked && r.Stdout != stdout || !strings.Contains(r.Stderr, stderr) {
			t.Errorf("dialtone %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.Code, code, r.Stdout, r.Stderr)
		}
	}
	run(5, "", "not registered", "lookup", "5551234", "-s", v4)
	run(0, "5551234 is at 192.0.2.7 (5551234.phones.example., server "+v4+")\n", "",
		"register", "5551234", "-s", v4, "-k", key, "--address", "192.0.2.7", "--sip-port", "5070")
	run(0, "udp 192.0.2.7:5070, for 1m0s\n", "", "lookup", "555-1234", "-s", v4)
	wantLookups(t, s.Port, "5551234.phones.example.", "192.0.2.7")

	// It moves; what it had before is gone, and both families may be registered.
	run(0, unchecked, "", "register", "5551234", "-s", v6, "-k", key, "--address", "198.51.100.8,2001:db8::8", "--ttl", "30")
	run(0, "udp [2001:db8::8]:5060, for 30s\nudp 198.51.100.8:5060, for 30s\n", "", "lookup", "5551234", "-s", v6)
	run(0, `{"number":"5551234","name":"5551234.phones.example.","contacts":[`+
		`{"transport":"udp","host":"5551234.phones.example.","address":"2001:db8::8","port":5060,"ttl":30},`+
		`{"transport":"udp","host":"5551234.phones.example.","address":"198.51.100.8","port":5060,"ttl":30}]}`+"\n", "",
		"lookup", "5551234", "-s", v4, "--json")

	// Any other client registers with the same key.
	r := peertest.Run(t, dir, fmt.Sprintf("server 127.0.0.1 %d\nzone phones.example.\ndel 5551234.phones.example.\n"+
		"add 5551234.phones.example. 60 A 203.0.113.9\nsend\n", s.Port), peertest.Program(t, "nsupdate"), "-k", key)
	if r.Code != 0 {
		t.Errorf("nsupdate: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	run(0, "udp 203.0.113.9:5060, for 1m0s\n", "", "lookup", "5551234", "-s", v4)

	// The server sees where it is, and says so, over TCP.
	run(0, "5551234 is at 127.0.0.1 (5551234.phones.example., server "+v4+")\n", "", "register", "5551234", "-s", v4, "-k", key, "--address", "source")
	run(0, "5551234 is at ::1 (5551234.phones.example., server "+v6+")\n", "", "register", "5551234", "-s", v6, "-k", key, "-a", "source")
	run(0, "5551234 is at 127.0.0.1 (5551234.phones.example., server "+v4+")\n", "", "register", "5551234", "-s", v4, "-k", key)

	// Nobody takes another's number.
	run(3, "", "key 5551234.phones.example. may not change 5551235.phones.example. A", "register", "5551235", "-s", v4, "-k", key)
	run(3, "", "an unsigned request from 127.0.0.1 may not update", "register", "5551234", "-s", v4)
	run(0, unchecked, "", "register", "2500", "-s", v4, "-k", pbx, "-a", "192.0.2.25")
	run(0, unchecked, "", "register", "+44 20 7946 0148", "-s", v4, "-k", pbx, "-a", "192.0.2.44")
	run(0, "udp 192.0.2.44:5060, for 1m0s\n", "", "lookup", "+44 (0)20 7946 0148", "-s", v4)
	run(3, "", "may not change", "register", "3000", "-s", v4, "-k", pbx, "-a", "192.0.2.25")
	run(3, "", "no source_address", "register", "2500", "-s", v4, "-k", pbx, "-a", "source")
	run(3, "", "9 records", "register", "5551234", "-s", v4, "-k", key, "-a", "192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4,192.0.2.5,192.0.2.6,192.0.2.7,192.0.2.8,192.0.2.9")
	wrong := peertest.Write(t, dir, "wrong.key", "5551234.phones.example.:d3Jvbmc=\n")
	run(3, "", "BADSIG", "register", "5551234", "-s", v4, "-k", wrong)

	// It leaves.
	run(0, "5551234 is registered no more (5551234.phones.example., server "+v4+")\n", "", "register", "5551234", "-s", v4, "-k", key, "--withdraw")
	run(5, "", "not registered", "lookup", "5551234", "-s", v4)

	// Mistakes.
	run(2, "", "is not a number", "lookup", "phone", "-s", v4)
	run(2, "", "none.key", "register", "5551234", "-s", v4, "-k", "none.key")
	run(2, "", "neither an address", "register", "5551234", "-s", v4, "-a", "192.0.2")
	run(4, "", "no server answers", "lookup", "5551234", "-s", "127.0.0.1:"+strconv.Itoa(peertest.Port(t)), "--timeout", "10s")
}

// TestInitServes begins as an operator does: with what dialtone init writes.
func TestInitServes(t *testing.T) {
	dir, port := t.TempDir(), peertest.Port(t)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	made := peertest.Run(t, dir, "", peertest.Binary(t), "init", "d", "--zone", "phones.example", "--ns", "ns1=127.0.0.1", "--listen", addr)
	if made.Code != 0 || made.Stderr != "" {
		t.Fatalf("init: exit code %d\n%s%s", made.Code, made.Stdout, made.Stderr)
	}
	shown := peertest.Run(t, dir, "", peertest.Binary(t), "key", "show", "5551234", "--config", "d/dialtone.yaml")
	if shown.Code != 0 || shown.Stderr != "" {
		t.Fatalf("key show: exit code %d\n%s%s", shown.Code, shown.Stdout, shown.Stderr)
	}
	peertest.Write(t, dir, "5551234.key", shown.Stdout)
	server := peertest.Start(t, "dialtone", dir, peertest.Binary(t), "serve", "--config", "d/dialtone.yaml")
	peertest.Eventually(t, time.Minute, "the server answers", func() error {
		_, err := peertest.Serial(addr, "phones.example.")
		return err
	})
	for _, args := range [][]string{
		{"register", "5551234", "-s", addr, "-k", "5551234.key", "-a", "192.0.2.7"},
		{"lookup", "5551234", "-s", addr},
		{"register", "5551235", "-s", addr, "-k", "d/admin.key", "-a", "192.0.2.7"},
	} {
		r := peertest.Run(t, dir, "", append([]string{peertest.Binary(t)}, args...)...)
		if r.Code != 0 || !strings.Contains(r.Stdout, "192.0.2.7") {
			t.Errorf("%q: exit code %d\n%s%s", args, r.Code, r.Stdout, r.Stderr)
		}
	}
	if code := server.Stop(t); code != 0 {
		t.Errorf("the server ends with %d\n%s", code, server.Log())
	}
}
