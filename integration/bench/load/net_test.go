//go:build linux

package load

import (
	"context"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// answerer is a server that answers every datagram with its header, but for the first of them, which it loses.
func answerer(t *testing.T, lose int, rcode byte) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if lose > 0 {
				lose--
				continue
			}
			buf[2] |= 0x80
			buf[3] = rcode
			if _, err := c.WriteTo(buf[:min(n, headerLen)], from); err != nil {
				return
			}
		}
	}()
	return c.LocalAddr().String()
}

func packets(t *testing.T) *Packets {
	t.Helper()
	var list []Question
	for i := range 100 {
		list = append(list, Question{5000000 + i, TypeA})
	}
	p, err := NewPackets("phones.example.", list, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestQueriesCountsWhatIsLost(t *testing.T) {
	r, err := Queries(t.Context(), QueryOptions{Addr: answerer(t, 5, 3), Packets: packets(t), Sockets: 2, Window: 4,
		For: 50 * time.Millisecond, Timeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Answered == 0 || r.Lost < 5 || r.Rcodes[3] != r.Answered || r.Took < 50*time.Millisecond || r.CPU == 0 {
		t.Errorf("%+v", r)
	}
}

func TestQueriesGoOnAfterLosses(t *testing.T) {
	// All of the window is lost: only a timeout lets the load go on.
	r, err := Queries(t.Context(), QueryOptions{Addr: answerer(t, 8, 0), Packets: packets(t), Sockets: 2, Window: 4,
		For: 500 * time.Millisecond, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Answered == 0 || r.Lost < 8 {
		t.Errorf("%+v", r)
	}
}

func TestSendsWithoutSegments(t *testing.T) {
	s, err := dial(answerer(t, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	s.segments = false
	p := packets(t)
	for i := range 10 {
		binary.BigEndian.PutUint16(p.at(i), uint16(i+1))
	}
	if n, err := s.sendBlock(p.data[:10*p.size], p.size); n != 10 || err != nil {
		t.Fatalf("%d of 10 left: %v", n, err)
	}
	seen := map[uint16]bool{}
	w := newWaiter([]*socket{s})
	for deadline := time.Now().Add(10 * time.Second); len(seen) < 10 && time.Now().Before(deadline); {
		n, err := s.receive()
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			seen[binary.BigEndian.Uint16(s.reply(i))] = true
		}
		if err := w.wait(100 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 10 {
		t.Errorf("replies to %v", seen)
	}
}

func updateOptions(addr string) UpdateOptions {
	return UpdateOptions{Addr: addr, Zone: "phones.example.", Key: Key{"k.", "MDEyMzQ1Njc4OWFiY2RlZg=="}, First: 5000000, Count: 100,
		Sockets: 2, Window: 3, Timeout: 200 * time.Millisecond}
}

func TestUpdatesGoAgainWhenLost(t *testing.T) {
	o := updateOptions(answerer(t, 4, 0))
	var seen atomic.Uint64
	o.Total, o.Acknowledged = 60, &seen
	r, err := Updates(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Acked != 60 || seen.Load() != 60 || r.Retried < 4 || r.Refused() != 0 || r.Latency.Total() != 60 || r.Gap == 0 {
		t.Errorf("acked %d, seen %d, retried %d, refused %d, latencies %d, gap %v", r.Acked, seen.Load(), r.Retried, r.Refused(), r.Latency.Total(), r.Gap)
	}
}

func TestUpdatesCountsRefusals(t *testing.T) {
	o := updateOptions(answerer(t, 0, 5))
	o.Total = 20
	r, err := Updates(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Acked != 0 || r.Refused() != 20 || r.Rcodes[5] != 20 {
		t.Errorf("acked %d, RCODEs %v", r.Acked, r.Rcodes)
	}
}

// TestUpdatesKeepToTheirRate: never more than the schedule allows, whatever the machine does.
func TestUpdatesKeepToTheirRate(t *testing.T) {
	o := updateOptions(answerer(t, 0, 0))
	o.Rate, o.For = 200, 200*time.Millisecond
	r, err := Updates(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if most := o.Rate * r.Took.Seconds(); r.Acked == 0 || float64(r.Acked) > most {
		t.Errorf("%d updates, at most %.1f were due", r.Acked, most)
	}
	var stop atomic.Bool
	stop.Store(true)
	o.Stop = &stop
	if r, err := Updates(t.Context(), o); err != nil || r.Took > 5*time.Second {
		t.Errorf("a stopped load took %v: %v", r.Took, err)
	}
}

func TestPaceCountsEveryQuery(t *testing.T) {
	r, err := Pace(t.Context(), PaceOptions{Addr: answerer(t, 3, 0), Packets: packets(t), Sockets: 2, Rate: 10_000,
		For: 50 * time.Millisecond, Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != 500 || r.Lost < 3 || r.Latency.Total()+r.Lost != r.Sent || r.Rcodes[0] != r.Latency.Total() {
		t.Errorf("sent %d, lost %d, answered %d", r.Sent, r.Lost, r.Latency.Total())
	}
}

func TestLoadsEndWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	addr := answerer(t, 0, 0)
	if _, err := Queries(ctx, QueryOptions{Addr: addr, Packets: packets(t), Sockets: 1, Window: 1, For: time.Hour, Timeout: time.Second}); err == nil {
		t.Error("queries go on")
	}
	o := updateOptions(addr)
	o.For = time.Hour
	if _, err := Updates(ctx, o); err == nil {
		t.Error("updates go on")
	}
	if _, err := Pace(ctx, PaceOptions{Addr: addr, Packets: packets(t), Sockets: 1, Rate: 10_000, For: time.Hour, Timeout: time.Second}); err == nil {
		t.Error("the schedule goes on")
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	if _, err := Queries(t.Context(), QueryOptions{Addr: "127.0.0.1:9", Packets: packets(t), Sockets: 1, Window: batchLen + 1}); err == nil {
		t.Error("a window that no call can send is accepted")
	}
	if _, err := Queries(t.Context(), QueryOptions{Addr: "localhost", Packets: packets(t), Sockets: 1, Window: 1}); err == nil {
		t.Error("an address without a port is accepted")
	}
	if _, err := Pace(t.Context(), PaceOptions{Addr: "127.0.0.1:9", Packets: packets(t), Sockets: 1, Rate: 1e9}); err == nil {
		t.Error("a rate that the schedule cannot hold is accepted")
	}
}

// TestFlight: a reply frees its slot once, a late one nobody's.
func TestFlight(t *testing.T) {
	f := newFlight(nil, 3)
	reply := func(id uint16) []byte {
		m := make([]byte, headerLen)
		binary.BigEndian.PutUint16(m, id)
		m[2] = 0x80
		return m
	}
	first, second := f.peek(0), f.peek(1)
	f.leave(2, time.Second)
	if f.waiting() != 2 || first == second {
		t.Fatalf("%d waiting, IDs %d and %d", f.waiting(), first, second)
	}
	if _, sent, ok := f.land(reply(first)); !ok || sent != time.Second {
		t.Errorf("the reply to %d is nobody's", first)
	}
	if _, _, ok := f.land(reply(first)); ok {
		t.Error("a reply counts twice")
	}
	if n := f.expire(time.Second); n != 1 || f.waiting() != 0 {
		t.Errorf("%d expired, %d waiting", n, f.waiting())
	}
	if _, _, ok := f.land(reply(second)); ok {
		t.Error("a reply counts after its time")
	}
	for range 3000 {
		id := f.peek(0)
		f.leave(1, 0)
		if _, _, ok := f.land(reply(id)); !ok {
			t.Fatalf("the reply to %d is nobody's", id)
		}
	}
	for _, m := range [][]byte{nil, make([]byte, headerLen), reply(63)} {
		if _, _, ok := f.land(m); ok {
			t.Errorf("%v is a reply", m)
		}
	}
}

// primary is a server that sends messages to each that connects.
func primary(t *testing.T, messages [][]byte) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 100)) // the query
			for _, m := range messages {
				_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func TestTransferReadsToTheEnd(t *testing.T) {
	messages := stream(t, 2, soa("5"), address("1"), address("2"), address("3"), soa("5"))
	var octets int64
	for _, m := range messages {
		octets += int64(2 + len(m))
	}
	r, err := Transfer(t.Context(), primary(t, messages), "phones.example.", TypeAXFR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if r.Octets != octets || r.Records != 5 || r.Messages != 3 || r.Serial != 5 || r.Incremental || r.Took == 0 {
		t.Errorf("%+v, not %d octets", r, octets)
	}
	if _, err := Transfer(t.Context(), primary(t, messages[:2]), "phones.example.", TypeAXFR, 0); err == nil {
		t.Error("a transfer that is cut short is accepted")
	}
}
