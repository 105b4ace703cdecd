package acl

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// The words of a configuration, as Knot spells them.
var (
	actions = [...]string{"query", "notify", "transfer", "update"}   // by bit
	owners  = [...]string{"", "key", "zone", "name"}                 // by value
	matches = [...]string{"sub-or-equal", "equal", "sub", "pattern"} // by value
)

func actionWords() string { return strings.Join(actions[:], ", ") }

// String gives the words of the set.
func (a Action) String() string {
	var words []string
	for i, w := range actions {
		if a&(1<<i) != 0 {
			words = append(words, w)
		}
	}
	return strings.Join(words, ", ")
}

// ParseAction reads one word.
func ParseAction(word string) (Action, error) {
	for i, w := range actions {
		if w == word {
			return 1 << i, nil
		}
	}
	return 0, fmt.Errorf("%q is not an action: use %s", word, actionWords())
}

// ParseOwner reads the word of update_owner; "" is OwnerAny.
func ParseOwner(word string) (Owner, error) {
	for i, w := range owners {
		if w == word {
			return Owner(i), nil
		}
	}
	return 0, fmt.Errorf("%q is not an update_owner: use %s", word, strings.Join(owners[1:], ", "))
}

// ParseMatch reads the word of update_owner_match; "" is SubOrEqual.
func ParseMatch(word string) (Match, error) {
	if word == "" {
		return SubOrEqual, nil
	}
	for i, w := range matches {
		if w == word {
			return Match(i), nil
		}
	}
	return 0, fmt.Errorf("%q is not an update_owner_match: use %s", word, strings.Join(matches[:], ", "))
}

// ParseType reads a type of update_type: a mnemonic in any case, TYPE123, or
// ANY, which is what deleting all RRsets of a name has.
func ParseType(word string) (uint16, error) {
	up := strings.ToUpper(word)
	t, ok := dns.StringToType[up]
	if digits, generic := strings.CutPrefix(up, "TYPE"); !ok && generic {
		n, err := strconv.ParseUint(digits, 10, 16)
		t, ok = uint16(n), err == nil
	}
	if !ok || t == 0 || t != dns.TypeANY && rr.IsMetaType(t) {
		return 0, fmt.Errorf("%q is not a type that an update can have", word)
	}
	return t, nil
}
