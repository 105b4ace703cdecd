package integration

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// answersFile has what a client can be asked to understand.
const answersFile = phonesFile + `
alias       CNAME 5550000
loop        CNAME loop
*.wild      A     192.0.2.7
old         DNAME phones.example.
_sip._udp.5550000 SRV 0 0 5060 5550000
5550000     NAPTR 100 10 "s" "SIP+D2U" "" _sip._udp.5550000
deep.er.ent TXT   "below"
block       NS    ns.block
ns.block    A     192.0.2.53
block       DS    1 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
new         TYPE65280 \# 3 010203
svc         HTTPS 1 . alpn=h2
`

// TestDigUnderstandsTheAnswers checks the status and the sections that dig prints.
func TestDigUnderstandsTheAnswers(t *testing.T) {
	var file strings.Builder
	file.WriteString(answersFile)
	for i := range 200 {
		fmt.Fprintf(&file, "many A 10.0.0.%d\n", i)
	}
	config := "server_id: ns1\n" + openConfig(phones)
	server := peertest.Dialtone(t, phones, config, map[string]string{peertest.ZoneFile(phones): file.String()})
	for _, c := range []struct {
		args string
		want []string
	}{
		{"5550000.phones.example. A", []string{"status: NOERROR", "flags: qr aa rd;", "5550000.phones.example. 60 IN A 192.0.2.100"}},
		{"5550000.PHONES.example. A", []string{"5550000.PHONES.example. 60 IN A 192.0.2.100"}},
		{"5550000.phones.example. AAAA", []string{"status: NOERROR", "ANSWER: 0, AUTHORITY: 1", "phones.example. 30 IN SOA"}},
		{"none.phones.example. A", []string{"status: NXDOMAIN", "phones.example. 30 IN SOA"}},
		{"er.ent.phones.example. A", []string{"status: NOERROR", "ANSWER: 0, AUTHORITY: 1"}},
		{"any.thing.wild.phones.example. A", []string{"status: NOERROR", "any.thing.wild.phones.example. 60 IN A 192.0.2.7"}},
		{"alias.phones.example. A", []string{"alias.phones.example. 60 IN CNAME 5550000.phones.example.", "5550000.phones.example. 60 IN A 192.0.2.100"}},
		{"loop.phones.example. A", []string{"loop.phones.example. 60 IN CNAME loop.phones.example."}},
		{"5550000.old.phones.example. A", []string{"old.phones.example. 60 IN DNAME phones.example.", "5550000.old.phones.example. 60 IN CNAME 5550000.phones.example.", "5550000.phones.example. 60 IN A 192.0.2.100"}},
		{"_sip._udp.5550000.phones.example. SRV", []string{"SRV 0 0 5060 5550000.phones.example.", "5550000.phones.example. 60 IN A 192.0.2.100"}},
		{"5550000.phones.example. NAPTR", []string{`NAPTR 100 10 "s" "SIP+D2U" "" _sip._udp.5550000.phones.example.`, "SRV 0 0 5060"}},
		{"a.block.phones.example. A", []string{"status: NOERROR", "flags: qr rd;", "ANSWER: 0, AUTHORITY: 1", "block.phones.example. 60 IN NS ns.block.phones.example.", "ns.block.phones.example. 60 IN A 192.0.2.53"}},
		{"block.phones.example. DS", []string{"flags: qr aa rd;", "block.phones.example. 60 IN DS 1 13 2"}},
		{"new.phones.example. TYPE65280", []string{`TYPE65280 \# 3 010203`}},
		{"svc.phones.example. HTTPS", []string{`HTTPS 1 . alpn="h2"`}},
		{"+notcp many.phones.example. A", []string{"ANSWER: 200"}}, // by TCP, after TC
		{"+bufsize=512 +ignore many.phones.example. A", []string{"flags: qr aa tc rd;", "ANSWER: 0"}},
		{"+notcp 5550000.phones.example. ANY", []string{"ANSWER: 1"}},
		{"+tcp 5550000.phones.example. ANY", []string{"ANSWER: 2"}},
		{"+nsid 5550000.phones.example. A", []string{`NSID: 6e 73 31 ("ns1")`}},
		{"id.server. CH TXT", []string{`CH TXT "ns1"`}},
		{"+edns=1 +noednsnegotiation 5550000.phones.example. A", []string{"status: BADVERS"}},
		{"+ednsopt=65001:00 +ednsflags=0x4fff 5550000.phones.example. A", []string{"status: NOERROR", "192.0.2.100"}},
		{"example.org. A", []string{"status: REFUSED", "EDE: 20"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			argv := append([]string{peertest.Program(t, "dig"), "@127.0.0.1", "-p", strconv.Itoa(server.Port), "+nocookie"}, strings.Fields(c.args)...)
			got := strings.Join(strings.Fields(peertest.Run(t, t.TempDir(), "", argv...).Stdout), " ")
			for _, w := range c.want {
				if !strings.Contains(got, w) {
					t.Errorf("dig %s does not print %q:\n%s", c.args, w, got)
				}
			}
			if warnings := strings.ReplaceAll(got, "WARNING: recursion requested but not available", ""); strings.Contains(warnings, "WARNING") {
				t.Errorf("dig %s warns:\n%s", c.args, got)
			}
		})
	}
}

// TestSignedQueriesAndTransfers asks with each algorithm, truncated MACs among them; the clients check the signature of
// what comes back, over many messages of a transfer too.
func TestSignedQueriesAndTransfers(t *testing.T) {
	keys := tsigKeys()
	server := peertest.Dialtone(t, phones, keyedConfig(keys), map[string]string{"zone.db": paddedFile(4000)})
	p := strconv.Itoa(server.Port)
	for _, key := range keys {
		auth := key.Algorithm + ":" + key.Name + ":" + key.Secret
		for _, argv := range [][]string{
			{peertest.Program(t, "dig"), "@127.0.0.1", "-p", p, "-y", auth},
			{peertest.Program(t, "kdig"), "@127.0.0.1", "-p", p, "-y", auth},
		} {
			r := peertest.Run(t, t.TempDir(), "", append(argv, "4440001.phones.example.", "A")...)
			wantSigned(t, argv[0]+" "+key.Algorithm, r, "192.0.2.1")
			r = peertest.Run(t, t.TempDir(), "", append(argv, "phones.example.", "AXFR")...)
			wantSigned(t, argv[0]+" AXFR "+key.Algorithm, r, "4443999.phones.example.")
			r = peertest.Run(t, t.TempDir(), "", append(argv, "phones.example.", "IXFR=1")...)
			wantSigned(t, argv[0]+" IXFR "+key.Algorithm, r, "4443999.phones.example.")
		}
		mustUpdate(t, "nsupdate", server.Port, &peertest.Key{Name: key.Name, Algorithm: truncated[key.Algorithm], Secret: key.Secret}, nil,
			"add "+key.Name+"phones.example. 60 A 192.0.2.1")
	}
}

// truncated are the forms with half of the MAC or more (RFC 8945, section 5.2.2.1), as nsupdate names them.
var truncated = map[string]string{"hmac-sha1": "hmac-sha1-80", "hmac-sha224": "hmac-sha224-112", "hmac-sha256": "hmac-sha256-128",
	"hmac-sha384": "hmac-sha384-192", "hmac-sha512": "hmac-sha512-256"}

func wantSigned(t *testing.T, what string, r peertest.Result, want string) {
	t.Helper()
	text := r.Stdout + r.Stderr
	// dig says "Couldn't verify signature", kdig "reply verification failed".
	complains := strings.Contains(strings.ToLower(text), "verif") || strings.Contains(strings.ToLower(text), "transfer failed")
	if r.Code != 0 || !strings.Contains(text, want) || !strings.Contains(text, "TSIG PSEUDOSECTION") && !strings.Contains(text, "\tTSIG\t") || complains {
		if len(text) > 2000 {
			// What it complains of may stand anywhere.
			said := strings.Join(slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.Contains(line, "\tIN\t") }), "\n")
			text = text[:1000] + "\n...\n" + said[:min(len(said), 3000)]
		}
		t.Errorf("%s: exit code %d, want %s and a good signature:\n%s", what, r.Code, want, text)
	}
}

// TestLargeUpdateOverUDP carries as much as a datagram holds.
func TestLargeUpdateOverUDP(t *testing.T) {
	server := peertest.Dialtone(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): phonesFile})
	m := peertest.Update{Zone: []peertest.Entry{{Owner: phones, Type: dns.TypeSOA, Class: dns.ClassINET}}}
	const records = 1600
	for i := range records {
		m.Updates = append(m.Updates, peertest.Entry{Owner: fmt.Sprintf("7%07d.%s", i, phones), Type: dns.TypeA,
			Class: dns.ClassINET, TTL: 60, Data: []byte{10, 0, byte(i >> 8), byte(i)}})
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	reply, ok, err := peertest.Datagram(server.Addr, packed, 10*time.Second)
	if err != nil || !ok || reply[3]&0xf != dns.RcodeSuccess {
		t.Fatalf("%d octets over UDP: answered %v, %v, %x", len(packed), ok, err, reply)
	}
	if got := len(peertest.MustAXFR(t, server.Addr, phones).Records); got != records+2 {
		t.Errorf("%d records, want %d", got, records+2)
	}
}
