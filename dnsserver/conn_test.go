package dnsserver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
)

// connServer has what connections need and serves no zone: queries are answered REFUSED.
func connServer(limits Limits) *Server {
	s := newServer(Options{Limits: limits, Logger: slog.New(slog.DiscardHandler)})
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.conf().responder = answer.New(answer.Options{Zones: s.zones})
	s.tcp.init()
	s.late.wake = make(chan struct{}, 1)
	return s
}

// pipe adopts one end of a pipe, which stores nothing, and gives the other.
func pipe(s *Server, from string) net.Conn {
	ours, theirs := net.Pipe()
	s.adopt(ours, netip.MustParseAddrPort(from))
	return theirs
}

// end cuts what is left and waits for it.
func end(s *Server) {
	s.tcp.cut()
	s.tcp.ended.Wait()
	s.workers.close()
}

func framed(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)
}

func readFrame(t testing.TB, r io.Reader) *dns.Msg {
	t.Helper()
	raw := make([]byte, frameLen)
	if _, err := io.ReadFull(r, raw); err != nil {
		t.Fatal(err)
	}
	raw = make([]byte, binary.BigEndian.Uint16(raw))
	if _, err := io.ReadFull(r, raw); err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(raw); err != nil {
		t.Fatal(err)
	}
	return m
}

// closedAfter reads until the connection ends and tells how long that took.
func closedAfter(t testing.TB, c net.Conn) time.Duration {
	t.Helper()
	begun := time.Now()
	if n, err := io.Copy(io.Discard, c); n > 0 || err != nil {
		t.Errorf("read %d octets, %v", n, err)
	}
	return time.Since(begun)
}

func TestQuietConnectionIsClosedAfterTCPIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := connServer(Limits{TCPIdle: 10 * time.Second})
		c := pipe(s, "192.0.2.1:1000")
		if d := closedAfter(t, c); d != 10*time.Second {
			t.Errorf("closed after %v", d)
		}
		end(s)
		if s.Counters.TCPIdle.Load() != 1 || s.Counters.TCPOpen.Load() != 0 {
			t.Errorf("%d idle, %d open", s.Counters.TCPIdle.Load(), s.Counters.TCPOpen.Load())
		}
	})
}

// RFC 7766, section 6.2.3: the timer restarts with complete messages only.
func TestIdleTimerRestartsWithCompleteMessagesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := connServer(Limits{TCPIdle: 10 * time.Second})
		c := pipe(s, "192.0.2.1:1000")
		msg := framed(t, query("a.example.", dns.TypeA))
		for range 5 {
			time.Sleep(9 * time.Second)
			c.Write(msg)
			readFrame(t, c)
		}
		var sending sync.WaitGroup
		sending.Go(func() {
			for _, octet := range msg {
				time.Sleep(700 * time.Millisecond)
				if _, err := c.Write([]byte{octet}); err != nil {
					return
				}
			}
		})
		if d := closedAfter(t, c); d != 10*time.Second {
			t.Errorf("closed after %v", d)
		}
		sending.Wait()
		end(s)
	})
}

func TestConnectionThatWaitsForAnUpdateIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := connServer(Limits{TCPIdle: 10 * time.Second})
		peer := pipe(s, "192.0.2.1:1000")
		c := s.tcp.list(false)[0]
		c.inFlight.Add(1)
		time.Sleep(95 * time.Second)
		if s.Counters.TCPOpen.Load() != 1 {
			t.Fatal("closed")
		}
		c.landed()
		if d := closedAfter(t, peer); d > 10*time.Second {
			t.Errorf("closed after %v", d)
		}
		end(s)
	})
}

func TestPeerThatReadsNothingIsCutAfterTCPWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := connServer(Limits{TCPIdle: time.Hour, TCPWrite: 7 * time.Second})
		c := pipe(s, "192.0.2.1:1000")
		msg := framed(t, query("a.example.", dns.TypeA))
		begun := time.Now()
		for {
			// Replies pile up, then the server reads no more, then it gives up.
			if _, err := c.Write(msg); err != nil {
				break
			}
		}
		if d := time.Since(begun); d != 7*time.Second {
			t.Errorf("closed after %v", d)
		}
		end(s)
		if s.Counters.TCPStalled.Load() != 1 {
			t.Errorf("%d stalled connections counted", s.Counters.TCPStalled.Load())
		}
		if n := s.Counters.TCPMessages.Load(); n > maxQueued/12 {
			t.Errorf("%d messages were answered for a peer that reads nothing", n)
		}
	})
}

// A transfer waits for its peer; replies on the same connection only wait for the message that is being
// written.
func TestReplyOvertakesATransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := connServer(Limits{TCPIdle: time.Hour})
		peer := pipe(s, "192.0.2.1:1000")
		c := s.tcp.list(false)[0]
		c.inFlight.Add(1)
		big := make([]byte, 300)
		sent := make(chan error, 1)
		go func() {
			var err error
			for range 5 {
				err = errors.Join(err, c.sendStream(big))
			}
			c.landed()
			sent <- err
		}()
		synctest.Wait() // the first message is being written
		peer.Write(framed(t, query("a.example.", dns.TypeA)))
		synctest.Wait()
		var sizes []int
		for range 6 {
			size := make([]byte, frameLen)
			io.ReadFull(peer, size)
			n := int(binary.BigEndian.Uint16(size))
			io.CopyN(io.Discard, peer, int64(n))
			sizes = append(sizes, n)
		}
		if sizes[0] != 300 || sizes[1] == 300 {
			t.Errorf("messages left in the order of sizes %v", sizes)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		end(s)
	})
}

func TestStalledTransferEndsWithItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := connServer(Limits{TCPIdle: time.Hour, TCPWrite: 5 * time.Second})
		pipe(s, "192.0.2.1:1000")
		c := s.tcp.list(false)[0]
		c.inFlight.Add(1)
		begun := time.Now()
		var err error
		for err == nil {
			err = c.sendStream(make([]byte, 1000))
		}
		c.landed()
		if !errors.Is(err, errConnClosed) || time.Since(begun) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		end(s)
	})
}

func TestFullServerClosesTheLongestIdleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := connServer(Limits{TCPConnections: 3, TCPPerAddress: 2, TCPIdle: time.Hour})
		open := func(c net.Conn) bool {
			synctest.Wait()
			c.SetReadDeadline(time.Now())
			_, err := c.Read(make([]byte, 1))
			c.SetReadDeadline(time.Time{})
			return errors.Is(err, os.ErrDeadlineExceeded)
		}
		first := pipe(s, "192.0.2.1:1")
		time.Sleep(time.Second)
		second := pipe(s, "192.0.2.2:1")
		time.Sleep(time.Second)
		third := pipe(s, "192.0.2.3:1")
		// The first one is used, so the second is idle longest.
		first.Write(framed(t, query("a.example.", dns.TypeA)))
		readFrame(t, first)
		time.Sleep(time.Second)
		fourth := pipe(s, "192.0.2.3:2")
		if open(second) || !open(first) || !open(third) || !open(fourth) {
			t.Errorf("open: %v %v %v %v", open(first), open(second), open(third), open(fourth))
		}
		// 192.0.2.3 is at its own limit: one of its own makes room.
		fifth := pipe(s, "192.0.2.3:3")
		if open(third) || !open(first) || !open(fifth) {
			t.Errorf("open: %v %v %v", open(first), open(third), open(fifth))
		}
		// Nobody is idle. 192.0.2.3 has more connections than the new one's address will have.
		for _, c := range s.tcp.list(false) {
			c.inFlight.Add(1)
		}
		sixth := pipe(s, "192.0.2.4:1")
		if !open(sixth) || open(fourth) || !open(fifth) {
			t.Errorf("open: %v %v %v", open(sixth), open(fourth), open(fifth))
		}
		// All addresses have one.
		for _, c := range s.tcp.list(false) {
			c.inFlight.Store(1)
		}
		seventh := pipe(s, "192.0.2.5:1")
		if open(seventh) {
			t.Error("the seventh connection is open")
		}
		if e, r := s.Counters.TCPEvicted.Load(), s.Counters.TCPRefused.Load(); e != 3 || r != 1 {
			t.Errorf("%d evicted, %d refused", e, r)
		}
		end(s)
		if n := len(s.tcp.mu.byAddress); n != 0 {
			t.Errorf("%d addresses are still counted", n)
		}
	})
}

func TestMessageInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := connServer(Limits{})
		c := pipe(s, "192.0.2.1:1000")
		for i := range 3 {
			m := query("a.example.", dns.TypeA)
			m.Id = uint16(i)
			for _, octet := range framed(t, m) {
				c.Write([]byte{octet})
			}
			if reply := readFrame(t, c); reply.Id != m.Id || reply.Rcode != dns.RcodeRefused {
				t.Errorf("%v", reply)
			}
		}
		c.Close()
		end(s)
	})
}
