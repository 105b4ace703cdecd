package dnsserver

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
	"dialtone/dnsserver/ratelimit"
	"dialtone/dnsserver/udp"
	"dialtone/zone/rr"
)

// limitedResponses counts responses that were limited, whatever limiter was in force.
type limitedResponses struct {
	by      [ratelimit.Classes][ratelimit.Verdicts]atomic.Uint64
	evicted atomic.Uint64 // accounts that made room for others in a full table
}

// Of gives a count.
func (c *limitedResponses) Of(class ratelimit.Class, v ratelimit.Verdict) uint64 {
	return c.by[class][v].Load()
}

// inAll counts the responses that were dropped or slipped.
func (c *limitedResponses) inAll() (n uint64) {
	for class := range ratelimit.Classes {
		n += c.Of(ratelimit.Class(class), ratelimit.Drop) + c.Of(ratelimit.Class(class), ratelimit.Slip)
	}
	return n
}

// add moves a tally here.
func (c *limitedResponses) add(t *ratelimit.Tally) {
	for class := range t.Limited {
		for v, n := range t.Limited[class] {
			if n > 0 {
				c.by[class][v].Add(uint64(n))
			}
		}
	}
	if t.Evicted > 0 {
		c.evicted.Add(uint64(t.Evicted))
	}
	*t = ratelimit.Tally{}
}

// SetRateLimit replaces the rate limits of responses for what is read from now on; what networks owed is forgotten.
// It may be called at any time.
func (s *Server) SetRateLimit(o ratelimit.Options) {
	if !o.On() {
		s.limiter.Store(nil)
		return
	}
	s.limiter.Store(ratelimit.New(o, s.opts.Now()))
}

// tickLimiter keeps the clock of the limiter in force right. last is what it gave the time before.
func (s *Server) tickLimiter(last *ratelimit.Limiter, now time.Time) *ratelimit.Limiter {
	l := s.limiter.Load()
	if last != nil && last != l {
		last.End(s.logLimit)
	}
	if l != nil {
		l.Tick(now, s.logLimit)
	}
	return l
}

// limit decides about the reply of n octets that stands in d.Out. It allocates nothing.
func (h *udpReader) limit(d *udp.Datagram, n int) int {
	switch h.limiter.Take(d.Addr(), h.scratch.Response(d.Msg), &h.limited) {
	case ratelimit.Drop:
		return 0
	case ratelimit.Slip:
		return h.responder.Slip(d.Msg, d.Out, &h.scratch)
	}
	return n
}

// mayRefuse tells whether an error may leave for a message that was answered later than on the spot. It is counted
// like the errors of queries unless the client is proven, by TCP, a cookie or a good signature.
func (s *Server) mayRefuse(from *client, scratch *answer.Scratch, proven bool) bool {
	return s.mayLeave(ratelimit.Response{Class: ratelimit.Errors}, from, scratch, proven)
}

// mayLeave is mayRefuse for any response that cannot be cut short.
func (s *Server) mayLeave(r ratelimit.Response, from *client, scratch *answer.Scratch, proven bool) bool {
	l := s.limiter.Load()
	if l == nil || proven || from.tcp() || scratch.Request.CookieValid {
		return true
	}
	var tally ratelimit.Tally
	r.NoSlip = true
	v := l.Take(from.Addr().WithZone(""), r, &tally)
	if tally.Any {
		s.Counters.Limited.add(&tally)
	}
	return v != ratelimit.Drop
}

// logLimit writes a line about a network whose limiting begins or has ended.
func (s *Server) logLimit(e ratelimit.Event) {
	text := "responses limited"
	if e.Ended {
		text = "responses limited no more"
	}
	attrs := []slog.Attr{
		slog.String("op", "rate_limit"), slog.String("network", e.Network.String()), slog.String("class", e.Class.String()),
	}
	if len(e.Name) > 0 {
		name := rr.Name(e.Name).String()
		if e.Wildcard {
			name = "*." + name
		}
		attrs = append(attrs, slog.String("name", name))
	}
	if e.Response == ratelimit.Answers {
		attrs = append(attrs, slog.String("type", dns.Type(e.QType).String()))
	}
	if e.Unlogged > 0 {
		attrs = append(attrs, slog.Uint64("unlogged", e.Unlogged))
	}
	if e.LogOnly {
		attrs = append(attrs, slog.Bool("log_only", true))
	}
	s.log.LogAttrs(context.Background(), slog.LevelInfo, text, attrs...)
}

func (s *Server) collectRateLimit(e exporter) {
	const help = "Responses over UDP that were limited, by the class whose rate was passed and what became of them."
	for class := range ratelimit.Classes {
		for v := ratelimit.Drop; int(v) < ratelimit.Verdicts; v++ {
			c := ratelimit.Class(class)
			e.count("responses_limited_total", help, s.Counters.Limited.Of(c, v), "class", c.String(), "action", v.String())
		}
	}
	e.count("rate_limit_evicted_total", "Accounts of rate limits that made room for others: table_size is too small.", s.Counters.Limited.evicted.Load())
	used, size := 0, 0
	if l := s.limiter.Load(); l != nil {
		used, size = l.InUse(), l.Size()
	}
	e.gauge("rate_limit_table_used", "Accounts of rate limits that are in use.", float64(used))
	e.gauge("rate_limit_table_size", "Accounts of rate limits that there is room for; 0 when nothing is limited.", float64(size))
}
