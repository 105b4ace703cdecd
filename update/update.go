package update

import (
	"dialtone/update/acl"
	"dialtone/zone/rr"
)

// Message is an UPDATE request. Its strings may share one copy of the wire
// message: whoever keeps one of them for long should clone it. It must not be
// copied.
type Message struct {
	Zone          rr.Name // ZNAME
	Class         uint16  // ZCLASS
	Prerequisites []Record
	Updates       []Record

	few        [4]Record // room for the records of a usual update
	maxRecords int       // of a name, by the rule that allows the update; 0: no limit

	// TookSource tells that Authorize put the address that the request comes
	// from into a record. The caller must see to it that the request is not one
	// that somebody else has sent again: a signature does not cover the source.
	TookSource bool
}

// Record is a record of the prerequisite or update section.
type Record struct {
	Owner rr.Name
	Type  uint16
	Class uint16
	Empty bool   // RDLENGTH was 0
	TTL   uint32 // seconds, as sent
	Data  string // uncompressed; left out where the class has no use for it
}

// State is a zone that an update sees and changes. *zone.Draft is one.
type State interface {
	Apex() rr.Name
	// RRsets gives all RRsets of a name; owners compare case folded. What it
	// hands out is not written to.
	RRsets(owner rr.Name) []rr.RRset
	// Set replaces the RRset of set.Type; one without Data removes it.
	Set(owner rr.Name, set rr.RRset)
}

// Limits bound what an update may do. The zero Limits bound nothing but the
// octets of an RRset.
type Limits struct {
	MaxTTL             uint32 // seconds; caps TTLs of what is added, but not of the SOA; 0: no cap
	MaxRecordsPerRRset int    // 0: no limit
}

// Note tells of a record that was ignored although the update succeeded.
type Note struct {
	Owner  rr.Name
	Type   uint16
	Reason string // why, such as "a CNAME exists"
}

// Authorize decides whether who may make this update (RFC 2136, section 3.3).
// A refusal is an *Error.
func Authorize(m *Message, who acl.Principal, l acl.List) error {
	d := l.DecideUpdate(who, m)
	if !d.Allowed {
		return prohibited(d.Text)
	}
	m.maxRecords = d.MaxRecords
	if err := m.takeSource(who, d.SourceAddress); err != nil {
		return err
	}
	return m.checkTypes()
}

// Evaluate does RFC 2136, section 3 on s. Authorize comes before it. An error
// is an *Error, and then s is unchanged. Notes tell what was ignored; when
// that is much, only the first of it.
//
// It never bumps the serial (RFC 2136, section 3.6): the zone's writer does,
// once for a batch. A higher SOA that the update brings is set as it is.
func Evaluate(s State, m *Message, o Limits) ([]Note, error) {
	if err := checkZone(s, m); err != nil {
		return nil, err
	}
	v := newView(s)
	if err := checkPrerequisites(v, m); err != nil {
		return nil, err
	}
	if err := prescan(v, m); err != nil {
		return nil, err
	}
	apply(v, m, o)
	return v.notes, v.commit(o, m.maxRecords)
}

// NumChanges and Change make a Message what acl asks about.
func (m *Message) NumChanges() int { return len(m.Updates) }

// Change gives owner and type of one record of the update section.
func (m *Message) Change(i int) (rr.Name, uint16) {
	return m.Updates[i].Owner, m.Updates[i].Type
}
