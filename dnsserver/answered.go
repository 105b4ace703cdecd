package dnsserver

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"time"

	"dialtone/dnsserver/answer"
	"dialtone/update"
	"dialtone/zone/rr"
)

// answered remembers for a while what signed updates were answered, so that a
// message that is sent again, because its answer was lost or by somebody who saw
// it, is not done again but gets the first answer. It goes by the signature,
// which covers the ID and all of the message; whoever sends it can have the
// answer, since nothing is done for it.
//
// Two generations bound it in time and in number. An entry takes 32 octets. Of a flood
// of updates fewer seconds are remembered; those that come again later get BADTIME
// then, and are not done again either.
type answered struct {
	limit int // Limits.UpdateAnswers
	seed  maphash.Seed
	mu    struct {
		sync.Mutex
		young, old generation
		texts      map[uint64]*answer.EDE
		oldTexts   map[uint64]*answer.EDE
		since      time.Time                   // of young
		oldSince   time.Time                   // of old
		shared     map[rr.Name]*moments        // by key in lower case
		waiting    map[uint64][]*pendingUpdate // copies that came over TCP before the answer was known
		repeated   uint64
	}
}

// generation maps digests of signatures to answers (see pack), and hashes of
// numbers' keys to the newest times that they signed. It is a table of its own, which
// is used again: at 80,000 updates a second Go's maps, made anew each time, took
// a tenth of the time of an update.
type generation struct {
	slots []slot // a power of 2, or none; at least half of them are free
	n     int
}

type slot struct{ key, value uint64 } // key 0: free; a digest of 0 is taken for 1

// fewSlots is what a generation begins with, and what it keeps when it rests.
const fewSlots = 64

func (g *generation) find(k uint64) (at int, found bool) {
	k = max(k, 1)
	for at = int(k) & (len(g.slots) - 1); g.slots[at].key != 0; at = (at + 1) & (len(g.slots) - 1) {
		if g.slots[at].key == k {
			return at, true
		}
	}
	return at, false
}

// first gives what stands where k would be; 0: k is not there.
func (g *generation) first(k uint64) uint64 {
	if g.n == 0 {
		return 0
	}
	return g.slots[int(max(k, 1))&(len(g.slots)-1)].key
}

func (g *generation) get(k uint64) (uint64, bool) {
	if g.n == 0 {
		return 0, false
	}
	at, found := g.find(k)
	return g.slots[at].value, found
}

func (g *generation) put(k, v uint64) {
	if 2*(g.n+1) > len(g.slots) {
		old := g.slots
		g.slots, g.n = make([]slot, max(fewSlots, 2*len(old))), 0
		for _, s := range old {
			if s.key != 0 {
				g.put(s.key, s.value)
			}
		}
	}
	at, found := g.find(k)
	if !found {
		g.n++
	}
	g.slots[at] = slot{max(k, 1), v}
}

// delete takes an entry out, and moves those behind it that it stood in the way
// of.
func (g *generation) delete(k uint64) {
	if g.n == 0 {
		return
	}
	at, found := g.find(k)
	if !found {
		return
	}
	g.n--
	mask := len(g.slots) - 1
	for next := (at + 1) & mask; g.slots[next].key != 0; next = (next + 1) & mask {
		if home := int(g.slots[next].key) & mask; (next-home)&mask >= (next-at)&mask {
			g.slots[at] = g.slots[next]
			at = next
		}
	}
	g.slots[at] = slot{}
}

// reset empties g, which keeps its memory.
func (g *generation) reset() {
	clear(g.slots)
	g.n = 0
}

// answeredFor is how long an answer is remembered at least, unless there are
// too many: clients send again after some seconds.
const answeredFor = 10 * time.Second

// outcome is what an update was answered.
type outcome struct {
	rcode uint16
	lease []byte // data of UPDATE-LEASE; nil for none
	ede   *answer.EDE
}

func (a *answered) init(now time.Time, limit int) {
	a.limit, a.seed = limit, maphash.MakeSeed()
	a.mu.since, a.mu.oldSince = now, now
}

// Packed: the RCODE in the lower 4 bits, 1 bit for an update that is not
// answered yet, 2 for the form of its lease, and 28 for each of its values.
const (
	packedPending = 1 << 4
	packedShort   = 1 << 5
	packedLong    = 1 << 6
	packedBits    = 28
)

func (o outcome) pack() uint64 {
	v := uint64(o.rcode & 15)
	part := func(at int, shift uint) uint64 {
		return uint64(binary.BigEndian.Uint32(o.lease[at:])&(1<<packedBits-1)) << shift
	}
	switch len(o.lease) {
	case update.LeaseLong:
		v |= packedLong | part(4, 36)
		v |= part(0, 8)
	case update.LeaseShort:
		v |= packedShort | part(0, 8)
	}
	return v
}

func unpackOutcome(v uint64) outcome {
	o := outcome{rcode: uint16(v & 15)}
	if v&(packedShort|packedLong) != 0 {
		o.lease = binary.BigEndian.AppendUint32(nil, uint32(v>>8&(1<<packedBits-1)))
	}
	if v&packedLong != 0 {
		o.lease = binary.BigEndian.AppendUint32(o.lease, uint32(v>>36))
	}
	return o
}

// begin notes an update that is to be done. When it is known it gives what it
// was answered; pending tells that this is not known yet.
func (a *answered) begin(digest uint64, now time.Time) (o outcome, known, pending bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := a.getLocked(digest)
	if !ok {
		a.putLocked(digest, packedPending, now)
		return o, false, false
	}
	a.mu.repeated++
	if v&packedPending != 0 {
		return o, true, true
	}
	return a.outcomeLocked(digest, v), true, false
}

// end notes the answer.
func (a *answered) end(digest uint64, o outcome, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.putLocked(digest, o.pack(), now)
	if o.ede != nil {
		if a.mu.texts == nil {
			a.mu.texts = map[uint64]*answer.EDE{}
		}
		a.mu.texts[digest] = o.ede
	}
}

// keep notes an update that has waited for long before it was done.
func (a *answered) keep(digest uint64, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.putLocked(digest, packedPending, now)
}

// await has a copy of an update that is being done wait for the answer; false
// when that is known by now.
func (a *answered) await(u *pendingUpdate) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if v, ok := a.getLocked(u.digest); !ok || v&packedPending == 0 {
		return false
	}
	if a.mu.waiting == nil {
		a.mu.waiting = map[uint64][]*pendingUpdate{}
	}
	a.mu.waiting[u.digest] = append(a.mu.waiting[u.digest], u)
	return true
}

// waited gives the copies that wait.
func (a *answered) waited(digest uint64) []*pendingUpdate {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.mu.waiting[digest]
	delete(a.mu.waiting, digest)
	return list
}

// lookUp gives the answer to an update that was here before.
func (a *answered) lookUp(digest uint64) (o outcome, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := a.getLocked(digest)
	if !ok || v&packedPending != 0 {
		return o, false
	}
	a.mu.repeated++
	return a.outcomeLocked(digest, v), true
}

func (a *answered) outcomeLocked(digest, v uint64) outcome {
	o := unpackOutcome(v)
	if o.ede = a.mu.texts[digest]; o.ede == nil {
		o.ede = a.mu.oldTexts[digest]
	}
	return o
}

// forget has an update done again when it comes again.
func (a *answered) forget(digest uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.young.delete(digest)
	a.mu.old.delete(digest)
}

// took notes an update of a key, which is the newest when it was signed later
// than before.
//
// Whatever was taken of a key and signed at t or later came when its newest time
// first was t or later, or after that. So a digest that is not here is new, if
// that moment is not from before the older generation: one of a number's own key
// has an entry as long as it is not, and of keys that are shared the last moments
// are kept. Only our clock counts.
func (a *answered) took(key rr.Name, before, signed uint32, shared bool, now time.Time) {
	if signed <= before {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !shared {
		a.putLocked(a.hash(key), uint64(signed), now)
		return
	}
	key = key.Lower()
	r := a.mu.shared[key]
	if r == nil {
		if len(a.mu.shared) >= maxShared {
			return // what is as old as the newest is not taken then
		}
		if a.mu.shared == nil {
			a.mu.shared = map[rr.Name]*moments{}
		}
		r = &moments{floor: before}
		a.mu.shared[key] = r
	}
	r.add(before, signed, now)
}

// knows tells whether all that was taken of a key, and signed then or later, is
// here.
func (a *answered) knows(key rr.Name, signed uint32, shared bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !shared {
		v, ok := a.getLocked(a.hash(key))
		return ok && v == uint64(signed)
	}
	r := a.mu.shared[key.Lower()]
	if r == nil {
		return false
	}
	at, ok := r.reached(signed)
	return ok && !at.Before(a.mu.oldSince)
}

// maxShared is of how many keys that are not those of numbers the moments are
// kept.
const maxShared = 4096

// moments are when the newest time signed of a key first reached its last values.
type moments struct {
	floor uint32 // reached before the first of list
	list  []moment
}

type moment struct {
	signed uint32
	at     time.Time
}

// maxMoments is more than the seconds that a key's updates may be late.
const maxMoments = 16

func (m *moments) add(before, signed uint32, now time.Time) {
	if n := len(m.list); n > 0 {
		switch last := m.list[n-1].signed; {
		case signed <= last:
			return // it was evaluated before
		case before > last:
			m.floor, m.list = before, m.list[:0] // nobody has told of one
		case n == maxMoments:
			m.floor = m.list[0].signed
			m.list = m.list[:copy(m.list, m.list[1:])]
		}
	}
	m.list = append(m.list, moment{signed, now})
}

// reached tells when the newest first was signed or later; false when that is
// not known any more.
func (m *moments) reached(signed uint32) (at time.Time, ok bool) {
	if signed <= m.floor {
		return at, false
	}
	for _, x := range m.list {
		if x.signed >= signed {
			return x.at, true
		}
	}
	return at, false
}

func (a *answered) hash(key rr.Name) uint64 { return maphash.String(a.seed, string(key.Lower())) }

func (a *answered) getLocked(k uint64) (uint64, bool) {
	// Both places are asked of memory before either is looked at.
	old := a.mu.old.first(k)
	if v, ok := a.mu.young.get(k); ok {
		return v, true
	}
	if old == 0 {
		return 0, false
	}
	return a.mu.old.get(k)
}

func (a *answered) putLocked(k, v uint64, now time.Time) {
	if a.mu.young.n >= a.limit/2 {
		a.mu.old.reset()
		a.turnLocked(a.mu.old, now)
	}
	a.mu.young.put(k, v)
}

func (a *answered) turnLocked(next generation, now time.Time) {
	a.mu.old, a.mu.young = a.mu.young, next
	a.mu.oldSince, a.mu.since = a.mu.since, now
	a.mu.oldTexts, a.mu.texts = a.mu.texts, nil
}

// tick forgets what is old.
func (a *answered) tick(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.mu.since).Abs() >= answeredFor {
		a.turnLocked(generation{}, now) // what a burst took is given back
	}
}

// remembered counts entries, and the messages that came again.
func (a *answered) remembered() (entries int, repeated uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.young.n + a.mu.old.n, a.mu.repeated
}
