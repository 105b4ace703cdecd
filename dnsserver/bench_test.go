package dnsserver

import (
	"bufio"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
)

// BenchmarkUDPQuery asks over loopback in bursts. Nearly all of it is the kernel's, on both sides;
// dnsserver/udp has the same loop without DNS to compare with.
func BenchmarkUDPQuery(b *testing.B) {
	o := testOptions(b)
	o.Limits.Readers = 1
	s, _ := start(b, o)
	const burst = 32
	raw, err := query("100."+apex, dns.TypeA).SetEdns0(1232, false).Pack()
	if err != nil {
		b.Fatal(err)
	}
	c := ipv4.NewPacketConn(dial(b, "udp", s.Addrs()[0]).Conn.(net.PacketConn))
	out, in := make([]ipv4.Message, burst), make([]ipv4.Message, burst)
	for i := range burst {
		out[i].Buffers, in[i].Buffers = [][]byte{raw}, [][]byte{make([]byte, 1232)}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= burst {
		n := min(left, burst)
		for sent := 0; sent < n; {
			k, err := c.WriteBatch(out[sent:n], 0)
			if err != nil {
				b.Fatal(err)
			}
			sent += k
		}
		for got := 0; got < n; {
			k, err := c.ReadBatch(in[:n-got], 0)
			if err != nil {
				b.Fatal(err)
			}
			got += k
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(s.Counters.UDPMessages.Load())/float64(s.listeners[0].sockets[0].Batches.Load()), "datagrams/batch")
}

// BenchmarkTCPQuery asks in pipelined bursts on one connection.
func BenchmarkTCPQuery(b *testing.B) {
	s, _ := start(b, testOptions(b))
	const burst = 32
	one := framed(b, query("100."+apex, dns.TypeA))
	var all []byte
	for range burst {
		all = append(all, one...)
	}
	c := dial(b, "tcp", s.Addrs()[0]).Conn
	c.SetDeadline(time.Time{})
	r := bufio.NewReaderSize(c, 1<<16)
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= burst {
		n := min(left, burst)
		if _, err := c.Write(all[:n*len(one)]); err != nil {
			b.Fatal(err)
		}
		for range n {
			head, err := r.Peek(frameLen)
			if err != nil {
				b.Fatal(err)
			}
			r.Discard(frameLen + int(binary.BigEndian.Uint16(head)))
		}
	}
}

// BenchmarkUpdate has many clients update at once over TCP; each acknowledged update is on the disk.
func BenchmarkUpdate(b *testing.B) {
	s, _ := start(b, testOptions(b))
	var next atomic.Int64
	b.SetParallelism(64)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		nc, err := net.Dial("tcp", s.Addrs()[0].String())
		if err != nil {
			b.Error(err)
			return
		}
		defer nc.Close()
		c := &dns.Conn{Conn: nc}
		for pb.Next() {
			i := int(next.Add(1))
			m := insert("b" + itoa(i%10000) + "." + apex + " 60 A 192.0.2." + itoa(1+i/10000%250))
			if err := c.WriteMsg(m); err != nil {
				b.Error(err)
				return
			}
			if reply, err := c.ReadMsg(); err != nil || reply.Rcode != dns.RcodeSuccess {
				b.Error(reply, err)
				return
			}
		}
	})
}
