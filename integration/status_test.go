package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dialtone/integration/peertest"
)

// secondaryState is what a test wants to know of dialtone status --json.
type secondaryState struct {
	Address string  `json:"address"`
	State   string  `json:"state"`
	Serial  *uint32 `json:"confirmed_serial"`
	By      string  `json:"confirmed_by"`
	Told    *uint32 `json:"told_serial"`
	Serials uint32  `json:"serials_behind"`
}

// statusOf asks a server by the command, and gives the exit code, too.
func statusOf(t *testing.T, s *peertest.Server) (list []secondaryState, code int) {
	t.Helper()
	r := peertest.Run(t, s.Dir, "", peertest.Binary(t), "status", "--json", "--config", s.Dir+"/dialtone.yaml")
	var st struct {
		Secondaries []secondaryState `json:"secondaries"`
	}
	if err := json.Unmarshal([]byte(r.Stdout), &st); err != nil {
		t.Fatalf("%v in %s%s", err, r.Stdout, r.Stderr)
	}
	return st.Secondaries, r.Code
}

// TestStatusKnowsSecondaries: BIND, NSD and Knot fetch changes as they do, and dialtone status says what each has. One that is
// stopped falls behind.
func TestStatusKnowsSecondaries(t *testing.T) {
	ports := []int{peertest.Port(t), peertest.Port(t), peertest.Port(t)}
	other := peertest.Key{Name: "other.key.", Algorithm: "hmac-sha256", Secret: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
	server := peertest.Dialtone(t, phones, fmt.Sprintf(`
listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
keys:
  - {name: %[1]s, algorithm: hmac-sha256, secret: %[2]s}
  - {name: %[3]s, algorithm: hmac-sha256, secret: %[4]s}
zones:
  - name: phones.example.
    file: DIR/zone.db
    acl:
      - {key: [%[1]s, %[3]s], action: transfer}
      - {address: 127.0.0.1/32, action: [update, transfer]}
    notify:
      - 127.0.0.1:%[5]d
      - {address: "127.0.0.1:%[6]d", key: %[1]s}
      - {address: "127.0.0.1:%[7]d", key: %[3]s}
`, adminKey.Name, adminKey.Secret, other.Name, other.Secret, ports[0], ports[1], ports[2]), map[string]string{"zone.db": phonesFile})
	peers := []*peertest.Server{
		peertest.BIND(t, phones, peertest.BINDSecondary(phones, server.Addr, nil), nil, ports[0]),
		peertest.NSD(t, phones, peertest.NSDSecondary(phones, server.Addr, &adminKey), nil, ports[1]),
		peertest.Knot(t, phones, peertest.KnotSecondary(phones, server.Addr, &other), nil, ports[2]),
	}
	update := func(number string) {
		t.Helper()
		script := fmt.Sprintf("server 127.0.0.1 %d\nzone %s\nupdate add %s.%s 60 A 192.0.2.7\nsend\n", server.Port, phones, number, phones)
		if r := peertest.Run(t, server.Dir, script, peertest.Program(t, "nsupdate")); r.Code != 0 {
			t.Fatal(r.Stderr)
		}
	}
	known := func(serial uint32, current ...*peertest.Server) {
		t.Helper()
		peertest.Eventually(t, peertest.Patience, fmt.Sprintf("serial %d is confirmed", serial), func() error {
			list, code := statusOf(t, server)
			if code != 0 || len(list) != len(peers) {
				return fmt.Errorf("exit code %d, %+v", code, list)
			}
			for _, p := range current {
				for _, x := range list {
					if x.Address == p.Addr && (x.State != "current" || x.Serial == nil || *x.Serial != serial || x.Told == nil || *x.Told != serial) {
						return fmt.Errorf("%s: %+v", p.Name, x)
					}
				}
			}
			return nil
		})
	}
	update("5551234")
	known(1001, peers...)
	peers[1].Stop(t)
	update("5551235")
	known(1002, peers[0], peers[2])
	list, _ := statusOf(t, server)
	if x := list[0]; x.Address != peers[1].Addr || x.State != "behind" || x.Serial == nil || *x.Serial != 1001 || x.Serials != 1 {
		t.Errorf("the one that is stopped: %+v", x)
	}
	peers[1].Restart(t)
	known(1002, peers...)
}

// TestStatusExitCodes are for scripts: all well, something wrong, no server, a mistake.
func TestStatusExitCodes(t *testing.T) {
	server := peertest.Dialtone(t, phones, "listen: [\"127.0.0.1:PORT\"]\ndata_dir: DIR/data\nzones:\n  - {name: phones.example., file: DIR/zone.db}\n",
		map[string]string{"zone.db": phonesFile})
	want := func(code int, text string, args ...string) {
		t.Helper()
		r := peertest.Run(t, server.Dir, "", append([]string{peertest.Binary(t), "status"}, args...)...)
		if r.Code != code || !strings.Contains(r.Stdout+r.Stderr, text) {
			t.Errorf("dialtone status %s: exit code %d, want %d and %q\n%s%s", strings.Join(args, " "), r.Code, code, text, r.Stdout, r.Stderr)
		}
	}
	config := server.Dir + "/dialtone.yaml"
	want(0, "phones.example.  1000    1", "--config", config)
	want(2, "the zone other.example. is not served here", "--config", config, "--zone", "other.example.")
	want(2, "none.yaml", "--config", "none.yaml")
	want(2, `"now" is too much`, "now")
	if err := os.Rename(server.Dir+"/data/control.sock", server.Dir+"/control.sock"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(server.Dir+"/links", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(server.Dir+"/control.sock", filepath.Join(server.Dir, "links", "control.sock")); err != nil {
		t.Fatal(err)
	}
	want(4, "no server runs on "+server.Dir+"/data", "--config", config)
	moved := peertest.Write(t, server.Dir, "moved.yaml", "listen: [\"127.0.0.1:0\"]\ndata_dir: "+server.Dir+"/links\nzones:\n  - {name: phones.example., file: "+server.Dir+"/zone.db}\n")
	want(6, "somebody has removed "+server.Dir+"/data/control.sock", "--config", moved)
}
