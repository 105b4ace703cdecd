package dnsserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/time/rate"

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
	all *rate.Limiter // verifications
	mu  struct {
		sync.Mutex
		failed  map[netip.Prefix]int // verifications for nothing, of the source
		claims  map[netip.Prefix]int // verified claims, of the source
		forgets time.Time
	}
	claimsLimit int
}

const (
	// sourcesPeriod is for how long sources are counted.
	sourcesPeriod = time.Minute
	// failuresAllowed is how many wrong signatures of one source are verified in
	// that time.
	failuresAllowed = 20
	// maxSources bounds the sources that are counted; more are counted as one.
	maxSources = 1 << 16
)

func (p *publicKeys) init(now time.Time, perSecond, claims int) {
	p.all = rate.NewLimiter(rate.Limit(perSecond), perSecond)
	p.claimsLimit = claims
	p.mu.forgets = now.Add(sourcesPeriod)
	p.clearLocked()
}

func (p *publicKeys) clearLocked() {
	p.mu.failed, p.mu.claims = map[netip.Prefix]int{}, map[netip.Prefix]int{}
}

// sourceOf is what is counted as one: an address, or what one customer has of
// IPv6.
func sourceOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return p
}

// count adds to the count of a source and gives what it was.
func count(of map[netip.Prefix]int, source netip.Prefix) int {
	if _, known := of[source]; !known && len(of) >= maxSources {
		source = netip.Prefix{}
	}
	n := of[source]
	of[source] = n + 1
	return n
}

// mayVerify takes one verification out of the quota.
func (p *publicKeys) mayVerify(from netip.Addr, now time.Time) error {
	p.mu.Lock()
	if now.After(p.mu.forgets) {
		p.clearLocked()
		p.mu.forgets = now.Add(sourcesPeriod)
	}
	failed := p.mu.failed[sourceOf(from)]
	p.mu.Unlock()
	switch {
	case failed >= failuresAllowed:
		return update.Refused(fmt.Sprintf("%d wrong signatures came from there in a minute: no more is verified until it is over", failed))
	case !p.all.AllowN(now, 1):
		return &update.Error{Rcode: dns.RcodeServerFailure, EDE: answer.EDEOther, Text: "too many signatures are to be verified: try again"}
	}
	return nil
}

func (p *publicKeys) noteFailure(from netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	count(p.mu.failed, sourceOf(from))
}

// mayClaim takes one claim out of what the source has.
func (p *publicKeys) mayClaim(who acl.Principal) error {
	if !who.Proven {
		return update.Refused("a number is claimed from an address that is no forgery: send it over TCP, or with a server cookie")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if count(p.mu.claims, sourceOf(who.Address)) >= p.claimsLimit {
		return update.Refused(fmt.Sprintf("%d numbers were claimed from there in a minute: try again later", p.claimsLimit))
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
	} else if brought := keysIn(m, who.Key); len(brought) > 0 && !sameKeys(rdatas, brought) {
		return who, nil, takenByOther(who.Key) // RFC 9665, section 3.3.3, before the signature
	}
	keys, err := rec.Select(rdatas, t.now)
	for _, k := range keys {
		if err = s.publicKeys.mayVerify(who.Address, t.now); err != nil {
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
			s.publicKeys.noteFailure(who.Address)
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
	for _, b := range brought {
		same := false
		for _, h := range have {
			same = same || h == b
		}
		if !same {
			return false
		}
	}
	return true
}

// signatureOf is what keeps an update that is signed by SIG(0) from being done
// again. The middle of its time bracket is the client's clock, as that of a
// TSIG is.
func signatureOf(sign *sig0.Context, key rr.Name) (digest uint64, g update.Signature) {
	f := sign.Fingerprint()
	digest = binary.BigEndian.Uint64(f[:])
	middle := sign.Inception().Unix() + int64(sign.Expiration().Sub(sign.Inception())/time.Second)/2
	return digest, update.Signature{Key: key, Time: uint32(min(max(middle, 0), 1<<32-1)), Digest: digest}
}
