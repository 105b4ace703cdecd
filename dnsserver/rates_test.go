package dnsserver

import (
	"testing"
	"time"
)

// samplesOf makes a sample a second, in which so many queries were answered since the one before.
func samplesOf(queries ...uint64) (r *rates) {
	r = &rates{}
	x := sample{at: time.Unix(1000, 0)}
	r.take(x)
	for _, n := range queries {
		x.at = x.at.Add(time.Second)
		x.work[ofQueries] += n
		r.take(x)
	}
	return r
}

func TestRates(t *testing.T) {
	if r := ratesOf(new(rates).all(), sample{}); r.Queries != (Rate{}) || len(r.QueriesEach) != 0 {
		t.Errorf("at the start: %+v", r)
	}
	now := sample{}
	now.work[ofQueries] = 1000
	r := ratesOf(samplesOf(10, 20, 60).all(), now)
	if r.Queries != (Rate{60, 30, 1000}) || r.Updates != (Rate{}) {
		t.Errorf("%+v", r)
	}
	if len(r.QueriesEach) != 3 || r.QueriesEach[0] != 10 || r.QueriesEach[2] != 60 || len(r.UpdatesEach) != 3 {
		t.Errorf("%+v", r)
	}
	many := make([]uint64, 200)
	for i := range many {
		many[i] = uint64(i)
	}
	r = ratesOf(samplesOf(many...).all(), now)
	if len(r.QueriesEach) != rateSeconds || r.QueriesEach[0] != 140 || r.QueriesEach[59] != 199 || r.Queries.Second != 199 || r.Queries.Minute != 169.5 {
		t.Errorf("%+v", r)
	}
}
