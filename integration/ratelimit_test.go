package integration

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/integration/peertest"
)

const rateLimitConfig = `listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
rate_limit: {responses_per_second: 1, window: 1h, slip: SLIP}
metrics: {listen: "127.0.0.1:METRICS"}
zones:
  - name: phones.example.
    file: DIR/zone.db
    acl: [{address: 127.0.0.1/32, action: [update, transfer]}]
`

// limitedServer is a server whose limits are far passed by this machine, for one name and for NXDOMAIN.
func limitedServer(t *testing.T, slip string) (s *peertest.Server, metrics func() string) {
	t.Helper()
	port := strconv.Itoa(peertest.Port(t))
	config := strings.NewReplacer("METRICS", port, "SLIP", slip).Replace(rateLimitConfig)
	s = peertest.Dialtone(t, phones, config, map[string]string{"zone.db": phonesFile})
	metrics = func() string {
		_, text := get(t, "http://127.0.0.1:"+port+"/metrics")
		return text
	}
	c, err := net.Dial("udp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 100 {
		for _, q := range []*dns.Msg{new(dns.Msg).SetQuestion("5550000."+phones, dns.TypeA), new(dns.Msg).SetQuestion("nobody."+phones, dns.TypeA)} {
			raw, err := q.Pack()
			if err == nil {
				_, err = c.Write(raw)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Says(t, `msg="responses limited" op=rate_limit network=127.0.0.0/24 class=responses name=5550000.phones.example. type=A`)
	s.Says(t, `msg="responses limited" op=rate_limit network=127.0.0.0/24 class=nxdomains name=phones.example.`)
	return s, metrics
}

// TestRateLimitWithDebianClients: what dig and kdig see in a network whose limit is passed.
func TestRateLimitWithDebianClients(t *testing.T) {
	s, metrics := limitedServer(t, "1")
	for _, c := range []struct {
		name, program string
		argv          []string
		want, not     []string
	}{
		{"without cookies", "dig", []string{"+nocookie", "+ignore"}, []string{"flags: qr aa tc", "ANSWER: 0"}, nil},
		{"NXDOMAIN without cookies", "dig", []string{"+nocookie", "+ignore", "nobody"}, []string{"status: NXDOMAIN", "flags: qr aa tc"}, nil},
		{"goes on by TCP", "dig", []string{"+nocookie"}, []string{";; Truncated, retrying in TCP mode.", "ANSWER: 1"}, nil},
		{"TCP at once", "dig", []string{"+nocookie", "+tcp"}, []string{"ANSWER: 1"}, []string{"retrying"}},
		{"with a cookie", "dig", nil, []string{";; BADCOOKIE, retrying.", "ANSWER: 1", "(good)"}, []string{"TCP mode"}},
		{"kdig goes on by TCP", "kdig", nil, []string{"ANSWER: 1", "(TCP)"}, nil},
		{"kdig with a cookie", "kdig", []string{"+cookie"}, []string{"ANSWER: 1", "(UDP)"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			argv := []string{peertest.Program(t, c.program), "@127.0.0.1", "-p", strconv.Itoa(s.Port)}
			name := "5550000"
			for _, a := range c.argv {
				if strings.HasPrefix(a, "+") {
					argv = append(argv, a)
				} else {
					name = a
				}
			}
			r := peertest.Run(t, t.TempDir(), "", append(argv, name+"."+phones, "A")...)
			for _, text := range c.want {
				if !strings.Contains(r.Stdout, text) {
					t.Errorf("%q is missing in\n%s%s", text, r.Stdout, r.Stderr)
				}
			}
			for _, text := range c.not {
				if strings.Contains(r.Stdout, text) {
					t.Errorf("%q is in\n%s", text, r.Stdout)
				}
			}
		})
	}
	if text := metrics(); !strings.Contains(text, `dialtone_responses_limited_total{action="dropped",class="responses"} 0`) ||
		strings.Contains(text, `dialtone_responses_limited_total{action="slipped",class="responses"} 0`) {
		t.Errorf("%s", text)
	}
}

// TestResolverInALimitedNetwork: BIND as a resolver sends cookies, and is answered as if nothing were.
func TestResolverInALimitedNetwork(t *testing.T) {
	s, metrics := limitedServer(t, "2")
	resolver := peertest.BIND(t, phones, fmt.Sprintf(`
options { directory "DIR"; listen-on port PORT { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile none;
	recursion yes; allow-recursion { any; }; dnssec-validation no; empty-zones-enable no; };
controls { };
zone "%s" { type forward; forward only; forwarders { 127.0.0.1 port %d; }; };
`, phones, s.Port), nil)
	ask := func(name string, rcode int) {
		m, _, err := (&dns.Client{Timeout: peertest.Patience}).Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), resolver.Addr)
		if err != nil || m.Rcode != rcode {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	ask("5550000."+phones, dns.RcodeSuccess)
	before := limitedNow(metrics())
	for i := range 50 {
		ask(fmt.Sprintf("x%d.5550000.%s", i, phones), dns.RcodeNameError)
	}
	if now := limitedNow(metrics()); now != before {
		t.Errorf("with its cookie it was limited:\n%s\nbefore:\n%s", now, before)
	}
}

// limitedNow gives the lines of what was limited.
func limitedNow(metrics string) (lines string) {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "dialtone_responses_limited_total") {
			lines += line
		}
	}
	return lines
}
