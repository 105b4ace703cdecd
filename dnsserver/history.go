package dnsserver

import (
	"context"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// RequestNumberHistory asks for what a number had when.
const RequestNumberHistory = "number/history"

// HistoryQuestion asks for the history of a number, or for one moment of it.
type HistoryQuestion struct {
	NumberQuestion
	At    time.Time `json:"at,omitzero"`     // only what it had then
	After time.Time `json:"after,omitzero"`  // only what has happened since then
	Limit int       `json:"limit,omitempty"` // items at most; 0: DefaultHistory
}

// Bounds of HistoryQuestion.Limit.
const (
	DefaultHistory = 50
	MaxHistory     = 10_000
)

// HistoryItem is one piece of the answer; one of its fields is set. Pasts come the
// newest first, and HistoryEnd at last.
type HistoryItem struct {
	Progress *HistoryProgress `json:"progress,omitempty"`
	Past     *NumberPast      `json:"past,omitempty"`
	End      *HistoryEnd      `json:"end,omitempty"`
}

// HistoryProgress tells how many octets of the journal have been read.
type HistoryProgress struct {
	Read int64 `json:"read"`
	Of   int64 `json:"of"`
}

// HistoryEnd tells how far back the answer goes.
type HistoryEnd struct {
	Zone   string    `json:"zone"`
	Number string    `json:"number"`
	Name   string    `json:"name"`
	Oldest time.Time `json:"oldest,omitzero"` // nothing is known from before; zero: of nothing before now, or More
	More   bool      `json:"more,omitempty"`  // there is more than the limit
}

// How a number came to have what it had, beside the words of rr.AuthorKind.
const (
	PastUnknown = "before" // it had that when the journal begins
	PastKey     = "key"    // no change of its records, but of its secret: Action says which
)

// NumberPast is what a number had from one moment to another.
type NumberPast struct {
	How       string       `json:"how"`             // of rr.AuthorKind, PastUnknown or PastKey
	Since     time.Time    `json:"since,omitzero"`  // of PastUnknown the first moment that is known
	Until     time.Time    `json:"until,omitzero"`  // zero: still, or with PastKey
	Addresses []netip.Addr `json:"addresses"`       // at the number's own name
	Records   int          `json:"records"`         // all that it had, those below it too
	By        []PastAuthor `json:"by,omitempty"`    // nearly always one
	Serial    uint32       `json:"serial,omitzero"` // of the zone
	New       []string     `json:"new,omitempty"`   // records that were added, and
	Gone      []string     `json:"gone,omitempty"`  // taken away, as lines of a master file
	More      int          `json:"more,omitempty"`  // of these that are not told
	Action    string       `json:"action,omitempty"`
}

// PastAuthor is who changed a number.
type PastAuthor struct {
	How       string     `json:"how"` // as of NumberPast
	Key       string     `json:"key,omitempty"`
	PublicKey bool       `json:"public_key,omitempty"` // Key is none of a shared secret
	From      netip.Addr `json:"from,omitzero"`
	UID       *int       `json:"uid,omitempty"` // of who gave the command
}

// maxHistories is how many journals are read for a history at a time. Each takes a core
// for a second or two.
const maxHistories = 2

// numberHistory reads the journal back from its new end.
func (c *commands) numberHistory(ctx context.Context, _ control.Peer, q HistoryQuestion) iter.Seq2[HistoryItem, error] {
	return func(yield func(HistoryItem, error) bool) {
		more := true // who has stopped is told nothing more
		h := historian{c: c, ctx: ctx, q: q, yield: func(i HistoryItem) bool {
			more = more && yield(i, nil)
			return more
		}}
		if err := h.run(); err != nil && more {
			yield(HistoryItem{}, err)
		}
	}
}

// historian answers one question.
type historian struct {
	c     *commands
	ctx   context.Context
	q     HistoryQuestion
	yield func(HistoryItem) bool

	zone   *store.Zone
	own    rr.Name
	events []control.Entry // of its key, still to be told, the oldest first
	until  time.Time       // of what comes next
	told   int
	over   bool
	shown  time.Time // the last progress
}

func (h *historian) run() error {
	if h.q.Limit < 0 || h.q.Limit > MaxHistory {
		return control.Mistakef("the limit must be 1 to %d", MaxHistory)
	}
	if h.q.Limit == 0 {
		h.q.Limit = DefaultHistory
	}
	apex, err := h.c.apexFor(h.q.NumberQuestion)
	if err != nil {
		return err
	}
	if h.zone, err = h.c.s.storedZone(apex); err != nil {
		return err
	}
	if h.zone == nil { // a history does not need a running server
		return control.Mistakef("zone %s is not in the data directory %s yet: nothing has happened to its numbers", apex, h.c.s.opts.DataDir)
	}
	select {
	case h.c.histories <- struct{}{}:
		defer func() { <-h.c.histories }()
	case <-h.ctx.Done():
		return context.Cause(h.ctx)
	}
	h.own = rr.NumberName(h.q.Number, apex)
	if h.q.At.IsZero() {
		if h.events, err = h.c.log.About(apex.String(), h.q.Number, h.q.After); err != nil {
			return err
		}
		h.events = slices.DeleteFunc(h.events, func(e control.Entry) bool { return e.Action == "number release" }) // is in the journal
	}
	end := &HistoryEnd{Zone: apex.String(), Number: h.q.Number, Name: h.own.String()}
	for p, err := range h.zone.History(h.q.Number, h.progress) {
		if err != nil {
			return err
		}
		if p.Change == nil {
			end.Oldest = p.Since
		}
		if !h.tell(p) {
			break
		}
	}
	if err := h.ctx.Err(); err != nil {
		return context.Cause(h.ctx)
	}
	end.More = h.over
	h.yield(HistoryItem{End: end})
	return nil
}

// historyTellsEvery is how often progress is told.
const historyTellsEvery = 200 * time.Millisecond

func (h *historian) progress(read, of int64, at time.Time) bool {
	if h.ctx.Err() != nil || at.Before(h.q.After) {
		return false
	}
	now := time.Now()
	if h.shown.IsZero() {
		h.shown = now
	}
	if now.Sub(h.shown) < historyTellsEvery {
		return true
	}
	h.shown = now
	return h.yield(HistoryItem{Progress: &HistoryProgress{read, of}})
}

// tell passes on what the store says, and the events that came after it.
func (h *historian) tell(p *store.Past) bool {
	past := h.pastOf(p)
	past.Until, h.until = h.until, p.Since
	if at := h.q.At; !at.IsZero() {
		switch {
		case p.Change == nil && at.Before(p.Since): // so it was when the journal began, but nobody knows since when
			return false
		case p.Change != nil && at.Before(p.Since):
			return true
		}
		h.yield(HistoryItem{Past: past})
		return false
	}
	if !h.tellEvents(p.Since) {
		return false
	}
	if p.Change != nil {
		return h.give(past)
	}
	if len(p.Records) > 0 && !h.give(past) {
		return false
	}
	return h.tellEvents(time.Time{})
}

// tellEvents passes on what happened to the number's key since then.
func (h *historian) tellEvents(since time.Time) bool {
	for len(h.events) > 0 {
		e := h.events[len(h.events)-1]
		if e.Time.Before(since) {
			break
		}
		h.events = h.events[:len(h.events)-1]
		uid := e.Who.UID
		if !h.give(&NumberPast{How: PastKey, Action: e.Action, Since: e.Time, Addresses: []netip.Addr{}, By: []PastAuthor{{How: PastKey, UID: &uid}}}) {
			return false
		}
	}
	return true
}

// give passes on one item, unless there were enough.
func (h *historian) give(p *NumberPast) bool {
	if !h.q.After.IsZero() && !p.Since.After(h.q.After) {
		return false
	}
	if h.told == h.q.Limit {
		h.over = true
		return false
	}
	h.told++
	return h.yield(HistoryItem{Past: p})
}

func (h *historian) pastOf(p *store.Past) *NumberPast {
	out := &NumberPast{How: PastUnknown, Since: p.Since, Addresses: []netip.Addr{}, Records: len(p.Records)}
	for _, r := range p.Records {
		if r.Type != dns.TypeA && r.Type != dns.TypeAAAA || !r.Owner.EqualFold(h.own) {
			continue
		}
		if a, ok := netip.AddrFromSlice([]byte(r.Data)); ok {
			out.Addresses = append(out.Addresses, a)
		}
	}
	if p.Change == nil {
		return out
	}
	out.Serial, out.How = p.Change.Serial, rr.ByNobody.String()
	var more int
	out.New, out.More = texts(p.Change.Added)
	out.Gone, more = texts(p.Change.Deleted)
	out.More += more
	for _, a := range p.Change.Authors {
		by := PastAuthor{How: a.Kind.String(), PublicKey: a.Public, From: a.From, Key: nameText(a.Key)}
		if a.Kind == rr.ByRelease || a.Kind == rr.ByImport {
			uid := int(a.UID)
			by.UID = &uid
		}
		out.By = append(out.By, by)
		out.How = by.How
	}
	return out
}
