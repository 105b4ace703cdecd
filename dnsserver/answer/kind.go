package answer

import (
	"github.com/miekg/dns"

	"dialtone/dnsserver/ratelimit"
	"dialtone/zone"
)

// kind is what the reply in hand counts as where responses are limited.
type kind struct {
	class    ratelimit.Class
	labels   int  // of the question's name, from its end, that it is about
	wildcard bool // a wildcard of the zone stands for the name
}

// classify notes what resolve has written, whose first zone is z. Names that anybody can make up without end are
// counted by what they have in common: a zone for those that are not there, its wildcards, a DNAME, a cut.
func (s *Scratch) classify(z *zone.Zone, rcode uint16) {
	l, k := &s.lookup, &s.kind
	switch {
	case rcode == dns.RcodeNameError:
		*k = kind{ratelimit.NXDomains, z.Apex().CountLabels(), false}
	case rcode != dns.RcodeSuccess:
	case l.res.Outcome == zone.NoData:
		*k = kind{ratelimit.NoData, z.Apex().CountLabels(), false}
	case l.res.Outcome == zone.Referral && l.links == 0:
		k.class = ratelimit.Referrals
	case k.wildcard:
		k.class, k.labels = ratelimit.Answers, z.Apex().CountLabels()
	default:
		k.class = ratelimit.Answers
	}
}

// Response tells what the reply counts as that Respond has just written for msg. Its name is good until the next
// call with s.
func (s *Scratch) Response(msg []byte) ratelimit.Response {
	k, q, name := &s.kind, &s.Request, &s.lookup.name
	if k.class == ratelimit.Errors {
		return ratelimit.Response{Class: ratelimit.Errors}
	}
	qtype := q.QType
	if s.lookup.links > 0 { // an alias answers to any type
		name.Set(msg[headerLen : q.QuestionEnd-4])
		qtype = dns.TypeCNAME
	}
	r := ratelimit.Response{Class: k.class, Wildcard: k.wildcard, Name: name.Suffix(k.labels)}
	if k.class == ratelimit.Answers {
		r.QType = qtype
	}
	return r
}

// Slip writes another reply to msg over the one that Respond has just written to out: without data, so no longer
// than the request but for a cookie, and such that a client that has really asked goes on. It gets TC and comes by
// TCP, or, when it knows cookies, BADCOOKIE with the right one (RFC 7873, section 5.2.3).
func (r *Responder) Slip(msg, out []byte, s *Scratch) int {
	aa, rcode := s.w.aa, uint16(out[3]&15)
	s.Request.NSID, s.Request.Expire = false, false
	r.begin(msg, out, false, 0, true, s)
	if s.Request.Cookie != nil {
		return r.finish(msg, dns.RcodeBadCookie, s)
	}
	s.w.aa = aa
	s.w.truncate()
	return r.finish(msg, rcode, s)
}
