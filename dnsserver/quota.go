package dnsserver

import (
	"time"

	"golang.org/x/time/rate"
)

// quota is how many signatures are verified in a second: half of them for addresses that may be forged.
type quota struct{ all, unproven *rate.Limiter }

// newQuota begins with all that a second has: one that is made empty would refuse the first.
func newQuota(perSecond int) quota {
	half := max(1, perSecond/2)
	return quota{rate.NewLimiter(rate.Limit(perSecond), perSecond), rate.NewLimiter(rate.Limit(half), half)}
}

func (q quota) set(perSecond int, now time.Time) {
	half := max(1, perSecond/2)
	q.all.SetBurstAt(now, perSecond)
	q.all.SetLimitAt(now, rate.Limit(perSecond))
	q.unproven.SetBurstAt(now, half)
	q.unproven.SetLimitAt(now, rate.Limit(half))
}

// take takes one; false when there is none left.
func (q quota) take(proven bool, now time.Time) bool {
	return (proven || q.unproven.AllowN(now, 1)) && q.all.AllowN(now, 1)
}
