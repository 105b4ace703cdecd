//go:build hard

package hard

import (
	"testing"

	"dialtone/integration/peertest"
)

const phones = "phones.example"

const phonesText = `$ORIGIN phones.example.
$TTL 60
@ IN SOA ns1.phones.example. hostmaster.phones.example. 1 3600 600 86400 30
@ IN NS ns1
ns1 IN A 127.0.0.1
5550100 IN A 192.0.2.1
`

// config is a zone that anybody on loopback may update.
const config = `
listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
zones:
  - name: phones.example
    file: DIR/phones.zone
    acl: [{address: 127.0.0.0/8, action: [update, transfer]}]
log: {level: warn}
`

// start runs the built binary on a zone that anybody on loopback may update. More is put behind the
// configuration: limits, for instance.
func start(t testing.TB, more string) *peertest.Server {
	t.Helper()
	return peertest.Dialtone(t, phones, config+more, map[string]string{"phones.zone": phonesText})
}

// TestStarts is the first thing that the rest relies on.
func TestStarts(t *testing.T) {
	s := start(t, "")
	c := peertest.NewClient(s.Addr, "udp", nil)
	defer c.Close()
	if rcode, err := c.Do(peertest.Register(phones+".", "5550101.phones.example.", "192.0.2.2")); err != nil || rcode != 0 {
		t.Fatalf("an update: RCODE %d, %v", rcode, err)
	}
	if code := s.Stop(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
}
