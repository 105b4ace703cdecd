package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dialtone/integration/peertest"
)

const monitoring = "../dnsserver/monitoring/"

// watchedServer is a server with everything that can be watched.
func watchedServer(t *testing.T) (s *peertest.Server, metrics string) {
	t.Helper()
	at := fmt.Sprintf("127.0.0.1:%d", peertest.Port(t))
	s = peertest.Dialtone(t, phones, fmt.Sprintf(`
listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
zones:
  - name: phones.example.
    file: DIR/zone.db
    acl: [{address: 127.0.0.1/32, action: [update, transfer]}]
    notify: ["127.0.0.1:%d"]
metrics: {listen: "%s"}
dnstap: {file: DIR/tap, queries: true, updates: true, responses: true}
`, peertest.Port(t), at), map[string]string{"zone.db": phonesFile})
	return s, "http://" + at
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// updateAndFetch does what makes every metric that there is appear.
func updateAndFetch(t *testing.T, s *peertest.Server) {
	t.Helper()
	script := fmt.Sprintf("server 127.0.0.1 %d\nzone %s\nupdate add 5551234.%s 60 A 192.0.2.7\nsend\n", s.Port, phones, phones)
	if r := peertest.Run(t, s.Dir, script, peertest.Program(t, "nsupdate")); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	peertest.MustAXFR(t, s.Addr, phones)
}

var metricName = regexp.MustCompile(`\b(?:dialtone|go|process)_[a-z0-9_]+\b`)

// TestMetricsThatAreWatchedExist: dashboard and alerts name no metric that the server does not have, and what the server has is
// as Prometheus wants it.
func TestMetricsThatAreWatchedExist(t *testing.T) {
	s, url := watchedServer(t)
	updateAndFetch(t, s)
	var text string
	peertest.Eventually(t, peertest.Patience, "all metrics are there", func() error {
		if _, text = get(t, url+"/metrics"); !strings.Contains(text, "\ndialtone_secondary_behind_seconds{") {
			return fmt.Errorf("the transfer is not noted:\n%s", text)
		}
		return nil
	})
	if r := peertest.Run(t, s.Dir, text, peertest.Program(t, "promtool"), "check", "metrics"); r.Code != 0 || r.Stderr != "" {
		t.Errorf("promtool check metrics: %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	has := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(text, -1) {
		if has[m[1]] = true; m[2] == "histogram" {
			has[m[1]+"_bucket"], has[m[1]+"_sum"], has[m[1]+"_count"] = true, true, true
		}
	}
	for _, file := range []string{"grafana.json", "alerts.yaml", "alerts_test.yaml"} {
		b, err := os.ReadFile(monitoring + file)
		if err != nil {
			t.Fatal(err)
		}
		names := metricName.FindAllString(string(b), -1)
		slices.Sort(names)
		if names = slices.Compact(names); len(names) < 10 {
			t.Errorf("%s names %v only", file, names)
		}
		for _, name := range names {
			if !has[name] {
				t.Errorf("%s names %s, which the server does not export", file, name)
			}
		}
	}
}

func TestAlertsFireOnWhatTheyAreFor(t *testing.T) {
	promtool := peertest.Program(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		if r := peertest.Run(t, monitoring, "", append([]string{promtool}, args...)...); r.Code != 0 {
			t.Errorf("promtool %v:\n%s%s", args, r.Stdout, r.Stderr)
		}
	}
	rules, err := os.ReadFile(monitoring + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(monitoring + "alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(string(tests), "alertname: "+m[1]+"\n") {
			t.Errorf("no test has %s fire", m[1])
		}
	}
}

// TestDashboardParses: the expressions of the dashboard are PromQL, and its panels have places that do not overlap.
func TestDashboardParses(t *testing.T) {
	b, err := os.ReadFile(monitoring + "grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	rules := []string{"groups:", "- name: dashboard", "  rules:"}
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s stands on %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "1m", "$job", "dialtone", "$instance", ".*").Replace(q.Expr)
			rules = append(rules, fmt.Sprintf("  - record: r:%d", len(rules)), fmt.Sprintf("    expr: %q", expr))
		}
	}
	if len(rules) < 40 {
		t.Fatalf("%d lines of rules", len(rules))
	}
	dir := t.TempDir()
	peertest.Write(t, dir, "dashboard.yaml", strings.Join(rules, "\n")+"\n")
	if r := peertest.Run(t, dir, "", peertest.Program(t, "promtool"), "check", "rules", "dashboard.yaml"); r.Code != 0 {
		t.Errorf("%s%s", r.Stdout, r.Stderr)
	}
}

// TestBINDReadsDnstap: another program reads what the server writes as dnstap.
func TestBINDReadsDnstap(t *testing.T) {
	s, url := watchedServer(t)
	updateAndFetch(t, s)
	if status, body := get(t, url+"/readyz"); status != http.StatusOK || body != "{\"ready\":true}\n" {
		t.Errorf("%d %s", status, body)
	}
	http.DefaultClient.CloseIdleConnections()
	if r := peertest.Run(t, s.Dir, "", peertest.Program(t, "dig"), "@127.0.0.1", "-p", fmt.Sprint(s.Port), "+tcp", "5551234."+phones, "A"); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	s.Stop(t)
	r := peertest.Run(t, s.Dir, "", peertest.Program(t, "dnstap-read"), filepath.Join(s.Dir, "tap"))
	for _, want := range []string{` UQ 127\.0\.0\.1:\d+ -> 127\.0\.0\.1:PORT UDP \d+b phones\.example/IN/SOA`, ` AQ .* TCP \d+b 5551234\.phones\.example/IN/A`, ` AR .* TCP \d+b 5551234\.phones\.example/IN/A`} {
		if want = strings.ReplaceAll(want, "PORT", fmt.Sprint(s.Port)); !regexp.MustCompile(want).MatchString(r.Stdout) {
			t.Errorf("%s is missing in\n%s%s", want, r.Stdout, r.Stderr)
		}
	}
}
