package acl

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// phoneTypes are what a phone may have at its number and below it: addresses,
// and what leads a caller to them. ANY is the deletion of all of a name.
var phoneTypes = []uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeNAPTR, dns.TypeTXT, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeKEY, dns.TypeANY,
}

// numbers are the terminal numbers of one entry of Rule.Numbers: those with
// the digits of low to high, or those that begin with low.
type numbers struct {
	low, high string // as many digits each
	prefix    bool
}

// parseNumbers reads "5551234", "2000-2999" or "4420*".
func parseNumbers(text string) (n numbers, err error) {
	bad := func(why string) (numbers, error) {
		return numbers{}, fmt.Errorf("%q %s: write a number as 5551234, a range as 2000-2999, or the first digits as 4420*", text, why)
	}
	low, high, isRange := strings.Cut(text, "-")
	low, n.prefix = strings.CutSuffix(low, "*")
	switch n.low, n.high = low, low; {
	case isRange && n.prefix:
		return bad("is a range and has a *")
	case isRange:
		n.high = high
	case n.prefix && low == "":
		return n, nil // "*": all numbers
	}
	switch {
	case !rr.IsNumber(n.low) || !rr.IsNumber(n.high):
		return bad(fmt.Sprintf("is not of 1 to %d digits", rr.MaxDigits))
	case len(n.low) != len(n.high):
		return bad("goes from fewer digits to more, and numbers of different length are different numbers")
	case n.low > n.high:
		return bad("begins behind its end")
	}
	return n, nil
}

func (n numbers) has(number string) bool {
	if n.prefix {
		return strings.HasPrefix(number, n.low)
	}
	return len(number) == len(n.low) && n.low <= number && number <= n.high
}

// hasNumber tells whether the rule's numbers include that of owner.
func (r *compiled) hasNumber(owner rr.Name) bool {
	number, _, ok := owner.NumberOf(r.apex)
	if !ok {
		return false
	}
	for _, n := range r.numbers {
		if n.has(number) {
			return true
		}
	}
	return false
}

// isOwnNumber tells whether key is that of a number, which bears its name, and
// owner is that name or below it.
func (r *compiled) isOwnNumber(owner, key rr.Name) bool {
	_, own, ok := key.NumberOf(r.apex)
	return ok && own && owner.IsBelowOrEqual(key)
}

func (c *compiled) compileNumbers() (problems []string) {
	if c.SelfNumber {
		if !c.keyed {
			problems = append(problems, `self_number needs a key in the same rule: name one, or "*" for any`)
		}
		if c.Owner != OwnerAny {
			problems = append(problems, "self_number says which names may be changed: it does not go with update_owner")
		}
		if len(c.Types) == 0 && !c.Deny {
			c.Types = phoneTypes
		}
	}
	for _, text := range c.Numbers {
		n, err := parseNumbers(text)
		if err != nil {
			problems = append(problems, "numbers: "+err.Error())
			continue
		}
		c.numbers = append(c.numbers, n)
	}
	if c.Deny && (c.MaxRecords != 0 || c.SourceAddress || c.FirstCome) {
		problems = append(problems, "max_records, source_address and claim are for what a rule allows: with deny they mean nothing")
	}
	if c.FirstCome && (!c.SelfNumber || len(c.numbers) == 0) {
		problems = append(problems, "claim first_come needs self_number and numbers in the same rule: say which numbers the first may have that comes")
	}
	if c.MaxRecords < 0 {
		problems = append(problems, fmt.Sprintf("max_records is %d, less than 0", c.MaxRecords))
	}
	return problems
}
