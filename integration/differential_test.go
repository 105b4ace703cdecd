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

// diffZones are several, each with messages of its own: Knot waits some 10 ms after a change, and zones wait side by side.
var diffZones = []string{"phones.example.", "phones.test.", "a.long.way.down.example.", "x.", "7.6.5.e164.arpa."}

// subjects starts dialtone, BIND and Knot as primaries of the same zones. DIALTONE_TEST_DIFF=peers leaves dialtone
// out: what BIND and Knot disagree on is then to be found in the table alone.
func subjects(t *testing.T, zones []string, file string) []*subject {
	files := map[string]string{}
	for _, zone := range zones {
		files[peertest.ZoneFile(zone)] = file
	}
	var all []*subject
	if os.Getenv("DIALTONE_TEST_DIFF") != "peers" {
		all = append(all, &subject{name: "dialtone", server: peertest.Dialtone(t, zones[0], openConfig(zones...), files)})
	}
	return append(all,
		&subject{name: "BIND", server: peertest.BIND(t, zones[0], peertest.BINDPrimary(zones...), files)},
		&subject{name: "Knot", server: peertest.Knot(t, zones[0], peertest.KnotPrimary(zones...), files)})
}

// openConfig lets everyone on 127.0.0.1 update and copy the zones.
func openConfig(zones ...string) string {
	var b strings.Builder
	b.WriteString("listen: [\"127.0.0.1:PORT\"]\ndata_dir: DIR/data\nzones:\n")
	for _, zone := range zones {
		fmt.Fprintf(&b, "  - name: %s\n    file: DIR/%s\n    acl:\n"+
			"      - {address: [127.0.0.1/32], action: [update, transfer]}\n", zone, peertest.ZoneFile(zone))
	}
	return b.String()
}

// streams gives the same servers with connections of their own.
func streams(t *testing.T, all []*subject) []*subject {
	var own []*subject
	for _, s := range all {
		c := &subject{name: s.name, server: s.server}
		if err := c.redial(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.stream.Close() })
		own = append(own, c)
	}
	return own
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
	rcode := int(reply[3] & 0xf)
	if rcode == dns.RcodeFormatError && s.name == "Knot" {
		return rcode, s.redial() // Knot closes a connection that carried what it could not parse
	}
	return rcode, nil
}

// noReply stands for a connection that was closed instead of an answer.
const noReply = -1

func (s *subject) redial() error {
	stream, err := peertest.Dial(s.server.Addr)
	if err != nil {
		return err
	}
	if s.stream != nil {
		s.stream.Close()
	}
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
	all := subjects(t, diffZones, diffZoneFile)
	codes := make([]map[int]int, len(diffZones))
	errs := make([]error, len(diffZones))
	var wg sync.WaitGroup
	for i, zone := range diffZones {
		own := streams(t, all)
		wg.Go(func() {
			codes[i], errs[i] = compareZone(zone, own, seed+uint64(i), messages/uint64(len(diffZones)), every)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("%s: %v", diffZones[i], err)
		}
	}
	total := map[int]int{}
	for _, c := range codes {
		for rcode, n := range c {
			total[rcode] += n
		}
	}
	t.Logf("seed %d: answered %v", seed, named(total))
	if t.Failed() {
		t.Logf("to repeat: DIALTONE_TEST_SEED=%d DIALTONE_TEST_EVERY=1", seed)
		return
	}
	// Without all of these the generator would have tested less than it claims.
	for _, rcode := range []int{dns.RcodeSuccess, dns.RcodeFormatError, dns.RcodeNameError, dns.RcodeYXDomain,
		dns.RcodeYXRrset, dns.RcodeNXRrset, dns.RcodeNotAuth, dns.RcodeNotZone} {
		if messages >= 10_000 && total[rcode] == 0 {
			t.Errorf("no message of %d was answered %s", messages, dns.RcodeToString[rcode])
		}
	}
}

// compareZone sends messages for one zone and stops at the first difference. It counts the RCODEs.
func compareZone(zone string, all []*subject, seed, messages, every uint64) (map[int]int, error) {
	g := newGenerator(zone, seed)
	codes := map[int]int{}
	for done := uint64(0); done < messages; done += every {
		content, err := peertest.AXFR(all[0].server.Addr, zone, nil)
		if err != nil {
			return codes, err
		}
		g.learn(content)
		batch := make([]message, every)
		for i := range batch {
			batch[i] = g.next()
		}
		results, err := sendAll(all, batch)
		if err != nil {
			return codes, err
		}
		if err := errors.Join(compareRcodes(all, batch, results, done), compareContents(zone, all, batch)); err != nil {
			return codes, err
		}
		for _, rcode := range results[0] {
			codes[rcode]++
		}
	}
	return codes, nil
}

// sendAll sends the batch to each server in order, to all servers at once.
func sendAll(all []*subject, batch []message) ([][]int, error) {
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
	return results, errors.Join(errs...)
}

func compareRcodes(all []*subject, batch []message, results [][]int, offset uint64) error {
	var errs []error
	for i, m := range batch {
		for s := 1; s < len(all); s++ {
			ours, theirs := results[0][i], results[s][i]
			if ours == theirs || rcodeDeviates(all[0].name, all[s].name, m, ours, theirs) {
				continue
			}
			errs = append(errs, fmt.Errorf("message %d: %s answers %s, %s %s\n%s", offset+uint64(i), all[0].name, rcodeText(ours),
				all[s].name, rcodeText(theirs), describe(m)))
		}
	}
	return errors.Join(errs...)
}

func compareContents(zone string, all []*subject, batch []message) error {
	contents := make([]peertest.Content, len(all))
	for i, s := range all {
		var err error
		if contents[i], err = peertest.AXFR(s.server.Addr, zone, nil); err != nil {
			return err
		}
	}
	var errs []error
	for s := 1; s < len(all); s++ {
		view := contentView(all[0].name, all[s].name)
		d := peertest.Difference(all[0].name, contents[0].Lines(view), all[s].name, contents[s].Lines(view))
		if d == "" {
			continue
		}
		errs = append(errs, fmt.Errorf("contents differ:\n%s", d))
		if len(batch) == 1 {
			errs = append(errs, errors.New(describe(batch[0])))
		}
	}
	return errors.Join(errs...)
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
