package integration

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

const (
	crashRounds  = 20
	crashClients = 32
)

// crasher is one client of the storm. It owns one number and writes a count to it, in two records of one update; so
// what the server holds after a crash tells which of its updates are there, and whether any is there by half.
type crasher struct {
	owner string
	acked int // the newest update that was acknowledged
	sent  int // the newest that was sent; it may be there or not
}

// TestKillDuringStorm kills dialtone with SIGKILL at random moments of a storm from 32 clients, at least 20 times. After each
// restart every acknowledged update is there and whole, the serial is not lower than any that was seen, and the changes since
// before the crash lead from copies made then, one of them in the middle of the storm, to what is there now: so no serial
// has named two contents. DIALTONE_TEST_SEED repeats the moments.
func TestKillDuringStorm(t *testing.T) {
	seed := env(t, "DIALTONE_TEST_SEED", rand.Uint64N(1<<32))
	random := rand.New(rand.NewPCG(seed, 9))
	server := peertest.Dialtone(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): paddedFile(500)})
	clients := make([]*crasher, crashClients)
	for i := range clients {
		clients[i] = &crasher{owner: fmt.Sprintf("555%04d.%s", i, phones)}
	}
	var seen atomic.Uint32
	copies := []peertest.Content{peertest.MustAXFR(t, server.Addr, phones)}
	for round := range crashRounds {
		moment := time.Duration(30+random.IntN(250)) * time.Millisecond
		copies = append(copies, crashRound(t, server, clients, moment, &seen)...)
		server.Restart(t)
		after := checkAfterCrash(t, server, clients, seen.Load())
		// From long ago the whole zone may be the shorter way; from this storm it is not.
		wantWayForward(t, server, copies[len(copies)-1], after, true)
		wantWayForward(t, server, copies[random.IntN(len(copies))], after, false)
		copies = append(copies, after)
		if t.Failed() {
			t.Fatalf("round %d, killed after %v; DIALTONE_TEST_SEED=%d", round, moment, seed)
		}
	}
	total := 0
	for _, c := range clients {
		total += c.acked
	}
	if total < crashRounds*crashClients {
		t.Errorf("only %d updates were acknowledged in all: the storm was none", total)
	}
	t.Logf("%d updates acknowledged over %d crashes", total, crashRounds)
}

// crashRound lets all clients write until the server has been killed at the moment given. It gives the last copy of the zone that
// was made meanwhile, if there is one.
func crashRound(t *testing.T, server *peertest.Server, clients []*crasher, moment time.Duration, seen *atomic.Uint32) (last []peertest.Content) {
	var wg sync.WaitGroup
	errs := make([]error, len(clients))
	for i, c := range clients {
		wg.Go(func() { errs[i] = c.run(server) })
	}
	wg.Go(func() { watchSerial(server, seen) })
	wg.Go(func() {
		for c, err := peertest.AXFR(server.Addr, phones, nil); err == nil; c, err = peertest.AXFR(server.Addr, phones, nil) {
			last = []peertest.Content{c}
		}
	})
	<-time.After(moment)
	server.Kill(t)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return last
}

// run writes until the server is gone.
func (c *crasher) run(server *peertest.Server) error {
	client := peertest.NewClient(server.Addr, "tcp", nil)
	defer client.Close()
	for {
		n := max(c.acked, c.sent) + 1
		c.sent = n
		rcode, err := client.Do(c.update(n))
		if err != nil {
			return nil // the crash
		}
		if rcode != dns.RcodeSuccess {
			return fmt.Errorf("%s: update %d answered %s", c.owner, n, dns.RcodeToString[rcode])
		}
		c.acked = n
	}
}

// update puts the count into an address and a text.
func (c *crasher) update(n int) *dns.Msg {
	m := peertest.Register(phones, c.owner, fmt.Sprintf("10.%d.%d.%d", n>>16&0xff, n>>8&0xff, n&0xff))
	text := peertest.RR(fmt.Sprintf(`%s 60 IN TXT "%d"`, c.owner, n))
	m.RemoveRRset([]dns.RR{text})
	m.Insert([]dns.RR{text})
	return m
}

// watchSerial keeps the highest serial that was seen while the server lives. It asks over TCP, where the end of the server
// is noticed at once.
func watchSerial(server *peertest.Server, seen *atomic.Uint32) {
	client := peertest.NewClient(server.Addr, "tcp", nil)
	defer client.Close()
	for {
		q := new(dns.Msg)
		q.SetQuestion(phones, dns.TypeSOA)
		r, err := client.Exchange(q)
		if err != nil {
			return
		}
		if soa, ok := r.Answer[0].(*dns.SOA); ok && soa.Serial > seen.Load() {
			seen.Store(soa.Serial)
		}
	}
}

func checkAfterCrash(t *testing.T, server *peertest.Server, clients []*crasher, seen uint32) peertest.Content {
	t.Helper()
	after := peertest.MustAXFR(t, server.Addr, phones)
	if after.SOA.Serial < seen {
		t.Errorf("serial %d after the crash, %d was seen before", after.SOA.Serial, seen)
	}
	address, text := counts(after)
	for _, c := range clients {
		a, x := address[c.owner], text[c.owner]
		switch {
		case a != x:
			t.Errorf("%s holds half an update: address of %d, text of %d", c.owner, a, x)
		case a < c.acked:
			t.Errorf("%s: update %d was acknowledged, %d is there", c.owner, c.acked, a)
		case a > c.sent:
			t.Errorf("%s: update %d is there, only %d were sent", c.owner, a, c.sent)
		}
		c.acked = a
	}
	return after
}

// wantWayForward brings a copy made before a crash up to date by IXFR.
func wantWayForward(t *testing.T, server *peertest.Server, before, after peertest.Content, incremental bool) {
	t.Helper()
	ixfr, err := peertest.IXFR(server.Addr, phones, before.SOA.Serial, nil)
	if err != nil {
		t.Fatalf("IXFR since %d: %v", before.SOA.Serial, err)
	}
	if incremental && len(ixfr) > 1 && ixfr[1].Header().Rrtype != dns.TypeSOA {
		t.Errorf("IXFR since %d is a full copy, though the changes are few", before.SOA.Serial)
	}
	forward, err := before.Apply(ixfr)
	if err != nil {
		t.Fatalf("IXFR since %d: %v", before.SOA.Serial, err)
	}
	if d := peertest.Difference("AXFR", after.Lines(peertest.View{}), "copy and IXFR", forward.Lines(peertest.View{})); d != "" {
		t.Errorf("IXFR since %d does not lead to the zone:\n%s", before.SOA.Serial, d)
	}
}

// counts reads what the clients wrote.
func counts(c peertest.Content) (address, text map[string]int) {
	address, text = map[string]int{}, map[string]int{}
	for _, r := range c.Records {
		owner := strings.ToLower(r.Header().Name)
		switch r := r.(type) {
		case *dns.A:
			ip := r.A.To4()
			if ip[0] == 10 {
				address[owner] = int(ip[1])<<16 | int(ip[2])<<8 | int(ip[3])
			}
		case *dns.TXT:
			n := 0
			if _, err := fmt.Sscanf(r.Txt[0], "%d", &n); err == nil {
				text[owner] = n
			}
		}
	}
	return address, text
}

// TestPrerequisiteRaceHasOneWinner lets 50 clients claim one name at the same moment, round after round. The prerequisite
// must hold when the update is carried out (RFC 2136, section 3.7), so one wins and the others are told YXDOMAIN.
func TestPrerequisiteRaceHasOneWinner(t *testing.T) {
	server := peertest.Dialtone(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): phonesFile})
	const racers, rounds = 50, 20
	clients := make([]*peertest.Client, racers)
	for i := range clients {
		clients[i] = peertest.NewClient(server.Addr, []string{"udp", "tcp"}[i%2], nil)
		defer clients[i].Close()
	}
	for round := range rounds {
		owner := fmt.Sprintf("race%d.%s", round, phones)
		codes := race(t, clients, func(i int) *dns.Msg {
			m := peertest.Register(phones, owner, fmt.Sprintf("192.0.2.%d", i))
			m.NameNotUsed([]dns.RR{peertest.RR(owner + " 0 IN A 192.0.2.1")})
			return m
		})
		if want := (map[int]int{dns.RcodeSuccess: 1, dns.RcodeYXDomain: racers - 1}); !maps.Equal(codes, want) {
			t.Errorf("round %d, name not in use: %v", round, named(codes))
		}
		marker := peertest.RR(fmt.Sprintf(`%s 60 IN TXT "%d"`, "marker."+phones, round))
		next := peertest.RR(fmt.Sprintf(`%s 60 IN TXT "%d"`, "marker."+phones, round+1))
		if round == 0 {
			m := new(dns.Msg)
			m.SetUpdate(phones)
			m.Insert([]dns.RR{marker})
			if rcode, err := clients[0].Do(m); err != nil || rcode != dns.RcodeSuccess {
				t.Fatal(rcode, err)
			}
		}
		codes = race(t, clients, func(int) *dns.Msg {
			m := new(dns.Msg)
			m.SetUpdate(phones)
			m.Used([]dns.RR{marker})
			m.RemoveRRset([]dns.RR{marker})
			m.Insert([]dns.RR{next})
			return m
		})
		if want := (map[int]int{dns.RcodeSuccess: 1, dns.RcodeNXRrset: racers - 1}); !maps.Equal(codes, want) {
			t.Errorf("round %d, marker at its old value: %v", round, named(codes))
		}
	}
}

// race lets all clients send at once and counts the RCODEs.
func race(t *testing.T, clients []*peertest.Client, message func(i int) *dns.Msg) map[int]int {
	t.Helper()
	codes := make([]int, len(clients))
	errs := make([]error, len(clients))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, c := range clients {
		m := message(i)
		wg.Go(func() {
			<-start
			codes[i], errs[i] = c.Do(m)
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	count := map[int]int{}
	for _, rcode := range codes {
		count[rcode]++
	}
	return count
}
