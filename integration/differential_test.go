package integration

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// subject is one of the servers that get the same messages.
type subject struct {
	name   string
	server *peertest.Server
	stream *peertest.Stream
}

const diffConfig = `
listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
zones:
  - name: phones.example.
    file: DIR/zone.db
    acl:
      - {address: [127.0.0.1/32], action: [update, transfer]}
`

// subjects starts dialtone, BIND and Knot as primaries of the same zone. DIALTONE_TEST_DIFF=peers leaves dialtone
// out: what BIND and Knot disagree on is then to be found in the table alone.
func subjects(t *testing.T) []*subject {
	files := map[string]string{"zone.db": diffZoneFile}
	var all []*subject
	if os.Getenv("DIALTONE_TEST_DIFF") != "peers" {
		all = append(all, &subject{name: "dialtone", server: peertest.Dialtone(t, diffZone, diffConfig, files)})
	}
	all = append(all,
		&subject{name: "BIND", server: peertest.BIND(t, diffZone, peertest.BINDPrimary(diffZone, "zone.db"), files)},
		&subject{name: "Knot", server: peertest.Knot(t, diffZone, peertest.KnotPrimary(diffZone, "zone.db"), files)})
	for _, s := range all {
		stream, err := peertest.Dial(s.server.Addr)
		if err != nil {
			t.Fatal(err)
		}
		s.stream = stream
		t.Cleanup(func() { s.stream.Close() })
	}
	return all
}

// send gives the RCODE of the reply.
func (s *subject) send(m peertest.Update) (int, error) {
	packed, err := m.Pack()
	if err != nil {
		return 0, err
	}
	reply, err := s.stream.Exchange(packed)
	if errors.Is(err, io.EOF) {
		return noReply, s.redial()
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.name, err)
	}
	if len(reply) < 12 || reply[0] != packed[0] || reply[1] != packed[1] || reply[2]&0xf8 != 0xa8 {
		return 0, fmt.Errorf("%s: not a reply to the update: %x", s.name, reply)
	}
	return int(reply[3] & 0xf), nil
}

// noReply stands for a connection that was closed instead of an answer.
const noReply = -1

func (s *subject) redial() error {
	stream, err := peertest.Dial(s.server.Addr)
	if err != nil {
		return err
	}
	s.stream.Close()
	s.stream = stream
	return nil
}

// TestRandomUpdatesAsBINDAndKnot sends the same random updates to dialtone, BIND and Knot: the same RCODE for every
// message and the same zone afterwards, but for the table of deviations. DIALTONE_TEST_SEED repeats a run,
// DIALTONE_TEST_MESSAGES and DIALTONE_TEST_EVERY set how many messages there are and how many go between two comparisons.
func TestRandomUpdatesAsBINDAndKnot(t *testing.T) {
	seed := env(t, "DIALTONE_TEST_SEED", rand.Uint64N(1<<32))
	messages := env(t, "DIALTONE_TEST_MESSAGES", 10_000)
	every := env(t, "DIALTONE_TEST_EVERY", 100)
	defer func() {
		if t.Failed() {
			t.Logf("to repeat: DIALTONE_TEST_SEED=%d DIALTONE_TEST_EVERY=1", seed)
		}
	}()
	all := subjects(t)
	g := newGenerator(seed)
	codes := map[int]int{}
	for done := uint64(0); done < messages && !t.Failed(); done += every {
		g.learn(peertest.MustAXFR(t, all[0].server.Addr, diffZone))
		batch := make([]message, every)
		for i := range batch {
			batch[i] = g.next()
		}
		results := sendAll(t, all, batch)
		compareRcodes(t, all, batch, results, done)
		compareContents(t, all, batch)
		for _, rcode := range results[0] {
			codes[rcode]++
		}
	}
	// Without all of these the generator would have tested less than it claims.
	for _, rcode := range []int{dns.RcodeSuccess, dns.RcodeFormatError, dns.RcodeNameError, dns.RcodeYXDomain,
		dns.RcodeYXRrset, dns.RcodeNXRrset, dns.RcodeNotAuth, dns.RcodeNotZone} {
		if messages >= 10_000 && codes[rcode] == 0 {
			t.Errorf("no message of %d was answered %s (seed %d)", messages, dns.RcodeToString[rcode], seed)
		}
	}
	t.Logf("seed %d: %d messages, answered %v", seed, messages, named(codes))
}

// sendAll sends the batch to each server in order, to all servers at once.
func sendAll(t *testing.T, all []*subject, batch []message) [][]int {
	results := make([][]int, len(all))
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, s := range all {
		wg.Go(func() {
			for _, m := range batch {
				rcode, err := s.send(m.Update)
				if err != nil {
					errs[i] = fmt.Errorf("%w\n%s", err, describe(m))
					return
				}
				results[i] = append(results[i], rcode)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return results
}

func compareRcodes(t *testing.T, all []*subject, batch []message, results [][]int, offset uint64) {
	for i, m := range batch {
		for s := 1; s < len(all); s++ {
			ours, theirs := results[0][i], results[s][i]
			if ours == theirs || rcodeDeviates(all[0].name, all[s].name, m, ours, theirs) {
				continue
			}
			t.Errorf("message %d: %s answers %s, %s %s\n%s", offset+uint64(i), all[0].name, rcodeText(ours),
				all[s].name, rcodeText(theirs), describe(m))
		}
	}
}

func compareContents(t *testing.T, all []*subject, batch []message) {
	contents := make([]peertest.Content, len(all))
	for i, s := range all {
		contents[i] = peertest.MustAXFR(t, s.server.Addr, diffZone)
	}
	for s := 1; s < len(all); s++ {
		view := contentView(all[0].name, all[s].name)
		d := peertest.Difference(all[0].name, contents[0].Lines(view), all[s].name, contents[s].Lines(view))
		if d == "" {
			continue
		}
		t.Errorf("contents differ:\n%s", d)
		if len(batch) == 1 {
			t.Log(describe(batch[0]))
		}
	}
}

func describe(m message) string {
	var b strings.Builder
	for _, z := range m.Zone {
		fmt.Fprintf(&b, "  zone   %s %s %s\n", z.Owner, dns.Class(z.Class), dns.Type(z.Type))
	}
	for _, e := range m.Prerequisites {
		fmt.Fprintf(&b, "  prereq %s\n", e)
	}
	for _, e := range m.Updates {
		fmt.Fprintf(&b, "  update %s\n", e)
	}
	return b.String()
}

func rcodeText(rcode int) string {
	if rcode == noReply {
		return "nothing"
	}
	return dns.RcodeToString[rcode]
}

func named(codes map[int]int) map[string]int {
	out := map[string]int{}
	for code, n := range codes {
		out[rcodeText(code)] = n
	}
	return out
}

func env(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
