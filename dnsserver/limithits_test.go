package dnsserver

import (
	"errors"
	"net/netip"
	"testing"

	"dialtone/update"
	"dialtone/zone"
)

// Every limit has a name of its own and a line in the metrics, also before it is reached.
func TestEachLimitHasAMetric(t *testing.T) {
	o := testOptions(t)
	o.MetricsListen = netip.MustParseAddrPort("127.0.0.1:0")
	s, _ := start(t, o)
	seen := map[string]bool{}
	for l := range numLimits {
		if l.String() == "" || seen[l.String()] {
			t.Errorf("limit %d is called %q", l, l)
		}
		seen[l.String()] = true
		wantMetrics(t, s, `dialtone_limit_hits_total{limit="`+l.String()+`"} 0`)
	}
	for range 3 {
		s.Counters.Limits.Hit(LimitTCPInFlight)
	}
	wantMetrics(t, s, `dialtone_limit_hits_total{limit="tcp_in_flight"} 3`)
}

func TestLimitsOfUpdatesCountByTheirNames(t *testing.T) {
	var h limitHits
	for l := range numLimits {
		h.hitOf(update.Beyond(l.String(), "too many"))
		if h.Of(l) != 1 {
			t.Errorf("%s: %d counted", l, h.Of(l))
		}
	}
	h.hitOf(update.Refused("for another reason"))
	h.hitOf(errors.Join(zone.ErrStore))
	for l := range numLimits {
		if h.Of(l) != 1 {
			t.Errorf("%s: %d counted after others", l, h.Of(l))
		}
	}
}
