package dnsserver

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// ruleTally counts the updates of a zone by the rule that decided and by RCODE. It takes no memory before the
// first update, for there may be very many zones.
type ruleTally struct {
	rules atomic.Pointer[[]*rcodeTally] // by 1 + index of the rule; 0: none decided
	grow  sync.Mutex
}

type rcodeTally [numRcodes]atomic.Uint64

// noRule is for updates that no rule decided: they were refused before, or no rule matched.
const noRule = -1

func (r *ruleTally) add(rule int, rcode uint16, n uint64) {
	list := r.rules.Load()
	if list == nil || rule+1 >= len(*list) {
		list = r.longer(rule + 2)
	}
	(*list)[rule+1][min(rcode, numRcodes-1)].Add(n)
}

// longer makes room. Those who count meanwhile count in the same places.
func (r *ruleTally) longer(n int) *[]*rcodeTally {
	r.grow.Lock()
	defer r.grow.Unlock()
	var list []*rcodeTally
	if old := r.rules.Load(); old != nil {
		list = slices.Clone(*old)
	}
	for len(list) < n {
		list = append(list, new(rcodeTally))
	}
	r.rules.Store(&list)
	return &list
}

// ruleName is how log and metrics call a rule, as messages about the configuration do.
func ruleName(rule int) string {
	if rule == noRule {
		return "none"
	}
	return fmt.Sprintf("acl[%d]", rule)
}

// sum adds what other counts.
func (r *ruleTally) sum(other *ruleTally) {
	list := other.rules.Load()
	if list == nil {
		return
	}
	for i, t := range *list {
		for rcode := range t {
			if n := t[rcode].Load(); n > 0 {
				r.add(i-1, uint16(rcode), n)
			}
		}
	}
}

func (r *ruleTally) collect(e exporter, zone string) {
	const help = "Updates answered, by zone, the rule of its access list that decided (none: they did not come so far, or no rule matched) and RCODE."
	list := r.rules.Load()
	if list == nil {
		return
	}
	for i, t := range *list {
		for rcode := range t {
			if n := t[rcode].Load(); n > 0 {
				e.count("updates_total", help, n, "zone", zone, "rule", ruleName(i-1), "rcode", rcodeName(rcode))
			}
		}
	}
}
