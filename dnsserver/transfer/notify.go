package transfer

import (
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/update/tsig"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// NotifyOptions of a Notifier. Zero values are the defaults in parentheses.
type NotifyOptions struct {
	// Retry is the wait for a reply before each further try. After the last
	// try the last wait is kept once more, then the target is given up until
	// the zone changes (5, 10, 20, 40, 60 s; RFC 1996, section 3.6).
	Retry []time.Duration
	// Interval is the least time between two messages about one zone to one
	// target that answers: what changes meanwhile is told at once (500 ms).
	Interval time.Duration
	Keys     *tsig.Keyring // for targets that have a key
	Logger   *slog.Logger  // (slog.Default)
	// Listen opens the socket for network udp4 or udp6 (net.ListenUDP on any port).
	Listen func(network string) (PacketConn, error)
}

func (o NotifyOptions) withDefaults() NotifyOptions {
	if len(o.Retry) == 0 {
		for _, s := range [...]int{5, 10, 20, 40, 60} {
			o.Retry = append(o.Retry, time.Duration(s)*time.Second)
		}
	}
	if o.Interval <= 0 {
		o.Interval = 500 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Listen == nil {
		o.Listen = func(network string) (PacketConn, error) { return net.ListenUDP(network, nil) }
	}
	return o
}

// PacketConn is what a Notifier needs of a *net.UDPConn.
type PacketConn interface {
	ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	Close() error
}

var _ PacketConn = (*net.UDPConn)(nil)

// Target is a secondary that is to be told of changes.
type Target struct {
	Addr netip.AddrPort
	Key  rr.Name // signs the NOTIFY; "" for an unsigned one
}

// TargetCounters are what became of the messages to one secondary, of all its zones. They only grow.
type TargetCounters struct {
	Sent     atomic.Uint64 // messages
	Answered atomic.Uint64 // replies that ended a NOTIFY
	Missed   atomic.Uint64 // messages without a good reply
	GivenUp  atomic.Uint64 // zones of which it missed every try
}

// NotifyCounters only grow, but for Pending.
type NotifyCounters struct {
	Pending  atomic.Int64  // targets that have a message to come or to answer
	Sent     atomic.Uint64 // messages
	Answered atomic.Uint64 // replies that ended a NOTIFY
	Missed   atomic.Uint64 // messages without a good reply
	GivenUp  atomic.Uint64 // targets that missed every try
}

// Notifier tells secondaries that their zones have changed. One goroutine
// owns the schedule, and one reads each of the at most two sockets.
type Notifier struct {
	Counters NotifyCounters

	opt     NotifyOptions
	kick    chan struct{}
	replies chan datagram
	asked   chan chan<- []TargetState
	done    chan struct{}
	wg      sync.WaitGroup

	mu struct {
		sync.Mutex
		closed    bool
		replaced  map[*zone.Zone][]Target
		published map[*zone.Zone]struct{}
		targets   map[netip.AddrPort]*TargetCounters
		conns     map[string]PacketConn // by network
	}

	// Owned by run.
	reader   *zone.Reader
	schedule *schedule
	pairs    map[*zone.Zone][]*pair
}

// A burst of messages is limited, so that notifying many zones at start-up
// does not overrun a secondary's socket buffer.
const (
	burst      = 64
	burstPause = 20 * time.Millisecond
)

// NewNotifier starts a Notifier, which runs until Close.
func NewNotifier(o NotifyOptions) *Notifier {
	o = o.withDefaults()
	n := &Notifier{
		opt: o, kick: make(chan struct{}, 1), replies: make(chan datagram, burst), done: make(chan struct{}),
		asked:  make(chan chan<- []TargetState),
		reader: zone.NewReader(), schedule: newSchedule(o.Retry, o.Interval), pairs: make(map[*zone.Zone][]*pair),
	}
	n.mu.published, n.mu.replaced = make(map[*zone.Zone]struct{}), make(map[*zone.Zone][]Target)
	n.mu.conns = make(map[string]PacketConn)
	n.mu.targets = make(map[netip.AddrPort]*TargetCounters)
	n.wg.Go(n.run)
	return n
}

// Targets gives the counters of each secondary.
func (n *Notifier) Targets() map[netip.AddrPort]*TargetCounters {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.mu.targets)
}

func (n *Notifier) counters(secondary netip.AddrPort) *TargetCounters {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.targets[secondary]
}

// Replace gives z these targets: those that it has already go on as they are, new
// ones are notified of its current serial (RFC 1996, section 4.1), and the rest is
// forgotten. Call it when the zone can be queried.
func (n *Notifier) Replace(z *zone.Zone, targets []Target) {
	unmapped := make([]Target, len(targets))
	for i, t := range targets {
		unmapped[i] = Target{netip.AddrPortFrom(t.Addr.Addr().Unmap(), t.Addr.Port()), t.Key}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range unmapped {
		if n.mu.targets[t.Addr] == nil {
			n.mu.targets[t.Addr] = new(TargetCounters)
		}
	}
	n.mu.replaced[z] = unmapped
	n.wake()
}

// Published has the targets of z notified; it never blocks. It is made for
// (*zone.Zone).OnPublish. A zone that was not added has no targets. The serial
// that is told is that of the moment of sending.
func (n *Notifier) Published(z *zone.Zone, _ uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.published[z] = struct{}{}
	n.wake()
}

func (n *Notifier) wake() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// Close ends all tries and waits for the goroutines. No zone may be closed
// before it returns.
func (n *Notifier) Close() error {
	n.mu.Lock()
	if n.mu.closed {
		n.mu.Unlock()
		return nil
	}
	n.mu.closed = true
	var errs []error
	for _, c := range n.mu.conns {
		errs = append(errs, c.Close())
	}
	close(n.done)
	n.mu.Unlock()
	n.wg.Wait()
	n.reader.Close()
	return errors.Join(errs...)
}

// run owns the schedule. Close stops it.
func (n *Notifier) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-n.done:
			return
		case <-n.kick:
			n.collect(time.Now())
		case d := <-n.replies:
			n.reply(d, time.Now())
		case to := <-n.asked:
			n.collect(time.Now()) // who asks knows of what was told before
			to <- n.states()
		case <-timer.C:
		}
		paused := n.sendDue()
		n.Counters.Pending.Store(int64(len(n.schedule.queue)))
		timer.Stop()
		switch due, ok := n.schedule.wake(); {
		case paused:
			timer.Reset(burstPause)
		case ok:
			timer.Reset(time.Until(due))
		}
	}
}

// TargetState is how far a Notifier is with a target of a zone.
type TargetState struct {
	Zone   *zone.Zone
	Target Target
	// Told is the serial of the last NOTIFY that the target answered, at ToldAt:
	// it has heard of it, and may have it or not. The zero time: none yet.
	Told    uint32
	ToldAt  time.Time
	Pending bool // a message is to come, or to be answered
	Missed  int  // messages without a good reply since the last good one
	Silent  bool // it has missed a whole round
}

// States tells of all targets; nothing after Close.
func (n *Notifier) States() []TargetState {
	answer := make(chan []TargetState, 1)
	select {
	case n.asked <- answer:
		return <-answer
	case <-n.done:
		return nil
	}
}

func (n *Notifier) states() []TargetState {
	var all []TargetState
	for z, pairs := range n.pairs {
		for _, p := range pairs {
			all = append(all, TargetState{
				Zone: z, Target: p.target, Told: p.told, ToldAt: p.toldAt, Pending: p.place >= 0,
				Missed: p.missed, Silent: p.missed > len(n.opt.Retry),
			})
		}
	}
	return all
}

// collect takes what Replace and Published left.
func (n *Notifier) collect(now time.Time) {
	n.mu.Lock()
	published, replaced := n.mu.published, n.mu.replaced
	n.mu.published, n.mu.replaced = make(map[*zone.Zone]struct{}), make(map[*zone.Zone][]Target)
	n.mu.Unlock()
	for z, targets := range replaced {
		n.replace(z, targets, now)
	}
	for z := range published {
		for _, p := range n.pairs[z] {
			n.schedule.published(p, now)
		}
	}
}

// replace forgets the targets that z has no more, and has new ones notified.
func (n *Notifier) replace(z *zone.Zone, targets []Target, now time.Time) {
	var kept []*pair
	for _, p := range n.pairs[z] {
		if at := slices.Index(targets, p.target); at >= 0 {
			kept, targets = append(kept, p), slices.Delete(slices.Clone(targets), at, at+1)
		} else {
			n.schedule.idle(p)
		}
	}
	for _, t := range targets {
		p := &pair{zone: z, target: t, place: -1, counters: n.counters(t.Addr)}
		kept = append(kept, p)
		n.schedule.published(p, now)
	}
	if n.pairs[z] = kept; len(kept) == 0 {
		delete(n.pairs, z)
	}
}

// sendDue sends what is due, a burst at most; paused tells that there is more.
func (n *Notifier) sendDue() (paused bool) {
	for range burst {
		now := time.Now()
		p, missed, givenUp := n.schedule.next(now)
		if missed {
			n.Counters.Missed.Add(1)
			p.counters.Missed.Add(1)
			n.logMissed(p)
		}
		switch {
		case p == nil:
			return false
		case givenUp:
			n.Counters.GivenUp.Add(1)
			p.counters.GivenUp.Add(1)
			continue
		}
		id := n.newID(p.target.Addr)
		request, err := n.send(p, id, now)
		if err != nil {
			n.log(p).Info("NOTIFY cannot be sent", "err", err)
		}
		n.schedule.sent(p, id, request, now)
		if err != nil {
			n.schedule.stopWaiting(p)
		}
	}
	return true
}

// logMissed warns once when a target has missed a whole round.
func (n *Notifier) logMissed(p *pair) {
	if p.missed == len(n.opt.Retry)+1 {
		n.log(p).Warn("secondary does not answer NOTIFY", "tries", p.missed)
	}
}

func (n *Notifier) log(p *pair) *slog.Logger {
	l := n.opt.Logger.With("op", "NOTIFY", "remote", p.target.Addr.String(), "proto", "udp")
	if p.target.Key != "" {
		l = l.With("key", p.target.Key.String())
	}
	return l.With("zone", p.zone.Apex().String())
}

func (n *Notifier) newID(to netip.AddrPort) uint16 {
	for {
		id := uint16(rand.Uint32())
		if n.schedule.waiting[replyKey{to, id}] == nil {
			return id
		}
	}
}

// send builds, signs and sends the message of p.
func (n *Notifier) send(p *pair, id uint16, now time.Time) (*tsig.Request, error) {
	msg, request, err := n.message(p, id, now)
	if err != nil {
		return nil, err
	}
	c, err := n.conn(p.target.Addr.Addr())
	if err != nil {
		return nil, err
	}
	if _, err = c.WriteToUDPAddrPort(msg, p.target.Addr); err != nil {
		return nil, err
	}
	n.Counters.Sent.Add(1)
	p.counters.Sent.Add(1)
	return request, nil
}
