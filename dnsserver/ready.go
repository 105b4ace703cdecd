package dnsserver

import (
	"encoding/json"
	"net/http"
	"sync/atomic"
)

// phase is where a Server is in its life.
type phase struct{ now atomic.Int32 }

const (
	phaseStarting int32 = iota
	phaseServing
	phaseStopping
)

// readiness is the answer of /readyz.
type readiness struct {
	Ready   bool      `json:"ready"`
	Reasons []unready `json:"reasons,omitempty"` // why it is not
}

// unready is one reason why a server should get no traffic.
type unready struct {
	Reason string `json:"reason"` // starting, stopping, socket, store
	Zone   string `json:"zone,omitempty"`
	Detail string `json:"detail"`
}

// maxReasons bounds the answer: a store that fails does so for all zones.
const maxReasons = 16

// readiness tells whether the server serves: zones are loaded, addresses bound, it is not stopping, and the
// store takes commits.
func (s *Server) readiness() readiness {
	var r readiness
	switch s.phase.now.Load() {
	case phaseStarting:
		r.Reasons = []unready{{Reason: "starting", Detail: "the zones are being loaded: queries wait in the sockets"}}
	case phaseStopping:
		r.Reasons = []unready{{Reason: "stopping", Detail: "what was taken is answered, and nothing new is taken"}}
	default:
		if n := s.Counters.SocketsFailed.Load(); n > 0 {
			r.Reasons = append(r.Reasons, unready{Reason: "socket", Detail: "a UDP socket has failed: see the log"})
		}
		for _, z := range s.zones.All() {
			if err := z.Failed(); err != nil && len(r.Reasons) < maxReasons {
				r.Reasons = append(r.Reasons, unready{Reason: "store", Zone: z.Apex().String(), Detail: "updates are refused: " + err.Error()})
			}
		}
		if err := s.store.Failed(); err != nil && len(r.Reasons) == 0 {
			r.Reasons = append(r.Reasons, unready{Reason: "store", Detail: "updates are refused: " + err.Error()})
		}
	}
	r.Ready = len(r.Reasons) == 0
	return r
}

// serveHealth answers /healthz, by which it is known that the process lives, and /readyz.
func (s *Server) serveHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeHealth(w, http.StatusOK, map[string]bool{"alive": true})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		r := s.readiness()
		status := http.StatusOK
		if !r.Ready {
			status = http.StatusServiceUnavailable
		}
		writeHealth(w, status, r)
	})
}

func writeHealth(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who has asked is gone
}
