package zone

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"dialtone/zone/rr"
	"dialtone/zone/table"
)

// Loaded is the memory of a zone that was filled while its content went into
// the store for the first time, so that Open need not read it back.
type Loaded struct{ l loader }

// NewLoaded begins with an empty zone, which will have about so many RRsets.
func NewLoaded(apex rr.Name, sets int) *Loaded {
	return &Loaded{l: loader{z: newZone(apex), estimate: func() int { return sets }}}
}

// Add takes an RRset in the order of Store.All.
func (l *Loaded) Add(s *rr.Octets) error { return l.l.add(s) }

// load fills memory from the store and publishes it as the first version.
func (z *Zone) load(ctx context.Context) error {
	l := loader{z: z, estimate: z.o.Store.Estimate}
	count := 0
	for s, err := range z.o.Store.All() {
		if err != nil {
			return err
		}
		if count++; count%(1<<14) == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			z.o.Progress(count)
		}
		if err := l.add(s); err != nil {
			return err
		}
	}
	l.finish()
	return z.publish(1)
}

// loader makes nodes of the RRsets of a store, which come owner by owner,
// straight from the store's octets: it allocates nothing for any of them. It
// puts some nodes at a time: see table.Ahead.
type loader struct {
	z     *Zone
	nodes [loadAhead]loadNode
	ahead *loadPaths // small zones, of which there may be many, have none
	n     int        // of nodes, the one that is being gathered is behind them
	any   bool       // there is such a one
	sets  int        // in nodes, of the first ones

	estimate func() int // about how many RRsets there will be
}

// loadPaths are those of loader.nodes, for which memory is asked together.
type loadPaths struct {
	table.Ahead
	paths [loadAhead]table.Path
}

// loadAhead: 8 to 32 make no difference.
const loadAhead = 16

// loadNode is a name with its RRsets.
type loadNode struct {
	owner []byte // relative to the apex
	body  []byte
	flags uint8
}

func (l *loader) add(s *rr.Octets) error {
	apex := l.z.apex
	if !rr.InZone(s.Owner, apex) {
		return fmt.Errorf("the store holds %s, which is not in the zone", rr.Name(s.Owner))
	}
	own := s.Owner[:len(s.Owner)-len(apex)]
	if n := &l.nodes[l.n]; !l.any || string(own) != string(n.owner) && !rr.EqualFold(own, n.owner) {
		if err := l.begin(own); err != nil {
			return err
		}
	}
	n := &l.nodes[l.n]
	n.flags |= typeFlags(len(own) == 0, s.Type)
	l.sets++
	l.z.w.records += len(s.Data)
	at := len(n.body)
	n.body = binary.BigEndian.AppendUint16(n.body, s.Type)
	n.body = binary.BigEndian.AppendUint32(n.body, s.TTL)
	n.body = binary.BigEndian.AppendUint16(n.body, uint16(len(s.Data)))
	n.body = append(n.body, 0, 0, 0, 0)
	for _, d := range s.Data {
		n.body = binary.BigEndian.AppendUint16(n.body, uint16(len(d)))
		n.body = append(n.body, d...)
		l.z.w.octets += recordSize(len(own), len(d))
	}
	binary.BigEndian.PutUint32(n.body[at+8:], uint32(len(n.body)-at-setHeader))
	return nil
}

// begin ends the node that was gathered, and begins another.
func (l *loader) begin(owner []byte) error {
	if l.any {
		l.n++
	}
	if l.n == loadAhead {
		if l.z.table.Full() {
			return errors.New("the zone is larger than the memory of one zone can be")
		}
		l.put()
	}
	n := &l.nodes[l.n]
	n.owner, n.body, n.flags = append(n.owner[:0], owner...), n.body[:0], 0
	l.any = true
	return nil
}

// finish puts what is left.
func (l *loader) finish() {
	if l.any {
		l.n++
	}
	l.put()
}

func (l *loader) put() {
	t, w := &l.z.table, &l.z.w
	ahead := l.n == loadAhead
	if ahead {
		if l.ahead == nil {
			l.ahead = new(loadPaths)
			// A number with addresses of both families is one name.
			t.Reserve(l.estimate() / max(1, l.sets/loadAhead))
		}
		for i := range l.nodes {
			t.SetPath(&l.ahead.paths[i], l.nodes[i].owner)
			l.ahead.Add(l.ahead.paths[i].Hash())
		}
		l.ahead.Ask(t)
	}
	for i := range l.nodes[:l.n] {
		n, path := &l.nodes[i], &w.path
		if ahead {
			path = &l.ahead.paths[i]
		} else {
			t.SetPath(path, n.owner)
		}
		w.names++
		if isNumber(n.owner) {
			w.numbers++
		}
		if hasAsterisk(n.owner) {
			w.wild++
		}
		t.Put(path, n.body, n.flags, 1)
	}
	l.n, l.any = 0, false
}
