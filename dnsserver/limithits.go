package dnsserver

import (
	"errors"
	"sync/atomic"

	"dialtone/update"
)

// Limit is a limit that peers can reach. To add one: a constant here, its name in limitNames, and a call of
// Counters.Limits.Hit where something is refused, dropped or held up for it. For a limit that package update
// holds, update.Error.Limit bears its name instead.
type Limit uint8

// The limits, each named as its setting is if it has one.
const (
	LimitUpdateQueue      Limit = iota
	LimitUpdateQueueShare       // the part of it that one sender may have
	LimitUpdateQueueTotal
	LimitUpdatesPerKey
	LimitUpdatesPerSource
	LimitUpdateRecords
	LimitNameRecords
	LimitZoneRecords // max_records of a zone
	LimitSlowQueue
	LimitRRsetRecords
	LimitNamesPerNumber
	LimitMaxRecords
	LimitSourceUpdates
	LimitUpdateAnswers
	LimitKeyVerifications
	LimitTSIGVerifications
	LimitClaimsPerSource
	LimitTCPConnections
	LimitTCPPerAddress
	LimitTCPInFlight
	LimitTCPQueued // octets of replies of one connection
	LimitTCPIdle
	LimitTCPWrite
	LimitTransfers
	LimitTransfersPerAddress
	LimitRate
	LimitUDPBuffer // datagrams that the kernel threw away, mostly because it was full
	LimitWebConnections
	LimitWebStreams
	LimitWebLogins // which has no setting
	LimitLoggedRefusals
	numLimits
)

// limitNames are the values of the label "limit".
var limitNames = [numLimits]string{
	LimitUpdateQueue:         "update_queue",
	LimitUpdateQueueShare:    "update_queue_share",
	LimitUpdateQueueTotal:    "update_queue_total",
	LimitUpdatesPerKey:       "updates_per_key",
	LimitUpdatesPerSource:    "updates_per_source",
	LimitUpdateRecords:       "update_records",
	LimitNameRecords:         "name_records",
	LimitZoneRecords:         "zone_records",
	LimitTCPQueued:           "tcp_queued",
	LimitLoggedRefusals:      "logged_refusals",
	LimitSlowQueue:           "slow_queue",
	LimitRRsetRecords:        "rrset_records",
	LimitNamesPerNumber:      "names_per_number",
	LimitMaxRecords:          "max_records",
	LimitSourceUpdates:       "source_updates",
	LimitUpdateAnswers:       "update_answers",
	LimitKeyVerifications:    "key_verifications",
	LimitTSIGVerifications:   "tsig_verifications",
	LimitClaimsPerSource:     "claims_per_source",
	LimitTCPConnections:      "tcp_connections",
	LimitTCPPerAddress:       "tcp_per_address",
	LimitTCPInFlight:         "tcp_in_flight",
	LimitTCPIdle:             "tcp_idle",
	LimitTCPWrite:            "tcp_write",
	LimitTransfers:           "transfers",
	LimitTransfersPerAddress: "transfers_per_address",
	LimitRate:                "rate_limit",
	LimitUDPBuffer:           "udp_buffer",
	LimitWebConnections:      "web.connections",
	LimitWebStreams:          "web.streams",
	LimitWebLogins:           "web.logins",
}

// String is the name of the limit's setting, if it has one.
func (l Limit) String() string { return limitNames[l] }

// limitHits count how often each limit was reached.
type limitHits struct{ hits [numLimits]atomic.Uint64 }

// Hit counts.
func (h *limitHits) Hit(l Limit) { h.hits[l].Add(1) }

// Add counts several.
func (h *limitHits) Add(l Limit, n uint64) { h.hits[l].Add(n) }

// Of gives a count.
func (h *limitHits) Of(l Limit) uint64 { return h.hits[l].Load() }

// hitOf counts the limit for which package update, or a check before it, refused.
func (h *limitHits) hitOf(err error) {
	var e *update.Error
	if !errors.As(err, &e) || e.Limit == "" {
		return
	}
	for l, name := range limitNames {
		if name == e.Limit {
			h.Hit(Limit(l))
		}
	}
}

func (s *Server) collectLimits(e exporter) {
	const help = "What was refused, dropped or held up because a limit was reached, by the limit: its setting, if it has one."
	for l := range numLimits {
		e.count("limit_hits_total", help, s.limitHits(l), "limit", l.String())
	}
}

// limitHits adds what the owners of some limits count themselves.
func (s *Server) limitHits(l Limit) uint64 {
	n := s.Counters.Limits.Of(l)
	switch {
	case l == LimitUpdateAnswers:
		n += s.answered.filled()
	case l == LimitRate:
		n += s.Counters.Limited.inAll()
	case l == LimitUDPBuffer:
		for _, listener := range s.listeners {
			for _, sock := range listener.sockets {
				n += uint64(sock.Dropped())
			}
		}
	case s.transferServer == nil: // none is served
	case l == LimitTransfers:
		n += s.transferServer.Counters.Busy.Load()
	case l == LimitTransfersPerAddress:
		n += s.transferServer.Counters.BusyAddress.Load()
	}
	return n
}
