package dnsserver

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"dialtone/update/tsig"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// limitSetting is a field of Limits and its name in the configuration.
type limitSetting struct {
	field, name string
	fixed       bool // sockets and goroutines were made by it
}

// limitSettings are all fields of Limits.
var limitSettings = []limitSetting{
	{"UpdateQueue", "update_queue", false}, {"UpdateQueueTotal", "update_queue_total", false},
	{"UpdatesPerKey", "updates_per_key", false}, {"UpdatesPerSource", "updates_per_source", false}, {"UpdateRecords", "update_records", false},
	{"BatchOps", "batch_ops", false}, {"CommitInterval", "commit_interval", false}, {"RefreshInterval", "refresh_interval", false},
	{"LoggedRefusals", "logged_refusals", false}, {"NameRecords", "name_records", false}, {"RRsetRecords", "rrset_records", false}, {"NamesPerNumber", "names_per_number", false},
	{"SlowQueue", "slow_queue", true}, {"SourceUpdates", "source_updates", false}, {"UpdateAnswers", "update_answers", false},
	{"KeyVerifications", "key_verifications", false}, {"TSIGVerifications", "tsig_verifications", false}, {"ClaimsPerSource", "claims_per_source", false}, {"KeyCache", "key_cache", false},
	{"TCPConnections", "tcp_connections", false}, {"TCPPerAddress", "tcp_per_address", false}, {"TCPInFlight", "tcp_in_flight", false},
	{"TCPIdle", "tcp_idle", false}, {"TCPWrite", "tcp_write", false},
	{"Transfers", "transfers", false}, {"TransfersPerAddress", "transfers_per_address", false},
	{"UDPSize", "udp_size", true}, {"UDPBuffer", "udp_buffer", true}, {"Readers", "readers", true},
}

// keepFixed puts into next what cannot be changed while the server runs, and tells what was to be changed of it.
func keepFixed(old, next *Options) (restart []string) {
	restart = []string{}
	note := func(name string, was, is any) {
		restart = append(restart, fmt.Sprintf("%s stays %v, and is %v after a restart", name, was, is))
	}
	if !slices.Equal(old.Listen, next.Listen) {
		note("listen", joinText(old.Listen), joinText(next.Listen))
		next.Listen = old.Listen
	}
	if old.DataDir != next.DataDir {
		note("data_dir", old.DataDir, next.DataDir)
		next.DataDir = old.DataDir
	}
	if old.MetricsListen != next.MetricsListen {
		note("metrics.listen", orNone(old.MetricsListen), orNone(next.MetricsListen))
		next.MetricsListen = old.MetricsListen
	}
	if old.MetricsZones != next.MetricsZones {
		note("metrics.zones", old.MetricsZones, next.MetricsZones)
		next.MetricsZones = old.MetricsZones
	}
	if old.QuerySample != next.QuerySample {
		note("log.query_sample", old.QuerySample, next.QuerySample)
		next.QuerySample = old.QuerySample
	}
	if !reflect.DeepEqual(old.Tap, next.Tap) {
		restart = append(restart, "dnstap stays as it is, and changes after a restart")
		next.Tap = old.Tap
	}
	eachLimit(old, next, true, func(l limitSetting, was, is reflect.Value) {
		note("limits."+l.name, was, is)
		is.Set(was)
	})
	next.Version, next.Logger, next.Now, next.Progress, next.Reread = old.Version, old.Logger, old.Now, old.Progress, old.Reread
	next.LogLevel = old.LogLevel
	next.failCommit, next.buildFrom = old.failCommit, old.buildFrom
	return restart
}

// eachLimit calls f for the limits that differ, of those that are fixed or of the others.
func eachLimit(old, next *Options, fixed bool, f func(l limitSetting, was, is reflect.Value)) {
	was, is := reflect.ValueOf(&old.Limits).Elem(), reflect.ValueOf(&next.Limits).Elem()
	for _, l := range limitSettings {
		if a, b := was.FieldByName(l.field), is.FieldByName(l.field); l.fixed == fixed && !a.Equal(b) {
			f(l, a, b)
		}
	}
}

func joinText[T fmt.Stringer](list []T) string {
	words := make([]string, len(list))
	for i, x := range list {
		words[i] = x.String()
	}
	return strings.Join(words, " ")
}

func orNone(a interface {
	IsValid() bool
	String() string
}) string {
	if !a.IsValid() {
		return "off"
	}
	return a.String()
}

// differences tells what is in force now and was not before.
func (s *Server) differences(old, next *conf) (list []string) {
	if old.ServerID != next.ServerID {
		list = append(list, fmt.Sprintf("server_id changed from %q to %q", old.ServerID, next.ServerID))
	}
	if old.NoCookies != next.NoCookies {
		list = append(list, map[bool]string{true: "cookies turned off", false: "cookies turned on"}[next.NoCookies])
	} else if !slices.Equal(old.CookieSecrets, next.CookieSecrets) {
		list = append(list, "cookie_secrets changed")
	}
	list = append(list, keyDifferences(&old.Options, &next.Options)...)
	list = append(list, s.zoneDifferences(old, next)...)
	if !reflect.DeepEqual(old.RateLimit, next.RateLimit) {
		list = append(list, "rate_limit changed")
	}
	eachLimit(&old.Options, &next.Options, false, func(l limitSetting, was, is reflect.Value) {
		list = append(list, fmt.Sprintf("limits.%s changed from %v to %v", l.name, was, is))
	})
	return list
}

func keyDifferences(old, next *Options) (list []string) {
	before, after := map[rr.Name]tsig.Key{}, map[rr.Name]bool{}
	for _, k := range old.Keys {
		before[k.Name.Lower()] = k
	}
	for _, k := range next.Keys {
		low := k.Name.Lower()
		after[low] = true
		was, known := before[low]
		switch {
		case !known:
			list = append(list, fmt.Sprintf("key %s added", k.Name))
		case was.Algorithm != k.Algorithm:
			list = append(list, fmt.Sprintf("key %s changed from %s to %s", k.Name, was.Algorithm, k.Algorithm))
		case !bytes.Equal(was.Secret, k.Secret):
			list = append(list, fmt.Sprintf("secret of key %s changed", k.Name))
		}
		a, inOld := old.SignedLate[low]
		if b, inNext := next.SignedLate[low]; known && (a != b || inOld != inNext) {
			list = append(list, fmt.Sprintf("signed_late of key %s changed", k.Name))
		}
	}
	for _, k := range old.Keys {
		if !after[k.Name.Lower()] {
			list = append(list, fmt.Sprintf("key %s removed", k.Name))
		}
	}
	return list
}

func (s *Server) zoneDifferences(old, next *conf) (list []string) {
	for _, z := range next.Zones {
		was := old.byApex[z.Apex.Lower()]
		if was == nil {
			reader := zone.NewReader()
			serial, _ := currentOf(reader, next.byApex[z.Apex.Lower()].z)
			reader.Close()
			list = append(list, fmt.Sprintf("zone %s added, with serial %d", z.Apex, serial))
			continue
		}
		list = append(list, zoneDifference(was.o, z)...)
	}
	for _, z := range old.Zones {
		if next.byApex[z.Apex.Lower()] == nil {
			list = append(list, fmt.Sprintf("zone %s removed: it is not answered any more, its data stays in the data directory", z.Apex))
		}
	}
	return list
}

// zoneDifference tells what differs between two settings of a zone.
func zoneDifference(was, is ZoneOptions) (list []string) {
	changed := func(name string, yes bool) {
		if yes {
			list = append(list, fmt.Sprintf("%s of zone %s changed", name, is.Apex))
		}
	}
	changed("acl", !was.ACL.Equal(is.ACL))
	changed("max_records", was.MaxRecords != is.MaxRecords)
	changed("journal", was.JournalMaxAge != is.JournalMaxAge || was.JournalMaxSize != is.JournalMaxSize)
	changed("max_ttl", was.MaxTTL != is.MaxTTL)
	changed("lease", withDefaultLease(was.Lease) != withDefaultLease(is.Lease))
	changed("notify", !slices.Equal(was.Notify, is.Notify))
	changed("derived_keys", !reflect.DeepEqual(was.Seed, is.Seed))
	return list
}
