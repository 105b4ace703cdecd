package stage

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"

	"dialtone/integration/peertest"
)

// Phone is a host without a fixed address: the provider gives it one when it connects.
type Phone struct {
	*Host
	Number  string
	KeyFile string // its key, readable by nsupdate -k

	DHCP *peertest.Process // its DHCP client, while it is connected

	hook string // run with the new address when there is one
}

// Phone puts a phone on the stage, with the key of its number. It is not connected yet.
func (s *Stage) Phone(t testing.TB, name, number string) *Phone {
	t.Helper()
	p := &Phone{Host: s.host(t, name, phoneNet), Number: number}
	p.KeyFile = p.WriteKey(t, "phone.key", Key(number+"."+Zone))
	return p
}

// Key gives the key of a name, the one that the number server has in its configuration.
func Key(name string) peertest.Key {
	secret := base64.StdEncoding.EncodeToString([]byte("this is the secret of " + name))
	return peertest.Key{Name: name, Algorithm: "hmac-sha256", Secret: secret}
}

// WriteKey puts a key on the host, in a file as nsupdate -k reads it.
func (h *Host) WriteKey(t testing.TB, name string, k peertest.Key) (path string) {
	t.Helper()
	return peertest.Write(t, h.Dir, name, fmt.Sprintf("key %q {\n\talgorithm %s;\n\tsecret %q;\n};\n", k.Name, k.Algorithm, k.Secret))
}

// OnAddress makes the phone run a command of sh whenever the provider has given it an address, which is $ip there. This is
// how a DHCP client's hook registers a phone that has no agent.
func (p *Phone) OnAddress(command string) { p.hook = command }

// dhcpScript is what udhcpc runs. It tells the neighbours whose address that is now (RFC 5227, section 2.3), for another phone
// may have had it before. The line that begins with "connected" is the last of what it prints.
const dhcpScript = `#!/bin/sh
case "$1" in
deconfig)
	ip addr flush dev "$interface"
	echo disconnected
	;;
bound|renew)
	echo "nameserver $dns" >/etc/resolv.conf
	ip addr replace "$ip/$mask" dev "$interface"
	ip route replace default via "$router"
	busybox arping -q -U -c 1 -I "$interface" "$ip"
	%s
	echo "connected $ip."
	;;
esac
`

// Connect connects the phone to the provider: a DHCP client asks for an address and keeps it until Disconnect. It gives the
// address. A wish may name one that is asked for; the provider grants it when nobody has it.
func (p *Phone) Connect(t testing.TB, wish ...string) string {
	t.Helper()
	argv := p.client(t, "-R", "-t", "20")
	for _, w := range wish {
		argv = append(argv, "-r", w)
	}
	p.DHCP = p.Start(t, argv...)
	p.DHCP.Says(t, "connected ")
	_, after, _ := strings.Cut(p.DHCP.Log(), "connected ")
	p.Addr, _, _ = strings.Cut(after, ".\n")
	return p.Addr
}

// TryConnect is Connect to a provider that may not answer: then the exit code is not 0.
func (p *Phone) TryConnect(t testing.TB) peertest.Result {
	t.Helper()
	return p.Run(t, p.client(t, "-n", "-q", "-t", "2")...)
}

// client is the command line of the DHCP client.
func (p *Phone) client(t testing.TB, flags ...string) []string {
	t.Helper()
	script := peertest.Write(t, p.Dir, "dhcp.sh", fmt.Sprintf(dhcpScript, p.hook))
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	return append([]string{peertest.Program(t, "udhcpc"), "-f", "-i", "eth0", "-s", script, "-T", "1"}, flags...)
}

// Disconnect gives the address back to the provider.
func (p *Phone) Disconnect(t testing.TB) {
	t.Helper()
	if code := p.DHCP.Stop(t); code != 0 {
		t.Fatalf("%s: udhcpc ends with %d\n%s", p.Name, code, p.DHCP.Log())
	}
	p.Addr = ""
}

// Vanish takes the phone's battery out: nobody is told. Programs other than the DHCP client are to be killed before.
func (p *Phone) Vanish(t testing.TB) {
	t.Helper()
	p.DHCP.Kill(t)
	p.IP(t, "addr flush dev eth0", "link set dev eth0 down")
	p.Addr = ""
}

// Return puts it in again.
func (p *Phone) Return(t testing.TB) {
	t.Helper()
	p.IP(t, "link set dev eth0 up")
}
