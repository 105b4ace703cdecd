package acl

import (
	"fmt"
	"net/netip"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Action is a set of things that a client may ask for.
type Action uint8

const (
	Query Action = 1 << iota
	Notify
	Transfer
	Update
)

// Owner says what the owners of an update's records are compared with.
type Owner uint8

const (
	OwnerAny  Owner = iota // nothing: every owner passes
	OwnerKey               // the name of the key that signed the update
	OwnerZone              // the zone's apex
	OwnerName              // the names of Rule.OwnerNames
)

// Match says how an owner is compared.
type Match uint8

const (
	SubOrEqual Match = iota // it is the name, or below it
	Equal                   // it is the name
	Sub                     // it is below the name
	Pattern                 // it fits a pattern; with OwnerName only
)

// Rule is one rule as it is configured. The package comment tells when it
// matches.
type Rule struct {
	Addresses []netip.Prefix // none: any address
	Keys      []rr.Name      // none, and AnyKey false: unsigned requests only
	AnyKey    bool           // any key whose signature was verified
	Actions   Action
	Deny      bool

	// Restrictions for updates.
	Owner      Owner
	Match      Match
	OwnerNames []string // presentation format; below the zone unless they end with a dot
	Types      []uint16 // none: all types
	SelfNumber bool     // the key is that of a terminal number, and owners are that number's name or below it
	Numbers    []string // terminal numbers, as parseNumbers reads them, whose names and what is below may be changed; none: any owner
	MaxRecords int      // that a name may have after the update; 0: no limit

	// SourceAddress: A 0.0.0.0 and AAAA :: stand for the address that the
	// request comes from.
	SourceAddress bool

	// FirstCome: a number without KEY record goes to the first public key that
	// claims it.
	FirstCome bool

	Text string // how messages call the rule, such as its place in a file; may be empty
}

// RuleError is a fault of one rule.
type RuleError struct {
	Index int    // of the rule in its list
	Rule  string // Rule.Text
	Text  string // what is wrong and what to do
}

func (e *RuleError) Error() string {
	if e.Rule != "" {
		return e.Rule + ": " + e.Text
	}
	return fmt.Sprintf("acl rule %d: %s", e.Index+1, e.Text)
}

// Principal is who asks.
type Principal struct {
	Address netip.Addr
	Key     rr.Name // the key whose signature was verified; "" for an unsigned request
	Proven  bool    // the address is no forgery: it came over TCP, or with a server cookie

	// Of a request signed by SIG(0) (RFC 2931):
	PublicKey string // rdata of the KEY record that verified it
	Claims    bool   // that record is not in the zone: the request itself brings it
}

// Changes are the records of an update section, as far as permission goes.
type Changes interface {
	NumChanges() int
	Change(i int) (owner rr.Name, t uint16)
}

// Decision is the answer of a List.
type Decision struct {
	Allowed bool
	Rule    int    // index of the rule that decided; -1 when none matched
	Text    string // for a refusal: which permission is missing, in one sentence

	// Of the rule that allows an update.
	MaxRecords    int
	SourceAddress bool
	SelfNumber    bool // the rule is for the number of the key that signed
	Numbers       bool // the rule is for terminal numbers
}

// Decide answers for all actions but updates.
func (l List) Decide(what Action, who Principal) Decision {
	for i := range l.rules {
		if r := &l.rules[i]; r.missesWho(what, who) == fits {
			if r.Deny {
				return Decision{Rule: i, Text: fmt.Sprintf("%s may not %s: a rule denies it", who, what)}
			}
			return Decision{Allowed: true, Rule: i}
		}
	}
	return Decision{Rule: -1, Text: fmt.Sprintf("%s may not %s: no rule allows it", who, what)}
}

// DecideUpdate answers for an update. It allocates nothing when it allows.
func (l List) DecideUpdate(who Principal, what Changes) Decision {
	return l.decideUpdate(who, what, nil)
}

// decideUpdate lets tell, when it is not nil, hear of each rule that was looked at: what of it does not fit, and at
// which record.
func (l List) decideUpdate(who Principal, what Changes, tell func(rule int, missed part, at int)) Decision {
	if tell == nil {
		tell = func(int, part, int) {}
	}
	miss, near := -1, false
	for i := range l.rules {
		r := &l.rules[i]
		if missed := r.missesWho(Update, who); missed != fits {
			tell(i, missed, 0)
			continue
		}
		within, at, missed := r.covers(who, what)
		tell(i, missed, at)
		switch {
		case within && r.Deny:
			return Decision{Rule: i, Text: changeText(who, what, at) + ": a rule denies it"}
		case within:
			return Decision{Allowed: true, Rule: i, MaxRecords: r.MaxRecords, SourceAddress: r.SourceAddress, SelfNumber: r.SelfNumber, Numbers: len(r.numbers) > 0}
		case !r.Deny && (!near || at > miss):
			// The rule that went furthest is the one that the client was meant to use.
			miss, near = at, true
		}
	}
	if !near {
		return Decision{Rule: -1, Text: fmt.Sprintf("%s may not %s: no rule allows it", who, Update)}
	}
	return Decision{Rule: -1, Text: changeText(who, what, miss)}
}

// MayUpdate tells whether there is an update that who may make: when there is none, none need be read.
func (l List) MayUpdate(who Principal) bool {
	for i := range l.rules {
		r := &l.rules[i]
		if r.missesWho(Update, who) != fits {
			continue
		}
		if !r.Deny {
			return true
		}
		if r.coversAll() {
			return false
		}
	}
	return false
}

// coversAll tells whether the rule speaks of whatever an update may change.
func (r *compiled) coversAll() bool {
	return r.Owner == OwnerAny && len(r.Types) == 0 && len(r.numbers) == 0 && !r.SelfNumber
}

// OwnsName tells whether who may delete all of a name and all that is below it:
// a rule that is not for patterns allows it, and none denies any of it.
func (l List) OwnsName(who Principal, name rr.Name) bool {
	if len(name)+2 > rr.MaxName {
		return false
	}
	d := l.DecideUpdate(who, wholeName(name))
	if !d.Allowed || l.rules[d.Rule].Match == Pattern {
		return false
	}
	for i := range l.rules[:d.Rule] {
		if r := &l.rules[i]; r.Deny && r.missesWho(Update, who) == fits && r.concernsBelow(name, who.Key) {
			return false
		}
	}
	return true
}

// concernsBelow tells whether a rule may speak of a name or of one below it.
func (r *compiled) concernsBelow(name, key rr.Name) bool {
	if len(r.numbers) > 0 && !r.hasNumber(name) {
		return false
	}
	related := func(n rr.Name) bool { return n.IsBelowOrEqual(name) || name.IsBelowOrEqual(n) }
	switch {
	case r.SelfNumber || r.Owner == OwnerKey:
		return related(key)
	case r.Owner == OwnerAny, len(r.patterns) > 0:
		return true
	}
	for _, n := range r.names {
		if related(n) {
			return true
		}
	}
	return false
}

// wholeName is the deletion of a name and of one that stands for all below it.
type wholeName rr.Name

func (wholeName) NumChanges() int { return 2 }

func (n wholeName) Change(i int) (rr.Name, uint16) {
	if i == 0 {
		return rr.Name(n), dns.TypeANY
	}
	return "\x01_" + rr.Name(n), dns.TypeANY
}

func changeText(who Principal, what Changes, i int) string {
	if i < 0 || i >= what.NumChanges() {
		return fmt.Sprintf("%s may not %s", who, Update)
	}
	owner, t := what.Change(i)
	if t == dns.TypeANY {
		return fmt.Sprintf("%s may not delete all of %s", who, owner)
	}
	return fmt.Sprintf("%s may not change %s %s", who, owner, rr.TypeString(t))
}

// String names the principal in messages.
func (p Principal) String() string {
	if p.Key != "" {
		return "key " + p.Key.String()
	}
	if !p.Address.IsValid() {
		return "an unsigned request"
	}
	return "an unsigned request from " + p.Address.String()
}

// part is what of a rule does not fit a request.
type part uint8

const (
	fits part = iota
	action
	address
	signature // the rule is for keys, or for requests without one
	claim
	whichKey
	publicKey
	recordType
	selfNumber
	whichNumber
	owner
	nothing // a deny rule that speaks of none of the records
)

// missesWho tells what of address, key and action does not fit.
func (r *compiled) missesWho(what Action, who Principal) part {
	if r.Actions&what == 0 {
		return action
	}
	if len(r.Addresses) > 0 && !r.hasAddress(who.Address) {
		return address
	}
	switch {
	case !r.keyed:
		if who.Key == "" || r.Deny {
			return fits
		}
		return signature
	case who.Key == "":
		return signature
	case who.Claims && !r.FirstCome && !r.Deny:
		return claim
	case r.AnyKey:
		return fits
	case !r.keys[who.Key.Lower()]:
		return whichKey
	case who.PublicKey != "" && !r.Deny:
		// A rule that names keys means shared secrets: whoever claims a number has a
		// public key of that name.
		return publicKey
	}
	return fits
}

func (r *compiled) hasAddress(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range r.Addresses {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// covers tells whether the rule speaks of the update: of all its records, or,
// for a deny rule, of one of them. at is the record that decided, and missed what of it does not fit.
func (r *compiled) covers(who Principal, what Changes) (within bool, at int, missed part) {
	if r.coversAll() {
		return true, 0, fits
	}
	for i := range what.NumChanges() {
		missed = r.missesRecord(what, i, who.Key)
		if in := missed == fits; in == r.Deny {
			return in, i, missed
		}
	}
	if r.Deny {
		return false, what.NumChanges(), nothing
	}
	return true, what.NumChanges(), fits
}

// missesRecord tells what of type and owner does not fit a record.
func (r *compiled) missesRecord(what Changes, i int, key rr.Name) part {
	name, t := what.Change(i)
	if !r.hasType(t) {
		return recordType
	}
	return r.missesOwner(name, key)
}

func (r *compiled) hasType(t uint16) bool {
	if len(r.Types) == 0 || r.Deny && t == dns.TypeANY {
		return true
	}
	for _, have := range r.Types {
		if have == t {
			return true
		}
	}
	return false
}

func (r *compiled) missesOwner(name, key rr.Name) part {
	switch {
	case r.SelfNumber && !r.isOwnNumber(name, key):
		return selfNumber
	case len(r.numbers) > 0 && !r.hasNumber(name):
		return whichNumber
	case r.Owner == OwnerAny:
		return fits
	case r.Owner == OwnerKey:
		if r.Match.compare(name, key) {
			return fits
		}
		return owner
	}
	for _, n := range r.names {
		if r.Match.compare(name, n) {
			return fits
		}
	}
	for _, p := range r.patterns {
		if p.fits(name) {
			return fits
		}
	}
	return owner
}

// compare does all kinds of match but Pattern.
func (m Match) compare(owner, name rr.Name) bool {
	switch m {
	case SubOrEqual:
		return owner.IsBelowOrEqual(name)
	case Equal:
		return owner.EqualFold(name)
	case Sub:
		return len(owner) > len(name) && owner.IsBelowOrEqual(name)
	}
	return false
}
