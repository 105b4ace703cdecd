// Package busiest tells who has sent most of late, in memory that does not grow with the number of senders.
//
// It owns: the counting. Who counts as one sender is for its caller to say. It imports nothing of dialtone.
//
// The counts are those of Metwally's Space-Saving: there are places for so many senders; one that has none takes the
// place of who has least, and what that one had becomes the most by which the new one's count may be too high. That is
// not told of, so nobody is named for what others sent. Who sends much less than one part in places of all is not seen
// beside a flood from very many.
package busiest

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	places = 256
	// half of what is told of: counts are given up after twice that time.
	half = 30 * time.Second
	// all that come within a second are counted up to that number, and then one of every so many, at random: senders
	// that take turns come in an order that a count would find again and again.
	all, every = 512, 16
	// enough of those is so many that it is no chance.
	enough = 4 * every
)

// Counter counts for senders that are told apart by K. Its zero value is ready for use, by any number of goroutines.
type Counter[K comparable] struct {
	mu struct {
		sync.Mutex
		now, before generation[K]
		second      int64
		inSecond    int
	}
}

// generation is what has come in half a minute.
type generation[K comparable] struct {
	began time.Time
	at    map[K]int // index in list
	list  []entry[K]
}

type entry[K comparable] struct {
	who           K
	sent, refused uint64
	others        uint64 // of sent, what may have been others'
	sampled       bool   // some were counted for others
}

// Count is what one sender has sent in the last half to whole minute.
type Count[K comparable] struct {
	Who     K
	Sent    float64 // a second; where there are many, about
	Refused float64 // of them
}

// Note counts a message.
func (c *Counter[K]) Note(who K, refused bool, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.weightLocked(now)
	if n == 0 {
		return
	}
	c.turnLocked(now)
	e := c.mu.now.entry(who)
	e.sent += n
	e.sampled = e.sampled || n > 1
	if refused {
		e.refused += n
	}
}

// weightLocked is for how many messages this one stands.
func (c *Counter[K]) weightLocked(now time.Time) uint64 {
	if second := now.Unix(); second != c.mu.second {
		c.mu.second, c.mu.inSecond = second, 0
	}
	c.mu.inSecond++
	switch {
	case c.mu.inSecond <= all:
		return 1
	case rand.IntN(every) == 0:
		return every
	}
	return 0
}

func (c *Counter[K]) turnLocked(now time.Time) {
	switch age := now.Sub(c.mu.now.began); {
	case age >= 2*half || age < -half: // or the clock was set back; a message may come somewhat later than others
		c.mu.before, c.mu.now = generation[K]{}, generation[K]{began: now}
	case age >= half:
		c.mu.before, c.mu.now = c.mu.now, generation[K]{began: c.mu.now.began.Add(half)}
	}
}

func (g *generation[K]) entry(who K) *entry[K] {
	if g.at == nil {
		g.at = make(map[K]int, places)
	}
	i, known := g.at[who]
	switch {
	case known:
	case len(g.list) < places:
		i = len(g.list)
		g.list = append(g.list, entry[K]{who: who})
		g.at[who] = i
	default:
		i = 0
		for j := range g.list {
			if g.list[j].sent < g.list[i].sent {
				i = j
			}
		}
		delete(g.at, g.list[i].who)
		g.at[who] = i
		g.list[i] = entry[K]{who: who, sent: g.list[i].sent, others: g.list[i].sent}
	}
	return &g.list[i]
}

// Most gives those who have sent most, the busiest first: at most n, and none that has sent less than least messages
// a second, or so few that it may be chance.
func (c *Counter[K]) Most(n int, least float64, now time.Time) []Count[K] {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turnLocked(now)
	began := c.mu.now.began
	if !c.mu.before.began.IsZero() {
		began = c.mu.before.began
	}
	seconds := max(now.Sub(began), time.Second).Seconds()
	sums, chance := map[K]Count[K]{}, map[K]bool{}
	var order []K // so that equals do not change places at each look
	for _, g := range []*generation[K]{&c.mu.before, &c.mu.now} {
		for _, e := range g.list {
			x, known := sums[e.who]
			if !known {
				x.Who = e.who
				order = append(order, e.who)
			}
			x.Sent += float64(e.sent-e.others) / seconds
			x.Refused += float64(e.refused) / seconds
			sums[e.who] = x
			chance[e.who] = chance[e.who] || e.sampled
		}
	}
	list := []Count[K]{}
	for _, who := range order {
		x := sums[who]
		if x.Sent >= least && (!chance[x.Who] || x.Sent*seconds >= enough) {
			list = append(list, x)
		}
	}
	slices.SortStableFunc(list, func(a, b Count[K]) int { return cmp.Compare(b.Sent, a.Sent) })
	return list[:min(n, len(list))]
}
