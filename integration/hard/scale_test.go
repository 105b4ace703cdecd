//go:build hard

package hard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/integration/peertest"
)

// loading is how long a start with very much to load may take on a busy machine; what it took is in the log.
const loading = 10 * time.Minute

var anonymous = regexp.MustCompile(`(?m)^RssAnon:\s+(\d+) kB`)

// memoryOf gives the octets that are a process's own, without pages of files.
func memoryOf(t *testing.T, s *peertest.Server) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	m := anonymous.FindSubmatch(status)
	if m == nil {
		t.Fatalf("no RssAnon in %s", status)
	}
	kB, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kB << 10
}

func wantAddress(t *testing.T, addr, name, want string) {
	t.Helper()
	r, _, err := (&dns.Client{Timeout: peertest.Patience}).Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), addr)
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := (*dns.A)(nil), false; len(r.Answer) == 1 {
		if a, ok = r.Answer[0].(*dns.A); ok && a.A.String() == want {
			return
		}
	}
	t.Fatalf("%s is to be %s: %s", name, want, r)
}

// TestHundredThousandZones: one server starts with them, answers in each, takes updates in many at once, starts again and ends, all within bounds
// that grow with the number of zones and not with its square.
func TestHundredThousandZones(t *testing.T) {
	const zones, changed, aZone = 100_000, 400, 24 << 10
	var config strings.Builder
	config.WriteString("listen: [\"127.0.0.1:PORT\"]\ndata_dir: DIR/data\nlog: {level: warn}\nzones:\n")
	for i := range zones {
		fmt.Fprintf(&config, "  - {name: z%d.example, file: DIR/any.zone, acl: [{address: 127.0.0.0/8, action: [update, transfer]}]}\n", i)
	}
	file := "$TTL 60\n@ SOA ns.other.example. admin.other.example. 1000 3600 600 86400 30\n@ NS ns.other.example.\n5550100 A 192.0.2.1\n"
	begun := time.Now()
	s := peertest.DialtoneWithin(t, loading, "z77777.example.", config.String(), map[string]string{"any.zone": file})
	first, memory := time.Since(begun), memoryOf(t, s)
	for range 1000 {
		wantAddress(t, s.Addr, fmt.Sprintf("5550100.z%d.example.", rand.IntN(zones)), "192.0.2.1")
	}
	begun = time.Now()
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for client := range errs {
		wg.Go(func() {
			c := peertest.NewClient(s.Addr, "tcp", nil)
			defer c.Close()
			for i := client; i < changed && errs[client] == nil; i += len(errs) {
				zone := fmt.Sprintf("z%d.example.", i*(zones/changed))
				rcode, err := c.Do(peertest.Register(zone, "5550101."+zone, "192.0.2.2"))
				if err == nil && rcode != dns.RcodeSuccess {
					err = fmt.Errorf("%s: %s", zone, dns.RcodeToString[rcode])
				}
				errs[client] = err
			}
		})
	}
	wg.Wait()
	commits := time.Since(begun)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	begun = time.Now()
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	stop := time.Since(begun)
	begun = time.Now()
	s.Restart(t)
	again, memoryAgain := time.Since(begun), memoryOf(t, s)
	for i := range changed {
		wantAddress(t, s.Addr, fmt.Sprintf("5550101.z%d.example.", i*(zones/changed)), "192.0.2.2")
	}
	t.Logf("%d zones: first start %v, second %v; memory a zone %d and %d octets; %d commits in as many zones in %v; stop %v",
		zones, first, again, memory/zones, memoryAgain/zones, changed, commits, stop)
	if max(memory, memoryAgain) > zones*aZone {
		t.Errorf("more than %d octets a zone", aZone)
	}
}

// TestTenMillionNumbers: a zone of them is read from its file, answered, changed, transferred and loaded again, in at most 120 octets of memory a number.
func TestTenMillionNumbers(t *testing.T) {
	const numbers, aNumber = 10_000_000, 120
	address := func(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255) }
	config := "listen: [\"127.0.0.1:PORT\"]\ndata_dir: DIR/data\nlog: {level: warn}\nzones:\n" +
		"  - {name: phones.example, file: DIR/phones.zone, acl: [{address: 127.0.0.0/8, action: [update, transfer]}]}\n"
	file := make([]byte, 0, 32*numbers)
	file = append(file, "$TTL 60\n@ SOA ns.other.example. admin.other.example. 1000 3600 600 86400 30\n@ NS ns.other.example.\n"...)
	for i := range numbers {
		file = fmt.Appendf(file, "%d A %s\n", 555_00_000_000+i, address(i))
	}
	begun := time.Now()
	s := peertest.DialtoneWithin(t, loading, phones, config, map[string]string{"phones.zone": string(file)})
	first, memory := time.Since(begun), memoryOf(t, s)
	file = nil
	name := func(i int) string { return fmt.Sprintf("%d.%s.", 555_00_000_000+i, phones) }
	for range 1000 {
		i := rand.IntN(numbers)
		wantAddress(t, s.Addr, name(i), address(i))
	}
	c := peertest.NewClient(s.Addr, "tcp", nil)
	defer c.Close()
	begun = time.Now()
	for i := range 200 {
		if rcode, err := c.Do(peertest.Register(phones+".", name(i*(numbers/200)), "192.0.2.2")); err != nil || rcode != dns.RcodeSuccess {
			t.Fatal(rcode, err)
		}
	}
	updates := time.Since(begun)
	begun = time.Now()
	if n := countTransfer(t, s.Addr, numbers+3); n != numbers+3 {
		t.Errorf("the transfer has %d records", n)
	}
	transfer, memoryAfter := time.Since(begun), memoryOf(t, s)
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	begun = time.Now()
	s.Restart(t)
	again := time.Since(begun)
	wantAddress(t, s.Addr, name(numbers/200), "192.0.2.2")
	wantAddress(t, s.Addr, name(numbers-1), address(numbers-1))
	memoryAgain := memoryOf(t, s)
	t.Logf("%d numbers: first start %v, second %v; memory a number %d, %d after a transfer and %d octets; 200 updates one by one %v, transfer %v",
		numbers, first, again, memory/numbers, memoryAfter/numbers, memoryAgain/numbers, updates, transfer)
	// A first start leaves what it sorted by until the next collection.
	if max(memoryAfter, memoryAgain) > numbers*aNumber || memory > 2*numbers*aNumber {
		t.Errorf("more than %d octets a number", aNumber)
	}
}

// countTransfer reads an AXFR without keeping it until so many records have come, both SOAs included, and wants the last one to be the SOA.
func countTransfer(t *testing.T, addr string, want int) (records int) {
	t.Helper()
	stream, err := peertest.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	q, err := new(dns.Msg).SetAxfr(phones + ".").Pack()
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(q); err != nil {
		t.Fatal(err)
	}
	var m []byte
	for records < want {
		if m, err = stream.Receive(); err != nil {
			t.Fatalf("after %d records: %v", records, err)
		}
		records += int(binary.BigEndian.Uint16(m[6:]))
	}
	r := new(dns.Msg)
	if err := r.Unpack(m); err != nil {
		t.Fatal(err)
	}
	if r.Rcode != dns.RcodeSuccess || len(r.Answer) == 0 || r.Answer[len(r.Answer)-1].Header().Rrtype != dns.TypeSOA {
		t.Errorf("after %d records the transfer does not end: %s", records, r.MsgHdr.String())
	}
	return records
}
