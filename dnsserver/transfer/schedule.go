package transfer

import (
	"container/heap"
	"net/netip"
	"time"

	"dialtone/update/tsig"
	"dialtone/zone"
)

// pair is the state of one zone at one target. It is idle when it is not in
// the queue: the target has answered a NOTIFY of the newest version, or has
// missed every try.
//
// The serial is not part of the state. What is told is the serial of the
// moment of sending, so however many changes happened since the last message,
// the next one tells of all of them.
type pair struct {
	zone     *zone.Zone
	target   Target
	counters *TargetCounters

	changed bool      // published since the last message
	tries   int       // messages sent in this round
	missed  int       // messages without a good reply, since the last good one
	sent    time.Time // the last message
	due     time.Time // the next step
	place   int       // in the queue; -1 when idle

	serial uint32    // that the last message told
	told   uint32    // of the last message that was answered
	toldAt time.Time // when that was; the zero time: never

	waiting bool // for the reply to id
	id      uint16
	request *tsig.Request // nil when unsigned
}

// schedule decides when what is sent. It knows no socket and no clock.
type schedule struct {
	retry    []time.Duration
	interval time.Duration
	queue    pairQueue
	waiting  map[replyKey]*pair
}

type replyKey struct {
	addr netip.AddrPort
	id   uint16
}

func newSchedule(retry []time.Duration, interval time.Duration) *schedule {
	return &schedule{retry: retry, interval: interval, waiting: make(map[replyKey]*pair)}
}

// published: the zone of p has a new version.
func (s *schedule) published(p *pair, now time.Time) {
	switch {
	case p.place < 0:
		p.tries = 0
		s.set(p, later(now, p.sent.Add(s.interval)))
	case !p.changed && p.tries > 0:
		// The target may be back since the change that it missed: the round
		// starts anew. A target that stays away while the zone changes all
		// the time gets one message per first wait.
		p.changed = true
		if again := p.sent.Add(s.retry[0]); again.Before(p.due) {
			s.set(p, later(now, again))
		}
	}
	p.changed = true
}

// next gives a pair that is due: its message is to be sent now, unless
// givenUp. missed tells that its last message had no good reply.
func (s *schedule) next(now time.Time) (p *pair, missed, givenUp bool) {
	if len(s.queue) == 0 || s.queue[0].due.After(now) {
		return nil, false, false
	}
	p = s.queue[0]
	if missed = p.tries > 0; missed {
		p.missed++
		s.stopWaiting(p)
		if p.changed {
			p.tries = 0
		}
	}
	if p.tries > len(s.retry) {
		s.idle(p)
		return p, missed, true
	}
	return p, missed, false
}

// sent: the message of p with this ID has left, or could not be sent, which
// is a missed try like any other.
func (s *schedule) sent(p *pair, id uint16, request *tsig.Request, now time.Time) {
	p.tries++
	p.changed, p.sent = false, now
	p.waiting, p.id, p.request = true, id, request
	s.waiting[replyKey{p.target.Addr, id}] = p
	s.set(p, now.Add(s.retry[min(p.tries, len(s.retry))-1]))
}

// answered: the target has taken the message.
func (s *schedule) answered(p *pair, now time.Time) {
	s.stopWaiting(p)
	p.tries, p.missed = 0, 0
	p.told, p.toldAt = p.serial, now
	if p.changed {
		s.set(p, later(now, p.sent.Add(s.interval)))
		return
	}
	s.idle(p)
}

// stopWaiting: whatever comes for the last message is too late or of no use.
func (s *schedule) stopWaiting(p *pair) {
	if p.waiting {
		delete(s.waiting, replyKey{p.target.Addr, p.id})
		p.waiting, p.request = false, nil
	}
}

// wake gives the time of the next step.
func (s *schedule) wake() (due time.Time, ok bool) {
	if len(s.queue) == 0 {
		return due, false
	}
	return s.queue[0].due, true
}

func (s *schedule) set(p *pair, due time.Time) {
	p.due = due
	if p.place < 0 {
		heap.Push(&s.queue, p)
		return
	}
	heap.Fix(&s.queue, p.place)
}

func (s *schedule) idle(p *pair) {
	s.stopWaiting(p)
	p.tries, p.changed = 0, false
	if p.place >= 0 {
		heap.Remove(&s.queue, p.place)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pairQueue is a heap by due.
type pairQueue []*pair

func (q pairQueue) Len() int           { return len(q) }
func (q pairQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

func (q pairQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push is for container/heap.
func (q *pairQueue) Push(x any) {
	p := x.(*pair)
	p.place = len(*q)
	*q = append(*q, p)
}

// Pop is for container/heap.
func (q *pairQueue) Pop() any {
	old := *q
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	p.place = -1
	return p
}
