package peertest

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Good is a client that does nothing out of the ordinary, while others do: it asks for a number over UDP and over TCP, and
// has a number of its own that moves. Each of the three goes on its own, one after the other.
type Good struct {
	Addr, Zone string
	Number     string // that exists, and what its address is
	Address    string
	Key        *Key   // may update Own
	Own        string // a number
	Every      time.Duration
}

// Outcome is what one kind of requests came to.
type Outcome struct {
	Kind      string
	Asked     int
	Retried   int // that were sent again since no answer came in time
	Failed    int // that got another answer than the right one, or none to any try
	Fault     error
	latencies []time.Duration
}

// goodEvery is the distance of requests of each kind.
const goodEvery = 4 * time.Millisecond

// Each try waits for patienceOfClients, as a stub resolver and nsupdate do about.
const (
	patienceOfClients = 2 * time.Second
	tries             = 3
)

// Kinds of requests.
const (
	OverUDP = "query over UDP"
	OverTCP = "query over TCP"
	Moves   = "update"
)

// For runs the client for a time.
func (g Good) For(d time.Duration) map[string]*Outcome {
	end := time.Now().Add(d)
	all := map[string]*Outcome{}
	var wg sync.WaitGroup
	for kind, once := range map[string]func(i int) error{OverUDP: g.udp, OverTCP: g.tcp, Moves: g.move} {
		o := &Outcome{Kind: kind}
		all[kind] = o
		wg.Go(func() { g.repeat(o, end, once) })
	}
	wg.Wait()
	return all
}

// repeat makes one request after the other. One that is due while the one before waits is late from then on: a server
// that pauses is late for all that should have been asked meanwhile.
func (g Good) repeat(o *Outcome, end time.Time, once func(i int) error) {
	due := time.Now()
	for due.Before(end) {
		if wait := time.Until(due); wait > 0 {
			<-time.After(wait)
		}
		begun := time.Now()
		if begun.Sub(due) < g.Every {
			due = begun // the clock of the client's own machine is not the server's fault
		}
		var err error
		for try := range tries {
			if err = once(o.Asked); !isTimeout(err) {
				break
			}
			if try < tries-1 {
				o.Retried++
			}
		}
		o.Asked++
		if err != nil {
			o.Failed++
			o.Fault = err
		}
		o.latencies = append(o.latencies, time.Since(due))
		due = due.Add(g.Every)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func (g Good) udp(int) error { return g.ask("udp") }
func (g Good) tcp(int) error { return g.ask("tcp") }

func (g Good) ask(network string) error {
	c := dns.Client{Net: network, Timeout: patienceOfClients}
	m := new(dns.Msg).SetQuestion(g.Number+"."+g.Zone, dns.TypeA)
	r, _, err := c.Exchange(m, g.Addr)
	if err != nil {
		return err
	}
	if len(r.Answer) != 1 || r.Answer[0].(*dns.A).A.String() != g.Address {
		return fmt.Errorf("%s: %v", network, r)
	}
	return nil
}

func (g Good) move(i int) error {
	c := dns.Client{Net: "udp", Timeout: patienceOfClients, TsigSecret: map[string]string{g.Key.Name: g.Key.Secret}}
	m := Register(g.Zone, g.Own+"."+g.Zone, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
	m.SetEdns0(1232, false)
	m.SetTsig(g.Key.Name, dns.Fqdn(g.Key.Algorithm), 300, time.Now().Unix())
	r, _, err := c.Exchange(m, g.Addr)
	if err != nil {
		return err
	}
	if r.Rcode != dns.RcodeSuccess {
		return fmt.Errorf("update: %v", r)
	}
	return nil
}

// Percentile of the latencies.
func (o *Outcome) Percentile(p float64) time.Duration {
	if len(o.latencies) == 0 {
		return 0
	}
	slices.Sort(o.latencies)
	return o.latencies[min(len(o.latencies)-1, int(p/100*float64(len(o.latencies))))]
}

func (o *Outcome) String() string {
	return fmt.Sprintf("%s: %d asked, %d failed, %d sent again, p50 %v, p99 %v, most %v",
		o.Kind, o.Asked, o.Failed, o.Retried, round(o.Percentile(50)), round(o.Percentile(99)), round(o.Percentile(100)))
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
