package zone

import (
	"errors"
	"time"
)

// A zone that is frozen
//
// Its records and its serial stay as they are, so that somebody can take them,
// change them, and bring them back (Import, or any op that says WhileFrozen).
//
// Ops that would change a record fail with ErrFrozen. An op that changes none is
// done: a phone that renews its lease at the same address is no change of the
// zone, and must not lose its number because an operator works at it.
//
// Leases end in answers as ever, for nobody is to be led to an address that is
// another's by now. Their records go when the zone is thawed.
//
// A start thaws all zones, as BIND's and Knot's does: whoever forgets to thaw
// locks phones out no longer than that.

// ErrFrozen says that the zone takes no change.
var ErrFrozen = errors.New("the zone is frozen")

// Freeze keeps the zone as it is from now on. What is evaluated at this moment
// may still come: an op that is submitted afterwards is done after it. It tells
// whether the zone was not frozen before.
func (z *Zone) Freeze(now time.Time) bool { return z.frozen.CompareAndSwap(0, now.UnixNano()) }

// Thaw lets changes in again. It tells whether the zone was frozen.
func (z *Zone) Thaw() bool { return z.frozen.Swap(0) != 0 }

// Frozen tells whether the zone is frozen, and since when.
func (z *Zone) Frozen() (since time.Time, frozen bool) {
	if at := z.frozen.Load(); at != 0 {
		return time.Unix(0, at), true
	}
	return time.Time{}, false
}

// checkFrozen refuses an op that has changed records of a frozen zone.
func (w *writer) checkFrozen(op Op) error {
	if w.z.frozen.Load() == 0 || !w.draft.changes() {
		return nil
	}
	if _, ok := op.(interface{ WhileFrozen() }); ok {
		return nil
	}
	return ErrFrozen
}

// changes tells whether the op that is being evaluated has changed records.
func (d *Draft) changes() bool {
	for _, u := range d.undo {
		if !equalSets(u.sets, u.node.now) {
			return true
		}
	}
	return false
}
