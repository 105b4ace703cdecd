package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"dialtone/zone/rr"
)

func (c *checker) zones(zones []rawZone) {
	if len(zones) == 0 {
		c.fault("zones", "there is no zone: add one with name and file")
	}
	seen := make(map[rr.Name]int)
	for i, z := range zones {
		path := fmt.Sprintf("zones[%d]", i)
		name, ok := c.name(path+".name", z.Name)
		if line, twice := seen[name.Lower()]; ok && twice {
			c.fault(path+".name", "the zone %s is defined twice (first at line %d): remove one", name, line)
		}
		seen[name.Lower()] = c.lines[path]
		zone := Zone{Name: name, Line: c.lines[path], AtFile: c.lines[path+".file"]}
		if z.File == "" {
			c.fault(path+".file", "it is missing: name the master file that the zone begins with")
		} else {
			zone.File = c.path(z.File)
		}
		if z.MaxTTL != nil {
			// RFC 2181, section 8.
			zone.MaxTTL = uint32(c.number(path+".max_ttl", *z.MaxTTL, 1, 1<<31-1))
		}
		if z.Records != nil {
			zone.Records = int(c.number(path+".max_records", *z.Records, 1, 1<<31-1))
		}
		zone.Seed = c.seed(path+".derived_keys", z.DerivedKeys)
		if len(z.ACL) == 0 {
			c.warn(path, "the zone has no acl, so every update and transfer of it is refused")
		}
		for j, r := range z.ACL {
			zone.ACL = append(zone.ACL, c.rule(fmt.Sprintf("%s.acl[%d]", path, j), name, r))
		}
		zone.Notify = c.notify(path+".notify", z.Notify)
		zone.Lease = c.lease(path+".lease", z.Lease)
		if text := z.Journal.MaxAge; text != "" {
			zone.Journal.MaxAge = c.duration(path+".journal.max_age", text)
		}
		if text := z.Journal.MaxSize; text != "" {
			zone.Journal.MaxSize = c.size(path+".journal.max_size", text)
		}
		for j, k := range c.conf.Keys {
			if k.Late != nil && ok && isNumberOf(k.Name, name) {
				c.fault(fmt.Sprintf("keys[%d].signed_late", j), "it is for keys that several clients share, and %s is that of a number: remove it", k.Name)
			}
		}
		c.conf.Zones = append(c.conf.Zones, zone)
	}
}

const (
	maxLease = 366 * 24 * time.Hour
	// What dnsserver takes where nothing is said (RFC 9664, section 8).
	usualMinLease, usualMaxLease, usualKeyMax = 30 * time.Second, 24 * time.Hour, 168 * time.Hour
)

// lease checks how the bounds of leases go together, those that are not said
// included.
func (c *checker) lease(path string, raw map[string]string) (l Lease) {
	for _, s := range []struct {
		name string
		to   *time.Duration
	}{{"default", &l.Default}, {"min", &l.Min}, {"max", &l.Max}, {"key_max", &l.KeyMax}} {
		text, given := raw[s.name]
		if !given || s.name == "default" && (text == "0" || text == "0s") {
			continue
		}
		at := path + "." + s.name
		d := c.duration(at, text)
		if d > 0 && (d < time.Second || d > maxLease || d%time.Second != 0) {
			c.fault(at, "%s is not of whole seconds, from 1s to %s", text, maxLease)
			d = 0
		}
		*s.to = max(d, 0)
	}
	least, most, key := cmp.Or(l.Min, usualMinLease), cmp.Or(l.Max, usualMaxLease), cmp.Or(l.KeyMax, usualKeyMax)
	at := func(name string) string {
		if _, given := raw[name]; given {
			return path + "." + name
		}
		return path
	}
	switch {
	case least > most:
		c.fault(at("min"), "the shortest lease, %s, is longer than the longest, max %s", least, most)
	case most > key:
		c.fault(at("max"), "the longest lease, %s, is longer than that of keys, key_max %s: a key must keep its number for as long as it is registered", most, key)
	case l.Default != 0 && (l.Default < least || l.Default > most):
		c.fault(at("default"), "%s is not between the shortest lease, %s, and the longest, %s", l.Default, least, most)
	}
	return l
}

func (c *checker) notify(path string, items []any) (targets []Target) {
	seen := make(map[netip.AddrPort]bool)
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", path, i)
		var t Target
		text, _ := item.(string)
		if m, isMap := item.(map[string]any); isMap {
			text, _ = m["address"].(string)
			if key, _ := m["key"].(string); key != "" {
				t.Key = c.knownKey(at+".key", key)
			}
			at += ".address"
		}
		addr, ok := c.addrPort(at, text)
		if !ok {
			continue
		}
		t.Addr = addr
		switch a := t.Addr.Addr(); {
		case t.Addr.Port() == 0:
			c.fault(at, "port 0 cannot be sent to: write the secondary's port, which is 53 as a rule")
		case a.IsUnspecified():
			c.fault(at, "%s is no address of a secondary", a)
		case seen[t.Addr]:
			c.fault(at, "%s is listed twice: remove one", t.Addr)
		}
		seen[t.Addr] = true
		targets = append(targets, t)
	}
	return targets
}

// unusedKeys: a key that nothing can use is a key that somebody forgot to
// give its permission, or a word misspelt.
func (c *checker) unusedKeys() {
	if len(c.bad) > 0 || len(c.conf.Zones) == 0 {
		return // what is missing may use them
	}
	for i, k := range c.conf.Keys {
		used := false
		for _, z := range c.conf.Zones {
			used = used || z.uses(k.Name)
		}
		if !used && k.Name != "" {
			c.fault(fmt.Sprintf("keys[%d]", i), "no acl rule and no notify can use the key %s: name it in one, or remove it", k.Name)
		}
	}
}

func (z *Zone) uses(key rr.Name) bool {
	for _, t := range z.Notify {
		if t.Key.EqualFold(key) {
			return true
		}
	}
	for _, r := range z.ACL {
		if r.uses(key, z.Name) {
			return true
		}
	}
	return false
}

// uses tells whether the rule can match a request that is signed with key. One
// for any key that compares owners with the key's name gives nothing to a key
// whose name has nothing to do with the zone.
func (r *Rule) uses(key, apex rr.Name) bool {
	for _, k := range r.Keys {
		if k.EqualFold(key) {
			return true
		}
	}
	if !r.AnyKey {
		return false
	}
	if r.SelfNumber {
		return isNumberOf(key, apex)
	}
	onlyOwn := r.Owner == "key" && !r.Deny && len(r.Actions) == 1 && r.Actions[0] == "update"
	return !onlyOwn || key.IsBelowOrEqual(apex) || apex.IsBelowOrEqual(key)
}

// isNumberOf tells whether name is that of a terminal number in the zone.
func isNumberOf(name, apex rr.Name) bool {
	_, own, ok := name.NumberOf(apex)
	return own && ok
}
