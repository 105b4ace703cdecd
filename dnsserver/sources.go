package dnsserver

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"dialtone/update"
)

// sources guards updates that take the address that they come from. A signature
// does not cover that address: whoever has seen such an update go by could send
// it again from elsewhere, and the number would lead to him. So a signed one is
// taken from one address only, for as long as its time passes (RFC 8945, section
// 5.2.3), and one that was signed before this server began is not taken at all.
type sources struct {
	began time.Time
	limit int // Limits.SourceUpdates; guarded by mu
	mu    struct {
		sync.Mutex
		byDigest map[uint64]*list.Element // of list
		list     list.List                // *source, oldest first
	}
}

type source struct {
	digest uint64
	addr   netip.Addr
	at     time.Time
}

const (
	// sourcesNear is how far from the time signed an update may come, whatever
	// its fudge, which is 300 s as a rule and 18 hours at most. It is remembered
	// for as long on both sides.
	sourcesNear = 10 * time.Minute
	sourcesKept = 2 * sourcesNear
)

func (s *sources) init(now time.Time, limit int) {
	s.began, s.limit = now, limit
	s.mu.byDigest = map[uint64]*list.Element{}
}

// set changes the limit.
func (s *sources) set(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
}

const takenOnly = "the address that a request comes from is taken "

// check takes a signed update from addr, or tells why not.
func (s *sources) check(sign *update.Signature, addr netip.Addr, now time.Time) error {
	refused := func(text string) error {
		return update.Refused(takenOnly + text)
	}
	signed := time.Unix(int64(sign.Time), 0)
	if signed.Before(s.began.Truncate(time.Second)) {
		return refused("of no request that was signed before this server began: sign it anew")
	}
	if now.Sub(signed).Abs() > sourcesNear {
		return refused("of no request that was signed so long before or after: sign it anew, and see to the clock")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.mu.list.Front(); e != nil && now.Sub(e.Value.(*source).at) > sourcesKept; e = s.mu.list.Front() {
		delete(s.mu.byDigest, s.mu.list.Remove(e).(*source).digest)
	}
	if e := s.mu.byDigest[sign.Digest]; e != nil {
		if e.Value.(*source).addr != addr {
			return refused("once only: another address has sent this same request")
		}
		return nil
	}
	if len(s.mu.byDigest) >= s.limit {
		return update.Beyond(LimitSourceUpdates.String(), takenOnly+"of so many requests only (source_updates): try again in some minutes, or say which address is meant")
	}
	s.mu.byDigest[sign.Digest] = s.mu.list.PushBack(&source{sign.Digest, addr, now})
	return nil
}

// remembered counts the updates that are remembered.
func (s *sources) remembered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.byDigest)
}
