package dnsserver

import (
	"net/netip"
	"sync"

	"dialtone/dnsserver/answer"
	"dialtone/dnsserver/udp"
	"dialtone/zone"
)

// frameLen is the length in front of a message over TCP (RFC 1035, section 4.2.2). Replies are built
// behind room for it, whatever they leave by.
const frameLen = 2

// maxMessage is the largest message.
const maxMessage = 65535

// worker is the memory of one goroutine while it answers one message.
type worker struct {
	reader  *zone.Reader
	scratch answer.Scratch
	frame   []byte // frameLen octets, then the reply

	messages int // of connections
}

// out is where the reply goes.
func (w *worker) out() []byte { return w.frame[frameLen:] }

// workers is a free list. It is not a sync.Pool, since a reader that the pool forgets would stay
// registered for ever. It grows to the number of goroutines that answer at the same time; nobody holds
// a worker while waiting for a peer.
type workers struct {
	mu struct {
		sync.Mutex
		free   []*worker
		closed bool
	}
}

func newWorker() *worker {
	return &worker{reader: zone.NewReader(), frame: make([]byte, frameLen+maxMessage)}
}

func (p *workers) get() *worker {
	p.mu.Lock()
	if n := len(p.mu.free); n > 0 {
		w := p.mu.free[n-1]
		p.mu.free = p.mu.free[:n-1]
		p.mu.Unlock()
		return w
	}
	p.mu.Unlock()
	return newWorker()
}

func (p *workers) put(w *worker) {
	w.scratch.Client = nil
	p.mu.Lock()
	keep := !p.mu.closed
	if keep {
		p.mu.free = append(p.mu.free, w)
	}
	p.mu.Unlock()
	if !keep {
		w.reader.Close()
	}
}

func (p *workers) close() {
	p.mu.Lock()
	free := p.mu.free
	p.mu.free, p.mu.closed = nil, true
	p.mu.Unlock()
	for _, w := range free {
		w.reader.Close()
	}
}

// client is who sent a message, and the way back for a reply that comes later.
type client struct {
	addr netip.AddrPort
	conn *conn // TCP

	sock  *udp.Socket // UDP
	local netip.Addr  // of ours that was asked, on wildcard sockets
}

// Addr makes a client an answer.Client.
func (c *client) Addr() netip.Addr { return c.addr.Addr() }

func (c *client) tcp() bool { return c.conn != nil }

func (c *client) proto() string {
	if c.conn != nil {
		return "tcp"
	}
	return "udp"
}

// datagram sends a reply over UDP. Faults are counted by the socket; there is nobody to tell.
func (c *client) datagram(msg []byte) {
	_ = c.sock.Send(msg, udp.Peer{Remote: c.addr, Local: c.local})
}
