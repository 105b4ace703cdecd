//go:build linux

package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// zoneName is the zone that every server serves.
const zoneName = "phones.example."

// keyName and secret are the key that signs updates.
const keyName = "k."

var secret = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

// setting is what one run of a server needs to know.
type setting struct {
	dir      string // its own
	zoneFile string
	port     int
	cores    []int // where it runs, one worker each; nil: no place is kept for it
	cookies  bool  // it has to check cookies; dialtone and BIND always do
	history  bool  // it has to keep all changes for an IXFR
}

func (s setting) workers() int { return max(1, len(s.cores)) }

// kind is one of the programs that are compared.
type kind struct {
	name    string // as in the table
	program string
	debian  string // the package that has it
	version []string
	file    string // name of the configuration
	config  func(setting) string
	argv    func(program, conf string, s setting) []string
	updates bool // it takes UPDATE
	keeps   bool // its store is made once and copied; the others load the zone file at every start
	toggles bool // checking cookies is a setting
}

var dialtone = &kind{
	name: "dialtone", version: []string{"version"}, file: "dialtone.yaml", config: dialtoneConfig, updates: true, keeps: true,
	argv: func(program, conf string, _ setting) []string { return []string{program, "serve", "--config", conf} },
}

var knot = &kind{
	name: "Knot", program: "knotd", debian: "knot", version: []string{"--version"}, file: "knot.conf", config: knotConfig, updates: true,
	argv:    func(program, conf string, _ setting) []string { return []string{program, "-c", conf} },
	toggles: true,
}

var nsd = &kind{
	name: "NSD", program: "nsd", debian: "nsd", version: []string{"-v"}, file: "nsd.conf", config: nsdConfig,
	argv:    func(program, conf string, _ setting) []string { return []string{program, "-d", "-c", conf} },
	toggles: true,
}

var bind = &kind{
	name: "BIND", program: "named", debian: "bind9", version: []string{"-v"}, file: "named.conf", config: bindConfig, updates: true,
	argv: func(program, conf string, s setting) []string {
		return []string{program, "-f", "-n", fmt.Sprint(s.workers()), "-c", conf}
	},
}

// kinds are all, in the order of their turns and of the table's columns.
var kinds = []*kind{dialtone, knot, nsd, bind}

func fill(text string, s setting) string {
	return strings.NewReplacer("PORT", fmt.Sprint(s.port), "DIR", s.dir, "ZONE", zoneName, "FILE", s.zoneFile, "SECRET", secret,
		"WORKERS", fmt.Sprint(s.workers())).Replace(text)
}

func dialtoneConfig(s setting) string {
	return fill(`listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
log: {level: warn}
limits: {udp_buffer: 4MiB}
keys:
  - {name: k., algorithm: hmac-sha256, secret: "SECRET"}
zones:
  - name: ZONE
    file: FILE
    acl:
      - {key: k., action: [update, transfer]}
      - {address: [127.0.0.1/32], action: transfer}
    journal: {max_size: 64MiB}
`, s)
}

func knotConfig(s setting) string {
	module, use := "", ""
	if s.cookies {
		module = "mod-cookies:\n  - id: c\n    secret: 0x000102030405060708090a0b0c0d0e0f\n    badcookie-slip: 1\n"
		use = "    module: mod-cookies/c\n"
	}
	return fill(`server:
    rundir: DIR
    listen: 127.0.0.1@PORT
    udp-workers: WORKERS
    tcp-workers: 1
    background-workers: 1
database:
    storage: DIR
control:
    listen: DIR/knot.sock
key:
  - id: k.
    algorithm: hmac-sha256
    secret: SECRET
acl:
  - id: u
    key: k.
    action: [update, transfer]
  - id: t
    address: 127.0.0.1
    action: transfer
`+module+`zone:
  - domain: ZONE
    file: FILE
    acl: [u, t]
    zonefile-sync: -1
`+use+`log:
  - target: stderr
    any: warning
`, s)
}

func nsdConfig(s setting) string {
	cookies := ""
	if s.cookies {
		cookies = "    answer-cookie: yes\n    cookie-secret: 000102030405060708090a0b0c0d0e0f\n"
	}
	// Debian's NSD limits the rate of answers unless it is told not to, and would drop nearly everything.
	return fill(`server:
    ip-address: 127.0.0.1@PORT
    username: ""
    chroot: ""
    zonesdir: DIR
    database: ""
    pidfile: DIR/nsd.pid
    xfrdfile: DIR/xfrd.state
    xfrdir: DIR
    zonelistfile: DIR/zone.list
    cookie-secret-file: DIR/cookies.txt
    server-count: WORKERS
    minimal-responses: yes
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
    receive-buffer-size: 4194304
    send-buffer-size: 4194304
`+cookies+`remote-control:
    control-enable: no
zone:
    name: ZONE
    zonefile: FILE
    provide-xfr: 127.0.0.1 NOKEY
`, s)
}

func bindConfig(s setting) string {
	history := ""
	if s.history {
		history = " max-ixfr-ratio unlimited; max-journal-size unlimited;"
	}
	return fill(`options { directory "DIR"; listen-on port PORT { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none;
  session-keyfile none; recursion no; dnssec-validation no; minimal-responses yes; empty-zones-enable no; notify no;
  allow-transfer { any; }; udp-receive-buffer 4194304; udp-send-buffer 4194304; update-quota 1000; };
controls { };
logging { channel w { stderr; severity warning; }; category default { w; }; };
key "k." { algorithm hmac-sha256; secret "SECRET"; };
zone "ZONE" { type primary; file "FILE"; allow-update { key "k."; };`+history+` };
`, s)
}

// locate finds a peer's program, in the sbin directories too, which are not on everyone's PATH.
func locate(program, debian string) (string, error) {
	for _, name := range []string{program, "/usr/sbin/" + program, "/usr/local/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: apt-get install %s (make bench does it)", program, debian)
}

// unconfined gives a copy of a program where AppArmor confines the installed file to its own directories.
func unconfined(path, dir string) (string, error) {
	state, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	if err != nil || strings.TrimSpace(string(state)) != "Y" {
		return path, nil
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	copied := filepath.Join(dir, filepath.Base(path))
	return copied, os.WriteFile(copied, body, 0o755)
}

// versionOf is the line in which a program says its version.
func versionOf(program string, args []string) string {
	out, err := exec.Command(program, args...).CombinedOutput()
	first, rest, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if second, _, _ := strings.Cut(rest, "\n"); strings.HasPrefix(second, "Version ") {
		first = second // behind a title
	}
	if first == "" && err != nil {
		return "unknown: " + err.Error()
	}
	return first
}
