package dnsserver

import (
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
	"dialtone/update"
	"dialtone/update/acl"
	"dialtone/zone/rr"
)

// Who sends updates
//
// An update is its key's when it is signed, and its source's when it is not.
// That is whose turn it takes in the queues (package zone/fair): one key that
// floods has the same turn as each other, so nothing has to be set for it, and a
// DHCP server that is alone may have all there is. updates_per_key and
// updates_per_source are for operators who want less than that. They are off
// unless set, since no number is right for all: a DHCP server after a power cut
// sends what a thousand phones do in an hour, and behind one address there may
// be a phone or a provider's NAT.
//
// Only updates that are allowed count, and addresses that may be forged count
// apart from the same ones that are proven: nobody can use up what is another's.

// senders gives numbers to keys and sources, and holds them to their rates. It
// remembers the last maxSenders of them, some 150 octets each, when there is a
// rate to hold.
type senders struct {
	seed              maphash.Seed
	perKey, perSource atomic.Int64 // updates a second; 0: no limit
	mu                struct {
		sync.Mutex
		due simplelru.LRUCache[uint64, time.Time] // when a sender's last update was due by its rate; nil for no rates
	}
}

// maxSenders is of how many keys and sources the rates are known.
const maxSenders = 1 << 16

func (s *senders) init(l Limits) {
	s.seed = maphash.MakeSeed()
	s.set(l)
}

// set changes the rates.
func (s *senders) set(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.perKey.Store(int64(l.UpdatesPerKey))
	s.perSource.Store(int64(l.UpdatesPerSource))
	switch on := l.UpdatesPerKey > 0 || l.UpdatesPerSource > 0; {
	case !on:
		s.mu.due = nil
	case s.mu.due == nil:
		s.mu.due, _ = simplelru.NewLRU[uint64, time.Time](maxSenders, nil) // an error is for a size below 1
	}
}

// ofKey and ofSource give the numbers, those of keys odd and the others even.
func (s *senders) ofKey(key rr.Name) uint64 { return maphash.String(s.seed, string(key)) | 1 }

func (s *senders) ofSource(who acl.Principal) uint64 {
	return maphash.Comparable(s.seed, sourceOf(who, 64)) &^ 1
}

// of is the sender of an update.
func (s *senders) of(who acl.Principal) uint64 {
	if who.Key != "" {
		return s.ofKey(who.Key)
	}
	return s.ofSource(who)
}

// mayUpdate takes one update out of what its key and its source have in a
// second.
func (s *senders) mayUpdate(who acl.Principal, now time.Time) error {
	perKey, perSource := int(s.perKey.Load()), int(s.perSource.Load())
	if perKey <= 0 && perSource <= 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.due == nil { // the rates are gone since they were looked at
		return nil
	}
	if perKey > 0 && who.Key != "" && !s.takeLocked(s.ofKey(who.Key), perKey, now) {
		return tooMany(LimitUpdatesPerKey, "key "+who.Key.String(), perKey)
	}
	if perSource > 0 && !s.takeLocked(s.ofSource(who), perSource, now) {
		return tooMany(LimitUpdatesPerSource, "source "+sourceOf(who, 64).String(), perSource)
	}
	return nil
}

// tooMany is SERVFAIL and not REFUSED: the same update is taken a moment later.
func tooMany(l Limit, who string, rate int) error {
	return &update.Error{Rcode: dns.RcodeServerFailure, EDE: answer.EDEOther, Limit: l.String(),
		Text: fmt.Sprintf("%s sends more than %d updates a second (%s): try again later", who, rate, l)}
}

// takeLocked is the generic cell rate algorithm: a sender may be ahead of its
// rate by what it may send in a second.
func (s *senders) takeLocked(id uint64, rate int, now time.Time) bool {
	each := time.Second / time.Duration(rate)
	due, known := s.mu.due.Get(id)
	if !known || due.Before(now) {
		due = now
	}
	if due.Sub(now) > time.Second-each {
		return false
	}
	s.mu.due.Add(id, due.Add(each))
	return true
}

// remembered is how many senders' rates are known.
func (s *senders) remembered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.due == nil {
		return 0
	}
	return s.mu.due.Len()
}
