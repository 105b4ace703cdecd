package peertest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Abused is a server that floods are sent to, and a good client of it.
type Abused struct {
	*Server
	MetricsAddr string
	Good        Good
	Shared      Key // may update all numbers, as a DHCP server's key does
}

const abusedZone = "phones.example."

// StartAbused starts it. Its zone has what floods ask for. More is put behind its configuration, which has no limits and
// no log in it.
func StartAbused(t testing.TB, more string) *Abused {
	t.Helper()
	a := &Abused{
		MetricsAddr: "127.0.0.1:" + strconv.Itoa(Port(t)),
		Shared:      Key{Name: "dhcp.key.", Algorithm: "hmac-sha256", Secret: "b8jnkvdkr8hC9ZzDbsgKbpiCMKxHkB/1Hd08kbpQ0Uo="},
	}
	own := Key{Name: "5550200." + abusedZone, Algorithm: "hmac-sha256", Secret: "Vm9pY2VPdmVySVBJc05vdFNvSGFyZEF0QWxsISEhISE="}
	var zone strings.Builder
	zone.WriteString(`$TTL 60
@ SOA ns1.phones.example. hostmaster.phones.example. 1 3600 600 86400 30
@ NS ns1
ns1 A 127.0.0.1
5550100 A 192.0.2.1
`)
	for i := range 12 {
		fmt.Fprintf(&zone, "long TXT \"%0100d\"\n", i)
	}
	for i := range 20_000 { // so that a transfer does not fit into the kernel's buffers
		fmt.Fprintf(&zone, "777%05d A 192.0.2.%d\n", i, i%250)
	}
	a.Server = Dialtone(t, abusedZone, fmt.Sprintf(`
listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
keys:
  - {name: %s, algorithm: hmac-sha256, secret: %q}
  - {name: %s, algorithm: hmac-sha256, secret: %q}
zones:
  - name: phones.example
    file: DIR/phones.zone
    acl:
      - {key: dhcp.key., action: update}
      - {key: "*", action: update, self_number: true}
      - {address: 127.0.0.0/8, action: transfer}
metrics: {listen: %q}
`+more, a.Shared.Name, a.Shared.Secret, own.Name, own.Secret, a.MetricsAddr), map[string]string{"phones.zone": zone.String()})
	a.Good = Good{Addr: a.Addr, Zone: abusedZone, Number: "5550100", Address: "192.0.2.1", Key: &own, Own: "5550200", Every: goodEvery}
	return a
}

// Flood starts a flood of the server.
func (a *Abused) Flood(t testing.TB, kind string, args ...string) *Flood {
	t.Helper()
	args = append(args, "-addr", a.Addr, "-zone", abusedZone, "-key", a.Shared.Name)
	if kind == "update-signed" {
		args = append(args, "-secret", a.Shared.Secret)
	}
	return StartFlood(t, kind, args...)
}

// Hits gives how often a limit was reached.
func (a *Abused) Hits(t testing.TB, limit string) float64 {
	t.Helper()
	all := Metrics(t, a.MetricsAddr)
	n, ok := all[fmt.Sprintf(`dialtone_limit_hits_total{limit=%q}`, limit)]
	if !ok {
		t.Fatalf("there is no metric of the limit %s", limit)
	}
	return n
}
