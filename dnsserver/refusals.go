package dnsserver

import (
	"sync"
	"time"
)

// refusals bound the log lines of what was refused or failed: whoever may send one message a second may as well
// send ten thousand, and would fill the disk with lines and make updates wait for whatever reads the log. Those of
// keys that have signed count apart from those of just anybody, who must not keep an operator from seeing
// what a key was refused. What is left out is told once a second.
type refusals struct {
	mu struct {
		sync.Mutex
		limit  int // lines a second, of each kind
		second int64
		logged [2]int
		left   uint64
	}
}

func (r *refusals) set(limit int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.limit = limit
}

// mayLog tells whether a message that was refused or failed may have a line.
func (r *refusals) mayLog(signed bool, now time.Time) bool {
	kind := 0
	if signed {
		kind = 1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if second := now.Unix(); second != r.mu.second {
		r.mu.second, r.mu.logged = second, [2]int{}
	}
	if r.mu.logged[kind] >= r.mu.limit {
		r.mu.left++
		return false
	}
	r.mu.logged[kind]++
	return true
}

// leftOut gives how many lines were left out since the last call.
func (r *refusals) leftOut() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.mu.left
	r.mu.left = 0
	return n
}

// tellLeftOut writes the one line for all that had none.
func (s *Server) tellLeftOut() {
	if n := s.refusals.leftOut(); n > 0 {
		s.Counters.Limits.Add(LimitLoggedRefusals, n)
		s.log.Warn("messages were refused, or transfers cut short, that have no line of their own: there are too many", "op", "log", "messages", n, "logged_refusals", s.conf().Limits.LoggedRefusals)
	}
}
