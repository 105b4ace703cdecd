//go:build soak

package soak

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/miekg/dns"

	"dialtone/integration/peertest"
)

// startLoad starts all clients; they end with s.stop.
func (s *soak) startLoad() (writers []*writer) {
	for i := range 12 {
		w := &writer{s: s, owner: fmt.Sprintf("555%04d.%s", i, phones)}
		writers = append(writers, w)
		s.load.Go(func() { s.repeat(w.once) })
	}
	for i := range 6 {
		l := &leaser{s: s, owner: fmt.Sprintf("666%04d.%s", i, phones), random: rand.New(rand.NewPCG(*seed, uint64(100+i)))}
		s.load.Go(func() { s.repeat(l.once) })
	}
	for i := range 2 {
		q := &querier{s: s, random: rand.New(rand.NewPCG(*seed, uint64(200+i)))}
		s.load.Go(func() { s.repeat(q.once) })
	}
	s.load.Go(func() { s.repeat((&follower{s: s}).once) })
	return writers
}

// repeat calls once until the soak stops. While the load is paused it waits.
func (s *soak) repeat(once func()) {
	for {
		select {
		case <-s.stop:
			return
		default:
		}
		if s.paused.Load() {
			s.wait(100 * time.Millisecond)
			continue
		}
		once()
	}
}

// wait paces the load.
func (s *soak) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.stop:
	}
}

// writer owns one number and writes a count to it, in two records of one update.
type writer struct {
	s           *soak
	owner       string
	client      *peertest.Client
	acked, sent int
}

func (w *writer) once() {
	if w.client == nil {
		w.client = peertest.NewClient(w.s.server.Addr, "tcp", nil)
	}
	w.sent++
	n := w.sent
	m := peertest.Register(phones, w.owner, fmt.Sprintf("10.%d.%d.%d", n>>16&0xff, n>>8&0xff, n&0xff))
	text := peertest.RR(fmt.Sprintf(`%s 60 IN TXT "%d"`, w.owner, n))
	m.RemoveRRset([]dns.RR{text})
	m.Insert([]dns.RR{text})
	switch rcode, err := w.client.Do(m); {
	case err != nil:
		w.s.cut.Add(1)
		w.s.wait(50 * time.Millisecond)
	case rcode == dns.RcodeSuccess:
		w.acked = n
		w.s.acked.Add(1)
		w.s.wait(2 * time.Millisecond)
	case rcode == dns.RcodeServerFailure:
		w.s.refused.Add(1)
		w.s.wait(20 * time.Millisecond)
	default:
		w.s.t.Errorf("%s: update %d answered %s", w.owner, n, dns.RcodeToString[rcode])
		w.s.wait(time.Second)
	}
}

// leaser registers a number for some seconds and sees it end.
type leaser struct {
	s      *soak
	owner  string
	random *rand.Rand
}

func (l *leaser) once() {
	seconds := 1 + l.random.IntN(4)
	m := peertest.Register(phones, l.owner, "198.51.100.7")
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0UL, Data: binary.BigEndian.AppendUint32(nil, uint32(seconds))})
	c := peertest.NewClient(l.s.server.Addr, "tcp", nil)
	defer c.Close()
	if rcode, err := c.Do(m); err != nil || rcode != dns.RcodeSuccess {
		l.s.wait(200 * time.Millisecond)
		return
	}
	l.s.leases.Add(1)
	if l.random.IntN(3) == 0 {
		return // refreshes it at once
	}
	l.s.wait(time.Duration(seconds) * time.Second)
	deadline := time.Now().Add(peertest.Patience)
	for {
		r, err := ask(l.s.server.Addr, l.owner, dns.TypeA)
		switch {
		case err == nil && r.Rcode == dns.RcodeNameError:
			l.s.leasesEnded.Add(1)
			return
		case time.Now().After(deadline):
			l.s.t.Errorf("%s: a lease of %d s is still answered %v later: %v, %v", l.owner, seconds, peertest.Patience, r, err)
			return
		}
		l.s.wait(100 * time.Millisecond)
	}
}

// ask sends one query over UDP.
func ask(addr, name string, typ uint16) (*dns.Msg, error) {
	c := dns.Client{Timeout: 2 * time.Second}
	r, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, typ), addr)
	return r, err
}

// querier asks for numbers that nobody changes.
type querier struct {
	s      *soak
	random *rand.Rand
	conn   *dns.Conn
}

func (q *querier) once() {
	i := q.random.IntN(padding)
	if i%16 == 0 {
		q.s.wait(time.Millisecond) // so that the clients leave the others some of the processors
	}
	r, err := ask(q.s.server.Addr, fmt.Sprintf("444%05d.%s", i, phones), dns.TypeA)
	if err != nil {
		q.s.unanswered.Add(1)
		q.s.wait(20 * time.Millisecond)
		return
	}
	q.s.queries.Add(1)
	a, ok := (*dns.A)(nil), false
	if len(r.Answer) == 1 {
		a, ok = r.Answer[0].(*dns.A)
	}
	if want := fmt.Sprintf("192.0.2.%d", i%250); !ok || a.A.String() != want {
		q.s.t.Errorf("444%05d is to be %s: %s", i, want, r)
	}
}

// follower is a secondary that is strict.
type follower struct {
	s    *soak
	copy peertest.Content
	n    int
}

func (f *follower) once() {
	defer f.s.wait(300 * time.Millisecond)
	if f.n++; f.copy.SOA == nil || f.n%50 == 0 {
		c, err := peertest.AXFR(f.s.server.Addr, phones, nil)
		if err == nil {
			f.copy = c
			f.s.axfrs.Add(1)
			f.s.see(c.SOA.Serial)
		}
		return
	}
	ixfr, err := peertest.IXFR(f.s.server.Addr, phones, f.copy.SOA.Serial, nil)
	if err != nil {
		return // the server is away
	}
	forward, err := f.copy.Apply(ixfr)
	if err != nil {
		f.s.t.Errorf("IXFR since %d: %v", f.copy.SOA.Serial, err)
		f.copy = peertest.Content{}
		return
	}
	f.copy = forward
	f.s.ixfrs.Add(1)
	f.s.see(forward.SOA.Serial)
	if f.n%10 != 0 {
		return
	}
	c, err := peertest.AXFR(f.s.server.Addr, phones, nil)
	if err != nil || c.SOA.Serial != forward.SOA.Serial {
		return // it has gone on
	}
	if d := peertest.Difference("AXFR", c.Lines(peertest.View{}), "by IXFR", forward.Lines(peertest.View{})); d != "" {
		f.s.t.Errorf("serial %d:\n%s", c.SOA.Serial, d)
	}
}

// see notes a serial, which must not be behind one that was seen before. One goroutine sees.
func (s *soak) see(serial uint32) {
	if s.seenSerial.Swap(true) && int32(serial-s.serial.Load()) < 0 {
		s.t.Errorf("serial %d after %d", serial, s.serial.Load())
	}
	s.serial.Store(serial)
}

// read gives what the writers wrote, and counts what else is there.
func read(c peertest.Content) (address, text map[string]int, padded, leased int) {
	address, text = map[string]int{}, map[string]int{}
	for _, r := range c.Records {
		owner := strings.ToLower(r.Header().Name)
		switch r := r.(type) {
		case *dns.A:
			switch ip := r.A.To4(); {
			case strings.HasPrefix(owner, "444"):
				padded++
			case strings.HasPrefix(owner, "666"):
				leased++
			default:
				address[owner] = int(ip[1])<<16 | int(ip[2])<<8 | int(ip[3])
			}
		case *dns.TXT:
			n := 0
			if _, err := fmt.Sscanf(r.Txt[0], "%d", &n); err == nil {
				text[owner] = n
			}
		}
	}
	return address, text, padded, leased
}
