package zone

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Zones is the set of zones that a server answers for. Finding never blocks
// and allocates nothing.
type Zones struct {
	set atomic.Pointer[zoneSet]
	mu  sync.Mutex // guards changes of set
}

type zoneSet struct {
	byApex          map[string]*Zone // lower-case wire form
	fewest, deepest int              // labels of the apexes
}

// NewZones makes an empty set.
func NewZones() *Zones {
	zs := &Zones{}
	zs.set.Store(&zoneSet{byApex: map[string]*Zone{}})
	return zs
}

// Add puts zones into the set; none of them when an apex is there twice.
func (zs *Zones) Add(zones ...*Zone) error { return zs.Replace(nil, zones) }

// Replace takes zones out of the set and puts others into it, in one moment; after
// an error, which comes when an apex would be there twice, nothing has changed.
func (zs *Zones) Replace(remove, add []*Zone) error {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	next := &zoneSet{byApex: maps.Clone(zs.set.Load().byApex), fewest: rr.MaxLabels}
	for _, z := range remove {
		delete(next.byApex, string(z.apex.Lower()))
	}
	for _, z := range add {
		key := string(z.apex.Lower())
		if next.byApex[key] != nil {
			return fmt.Errorf("zone %s is there twice", z.apex)
		}
		next.byApex[key] = z
	}
	for _, z := range next.byApex {
		next.fewest = min(next.fewest, z.labels)
		next.deepest = max(next.deepest, z.labels)
	}
	zs.set.Store(next)
	return nil
}

// All gives the zones in canonical order of their apexes.
func (zs *Zones) All() []*Zone {
	all := slices.Collect(maps.Values(zs.set.Load().byApex))
	slices.SortFunc(all, func(a, b *Zone) int { return a.apex.Compare(b.apex) })
	return all
}

// Exact gives the zone with this apex, or nil.
func (zs *Zones) Exact(apex rr.Name) *Zone { return zs.set.Load().byApex[string(apex.Lower())] }

// Find gives the zone whose apex is the longest that is q or above it, or
// nil. A DS RRset belongs to the parent: for qtype DS at an apex it gives the
// zone above, when that is served too (RFC 4035, section 3.1.4.1).
func (zs *Zones) Find(q *QName, qtype uint16) *Zone {
	set := zs.set.Load()
	var child *Zone
	for k := min(q.Labels, set.deepest); k >= set.fewest; k-- {
		z := set.byApex[string(q.Suffix(k))]
		if z == nil {
			continue
		}
		if qtype != dns.TypeDS || k != q.Labels {
			return z
		}
		child = z
	}
	return child
}
