package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

const phones = "phones.example."

// phonesFile is the zone that most tests start from.
const phonesFile = `$TTL 60
@        SOA ns1.other.example. admin.phones.example. 1000 3600 600 86400 30
@        NS  ns1.other.example.
5550000  A   192.0.2.100
`

// adminKey signs where a test wants signatures.
var adminKey = peertest.Key{Name: "admin.key.", Algorithm: "hmac-sha256", Secret: "b8jnkvdkr8hC9ZzDbsgKbpiCMKxHkB/1Hd08kbpQ0Uo="}

// TestSecondariesFollowAStorm lets BIND, NSD and Knot copy the zone while 5,000 updates change it. All end with the same
// records, and have come there by IXFR. Knot and NSD sign what they ask and want NOTIFY signed.
func TestSecondariesFollowAStorm(t *testing.T) {
	bindPort, nsdPort, knotPort := peertest.Port(t), peertest.Port(t), peertest.Port(t)
	config := fmt.Sprintf(`
listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
keys:
  - {name: %[1]s, algorithm: %[2]s, secret: %[3]s}
zones:
  - name: phones.example.
    file: DIR/zone.db
    acl:
      - {key: %[1]s, action: [update, transfer]}
      - {address: [127.0.0.1/32], action: [update, transfer]}
    notify:
      - 127.0.0.1:%[4]d
      - {address: "127.0.0.1:%[5]d", key: %[1]s}
      - {address: "127.0.0.1:%[6]d", key: %[1]s}
`, adminKey.Name, adminKey.Algorithm, adminKey.Secret, bindPort, nsdPort, knotPort)
	// The zone is larger than what the storm changes: else a full copy would be the shorter answer to an IXFR.
	primary := peertest.Dialtone(t, phones, config, map[string]string{"zone.db": paddedFile(4000)})

	bind := peertest.BIND(t, phones, peertest.BINDSecondary(phones, primary.Addr, nil), nil, bindPort)
	nsd := peertest.NSD(t, phones, peertest.NSDSecondary(phones, primary.Addr, &adminKey), nil, nsdPort)
	knot := peertest.Knot(t, phones, peertest.KnotSecondary(phones, primary.Addr, &adminKey), nil, knotPort)

	// When dialtone started, nobody was there to hear its NOTIFY: it would try again in some seconds. Now all are.
	if code := primary.Stop(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	primary.Restart(t)

	begin := time.Now()
	const waves = 5
	for wave := range waves {
		had, err := peertest.Serial(bind.Addr, phones)
		if err != nil {
			t.Fatal(err)
		}
		storm(t, primary.Addr, uint64(wave), 5000/waves)
		// So that there is more than one step to follow: the next wave comes once the first secondary has seen this one.
		peertest.Eventually(t, peertest.Patience, "BIND follows", func() error {
			has, err := peertest.Serial(bind.Addr, phones)
			if err == nil && has == had {
				err = fmt.Errorf("still at serial %d", has)
			}
			return err
		})
	}
	t.Logf("5,000 updates sent after %v", time.Since(begin))
	for _, s := range []*peertest.Server{bind, nsd, knot} {
		peertest.Converged(t, time.Minute, phones, primary, s, peertest.View{})
		t.Logf("%s has them after %v", s.Name, time.Since(begin))
	}
	if _, err := os.Stat(filepath.Join(bind.Dir, "zone.db.jnl")); err != nil {
		t.Errorf("BIND keeps a journal of the increments that it got; there is none: %v", err)
	}
	if n := len(regexp.MustCompile(`IXFR, incoming, remote \S+, finished`).FindAllString(knot.Log(), -1)); n < 2 {
		t.Errorf("Knot has got %d IXFRs, several were to be expected while the zone changed", n)
	}
}

// paddedFile is phonesFile with numbers that nobody changes.
func paddedFile(numbers int) string {
	var b strings.Builder
	b.WriteString(phonesFile)
	for i := range numbers {
		fmt.Fprintf(&b, "444%04d A 192.0.2.%d\n", i, i%250)
	}
	return b.String()
}

// storm sends updates from 16 clients, half over UDP, some signed. All must be acknowledged.
func storm(t *testing.T, addr string, seed uint64, updates int) {
	t.Helper()
	const clients = 16
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			network, key := "udp", (*peertest.Key)(nil)
			if i%2 == 1 {
				network = "tcp"
			}
			if i%4 >= 2 {
				key = &adminKey
			}
			c := peertest.NewClient(addr, network, key)
			defer c.Close()
			random := rand.New(rand.NewPCG(uint64(i), seed))
			for n := 0; n < updates/clients+1 && errs[i] == nil; n++ {
				m := randomRegistration(random)
				rcode, err := c.Do(m)
				if err == nil && rcode != dns.RcodeSuccess {
					err = fmt.Errorf("%s\n%s", dns.RcodeToString[rcode], m)
				}
				errs[i] = err
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatalf("storm: %v", err)
		}
	}
}

// randomRegistration changes one of 300 numbers: a new address mostly, now and then a service, a text or the end of it.
func randomRegistration(random *rand.Rand) *dns.Msg {
	owner := fmt.Sprintf("555%04d.%s", random.IntN(300), phones)
	m := peertest.Register(phones, owner, fmt.Sprintf("198.51.100.%d", random.IntN(250)))
	switch random.IntN(8) {
	case 0:
		m.Insert([]dns.RR{peertest.RR(fmt.Sprintf("_sip._udp.%s 60 IN SRV 0 0 %d %s", owner, 5060+random.IntN(4), owner))})
	case 1:
		m.Insert([]dns.RR{peertest.RR(fmt.Sprintf("%s 60 IN AAAA 2001:db8::%x", owner, random.IntN(9)))})
	case 2:
		m.Insert([]dns.RR{peertest.RR(fmt.Sprintf(`%s %d IN TXT "seen %d"`, owner, 60+random.IntN(3), random.IntN(9)))})
	case 3:
		m.SetUpdate(phones)
		m.RemoveName([]dns.RR{peertest.RR(owner + " 0 IN A 192.0.2.1")})
	}
	return m
}
