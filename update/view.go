package update

import (
	"fmt"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

const (
	// manyNodes and manyRecords are where looking one by one gives way to a
	// map: an update of 65,535 octets can name nearly 6,000 owners or records.
	manyNodes   = 8
	manyRecords = 16
	// maxNotes bounds the notes of one update; an EDE holds fewer.
	maxNotes = 16
	// recordOverhead is what a record of an answer takes besides its rdata, its
	// owner compressed.
	recordOverhead = 12
	// maxRRset bounds an RRset to what a message of 65,535 octets can carry
	// beside a question, OPT and TSIG.
	maxRRset = 65000
	// maxTypes bounds the RRsets of one name, as BIND's max-types-per-name
	// does: a name is kept as one piece, which every change of it copies.
	maxTypes = 100
)

// view is a zone as one update sees and changes it. Each name that the update
// speaks of is read from the State once; commit hands over what differs.
type view struct {
	state State
	apex  rr.Name
	nodes []*node
	index map[rr.Name]*node // by owner in lower case; nil for few nodes
	notes []Note

	// Room for the one name and the one RRset of a usual update.
	oneNode [1]*node
	first   node
	oneSet  [1]set
}

// node is a name with its RRsets; sets without Data do not exist.
type node struct {
	owner rr.Name
	apex  bool
	sets  []set
}

// set is an RRset as it is now, with what it was.
type set struct {
	rr.RRset
	was   rr.RRset
	mine  bool           // Data is not the State's slice and may be written to
	index map[string]int // places in Data by canonical rdata; nil for few records
	wants []string       // values that prerequisites require
}

func newView(s State) *view {
	v := &view{state: s, apex: s.Apex()}
	v.nodes = v.oneNode[:0]
	return v
}

// node gives the node of owner. It stays valid for the life of the view.
func (v *view) node(owner rr.Name) *node {
	if n := v.known(owner); n != nil {
		return n
	}
	n := &v.first
	have := v.state.RRsets(owner)
	if len(v.nodes) > 0 || len(have) > len(v.oneSet) {
		n = &node{sets: make([]set, 0, len(have)+1)}
	} else {
		n.sets = v.oneSet[:0]
	}
	n.owner, n.apex = owner, owner.EqualFold(v.apex)
	for _, s := range have {
		n.sets = append(n.sets, set{RRset: s, was: s})
	}
	v.nodes = append(v.nodes, n)
	if len(v.nodes) == manyNodes {
		v.index = make(map[rr.Name]*node, 2*manyNodes)
		for _, n := range v.nodes {
			v.index[n.owner.Lower()] = n
		}
	} else if v.index != nil {
		v.index[owner.Lower()] = n
	}
	return n
}

func (v *view) known(owner rr.Name) *node {
	if v.index != nil {
		return v.index[owner.Lower()]
	}
	for _, n := range v.nodes {
		if n.owner.EqualFold(owner) {
			return n
		}
	}
	return nil
}

func (v *view) note(u *Record, why string) {
	if len(v.notes) < maxNotes {
		v.notes = append(v.notes, Note{Owner: u.Owner, Type: u.Type, Reason: why})
	}
}

// commit checks the sizes of all names and RRsets that differ from what they
// were, and then hands them to the State.
func (v *view) commit(o Limits, maxRecords int) error {
	for _, n := range v.nodes {
		if err := n.checkTypes(); err != nil {
			return err
		}
		if err := n.checkRecords(o.MaxRecordsPerName, maxRecords); err != nil {
			return err
		}
		for i := range n.sets {
			if err := n.sets[i].checkSize(n.owner, o); err != nil {
				return err
			}
		}
	}
	for _, n := range v.nodes {
		for i := range n.sets {
			if s := &n.sets[i]; s.differs() {
				v.state.Set(n.owner, s.RRset)
			}
		}
	}
	return nil
}

// find gives the RRset of type t; nil when it does not exist.
func (n *node) find(t uint16) *set {
	for i := range n.sets {
		if s := &n.sets[i]; s.Type == t && len(s.Data) > 0 {
			return s
		}
	}
	return nil
}

// any gives the RRset of type t, even if it has no records; nil when nobody has
// looked at it.
func (n *node) any(t uint16) *set {
	for i := range n.sets {
		if n.sets[i].Type == t {
			return &n.sets[i]
		}
	}
	return nil
}

// ensure gives the RRset of type t, even if it has no records. It is valid
// until the next call.
func (n *node) ensure(t uint16) *set {
	if s := n.any(t); s != nil {
		return s
	}
	empty := rr.RRset{Type: t}
	n.sets = append(n.sets, set{RRset: empty, was: empty})
	return &n.sets[len(n.sets)-1]
}

func (n *node) has(t uint16) bool { return n.find(t) != nil }

// inUse tells whether the name has a record; an empty non-terminal has none
// (RFC 2136, section 2.4.4).
func (n *node) inUse() bool {
	for i := range n.sets {
		if len(n.sets[i].Data) > 0 {
			return true
		}
	}
	return false
}

func (n *node) wasInUse() bool {
	for i := range n.sets {
		if len(n.sets[i].was.Data) > 0 {
			return true
		}
	}
	return false
}

func (n *node) hasBesidesCNAME() bool {
	for i := range n.sets {
		s := &n.sets[i]
		if len(s.Data) > 0 && s.Type != dns.TypeCNAME && !besideCNAME(s.Type) {
			return true
		}
	}
	return false
}

func (n *node) soaData() string {
	if s := n.find(dns.TypeSOA); s != nil {
		return s.Data[0]
	}
	return ""
}

// find gives the place of data, or -1.
func (s *set) find(data string) int {
	if s.index == nil {
		if len(s.Data) <= manyRecords {
			return s.Index(data)
		}
		s.index = make(map[string]int, 2*len(s.Data))
		for i, d := range s.Data {
			s.index[rr.CanonicalData(s.Type, d)] = i
		}
	}
	if i, ok := s.index[rr.CanonicalData(s.Type, data)]; ok {
		return i
	}
	return -1
}

// own makes Data this update's own, with room for extra records.
func (s *set) own(extra int) {
	if !s.mine {
		s.Data = append(make([]string, 0, len(s.Data)+extra), s.Data...)
		s.mine = true
	}
}

func (s *set) add(data string) {
	s.own(1)
	if s.index != nil {
		s.index[rr.CanonicalData(s.Type, data)] = len(s.Data)
	}
	s.Data = append(s.Data, data)
}

// remove puts the last record into the place of the one that goes: the order
// of records means nothing, and moving them all would cost the square of their
// number.
func (s *set) remove(at int) {
	s.own(0)
	last := len(s.Data) - 1
	if s.index != nil {
		delete(s.index, rr.CanonicalData(s.Type, s.Data[at]))
		if at != last {
			s.index[rr.CanonicalData(s.Type, s.Data[last])] = at
		}
	}
	s.Data[at] = s.Data[last]
	s.Data = s.Data[:last]
}

func (s *set) clear() { s.Data, s.mine, s.index = nil, true, nil }

func (s *set) replaceAll(data string) {
	s.clear()
	s.add(data)
}

// sameService gives the place of a WKS record that data replaces, or -1:
// address and protocol are its key (RFC 2136, section 3.4.2.2).
func (s *set) sameService(data string) int {
	const key = 5 // octets
	for i, d := range s.Data {
		if len(d) >= key && len(data) >= key && d[:key] == data[:key] {
			return i
		}
	}
	return -1
}

// isExactly compares with a list in which records may come twice.
func (s *set) isExactly(list []string) bool {
	if len(list) < len(s.Data) {
		return false
	}
	seen, count := make([]bool, len(s.Data)), 0
	for _, d := range list {
		at := s.find(d)
		if at < 0 {
			return false
		}
		if !seen[at] {
			seen[at] = true
			count++
		}
	}
	return count == len(s.Data)
}

// differs tells whether the RRset is another than it was: the net difference,
// so that deleting and adding the same record is no change.
func (s *set) differs() bool {
	if len(s.Data) != len(s.was.Data) {
		return true
	}
	if len(s.Data) == 0 {
		return false
	}
	if s.TTL != s.was.TTL {
		return true
	}
	if !s.mine {
		return false
	}
	for _, d := range s.was.Data {
		if s.find(d) < 0 {
			return true
		}
	}
	return false
}

// checkTypes refuses an update that gives a name too many types. One that has
// too many already may have fewer, or as many.
func (n *node) checkTypes() error {
	was, now := 0, 0
	for i := range n.sets {
		if len(n.sets[i].was.Data) > 0 {
			was++
		}
		if len(n.sets[i].Data) > 0 {
			now++
		}
	}
	if now > maxTypes && now > was {
		return prohibited(fmt.Sprintf("%s would have %d types, of at most %d", n.owner, now, maxTypes))
	}
	return nil
}

// checkRecords refuses an update that gives a name more records than all names
// may have, or than the rule that allows it gives. One that has too many already
// may have fewer, or as many.
func (n *node) checkRecords(limit, ofRule int) error {
	if limit == 0 && ofRule == 0 {
		return nil
	}
	was, now := 0, 0
	for i := range n.sets {
		was += len(n.sets[i].was.Data)
		now += len(n.sets[i].Data)
	}
	switch {
	case now <= was:
	case limit > 0 && now > limit:
		return beyond("name_records", fmt.Sprintf("%s would have %d records, of at most %d (name_records)", n.owner, now, limit))
	case ofRule > 0 && now > ofRule:
		return beyond("max_records", fmt.Sprintf("%s would have %d records, and the rule that allows this update has max_records %d", n.owner, now, ofRule))
	}
	return nil
}

// checkSize refuses an update that makes an RRset too large. One that is too
// large already may shrink, or stay.
func (s *set) checkSize(owner rr.Name, o Limits) error {
	if !s.mine || len(s.Data) == 0 {
		return nil
	}
	if limit := o.MaxRecordsPerRRset; limit > 0 && len(s.Data) > limit && len(s.Data) > len(s.was.Data) {
		return beyond("rrset_records", fmt.Sprintf("%s %s would have %d records, of at most %d (rrset_records)",
			owner, rr.TypeString(s.Type), len(s.Data), limit))
	}
	if size := octets(s.Data); size > maxRRset && size > octets(s.was.Data) {
		return prohibited(fmt.Sprintf("%s %s would have %d octets, of at most %d",
			owner, rr.TypeString(s.Type), size, maxRRset))
	}
	return nil
}

func octets(data []string) int {
	n := 0
	for _, d := range data {
		n += recordOverhead + len(d)
	}
	return n
}
