package dnsserver

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/dnsserver/answer"
)

// Sizes of a connection's buffers.
const (
	readSize  = 4096     // to begin with; grows as a message comes in
	maxQueued = 32 << 10 // octets of replies that wait to be written before no more is read
)

var errConnClosed = errors.New("connection is closed")

// conn is one TCP connection. One goroutine reads and answers; one writes.
//
// A reply that is due goes to mu.out or mu.done, which always take it: they are bounded because no
// message is read while there is too much in them. The messages of transfers go through stream, which
// makes the transfer wait for the peer and nobody else; the writer sends a waiting reply first.
type conn struct {
	s    *Server
	nc   net.Conn
	from client

	place       place        // of connections.mu
	lastMessage atomic.Int64 // Unix time in ns
	moved       atomic.Int64 // the latest of that, the last time that the peer took something, and the begin of a write
	asked       atomic.Bool  // there was a message
	writing     atomic.Bool
	inFlight    atomic.Int32 // updates and transfers without their reply; added to by the reader only
	stopping    atomic.Bool
	running     atomic.Int32 // goroutines

	wake   chan struct{} // has room for one; wakes the writer
	stream chan []byte
	taken  chan struct{} // answers stream: the message may be used again
	gone   chan struct{} // closed by close

	mu struct {
		sync.Mutex
		room      sync.Cond // out or inFlight shrank, or closed
		out       []byte    // framed replies
		done      []*pendingUpdate
		closed    bool
		readEnded bool
	}
}

func newConn(s *Server, nc net.Conn, remote netip.AddrPort) *conn {
	c := &conn{
		s: s, nc: nc,
		wake: make(chan struct{}, 1), stream: make(chan []byte), taken: make(chan struct{}), gone: make(chan struct{}),
	}
	c.mu.room.L = &c.mu
	c.heard()
	c.from = client{addr: remote, conn: c}
	return c
}

// run starts the two goroutines. They end when the peer closes and everything is answered, when the peer
// is too slow or too quiet, or with close.
func (c *conn) run() {
	c.running.Store(2)
	go func() {
		defer c.end()
		c.readAll()
	}()
	go func() {
		defer c.end()
		c.writeAll()
	}()
}

// end is called by each goroutine at its end.
func (c *conn) end() {
	if c.running.Add(-1) == 0 {
		c.s.Counters.TCPOpen.Add(-1)
		c.s.tcp.remove(c)
	}
}

// close cuts the connection. It never blocks.
func (c *conn) close() {
	c.mu.Lock()
	first := !c.mu.closed
	c.mu.closed = true
	c.mu.room.Broadcast()
	c.mu.Unlock()
	if first {
		close(c.gone)
		c.nc.Close()
	}
}

// stopReading makes the connection end when all that was read is answered.
func (c *conn) stopReading() {
	c.stopping.Store(true)
	c.nc.SetReadDeadline(time.Unix(1, 0))
}

func (c *conn) heard() {
	now := time.Now().UnixNano()
	c.lastMessage.Store(now)
	c.moved.Store(now)
}

// worth orders connections by what is lost with them: the least makes room for a new one.
type worth uint8

const (
	neverAsked worth = iota // though it has had the time
	idle                    // nothing is due
	stuck                   // the peer does not take what is due
	crowding                // of an address that has more than the new one's
	fresh                   // nothing is due yet
	busy                    // does not make room
)

// settles is for how long a connection may be about to ask, or to take what is due.
const settles = 100 * time.Millisecond

// worth tells it, and when something moved last.
func (c *conn) worth(now int64) (worth, int64) {
	writing := c.writing.Load() // before moved, which a write sets first
	moved := c.moved.Load()
	_, nothingDue := c.idleSince()
	switch settled := now-moved >= int64(settles); {
	case writing && settled:
		return stuck, moved
	case writing, !nothingDue:
		return busy, moved
	case !settled:
		return fresh, moved
	case !c.asked.Load():
		return neverAsked, moved
	}
	return idle, moved
}

// idleSince tells since when (Unix time in ns) nothing has been asked, and whether nothing is due.
func (c *conn) idleSince() (int64, bool) {
	c.mu.Lock()
	idle := len(c.mu.out) == 0 && c.inFlight.Load() == 0
	c.mu.Unlock()
	return c.lastMessage.Load(), idle
}

// awaitMessage sets the idle timer. Only a complete message does that (RFC 7766, section 6.2.3).
func (c *conn) awaitMessage() {
	c.nc.SetReadDeadline(time.Now().Add(c.s.conf().Limits.TCPIdle))
	if c.stopping.Load() {
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// readAll reads and answers messages.
func (c *conn) readAll() {
	defer func() {
		c.mu.Lock()
		c.mu.readEnded = true
		c.mu.Unlock()
		wake(c.wake)
	}()
	buf, have := make([]byte, readSize), 0
	turns := turns{y: &c.s.yielder}
	c.awaitMessage()
	for {
		n, err := c.nc.Read(buf[have:])
		have += n
		used, ok := c.messages(buf[:have], c.s.opts.Now(), &turns)
		if !ok {
			return
		}
		have = copy(buf, buf[used:have])
		if used > 0 {
			c.heard()
			c.asked.Store(true)
			c.awaitMessage()
		}
		if err != nil && !c.mayWait(err) {
			return
		}
		buf = resize(buf, have)
	}
}

// mayWait tells whether to read on after err: a peer that waits for an update's reply or reads a
// transfer is not idle.
func (c *conn) mayWait(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.stopping.Load() {
		return false
	}
	if _, idle := c.idleSince(); idle {
		c.s.Counters.TCPIdle.Add(1)
		c.s.Counters.Limits.Hit(LimitTCPIdle)
		return false
	}
	c.awaitMessage()
	return true
}

// resize makes room for more of the message that is coming in. The length that the peer announces is
// not taken at its word: memory follows octets.
func resize(buf []byte, have int) []byte {
	switch {
	case have == 0 && len(buf) > 4*readSize:
		return make([]byte, readSize)
	case have == len(buf):
		grown := make([]byte, min(2*len(buf), frameLen+maxMessage))
		copy(grown, buf)
		return grown
	}
	return buf
}

// messages answers all complete messages in b, which were read at a time, and gives the octets used; false when the connection is
// closed.
func (c *conn) messages(b []byte, at time.Time, turns *turns) (used int, ok bool) {
	defer func() {
		if used > 0 {
			wake(c.wake)
		}
	}()
	for {
		rest := b[used:]
		if len(rest) < frameLen {
			return used, true
		}
		size := frameLen + int(binary.BigEndian.Uint16(rest))
		if len(rest) < size {
			return used, true
		}
		if !c.waitRoom() {
			return used, false
		}
		c.message(rest[frameLen:size:size], at)
		used += size
		turns.step()
	}
}

// waitRoom waits until the peer has taken enough of what it asked for; false when it is gone.
func (c *conn) waitRoom() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int(c.inFlight.Load()) >= c.s.conf().Limits.TCPInFlight {
		c.s.Counters.Limits.Hit(LimitTCPInFlight)
	}
	if len(c.mu.out) > maxQueued {
		c.s.Counters.Limits.Hit(LimitTCPQueued)
	}
	for !c.mu.closed && (len(c.mu.out) > maxQueued || int(c.inFlight.Load()) >= c.s.conf().Limits.TCPInFlight) {
		wake(c.wake)
		c.mu.room.Wait()
	}
	return !c.mu.closed
}

// message answers one message.
func (c *conn) message(msg []byte, at time.Time) {
	s := c.s
	s.Counters.TCPMessages.Add(1)
	w := s.workers.get()
	defer s.workers.put(w)
	w.scratch.Client = &c.from
	var begun time.Time
	if w.messages++; s.watch || w.messages%querySample == 0 {
		begun = time.Now()
	}
	if s.tap != nil {
		s.tap.Request(msg, s.peer(&c.from), begun)
	}
	w.reader.Begin()
	n, verdict := s.conf().responder.Respond(msg, w.out(), true, 0, &w.scratch)
	w.reader.End()
	switch verdict {
	case answer.Reply:
		s.countReply(w, &c.from)
		s.tapReply(w.out()[:n], &c.from, begun)
		c.queue(w.out()[:n])
		if w.messages%querySample == 0 {
			s.instruments.queryTime[1].Observe(time.Since(begun).Seconds())
		}
		s.sample(msg, &c.from, "", &w.scratch, n, begun)
	case answer.Later:
		as := s.slow.arrival(msg, c.from.addr.Addr(), w.scratch.Request.TSIG, at)
		if reply := s.answerSlow(w, msg, &c.from, as); reply != nil {
			s.tapReply(reply, &c.from, as.at)
			c.queue(reply)
		}
	default:
		s.Counters.Dropped.Add(1)
	}
}

// queue adds a reply to what the writer sends. It never blocks. The caller wakes the writer.
func (c *conn) queue(reply []byte) {
	c.mu.Lock()
	if !c.mu.closed {
		c.mu.out = appendFrame(c.mu.out, reply)
	}
	c.mu.Unlock()
}

// finished takes an update whose reply is due, from its zone's writer. It never blocks.
func (c *conn) finished(u *pendingUpdate) {
	c.mu.Lock()
	closed := c.mu.closed
	if !closed {
		c.mu.done = append(c.mu.done, u)
	}
	c.mu.Unlock()
	if closed {
		c.landed()
		c.s.late.put(u)
		return
	}
	wake(c.wake)
}

// landed says that an update or a transfer has come to its end.
func (c *conn) landed() {
	c.mu.Lock()
	c.inFlight.Add(-1)
	c.mu.room.Broadcast()
	c.mu.Unlock()
	wake(c.wake)
}

// sendStream sends one message of a transfer. It waits for the peer.
func (c *conn) sendStream(msg []byte) error {
	select {
	case c.stream <- msg:
	case <-c.gone:
		return errConnClosed
	}
	<-c.taken
	return nil
}
