package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

var (
	ownerWords = []string{"key", "zone", "name"}
	matchWords = []string{"sub-or-equal", "equal", "sub", "pattern"}
)

// rule checks one rule of the zone apex.
func (c *checker) rule(path string, apex rr.Name, r rawRule) Rule {
	rule := Rule{
		Deny: r.Deny, Owner: r.Owner, Match: r.Match, OwnerNames: r.OwnerName,
		SelfNumber: r.SelfNumber, Numbers: r.Numbers, SourceAddr: r.SourceAddr, Line: c.lines[path],
	}
	if r.Claim != "" && c.word(path+".claim", r.Claim, []string{"provisioned", "first_come"}) {
		rule.FirstCome = r.Claim == "first_come"
	}
	for i, text := range r.Address {
		rule.Addresses = append(rule.Addresses, c.prefix(c.item(path+".address", i), text))
	}
	for i, text := range r.Key {
		if text == "*" {
			rule.AnyKey = true
			continue
		}
		rule.Keys = append(rule.Keys, c.knownKey(c.item(path+".key", i), text))
	}
	c.actions(path, r, &rule)
	c.owner(path, apex, r)
	if rule.AnyKey {
		c.anyKey(path, r)
	}
	if r.MaxRecords != nil {
		rule.MaxRecords = int(c.number(path+".max_records", *r.MaxRecords, 1, 65535))
	}
	if r.SelfNumber && len(r.Key) == 0 {
		c.fault(path+".self_number", "it compares owners with the number of the key that signed, but the rule has no key: add key: \"*\" or a key's name")
	}
	for i, k := range rule.Keys {
		if r.SelfNumber && k != "" && apex != "" && !isNumberOf(k, apex) {
			c.fault(c.item(path+".key", i), "self_number is for keys that bear the name of a number, as 5551234.%s, and %s does not", apex, k)
		}
	}
	if rule.FirstCome && len(r.Type) > 0 && !slices.ContainsFunc(r.Type, func(t string) bool { return strings.EqualFold(t, "KEY") }) {
		c.fault(path+".claim", "who claims a number brings a KEY record, and KEY is not among update_type: add it, or leave update_type out")
	}
	for i, text := range r.Type {
		rule.Types = append(rule.Types, c.dnsType(c.item(path+".update_type", i), text))
	}
	return rule
}

// anyKey warns of what "*" lets in. It stands for the keys of phones too, which
// the file does not name: those that are derived, and those that are kept in the
// data directory.
func (c *checker) anyKey(path string, r rawRule) {
	at := path + ".key"
	own := r.SelfNumber || r.Owner == "key"
	if r.Deny {
		return
	}
	for _, action := range r.Action {
		if action == "transfer" || action == "update" && !own {
			c.warn(at, "\"*\" is the key of any phone too, derived, kept (\"dialtone key add\") or a KEY record: name the keys that may %s, or add self_number", action)
		}
	}
}

// item is the path of a value in a list, or that of the value itself when the
// file has no list there.
func (c *checker) item(path string, i int) string {
	if p := fmt.Sprintf("%s[%d]", path, i); c.lines[p] != 0 {
		return p
	}
	return path
}

func (c *checker) actions(path string, r rawRule, rule *Rule) {
	updates := r.Deny && len(r.Action) == 0
	for i, text := range r.Action {
		at := c.item(path+".action", i)
		switch text {
		case "update":
			updates = true
		case "transfer":
		case "query":
			c.fault(at, "queries are answered to everybody: a rule can be for update or transfer")
		case "notify":
			c.fault(at, "dialtone is a primary and takes no NOTIFY: a rule can be for update or transfer")
		default:
			c.word(at, text, []string{"update", "transfer"})
		}
		rule.Actions = append(rule.Actions, text)
	}
	if len(r.Action) == 0 && !r.Deny && !c.bad[path+".deny"] {
		c.fault(path+".action", "it is missing: say what the rule allows, update, transfer or both")
	}
	restricts := r.Owner != "" || r.Match != "" || len(r.OwnerName) > 0 || len(r.Type) > 0 || r.SelfNumber || len(r.Numbers) > 0 || r.MaxRecords != nil || r.SourceAddr || r.Claim != ""
	if !updates && restricts {
		c.fault(path+".action", "the rule has settings for updates, but update is not among its actions: add it, or remove them")
	}
}

// owner checks how the settings of update_owner go together.
func (c *checker) owner(path string, apex rr.Name, r rawRule) {
	if r.Owner != "" && !c.word(path+".update_owner", r.Owner, ownerWords) {
		return
	}
	if r.Match != "" && !c.word(path+".update_owner_match", r.Match, matchWords) {
		return
	}
	switch {
	case r.Owner == "name" && len(r.OwnerName) == 0:
		c.fault(path+".update_owner", "name needs update_owner_name: list the names that may be changed")
	case r.Owner != "name" && len(r.OwnerName) > 0:
		c.fault(path+".update_owner_name", "names are compared only with update_owner: name, so add that")
	case r.Owner == "" && r.Match != "":
		c.fault(path+".update_owner_match", "there is nothing to match without update_owner: add it (key, zone or name)")
	case r.Owner == "key" && len(r.Key) == 0:
		c.fault(path+".update_owner", "key compares owners with the name of the key that signed, but the rule has no key: add key: \"*\" or a key's name")
	case r.Match == "pattern" && r.Owner != "name":
		c.fault(path+".update_owner_match", "a pattern stands in update_owner_name, so update_owner must be name")
	}
	for i, text := range r.OwnerName {
		at := c.item(path+".update_owner_name", i)
		n, ok := c.name(at, text)
		switch {
		case !ok:
		case !dns.IsFqdn(text):
			if len(n)-1+len(apex) > rr.MaxName {
				c.fault(at, "%q with %s behind it is longer than a name can be", text, apex)
			}
		case apex != "" && r.Match != "pattern" && !n.IsBelowOrEqual(apex):
			c.fault(at, "%s is not in the zone %s: take the final dot away if it is meant to be below the zone", n, apex)
		}
	}
}

func (c *checker) prefix(path, text string) netip.Prefix {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen())
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		c.fault(path, "%q is neither an address nor a network: write it as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32", text)
		return p
	}
	if p != p.Masked() {
		c.fault(path, "%s has bits behind its length of %d: write %s for the network, or %s for the one address", text, p.Bits(), p.Masked(), p.Addr())
	}
	return p
}

func (c *checker) dnsType(path, text string) string {
	up := strings.ToUpper(text)
	t, ok := dns.StringToType[up]
	if !ok {
		var n uint16
		if _, err := fmt.Sscanf(up, "TYPE%d", &n); err == nil && up == fmt.Sprintf("TYPE%d", n) {
			t, ok = n, true
		}
	}
	if !ok || t == dns.TypeNone || rr.IsMetaType(t) && t != dns.TypeANY {
		c.fault(path, "%q is no record type: write A, AAAA and so on, TYPE123 for one without a name, or ANY for deleting all of a name", text)
	}
	return up
}

// knownKey finds a key by its name; the name is as the key was defined.
func (c *checker) knownKey(path, text string) rr.Name {
	n, ok := c.name(path, text)
	if !ok {
		return n
	}
	var names []string
	for p := range c.bad {
		if strings.HasPrefix(p, "keys") {
			return n // it may be the one that was taken out
		}
	}
	for _, k := range c.conf.Keys {
		if k.Name.EqualFold(n) {
			return k.Name
		}
		names = append(names, strings.ToLower(k.Name.String()))
	}
	hint := "add it there, or correct the name"
	if meant := nearest(n.String(), names); meant != "" {
		hint = "did you mean " + meant + "?"
	}
	c.fault(path, "the key %s is not in keys: %s", n, hint)
	return n
}
