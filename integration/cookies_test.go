package integration

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"dialtone/integration/peertest"
)

const cookieConfig = `listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
cookie_secrets: [e5e973e5a6b2a43f48e7dc849e37bfcf, 445536bcd2513298075a5d379663c962]
zones:
  - name: phones.example.
    file: DIR/zone.db
    acl: [{address: 127.0.0.1/32, action: [update, transfer]}]
`

// digCookie is what dig prints of a cookie and thinks of it, kdigCookie what kdig does.
var (
	digCookie  = regexp.MustCompile(`(?m)^; COOKIE: ([0-9a-f]{48}) \(good\)$`)
	kdigCookie = regexp.MustCompile(`(?m)^;; COOKIE: ([0-9A-F]{48})$`)
)

// TestCookiesWithDebianClients: dig and kdig learn a cookie and come back with it; without a question dig sees
// whether the server takes it.
func TestCookiesWithDebianClients(t *testing.T) {
	server := peertest.Dialtone(t, phones, cookieConfig, map[string]string{"zone.db": phonesFile})
	run := func(program string, argv ...string) string {
		r := peertest.Run(t, t.TempDir(), "", append([]string{peertest.Program(t, program), "@127.0.0.1", "-p", strconv.Itoa(server.Port)}, argv...)...)
		if r.Code != 0 {
			t.Errorf("%s %s: exit code %d\n%s%s", program, strings.Join(argv, " "), r.Code, r.Stdout, r.Stderr)
		}
		return r.Stdout
	}
	cookie := func(form *regexp.Regexp, text string) string {
		m := form.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no good cookie in\n%s", text)
		}
		return m[1]
	}
	for _, transport := range []string{"+notcp", "+tcp"} {
		for program, form := range map[string]*regexp.Regexp{"dig": digCookie, "kdig": kdigCookie} {
			learnt := cookie(form, run(program, transport, "+cookie", "phones.example.", "SOA"))
			if again := cookie(form, run(program, transport, "+cookie="+learnt, "phones.example.", "SOA")); again[:16] != learnt[:16] {
				t.Errorf("%s %s: sent %s, got %s", program, transport, learnt, again)
			}
			cookie(form, run(program, transport, "+cookie="+learnt, "not.served.", "A"))
			if text := run("dig", "+header-only", "+nobadcookie", "+cookie="+learnt); !strings.Contains(text, "status: NOERROR") {
				t.Errorf("%s %s: %s is not taken:\n%s", program, transport, learnt, text)
			}
		}
	}
	wrong := "2464c4abcf10c957" + strings.Repeat("0", 32)
	if text := run("dig", "+header-only", "+nobadcookie", "+cookie="+wrong); !strings.Contains(text, "status: BADCOOKIE") {
		t.Errorf("a wrong cookie:\n%s", text)
	}
	if text := run("dig", "+header-only", "+cookie="+wrong); !strings.Contains(text, ";; BADCOOKIE, retrying.") || !strings.Contains(text, "status: NOERROR") {
		t.Errorf("a wrong cookie, and again with the one that came back:\n%s", text)
	}
}
