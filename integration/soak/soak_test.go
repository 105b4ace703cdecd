//go:build soak

package soak

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dialtone/integration/peertest"
)

var (
	duration = flag.Duration("duration", 30*time.Minute, "how long the soak takes")
	seed     = flag.Uint64("seed", 0, "of the order of trouble; 0: a random one")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	peertest.Cleanup()
	os.Exit(code)
}

const phones = "phones.example."

const config = `
listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
metrics: {listen: "127.0.0.1:%d"}
log: {level: warn}
zones:
  - name: phones.example.
    file: DIR/zone.db
    journal: {max_age: 1h, max_size: 4MiB}
    lease: {min: 1s}
    acl: [{address: 127.0.0.0/8, action: [update, transfer]}]
    notify: ["127.0.0.1:%d", "127.0.0.1:%d"]
`

// padding are numbers that nobody changes.
const padding = 20000

func zoneFile() string {
	var b strings.Builder
	b.WriteString("$TTL 60\n@ SOA ns1.other.example. admin.phones.example. 4294960000 3600 600 86400 30\n@ NS ns1.other.example.\n")
	for i := range padding {
		fmt.Fprintf(&b, "444%05d A 192.0.2.%d\n", i, i%250)
	}
	return b.String()
}

// soak is one run.
type soak struct {
	t       *testing.T
	server  *peertest.Server
	metrics string
	random  *rand.Rand // of the trouble
	begun   time.Time

	paused atomic.Bool // the load is
	stop   chan struct{}
	load   sync.WaitGroup

	first  sample // before the load
	memory struct {
		stop    chan struct{}
		samples chan []sample
	}

	counters
}

// counters are what the summary tells.
type counters struct {
	acked, refused, cut           atomic.Uint64 // updates
	leases, leasesEnded           atomic.Uint64
	queries, unanswered           atomic.Uint64
	axfrs, ixfrs                  atomic.Uint64
	kills, stops, pauses, reloads atomic.Uint64
	faults                        atomic.Uint64
	serial                        atomic.Uint32
	seenSerial                    atomic.Bool

	goroutines, files, anon, slope float64
	longestStop                    time.Duration
}

// TestSoak. The first half is without restarts, so that a leak can be seen; the second is with them.
func TestSoak(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64N(1 << 32)
	}
	ports := []int{peertest.Port(t), peertest.Port(t), peertest.Port(t)}
	s := &soak{t: t, random: rand.New(rand.NewPCG(*seed, 1)), begun: time.Now(), stop: make(chan struct{}),
		metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", ports[0])}
	s.server = peertest.Dialtone(t, phones, fmt.Sprintf(config, ports[0], ports[1], ports[2]), map[string]string{"zone.db": zoneFile()})
	bind := peertest.BIND(t, phones, peertest.BINDSecondary(phones, s.server.Addr, nil), nil, ports[1])
	nsd := peertest.NSD(t, phones, peertest.NSDSecondary(phones, s.server.Addr, nil), nil, ports[2])
	t.Logf("soaking for %v, seed %d", *duration, *seed)

	var err error
	if s.first, err = s.sample(); err != nil {
		t.Fatal(err)
	}
	s.memory.stop, s.memory.samples = make(chan struct{}), make(chan []sample, 1)
	go func() { s.memory.samples <- s.watchMemory(s.memory.stop) }()
	writers := s.startLoad()
	s.trouble(s.begun.Add(*duration/2), false)
	s.pauseLoad()
	s.wantNoLeak()
	s.paused.Store(false)
	s.trouble(s.begun.Add(*duration), true)
	close(s.stop)
	s.load.Wait()

	for round := range 2 { // and once more after a restart
		s.wantAcknowledged(writers)
		for _, secondary := range []*peertest.Server{bind, nsd} {
			peertest.Converged(t, 2*time.Minute, phones, s.server, secondary, peertest.View{})
		}
		if round == 0 {
			s.restart(true)
		}
	}
	s.summary()
}

// wantAcknowledged compares the zone with what the writers know.
func (s *soak) wantAcknowledged(writers []*writer) {
	var c peertest.Content
	var address, text map[string]int
	var padded int
	peertest.Eventually(s.t, peertest.Patience, "the last leases end", func() error {
		c = peertest.MustAXFR(s.t, s.server.Addr, phones)
		leased := 0
		if address, text, padded, leased = read(c); leased > 0 {
			return fmt.Errorf("%d numbers with a lease are still there", leased)
		}
		return nil
	})
	for _, w := range writers {
		a, x := address[w.owner], text[w.owner]
		if a != x || a < w.acked || a > w.sent {
			s.t.Errorf("%s: address of update %d, text of %d; %d was acknowledged, %d sent", w.owner, a, x, w.acked, w.sent)
		}
	}
	if padded != padding {
		s.t.Errorf("%d numbers that nobody changed are there, of %d", padded, padding)
	}
	s.see(c.SOA.Serial)
}

func (s *soak) summary() {
	c := &s.counters
	s.t.Logf(`soak of %v, seed %d
updates      %d acknowledged, %d refused while the disk failed, %d cut off
leases       %d registered, %d seen to end
queries      %d answered, %d without an answer in 2 s (while the server was away, too)
transfers    %d AXFR, %d IXFR that led to the same zone
trouble      %d kill -9, %d stops (the longest took %v), %d suspensions, %d disk faults, %d reloads
serial       %d at the end, never back
goroutines   %+.0f when it was quiet after the first half, against the start
open files   %+.0f, those of the data directory left out
memory       %.1f MiB anonymous, %+.2f MiB a minute`,
		time.Since(s.begun).Round(time.Second), *seed, c.acked.Load(), c.refused.Load(), c.cut.Load(), c.leases.Load(), c.leasesEnded.Load(),
		c.queries.Load(), c.unanswered.Load(), c.axfrs.Load(), c.ixfrs.Load(), c.kills.Load(), c.stops.Load(), c.longestStop.Round(time.Millisecond),
		c.pauses.Load(), c.faults.Load(), c.reloads.Load(), c.serial.Load(), c.goroutines, c.files, c.anon, c.slope)
	if c.acked.Load() == 0 || c.leasesEnded.Load() == 0 || c.ixfrs.Load() == 0 || c.kills.Load() == 0 || c.reloads.Load() == 0 || c.refused.Load() == 0 {
		s.t.Error("something of the soak did not take place")
	}
}
