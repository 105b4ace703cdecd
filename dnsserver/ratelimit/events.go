package ratelimit

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Event is that limiting of responses to a network begins or has ended.
type Event struct {
	Ended    bool
	LogOnly  bool
	Network  netip.Prefix
	Class    Class
	Response Class // with All: what the response was that was one too many
	Wildcard bool
	QType    uint16
	Name     []byte
	// Unlogged is how many networks were limited since the event before without one of their own.
	Unlogged uint64
}

// Bounds of the events.
const (
	maxBegun  = 32  // that wait for the next Tick
	maxActive = 256 // networks whose end is waited for
	// perSecond events are told, ten seconds' worth at once.
	perSecond = 5
	atOnce    = 10 * perSecond
)

// events are what began and has not been told yet, and what was told and has not ended. A goroutine that answers
// puts something here once in the life of a debt, and never waits: what finds no room is counted.
type events struct {
	mu struct {
		sync.Mutex
		begun [maxBegun]noted
		n     int
	}
	unlogged atomic.Uint64

	// Of Tick only.
	active []noted
	credit float64
	last   time.Time
}

type noted struct {
	e     Event
	name  [255]byte
	names int
	at    *line
	tag   uint64
}

func (l *Limiter) event(class Class, client netip.Addr, r *Response) Event {
	bits := l.o.IPv6Prefix
	if client.Is4() {
		bits = l.o.IPv4Prefix
	}
	network, _ := client.WithZone("").Prefix(bits) // bits fit the family
	return Event{LogOnly: l.o.LogOnly, Network: network, Class: class, Response: r.Class, Wildcard: r.Wildcard, QType: r.QType, Name: r.Name}
}

func (e *events) begin(event Event, at *line, tag uint64) {
	if !e.mu.TryLock() {
		e.unlogged.Add(1)
		return
	}
	defer e.mu.Unlock()
	if e.mu.n == maxBegun {
		e.unlogged.Add(1)
		return
	}
	n := &e.mu.begun[e.mu.n]
	e.mu.n++
	n.names = copy(n.name[:], event.Name)
	n.e, n.at, n.tag = event, at, tag
	n.e.Name = nil
}

// report tells what began and what has ended since the last call, as far as perSecond allows.
func (l *Limiter) report(now time.Time, log func(Event)) {
	e := &l.events
	e.credit = min(e.credit+now.Sub(e.last).Seconds()*perSecond, atOnce)
	e.last = now
	tell := func(n *noted, ended bool, unlogged uint64) {
		event := n.e
		event.Ended, event.Name, event.Unlogged = ended, n.name[:n.names], unlogged
		e.credit--
		log(event)
	}
	e.active = slices.DeleteFunc(e.active, func(n noted) bool {
		if e.credit < 1 || l.isLimited(n.at, n.tag) {
			return false
		}
		tell(&n, true, 0)
		return true
	})
	e.mu.Lock()
	begun := slices.Clone(e.mu.begun[:e.mu.n])
	e.mu.n = 0
	e.mu.Unlock()
	unlogged := e.unlogged.Swap(0)
	for i := range begun {
		if e.credit < 1 || len(e.active) >= maxActive {
			unlogged++
			continue
		}
		tell(&begun[i], false, unlogged)
		unlogged = 0
		e.active = append(e.active, begun[i])
	}
	e.unlogged.Add(unlogged)
}

// End tells of all networks that are limited that they are so no more, since the Limiter is not used any more. It is called
// in the place of Tick.
func (l *Limiter) End(log func(Event)) {
	e := &l.events
	for i := range e.active {
		n := &e.active[i]
		event := n.e
		event.Ended, event.Name = true, n.name[:n.names]
		log(event)
	}
	e.active = nil
}

// isLimited tells whether an account still owes from a time when it was limited.
func (l *Limiter) isLimited(at *line, tag uint64) bool {
	now := l.now.Load()
	for i := range at {
		if w := at[i].Load(); w>>tagShift == tag && w&limited != 0 && l.owed(w, now) > 0 {
			return true
		}
	}
	return false
}
