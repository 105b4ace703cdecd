package dnsserver

import (
	"bytes"
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
// Two generations bound it in time and in number. Of a flood of updates fewer
// seconds are remembered; those that come again later get BADTIME then, and are
// not done again either.
type answered struct {
	limit int // Limits.UpdateAnswers; guarded by mu
	seed  maphash.Seed
	mu    struct {
		sync.Mutex
		young, old generation
		since      time.Time                   // of young
		turns      uint64                      // how often young became old
		shared     map[rr.Name]*moments        // by key in lower case
		waiting    map[uint64][]*pendingUpdate // copies that came over TCP before the answer was known
		repeated   uint64
		full       uint64 // how often the limit made answers be forgotten that were not old
	}
}

// generation maps digests of signatures to answers. Nearly all of these are the
// same few, so an entry is a digest and an octet.
type generation struct {
	answers digests
	usual   []usual         // what the codes from firstUsual on stand for
	codes   map[usual]uint8 // of usual
	others  map[uint64]outcome
}

// What a digest is mapped to.
const (
	codePending uint8 = iota // it is being done
	codeMoment               // it is no update, but a number's key and a time that it signed
	codeOther                // its answer is in others
	firstUsual
	maxUsual = 256 - int(firstUsual)
)

// usual is an outcome that many updates may have.
type usual struct {
	rcode uint16
	long  bool // both values of lease are there
	short bool // the first of them is
	lease [update.LeaseLong]byte
}

func (g *generation) code(digest uint64, o outcome) uint8 {
	if u, ok := o.usual(); ok {
		if n := len(g.usual); n > 0 && g.usual[0] == u {
			return firstUsual
		}
		c, known := g.codes[u]
		if known {
			return c
		}
		if n := len(g.usual); n < maxUsual {
			if g.codes == nil {
				g.codes = map[usual]uint8{}
			}
			c = firstUsual + uint8(n)
			g.codes[u], g.usual = c, append(g.usual, u)
			return c
		}
	}
	if g.others == nil {
		g.others = map[uint64]outcome{}
	}
	g.others[digest] = o
	return codeOther
}

func (g *generation) outcome(digest uint64, code uint8) outcome {
	if code < firstUsual {
		return g.others[digest]
	}
	return g.usual[code-firstUsual].outcome()
}

func (g *generation) delete(digest uint64) {
	g.answers.delete(digest)
	delete(g.others, digest)
}

// reset empties g, which keeps the memory of its answers.
func (g *generation) reset() {
	clear(g.answers.keys)
	*g = generation{answers: digests{keys: g.answers.keys, codes: g.answers.codes}}
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
	a.mu.since = now
}

func (o outcome) usual() (u usual, ok bool) {
	u.rcode = o.rcode
	u.short, u.long = len(o.lease) == update.LeaseShort, len(o.lease) == update.LeaseLong
	return u, o.ede == nil && copy(u.lease[:], o.lease) == len(o.lease)
}

func (u usual) outcome() outcome {
	o := outcome{rcode: u.rcode}
	switch {
	case u.long:
		o.lease = bytes.Clone(u.lease[:])
	case u.short:
		o.lease = bytes.Clone(u.lease[:update.LeaseShort])
	}
	return o
}

// begin notes an update that is to be done. When it is known it gives what it
// was answered; pending tells that this is not known yet.
func (a *answered) begin(digest uint64, now time.Time) (o outcome, known, pending bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	code, g := a.getLocked(digest)
	if g == nil {
		a.putLocked(digest, codePending, now)
		return o, false, false
	}
	a.mu.repeated++
	if code == codePending {
		return o, true, true
	}
	return g.outcome(digest, code), true, false
}

// end notes the answer.
func (a *answered) end(digest uint64, o outcome, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turnWhenFullLocked(now)
	a.mu.young.answers.put(digest, a.mu.young.code(digest, o))
}

// keep notes an update that has waited for long before it was done.
func (a *answered) keep(digest uint64, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.putLocked(digest, codePending, now)
}

// await has a copy of an update that is being done wait for the answer; false
// when that is known by now.
func (a *answered) await(u *pendingUpdate) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if code, g := a.getLocked(u.digest); g == nil || code != codePending {
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
	code, g := a.getLocked(digest)
	if g == nil || code == codePending {
		return o, false
	}
	a.mu.repeated++
	return g.outcome(digest, code), true
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
		a.putLocked(a.moment(key, signed), codeMoment, now)
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
	r.add(before, signed, a.mu.turns)
}

// knows tells whether all that was taken of a key, and signed then or later, is
// here.
func (a *answered) knows(key rr.Name, signed uint32, shared bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !shared {
		_, g := a.getLocked(a.moment(key, signed))
		return g != nil
	}
	r := a.mu.shared[key.Lower()]
	if r == nil {
		return false
	}
	turns, ok := r.reached(signed)
	return ok && turns+1 >= a.mu.turns
}

// maxShared is of how many keys that are not those of numbers the moments are
// kept.
const maxShared = 4096

// moments are when the newest time signed of a key first reached its last values.
type moments struct {
	floor uint32 // reached before the first of list
	list  []moment
}

// moment tells when by the generation: clocks are set back.
type moment struct {
	signed uint32
	turns  uint64
}

// maxMoments is more than the seconds that a key's updates may be late.
const maxMoments = 16

func (m *moments) add(before, signed uint32, turns uint64) {
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
	m.list = append(m.list, moment{signed, turns})
}

// reached tells when the newest first was signed or later; false when that is
// not known any more.
func (m *moments) reached(signed uint32) (turns uint64, ok bool) {
	if signed <= m.floor {
		return 0, false
	}
	for _, x := range m.list {
		if x.signed >= signed {
			return x.turns, true
		}
	}
	return 0, false
}

// moment is what stands in a generation for a key whose newest time signed became
// this one meanwhile.
func (a *answered) moment(key rr.Name, signed uint32) uint64 {
	var b [256 + 4]byte
	return maphash.Bytes(a.seed, binary.BigEndian.AppendUint32(append(b[:0], key.Lower()...), signed))
}

// getLocked gives the generation that knows a digest; nil for none.
func (a *answered) getLocked(k uint64) (code uint8, g *generation) {
	// Both places are asked of memory before either is looked at.
	old := a.mu.old.answers.first(k)
	if code, ok := a.mu.young.answers.get(k); ok {
		return code, &a.mu.young
	}
	if old == 0 {
		return 0, nil
	}
	if code, ok := a.mu.old.answers.get(k); ok {
		return code, &a.mu.old
	}
	return 0, nil
}

func (a *answered) putLocked(k uint64, code uint8, now time.Time) {
	a.turnWhenFullLocked(now)
	a.mu.young.answers.put(k, code)
}

func (a *answered) turnWhenFullLocked(now time.Time) {
	if a.mu.young.answers.n >= a.limit/2 {
		a.mu.full++
		a.mu.old.reset()
		a.turnLocked(a.mu.old, now)
	}
}

func (a *answered) turnLocked(next generation, now time.Time) {
	a.mu.old, a.mu.young = a.mu.young, next
	a.mu.since = now
	a.mu.turns++
}

// tick forgets what is old.
func (a *answered) tick(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.mu.since).Abs() >= answeredFor {
		a.turnLocked(generation{}, now) // what a burst took is given back
	}
}

// set changes the limit.
func (a *answered) set(limit int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limit = limit
}

// filled tells how often the limit was reached.
func (a *answered) filled() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.full
}

// remembered counts entries, and the messages that came again.
func (a *answered) remembered() (entries int, repeated uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.young.answers.n + a.mu.old.answers.n, a.mu.repeated
}
