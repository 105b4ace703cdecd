package peertest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// Ledger is a client that gives one number after the other an address, and keeps what was acknowledged.
type Ledger struct {
	server *Server
	zone   string
	client *Client
	n      int
	acked  map[string]string // owner to address
	failed map[string]bool   // owners whose update got SERVFAIL
	Serial uint32            // the newest that was seen
}

// NewLedger makes one. It asks for the address of the server anew after each restart.
func NewLedger(t testing.TB, s *Server, zone string) *Ledger {
	l := &Ledger{server: s, zone: dns.Fqdn(zone), acked: map[string]string{}, failed: map[string]bool{}}
	t.Cleanup(l.Reconnect)
	return l
}

// Reconnect forgets the connection to a server that has ended.
func (l *Ledger) Reconnect() {
	if l.client != nil {
		l.client.Close()
		l.client = nil
	}
}

// Write sends the next update, with so many octets of text beside the address, and gives its RCODE.
func (l *Ledger) Write(t testing.TB, octets int) int {
	t.Helper()
	if l.client == nil {
		l.client = NewClient(l.server.Addr, "tcp", nil)
	}
	l.n++
	owner := fmt.Sprintf("n%d.%s", l.n, l.zone)
	address := fmt.Sprintf("10.%d.%d.%d", l.n>>16&255, l.n>>8&255, l.n&255)
	m := Register(l.zone, owner, address)
	for i := 0; i*200 < octets; i++ {
		m.Insert([]dns.RR{RR(fmt.Sprintf("t%d.%s 60 IN TXT %s", i, owner, strings.Repeat("x", 200)))})
	}
	rcode, err := l.client.Do(m)
	switch {
	case err != nil:
		t.Fatalf("update %d: %v", l.n, err)
	case rcode == dns.RcodeSuccess:
		l.acked[owner] = address
	case rcode == dns.RcodeServerFailure:
		l.failed[owner] = true
	default:
		t.Fatalf("update %d: %s", l.n, dns.RcodeToString[rcode])
	}
	return rcode
}

// Acked counts acknowledged updates.
func (l *Ledger) Acked() int { return len(l.acked) }

// Check wants every acknowledged update to be there, in answers and in a transfer, and a serial that is not lower
// than any that was seen. Unless maybe, no update that failed may be there: only a crash before the store was
// repaired can bring one back.
func (l *Ledger) Check(t testing.TB, maybe bool) {
	t.Helper()
	c, err := AXFR(l.server.Addr, l.zone, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.SOA.Serial < l.Serial {
		t.Errorf("serial %d, and %d was seen", c.SOA.Serial, l.Serial)
	}
	l.Serial = c.SOA.Serial
	there := map[string]string{}
	for _, r := range c.Records {
		if a, ok := r.(*dns.A); ok {
			there[strings.ToLower(a.Hdr.Name)] = a.A.String()
		}
	}
	missing, wrong := 0, 0
	last := ""
	for owner, address := range l.acked {
		if there[owner] != address {
			missing++
		}
		last = owner
	}
	for owner := range l.failed {
		if there[owner] != "" {
			wrong++
		}
	}
	if missing > 0 || wrong > 0 && !maybe {
		t.Errorf("of %d acknowledged updates %d are missing, and of %d that failed %d are there", len(l.acked), missing, len(l.failed), wrong)
	}
	if last == "" {
		return
	}
	q := new(dns.Msg)
	q.SetQuestion(last, dns.TypeA)
	r, err := dns.Exchange(q, l.server.Addr)
	if err != nil || len(r.Answer) != 1 || r.Answer[0].(*dns.A).A.String() != l.acked[last] {
		t.Errorf("%s: %v %v", last, r, err)
	}
}

// WriteUntil writes until an update gets an RCODE, and gives up after so many.
func (l *Ledger) WriteUntil(t testing.TB, rcode, octets, most int) {
	t.Helper()
	for range most {
		if l.Write(t, octets) == rcode {
			return
		}
	}
	t.Fatalf("none of %d updates got %s", most, dns.RcodeToString[rcode])
}

// Recover waits until updates work again.
func (l *Ledger) Recover(t testing.TB) {
	t.Helper()
	Eventually(t, Patience, "updates work again", func() error {
		if rcode := l.Write(t, 0); rcode != dns.RcodeSuccess {
			return fmt.Errorf("update: %s", dns.RcodeToString[rcode])
		}
		return nil
	})
}
