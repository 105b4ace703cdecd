package zone

import (
	"net/netip"

	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// Author is what an Op has when it knows who makes the change. It is called
// before Evaluate, and what it gives goes into the journal.
type Author interface{ Author() rr.Author }

// authors are those of the ops of a batch, by their place. Where several ops
// change one name, the last one counts, as its records do.
type authors struct {
	now  uint32 // who changes something; 0: nobody that is known
	list []rr.Author
	last store.By // of the commit's authors, and
	at   uint32   // its place
	seen map[store.By]uint32
}

// byLease is the place of the ends of leases.
const byLease = 1

func (a *authors) reset() {
	clear(a.list) // their names are parts of messages
	a.list = append(a.list[:0], rr.Author{}, rr.Author{Kind: rr.ByLease})
	a.now, a.at, a.last = 0, 0, store.By{}
	if len(a.seen) > 0 {
		clear(a.seen)
	}
}

// begin notes who makes what op does. Many in a row may be of one.
func (a *authors) begin(op Op) {
	a.now = 0
	known, ok := op.(Author)
	if !ok {
		return
	}
	by := known.Author()
	if a.list[len(a.list)-1] != by {
		a.list = append(a.list, by)
	}
	a.now = uint32(len(a.list) - 1)
}

// note adds to those of a commit who changed a node: the last of its added
// records, and so many of the deleted ones.
func (a *authors) note(to *store.Authors, n *draftNode, apex rr.Name, added []rr.RR, deleted int) {
	to.Note(a.place(to, n, apex, added), deleted, len(added))
}

func (a *authors) place(to *store.Authors, n *draftNode, apex rr.Name, added []rr.RR) uint32 {
	by := store.By{Author: a.list[n.by]}
	switch by.Kind {
	case rr.ByNobody:
		return 0
	case rr.ByUpdate:
		by.From = by.From.Unmap().WithZone("")
		if number := rr.Name(n.key).TopLabel(""); number != "" && by.Key.IsNumberName(number, apex) {
			by.Key, by.OwnKey = "", true
		}
		leaveOutFrom(&by, added)
	}
	if a.at != 0 && by == a.last {
		return a.at
	}
	at, known := a.seen[by]
	if !known {
		if a.seen == nil {
			a.seen = map[store.By]uint32{}
		}
		to.List = append(to.List, by)
		at = uint32(len(to.List))
		a.seen[by] = at
	}
	a.last, a.at = by, at
	return at
}

// leaveOutFrom leaves the source out where a record has it, as a phone's has that
// sends from the address that it registers.
func leaveOutFrom(by *store.By, added []rr.RR) {
	want := uint16(rr.TypeA)
	if by.From.Is6() {
		want = rr.TypeAAAA
	}
	for i := range added {
		if added[i].Type != want {
			continue
		}
		if a, ok := netip.AddrFromSlice([]byte(added[i].Data)); ok && a == by.From {
			by.From, by.FromAdded = netip.Addr{}, want
		}
		return
	}
}
