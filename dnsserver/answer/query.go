package answer

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"dialtone/dnsserver/ratelimit"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// typeNXNAME stands in NSEC bitmaps only (RFC 9824, section 2).
const typeNXNAME = 128

// maxLinks bounds a chain of aliases.
const maxLinks = 16

// query answers an unsigned message of opcode QUERY that parses.
func (r *Responder) query(msg []byte, tcp bool, s *Scratch) (int, Verdict) {
	q := &s.Request
	transfer := q.QType == dns.TypeAXFR || q.QType == dns.TypeIXFR
	switch {
	case q.Cookie != nil && msg[4] == 0 && msg[5] == 0: // RFC 7873, section 5.4
		return r.probe(msg, tcp, s)
	case q.QuestionEnd == 0: // RFC 9619, section 4
		return r.done(msg, dns.RcodeFormatError, s)
	case q.QType == typeNXNAME: // RFC 9824, section 3.5
		return r.refuse(msg, dns.RcodeFormatError, EDE{Code: EDEInvalidQueryType}, s)
	case rr.IsMetaType(q.QType) && q.QType != dns.TypeANY && !transfer: // RFC 8906, section 3.1.2
		return r.done(msg, dns.RcodeNotImplemented, s)
	case transfer && q.QClass == dns.ClassINET && !q.Trailing:
		return 0, Later
	}
	l := &s.lookup
	l.name.Set(msg[headerLen : q.QuestionEnd-4])
	if q.QClass == dns.ClassCHAOS {
		return r.chaos(msg, s)
	}
	z := r.zones.Find(&l.name, q.QType)
	switch {
	case z == nil && !transfer: // RFC 8914, section 4.21
		return r.refuse(msg, dns.RcodeRefused, EDE{Code: EDENotAuthoritative}, s)
	case q.QClass != dns.ClassINET:
		return r.refuse(msg, dns.RcodeRefused, EDE{Code: EDENotSupported}, s)
	case q.Trailing:
		return r.done(msg, dns.RcodeFormatError, s)
	}
	l.start(msg[headerLen : q.QuestionEnd-4])
	rcode := r.resolve(z, tcp, s)
	s.classify(z, rcode)
	return r.done(msg, rcode, s)
}

// Ahead asks memory for what a batch of messages, of any kind, may ask for.
func (r *Responder) Ahead(msgs [][]byte, a *zone.Ahead) {
	for _, m := range msgs {
		if len(m) > headerLen {
			a.Add(m[headerLen:])
		}
	}
	a.Ask(r.zones)
}

func (r *Responder) refuse(msg []byte, rcode uint16, e EDE, s *Scratch) (int, Verdict) {
	n := r.finishWith(msg, rcode, e, s)
	if n == 0 {
		return 0, Drop
	}
	return n, Reply
}

// chaos answers for the server itself (RFC 4892, section 2).
func (r *Responder) chaos(msg []byte, s *Scratch) (int, Verdict) {
	q, w, name := &s.Request, &s.w, &s.lookup.name
	text := ""
	switch string(name.Wire[:name.Len]) {
	case "\x02id\x06server\x00", "\x08hostname\x04bind\x00":
		text = r.serverID
	case "\x07version\x04bind\x00", "\x07version\x06server\x00":
		text = r.version
	}
	switch {
	case text == "" || q.QType != dns.TypeTXT && q.QType != dns.TypeANY:
		return r.done(msg, dns.RcodeRefused, s)
	case q.Trailing:
		return r.done(msg, dns.RcodeFormatError, s)
	}
	w.aa = true
	s.lookup.links = 0
	s.kind = kind{class: ratelimit.Answers, labels: name.Labels}
	start := w.pos
	if w.head(owner{at: headerLen}, dns.TypeTXT, dns.ClassCHAOS, 0) && w.pos+3+len(text) <= w.limit {
		w.u16(uint16(1 + len(text)))
		w.out[w.pos] = byte(len(text))
		w.pos += 1 + copy(w.out[w.pos+1:], text)
		w.count[secAnswer]++
	} else {
		w.pos = start
		w.truncate()
	}
	return r.done(msg, dns.RcodeSuccess, s)
}

// resolve writes the answer that begins in zone z, following aliases through
// all zones served (RFC 1034, section 4.3.2). The RCODE is that of the last
// link, AA that of the first owner (RFC 6604, sections 2.1 and 3).
func (r *Responder) resolve(z *zone.Zone, tcp bool, s *Scratch) (rcode uint16) {
	l, w, qtype := &s.lookup, &s.w, s.Request.QType
	for {
		v := l.view(z)
		v.Lookup(&l.name, qtype, &l.res)
		if l.links == 0 {
			w.aa = l.res.Outcome != zone.Referral
			s.kind.labels, s.kind.wildcard = l.res.OwnerLabels, l.res.Wildcard
		}
		follow := false
		switch l.res.Outcome {
		case zone.Answer:
			r.positive(v, tcp, s)
		case zone.NoData:
			s.negative(v)
		case zone.NXDomain:
			s.negative(v)
			return dns.RcodeNameError
		case zone.CNAME:
			follow = s.cname()
		case zone.DNAME:
			if follow, rcode = s.dname(); rcode != dns.RcodeSuccess {
				return rcode
			}
		case zone.Referral:
			r.referral(v, s)
		default:
			return dns.RcodeServerFailure
		}
		if !follow {
			return dns.RcodeSuccess
		}
		if z = r.zones.Find(&l.name, qtype); z == nil {
			// The rest of the chain is somebody else's to tell.
			return dns.RcodeSuccess
		}
	}
}

// positive writes what was asked for, and what will be asked for next.
func (r *Responder) positive(v zone.View, tcp bool, s *Scratch) {
	l, w := &s.lookup, &s.w
	o := l.owner(0)
	if s.Request.QType == dns.TypeANY {
		r.any(v, tcp, s)
		return
	}
	set := l.res.Set
	if !w.need(o, set, set.TTL()) {
		return
	}
	switch set.Type() {
	case dns.TypeSOA:
		s.sayExpire(set)
	case dns.TypeNS, dns.TypeMX, dns.TypeSRV, dns.TypeNAPTR, dns.TypeSVCB, dns.TypeHTTPS:
		s.beginExtra(tcp)
		r.additional(set, s)
	}
}

// beginExtra begins what an answer is complete without. Over UDP, who has not
// proven his address gets it within 512 octets only: nobody is sent more in
// another's name because of it.
func (s *Scratch) beginExtra(tcp bool) {
	w := &s.w
	w.section = secAdditional
	if !tcp && !s.Request.CookieValid {
		w.limit = min(w.limit, minSize-(w.size-w.limit))
	}
}

// any answers QTYPE ANY over UDP with the smallest RRset and over TCP with all
// of them (RFC 8482, sections 4.1 and 4.4).
func (r *Responder) any(v zone.View, tcp bool, s *Scratch) {
	l, w := &s.lookup, &s.w
	o := l.owner(0)
	if !tcp {
		set := pick(l.res.Node)
		if set.IsZero() {
			s.negative(v)
		} else {
			w.need(o, set, set.TTL())
		}
		return
	}
	c := l.res.Node.Sets()
	for set, ok := c.Next(); ok; set, ok = c.Next() {
		if !w.need(o, set, set.TTL()) {
			return
		}
	}
	w.section = secAdditional
	c = l.res.Node.Sets()
	for set, ok := c.Next(); ok; set, ok = c.Next() {
		r.additional(set, s)
	}
}

// pick chooses the RRset that stands for all of a node: the smallest, lest ANY
// be worth more to a forger than any other type.
func pick(n zone.Node) (best zone.Set) {
	c := n.Sets()
	for set, ok := c.Next(); ok; set, ok = c.Next() {
		if set.Type() != dns.TypeRRSIG && (best.IsZero() || set.Octets() < best.Octets()) {
			best = set
		}
	}
	return best
}

// negative writes the SOA record that tells how long a negative answer may be
// kept (RFC 2308, section 3); no NS beside it, or old resolvers would take it
// for a referral (RFC 2308, section 2.1.1).
func (s *Scratch) negative(v zone.View) {
	l := &s.lookup
	s.w.section = secAuthority
	s.w.need(l.owner(l.name.Labels-v.Zone().Apex().CountLabels()), v.SOA(), v.NegativeTTL())
}

// cname writes one link and makes its target the name to look up. It reports
// whether there is a next link to look for.
func (s *Scratch) cname() bool {
	l := &s.lookup
	l.seen(linkOwner, l.name.Wire[:l.name.Len])
	d := l.res.Set.Data()
	target, ok := d.Next()
	return ok && s.link(l.res.Set.TTL(), target)
}

// dname writes the DNAME, once in a message, and the CNAME made from it
// (RFC 6672, section 3.1).
func (s *Scratch) dname() (follow bool, rcode uint16) {
	l, w, set := &s.lookup, &s.w, s.lookup.res.Set
	first := l.name.Labels - l.res.OwnerLabels
	if !l.seen(dnameOwner, l.name.Suffix(l.res.OwnerLabels)) {
		w.need(l.owner(first), set, set.TTL())
	}
	d := set.Data()
	to, _ := d.Next()
	prefix := int(l.name.Off[first])
	if prefix+len(to) > rr.MaxName {
		return false, dns.RcodeYXDomain // RFC 6672, section 2.2
	}
	target := l.room[l.links&1][:prefix+len(to)]
	copy(target[copy(target, l.current[:prefix]):], to)
	l.seen(linkOwner, l.name.Wire[:l.name.Len])
	follow = s.link(set.TTL(), target)
	if t := s.Request.QType; t == dns.TypeCNAME || t == dns.TypeANY {
		// The record made is itself what was asked for.
		return false, dns.RcodeSuccess
	}
	return follow, dns.RcodeSuccess
}

// link writes the CNAME record of the current name and goes on to its target.
// The chain ends here when it has too many links or is a loop.
func (s *Scratch) link(ttl uint32, target []byte) bool {
	l := &s.lookup
	s.w.alias(l.owner(0), ttl, target)
	l.current = target
	l.links++
	l.name.Set(target)
	return l.links < maxLinks && !l.isSeen(linkOwner, l.name.Wire[:l.name.Len])
}

// sayExpire sets the value of the EXPIRE option (RFC 7314, section 3.1).
func (s *Scratch) sayExpire(soa zone.Set) {
	d := soa.Data()
	if data, ok := d.Next(); ok && s.flags.expire && len(data) >= 8 {
		s.expire, s.flags.hasExpire = binary.BigEndian.Uint32(data[len(data)-8:]), true
	}
}

// referral sends the client to the servers of a child zone.
func (r *Responder) referral(v zone.View, s *Scratch) {
	l, w := &s.lookup, &s.w
	w.section = secAuthority
	ns, node := l.res.Set, l.res.Node
	o := l.owner(l.name.Labels - l.res.OwnerLabels)
	if !w.need(o, ns, ns.TTL()) {
		return
	}
	if s.Request.DO {
		// RFC 4035, section 3.1.4
		if ds, ok := node.Find(dns.TypeDS); ok && !w.need(o, ds, ds.TTL()) {
			return
		}
	}
	w.section = secAdditional
	if s.glue(v, ns) {
		r.siblings(ns, s)
	}
}
