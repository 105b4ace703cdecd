package ratelimit

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Class is a kind of response that has a rate of its own.
type Class uint8

// The classes.
const (
	Answers   Class = iota // what was asked for, aliases included
	Referrals              // to the servers of a child zone
	NoData                 // the name exists, the type does not
	NXDomains              // the name does not exist
	Errors                 // any other RCODE
	All                    // whatever goes to one network
	Classes   = int(All) + 1
)

// String is the name of the class in settings and metrics.
func (c Class) String() string {
	return [Classes]string{"responses", "referrals", "nodata", "nxdomains", "errors", "all"}[c]
}

// Response is what a response counts as.
type Response struct {
	Class    Class
	Wildcard bool   // made by a wildcard of the zone Name
	NoSlip   bool   // it has no short form; errors have none anyway
	QType    uint16 // of answers
	Name     []byte // lower-case wire form; not used after the call
}

// Verdict is what becomes of a response.
type Verdict uint8

// Verdicts.
const (
	Send     Verdict = iota
	Drop             // nothing is sent
	Slip             // a short response that tells a true client how to go on
	Logged           // it would be limited, but Options.LogOnly
	Verdicts = int(Logged) + 1
)

// String is the name of the verdict in metrics.
func (v Verdict) String() string { return [Verdicts]string{"sent", "dropped", "slipped", "logged"}[v] }

// Limits of Options.
const (
	MaxRate    = 1000
	MaxWindow  = time.Hour
	MaxSlip    = 10
	MinEntries = 1 << 10
	MaxEntries = 1 << 24
)

// Options of New. A zero value is the default in parentheses.
type Options struct {
	// Rates are responses a second to one network, by class, at most MaxRate; 0: no limit.
	Rates [Classes]int
	// Window is for how long a network that has asked too much is held off at most, MaxWindow being the longest
	// (15 s).
	Window time.Duration
	// Slip makes the first of so many limited responses a short one, so that a client whose address others forge
	// gets on by TCP or with a cookie (2; 1: all of them; negative: none). Errors are short anyway and only dropped.
	Slip int
	// IPv4Prefix and IPv6Prefix are the bits of an address that make a network (24, 56), 64 of IPv6 at most.
	IPv4Prefix, IPv6Prefix int
	// Exempt are networks that are not limited.
	Exempt []netip.Prefix
	// Entries is the size of the table in accounts of 8 octets, rounded up to a power of two (16,384). An account is in
	// use for 1/rate of a second after a response. A table that outgrows the processor's second-level cache costs a
	// query more: in all 3 to 4 % of what it costs with this size, 5 % with 131,072.
	Entries int
	// LogOnly decides, logs and counts, but lets everything leave.
	LogOnly bool
}

// On tells whether anything is limited.
func (o *Options) On() bool { return slices.Max(o.Rates[:]) > 0 }

func (o Options) withDefaults() Options {
	set := func(v *int, d, low, high int) {
		if *v == 0 {
			*v = d
		}
		*v = min(max(*v, low), high)
	}
	set(&o.Slip, 2, -1, MaxSlip)
	set(&o.IPv4Prefix, 24, 1, 32)
	set(&o.IPv6Prefix, 56, 1, 64)
	set(&o.Entries, 1<<14, MinEntries, MaxEntries)
	if o.Window <= 0 {
		o.Window = 15 * time.Second
	}
	o.Window = min(o.Window, MaxWindow)
	return o
}

// Parts of an account's word, and its clock.
const (
	second    = 1 << 16 // of the clock
	ways      = 8       // places in a line
	tagShift  = 37
	limited   = 1 << 36
	slipShift = 32
	slipMask  = 15
)

// line is what one hash leads to: the octets of a cache line.
type line [ways]atomic.Uint64

// Limiter is immutable but for its table and clock, and may be used by any number of goroutines. New options are
// a new Limiter.
type Limiter struct {
	o            Options
	mask4, mask6 uint64
	cost, burst  [Classes]uint32 // of one response, and what may be owed, in ticks of the clock
	window, most uint32          // what may be owed beyond burst, and in all
	exempt       spans

	seed   maphash.Seed
	k0, k1 uint64
	lines  []line
	began  time.Time
	now    atomic.Uint32

	events events
	swept  int // lines; Tick only
}

// New makes a Limiter, whose clock begins at now.
func New(o Options, now time.Time) *Limiter {
	o = o.withDefaults()
	l := &Limiter{o: o, mask4: ^uint64(0) << (32 - o.IPv4Prefix) & 0xFFFFFFFF, mask6: ^uint64(0) << (64 - o.IPv6Prefix)}
	for c, rate := range o.Rates {
		if rate > 0 {
			l.cost[c] = second / uint32(min(rate, MaxRate))
			l.burst[c] = l.cost[c] * uint32(min(rate, MaxRate))
		}
	}
	l.window = uint32(o.Window * second / time.Second)
	l.most = l.window + second
	l.exempt = newSpans(o.Exempt)
	l.seed, l.k0, l.k1 = maphash.MakeSeed(), rand.Uint64(), rand.Uint64()
	l.lines = make([]line, 1<<bits.Len(uint(o.Entries-1))/ways)
	l.began = now
	return l
}

// Tally counts the responses of one goroutine that were limited, until it adds them to counters of its own.
type Tally struct {
	Any     bool // there is something
	Limited [Classes][Verdicts]uint32
	Evicted uint32 // accounts that made room for others while something was owed
}

// Take decides about a response to client that is about to leave. It allocates nothing and never waits.
func (l *Limiter) Take(client netip.Addr, r Response, t *Tally) Verdict {
	client = client.Unmap()
	if len(l.exempt) > 0 && l.exempt.has(client) {
		return Send
	}
	class, v := r.Class, Send
	network := l.network(client)
	if l.cost[class] != 0 {
		v = l.debit(class, l.hash(network, &r), client, &r, t)
	}
	if v == Send && l.cost[All] != 0 {
		class = All
		v = l.debit(class, l.hash(network, &Response{Class: All}), client, &r, t)
	}
	if v == Send {
		return v
	}
	if l.o.LogOnly {
		v = Logged
	}
	t.Any = true
	t.Limited[class][v]++
	return v
}

// network gives the bits of an address that make its network, marked by family.
func (l *Limiter) network(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return (uint64(b[0])<<24|uint64(b[1])<<16|uint64(b[2])<<8|uint64(b[3]))&l.mask4 | 1<<63
	}
	b := a.As16()
	var n uint64
	for _, c := range b[:8] {
		n = n<<8 | uint64(c)
	}
	return n & l.mask6 // no network in use begins with 8000:0, as those of IPv4 do here
}

// hash leads to an account. The seed makes the name's part random, the secret factors the rest.
func (l *Limiter) hash(network uint64, r *Response) uint64 {
	kind := uint64(r.Class)<<20 | uint64(r.QType)
	if r.Wildcard {
		kind |= 1 << 16
	}
	h := kind * 0x9E3779B97F4A7C15
	if len(r.Name) > 0 {
		h += maphash.Bytes(l.seed, r.Name)
	}
	hi, lo := bits.Mul64(h^l.k0, network^l.k1)
	hi, lo = bits.Mul64(hi^lo^l.k1, 0xD6E8FEB86659FD93)
	return hi ^ lo
}

// tries bounds how often a change is tried again that another goroutine came before. A response that is counted by
// nobody is one of a flood.
const tries = 4

// debit charges a response to the account at h.
func (l *Limiter) debit(class Class, h uint64, client netip.Addr, r *Response, t *Tally) Verdict {
	at := &l.lines[h&uint64(len(l.lines)-1)]
	tag := h >> tagShift
	now := l.now.Load()
	v := Send
	for range tries {
		place, word, owed := l.find(at, tag, now)
		known := owed > 0 && word>>tagShift == tag
		state := uint64(0)
		if known {
			state = word & (limited | slipMask<<slipShift)
		} else if owed > 0 {
			t.Evicted++
			t.Any = true
			owed = 0
		}
		owed = min(owed+l.cost[class], l.burst[class]+l.window)
		first := false
		v = Send
		if owed > l.burst[class] {
			first = state&limited == 0
			v, state = l.limit(r, state)
		}
		if place.CompareAndSwap(word, tag<<tagShift|state|uint64(now+owed)) {
			if first {
				l.events.begin(l.event(class, client, r), at, tag)
			}
			return v
		}
	}
	return v
}

// limit decides what becomes of a response that is one too many.
func (l *Limiter) limit(r *Response, state uint64) (Verdict, uint64) {
	v, count := Drop, int(state>>slipShift&slipMask)
	if count == 0 && l.o.Slip > 0 && r.Class != Errors && !r.NoSlip {
		v = Slip
	}
	if count++; count >= l.o.Slip {
		count = 0
	}
	return v, limited | uint64(count)<<slipShift
}

// find gives the place of an account: its own, or the one that owes least.
func (l *Limiter) find(at *line, tag uint64, now uint32) (place *atomic.Uint64, word uint64, owed uint32) {
	owed = ^uint32(0)
	for i := range at {
		w := at[i].Load()
		o := l.owed(w, now)
		if o > 0 && w>>tagShift == tag {
			return &at[i], w, o
		}
		if o < owed {
			place, word, owed = &at[i], w, o
		}
	}
	return place, word, owed
}

// owed tells what an account owes; 0 for none, or when its moment has passed.
func (l *Limiter) owed(word uint64, now uint32) uint32 {
	o := uint32(word) - now
	if o > l.most || word == 0 {
		return 0
	}
	return o
}

// InUse counts the accounts that owe something.
func (l *Limiter) InUse() (n int) {
	now := l.now.Load()
	for i := range l.lines {
		for j := range l.lines[i] {
			if l.owed(l.lines[i][j].Load(), now) > 0 {
				n++
			}
		}
	}
	return n
}

// Size is the number of accounts that the table has room for.
func (l *Limiter) Size() int { return len(l.lines) * ways }

// sweepTicks is the number of calls of Tick that visit the whole table: far less, at some a second, than it takes
// the clock to come round (18 hours), when a moment that passed long ago would seem to lie ahead.
const sweepTicks = 1 << 12

// Tick sets the clock, whose grain is the distance of calls. It must be called some times a second, by one
// goroutine at a time. log is told of networks whose limiting began or ended; it must not keep names.
func (l *Limiter) Tick(now time.Time, log func(Event)) {
	d := now.Sub(l.began)
	ticks := uint32(d/time.Second)*second + uint32(d%time.Second*second/time.Second)
	l.now.Store(ticks)
	for range len(l.lines)/sweepTicks + 1 {
		at := &l.lines[l.swept%len(l.lines)]
		l.swept++
		for i := range at {
			if w := at[i].Load(); w != 0 && l.owed(w, ticks) == 0 {
				at[i].CompareAndSwap(w, 0)
			}
		}
	}
	l.report(now, log)
}
