package update

import (
	"fmt"

	"github.com/miekg/dns"

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

	// Lease is what the client asked for and is granted; nil when it asked for
	// none.
	Lease *Lease
	// Signature is that of the request; nil for none.
	Signature *Signature

	// Repeated tells that Evaluate found it done already, and NotLeased that it
	// gave a number no lease, since the rule is not for all that the number has.
	Repeated, NotLeased bool

	rule    int           // 1 + index of the one that decided; 0: none did
	who     acl.Principal // set by Authorize
	list    acl.List
	keepKEY bool // deleting all of a number does not delete its KEY
	ofPhone bool // the rule is for the key's own number

	byDefault []string // numbers that get the zone's default lease
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

	// Now is the time of leases, in milliseconds since 1970.
	Now() int64
	// Registration gives leases and time signed of a number, the label next to
	// the apex in lower case; Hold replaces it.
	Registration(number string) rr.Registration
	Hold(r rr.Registration)
	// Stored gives all that is held, of which Registration may leave out Digest,
	// Public and who updated.
	Stored(number string) (rr.Registration, error)
	// IsEmpty tells whether a number has no records, at its name and below it.
	IsEmpty(number string) bool
	// CountBelow gives how many names below a number have records.
	CountBelow(number string) (int, error)
	// Withdraw takes a number's records and those below it away, and its lease;
	// its KEY and key lease only with keyToo.
	Withdraw(number string, keyToo bool)
	// Signer gives when a key signed that is not that of a number; SetSigner
	// replaces it.
	Signer(key rr.Name) rr.Signer
	SetSigner(x rr.Signer)
}

// Limits bound what an update may do. The zero Limits bound nothing but the
// octets of an RRset.
type Limits struct {
	MaxTTL             uint32 // seconds; caps TTLs of what is added, but not of the SOA; 0: no cap
	MaxRecordsPerRRset int    // 0: no limit
	MaxRecordsPerName  int    // 0: no limit, but that of the rule
	NamesPerNumber     int    // that a number's own key may have below it; 0: no limit
	Lease              LeaseLimits
}

// Note tells of a record that was ignored although the update succeeded.
type Note struct {
	Owner  rr.Name
	Type   uint16
	Reason string // why, such as "a CNAME exists"
}

// Rule is the index of the rule of the access list that allowed the update, or denied it; -1 when none
// decided.
func (m *Message) Rule() int { return m.rule - 1 }

// Authorize decides whether who may make this update (RFC 2136, section 3.3).
// A refusal is an *Error.
func Authorize(m *Message, who acl.Principal, l acl.List) error {
	d := l.DecideUpdate(who, m)
	m.rule = d.Rule + 1
	if !d.Allowed && who.Claims {
		return prohibited("number " + who.Key.String() + " has no KEY record, and no rule with claim first_come has it: " + d.Text)
	}
	if !d.Allowed {
		return prohibited(d.Text)
	}
	m.who, m.list, m.maxRecords = who, l, d.MaxRecords
	m.keepKEY, m.ofPhone = d.SelfNumber || d.Numbers, d.SelfNumber
	if d.SelfNumber {
		if err := m.checkKEY(); err != nil {
			return err
		}
	}
	if err := m.takeSource(who, d.SourceAddress); err != nil {
		return err
	}
	return m.checkTypes()
}

// Author tells who makes the update. Authorize comes before it.
func (m *Message) Author() rr.Author {
	return rr.Author{Kind: rr.ByUpdate, Key: m.who.Key, Public: m.who.PublicKey != "", From: m.who.Address}
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
	var err error
	m.NotLeased = false
	if m.Repeated, err = m.checkReplay(s); m.Repeated || err != nil {
		m.leaseLeft(s)
		return nil, err
	}
	if l := m.Lease; l != nil && l.Seconds > 0 {
		o.capTTL(l.Seconds)
	}
	v := newView(s)
	if err := m.checkOwner(s, v); err != nil {
		return nil, err
	}
	if err := checkPrerequisites(v, m); err != nil {
		return nil, err
	}
	if err := prescan(v, m); err != nil {
		return nil, err
	}
	m.chooseDefault(s, o.Lease)
	apply(v, m, o)
	if err := m.checkNames(s, v, o.NamesPerNumber); err != nil {
		return v.notes, err
	}
	if err := v.commit(o, m.maxRecords); err != nil {
		return v.notes, err
	}
	if err := m.applyLease(s, v, o.Lease); err != nil {
		return nil, err
	}
	return v.notes, m.noteSignature(s)
}

// capTTL keeps resolvers from keeping a record for longer than its lease.
func (o *Limits) capTTL(seconds uint32) {
	if o.MaxTTL == 0 || o.MaxTTL > seconds {
		o.MaxTTL = seconds
	}
}

// checkNames refuses an update by which a phone would have too many names below
// its number: max_records bounds what each has.
func (m *Message) checkNames(s State, v *view, limit int) error {
	if limit == 0 || !m.ofPhone {
		return nil
	}
	added, number := 0, ""
	for _, n := range v.nodes {
		top := n.owner.TopLabel(v.apex)
		if was := n.wasInUse(); top != "" && len(n.owner) > 1+len(top)+len(v.apex) && was != n.inUse() {
			number = top // of the key: there is but one
			if added++; was {
				added -= 2
			}
		}
	}
	if added <= 0 {
		return nil
	}
	have, err := s.CountBelow(number)
	if err == nil && have+added > limit {
		err = beyond("names_per_number", fmt.Sprintf("number %s would have %d names below it, of at most %d (names_per_number)", number, have+added, limit))
	}
	return err
}

// checkOwner sees that a number still belongs to the public key that signed the
// update (RFC 9665, section 3.3.3), or to nobody and is claimed.
func (m *Message) checkOwner(s State, v *view) error {
	if m.who.PublicKey == "" {
		return nil
	}
	key := v.node(m.who.Key).find(dns.TypeKEY)
	switch {
	case key == nil && m.who.Claims:
		return m.checkClaim(s)
	case key == nil:
		return prohibited(m.who.String() + " has no KEY record any more")
	case key.find(m.who.PublicKey) < 0:
		return &Error{Rcode: dns.RcodeYXDomain, EDE: dns.ExtendedErrorCodeOther, Text: "number " + m.who.Key.String() + " belongs to another key"}
	}
	return nil
}

// checkClaim sees that a number is free: what has records, a lease or a secret
// that was used is somebody's, also without a KEY record.
func (m *Message) checkClaim(s State) error {
	number, _, _ := m.who.Key.NumberOf(s.Apex())
	r, err := s.Stored(number)
	if err != nil {
		return err
	}
	if r.Lease != 0 || r.Signed != 0 && !r.Public || !s.IsEmpty(number) {
		return &Error{Rcode: dns.RcodeYXDomain, EDE: dns.ExtendedErrorCodeOther, Text: "number " + m.who.Key.String() + " is registered by other means than a public key"}
	}
	return nil
}

// checkKEY refuses KEY records that are not the one that signed the update.
func (m *Message) checkKEY() error {
	for i := range m.Updates {
		u := &m.Updates[i]
		if u.Type != dns.TypeKEY {
			continue
		}
		if m.who.PublicKey == "" || u.Class != dns.ClassANY && u.Data != m.who.PublicKey || !u.Owner.EqualFold(m.who.Key) {
			return prohibited(m.who.String() + " may not change " + u.Owner.String() + " KEY: only the public key of a number may, its own")
		}
	}
	return nil
}

// NumChanges and Change make a Message what acl asks about.
func (m *Message) NumChanges() int { return len(m.Updates) }

// Change gives owner and type of one record of the update section.
func (m *Message) Change(i int) (rr.Name, uint16) {
	return m.Updates[i].Owner, m.Updates[i].Type
}
