package update

import (
	"fmt"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Signature is that of an update, as far as it keeps an old one from being sent
// again by somebody else (RFC 8945, section 5.2.3).
type Signature struct {
	Key    rr.Name
	Time   uint32 // when it was signed, in seconds since 1970
	Digest uint64 // of the signature

	// Memory, which may be nil, is what is known of the updates of some seconds.
	// By it an update may be as old as the newest of its key, for clocks tick in
	// seconds, or, with Slack, older by so many seconds: messages of several clients
	// that share a key overtake each other.
	Memory Memory
	Slack  uint32
}

// Memory knows for some seconds which updates were taken.
type Memory interface {
	// Took notes an update of a key that was signed at a time, in seconds since 1970;
	// the newest of the key was before. With shared the key is not that of a number.
	Took(key rr.Name, before, signed uint32, shared bool)
	// Knows tells whether all updates of a key that were taken, and signed then or
	// later, are known, so that one that is not is new.
	Knows(key rr.Name, signed uint32, shared bool) bool
}

// checkReplay refuses an update that was signed before another that its key has
// had taken. again tells that it is that one itself, which a restart has made us
// forget the answer of: it succeeded.
//
// The key of a number is compared with what is held of that number, any other
// with what is held of the key.
func (m *Message) checkReplay(s State) (again bool, err error) {
	g := m.Signature
	if g == nil {
		return false, nil
	}
	number, newest := g.newest(s)
	own := number != ""
	if g.Time > newest {
		return false, nil
	}
	slack := g.Slack
	if own { // a phone must not be led back to where it was
		slack = 0
	}
	if g.Memory != nil && newest-g.Time <= slack && g.Memory.Knows(g.Key, g.Time, !own) {
		return false, nil
	}
	if g.Time == newest {
		digest := s.Signer(g.Key).Digest
		if own {
			stored, err := s.Stored(number)
			if err != nil {
				return false, err
			}
			digest = stored.Digest
		}
		if digest == g.Digest {
			return true, nil
		}
	}
	return false, &Error{Rcode: dns.RcodeNotAuth, Old: true, EDE: dns.ExtendedErrorCodeOther,
		Text: fmt.Sprintf("key %s has signed a later update: sign this one anew, %d s later or more", g.Key, newest-g.Time+1)}
}

// newest gives the newest time signed of the key, and the number whose key it is;
// "" for another's.
func (g *Signature) newest(s State) (number string, signed uint32) {
	if number, own, ok := g.Key.Lower().NumberOf(s.Apex()); own && ok {
		return number, s.Registration(number).Signed
	}
	return "", s.Signer(g.Key).Signed
}

// noteSignature keeps the time for checkReplay.
func (m *Message) noteSignature(s State) error {
	g := m.Signature
	if g == nil {
		return nil
	}
	number, newest := g.newest(s)
	own := number != ""
	if g.Memory != nil {
		g.Memory.Took(g.Key, newest, g.Time, !own)
	}
	if own {
		r := s.Registration(number)
		if g.Time >= r.Signed {
			r.Signed, r.Digest, r.Public = g.Time, g.Digest, m.who.PublicKey != ""
		}
		return m.hold(s, r)
	}
	if x := s.Signer(g.Key); g.Time >= x.Signed {
		x.Signed, x.Digest = g.Time, g.Digest
		s.SetSigner(x)
	}
	return nil
}
