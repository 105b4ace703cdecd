package config

import (
	"cmp"
	"net/netip"
	"strings"
	"time"
)

// RateLimit bounds the responses over UDP that one network gets. Rates are a second; 0 is no limit.
type RateLimit struct {
	Responses, Referrals, NoData, NXDomains, Errors, All int
	Window                                               time.Duration
	Slip                                                 int // -1: nothing slips
	IPv4Prefix, IPv6Prefix                               int
	Exempt                                               []netip.Prefix
	TableSize                                            int // accounts
	LogOnly                                              bool
}

type rawRateLimit struct {
	Responses  string   `mapstructure:"responses_per_second"`
	Referrals  string   `mapstructure:"referrals_per_second"`
	NoData     string   `mapstructure:"nodata_per_second"`
	NXDomains  string   `mapstructure:"nxdomains_per_second"`
	Errors     string   `mapstructure:"errors_per_second"`
	All        string   `mapstructure:"all_per_second"`
	Window     string   `mapstructure:"window"`
	Slip       string   `mapstructure:"slip"`
	IPv4Prefix string   `mapstructure:"ipv4_prefix"`
	IPv6Prefix string   `mapstructure:"ipv6_prefix"`
	Exempt     []string `mapstructure:"exempt"`
	TableSize  string   `mapstructure:"table_size"`
	LogOnly    string   `mapstructure:"log_only"`
}

// rateLimitSettings are the settings of rate_limit.
var rateLimitSettings = map[string]setting{
	"responses_per_second": {kind: number}, "referrals_per_second": {kind: number}, "nodata_per_second": {kind: number},
	"nxdomains_per_second": {kind: number}, "errors_per_second": {kind: number}, "all_per_second": {kind: number},
	"window": {kind: quantity}, "slip": {kind: number}, "ipv4_prefix": {kind: number}, "ipv6_prefix": {kind: number},
	"exempt": {kind: texts}, "table_size": {kind: number}, "log_only": {kind: flag},
}

// maxResponses is more than any resolver asks for one name and type.
const maxResponses = 1000

// rateLimit reads the limits; a class that is not named has the rate of responses, as in BIND.
func (c *checker) rateLimit(r rawRateLimit) {
	const at = "rate_limit."
	to := &c.conf.RateLimit
	number := func(name, text string, v *int, low, high int64) {
		if text != "" {
			*v = int(c.number(at+name, text, low, high))
		}
	}
	number("responses_per_second", r.Responses, &to.Responses, 0, maxResponses)
	for _, class := range []struct {
		name, text string
		rate       *int
	}{
		{"referrals_per_second", r.Referrals, &to.Referrals}, {"nodata_per_second", r.NoData, &to.NoData},
		{"nxdomains_per_second", r.NXDomains, &to.NXDomains}, {"errors_per_second", r.Errors, &to.Errors},
	} {
		*class.rate = to.Responses
		number(class.name, class.text, class.rate, 0, maxResponses)
	}
	number("all_per_second", r.All, &to.All, 0, maxResponses)
	number("slip", r.Slip, &to.Slip, 0, 10)
	if r.Slip != "" && to.Slip == 0 {
		to.Slip = -1
	}
	number("ipv4_prefix", r.IPv4Prefix, &to.IPv4Prefix, 1, 32)
	number("ipv6_prefix", r.IPv6Prefix, &to.IPv6Prefix, 1, 64)
	number("table_size", r.TableSize, &to.TableSize, 1<<10, 1<<24)
	if r.Window != "" {
		if to.Window = c.duration(at+"window", r.Window); to.Window > time.Hour {
			c.fault(at+"window", "%s is longer than 1h, the most that it can be", r.Window)
		}
	}
	for i, text := range r.Exempt {
		to.Exempt = append(to.Exempt, c.prefix(c.item(at+"exempt", i), strings.TrimSpace(text)))
	}
	to.LogOnly = c.flag(at+"log_only", r.LogOnly)
	c.rateLimitUse(r)
}

// rateLimitUse warns of what has no effect, or none that is wanted.
func (c *checker) rateLimitUse(r rawRateLimit) {
	l := &c.conf.RateLimit
	on := l.Responses|l.Referrals|l.NoData|l.NXDomains|l.Errors|l.All != 0
	rates := cmp.Or(r.Responses, r.Referrals, r.NoData, r.NXDomains, r.Errors, r.All) != ""
	switch {
	case !on && !rates && c.lines["rate_limit"] > 0:
		c.warn("rate_limit", "it has no rate, so nothing is limited: add responses_per_second")
	case on && !l.LogOnly && c.conf.NoCookies:
		c.warn("rate_limit", "cookies are off, so a resolver whose address others forge has only TCP to get through")
	}
}
