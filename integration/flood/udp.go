//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"dialtone/integration/bench/load"
)

// source is address i of those that a flood comes from. None of them is 127.0.0.1, which is the good client's.
func source(i, of int) net.IP {
	i = i%of + 1
	return net.IPv4(127, byte(1+i>>16), byte(i>>8), byte(i))
}

// batch is how many datagrams leave in one system call.
const batch = 64

// spray sends datagrams at the pace of o, from one address after the other. Make gives message i.
func spray(ctx context.Context, o *options, c *counts, make func(i int) []byte) error {
	to, err := net.ResolveUDPAddr("udp4", o.addr)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetWriteBuffer(4 << 20)
	_ = conn.SetReadBuffer(1 << 20)
	p := ipv4.NewPacketConn(conn)
	go drain(p, c)
	var msgs [batch]ipv4.Message
	sent := 0
	return pace(ctx, o.rate, func(n int) error {
		for n > 0 {
			k := min(n, batch)
			for i := range msgs[:k] {
				cm := ipv4.ControlMessage{Src: source(sent+i, o.sources)}
				msgs[i] = ipv4.Message{Buffers: [][]byte{make(sent + i)}, OOB: cm.Marshal(), Addr: to}
			}
			done, err := p.WriteBatch(msgs[:k], 0)
			if err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.ENOBUFS) {
				return err
			}
			c.Sent.Add(uint64(max(done, 0)))
			c.Failed.Add(uint64(k - max(done, 0)))
			sent += k
			n -= k
		}
		return nil
	})
}

// drain counts the answers until the socket is closed.
func drain(p *ipv4.PacketConn, c *counts) {
	var in [batch]ipv4.Message
	for i := range in {
		in[i].Buffers = [][]byte{make([]byte, 64)}
	}
	for {
		n, err := p.ReadBatch(in[:], 0)
		if err != nil {
			return
		}
		for i := range in[:n] {
			if in[i].N >= 4 {
				c.Rcodes[in[i].Buffers[0][3]&15].Add(1)
			}
		}
	}
}

// pack is for messages that cannot fail.
func pack(m *dns.Msg) []byte {
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// numbered gives copies of a message under other IDs.
func numbered(b []byte) func(i int) []byte {
	ring := make([][]byte, 4*batch)
	for i := range ring {
		ring[i] = append([]byte{}, b...)
	}
	return func(i int) []byte {
		m := ring[i%len(ring)]
		binary.BigEndian.PutUint16(m, uint16(i))
		return m
	}
}

// queries are for a number that exists.
func queries(ctx context.Context, o *options, c *counts) error {
	return spray(ctx, o, c, numbered(pack(new(dns.Msg).SetQuestion("5550100."+o.zone, dns.TypeA))))
}

// nxdomain asks for numbers that do not exist, each another one.
func nxdomain(ctx context.Context, o *options, c *counts) error {
	copies := numbered(pack(new(dns.Msg).SetQuestion("x000000000."+o.zone, dns.TypeA)))
	return spray(ctx, o, c, func(i int) []byte {
		m := copies(i)
		digits := m[12+2 : 12+2+9]
		for at, n := len(digits)-1, i*7919; at >= 0; at, n = at-1, n/10 {
			digits[at] = '0' + byte(n%10)
		}
		return m
	})
}

func registration(o *options, number string) *dns.Msg {
	m := new(dns.Msg).SetUpdate(o.zone)
	m.RemoveRRset([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: number + "." + o.zone, Rrtype: dns.TypeA}}})
	m.Insert([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: number + "." + o.zone, Rrtype: dns.TypeA, Ttl: 60}, A: net.IPv4(192, 0, 2, 66)}})
	return m
}

// unsigned sends updates without a signature.
func unsigned(ctx context.Context, o *options, c *counts) error {
	return spray(ctx, o, c, numbered(pack(registration(o, "5550100"))))
}

// junk sends updates whose signatures are none: half of them by the key that there is, the others by names that
// are made up.
func junk(ctx context.Context, o *options, c *counts) error {
	known := junkOf(o, o.key)
	var unknown []func(int) []byte
	for i := range 64 {
		unknown = append(unknown, junkOf(o, "x"+strconv.Itoa(i)+"."+o.zone))
	}
	return spray(ctx, o, c, func(i int) []byte {
		if i%2 == 0 {
			return known(i)
		}
		return unknown[i%64](i)
	})
}

func junkOf(o *options, key string) func(i int) []byte {
	m := registration(o, "5550100")
	m.Extra = append(m.Extra, &dns.TSIG{
		Hdr:       dns.RR_Header{Name: dns.Fqdn(key), Rrtype: dns.TypeTSIG, Class: dns.ClassANY},
		Algorithm: dns.HmacSHA256, TimeSigned: uint64(time.Now().Unix()), Fudge: 300,
		MACSize: 32, MAC: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
	})
	return numbered(pack(m))
}

// signed sends updates of many numbers by one key, over as many sockets as there are sources, with 64 on their
// way on each.
func signed(ctx context.Context, o *options, c *counts) error {
	var acked atomic.Uint64
	r, err := load.Updates(ctx, load.UpdateOptions{
		Addr: o.addr, Zone: o.zone, Key: load.Key{Name: o.key, Secret: o.secret},
		First: 6000000, Count: 1000, Sockets: o.sources, Window: 64, Rate: o.rate,
		For: time.Hour, Timeout: 200 * time.Millisecond, Acknowledged: &acked, Stop: stopOf(ctx),
	})
	if r == nil {
		return err
	}
	for i, n := range r.Rcodes {
		c.Rcodes[i].Add(n)
		c.Sent.Add(n)
	}
	c.Failed.Add(r.Retried)
	return nil
}

// stopOf is set when ctx ends.
func stopOf(ctx context.Context) *atomic.Bool {
	stop := new(atomic.Bool)
	context.AfterFunc(ctx, func() { stop.Store(true) })
	return stop
}
