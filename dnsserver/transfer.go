package dnsserver

import (
	"bytes"
	"errors"
	"log/slog"
	"runtime"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
	"dialtone/dnsserver/ratelimit"
	"dialtone/dnsserver/transfer"
	"dialtone/update/acl"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

// transfer answers AXFR and IXFR. Over TCP the transfer runs in a goroutine of its own; over UDP it is
// one datagram at most.
func (s *Server) transfer(t *task) []byte {
	rq, err := transfer.Parse(t.msg)
	if err != nil {
		return s.refuseTransfer(t, "", nil, err)
	}
	rq.Remote, rq.TCP = t.from.addr.Addr(), t.from.tcp()
	rq.Cookie = s.conf().responder.AppendCookie(nil, &t.w.scratch)
	z := s.zoneOf(rq.Zone)
	if z == nil {
		// RFC 5936, section 2.2.1.
		return s.refuseTransfer(t, rq.Zone, rq, &transfer.Error{Rcode: dns.RcodeNotAuth, EDE: answer.EDENotAuthoritative})
	}
	if d := z.o.ACL.Decide(acl.Transfer, t.principal()); !d.Allowed {
		s.Counters.TransferDenied.Add(1)
		return s.denyTransfer(t, rq.Zone, rq, &transfer.Error{Rcode: dns.RcodeRefused, EDE: answer.EDEProhibited, Text: d.Text})
	}
	job := &transferJob{s: s, rq: rq, z: z, sign: t.sign, from: *t.from}
	if !rq.TCP {
		return s.transferUDP(t, job)
	}
	// The connection's buffers are used again while the transfer runs.
	job.msg = bytes.Clone(t.msg)
	t.from.conn.inFlight.Add(1)
	s.transfers.Go(job.run)
	return nil
}

func (s *Server) transferUDP(t *task, j *transferJob) []byte {
	// A secondary's address is no secret.
	like := ratelimit.Response{Class: ratelimit.Answers, QType: j.rq.Type, Name: []byte(j.rq.Zone.Lower())}
	if !s.mayLeave(like, t.from, &t.w.scratch, t.sign.Key() != "") {
		return nil
	}
	err := j.serve(func(msg []byte) error {
		t.from.datagram(msg)
		return nil
	})
	var refused *transfer.Error
	if errors.As(err, &refused) {
		return s.refuseTransfer(t, j.rq.Zone, j.rq, refused)
	}
	return nil
}

// yield lets queries run beside transfers. As long as there are more processors than transfers, one of
// them looks at the sockets anyway.
func (s *Server) yield() {
	if int(s.transferServer.Counters.Active.Load()) < runtime.GOMAXPROCS(0) {
		runtime.Gosched()
		return
	}
	s.yielder.yield()
}

// refuseTransfer answers a transfer that did not begin, denyTransfer one that the access list denies.
func (s *Server) refuseTransfer(t *task, apex rr.Name, rq *transfer.Request, err error) []byte {
	return s.noTransfer(t, apex, rq, err, false)
}

func (s *Server) denyTransfer(t *task, apex rr.Name, rq *transfer.Request, err error) []byte {
	return s.noTransfer(t, apex, rq, err, true)
}

func (s *Server) noTransfer(t *task, apex rr.Name, rq *transfer.Request, err error, denied bool) []byte {
	rcode, ede := transferOutcome(err)
	op := "transfer"
	if rq != nil {
		op = opName(rq)
	}
	s.instruments.transferRefused(op, denied, err)
	s.event(slog.LevelInfo, "transfer refused", op, t.from, t.sign.Key(), apex, 0, rcode, slog.Any("err", err))
	return s.refuse(t, rcode, ede)
}

// transferOutcome maps an error of package transfer to RCODE and extended error.
func transferOutcome(err error) (uint16, *answer.EDE) {
	var refused *transfer.Error
	if !errors.As(err, &refused) {
		return dns.RcodeServerFailure, nil
	}
	if refused.Text == "" && refused.EDE == 0 {
		return refused.Rcode, nil
	}
	return refused.Rcode, &answer.EDE{Code: refused.EDE, Text: refused.Text}
}

func opName(rq *transfer.Request) string {
	if rq.Type == dns.TypeIXFR {
		return "ixfr"
	}
	return "axfr"
}

// transferJob is one transfer.
type transferJob struct {
	s    *Server
	rq   *transfer.Request
	z    *servedZone
	sign *tsig.Context
	from client
	msg  []byte // the request, for an error reply
}

// run sends a transfer over its TCP connection.
func (j *transferJob) run() {
	s, c := j.s, j.from.conn
	defer c.landed()
	err := j.serve(c.sendStream)
	var refused *transfer.Error
	switch {
	case err == nil:
	case errors.As(err, &refused):
		w := s.workers.get()
		w.scratch.Client = &j.from
		t := &task{w: w, msg: j.msg, from: &j.from, sign: j.sign, now: s.opts.Now()}
		if reply := s.refuseTransfer(t, j.rq.Zone, j.rq, refused); reply != nil {
			c.queue(reply)
		}
		s.workers.put(w)
	default:
		// What the client got is not whole, and nothing else could tell it so.
		c.close()
	}
}

// serve sends the transfer and writes its log line.
func (j *transferJob) serve(send func([]byte) error) error {
	// What comes over UDP without a signature may be from anybody, and what is sent by it may be lost.
	if j.rq.Type == dns.TypeIXFR && (j.rq.TCP || j.sign != nil) {
		j.note(j.rq.Serial, transfer.Stated)
	}
	begun := time.Now()
	stats, err := j.s.transferServer.Serve(j.s.ctx, j.rq, j.z.z, j.sign.Stream(), send)
	var refused *transfer.Error
	if errors.As(err, &refused) {
		return err
	}
	if err == nil && j.rq.TCP && stats.Style != transfer.Single {
		j.note(stats.Serial, transfer.Sent)
	}
	j.s.instruments.transferred(opName(j.rq), stats, err, time.Since(begun))
	level, text := slog.LevelInfo, "transfer"
	more := []slog.Attr{
		slog.String("style", stats.Style.String()), slog.Int("messages", stats.Messages),
		slog.Int("records", stats.Records), slog.Int64("octets", stats.Octets),
	}
	if err != nil {
		level, text = slog.LevelWarn, "transfer cut short"
		more = append(more, slog.Any("err", err))
	}
	j.s.event(level, text, opName(j.rq), &j.from, j.sign.Key(), j.rq.Zone, stats.Serial, dns.RcodeSuccess, more...)
	return err
}

// note remembers which serial the client has.
func (j *transferJob) note(serial uint32, by transfer.Evidence) {
	j.s.copies.Note(j.z.z, j.from.addr.Addr(), j.sign.Key(), serial, by, j.s.opts.Now())
}
