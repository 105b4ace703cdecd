package zone

import (
	"dialtone/zone/rr"
	"dialtone/zone/table"
)

// Ahead asks memory for the nodes of a batch of names before they are looked
// up, see table.Ahead: of names one label below the apex, which numbers are,
// and of one zone at a time, that which most names of the last batch were in.
// It answers nothing, so what it cannot make out it leaves alone. It belongs to
// one Reader, between Begin and End.
type Ahead struct {
	zone         *Zone
	names, other int // of zone, and not
	label        [64]byte
	apex         [rr.MaxName]byte // of another zone
	apexLen      int
	table        table.Ahead
}

// Add notes a name by the octets of a message from its first one on.
func (a *Ahead) Add(wire []byte) {
	if len(wire) == 0 || len(wire) < int(wire[0])+2 || wire[0] > 63 {
		return
	}
	label, rest := wire[1:1+wire[0]], wire[1+wire[0]:]
	z := a.zone
	if z == nil || len(rest) < len(z.apex) || !rr.EqualFold(rest[:len(z.apex)], z.apex) {
		a.other++
		a.apexLen = copy(a.apex[:], rest)
		return
	}
	a.names++
	lower := a.label[:copy(a.label[:], label)]
	rr.LowerBytes(lower)
	a.table.Add(z.table.Extend(0, lower))
}

// Ask asks for what was noted, and chooses the zone of the next batch. It tells
// how many nodes it asked for.
func (a *Ahead) Ask(zs *Zones) (nodes int) {
	if a.names > 0 {
		nodes = a.table.Ask(&a.zone.table)
	}
	if a.other > a.names {
		a.zone = zs.startingWith(a.apex[:a.apexLen])
	}
	a.names, a.other = 0, 0
	return nodes
}

// startingWith gives the zone whose apex these octets begin with, or nil.
func (zs *Zones) startingWith(wire []byte) *Zone {
	for i := 0; i < len(wire) && wire[i] < 64; i += int(wire[i]) + 1 {
		if wire[i] == 0 {
			rr.LowerBytes(wire[:i])
			return zs.set.Load().byApex[string(wire[:i+1])]
		}
	}
	return nil
}
