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
		if r := &l.rules[i]; r.matches(what, who) {
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
	miss, near := -1, false
	for i := range l.rules {
		r := &l.rules[i]
		if !r.matches(Update, who) {
			continue
		}
		within, at := r.covers(who, what)
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
		if r := &l.rules[i]; r.Deny && r.matches(Update, who) && r.concernsBelow(name, who.Key) {
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
	return "an unsigned request from " + p.Address.String()
}

// matches tells whether address, key and action of the rule fit.
func (r *compiled) matches(what Action, who Principal) bool {
	if r.Actions&what == 0 {
		return false
	}
	if len(r.Addresses) > 0 && !r.hasAddress(who.Address) {
		return false
	}
	switch {
	case !r.keyed:
		return who.Key == "" || r.Deny
	case who.Key == "", who.Claims && !r.FirstCome && !r.Deny:
		return false
	case r.AnyKey:
		return true
	default:
		// A rule that names keys means shared secrets: whoever claims a number has a
		// public key of that name.
		return r.keys[who.Key.Lower()] && (who.PublicKey == "" || r.Deny)
	}
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
// for a deny rule, of one of them. at is the record that decided.
func (r *compiled) covers(who Principal, what Changes) (within bool, at int) {
	if r.Owner == OwnerAny && len(r.Types) == 0 && len(r.numbers) == 0 && !r.SelfNumber {
		return true, 0
	}
	for i := range what.NumChanges() {
		owner, t := what.Change(i)
		in := r.hasType(t) && r.hasOwner(owner, who.Key)
		if in == r.Deny {
			return in, i
		}
	}
	return !r.Deny, what.NumChanges()
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

func (r *compiled) hasOwner(owner, key rr.Name) bool {
	if r.SelfNumber && !r.isOwnNumber(owner, key) || len(r.numbers) > 0 && !r.hasNumber(owner) {
		return false
	}
	switch r.Owner {
	case OwnerAny:
		return true
	case OwnerKey:
		return r.Match.compare(owner, key)
	}
	for _, n := range r.names {
		if r.Match.compare(owner, n) {
			return true
		}
	}
	for _, p := range r.patterns {
		if p.fits(owner) {
			return true
		}
	}
	return false
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
