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

	// Memory, which may be nil, knows the keys of which an update was taken a
	// moment ago. Then those that have been answered are known by other means, and
	// this one may be as old as that one: clocks tick in seconds. With Slack it may
	// be older by that, in seconds: messages of several clients that share a key
	// overtake each other.
	Memory Memory
	Slack  uint32
}

// Memory is what is remembered for some seconds.
type Memory interface {
	// IsRecent tells whether an update of a key was taken a moment ago.
	IsRecent(key rr.Name) bool
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
	number, own, ok := g.Key.Lower().NumberOf(s.Apex())
	own = own && ok
	var newest uint32
	if own {
		newest = s.Registration(number).Signed
	} else {
		newest = s.Signer(g.Key).Signed
	}
	if g.Time > newest {
		return false, nil
	}
	if g.Memory != nil && g.Memory.IsRecent(g.Key) {
		slack := g.Slack
		if own { // a phone must not be led back to where it was
			slack = 0
		}
		if g.Time+slack >= newest {
			return false, nil
		}
	}
	if g.Time == newest {
		digest := s.Signer(g.Key).Digest
		if own {
			if digest, err = s.Digest(number); err != nil {
				return false, err
			}
		}
		if digest == g.Digest {
			return true, nil
		}
	}
	return false, &Error{Rcode: dns.RcodeNotAuth, Old: true, EDE: dns.ExtendedErrorCodeOther,
		Text: fmt.Sprintf("key %s has signed a later update: sign this one anew, %d s later or more", g.Key, newest-g.Time+1)}
}

// noteSignature keeps the time for checkReplay.
func (m *Message) noteSignature(s State) {
	g := m.Signature
	if g == nil {
		return
	}
	number, own, ok := g.Key.Lower().NumberOf(s.Apex())
	if own && ok {
		r := s.Registration(number)
		if g.Time >= r.Signed {
			r.Signed, r.Digest = g.Time, g.Digest
		}
		m.note(s, &r)
		s.Hold(r)
		return
	}
	if x := s.Signer(g.Key); g.Time >= x.Signed {
		x.Signed, x.Digest = g.Time, g.Digest
		s.SetSigner(x)
	}
}
