package dnsserver

import (
	"sync"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
	"dialtone/dnsserver/ratelimit"
	"dialtone/dnsserver/udp"
	"dialtone/zone"
)

// udpReader answers the datagrams of one socket. It is used by the socket's goroutine only.
type udpReader struct {
	s       *Server
	sock    *udp.Socket
	reader  *zone.Reader
	scratch answer.Scratch
	ahead   zone.Ahead

	watch bool   // see watch.go
	seen  uint32 // queries since one was logged

	responder *answer.Responder // of the batch

	// Counts of the batch at hand, added to the server's at its end.
	messages, dropped uint64
	replies           *batchTally
	limited           ratelimit.Tally

	limiter *ratelimit.Limiter // of the batch; nil: nothing is limited
}

// readUDP serves one socket until it is stopped.
func (s *Server) readUDP(sock *udp.Socket, replies *batchTally) {
	h := &udpReader{s: s, sock: sock, reader: zone.NewReader(), replies: replies, watch: s.watch}
	defer h.reader.Close()
	if err := sock.Serve(h); err != nil {
		s.Counters.SocketsFailed.Add(1)
		s.log.Error("UDP socket failed", "op", "listen", "proto", "udp", "addr", sock.Addr(), "err", err)
	}
}

// askAhead is how many datagrams are worth a look at all of them before any is answered.
const askAhead = 4

func (h *udpReader) BeginBatch(msgs [][]byte) {
	h.reader.Begin()
	h.limiter = h.s.limiter.Load()
	h.responder = h.s.conf().responder
	if len(msgs) >= askAhead {
		h.responder.Ahead(msgs, &h.ahead)
	}
}

func (h *udpReader) EndBatch() {
	h.reader.End()
	c := &h.s.Counters
	c.UDPMessages.Add(h.messages)
	h.messages = 0
	if h.dropped > 0 {
		c.Dropped.Add(h.dropped)
		h.dropped = 0
	}
	h.replies.flush()
	if h.limited.Any {
		c.Limited.add(&h.limited)
	}
}

// Datagram answers on the spot whatever is no Later. It allocates nothing, unless somebody watches.
func (h *udpReader) Datagram(d *udp.Datagram) int {
	if h.watch {
		return h.watched(d)
	}
	return h.answer(d)
}

func (h *udpReader) answer(d *udp.Datagram) int {
	h.messages++
	h.scratch.Client = d
	n, verdict := h.responder.Respond(d.Msg, d.Out, false, 0, &h.scratch)
	switch verdict {
	case answer.Reply:
		return h.reply(d, n)
	case answer.Later:
		return h.later(d)
	default:
		h.dropped++
		return 0
	}
}

// reply lets the n octets in d.Out leave, unless the client's network has had enough. What is proven by a cookie has
// no limit (RFC 7873, section 5.2.5).
func (h *udpReader) reply(d *udp.Datagram, n int) int {
	if h.limiter != nil && !h.scratch.Request.CookieValid {
		n = h.limit(d, n)
	}
	if n > 0 {
		h.replies.add(slotOf(&h.scratch))
	}
	return n
}

// later hands the message to the slow workers, or answers SERVFAIL when they have enough to do.
func (h *udpReader) later(d *udp.Datagram) int {
	p, now := d.Peer(), h.s.opts.Now()
	from := client{addr: p.Remote, sock: h.sock, local: p.Local}
	if h.s.slow.put(d.Msg, from, h.scratch.Request.TSIG, h.scratch.Request.CookieValid, now) {
		return 0
	}
	h.s.Counters.Limits.Hit(LimitSlowQueue)
	if h.scratch.Request.Opcode == dns.OpcodeUpdate {
		h.s.noteUpdate("", &from, true, now)
	}
	n := h.responder.Error(d.Msg, d.Out, false, 0, dns.RcodeServerFailure, nil, &h.scratch)
	return h.reply(d, n)
}

// workSlow answers the messages of one slow queue until it is closed.
func (s *Server) workSlow(queue *slowQueue) {
	w := newWorker()
	defer w.reader.Close()
	turns := turns{y: &s.yielder}
	for m := queue.next(&turns); m != nil; m = queue.next(&turns) {
		if reply := s.answerSlow(w, m.msg, &m.from, m.arrival); reply != nil {
			s.tapReply(reply, &m.from, m.at)
			m.from.datagram(reply)
		}
		s.slow.release(m)
	}
}

// lateReplies are the finished updates whose replies leave over UDP, or have no way back any more. A
// zone's writer puts them here; it must not wait, so the list has no bound of its own: the zones' queues
// bound it.
type lateReplies struct {
	mu struct {
		sync.Mutex
		done   []*pendingUpdate
		closed bool
	}
	wake chan struct{} // has room for one
}

func (l *lateReplies) put(u *pendingUpdate) {
	l.mu.Lock()
	l.mu.done = append(l.mu.done, u)
	l.mu.Unlock()
	wake(l.wake)
}

// close makes sendLate return when it has sent everything.
func (l *lateReplies) close() {
	l.mu.Lock()
	l.mu.closed = true
	l.mu.Unlock()
	wake(l.wake)
}

// sendLate builds, signs and sends late replies until close.
func (s *Server) sendLate() {
	w := newWorker()
	defer w.reader.Close()
	senders := map[*udp.Socket]*udp.Sender{}
	for _, listener := range s.listeners {
		for _, sock := range listener.sockets {
			senders[sock] = sock.NewSender()
		}
	}
	turns := turns{y: &s.yielder}
	var batch []*pendingUpdate
	for {
		l := &s.late
		l.mu.Lock()
		batch, l.mu.done = l.mu.done, batch[:0]
		closed := l.mu.closed
		l.mu.Unlock()
		for i, u := range batch {
			if reply := s.finishUpdate(w, u); reply != nil && u.from.sock != nil {
				s.tapReply(reply, &u.from, u.arrived)
				senders[u.from.sock].Add(reply, udp.Peer{Remote: u.from.addr, Local: u.from.local})
			}
			batch[i] = nil
			turns.step()
		}
		for _, x := range senders {
			x.Flush()
		}
		if len(batch) > 0 {
			continue
		}
		if closed {
			return
		}
		<-l.wake
		turns.rest()
	}
}

// wake sends to a channel that has room for one unless it is full.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
