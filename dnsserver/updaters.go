package dnsserver

import (
	"net/netip"
	"time"

	"dialtone/update/acl"
	"dialtone/zone/rr"
)

// updater is what counts as one sender of updates: a key where it is, or an address for what has no right signature.
type updater struct {
	key  rr.Name
	from netip.Prefix
}

// noteUpdate counts an update for whoever sent it.
func (s *Server) noteUpdate(key rr.Name, from *client, refused bool, now time.Time) {
	s.updaters.Note(updater{key, sourceOf(acl.Principal{Address: from.addr.Addr()}, 64).Prefix}, refused, now)
}

// SenderStatus is who sends many updates.
type SenderStatus struct {
	Key     string  `json:"key,omitempty"` // "" for updates without a right signature
	Source  string  `json:"source"`        // an address, or a network of IPv6
	Updates float64 `json:"updates"`       // a second, in the last half to whole minute; of many, about
	Refused float64 `json:"refused"`       // of them, before they came into a queue
}

const (
	// maxUpdaters are told of.
	maxUpdaters = 10
	// manyUpdates a second are more than a phone sends.
	manyUpdates = 1
)

// busiest gives those who send most.
func (s *Server) busiest(now time.Time) []SenderStatus {
	list := []SenderStatus{}
	for _, x := range s.updaters.Most(maxUpdaters, manyUpdates, now) {
		source := x.Who.from.String()
		if x.Who.from.IsSingleIP() {
			source = x.Who.from.Addr().String()
		}
		list = append(list, SenderStatus{nameText(x.Who.key), source, x.Sent, x.Refused})
	}
	return list
}
