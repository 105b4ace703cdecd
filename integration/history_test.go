package integration

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dialtone/integration/peertest"
)

// TestHistoryOfANumber asks who set which address when: of numbers that nsupdate has registered, with the server and without.
func TestHistoryOfANumber(t *testing.T) {
	s := newKeyServer(t)
	first := s.key(0, "", "show", "5551234", "--zone", "phones.example.")
	s.nsupdate("5551234", "phones.example.", first, "")
	s.nsupdate("5551235", "phones.example.", s.key(0, "", "show", "5551235", "--zone", "phones.example."), "")
	history := func(code int, args ...string) string {
		t.Helper()
		args = append([]string{peertest.Binary(t), "number", "history", "--zone", "phones.example.", "--config", s.Dir + "/dialtone.yaml"}, args...)
		r := peertest.Run(t, s.Dir, "", args...)
		if r.Code != code {
			t.Errorf("%s: exit code %d, want %d\n%s%s", strings.Join(args[1:], " "), r.Code, code, r.Stdout, r.Stderr)
		}
		return regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ`).ReplaceAllString(r.Stdout+r.Stderr, "TIME")
	}
	const registered = "TIME  10.0.0.1  update from 127.0.0.1, signed by 5551234.phones.example.\n"
	if got := history(0, "555-1234"); got != registered {
		t.Errorf("registered: %q", got)
	}
	r := peertest.Run(t, s.Dir, "", peertest.Binary(t), "number", "release", "5551234", "--zone", "phones.example.", "--config", s.Dir+"/dialtone.yaml")
	if r.Code != 0 {
		t.Fatalf("release: %s%s", r.Stdout, r.Stderr)
	}
	user := regexp.MustCompile(` by user \d+`)
	want := "TIME  none      release\nTIME  -         key revoke\n" + registered
	if got := user.ReplaceAllString(history(0, "5551234"), ""); got != want {
		t.Errorf("released: %q, want %q", got, want)
	}
	var times []string
	for line := range strings.Lines(history(0, "5551234", "--json")) {
		var past struct {
			How, Since string
			Addresses  []string
		}
		if err := json.Unmarshal([]byte(line), &past); err != nil {
			t.Fatal(err)
		}
		if past.How == "update" && !slices.Equal(past.Addresses, []string{"10.0.0.1"}) {
			t.Errorf("JSON: %s", line)
		}
		times = append(times, past.Since)
	}
	if len(times) != 3 {
		t.Fatalf("%d lines of JSON", len(times))
	}
	if got, want := history(0, "5551234", "--at", times[2]), "TIME  to TIME  10.0.0.1  update from"; !strings.HasPrefix(got, want) {
		t.Errorf("at %s: %q", times[2], got)
	}
	if got := history(5, "5551234", "--at", times[0]); !strings.Contains(got, "not registered") {
		t.Errorf("at %s: %q", times[0], got)
	}
	if got := history(5, "5551234", "--at", "1h"); !strings.Contains(got, "is not known; the zone's journal goes back to TIME") {
		t.Errorf("an hour ago: %q", got)
	}
	if got := history(5, "5550000"); !strings.Contains(got, "nothing is known of it") {
		t.Errorf("a number that never was: %q", got)
	}
	history(2, "5551234", "--at", "yesterday")
	s.Stop(t)
	if got := user.ReplaceAllString(history(0, "5551234"), ""); got != want {
		t.Errorf("without a server: %q, want %q", got, want)
	}
}
