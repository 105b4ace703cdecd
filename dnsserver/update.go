package dnsserver

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
	"dialtone/update"
	"dialtone/update/acl"
	"dialtone/update/sig0"
	"dialtone/update/tsig"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// update takes an UPDATE as far as its zone's queue: what is refused before that is answered at once,
// the rest by finishUpdate.
func (s *Server) update(t *task) []byte {
	u := &pendingUpdate{s: s, from: *t.from, sign: t.sign, arrived: t.arrived}
	u.keepHeader(t.msg, &t.w.scratch.Request)
	u.leaseForm = len(t.w.scratch.Request.Lease)
	err := s.submit(t, u)
	s.noteUpdate(u.signer(), t.from, err != nil && !errors.Is(err, errPending) && !errors.Is(err, errRepeated), t.now)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errPending):
		if u.from.conn != nil {
			// Over TCP every request gets an answer (RFC 7766, section 6.2.1).
			u.from.conn.inFlight.Add(1)
			if s.answered.await(u) {
				return nil
			}
			u.from.conn.landed()
			var known bool
			if u.first, known = s.answered.lookUp(u.digest); known {
				err = errRepeated
			} else {
				err = &update.Error{Rcode: dns.RcodeServerFailure, EDE: answer.EDEOther, Text: "the same update has just failed: try again"}
			}
			break
		}
		s.Counters.Dropped.Add(1) // the answer to the first is on its way
		return nil
	}
	u.result = zone.Committed{Err: err}
	mayLeave := errors.Is(err, errRepeated) || s.mayRefuse(t.from, &t.w.scratch, u.signer() != "")
	reply := s.finishUpdate(t.w, u)
	if !mayLeave {
		return nil
	}
	return reply
}

// errPending and errRepeated say that the same message was here before; of the
// latter pendingUpdate.first is the answer.
var (
	errPending  = errors.New("the update is being done")
	errRepeated = errors.New("the update was done before")
)

func (s *Server) submit(t *task, u *pendingUpdate) error {
	m := &u.m
	rec, err := sig0.Find(t.msg)
	if err != nil {
		return &update.Error{Rcode: dns.RcodeFormatError, EDE: answer.EDEOther, Text: err.Error()}
	}
	if err := s.worthReading(t, u, rec); err != nil {
		return err
	}
	if err := m.Parse(t.msg); err != nil {
		return err
	}
	u.parsed = true
	who, err := s.principal(t, u, rec)
	if n, limit := len(m.Prerequisites)+len(m.Updates), s.conf().Limits.UpdateRecords; err == nil && limit > 0 && n > limit {
		err = update.Beyond(LimitUpdateRecords.String(), fmt.Sprintf("the update has %d records, of at most %d (update_records)", n, limit))
	}
	if err == nil {
		err = update.Authorize(m, who, u.zone.o.ACL)
	}
	if err == nil && m.TookSource && m.Signature != nil {
		err = s.sources.check(m.Signature, t.from.addr.Addr().Unmap(), t.now)
	}
	if err == nil {
		err = s.begin(u, t.now)
	}
	if errors.Is(err, errPending) || errors.Is(err, errRepeated) {
		return err
	}
	if err == nil {
		err = s.senders.mayUpdate(who, t.now)
	}
	if err == nil && who.Claims {
		err = s.publicKeys.mayClaim(who, t.now)
	}
	if err != nil {
		s.Counters.UpdateDenied.Add(1)
		return err
	}
	if t.sign == nil { // else it was noted when the signature was verified
		s.slow.note(t.from.addr.Addr(), "", t.now)
	}
	u.sender, u.weight = s.senders.of(who), 1+len(t.msg)>>10
	m.Lease = u.askedLease(t.w.scratch.Request.Lease)
	if t.from.conn != nil {
		t.from.conn.inFlight.Add(1)
	}
	err = u.zone.z.Submit(u)
	if err != nil && t.from.conn != nil {
		t.from.conn.landed()
	}
	return err
}

// worthReading refuses an update whose records need not be read: a message of 64 KiB can have thousands, each with a
// name that takes as long to read as those of a whole usual update. It notes the zone.
func (s *Server) worthReading(t *task, u *pendingUpdate, rec *sig0.Record) error {
	m := &u.m
	if err := m.ParseZone(t.msg); err != nil {
		return err
	}
	z := s.zoneOf(m.Zone)
	if z == nil || m.Class != dns.ClassINET { // RFC 2136, section 3.1.1
		u.parsed = true
		return &update.Error{Rcode: dns.RcodeNotAuth, EDE: answer.EDENotAuthoritative, Text: "no such zone here"}
	}
	u.zone = z
	switch {
	case rec != nil && len(t.msg) > maxByKeyPair:
		u.parsed = true
		s.Counters.UpdateDenied.Add(1)
		return update.Refused(fmt.Sprintf("the update has %d octets: one that is signed by the key pair of a number has %d at most", len(t.msg), maxByKeyPair))
	case rec == nil && t.sign == nil && !z.o.ACL.MayUpdate(t.principal()):
		u.parsed = true
		s.Counters.UpdateDenied.Add(1)
		return update.Authorize(m, t.principal(), z.o.ACL)
	}
	return nil
}

// maxByKeyPair is far more than all that a number has. Who signs by a key pair is not known before the update is read.
const maxByKeyPair = 16 << 10

// principal tells who makes an update, and notes its signature.
func (s *Server) principal(t *task, u *pendingUpdate, rec *sig0.Record) (acl.Principal, error) {
	if rec != nil {
		var err error
		u.digest = digestOf(rec)
		if u.first, err = s.knownAnswer(u.digest); err != nil {
			return acl.Principal{}, err
		}
		who, sign, err := s.identify(t, u.zone, &u.m, rec)
		if err == nil {
			u.key, u.signature = who.Key, signatureOf(sign, who.Key, u.digest)
			u.m.Signature = &u.signature
		} else {
			u.claimed = who.Key
		}
		return who, err
	}
	if t.sign != nil {
		key := t.sign.Key()
		if signed := t.sign.TimeSigned(); t.now.Sub(signed).Abs() > maxSkew {
			// The newest time is kept: nobody may put it so far ahead that nothing can follow.
			return acl.Principal{}, &update.Error{Rcode: dns.RcodeNotAuth, Old: true, EDE: answer.EDEOther,
				Text: fmt.Sprintf("the update was signed %s from now: at most %s are taken, whatever its fudge", t.now.Sub(signed).Abs().Truncate(time.Second), maxSkew)}
		}
		// A MAC that is truncated further begins as it did (RFC 8945, section 5.2.2.1: with 10 octets at least).
		u.digest = binary.BigEndian.Uint64(t.sign.MAC())
		u.signature = update.Signature{
			Key: key, Time: uint32(min(max(t.sign.TimeSigned().Unix(), 0), 1<<32-1)), Digest: u.digest, Slack: s.slack(key),
		}
		u.m.Signature = &u.signature
	}
	return t.principal(), nil
}

// Took and Knows make a Server an update.Memory.
func (s *Server) Took(key rr.Name, before, signed uint32, shared bool) {
	s.answered.took(key, before, signed, shared, s.opts.Now())
}

// Knows is the other half.
func (s *Server) Knows(key rr.Name, signed uint32, shared bool) bool {
	return s.answered.knows(key, signed, shared)
}

// maxSkew is how far from now an update may be signed. Clients have a fudge of 5
// minutes (RFC 8945, section 10).
const maxSkew = 10 * time.Minute

// knownAnswer gives errRepeated for an update that was answered before. It comes before its signature is verified,
// which costs more: nothing is done for whoever sends it, and the answer is no secret.
func (s *Server) knownAnswer(digest uint64) (outcome, error) {
	if o, known := s.answered.lookUp(digest); known {
		return o, errRepeated
	}
	return outcome{}, nil
}

// begin looks whether a signed update was here before.
func (s *Server) begin(u *pendingUpdate, now time.Time) error {
	g := u.m.Signature
	if g == nil {
		return nil
	}
	first, known, pending := s.answered.begin(u.digest, now)
	switch {
	case pending:
		return errPending
	case known:
		u.first = first
		return errRepeated
	}
	u.began = true
	g.Memory = s
	return nil
}

// sharedSlack is how many seconds an update by a key that several clients may
// share can be older than the newest: those of a busy DHCP server overtake each
// other, and wait for different times when the disk is slow. It is for how long
// answers are remembered.
const sharedSlack = uint32(answeredFor / time.Second)

func (s *Server) slack(key rr.Name) uint32 {
	if late, ok := s.conf().SignedLate[key.Lower()]; ok {
		return uint32(late / time.Second)
	}
	return sharedSlack
}

// askedLease gives what the client is granted that asked for a lease (RFC 9664,
// section 4); nil when it did not.
func (u *pendingUpdate) askedLease(option []byte) *update.Lease {
	if len(option) < update.LeaseShort {
		return nil
	}
	lease := binary.BigEndian.Uint32(option)
	key := lease
	if len(option) == update.LeaseLong {
		key = binary.BigEndian.Uint32(option[update.LeaseShort:])
	}
	g := u.zone.limits.Lease.Grant(lease, key)
	return &g
}

// grantedLease is the option of the reply, in the form of the request's; nil
// when it had none.
func (u *pendingUpdate) grantedLease() []byte {
	if u.m.Lease == nil || u.m.NotLeased {
		return nil
	}
	b := binary.BigEndian.AppendUint32(nil, u.m.Lease.Seconds)
	if u.leaseForm == update.LeaseLong {
		b = binary.BigEndian.AppendUint32(b, u.m.Lease.Key)
	}
	return b
}

// pendingUpdate is an update on its way through its zone's queue, and then its result on the way to the
// reply.
type pendingUpdate struct {
	s       *Server
	from    client
	sign    *tsig.Context
	arrived time.Time

	zone   *servedZone
	m      update.Message
	parsed bool // m is whole
	notes  []update.Note

	sender uint64 // whose turn it takes
	weight int    // 1 and the KiB that it has

	key       rr.Name // of a SIG(0)
	claimed   rr.Name // of a SIG(0) that failed
	digest    uint64  // of the signature
	signature update.Signature
	began     bool    // it is in Server.answered
	first     outcome // with errRepeated, what it was answered
	leaseForm int     // octets of the lease option; 0: there was none

	result zone.Committed

	header [headerLen + optLen]byte
	kept   int // octets of header
}

// Author tells the zone's writer who makes the update.
func (u *pendingUpdate) Author() rr.Author { return u.m.Author() }

// Evaluate is called by the zone's writer.
func (u *pendingUpdate) Evaluate(d *zone.Draft) error {
	notes, err := update.Evaluate(d, &u.m, u.zone.limits)
	u.notes = notes
	if now := u.s.opts.Now(); u.began && now.Sub(u.arrived) > answeredFor/2 {
		u.s.answered.keep(u.digest, now)
	}
	return err
}

// Sender tells the zone's queue whose turn the update takes.
func (u *pendingUpdate) Sender() (id uint64, weight int) { return u.sender, u.weight }

// Names tells the zone's writer which names the update looks at, so that it can ask memory for them.
func (u *pendingUpdate) Names(add func(owner rr.Name)) {
	last := rr.Name("")
	for i := range u.m.Updates[:min(len(u.m.Updates), 8)] {
		if owner := u.m.Updates[i].Owner; owner != last {
			add(owner)
			last = owner
		}
	}
}

// Done is called by the zone's writer, which must not be kept waiting.
func (u *pendingUpdate) Done(c zone.Committed) {
	u.result = c
	if u.from.conn != nil {
		u.from.conn.finished(u)
		return
	}
	u.s.late.put(u)
}

// clientCookieLen is what of a cookie its reply depends on (RFC 7873, section 4).
const clientCookieLen = 8

// optLen is the length of an OPT record with an empty NSID option and a client cookie.
const optLen = 11 + 4 + 4 + clientCookieLen

// keepHeader keeps what the reply depends on: the header and what the client's OPT asked for. A message
// of 64 KiB is not kept for that.
func (u *pendingUpdate) keepHeader(msg []byte, rq *answer.Request) {
	h := append(u.header[:0], msg[:4]...)
	h = append(h, 0, 0, 0, 0, 0, 0, 0, 0)
	if rq.OPT {
		h[11] = 1
		h = append(h, 0, 0, byte(dns.TypeOPT), byte(rq.Size>>8), byte(rq.Size), 0, 0, 0, 0, 0, 0)
		if rq.DO {
			h[headerLen+7] = 0x80
		}
		if rq.NSID {
			h[headerLen+10] += 4
			h = append(h, 0, dns.EDNS0NSID, 0, 0)
		}
		if rq.Cookie != nil {
			h[headerLen+10] += 4 + clientCookieLen
			h = append(h, 0, dns.EDNS0COOKIE, 0, clientCookieLen)
			h = append(h, rq.Cookie[:clientCookieLen]...)
		}
	}
	u.kept = len(h)
}

// finishUpdate builds the reply to an update in w, and writes its log line. It is called once for each
// update, by a goroutine that may take its time.
func (s *Server) finishUpdate(w *worker, u *pendingUpdate) []byte {
	now := s.opts.Now()
	o := s.outcome(u)
	s.countUpdate(u, o.rcode)
	s.instruments.updateTime.Observe(max(0, now.Sub(u.arrived)).Seconds())
	s.logUpdate(u, o.rcode, o.ede)
	old := u.isOld()
	if u.began {
		if old || o.rcode == dns.RcodeServerFailure || errors.Is(u.result.Err, zone.ErrFrozen) {
			s.answered.forget(u.digest) // it may be sent again and succeed
		} else {
			s.answered.end(u.digest, o, now)
		}
		for _, copied := range s.answered.waited(u.digest) {
			copied.first, copied.result = o, zone.Committed{Err: errRepeated}
			copied.from.conn.finished(copied)
		}
	}
	if old && u.sign != nil {
		return s.writeReply(w, u, o, u.sign.Older(), now)
	}
	return s.writeReply(w, u, o, u.sign, now)
}

// isOld tells whether the update was signed before another that was taken.
func (u *pendingUpdate) isOld() bool {
	var e *update.Error
	return errors.As(u.result.Err, &e) && e.Old
}

// signer is the name of the key that signed the update; "" for none.
func (u *pendingUpdate) signer() rr.Name { return cmp.Or(u.key, u.sign.Key()) }

// signer signs a reply: a *tsig.Context, or the *tsig.Error of one that failed.
type signer interface {
	Overhead() int
	SignReply(reply []byte, now time.Time) []byte
}

func (s *Server) writeReply(w *worker, u *pendingUpdate, o outcome, sign signer, now time.Time) []byte {
	w.scratch.Client = &u.from
	n := s.conf().responder.UpdateReply(u.header[:u.kept], w.out(), u.from.tcp(), sign.Overhead(), o.rcode, o.lease, o.ede, &w.scratch)
	if n == 0 {
		return nil
	}
	return sign.SignReply(w.out()[:n], now)
}

// outcome maps the result to what is answered. It is the only place that does.
func (s *Server) outcome(u *pendingUpdate) outcome {
	if errors.Is(u.result.Err, errRepeated) {
		return u.first
	}
	rcode, ede := s.result(u)
	o := outcome{rcode: rcode, ede: ede}
	if rcode == dns.RcodeSuccess { // RFC 9664, section 4.3
		o.lease = u.grantedLease()
	}
	return o
}

// result maps the result of an update to RCODE and extended error.
func (s *Server) result(u *pendingUpdate) (rcode uint16, ede *answer.EDE) {
	var refused *update.Error
	err := u.result.Err
	switch {
	case err == nil:
		if text := update.EDEText(u.notes); text != "" {
			return dns.RcodeSuccess, &answer.EDE{Code: answer.EDEOther, Text: text}
		}
		return dns.RcodeSuccess, nil
	case errors.As(err, &refused):
		if refused.Text == "" {
			return refused.Rcode, nil
		}
		return refused.Rcode, &answer.EDE{Code: refused.EDE, Text: refused.Text}
	case errors.Is(err, zone.ErrQueueShare):
		return dns.RcodeServerFailure, &answer.EDE{Code: answer.EDEOther, Text: "too many updates of this sender are waiting (update_queue): try again later"}
	case errors.Is(err, zone.ErrAllFull):
		return dns.RcodeServerFailure, &answer.EDE{Code: answer.EDEOther, Text: "too many updates are waiting (update_queue_total): try again later"}
	case errors.Is(err, zone.ErrQueueFull):
		return dns.RcodeServerFailure, &answer.EDE{Code: answer.EDEOther, Text: "too many updates are waiting (update_queue): try again later"}
	case errors.Is(err, zone.ErrZoneFull):
		return dns.RcodeRefused, &answer.EDE{Code: answer.EDEProhibited, Text: fmt.Sprintf("zone %s would have more than %d records (max_records)", u.zone.o.Apex, u.zone.o.MaxRecords)}
	case errors.Is(err, zone.ErrClosed):
		return dns.RcodeServerFailure, &answer.EDE{Code: answer.EDENotReady, Text: "the server is stopping"}
	case errors.Is(err, zone.ErrFrozen):
		return dns.RcodeRefused, &answer.EDE{Code: answer.EDEOther, Text: "the zone is frozen while its operator works at it: try again later"}
	case errors.Is(err, zone.ErrStore):
		return dns.RcodeServerFailure, &answer.EDE{Code: answer.EDEOther, Text: "the change could not be stored"}
	case errors.Is(err, zone.ErrTooBig), errors.Is(err, zone.ErrSerial):
		return dns.RcodeServerFailure, &answer.EDE{Code: answer.EDEOther, Text: err.Error()}
	default:
		return dns.RcodeServerFailure, nil
	}
}

func (s *Server) countUpdate(u *pendingUpdate, rcode uint16) {
	c := &s.Counters
	c.Updates[rcode&15].Add(1)
	of := &s.unzoned
	if u.zone != nil {
		of = u.zone.updates
	}
	of.add(u.m.Rule(), rcode, 1)
	switch err := u.result.Err; {
	case err == nil && !u.result.Changed:
		c.UpdatesUnneeded.Add(1)
	case errors.Is(err, zone.ErrQueueFull):
		c.Limits.Hit(queueLimit(err))
	case errors.Is(err, zone.ErrStore):
		c.UpdateStoreDown.Add(1)
	case errors.Is(err, zone.ErrZoneFull):
		c.Limits.Hit(LimitZoneRecords)
	case err != nil:
		c.Limits.hitOf(err)
	}
}
