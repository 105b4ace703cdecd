package acl

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dialtone/zone/rr"
)

// Step is what one rule said to an update.
type Step struct {
	Rule    int    // its index
	Place   string // Rule.Text
	Text    string // the rule in one line
	Looked  bool   // it was looked at: none before it decided
	Decides bool
	Why     string // why it does not decide; "" where it does or was not looked at
}

// ExplainUpdate is DecideUpdate, and tells what each rule said to it.
func (l List) ExplainUpdate(who Principal, what Changes) (Decision, []Step) {
	steps := make([]Step, len(l.rules))
	for i := range l.rules {
		steps[i] = Step{Rule: i, Place: l.rules[i].Text, Text: l.rules[i].String()}
	}
	d := l.decideUpdate(who, what, func(rule int, missed part, at int) {
		steps[rule].Looked = true
		if missed != fits {
			steps[rule].Why = l.rules[rule].why(missed, who, what, at)
		}
	})
	if d.Rule >= 0 {
		steps[d.Rule].Decides = true
	}
	return d, steps
}

// why says in one sentence what of a rule does not fit.
func (r *compiled) why(missed part, who Principal, what Changes, at int) string {
	name, record := rr.Name(""), "no record"
	if at < what.NumChanges() {
		var t uint16
		name, t = what.Change(at)
		record = fmt.Sprintf("%s %s", name, rr.TypeString(t))
	}
	switch missed {
	case action:
		return "it is not for updates"
	case address:
		if !who.Address.IsValid() {
			return "it is for some addresses only, and none is given"
		}
		return fmt.Sprintf("%s is none of its addresses", who.Address.Unmap())
	case signature:
		if r.keyed {
			return "it is for signed updates"
		}
		return "it is for updates that are not signed"
	case claim:
		return "the number has no KEY record, and the rule has no claim: first_come"
	case whichKey:
		return fmt.Sprintf("%s is none of its keys", who.Key)
	case publicKey:
		return "a rule that names keys is for shared secrets, not for public keys"
	case recordType:
		return fmt.Sprintf("%s is of none of its types", record)
	case selfNumber:
		if number, own, ok := who.Key.NumberOf(r.apex); !ok || !own {
			return fmt.Sprintf("self_number: key %s is not that of a number of the zone", who.Key)
		} else {
			return fmt.Sprintf("self_number: %s is not number %s, whose key it is, or below it", name, number)
		}
	case whichNumber:
		return fmt.Sprintf("%s is none of its numbers, or below one", name)
	case owner:
		return fmt.Sprintf("%s is none of its owners", name)
	}
	return "it denies other records"
}

// String is the rule in one line, in the words of the configuration.
func (r *compiled) String() string {
	words := []string{"allow"}
	if r.Deny {
		words[0] = "deny"
	}
	add := func(name string, list []string) {
		if len(list) > 0 {
			words = append(words, name+" "+strings.Join(list, " "))
		}
	}
	words = append(words, "action "+strings.ReplaceAll(r.Actions.String(), ", ", " "))
	if r.AnyKey {
		words = append(words, "key *")
	}
	add("key", textOf(r.Keys, rr.Name.String))
	add("address", textOf(r.Addresses, netip.Prefix.String))
	if r.SelfNumber {
		words = append(words, "self_number")
	}
	add("numbers", r.Numbers)
	if r.Owner != OwnerAny {
		words = append(words, "update_owner "+owners[r.Owner])
	}
	add("update_owner_name", r.OwnerNames)
	if r.Match != SubOrEqual {
		words = append(words, "update_owner_match "+matches[r.Match])
	}
	if !r.SelfNumber || !slices.Equal(r.Types, phoneTypes) { // which it has by itself
		add("update_type", textOf(r.Types, rr.TypeString))
	}
	if r.MaxRecords > 0 {
		words = append(words, fmt.Sprintf("max_records %d", r.MaxRecords))
	}
	if r.SourceAddress {
		words = append(words, "source_address")
	}
	if r.FirstCome {
		words = append(words, "claim first_come")
	}
	return strings.Join(words, ", ")
}

func textOf[T any](list []T, text func(T) string) []string {
	words := make([]string, len(list))
	for i, x := range list {
		words[i] = text(x)
	}
	return words
}
