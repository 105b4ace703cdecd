package dnsserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
	"dialtone/update"
	"dialtone/update/acl"
	"dialtone/update/sig0"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// Public keys
//
// An update that is signed by SIG(0) is one of the number whose KEY record
// verifies it. That record was provisioned, or the number has none, and the
// update itself brings it: then it is a claim, which only a rule with first_come
// takes. What is decided here is looked at once more when the update is
// evaluated (update.Evaluate), since the record may come or go in between.

// publicKeys bounds what signatures cost that may be junk: a verification takes
// as long as ten of TSIG.
type publicKeys struct {
	quota quota
	mu    struct {
		sync.Mutex
		verified map[sender]int
		failed   map[sender]int
		claims   map[sender]int
		forgets  time.Time

		each        int // verifications that one source may have in sourcesPeriod
		claimsLimit int
	}
}

// sender is what is counted as one sender. Those whose address may be forged
// are others than those at the same address who have shown that it is theirs.
type sender struct {
	netip.Prefix
	proven bool
}

const (
	// sourcesPeriod is for how long sources are counted.
	sourcesPeriod = time.Minute
	// sourceShare is the part of all verifications that one source may have.
	sourceShare = 20
	// failuresAllowed is how many wrong signatures of one source are verified in
	// that time.
	failuresAllowed = 20
	// maxSources bounds the sources that are counted; more are counted as one.
	maxSources = 1 << 16
)

func (p *publicKeys) init(now time.Time, perSecond, claims int) {
	p.quota = newQuota(perSecond)
	p.set(now, perSecond, claims)
	p.mu.forgets = now.Add(sourcesPeriod)
	p.clearLocked()
}

// set changes the limits.
func (p *publicKeys) set(now time.Time, perSecond, claims int) {
	p.quota.set(perSecond, now)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.each = max(1, perSecond*int(sourcesPeriod/time.Second)/sourceShare)
	p.mu.claimsLimit = claims
}

func (p *publicKeys) clearLocked() {
	p.mu.verified, p.mu.failed, p.mu.claims = map[sender]int{}, map[sender]int{}, map[sender]int{}
}

func (p *publicKeys) renewLocked(now time.Time) {
	if now.After(p.mu.forgets) {
		p.clearLocked()
		p.mu.forgets = now.Add(sourcesPeriod)
	}
}

// sourceOf is what is counted as one: an address, or what one customer has of
// IPv6, which is 64 bits at least, and 48 bits at most.
func sourceOf(who acl.Principal, bits6 int) sender {
	a := who.Address.Unmap().WithZone("")
	bits := bits6
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return sender{p, who.Proven}
}

// inMap is where a source is counted: when there are too many, together with
// all others of its kind.
func inMap(of map[sender]int, source sender) sender {
	if _, known := of[source]; !known && len(of) >= maxSources {
		source.Prefix = netip.Prefix{}
	}
	return source
}

// count adds to the count of a source and gives what it was.
func count(of map[sender]int, source sender) int {
	source = inMap(of, source)
	n := of[source]
	of[source] = n + 1
	return n
}

// mayVerify takes one verification out of the quota. What it refuses may be
// tried again: it says nothing of the signature.
func (p *publicKeys) mayVerify(who acl.Principal, now time.Time) error {
	later := func(text string) error {
		return &update.Error{Rcode: dns.RcodeServerFailure, EDE: answer.EDEOther, Text: text, Limit: LimitKeyVerifications.String()}
	}
	source := sourceOf(who, 64)
	p.mu.Lock()
	p.renewLocked(now)
	failed := p.mu.failed[inMap(p.mu.failed, source)]
	verified, each := 0, p.mu.each
	if failed < failuresAllowed {
		verified = count(p.mu.verified, source)
	}
	p.mu.Unlock()
	switch {
	case failed >= failuresAllowed:
		return later(fmt.Sprintf("%d wrong signatures came from there within a minute: no more is verified until it is over", failed))
	case verified >= each:
		return later("too many signatures came from there within a minute: try again later")
	case !p.quota.take(who.Proven, now):
		return later("too many signatures are to be verified: try again, over TCP")
	}
	return nil
}

func (p *publicKeys) noteFailure(who acl.Principal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	count(p.mu.failed, sourceOf(who, 64))
}

// mayClaim takes one claim out of what the source has.
func (p *publicKeys) mayClaim(who acl.Principal, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renewLocked(now)
	if count(p.mu.claims, sourceOf(who, 48)) >= p.mu.claimsLimit {
		return update.Beyond(LimitClaimsPerSource.String(), fmt.Sprintf("%d numbers were claimed from there in a minute (claims_per_source): try again later", p.mu.claimsLimit))
	}
	return nil
}

// mayBring refuses a claim before its signature is verified.
func (s *Server) mayBring(who acl.Principal) error {
	if !who.Proven {
		return update.Refused("a number is claimed from an address that is no forgery: send it over TCP, or with a server cookie")
	}
	switch {
	case s.commands.book.IsBlocked(who.Key):
		return update.Refused("number " + who.Key.String() + " is blocked")
	case s.commands.book.HasSecret(who.Key):
		return &update.Error{Rcode: dns.RcodeYXDomain, EDE: answer.EDEOther, Text: "number " + who.Key.String() + " has a shared secret"}
	}
	return nil
}

// identify tells who has signed an update by SIG(0). m is parsed. Every error is
// an *update.Error.
func (s *Server) identify(t *task, z *servedZone, m *update.Message, rec *sig0.Record) (who acl.Principal, sign *sig0.Context, err error) {
	who = t.principal()
	if t.sign != nil { // RFC 2931, section 3
		return who, nil, &update.Error{Rcode: dns.RcodeFormatError, EDE: answer.EDEOther, Text: "the message has a TSIG and a SIG(0)"}
	}
	who.Key = rec.Signer.Lower()
	number, own, ok := who.Key.NumberOf(z.o.Apex)
	if !own || !ok {
		return who, nil, update.Refused("a KEY record that signs updates stands at the name of a terminal number, and " + who.Key.String() + " is none of this zone")
	}
	rdatas := keysAt(t.w, z.z, who.Key)
	if len(rdatas) == 0 || z.z.KeyEnded(number, t.now) {
		rdatas, who.Claims = keysIn(m, who.Key), true
		if len(rdatas) > 0 {
			if err := s.mayBring(who); err != nil {
				return who, nil, err
			}
		}
	} else if brought := keysIn(m, who.Key); len(brought) > 0 && !sameKeys(rdatas, brought) {
		return who, nil, takenByOther(who.Key) // RFC 9665, section 3.3.3, before the signature
	}
	keys, err := rec.Select(rdatas, t.now)
	for _, k := range keys {
		if err = s.publicKeys.mayVerify(who, t.now); err != nil {
			break
		}
		s.Counters.KeysVerified.Add(1)
		if sign, err = rec.Verify(k, t.now); err == nil {
			who.PublicKey = k.RData()
			break
		}
	}
	var fault *sig0.Error
	if errors.As(err, &fault) {
		s.Counters.SIG0Failed.Add(1)
		if errors.Is(err, sig0.ErrBadSig) {
			s.publicKeys.noteFailure(who)
		}
		err = &update.Error{Rcode: fault.Rcode, EDE: answer.EDEProhibited, Text: err.Error()}
	}
	return who, sign, err
}

func takenByOther(key rr.Name) error {
	return &update.Error{Rcode: dns.RcodeYXDomain, EDE: answer.EDEOther, Text: "number " + key.String() + " belongs to another key"}
}

// keysAt gives the KEY records of a name, also while its other records are
// hidden.
func keysAt(w *worker, z *zone.Zone, owner rr.Name) (rdatas []string) {
	var q zone.QName
	q.SetName(owner)
	w.reader.Begin()
	defer w.reader.End()
	set, ok := z.View().KEY(&q)
	if !ok {
		return nil
	}
	data := set.Data()
	for d, ok := data.Next(); ok; d, ok = data.Next() {
		rdatas = append(rdatas, string(d))
	}
	return rdatas
}

// keysIn gives the KEY records that an update adds to a name.
func keysIn(m *update.Message, owner rr.Name) (rdatas []string) {
	for i := range m.Updates {
		if u := &m.Updates[i]; u.Type == dns.TypeKEY && u.Class == m.Class && u.Owner.EqualFold(owner) {
			rdatas = append(rdatas, u.Data)
		}
	}
	return rdatas
}

func sameKeys(have, brought []string) bool {
	return !slices.ContainsFunc(brought, func(b string) bool { return !slices.Contains(have, b) })
}

// digestOf stands for all that a SIG(0) covers.
func digestOf(rec *sig0.Record) uint64 {
	f := rec.Fingerprint()
	return binary.BigEndian.Uint64(f[:])
}

// signatureOf is what keeps an update that is signed by SIG(0) from being done
// again. The middle of its time bracket is the client's clock, as that of a
// TSIG is.
func signatureOf(sign *sig0.Context, key rr.Name, digest uint64) update.Signature {
	middle := sign.Inception().Unix() + int64(sign.Expiration().Sub(sign.Inception())/time.Second)/2
	return update.Signature{Key: key, Time: uint32(min(max(middle, 0), 1<<32-1)), Digest: digest}
}
