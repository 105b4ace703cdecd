package dnsserver

import (
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
	"dialtone/dnsserver/tap"
	"dialtone/dnsserver/udp"
	"dialtone/zone/rr"
)

// What watches messages: dnstap, and the sample of queries in the log. Where both are off, a query costs one look
// at a flag that is never written.

// watched answers a datagram and shows it to who watches.
func (h *udpReader) watched(d *udp.Datagram) int {
	begun, p := time.Now(), d.Peer()
	from := client{addr: p.Remote, sock: h.sock, local: p.Local}
	if h.s.tap != nil {
		h.s.tap.Request(d.Msg, h.s.peer(&from), begun)
	}
	n := h.answer(d)
	if n == 0 {
		return 0
	}
	h.s.tapReply(d.Out[:n], &from, begun)
	if q := &h.s.queries; q.every > 0 && isQuery(d.Msg) {
		if h.seen++; h.seen >= q.every {
			h.seen = 0
			q.put(d.Msg, from, "", &h.scratch, n, time.Since(begun))
		}
	}
	return n
}

func isQuery(msg []byte) bool { return len(msg) >= headerLen && msg[2]>>3&15 == dns.OpcodeQuery }

// sample logs a query if it is its turn. Its reply has n octets and is the one that was last written with w.
func (s *Server) sample(msg []byte, from *client, key rr.Name, w *answer.Scratch, n int, begun time.Time) {
	if isQuery(msg) && s.queries.next() {
		s.queries.put(msg, *from, key, w, n, time.Since(begun))
	}
}

// peer is what dnstap tells of a client.
func (s *Server) peer(c *client) tap.Peer {
	p := tap.Peer{Remote: c.addr, TCP: c.tcp()}
	switch {
	case c.conn != nil:
		if a, ok := c.conn.nc.LocalAddr().(*net.TCPAddr); ok {
			p.Local = a.AddrPort()
		}
	case c.sock != nil:
		p.Local = c.sock.Addr()
		if c.local.IsValid() {
			p.Local = netip.AddrPortFrom(c.local, p.Local.Port())
		}
	}
	return p
}

// tapReply shows dnstap a reply to what was asked then; nil: there is none.
func (s *Server) tapReply(msg []byte, to *client, asked time.Time) {
	if s.tap != nil && msg != nil {
		s.tap.Response(msg, s.peer(to), asked, time.Now())
	}
}

// newTap is nil where dnstap is off.
func (s *Server) newTap() (*tap.Tap, error) {
	if s.opts.Tap == nil {
		return nil, nil
	}
	o := *s.opts.Tap
	o.Identity, o.Version, o.Logger = s.conf().ServerID, s.opts.Version, s.log
	t, err := tap.New(o)
	if err != nil {
		return nil, &TapError{err}
	}
	return t, nil
}

func (s *Server) collectWatched(e exporter) {
	e.count("query_log_dropped_total", "Sampled queries that were not logged, since the log was slower.", s.queries.dropped.Load())
	if s.tap != nil {
		e.count("dnstap_written_total", "Messages that were written as dnstap.", s.tap.Counters.Written.Load())
		e.count("dnstap_dropped_total", "Messages that were not, since the reader was slower, or away, or the file full.", s.tap.Counters.Dropped.Load())
	}
}
