package dnsserver

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// queryLog logs one in so many queries. The lines are written by a goroutine of its own, so that a slow reader
// of the log delays no answer: what it cannot keep up with is dropped and counted.
type queryLog struct {
	every   uint32 // 0: off
	seen    atomic.Uint32
	queue   chan *sampledQuery
	dropped atomic.Uint64
}

// sampledQuery is what is logged of a query.
type sampledQuery struct {
	from     client
	key      rr.Name
	name     rr.Name // "": the message has no question that can be read
	qtype    uint16
	rcode    uint16
	octets   int // of the reply
	duration time.Duration
}

// queryLogQueue is how many lines may wait to be written.
const queryLogQueue = 1024

func (q *queryLog) init(every int) {
	q.every = uint32(every)
	q.queue = make(chan *sampledQuery, queryLogQueue)
}

// next tells whether the query at hand is to be logged. It is for those of TCP and the signed ones; readers of UDP count
// by themselves.
func (q *queryLog) next() bool { return q.every > 0 && q.seen.Add(1)%q.every == 0 }

// put notes a query that was answered with the reply that was last written with w.
func (q *queryLog) put(msg []byte, from client, key rr.Name, w *answer.Scratch, octets int, took time.Duration) {
	x := &sampledQuery{from: from, key: key, qtype: w.Request.QType, rcode: w.Rcode(), octets: octets, duration: took}
	if w.Request.QuestionEnd > 0 {
		x.name = rr.Name(msg[headerLen : w.Request.QuestionEnd-4])
	}
	select {
	case q.queue <- x:
	default:
		q.dropped.Add(1)
	}
}

// logQueries writes lines until the queue is closed.
func (s *Server) logQueries() {
	for x := range s.queries.queue {
		s.logQuery(x)
	}
}

// logQuery writes the line of one query: its fields have the order of those of updates, and of these the ones
// that a query has.
func (s *Server) logQuery(x *sampledQuery) {
	apex, number := "", ""
	if x.name != "" {
		var q zone.QName
		q.SetName(x.name)
		if z := s.zones.Find(&q, x.qtype); z != nil {
			apex = z.Apex().String()
			if len(x.name) > len(z.Apex()) {
				number = labelText(x.name.TopLabel(z.Apex()))
			}
		}
	}
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "query",
		slog.String("op", "query"), slog.String("remote", x.from.addr.String()), slog.String("proto", x.from.proto()),
		slog.String("key", nameText(x.key)), slog.String("zone", apex), slog.String("number", number), slog.String("rcode", rcodeName(int(x.rcode))),
		slog.Duration("duration", x.duration), slog.String("name", nameText(x.name)), slog.String("type", dns.Type(x.qtype).String()),
		slog.Int("octets", x.octets))
}
