package integration

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"dialtone/integration/peertest"
)

const reloadConfig = `listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
zones:
  - name: phones.example.
    file: DIR/zone.db
    acl: [{address: 127.0.0.1/32, action: update}]
`

// TestReload changes the configuration of a server that runs, by the command and by SIGHUP.
func TestReload(t *testing.T) {
	s := peertest.Dialtone(t, phones, reloadConfig, map[string]string{"zone.db": phonesFile, "more.db": phonesFile})
	config := s.Dir + "/dialtone.yaml"
	first, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		peertest.Write(t, s.Dir, "dialtone.yaml", strings.ReplaceAll(text, "DIR", s.Dir))
	}
	reload := func(code int, want ...string) {
		t.Helper()
		r := peertest.Run(t, s.Dir, "", peertest.Binary(t), "reload", "--config", config)
		for _, w := range want {
			if !strings.Contains(r.Stdout+r.Stderr, w) {
				t.Errorf("dialtone reload does not say %q", w)
			}
		}
		if r.Code != code || t.Failed() {
			t.Fatalf("exit code %d, want %d\n%s%s", r.Code, code, r.Stdout, r.Stderr)
		}
	}
	serial := func(zone string) error {
		_, err := peertest.Serial(s.Addr, zone)
		return err
	}
	reload(0, config+": nothing has changed\n")
	more := strings.Replace(string(first), "action: update}", "action: [update, transfer]}", 1) +
		"  - {name: more.example., file: DIR/more.db}\nlimits: {tcp_idle: 20s, readers: 7}\nlog: {level: debug, format: json}\n" +
		"web: {listen: \"127.0.0.1:0\", token_file: token}\n"
	peertest.Write(t, s.Dir, "token", "a-token-for-the-desk-0123\n")
	write(more)
	reload(0, config+" is in force:\n  acl of zone phones.example. changed\n", "  zone more.example. added, with serial 1000\n",
		"  limits.tcp_idle changed from 10s to 20s\n", "  log.level changed from info to debug\n",
		"These take a restart:\n  limits.readers stays", "  log.format stays text, and is json after a restart\n",
		"  web stays as it is, and is what the file says after a restart\n")
	if err := serial("more.example."); err != nil {
		t.Error(err)
	}
	write(strings.Replace(more, "tcp_idle: 20s", "tcp_idle: 20x, nonsense: 3s", 1))
	reload(2, "nothing is changed", config+":8: limits.tcp_idle", config+":8: limits.nonsense")
	write(more + "# a comment\n")
	peertest.Write(t, s.Dir, "bad.db", phonesFile+"x A 192.0.2.300\n")
	write(strings.Replace(more, "limits:", "  - {name: bad.example., file: DIR/bad.db}\nlimits:", 1))
	reload(2, "nothing is changed:\n"+s.Dir+"/bad.db:5: ")
	if err := serial("more.example."); err != nil {
		t.Error(err)
	}

	write(string(first))
	s.Signal(t, syscall.SIGHUP)
	peertest.Eventually(t, peertest.Patience, "the zone is gone", func() error {
		if serial("more.example.") == nil {
			return fmt.Errorf("more.example. is answered")
		}
		return nil
	})
	if err := serial(phones); err != nil {
		t.Error(err)
	}
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	audit, err := os.ReadFile(s.Dir + "/data/audit.log")
	if err != nil || strings.Count(string(audit), `"action":"reload"`) != 3 || !strings.Contains(string(audit), "zone more.example. removed") {
		t.Errorf("%v\n%s", err, audit)
	}
	r := peertest.Run(t, s.Dir, "", peertest.Binary(t), "reload", "--config", config)
	if r.Code != 4 {
		t.Errorf("without a server: exit code %d\n%s", r.Code, r.Stderr)
	}
}
