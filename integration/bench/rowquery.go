//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"dialtone/integration/bench/load"
)

// What the query loads have outstanding: dnsperf's clients, and our sockets.
const (
	querySockets = 8
	queryWindow  = 50
	queryTimeout = time.Second
)

// queriesByDnsperf measures queries that dnsperf sends.
func (b *bench) queriesByDnsperf(ctx context.Context, s *server, line, file string, args ...string) error {
	before := s.cpu()
	args = append([]string{"-q", fmt.Sprint(querySockets * queryWindow), "-t", "1"}, args...)
	p, err := b.dnsperf(ctx, s, file, args...)
	used := s.cpu() - before
	if err == nil {
		err = p.only("NOERROR", "NXDOMAIN")
	}
	if err != nil {
		return err
	}
	b.put(line, s.kind.name, p.rate())
	b.cost(line, s, used, p.took, float64(p.done))
	b.put(line+".lost", s.kind.name, float64(p.lost))
	return nil
}

// queriesByLoad measures queries that our own load sends.
func (b *bench) queriesByLoad(ctx context.Context, s *server, line string, packets *load.Packets) error {
	before := s.cpu()
	r, err := load.Queries(ctx, load.QueryOptions{Addr: s.addr, Packets: packets, Sockets: querySockets, Window: queryWindow,
		For: b.plan.load, Timeout: queryTimeout})
	used := s.cpu() - before
	if err == nil {
		err = onlyRcodes(r.Rcodes, r.Answered, dns.RcodeSuccess, dns.RcodeNameError)
	}
	if err != nil {
		return err
	}
	b.put(line, s.kind.name, r.Rate())
	b.cost(line, s, used, r.Took, float64(r.Answered))
	b.put(line+".lost", s.kind.name, float64(r.Lost))
	b.put(line+".self", s.kind.name, r.CPU.Seconds()*1e6/float64(r.Answered))
	if !r.Segments {
		b.note("The kernel does not cut UDP sends (UDP_SEGMENT): our own load costs more than it should.")
	}
	return nil
}

// cost notes the server's processor time for one of n.
func (b *bench) cost(line string, s *server, used, took time.Duration, n float64) {
	b.put(line+".cpu", s.kind.name, used.Seconds()*1e6/n)
	b.put(line+".busy", s.kind.name, 100*used.Seconds()/took.Seconds())
}

func (b *bench) note(text string) {
	for _, n := range b.results.notes {
		if n == text {
			return
		}
	}
	b.results.notes = append(b.results.notes, text)
}

func onlyRcodes(counts [16]uint64, all uint64, wanted ...int) error {
	left := all
	for _, r := range wanted {
		left -= min(left, counts[r])
	}
	switch {
	case all == 0:
		return fmt.Errorf("no replies at all")
	case left > 0:
		return fmt.Errorf("%d of %d replies have a wrong RCODE: %v", left, all, counts)
	}
	return nil
}

// cookies measures both loads with a cookie that the server has given (RFC 7873).
func (b *bench) cookies(ctx context.Context, s *server) error {
	cookie, err := fetchCookie(s.addr)
	if err != nil {
		return err
	}
	if err := b.queriesByDnsperf(ctx, s, "cookie.dnsperf", s.data.queries, "-e", "-E", "10:"+hex.EncodeToString(cookie)); err != nil {
		return err
	}
	option := binary.BigEndian.AppendUint16(nil, dns.EDNS0COOKIE)
	option = append(binary.BigEndian.AppendUint16(option, uint16(len(cookie))), cookie...)
	packets, err := load.NewPackets(zoneName, s.data.list, option)
	if err != nil {
		return err
	}
	return b.queriesByLoad(ctx, s, "cookie.own", packets)
}

// cookieLen is what a client sends: 8 octets of its own, 16 of the server (RFC 9018, section 4).
const cookieLen = 8 + 16

// fetchCookie asks for a cookie, and asks again with it to see that the server takes it.
func fetchCookie(addr string) ([]byte, error) {
	cookie := []byte("benchmrk")
	for range 2 {
		q := new(dns.Msg)
		q.SetQuestion(zoneName, dns.TypeSOA)
		q.SetEdns0(1232, false)
		q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString(cookie)}}
		r, err := dns.Exchange(q, addr)
		if err != nil {
			return nil, err
		}
		given, err := cookieOf(r)
		if err != nil {
			return nil, err
		}
		if len(cookie) == cookieLen && r.Rcode != dns.RcodeSuccess {
			return nil, fmt.Errorf("its own cookie is answered with %s", dns.RcodeToString[r.Rcode])
		}
		cookie = given
	}
	return cookie, nil
}

func cookieOf(r *dns.Msg) ([]byte, error) {
	if opt := r.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				given, err := hex.DecodeString(c.Cookie)
				if err == nil && len(given) != cookieLen {
					err = fmt.Errorf("its cookie has %d octets, not %d", len(given), cookieLen)
				}
				return given, err
			}
		}
	}
	return nil, fmt.Errorf("it answers without a cookie")
}

// sizes compares dialtone with itself: a small zone and a large one.
func (b *bench) sizes(ctx context.Context) error {
	for round := range b.plan.rounds {
		for _, size := range []struct {
			numbers int
			name    string
		}{{b.plan.small, "small"}, {b.plan.big, "big"}} {
			if size.name == "small" && !b.plan.wants(4, 6) {
				continue
			}
			b.say("round %d of %d: dialtone with %s numbers", round+1, b.plan.rounds, thousands(float64(size.numbers), 0))
			visit := func() error { return b.sizeVisit(ctx, size.numbers, size.name) }
			if err := b.try(ctx, "rows 4, 6 and 15", dialtone, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) sizeVisit(ctx context.Context, numbers int, name string) error {
	s, err := b.prepare(ctx, dialtone, numbers, how{})
	if err != nil {
		return err
	}
	defer b.discard(s)
	took, err := s.start(ctx)
	if err != nil {
		return err
	}
	if name == "big" && b.plan.wants(15) {
		b.put("huge.start", dialtone.name, took.Seconds())
		if err := b.memoryOf(ctx, s, "huge.memory"); err != nil {
			return err
		}
	}
	if b.plan.wants(4) {
		if err := b.queriesByDnsperf(ctx, s, "size.dnsperf."+name, s.data.queries); err != nil {
			return err
		}
		if err := b.queriesByLoad(ctx, s, "size.own."+name, s.data.packets); err != nil {
			return err
		}
	}
	if b.plan.wants(6) {
		return b.updatesByDnsperf(ctx, s, "size.update."+name)
	}
	return nil
}
