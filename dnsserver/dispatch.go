package dnsserver

import (
	"errors"
	"log/slog"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
	"dialtone/update/acl"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

// task is one message on the slow path.
type task struct {
	w    *worker
	msg  []byte // less its TSIG
	from *client
	sign *tsig.Context // nil: the request was not signed
	now  time.Time

	arrived time.Time
}

// arrival is what is known of a message before its signature is verified.
type arrival struct {
	at       time.Time
	proven   bool // its address is no forgery
	stranger bool // it is signed by a key that has signed nothing right of late where it comes from
}

// principal is who asks, as far as it is proven. Respond has read the message before.
func (t *task) principal() acl.Principal {
	return acl.Principal{
		Address: t.from.addr.Addr().WithZone(""), Key: t.sign.Key(),
		Proven: t.from.tcp() || t.w.scratch.Request.CookieValid,
	}
}

// answerSlow answers what Respond called Later. It returns the reply, which stands in w's frame and is good
// until w is used again, or nil if there is none or it comes later. It changes msg.
func (s *Server) answerSlow(w *worker, msg []byte, from *client, as arrival) []byte {
	w.scratch.Client = from
	now := s.opts.Now()
	if as.stranger && !s.strangers.take(as.proven, now) {
		s.Counters.Limits.Hit(LimitTSIGVerifications)
		return s.unverified(w, msg, from, errStrangers, now)
	}
	// A key that is taken back has signed nothing that comes into a queue later: see keyChanged.
	s.verifying.RLock()
	sign, err := s.keys.Verify(msg, now)
	if err == nil && msg[2]>>3&15 == dns.OpcodeUpdate {
		defer s.verifying.RUnlock()
	} else {
		s.verifying.RUnlock()
	}
	if err != nil {
		return s.unverified(w, msg, from, err, now)
	}
	if sign != nil {
		s.slow.note(from.addr.Addr(), sign.Key(), now)
	}
	t := &task{w: w, msg: sign.Strip(msg), from: from, sign: sign, now: now, arrived: as.at}
	w.reader.Begin()
	n, verdict := s.conf().responder.Respond(t.msg, w.out(), from.tcp(), sign.Overhead(), &w.scratch)
	w.reader.End()
	switch verdict {
	case answer.Reply:
		reply := s.signed(t, n)
		s.sample(t.msg, from, sign.Key(), &w.scratch, len(reply), as.at)
		return reply
	case answer.Drop:
		s.Counters.Dropped.Add(1)
		return nil
	}
	switch w.scratch.Request.Opcode {
	case dns.OpcodeQuery:
		return s.transfer(t)
	case dns.OpcodeUpdate:
		return s.update(t)
	case dns.OpcodeNotify:
		return s.notify(t)
	default:
		return s.refuse(t, dns.RcodeNotImplemented, nil)
	}
}

// errStrangers refuses a message before its signature is looked at.
var errStrangers error = tsig.Unavailable(errors.New("too many signatures are to be verified, of senders that have signed nothing of late (tsig_verifications)"))

// signed finishes a reply of n octets that was built for t.
func (s *Server) signed(t *task, n int) []byte {
	if n == 0 {
		return nil
	}
	s.countReply(t.w, t.from)
	return t.sign.SignReply(t.w.out()[:n], t.now)
}

// refuse answers t with an RCODE and no data.
func (s *Server) refuse(t *task, rcode uint16, ede *answer.EDE) []byte {
	if !s.mayRefuse(t.from, &t.w.scratch, t.sign.Key() != "") {
		return nil
	}
	n := s.conf().responder.Error(t.msg, t.w.out(), t.from.tcp(), t.sign.Overhead(), rcode, ede, &t.w.scratch)
	return s.signed(t, n)
}

// unverified answers a request whose TSIG failed (RFC 8945, section 5.2).
func (s *Server) unverified(w *worker, msg []byte, from *client, err error, now time.Time) []byte {
	var fault *tsig.Error
	if !errors.As(err, &fault) {
		fault = &tsig.Error{Rcode: dns.RcodeFormatError}
	}
	if err != errStrangers { // which says nothing of the signature
		s.Counters.TSIGFailed.Add(1)
	}
	if msg[2]>>3&15 == dns.OpcodeUpdate {
		s.noteUpdate("", from, true, now)
	}
	s.event(slog.LevelInfo, "TSIG refused", opTSIG, from, fault.Key, "", 0, fault.Rcode, slog.Any("err", err))
	if !s.mayRefuse(from, &w.scratch, fault.TSIGError == dns.RcodeBadTime) { // of which the MAC is right
		return nil
	}
	n := s.conf().responder.Error(msg, w.out(), from.tcp(), fault.Overhead(), fault.Rcode, nil, &w.scratch)
	if n == 0 {
		return nil
	}
	s.countReply(w, from)
	return fault.SignReply(w.out()[:n], now)
}

// notify answers a NOTIFY. The server is the primary of all its zones, so there is nothing to do: a
// zone that it does not serve is NOTAUTH, one that it does serve cannot have changed elsewhere.
func (s *Server) notify(t *task) []byte {
	s.Counters.NotifyRefused.Add(1)
	end := t.w.scratch.Request.QuestionEnd
	if end == 0 {
		return s.refuse(t, dns.RcodeFormatError, nil)
	}
	name, _, err := rr.UnpackName(t.msg, headerLen)
	if err != nil {
		return s.refuse(t, dns.RcodeFormatError, nil)
	}
	rcode := uint16(dns.RcodeRefused)
	ede := &answer.EDE{Code: answer.EDENotSupported, Text: "this server is the zone's primary"}
	if s.zoneOf(name) == nil {
		rcode = dns.RcodeNotAuth
		ede = &answer.EDE{Code: answer.EDENotAuthoritative}
	}
	s.event(slog.LevelInfo, "NOTIFY refused", "notify", t.from, t.sign.Key(), name, 0, rcode)
	return s.refuse(t, rcode, ede)
}

const headerLen = 12

// opTSIG is the op of log lines of signatures that were refused: the key of such a line is what somebody claims.
const opTSIG = "tsig"

// countReply counts the reply that was last written in w.
func (s *Server) countReply(w *worker, to *client) {
	s.Counters.Replies[protoIndex(to.tcp())][slotOf(&w.scratch)].Add(1)
}
