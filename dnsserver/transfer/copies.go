package transfer

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"dialtone/zone"
	"dialtone/zone/rr"
)

// Copies remembers which serial of a zone each client is known to have, by
// what it said or was sent itself. That a client has answered a NOTIFY tells
// nothing of the kind, and neither does a query for the SOA. The clients are
// those that may transfer the zone.
type Copies struct {
	mu struct {
		sync.Mutex
		known *simplelru.LRU[clientKey, Copy]
	}
}

type clientKey struct {
	zone *zone.Zone
	addr netip.Addr
	key  rr.Name
}

// Copy is what one client is known to have of one zone.
type Copy struct {
	Client netip.Addr
	Key    rr.Name // of its requests; "" for unsigned ones
	Serial uint32
	Source Evidence
	At     time.Time
}

// Evidence is how a serial is known.
type Evidence string

const (
	// Stated: an IXFR request over TCP, or a signed one, said that the client has
	// this serial.
	Stated Evidence = "stated in an IXFR request"
	// Sent: a transfer of this serial was handed to the client's connection to
	// the end.
	Sent Evidence = "sent by a transfer"
)

// NewCopies remembers as many clients and zones as limit, which is 1 at least: those that were heard of last.
func NewCopies(limit int) *Copies {
	c := &Copies{}
	c.mu.known, _ = simplelru.NewLRU[clientKey, Copy](limit, nil) // an error is for a limit below 1
	return c
}

// Note takes what is known of a client now. The newest counts: a client that
// has lost its copy says so by an older serial.
func (c *Copies) Note(z *zone.Zone, client netip.Addr, key rr.Name, serial uint32, source Evidence, now time.Time) {
	id := clientKey{z, client.Unmap().WithZone(""), key.Lower()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.known.Add(id, Copy{id.addr, id.key, serial, source, now})
}

// All gives what is known, by zone: of each the client first that was heard of longest ago.
func (c *Copies) All() map[*zone.Zone][]Copy {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[*zone.Zone][]Copy)
	values := c.mu.known.Values()
	for i, id := range c.mu.known.Keys() { // in the same order
		all[id.zone] = append(all[id.zone], values[i])
	}
	return all
}

// Forget drops all that is known of a zone.
func (c *Copies) Forget(z *zone.Zone) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.mu.known.Keys() {
		if id.zone == z {
			c.mu.known.Remove(id)
		}
	}
}

// Of finds the one of a zone's targets that a copy is of: by the address that
// it was notified at, and by the key where that does not tell; -1 when none or
// several may be meant.
func (c Copy) Of(targets []Target) int {
	byAddress, byKey := -1, -1
	addresses, keys, both := 0, 0, -1
	for i, t := range targets {
		sameAddress := t.Addr.Addr().Unmap().WithZone("") == c.Client
		sameKey := t.Key.EqualFold(c.Key)
		if sameAddress {
			byAddress = i
			addresses++
		}
		if sameKey && c.Key != "" {
			byKey = i
			keys++
		}
		if sameAddress && sameKey {
			if both >= 0 {
				return -1
			}
			both = i
		}
	}
	switch {
	case both >= 0:
		return both
	case addresses == 1:
		return byAddress
	case addresses == 0 && keys == 1:
		return byKey
	}
	return -1
}
