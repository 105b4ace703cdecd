package answer

import (
	"dialtone/zone"
	"dialtone/zone/rr"
)

// lookup is the way of one query through the zones.
type lookup struct {
	name    zone.QName // looked up now: the question's, later a target's
	res     zone.Result
	links   int                 // aliases followed
	current []byte              // the same name in the case as entered
	room    [2][rr.MaxName]byte // targets made from DNAMEs: this one and the one before

	other    zone.QName // of additional data
	otherRes zone.Result
	targets  int // looked up for additional data

	views     [maxViews]zone.View
	seenViews int
	names     nameSet
}

// start begins with the question's name; l.name is set.
func (l *lookup) start(question []byte) {
	l.current = question
	l.links, l.targets, l.seenViews, l.names.count = 0, 0, 0, 0
}

// owner gives the current name without its first labels, to write a record's
// owner with.
func (l *lookup) owner(labels int) owner {
	if labels == l.name.Labels {
		return owner{name: []byte{0}} // one octet beats a pointer
	}
	off := int(l.name.Off[labels])
	if l.links == 0 {
		return owner{at: headerLen + off}
	}
	return owner{name: l.current[off:]}
}

// maxViews is how many zones one answer may draw on.
const maxViews = maxLinks + 16

// view gives the version of z that this answer sees: one and the same,
// however often the chain comes back to it.
func (l *lookup) view(z *zone.Zone) zone.View {
	for i := range l.views[:l.seenViews] {
		if l.views[i].Zone() == z {
			return l.views[i]
		}
	}
	v := z.View()
	if l.seenViews < maxViews {
		l.views[l.seenViews] = v
		l.seenViews++
	}
	return v
}

// What a name was noted as.
const (
	linkOwner    = iota + 1 // owner of a CNAME in the answer section
	dnameOwner              // owner of a DNAME there
	addressOwner            // owner of addresses in the additional section
	srvOwner                // owner of SRV there
	svcbOwner               // owner of SVCB there
	httpsOwner              // owner of HTTPS there
)

// nameSet notes names in lower case, so that no RRset is in a message twice
// (RFC 2181, section 5.5) and chains that loop end.
type nameSet struct {
	count int
	note  [maxNotes]struct {
		as   uint8
		n    uint8
		wire [rr.MaxName]byte
	}
}

const maxNotes = 2*maxLinks + maxTargets

func (l *lookup) isSeen(as uint8, wire []byte) bool {
	for i := range l.names.count {
		e := &l.names.note[i]
		if e.as == as && string(e.wire[:e.n]) == string(wire) {
			return true
		}
	}
	return false
}

// seen notes a name and tells whether it was noted before.
func (l *lookup) seen(as uint8, wire []byte) bool {
	if l.isSeen(as, wire) {
		return true
	}
	if l.names.count < maxNotes {
		e := &l.names.note[l.names.count]
		e.as, e.n = as, uint8(copy(e.wire[:], wire))
		l.names.count++
	}
	return false
}
