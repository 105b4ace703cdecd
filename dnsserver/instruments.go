package dnsserver

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dialtone/dnsserver/transfer"
)

// instruments are the histograms, and the counters of what is rare. Counters that are added to for each
// query are in tally.go, those of single messages in Counters.
type instruments struct {
	queryTime    [len(protos)]prometheus.Observer // of sampled queries
	updateTime   prometheus.Histogram
	commitSize   prometheus.Histogram
	commitTime   prometheus.Histogram
	syncTime     prometheus.Histogram
	transfers    *prometheus.CounterVec
	transferTime *prometheus.HistogramVec
	transferSize *prometheus.CounterVec

	all []prometheus.Collector
}

// querySample is of how many queries over TCP, and batches of datagrams, the time of one is taken: two looks at the
// clock cost as much as a hundredth of an answer.
const querySample = 16

func (i *instruments) init() {
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
		i.all = append(i.all, h)
		return h
	}
	// From a microsecond to 17 ms, from 64 us to 17 s, each bound twice the one before.
	queries, updates := prometheus.ExponentialBuckets(1e-6, 2, 15), prometheus.ExponentialBuckets(64e-6, 2, 19)
	queryTime := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: "query_duration_seconds", Buckets: queries,
		Help: "From the reading of a query to its reply having been handed to the kernel, of one in 16 batches of datagrams, all of whose queries count with the time of the batch, and of one in 16 queries over TCP.",
	}, []string{"proto"})
	for p, name := range protos {
		i.queryTime[p] = queryTime.WithLabelValues(name)
	}
	i.updateTime = histogram("update_duration_seconds", "From the arrival of an update to its reply.", updates)
	i.commitSize = histogram("commit_updates", "Updates in a commit, and other changes such as leases that end together.", prometheus.ExponentialBuckets(1, 2, 11))
	i.commitTime = histogram("commit_duration_seconds", "How long the store takes for a commit, its sync included.", updates)
	i.syncTime = histogram("sync_duration_seconds", "How long the disk takes for the sync of commits, which may be of several zones.", updates)
	i.transfers = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "transfers_total",
		Help: "Transfers by what was asked for and what came of it: full, incremental and single (the SOA record alone) were sent to the end, cut was not; the others were refused.",
	}, []string{"kind", "result"})
	i.transferTime = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: "transfer_duration_seconds", Help: "How long transfers took that had something to send.",
		Buckets: prometheus.ExponentialBuckets(1e-3, 4, 10),
	}, []string{"kind"})
	i.transferSize = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "transfer_sent_bytes_total", Help: "Octets of the messages of transfers.",
	}, []string{"kind"})
	for _, kind := range []string{"axfr", "ixfr"} {
		for _, result := range transferResults {
			i.transfers.WithLabelValues(kind, result)
		}
		i.transferTime.WithLabelValues(kind)
		i.transferSize.WithLabelValues(kind)
	}
	i.all = append(i.all, queryTime, i.transfers, i.transferTime, i.transferSize)
}

// transferResults are the values of the label "result", in which all series begin with 0.
var transferResults = []string{"full", "incremental", "single", "cut", "busy", "denied", "refused"}

func (i *instruments) transferred(kind string, stats transfer.Stats, err error, took time.Duration) {
	result := stats.Style.String()
	if err != nil {
		result = "cut"
	}
	i.transfers.WithLabelValues(kind, result).Inc()
	i.transferTime.WithLabelValues(kind).Observe(took.Seconds())
	i.transferSize.WithLabelValues(kind).Add(float64(stats.Octets))
}

// transferRefused counts one that did not begin. kind is "transfer" when it could not be read.
func (i *instruments) transferRefused(kind string, denied bool, err error) {
	if kind != "ixfr" {
		kind = "axfr"
	}
	result := "refused"
	var e *transfer.Error
	switch {
	case denied:
		result = "denied"
	case errors.As(err, &e) && e.Busy:
		result = "busy"
	}
	i.transfers.WithLabelValues(kind, result).Inc()
}

// committed hears of commits from zones.
func (i *instruments) committed(ops int, took time.Duration) {
	i.commitSize.Observe(float64(ops))
	i.commitTime.Observe(took.Seconds())
}

func (i *instruments) synced(took time.Duration) { i.syncTime.Observe(took.Seconds()) }

// batchAnswered hears of a batch of datagrams from time to time.
func (i *instruments) batchAnswered(datagrams int, took time.Duration) {
	seconds := took.Seconds()
	for range datagrams {
		i.queryTime[0].Observe(seconds)
	}
}
