package dnsserver

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// rates keeps what was counted in the last minute: a sample a second.
type rates struct {
	mu struct {
		sync.Mutex
		samples [rateSeconds + 1]sample // a ring
		next    int                     // where the next one goes
		count   int
	}
}

// rateSeconds is how far back rates go.
const rateSeconds = 60

// sample is what the counters were at a moment.
type sample struct {
	at     time.Time
	work   [measures]uint64
	limits [numLimits]uint64
}

// What is measured.
const (
	ofQueries = iota
	ofUpdates
	ofFailures
	ofTransfers
	ofDropped
	ofSyncs
	measures
)

// Rate is how often something happens.
type Rate struct {
	Second float64 `json:"second"` // times in the last whole second
	Minute float64 `json:"minute"` // times a second, in the last minute
	Total  uint64  `json:"total"`  // times since the start
}

// Rates of the last minute.
type Rates struct {
	Queries        Rate `json:"queries"`         // replies to all but updates
	Updates        Rate `json:"updates"`         // replies to updates
	UpdateFailures Rate `json:"update_failures"` // of these, the ones that are not NOERROR
	Transfers      Rate `json:"transfers"`       // sent to the end
	Dropped        Rate `json:"dropped"`         // messages that must not be answered
	Syncs          Rate `json:"syncs"`           // of the data directory: each makes one commit durable, or several

	// QueriesEach and UpdatesEach are the replies in each second of the last
	// minute, the oldest first; fewer right after the start.
	QueriesEach []uint64 `json:"queries_each"`
	UpdatesEach []uint64 `json:"updates_each"`
}

// count takes what all counters are at the moment.
func (s *Server) count(now time.Time) sample {
	x := sample{at: now}
	x.work[ofQueries] = s.replies()
	for i := range s.Counters.Updates {
		n := s.Counters.Updates[i].Load()
		x.work[ofUpdates] += n
		if i != 0 {
			x.work[ofFailures] += n
		}
	}
	x.work[ofDropped] = s.Counters.Dropped.Load()
	if t := s.transferServer; t != nil {
		x.work[ofTransfers] = t.Counters.Full.Load() + t.Counters.Incremental.Load() + t.Counters.Single.Load()
	}
	if s.store != nil {
		x.work[ofSyncs] = s.store.Syncs()
	}
	for l := range numLimits {
		x.limits[l] = s.limitHits(l)
	}
	return x
}

// take notes a sample. It is called once a second.
func (r *rates) take(x sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.samples[r.mu.next] = x
	r.mu.next = (r.mu.next + 1) % len(r.mu.samples)
	r.mu.count = min(r.mu.count+1, len(r.mu.samples))
}

// all gives the samples, the oldest first.
func (r *rates) all() []sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.mu.samples)
	list := make([]sample, 0, r.mu.count)
	for i := range r.mu.count {
		list = append(list, r.mu.samples[(r.mu.next-r.mu.count+i+n)%n])
	}
	return list
}

// ratesOf makes Rates of the samples and of what the counters are now.
func ratesOf(list []sample, now sample) (out Rates) {
	for i, r := range [measures]*Rate{&out.Queries, &out.Updates, &out.UpdateFailures, &out.Transfers, &out.Dropped, &out.Syncs} {
		*r = rateOf(list, i)
		r.Total = now.work[i]
	}
	out.QueriesEach, out.UpdatesEach = each(list, ofQueries), each(list, ofUpdates)
	return out
}

func rateOf(list []sample, what int) (r Rate) {
	n := len(list)
	if n < 2 {
		return r
	}
	between := func(from, to sample) float64 {
		if took := to.at.Sub(from.at).Seconds(); took > 0 {
			return float64(to.work[what]-from.work[what]) / took
		}
		return 0
	}
	r.Second, r.Minute = between(list[n-2], list[n-1]), between(list[0], list[n-1])
	return r
}

func each(list []sample, what int) []uint64 {
	out := make([]uint64, 0, rateSeconds)
	for i := 1; i < len(list); i++ {
		out = append(out, list[i].work[what]-list[i-1].work[what])
	}
	return out
}

// LimitHits tells how often a limit was reached: something was refused, dropped or held up for it.
type LimitHits struct {
	Limit  string `json:"limit"`  // the name of its setting
	Minute uint64 `json:"minute"` // times in the last minute
	Total  uint64 `json:"total"`  // times since the start
}

// reached are the limits that were reached since the start, the one first that was most often of late. That of idle
// connections is not among them: it is reached by whoever has asked all that he wanted to.
func (s *Server) reached(list []sample, now sample) []LimitHits {
	hits := []LimitHits{}
	for l, n := range now.limits {
		if n == 0 || Limit(l) == LimitTCPIdle {
			continue
		}
		h := LimitHits{Limit: Limit(l).String(), Total: n, Minute: n}
		if len(list) > rateSeconds {
			h.Minute -= list[0].limits[l]
		}
		hits = append(hits, h)
	}
	slices.SortStableFunc(hits, func(a, b LimitHits) int { return cmp.Compare(b.Minute, a.Minute) })
	return hits
}
