package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// TestSerialWraps leads a zone from serial 2^32-6 over the end of the numbers (RFC 1982). BIND, NSD and Knot follow by IXFR, and so does a
// copy from before the wrap; a restart keeps the serial.
func TestSerialWraps(t *testing.T) {
	ports := []int{peertest.Port(t), peertest.Port(t), peertest.Port(t)}
	config := openConfig(phones) + fmt.Sprintf("    notify: [\"127.0.0.1:%d\", \"127.0.0.1:%d\", \"127.0.0.1:%d\"]\n", ports[0], ports[1], ports[2])
	file := strings.Replace(paddedFile(1000), " 1000 3600", " 4294967290 3600", 1)
	primary := peertest.Dialtone(t, phones, config, map[string]string{peertest.ZoneFile(phones): file})
	secondaries := []*peertest.Server{
		peertest.BIND(t, phones, peertest.BINDSecondary(phones, primary.Addr, nil), nil, ports[0]),
		peertest.NSD(t, phones, peertest.NSDSecondary(phones, primary.Addr, nil), nil, ports[1]),
		peertest.Knot(t, phones, peertest.KnotSecondary(phones, primary.Addr, nil), nil, ports[2]),
	}
	before := peertest.MustAXFR(t, primary.Addr, phones)
	if before.SOA.Serial != 4294967290 {
		t.Fatalf("serial %d", before.SOA.Serial)
	}
	if code := primary.Stop(t); code != 0 { // its first NOTIFY found nobody
		t.Fatalf("exit code %d", code)
	}
	primary.Restart(t)
	c := peertest.NewClient(primary.Addr, "tcp", nil)
	defer c.Close()
	for i := range 12 {
		if rcode, err := c.Do(peertest.Register(phones, fmt.Sprintf("555%04d.%s", i%5, phones), fmt.Sprintf("198.51.100.%d", i))); err != nil || rcode != dns.RcodeSuccess {
			t.Fatal(rcode, err)
		}
		if i%4 != 3 {
			continue
		}
		for _, s := range secondaries {
			peertest.Converged(t, peertest.Patience, phones, primary, s, peertest.View{})
		}
	}
	after := peertest.MustAXFR(t, primary.Addr, phones)
	if after.SOA.Serial != 7 { // 0 is left out
		t.Errorf("serial %d after 12 changes", after.SOA.Serial)
	}
	wantWayForward(t, primary, before, after, true)
	if _, err := os.Stat(filepath.Join(secondaries[0].Dir, "zone.db.jnl")); err != nil {
		t.Errorf("BIND keeps a journal of the increments that it got; there is none: %v", err)
	}
	if n := len(regexp.MustCompile(`IXFR, incoming, remote \S+, finished`).FindAllString(secondaries[2].Log(), -1)); n < 3 {
		t.Errorf("Knot has got %d IXFRs of 3", n)
	}
	primary.Kill(t)
	primary.Restart(t)
	if again := peertest.MustAXFR(t, primary.Addr, phones); again.SOA.Serial != after.SOA.Serial {
		t.Errorf("serial %d after a restart, %d before", again.SOA.Serial, after.SOA.Serial)
	}
}
