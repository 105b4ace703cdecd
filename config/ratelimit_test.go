package config

import (
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// limited loads a configuration with one rate_limit.
func limited(t *testing.T, section, more string) (*Config, error) {
	t.Helper()
	text := "listen: [\"127.0.0.1:5300\"]\ndata_dir: d\nzones: [{name: a., file: f, acl: [{deny: true}]}]\n" + more + "rate_limit: " + section + "\n"
	return LoadBytes([]byte(text), filepath.Join(t.TempDir(), "f"))
}

func TestRateLimit(t *testing.T) {
	for text, want := range map[string]RateLimit{
		"{responses_per_second: 0}": {},
		"{responses_per_second: 5}": {Responses: 5, Referrals: 5, NoData: 5, NXDomains: 5, Errors: 5},
		"{responses_per_second: 5, errors_per_second: 0, nxdomains_per_second: 2, slip: 0, window: 10s, log_only: true}": {
			Responses: 5, Referrals: 5, NoData: 5, NXDomains: 2, Slip: -1, Window: 10 * time.Second, LogOnly: true,
		},
		"{all_per_second: 1000, referrals_per_second: 3, ipv4_prefix: 32, ipv6_prefix: 64, slip: 10, table_size: 1024, exempt: [192.0.2.1, 2001:db8::/32]}": {
			All: 1000, Referrals: 3, IPv4Prefix: 32, IPv6Prefix: 64, Slip: 10, TableSize: 1024,
			Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32")},
		},
	} {
		c, err := limited(t, text, "")
		if err != nil || !reflect.DeepEqual(c.RateLimit, want) || len(c.Warnings) > 0 {
			t.Errorf("%s: %v, %+v", text, err, c)
		}
	}
}

func TestRateLimitFaults(t *testing.T) {
	for text, want := range map[string]string{
		"{responses_per_second: 1001}":            `f:4: rate_limit.responses_per_second: "1001" is not a number from 0 to 1000`,
		"{responses_per_second: -1}":              `f:4: rate_limit.responses_per_second: "-1" is not a number from 0 to 1000`,
		"{responses_per_second: 5, slip: 11}":     `f:4: rate_limit.slip: "11" is not a number from 0 to 10`,
		"{responses_per_second: 5, window: 2h}":   "f:4: rate_limit.window: 2h is longer than 1h, the most that it can be",
		"{responses_per_second: 5, window: 15}":   `f:4: rate_limit.window: "15" is not a duration: write a number with a unit, as in 10s, 15m, 168h or 7d`,
		"{responses_per_second: 5, exempt: [me]}": `f:4: rate_limit.exempt[0]: "me" is neither an address nor a network: write it as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32`,
		"{ipv6_prefix: 65}":                       `f:4: rate_limit.ipv6_prefix: "65" is not a number from 1 to 64`,
		"{table_size: 16777217}":                  `f:4: rate_limit.table_size: "16777217" is not a number from 1024 to 16777216`,
		"{log_only: perhaps}":                     `f:4: rate_limit.log_only: it wants true or false, not "perhaps"`,
		"{response_per_second: 5}":                "f:4: rate_limit.response_per_second: there is no such setting: did you mean responses_per_second?",
	} {
		_, err := limited(t, text, "")
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestRateLimitWarnings(t *testing.T) {
	for _, c := range []struct{ text, more, want string }{
		{"{window: 5s}", "", "rate_limit: it has no rate, so nothing is limited: add responses_per_second"},
		{"{responses_per_second: 5}", "cookies: false\n", "cookies are off, so a resolver whose address others forge has only TCP to get through"},
		{"{responses_per_second: 5, log_only: true}", "cookies: false\n", ""},
		{"{responses_per_second: 0}", "", ""},
	} {
		conf, err := limited(t, c.text, c.more)
		if err != nil {
			t.Fatal(err)
		}
		if got := conf.Warnings.Error(); c.want == "" && len(conf.Warnings) > 0 || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.text, got)
		}
	}
}

func TestRateLimitFromTheEnvironment(t *testing.T) {
	t.Setenv("DIALTONE_RATE_LIMIT_RESPONSES_PER_SECOND", "7")
	t.Setenv("DIALTONE_RATE_LIMIT_EXEMPT", "192.0.2.0/24,::1")
	t.Setenv("DIALTONE_RATE_LIMIT_LOG_ONLY", "true")
	c, err := limited(t, "{responses_per_second: 5, nodata_per_second: 1}", "")
	if err != nil {
		t.Fatal(err)
	}
	if l := c.RateLimit; l.Responses != 7 || l.NXDomains != 7 || l.NoData != 1 || len(l.Exempt) != 2 || !l.LogOnly {
		t.Errorf("%+v", l)
	}
}
