package integration

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"dialtone/integration/peertest"
)

const callConfig = `listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
zones:
  - name: phones.example.
    file: DIR/zone.db
    acl:
      - {address: 127.0.0.1/32, action: update}
`

// exchange is where calls are tried: a server, and a directory to call from.
type exchange struct{ server, dir string }

func newExchange(t *testing.T) *exchange {
	t.Helper()
	s := peertest.Dialtone(t, "phones.example.", callConfig, map[string]string{"zone.db": phoneZone})
	return &exchange{s.Addr, t.TempDir()}
}

func (x *exchange) dialtone(t *testing.T, args ...string) peertest.Result {
	t.Helper()
	return peertest.Run(t, x.dir, "", append([]string{peertest.Binary(t)}, append(args, "--server", x.server)...)...)
}

// phone registers a number at a free port, which it gives.
func (x *exchange) phone(t *testing.T, number string) string {
	t.Helper()
	port := strconv.Itoa(peertest.Port(t))
	if r := x.dialtone(t, "register", number, "--sip-port", port); r.Code != 0 {
		t.Fatalf("register %s: %s%s", number, r.Stdout, r.Stderr)
	}
	return port
}

// sipp starts SIPp, the SIP test tool, for one call from or to its port.
func (x *exchange) sipp(t *testing.T, port string, args ...string) *peertest.Process {
	t.Helper()
	argv := []string{peertest.Program(t, "sipp"), "-i", "127.0.0.1", "-p", port, "-m", "1", "-nostdin", "-timeout", "50s", "-timeout_error"}
	return peertest.Start(t, "sipp", x.dir, append(argv, args...)...)
}

// listens waits until a program has a port of 127.0.0.1.
func listens(t *testing.T, transport, port string) {
	t.Helper()
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	peertest.Eventually(t, peertest.Patience, "port "+port+" is taken", func() error {
		table, err := os.ReadFile("/proc/net/" + transport)
		if err == nil && !strings.Contains(string(table), fmt.Sprintf(" 0100007F:%04X 00000000:0000 ", number)) {
			err = fmt.Errorf("nobody has it over %s", transport)
		}
		return err
	})
}

// scenario is a phone that SIPp plays: it receives a request and answers it in
// its own way.
func scenario(steps ...string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><scenario name="phone">` + strings.Join(steps, "\n") + "</scenario>\n"
}

func receives(method string) string { return `<recv request="` + method + `"/>` }

// says answers the message received last; cseq: when that is not the one that is
// answered.
func says(status, cseq string) string {
	if cseq == "" {
		cseq = "[last_CSeq:]"
	}
	return `<send><![CDATA[
SIP/2.0 ` + status + `
[last_Via:]
[last_From:]
[last_To:];tag=[pid]t[call_number]
[last_Call-ID:]
` + cseq + `
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
Content-Length: 0

]]></send>`
}

// TestDialtoneCallsSIPp: each way in which a call can end has its exit code.
func TestDialtoneCallsSIPp(t *testing.T) {
	x := newExchange(t)
	const keepCSeq = `<recv request="INVITE"><action><ereg regexp="CSeq:.*" search_in="hdr" header="CSeq:" assign_to="1"/></action></recv>`
	for name, c := range map[string]struct {
		phone          string // empty: SIPp's own, which answers
		args           []string
		code           int
		stdout, stderr string // %s is the way to the phone
	}{
		"reachable": {scenario(receives("OPTIONS"), says("200 OK", "")), nil, 0,
			"calling 5551234 at %[1]s\n5551234 is reachable at %[1]s (200 OK)\n", ""},
		"answered": {"", []string{"--ring", "--for", "50ms"}, 0, "calling 5551234 at %[1]s\n", ""},
		"busy": {scenario(receives("INVITE"), says("486 Busy Here", ""), receives("ACK")), []string{"--ring"}, 6,
			"calling 5551234 at %[1]s\n", "dialtone: busy (486 Busy Here, %[1]s)\n"},
		"declined": {scenario(receives("INVITE"), says("603 Decline", ""), receives("ACK")), []string{"--ring"}, 8,
			"calling 5551234 at %[1]s\n", "dialtone: declined (603 Decline, %[1]s)\n"},
		"no answer": {scenario(strings.Replace(keepCSeq, "CSeq:.*", ".*", 1), says("180 Ringing", ""), receives("CANCEL"), says("200 OK", ""),
			says("487 Request Terminated", "CSeq:[$1]"), receives("ACK")),
			[]string{"--ring", "--timeout", "3s"}, 7, "calling 5551234 at %[1]s\nringing\n", "dialtone: number 5551234: no answer within 3s\n"},
		"not found": {scenario(receives("INVITE"), says("404 Not Found", ""), receives("ACK")), []string{"--ring"}, 4,
			"calling 5551234 at %[1]s\n%[1]s: 404 Not Found\n", "dialtone: number 5551234: the phone cannot be reached (%[1]s: 404 Not Found)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			port := x.phone(t, "5551234")
			args := []string{"-sn", "uas"}
			if c.phone != "" {
				args = []string{"-sf", peertest.Write(t, t.TempDir(), "phone.xml", c.phone)}
			}
			phone := x.sipp(t, port, args...)
			listens(t, "udp", port)
			way := "udp 127.0.0.1:" + port
			r := x.dialtone(t, append([]string{"call", "555-1234"}, c.args...)...)
			stdout := fmt.Sprintf(c.stdout+"%.0[1]s", way)
			if r.Code != c.code || !strings.HasPrefix(r.Stdout, stdout) || r.Stderr != fmt.Sprintf(c.stderr+"%.0[1]s", way) {
				t.Errorf("exit code %d, want %d\n%s%s", r.Code, c.code, r.Stdout, r.Stderr)
			}
			if code := phone.Wait(t); code != 0 {
				t.Errorf("SIPp saw something else: exit code %d", code)
			}
		})
	}

	port := x.phone(t, "5551234")
	for _, c := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"5551234"}, 4, "the phone cannot be reached (udp 127.0.0.1:" + port + ": connection refused)"},
		{[]string{"5551234", "--ring"}, 4, "the phone cannot be reached (udp 127.0.0.1:" + port + ": connection refused)"},
		{[]string{"5559999"}, 5, "not registered"},
		{[]string{"5551234", "--from", "me"}, 2, `"me" is no SIP address`},
		{[]string{"5551234", "--zone", "elsewhere.example"}, 3, "REFUSED"},
	} {
		if r := x.dialtone(t, append([]string{"call"}, c.args...)...); r.Code != c.code || !strings.Contains(r.Stderr, c.stderr) {
			t.Errorf("%q: exit code %d, want %d\n%s%s", c.args, r.Code, c.code, r.Stdout, r.Stderr)
		}
	}
	unused := "127.0.0.1:" + strconv.Itoa(peertest.Port(t))
	if r := peertest.Run(t, x.dir, "", peertest.Binary(t), "call", "5551234", "--server", unused, "--timeout", "9s"); r.Code != 4 || !strings.Contains(r.Stderr, "no server answers") {
		t.Errorf("without a name server: exit code %d\n%s", r.Code, r.Stderr)
	}
}

// sound is one that G.711 leaves as it is: the values of its codes.
func sound(samples int) (codes, pcm []byte) {
	for i := range samples {
		code := byte(i*37 + i/160*11)
		codes = append(codes, code)
		pcm = binary.LittleEndian.AppendUint16(pcm, uint16(ulaw(code)))
	}
	return codes, pcm
}

// ulaw is the value of a code (ITU-T G.711, table 2b).
func ulaw(code byte) int16 {
	code = ^code
	v := (int16(code&15)<<3 + 132) << (code >> 4 & 7)
	if code&0x80 != 0 {
		return 132 - v
	}
	return v - 132
}

// wav makes a file of sound: 8 kHz, mono, 16 bits.
func wav(t *testing.T, dir, name string, pcm []byte) string {
	t.Helper()
	h := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00")
	binary.LittleEndian.PutUint32(h[4:], uint32(len(pcm)+36))
	binary.LittleEndian.PutUint32(h[40:], uint32(len(pcm)))
	return peertest.Write(t, dir, name, string(h)+string(pcm))
}

// heard gives the sound of a recording.
func heard(t *testing.T, path string) string {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(file) < 44 || string(file[:4]) != "RIFF" || int(binary.LittleEndian.Uint32(file[40:])) != len(file)-44 {
		t.Fatalf("%s is no recording: %.60q", path, file)
	}
	return string(file[44:])
}

// TestSIPpEchoesAudio: what is played to a phone that gives it back is recorded.
func TestSIPpEchoesAudio(t *testing.T) {
	x := newExchange(t)
	port := x.phone(t, "5551234")
	phone := x.sipp(t, port, "-sn", "uas", "-rtp_echo", "-mp", strconv.Itoa(peertest.Port(t)))
	listens(t, "udp", port)
	_, pcm := sound(16000)
	r := x.dialtone(t, "call", "5551234", "--audio", wav(t, x.dir, "hello.wav", pcm), "--record", "echo.wav", "--json")
	if r.Code != 0 || !strings.Contains(r.Stdout, `"event":"answered"`) || !strings.Contains(r.Stdout, `"event":"hung up"`) {
		t.Errorf("exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	// The end of it may still be on its way back when the call ends.
	if echo := heard(t, filepath.Join(x.dir, "echo.wav")); !strings.HasPrefix(string(pcm), echo) || len(echo) < len(pcm)/4 {
		t.Errorf("%d octets come back, which are not the %d that were played", len(echo), len(pcm))
	}
	if code := phone.Wait(t); code != 0 {
		t.Errorf("SIPp saw something else: exit code %d", code)
	}
}

// speaks is a caller that SIPp plays: it says what is in a file, and hangs up.
const speaks = `<?xml version="1.0" encoding="UTF-8"?>
<scenario name="caller">
  <send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]t[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="200" rrs="true"/>
  <send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]t[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
  <nop><action><exec rtp_stream="say.ulaw,1,0,PCMU/8000"/></action></nop>
  <pause milliseconds="2000"/>
  <send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]t[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
  <recv response="200"/>
</scenario>
`

// TestSIPpCallsDialtone: dialtone phone --answer is a phone for others, too.
func TestSIPpCallsDialtone(t *testing.T) {
	x := newExchange(t)
	port := strconv.Itoa(peertest.Port(t))
	codes, pcm := sound(800)
	peertest.Write(t, x.dir, "say.ulaw", string(codes))
	script := peertest.Write(t, x.dir, "caller.xml", speaks)
	phone := peertest.Start(t, "phone", x.dir, peertest.Binary(t), "phone", "5551234", "--server", x.server, "--sip-port", port,
		"--answer", "--record", "heard.wav", "--play", wav(t, x.dir, "hello.wav", pcm))
	logs := func(text string, count int) {
		t.Helper()
		peertest.Eventually(t, peertest.Patience, "the phone tells "+text, func() error {
			if strings.Count(phone.Log(), text) < count {
				return fmt.Errorf("its log:\n%s", phone.Log())
			}
			return nil
		})
	}
	logs("5551234 is at 127.0.0.1", 1)
	for i, transport := range []string{"u1", "t1"} {
		caller := x.sipp(t, strconv.Itoa(peertest.Port(t)), "-sf", script, "-t", transport, "-s", "5551234", "127.0.0.1:"+port)
		if code := caller.Wait(t); code != 0 {
			t.Fatalf("SIPp over %s: exit code %d", transport, code)
		}
		logs("the other side hung up", i+1)
		name := []string{"heard.wav", "heard-2.wav"}[i]
		if got := heard(t, filepath.Join(x.dir, name)); got != string(pcm) {
			t.Errorf("over %s, %d octets are recorded, which are not the %d that were said", transport, len(got), len(pcm))
		}
	}

	if r := x.dialtone(t, "phone", "5551235", "--sip-port", port, "--answer"); r.Code != 2 || !strings.Contains(r.Stderr, "address already in use") {
		t.Errorf("a second phone at that port: exit code %d\n%s", r.Code, r.Stderr)
	}

	// One call at a time. The one that is on ends by Ctrl-C.
	first := peertest.Start(t, "caller", x.dir, peertest.Binary(t), "call", "5551234", "--server", x.server, "--ring", "--for", "1h", "--json")
	logs("answered after", 3)
	if r := x.dialtone(t, "call", "5551234", "--ring"); r.Code != 6 {
		t.Errorf("a second call: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	if r := x.dialtone(t, "call", "5551234"); r.Code != 0 {
		t.Errorf("whether it would ring: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	if code := first.Stop(t); code != 0 {
		t.Errorf("the first call ends with %d", code)
	}
	logs("the other side hung up", 3)
	var last struct {
		Event string
		After float64
	}
	said := strings.Split(strings.TrimSpace(first.Log()), "\n")
	if err := json.Unmarshal([]byte(said[len(said)-1]), &last); err != nil || last.Event != "hung up" || last.After <= 0 {
		t.Errorf("%v; the first call tells\n%s", err, first.Log())
	}
	if code := phone.Stop(t); code != 0 || !strings.Contains(phone.Log(), "registered no more") {
		t.Errorf("the phone ends with %d", code)
	}
	if r := x.dialtone(t, "call", "5551234", "--ring"); r.Code != 5 {
		t.Errorf("after it left: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// TestTwoMachinesCall: two machines with nothing but dialtone make a call. The
// phone moves, and the next call reaches it where it is.
func TestTwoMachinesCall(t *testing.T) {
	phone, caller := phoneAndServer(t)
	_, pcm := sound(1600)
	phone.IP(t, "addr add 192.0.2.7/24 dev eth0")
	p := phone.start(t, "phone", "5551234", "--server", "192.0.2.53", "--key-file", "phone.key", "--address", "eth0", "--ttl", "2", "--sip-port", "5070",
		"--answer", "--record", "heard.wav", "--play", wav(t, phone.Dir, "reply.wav", pcm), "--json")
	hello := wav(t, caller.Dir, "hello.wav", pcm)
	address := "192.0.2.7"
	for i, name := range []string{".wav", "-2.wav"} {
		peertest.Eventually(t, peertest.Patience, "the phone is at "+address, func() error { return caller.finds(t, address) })
		c := caller.start(t, "call", "555-1234", "--server", "192.0.2.53", "--audio", hello, "--record", "reply.wav", "--for", "1h")
		there, here := filepath.Join(phone.Dir, "heard"+name), filepath.Join(caller.Dir, "reply"+name)
		peertest.Eventually(t, peertest.Patience, "both have heard all", func() error {
			for _, file := range []string{there, here} {
				if info, err := os.Stat(file); err != nil || info.Size() < int64(44+len(pcm)) {
					return fmt.Errorf("%s: %v, %v; the caller tells:\n%s", file, info, err, c.Log())
				}
			}
			return nil
		})
		if code := c.Stop(t); code != 0 || !strings.HasPrefix(c.Log(), "calling 5551234 at udp "+address+":5070\n") || !strings.Contains(c.Log(), "answered after ") {
			t.Fatalf("exit code %d\n%s", code, c.Log())
		}
		peertest.Eventually(t, peertest.Patience, "the call ends", func() error {
			if n := strings.Count(p.Log(), `"event":"ended"`); n <= i {
				return fmt.Errorf("%d calls did", n)
			}
			return nil
		})
		for _, file := range []string{there, here} {
			if got := heard(t, file); got != string(pcm) {
				t.Errorf("%s has %d octets, which are not the %d that were played", file, len(got), len(pcm))
			}
		}
		if i == 0 {
			address = "192.0.2.8"
			phone.IP(t, "addr del 192.0.2.7/24 dev eth0", "addr add 192.0.2.8/24 dev eth0")
		}
	}
	if code := p.Stop(t); code != 0 {
		t.Errorf("the phone ends with %d", code)
	}
}
