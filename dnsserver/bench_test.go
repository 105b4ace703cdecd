package dnsserver

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"dialtone/dnsserver/ratelimit"
	"dialtone/update/acl"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// BenchmarkUDPQuery asks over loopback in bursts. Nearly all of it is the kernel's, on both sides;
// dnsserver/udp has the same loop without DNS to compare with.
func BenchmarkUDPQuery(b *testing.B) {
	b.Run("plain", func(b *testing.B) { udpQuery(b, ratelimit.Options{}) })
	// Every response is counted and none is limited.
	b.Run("rate limit", func(b *testing.B) {
		udpQuery(b, ratelimit.Options{Rates: [ratelimit.Classes]int{1000, 1000, 1000, 1000, 1000}, LogOnly: true})
	})
}

func udpQuery(b *testing.B, limit ratelimit.Options) {
	o := testOptions(b)
	o.Limits.Readers, o.RateLimit = 1, limit
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

// BenchmarkSignedUpdate is the whole way of an update from its verification to its reply, each synced before it
// is answered: 256 are under way at any time, each changes the address of another number. Nobody reads the replies.
func BenchmarkSignedUpdate(b *testing.B) {
	for _, numbers := range []int{10_000, 1_000_000} {
		for _, lease := range []bool{false, true} {
			b.Run(fmt.Sprintf("numbers=%d,lease=%v", numbers, lease), func(b *testing.B) { benchmarkSignedUpdate(b, numbers, lease) })
		}
	}
}

func benchmarkSignedUpdate(b *testing.B, numbers int, lease bool) {
	o := testOptions(b)
	list := rules(b, apex, acl.Rule{AnyKey: true, Actions: acl.Update})
	o.Zones[0].Text, o.Zones[0].ACL = manyNumbers(numbers), list
	s, _ := start(b, o)
	// A number has two messages, so that each changes what the other left.
	const count = 8192
	messages := make([][]byte, 2*count)
	for i := range messages {
		n := i % count * (numbers / count)
		messages[i] = updateOf(b, fmt.Sprintf("%07d", n), byte(1+i/count), lease)
	}
	sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	from := client{sock: s.listeners[0].sockets[0], addr: sink.LocalAddr().(*net.UDPAddr).AddrPort()}
	w := newWorker()
	defer w.reader.Close()
	ok := &s.Counters.Updates[dns.RcodeSuccess]
	buf := make([]byte, 512)
	b.ReportAllocs()
	b.ResetTimer()
	z := s.zones.All()[0]
	w.reader.Begin()
	before := z.View().Serial()
	w.reader.End()
	for i := range b.N {
		for i-int(ok.Load()) >= 256 {
			runtime.Gosched()
		}
		// Signed anew with an ID of its own: the same message again would get its first answer.
		msg := append(buf[:0], messages[i%len(messages)]...)
		binary.BigEndian.PutUint16(msg, uint16(i/len(messages)))
		msg, _, err := s.keys.SignRequest(msg, rr.MustName(keyName), time.Now())
		if err != nil {
			b.Fatal(err)
		}
		if reply := s.answerSlow(w, msg, &from, arrival{at: time.Now()}); reply != nil {
			b.Fatalf("refused: %x", reply)
		}
	}
	for int(ok.Load()) < b.N {
		runtime.Gosched()
	}
	b.StopTimer()
	w.reader.Begin()
	b.ReportMetric(float64(b.N)/float64(z.View().Serial()-before), "updates/commit")
	w.reader.End()
}

// manyNumbers is a zone file with that many numbers of seven digits.
func manyNumbers(count int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "@ 60 SOA ns1 hostmaster 1 3600 900 604800 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n")
	for i := range count {
		fmt.Fprintf(&b, "%07d 60 A 10.%d.%d.%d\n", i, i>>16, i>>8&255, i&255)
	}
	return b.String()
}

// updateOf replaces the address of a number by 192.0.2.last.
func updateOf(b *testing.B, number string, last byte, lease bool) []byte {
	m := new(dns.Msg).SetUpdate(apex)
	owner := number + "." + apex
	m.RemoveRRset([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeA}}})
	m.Insert([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(192, 0, 2, last)}})
	if lease {
		withLease(m, leaseData(3600))
	}
	raw, err := m.Pack()
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

// BenchmarkCountReply is what counting a reply costs its reader, in batches of one, which is the worst: about
// 3,600 ns is what an answer costs in all.
func BenchmarkCountReply(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			s, _ := start(b, testOptions(b))
			h := &udpReader{s: s, reader: zone.NewReader(), replies: new(batchTally)}
			defer h.reader.Close()
			raw, _ := query("100."+apex, dns.TypeA).Pack()
			s.conf().responder.Respond(raw, make([]byte, 1232), false, 0, &h.scratch)
			b.ReportAllocs()
			for left := b.N; left > 0; left -= batch {
				for range min(left, batch) {
					h.replies.add(slotOf(&h.scratch))
				}
				h.replies.flush()
			}
		})
	}
}
