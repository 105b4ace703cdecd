package dnsserver

import (
	"errors"

	"dialtone/zone"
)

// queueLimit tells which limit of queues an error that is zone.ErrQueueFull is of.
func queueLimit(err error) Limit {
	switch {
	case errors.Is(err, zone.ErrQueueShare):
		return LimitUpdateQueueShare
	case errors.Is(err, zone.ErrAllFull):
		return LimitUpdateQueueTotal
	default:
		return LimitUpdateQueue
	}
}

// collectLevels tells of each limit on something that comes and goes how much of
// it there is, and how much there may be.
func (s *Server) collectLevels(e exporter) {
	l := &s.conf().Limits
	level := func(limit Limit, n, of int) {
		e.gauge("limit_level", "How much there is of what a limit is on: where each zone, address or sender has it, of the one that has most.", float64(n), "limit", limit.String())
		e.gauge("limit_bound", "How much there may be.", float64(of), "limit", limit.String())
	}
	longest := 0
	for _, z := range s.zones.All() {
		longest = max(longest, z.QueueWeight())
	}
	level(LimitUpdateQueue, longest, l.UpdateQueue)
	level(LimitUpdateQueueTotal, s.waiting.Weight(), l.UpdateQueueTotal)
	level(LimitSourceUpdates, s.sources.remembered(), l.SourceUpdates)
	answers, _ := s.answered.remembered()
	level(LimitUpdateAnswers, answers, l.UpdateAnswers)
	level(LimitSlowQueue, s.slow.use().Used, l.SlowQueue)
	total, most := s.tcp.levels()
	level(LimitTCPConnections, total, l.TCPConnections)
	level(LimitTCPPerAddress, most, l.TCPPerAddress)
	total, most = s.transferServer.Levels()
	level(LimitTransfers, total, l.Transfers)
	level(LimitTransfersPerAddress, most, l.TransfersPerAddress)
}
