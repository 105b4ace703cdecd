package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dialtone/integration/peertest"
	"dialtone/integration/stage"

	"github.com/miekg/dns"
)

// kamailioConfig is a SIP proxy that finds out by ENUM where a number is. It keeps no answers, for a test does not wait until
// they are old.
const kamailioConfig = `#!KAMAILIO
debug=2
log_stderror=yes
children=1
disable_tcp=yes
listen=udp:127.0.0.2:5060
use_dns_cache=off
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "enum.so"
request_route {
	if (!enum_query("e164.phones.example.")) {
		sl_send_reply("404", "Not In ENUM");
		exit;
	}
	xlog("L_NOTICE", "ENUM: $rm $ou becomes $ru\n");
	if (!t_relay()) {
		sl_reply_error();
	}
}
`

// TestENUMWithKamailio is a call by ENUM as others make it, in the network of a server that dialtone init has set up: sipp calls
// an international number at Kamailio, which asks for its NAPTR record, rewrites the request, finds the phone as RFC 3263 says,
// and passes the call on. Then the phone moves, and the operator narrows the rule.
func TestENUMWithKamailio(t *testing.T) {
	h := &loopback{Host: stage.Alone(t, "loopback", "127.0.0.1")}
	bin := peertest.Binary(t)
	h.run(t, 0, bin, "init", h.Dir+"/d", "--zone", "phones.example", "--ns", "ns1=127.0.0.1", "--listen", "127.0.0.1:53")
	h.Start(t, bin, "serve", "--config", h.Dir+"/d/dialtone.yaml")
	peertest.Eventually(t, time.Minute, "the server answers", func() error {
		return h.try(peertest.Program(t, "dig"), "+short", "+time=1", "+tries=1", "phones.example", "SOA")
	})
	peertest.Write(t, h.Dir, "kamailio.cfg", kamailioConfig)
	kamailio := h.Start(t, peertest.Program(t, "kamailio"), "-DD", "-E", "-w", h.Dir, "-Y", h.Dir, "-P", h.Dir+"/kamailio.pid", "-f", h.Dir+"/kamailio.cfg")
	t.Cleanup(func() { kamailio.Stop(t) }) // it has children
	h.listens(t, "127.0.0.2:5060")

	// The phone is where it says, at another port than the usual one, and then elsewhere.
	for _, address := range []string{"127.0.0.3", "127.0.0.4"} {
		h.run(t, 0, bin, "register", "+44 20 7946 0148", "-k", h.Dir+"/d/admin.key", "-a", address, "--sip-port", "5070")
		h.answer(t, address+":5070")
		if code, messages := h.call(t, "+442079460148"); code != 0 {
			t.Errorf("the call to %s: exit code %d\n%s", address, code, messages)
		}
		peertest.Eventually(t, peertest.Patience, "the phone at "+address+" writes down what it was asked", func() error {
			if got := h.read(t, address+".messages"); !strings.Contains(got, "\nINVITE sip:442079460148@442079460148.phones.example SIP/2.0\r\n") {
				return fmt.Errorf("it has had\n%s", got)
			}
			return nil
		})
	}
	want := "sip:442079460148@442079460148.phones.example (sip), for 1h0m0s\n  udp 127.0.0.4:5070, for 1m0s\n"
	if got := h.run(t, 0, bin, "lookup", "--enum", "+44 20 7946 0148"); got != want {
		t.Errorf("dialtone finds\n%s", got)
	}

	// Its neighbour has a URI, and no address. Then only one number is left.
	h.wantReply(t, "+442079460149", "478 ")
	rule := `update delete *.e164.phones.example. NAPTR
update add *.e164.phones.example. 60 NAPTR 100 10 "u" "E2U+sip" "!^\\+?(442079460148)$!sip:\\1@\\1.phones.example!" .
`
	peertest.Write(t, h.Dir, "narrow", "server 127.0.0.1\nzone phones.example\n"+rule+"send\n")
	h.run(t, 0, peertest.Program(t, "nsupdate"), "-k", h.Dir+"/d/admin.key", h.Dir+"/narrow")
	h.wantReply(t, "+442079460149", "404 Not In ENUM")
	if code, messages := h.call(t, "+442079460148"); code != 0 {
		t.Errorf("the call after the change: exit code %d\n%s", code, messages)
	}
	h.run(t, 5, bin, "lookup", "--enum", "+44 20 7946 0149")
}

// TestLookupByENUM is the command: the URIs of a number in their order, and where those of the zone lead.
func TestLookupByENUM(t *testing.T) {
	s := peertest.Dialtone(t, "phones.example.", phoneConfig, map[string]string{"zone.db": phoneZone + `
*.e164 3600 NAPTR 100 10 "u" "E2U+sip" "!^\\+?(.*)$!sip:\\1@\\1.phones.example!" .
*.others 300 NAPTR 100 20 "u" "E2U+sip" "!^(.*)$!sip:\\1@proxy.example!" .
*.others 300 NAPTR 100 10 "" "" "" *.e164
*.others 300 NAPTR 100 30 "u" "E2U+voice:tel+sms:tel" "!^.*$!tel:+1-201-555-0123!" .
*.bad NAPTR 100 10 "u" "E2U+sip" "!^2(.*)$!sip:\\1@x.example!" .
5551234 30 A 192.0.2.7
`})
	const ours = "sip:5551234@5551234.phones.example (sip), for 1h0m0s\n  udp 192.0.2.7:5060, for 30s\n"
	for _, c := range []struct {
		args, stdout, stderr string
		code                 int
	}{
		{"--enum 5551234", ours, "", 0},
		{"--enum-suffix e164.phones.example +5551234", ours, "", 0},
		{"--enum 5551235", "sip:5551235@5551235.phones.example (sip), for 1h0m0s\n  not registered\n", "number 5551235 (5551235.phones.example.): not registered", 5},
		{"--enum-suffix others.phones.example 5551234", "sip:5551234@5551234.phones.example (sip), for 5m0s\n  udp 192.0.2.7:5060, for 30s\n" +
			"sip:5551234@proxy.example (sip), for 5m0s\ntel:+1-201-555-0123 (voice:tel, sms:tel), for 5m0s\n", "", 0},
		{"--enum-suffix others.phones.example 1 --json", `{"number":"1","name":"1.others.phones.example.","uris":[` +
			`{"uri":"sip:1@1.phones.example","services":["sip"],"ttl":300,"error":"number 1 (1.phones.example.): not registered"},` +
			`{"uri":"sip:1@proxy.example","services":["sip"],"ttl":300},{"uri":"tel:+1-201-555-0123","services":["voice:tel","sms:tel"],"ttl":300}]}` + "\n", "", 0},
		{"--enum 5551234 --json", `{"number":"5551234","name":"4.3.2.1.5.5.5.e164.phones.example.","uris":[{"uri":"sip:5551234@5551234.phones.example",` +
			`"services":["sip"],"ttl":3600,"name":"5551234.phones.example.","contacts":[{"transport":"udp","host":"5551234.phones.example.",` +
			`"address":"192.0.2.7","port":5060,"ttl":30}]}]}` + "\n", "", 0},
		{"--enum-suffix bad.phones.example 5551234", "", "its pattern does not match 5551234", 5},
		{"--enum-suffix none.phones.example 5551234", "", "ENUM leads to no URI", 5},
		{"--enum-suffix e164.arpa +1", "", "REFUSED", 3},
		{"--enum-suffix e164.arpa 5551234", "", "write it with +", 2},
		{"--enum-suffix a..b 5551234", "", "no suffix of ENUM", 2},
	} {
		r := peertest.Run(t, s.Dir, "", append([]string{peertest.Binary(t), "lookup", "--server", s.Addr}, strings.Fields(c.args)...)...)
		if r.Code != c.code || r.Stdout != c.stdout || !strings.Contains(r.Stderr, c.stderr) || c.stderr == "" && r.Stderr != "" {
			t.Errorf("lookup %s: exit code %d, want %d\n%s%s", c.args, r.Code, c.code, r.Stdout, r.Stderr)
		}
	}
}

// loopback is a host that has nothing but a loopback interface, with all ports free and a resolv.conf of its own.
type loopback struct {
	*stage.Host
	made int
}

func (h *loopback) run(t *testing.T, code int, argv ...string) (output string) {
	t.Helper()
	r := h.Run(t, argv...)
	if r.Code != code {
		t.Fatalf("%s: exit code %d, want %d\n%s%s", strings.Join(argv, " "), r.Code, code, r.Stdout, r.Stderr)
	}
	return r.Stdout + r.Stderr
}

// try is run for what may fail now.
func (h *loopback) try(argv ...string) error {
	inside := h.Inside(argv...)
	out, err := exec.Command(inside[0], inside[1:]...).CombinedOutput()
	if err != nil || len(out) == 0 {
		return fmt.Errorf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return nil
}

// listens waits until a program has a UDP port.
func (h *loopback) listens(t *testing.T, addr string) {
	t.Helper()
	peertest.Eventually(t, peertest.Patience, "a program listens at "+addr, func() error {
		return h.try(peertest.Program(t, "ss"), "-lunH", "src", addr)
	})
}

func (h *loopback) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// answer has a phone answer calls.
func (h *loopback) answer(t *testing.T, at string) {
	t.Helper()
	host, port, _ := strings.Cut(at, ":")
	h.Start(t, peertest.Program(t, "sipp"), "-sn", "uas", "-i", host, "-p", port, "-nostdin", "-watchdog_interval", "0",
		"-trace_msg", "-message_file", filepath.Join(h.Dir, host+".messages"))
	h.listens(t, at)
}

// call makes one call through Kamailio, from INVITE to the answer to BYE. It gives sipp's exit code and the messages.
func (h *loopback) call(t *testing.T, number string) (code int, messages string) {
	t.Helper()
	h.made++
	file := fmt.Sprintf("call%d.messages", h.made)
	r := h.Run(t, peertest.Program(t, "sipp"), "-sn", "uac", "-i", "127.0.0.5", "-p", fmt.Sprint(5080+h.made),
		"-s", number, "-m", "1", "-nostdin", "-watchdog_interval", "0", "-timeout", "30", "-trace_msg", "-message_file", filepath.Join(h.Dir, file), "127.0.0.2:5060")
	return r.Code, h.read(t, file)
}

// wantReply makes a call that does not come through.
func (h *loopback) wantReply(t *testing.T, number, status string) {
	t.Helper()
	if code, messages := h.call(t, number); code != 1 || !strings.Contains(messages, "\nSIP/2.0 "+status) {
		t.Errorf("the call to %s: exit code %d, want a reply %s\n%s", number, code, status, messages)
	}
}

// TestENUMAtSecondaries: the rule is part of the zone, so others who serve it answer alike, and with the same exception: a name
// below takes the rule from the numbers that share its digits (RFC 4592, section 3.3.1).
func TestENUMAtSecondaries(t *testing.T) {
	ports := []int{peertest.Port(t), peertest.Port(t), peertest.Port(t)}
	config := openConfig(phones) + fmt.Sprintf("    notify: [\"127.0.0.1:%d\", \"127.0.0.1:%d\", \"127.0.0.1:%d\"]\n", ports[0], ports[1], ports[2])
	server := peertest.Dialtone(t, phones, config, map[string]string{peertest.ZoneFile(phones): phonesFile +
		`*.e164 NAPTR 100 10 "u" "E2U+sip" "!^\\+?(.*)$!sip:\\1@\\1.phones.example!" .` + "\n" +
		`3.3.1.e164 NAPTR 100 10 "u" "E2U+tel" "!^.*$!tel:+1!" .` + "\n"})
	servers := []*peertest.Server{server,
		peertest.BIND(t, phones, peertest.BINDSecondary(phones, server.Addr, nil), nil, ports[0]),
		peertest.NSD(t, phones, peertest.NSDSecondary(phones, server.Addr, nil), nil, ports[1]),
		peertest.Knot(t, phones, peertest.KnotSecondary(phones, server.Addr, nil), nil, ports[2]),
	}
	for _, s := range servers[1:] {
		peertest.Converged(t, time.Minute, phones, server, s, peertest.View{FoldCase: true})
	}
	for digits, want := range map[string]string{
		"8.4.1.0.6.4.9.7.0.2.4.4":       "NOERROR E2U+sip",
		"7":                             "NOERROR E2U+sip",
		"5.4.3.2.1.0.9.8.7.6.5.4.3.2.9": "NOERROR E2U+sip",
		"3.3.1":                         "NOERROR E2U+tel",
		"3.1":                           "NOERROR", // an empty non-terminal
		"9.3.1":                         "NXDOMAIN",
		"9.9.1":                         "NXDOMAIN",
		"1.2":                           "NOERROR E2U+sip",
	} {
		q := new(dns.Msg)
		q.SetQuestion(digits+".e164."+phones, dns.TypeNAPTR)
		for _, s := range servers {
			r, err := dns.Exchange(q, s.Addr)
			if err != nil {
				t.Fatalf("%s: %v", s.Name, err)
			}
			got := dns.RcodeToString[r.Rcode]
			for _, rr := range r.Answer {
				got += " " + rr.(*dns.NAPTR).Service
			}
			if got != want {
				t.Errorf("%s at %s: %s, want %s", digits, s.Name, got, want)
			}
		}
	}
}
