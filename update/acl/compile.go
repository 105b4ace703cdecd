package acl

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"dialtone/zone/rr"
)

// List is the compiled list of one zone. The zero List allows nothing. It is
// immutable and may be used by many goroutines.
type List struct{ rules []compiled }

// compiled is a rule ready for decisions.
type compiled struct {
	Rule
	apex     rr.Name
	numbers  []numbers
	keyed    bool // the rule names keys, or AnyKey
	keys     map[rr.Name]bool
	names    []rr.Name // what OwnerZone and OwnerName compare with
	patterns []pattern
}

// Compile makes the list of the zone with this apex. All faults of all rules
// come in one error, joined, each a *RuleError.
func Compile(apex rr.Name, rules []Rule) (List, error) {
	var faults []error
	l := List{rules: make([]compiled, 0, len(rules))}
	for i, r := range rules {
		c, problems := compile(apex, r)
		for _, p := range problems {
			faults = append(faults, &RuleError{Index: i, Rule: r.Text, Text: p})
		}
		l.rules = append(l.rules, c)
	}
	if len(faults) > 0 {
		return List{}, errors.Join(faults...)
	}
	return l, nil
}

// Equal tells whether both lists decide alike, as far as their rules are the same ones in the same order. How messages
// call the rules does not count.
func (l List) Equal(o List) bool {
	return slices.EqualFunc(l.rules, o.rules, func(a, b compiled) bool {
		a.Text, b.Text = "", ""
		return reflect.DeepEqual(a, b)
	})
}

// Len is the number of rules.
func (l List) Len() int { return len(l.rules) }

func compile(apex rr.Name, r Rule) (c compiled, problems []string) {
	c = compiled{Rule: r, apex: apex, keyed: r.AnyKey || len(r.Keys) > 0}
	if c.Actions == 0 {
		if !r.Deny {
			problems = append(problems, "the rule allows no action: name at least one of "+actionWords())
		}
		c.Actions = Query | Notify | Transfer | Update
	}
	c.keys = make(map[rr.Name]bool, len(r.Keys))
	for _, k := range r.Keys {
		c.keys[k.Lower()] = true
	}
	c.Addresses = make([]netip.Prefix, 0, len(r.Addresses))
	for _, p := range r.Addresses {
		if !p.IsValid() {
			problems = append(problems, "an address of the rule is not valid")
			continue
		}
		c.Addresses = append(c.Addresses, unmapPrefix(p))
	}
	problems = append(problems, c.compileOwner(apex)...)
	return c, append(problems, c.compileNumbers()...)
}

// unmapPrefix makes ::ffff:192.0.2.0/120 match as 192.0.2.0/24 does.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

func (c *compiled) compileOwner(apex rr.Name) (problems []string) {
	if c.Match == Pattern && c.Owner != OwnerName {
		problems = append(problems, "update_owner_match pattern goes with update_owner name only")
	}
	if len(c.OwnerNames) > 0 && c.Owner != OwnerName {
		problems = append(problems, "update_owner_name goes with update_owner name only")
	}
	switch c.Owner {
	case OwnerKey:
		if !c.keyed {
			problems = append(problems, `update_owner key needs a key in the same rule: name one, or "*" for any`)
		}
	case OwnerZone:
		c.names = []rr.Name{apex}
	case OwnerName:
		if len(c.OwnerNames) == 0 {
			problems = append(problems, "update_owner name needs update_owner_name with at least one name")
		}
		for _, text := range c.OwnerNames {
			if err := c.addName(apex, text); err != nil {
				problems = append(problems, "update_owner_name "+err.Error())
			}
		}
	}
	return problems
}

func (c *compiled) addName(apex rr.Name, text string) error {
	if c.Match == Pattern {
		p, err := parsePattern(apex, text)
		if err == nil {
			c.patterns = append(c.patterns, p)
		}
		return err
	}
	full := text
	if !isAbsolute(text) && text != "" {
		full = text + "." + strings.TrimPrefix(apex.String(), ".")
	}
	n, err := rr.ParseName(full)
	if err != nil {
		return err
	}
	if !n.IsBelowOrEqual(apex) && !apex.IsBelowOrEqual(n) {
		return fmt.Errorf("%q has nothing to do with zone %s: a final dot makes a name absolute", text, apex)
	}
	c.names = append(c.names, n)
	return nil
}

// isAbsolute tells whether text ends with a dot that no backslash escapes.
func isAbsolute(text string) bool {
	if !strings.HasSuffix(text, ".") {
		return false
	}
	rest := text[:len(text)-1]
	return (len(rest)-len(strings.TrimRight(rest, `\`)))%2 == 0
}
