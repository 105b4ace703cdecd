package dnsserver

import (
	"fmt"
	"slices"
	"time"

	"dialtone/dnsserver/transfer"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// SecondaryStatus is what is known of one secondary of one zone: a notify target, or a client that has
// transferred the zone without being one.
//
// Two things are known, and they are not the same. Which serial it has is known from what it fetched, or said
// in a request that it has. That it answered a NOTIFY tells only that it has heard of a serial: it need not
// fetch what it has already, so after a start of this server its serial is unknown until the zone changes.
type SecondaryStatus struct {
	Zone    string `json:"zone"`
	Address string `json:"address"`          // of the target with its port, or of the client
	Key     string `json:"key,omitempty"`    // of the target, or that signed the client's requests
	Target  bool   `json:"notified"`         // it is a notify target
	Fault   string `json:"fault,omitempty"`  // what is wrong with it
	Shared  bool   `json:"shared,omitempty"` // other targets have its address and key, so nobody can tell who fetches

	State SecondaryState `json:"state"`
	// Serial is the newest that it is known to have; nil: none is known since the start.
	Serial *uint32           `json:"confirmed_serial"`
	By     transfer.Evidence `json:"confirmed_by,omitempty"`
	At     time.Time         `json:"confirmed_at,omitzero"`
	// Of one that is behind: by how many serials and changes, and for how long there has been a newer one.
	// Older tells that the journal does not reach back so far: then changes and seconds are not known.
	Serials uint32    `json:"serials_behind"`
	Changes uint64    `json:"changes_behind"`
	Seconds float64   `json:"seconds_behind"`
	Since   time.Time `json:"behind_since,omitzero"`
	Older   bool      `json:"older_than_journal,omitempty"`

	// Of a notify target: the serial of the last NOTIFY that it answered.
	Told    *uint32   `json:"told_serial,omitempty"`
	ToldAt  time.Time `json:"told_at,omitzero"`
	Pending bool      `json:"notify_pending,omitempty"` // a NOTIFY is on its way
	Missed  int       `json:"notify_missed,omitempty"`  // NOTIFY without an answer since the last one
}

// SecondaryState is whether a secondary has the newest serial.
type SecondaryState string

// The states of secondaries.
const (
	SecondaryCurrent SecondaryState = "current"
	SecondaryBehind  SecondaryState = "behind"
	SecondaryUnknown SecondaryState = "unknown"
	SecondaryAhead   SecondaryState = "ahead" // as after a restore of old data here
)

// maxCopies is how many clients are remembered that transfer, each for each zone: some 200 octets.
const maxCopies = 100_000

// secondaries tells of those of some zones.
func (s *Server) secondaries(reader *zone.Reader, zones []*zone.Zone, now time.Time) []SecondaryStatus {
	list := []SecondaryStatus{}
	targets := map[*zone.Zone][]transfer.TargetState{}
	for _, t := range s.notifier.States() {
		targets[t.Zone] = append(targets[t.Zone], t)
	}
	copies := s.copies.All()
	for _, z := range zones {
		if len(targets[z])+len(copies[z]) == 0 {
			continue
		}
		list = append(list, secondariesOf(reader, z, targets[z], copies[z], now)...)
	}
	sortSecondaries(list)
	return list
}

func secondariesOf(reader *zone.Reader, z *zone.Zone, states []transfer.TargetState, copies []transfer.Copy, now time.Time) []SecondaryStatus {
	serial, refresh := currentOf(reader, z)
	apex := z.Apex().String()
	list := make([]SecondaryStatus, len(states), len(states)+len(copies))
	targets := make([]transfer.Target, len(states))
	for i, t := range states {
		targets[i] = t.Target
		list[i] = SecondaryStatus{
			Zone: apex, Address: t.Target.Addr.String(), Key: nameText(t.Target.Key), Target: true, State: SecondaryUnknown,
			Pending: t.Pending, Missed: t.Missed, Shared: shared(states, i),
		}
		if !t.ToldAt.IsZero() {
			list[i].Told, list[i].ToldAt = &states[i].Told, t.ToldAt
		}
	}
	for _, c := range copies {
		x := SecondaryStatus{Zone: apex, Address: c.Client.String(), Key: nameText(c.Key)}
		at := c.Of(targets)
		if at >= 0 {
			x = list[at]
		}
		if x.Serial != nil && x.At.After(c.At) {
			continue // the same one with another key or address, which is older news
		}
		x.confirmed(z, c, serial, now)
		if at >= 0 {
			list[at] = x
		} else {
			list = append(list, x)
		}
	}
	for i := range list {
		list[i].judge(i < len(states) && states[i].Silent, refresh)
	}
	return list
}

// shared tells whether another target of the zone cannot be told from one by what it fetches.
func shared(states []transfer.TargetState, of int) bool {
	t := states[of].Target
	return slices.ContainsFunc(states, func(o transfer.TargetState) bool {
		return o.Target != t && o.Target.Addr.Addr() == t.Addr.Addr() && o.Target.Key.EqualFold(t.Key)
	})
}

// currentOf gives the zone's serial, and how often secondaries ask for it of their own.
func currentOf(reader *zone.Reader, z *zone.Zone) (serial uint32, refresh time.Duration) {
	reader.Begin()
	defer reader.End()
	v := z.View()
	data := v.SOA().Data()
	if d, ok := data.Next(); ok {
		if soa, err := rr.ParseSOA(string(d)); err == nil {
			refresh = time.Duration(soa.Refresh) * time.Second
		}
	}
	return v.Serial(), refresh
}

// confirmed takes over what is known of the secondary's copy, of a zone that has this serial now.
func (x *SecondaryStatus) confirmed(z *zone.Zone, c transfer.Copy, serial uint32, now time.Time) {
	x.Serial, x.By, x.At, x.State = &c.Serial, c.Source, c.At, SecondaryCurrent
	x.Serials, x.Changes, x.Seconds, x.Since, x.Older = 0, 0, 0, time.Time{}, false
	switch { // c was taken before serial was
	case c.Serial == serial:
		return
	case !rr.SerialGreater(serial, c.Serial):
		x.State = SecondaryAhead
		return
	}
	x.State, x.Serials = SecondaryBehind, serial-c.Serial
	left, changes, err := z.LeftAt(c.Serial)
	if err != nil { // history that is gone, or a store that cannot be read
		x.Older = true
		return
	}
	x.Changes, x.Since, x.Seconds = changes, left, max(now.Sub(left).Seconds(), 0)
}

// judge tells what is wrong, if anything.
func (x *SecondaryStatus) judge(silent bool, refresh time.Duration) {
	late := x.State == SecondaryBehind && (x.Older || x.Seconds > refresh.Seconds())
	switch {
	case x.State == SecondaryAhead:
		x.Fault = fmt.Sprintf("secondary %s has serial %d, which is newer than the zone's: it will fetch nothing until the zone has passed that", x.Address, *x.Serial)
	case silent && x.State == SecondaryCurrent:
		// It fetches all the same.
	case silent:
		x.Fault = fmt.Sprintf("secondary %s does not answer NOTIFY: see whether it runs, and whether it takes NOTIFY from this server", x.Address)
	case late && x.Older:
		x.Fault = fmt.Sprintf("secondary %s has serial %d, which is older than the journal: see its log", x.Address, *x.Serial)
	case late:
		x.Fault = fmt.Sprintf("secondary %s has not fetched the zone for longer than the SOA record's refresh time, %s: see its log", x.Address, refresh)
	}
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
