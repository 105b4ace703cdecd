package dnsserver

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"dialtone/update"
	"dialtone/update/tsig"
)

// sources guards updates that take the address that they come from. A signature
// does not cover that address: whoever has seen such an update go by could send
// it again from elsewhere, and the number would lead to him. So a signed one is
// taken from one address only, for as long as its time passes (RFC 8945, section
// 5.2.3), and one that was signed before this server began is not taken at all.
type sources struct {
	began time.Time
	limit int // Limits.SourceUpdates
	mu    struct {
		sync.Mutex
		byMAC map[string]*list.Element // of list
		list  list.List                // *source, oldest first
	}
}

type source struct {
	mac  string
	addr netip.Addr
	at   time.Time
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
	s.mu.byMAC = map[string]*list.Element{}
}

// check takes a signed update from addr, or tells why not.
func (s *sources) check(sign *tsig.Context, addr netip.Addr, now time.Time) error {
	refused := func(text string) error {
		return update.Refused("the address that a request comes from is taken " + text)
	}
	if sign.TimeSigned().Before(s.began.Truncate(time.Second)) {
		return refused("of no request that was signed before this server began: sign it anew")
	}
	if now.Sub(sign.TimeSigned()).Abs() > sourcesNear {
		return refused("of no request that was signed so long before or after: sign it anew, and see to the clock")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.mu.list.Front(); e != nil && now.Sub(e.Value.(*source).at) > sourcesKept; e = s.mu.list.Front() {
		delete(s.mu.byMAC, s.mu.list.Remove(e).(*source).mac)
	}
	mac := string(sign.MAC())
	if e := s.mu.byMAC[mac]; e != nil {
		if e.Value.(*source).addr != addr {
			return refused("once only: another address has sent this same request")
		}
		return nil
	}
	if len(s.mu.byMAC) >= s.limit {
		return refused("of so many requests only: try again in some minutes, or say which address is meant")
	}
	s.mu.byMAC[mac] = s.mu.list.PushBack(&source{mac, addr, now})
	return nil
}

// remembered counts the updates that are remembered.
func (s *sources) remembered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.byMAC)
}
