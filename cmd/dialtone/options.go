package main

import (
	"errors"
	"fmt"
	"time"

	"dialtone/config"
	"dialtone/dnsserver"
	"dialtone/dnsserver/ratelimit"
	"dialtone/dnsserver/tap"
	"dialtone/update"
	"dialtone/update/acl"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

// options turns a configuration into what the server wants.
func options(conf *config.Config) (dnsserver.Options, error) {
	o := dnsserver.Options{
		Listen: conf.Listen, DataDir: conf.DataDir, ServerID: conf.ServerID, Version: "dialtone " + versionText(),
		CookieSecrets: conf.CookieSecrets, NoCookies: conf.NoCookies,
		QuerySample: conf.Log.QuerySample, Tap: tapOptions(conf.Tap),
		MetricsListen: conf.Metrics.Listen, MetricsZones: conf.Metrics.Zones, SignedLate: map[rr.Name]time.Duration{},
		Limits: dnsserver.Limits{
			UpdateQueue: conf.Limits.UpdateQueue, UpdateQueueTotal: conf.Limits.UpdateQueueTotal,
			UpdatesPerKey: conf.Limits.UpdatesPerKey, UpdatesPerSource: conf.Limits.UpdatesPerSource,
			UpdateRecords: conf.Limits.UpdateRecords, NameRecords: conf.Limits.NameRecords, LoggedRefusals: conf.Limits.LoggedRefusals,
			BatchOps: conf.Limits.BatchOps, CommitInterval: conf.Limits.CommitInterval,
			RefreshInterval: conf.Limits.RefreshInterval,
			RRsetRecords:    conf.Limits.RRsetRecords, SlowQueue: conf.Limits.SlowQueue, SourceUpdates: conf.Limits.SourceUpdates,
			UpdateAnswers: conf.Limits.UpdateAnswers, KeyVerifications: conf.Limits.KeyVerifications, TSIGVerifications: conf.Limits.TSIGVerifications,
			ClaimsPerSource: conf.Limits.ClaimsPerSource, NamesPerNumber: conf.Limits.NamesPerNumber,
			TCPConnections: conf.Limits.TCPConnections, TCPPerAddress: conf.Limits.TCPPerAddress,
			TCPInFlight: conf.Limits.TCPInFlight, TCPIdle: conf.Limits.TCPIdle, TCPWrite: conf.Limits.TCPWrite,
			Transfers: conf.Limits.Transfers, TransfersPerAddress: conf.Limits.TransfersPerAddress,
			UDPSize: conf.Limits.UDPSize, UDPBuffer: conf.Limits.UDPBuffer, Readers: conf.Limits.Readers,
			KeyCache: conf.Limits.KeyCache,
		},
		RateLimit: rateLimit(conf.RateLimit),
	}
	var faults config.Faults
	for i, k := range conf.Keys {
		algorithm, err := tsig.ParseAlgorithm(k.Algorithm)
		if err != nil {
			faults = append(faults, conf.At(fmt.Sprintf("keys[%d].algorithm", i), err.Error()))
		}
		o.Keys = append(o.Keys, tsig.Key{Name: k.Name, Algorithm: algorithm, Secret: k.Secret})
		if k.Late != nil {
			o.SignedLate[k.Name.Lower()] = *k.Late
		}
	}
	for i, z := range conf.Zones {
		zone, f := zoneOptions(conf, i, z)
		faults = append(faults, f...)
		o.Zones = append(o.Zones, zone)
	}
	if len(faults) > 0 {
		return o, faults
	}
	return o, nil
}

func rateLimit(l config.RateLimit) ratelimit.Options {
	return ratelimit.Options{
		Rates: [ratelimit.Classes]int{
			ratelimit.Answers: l.Responses, ratelimit.Referrals: l.Referrals, ratelimit.NoData: l.NoData,
			ratelimit.NXDomains: l.NXDomains, ratelimit.Errors: l.Errors, ratelimit.All: l.All,
		},
		Window: l.Window, Slip: l.Slip, IPv4Prefix: l.IPv4Prefix, IPv6Prefix: l.IPv6Prefix,
		Exempt: l.Exempt, Entries: l.TableSize, LogOnly: l.LogOnly,
	}
}

func tapOptions(t *config.Tap) *tap.Options {
	if t == nil {
		return nil
	}
	return &tap.Options{
		Socket: t.Socket, File: t.File, MaxFile: t.MaxFile, Queue: t.Queue,
		Queries: t.Queries, Updates: t.Updates, Responses: t.Responses,
	}
}

func zoneOptions(conf *config.Config, i int, z config.Zone) (o dnsserver.ZoneOptions, faults config.Faults) {
	o = dnsserver.ZoneOptions{
		Apex: z.Name, File: z.File, Text: z.Text, MaxTTL: z.MaxTTL, MaxRecords: z.Records,
		JournalMaxAge: z.Journal.MaxAge, JournalMaxSize: z.Journal.MaxSize,
		Lease: update.LeaseLimits{
			Default: seconds(z.Lease.Default), Min: seconds(z.Lease.Min), Max: seconds(z.Lease.Max), KeyMax: seconds(z.Lease.KeyMax),
		},
	}
	if z.Seed != nil {
		seed, err := tsig.NewSeed(z.Seed)
		if err != nil {
			faults = append(faults, conf.At(fmt.Sprintf("zones[%d].derived_keys", i), err.Error()))
		}
		o.Seed = seed
	}
	for _, t := range z.Notify {
		o.Notify = append(o.Notify, dnsserver.NotifyTarget{Addr: t.Addr, Key: t.Key})
	}
	at := func(j int) string { return fmt.Sprintf("zones[%d].acl[%d]", i, j) }
	rules := make([]acl.Rule, len(z.ACL))
	for j, r := range z.ACL {
		rule, err := aclRule(r)
		if err != nil {
			faults = append(faults, conf.At(at(j), err.Error()))
		}
		rule.Text = place(conf.At(at(j), ""))
		rules[j] = rule
	}
	if len(faults) > 0 {
		return o, faults
	}
	list, err := acl.Compile(z.Name, rules)
	for _, err := range each(err) {
		setting, text := fmt.Sprintf("zones[%d].acl", i), err.Error()
		var re *acl.RuleError
		if errors.As(err, &re) {
			setting, text = at(re.Index), re.Text
		}
		faults = append(faults, conf.At(setting, text))
	}
	o.ACL = list
	return o, faults
}

// place is where a setting stands, as file:line; "" where there is no file.
func place(f config.Fault) string {
	if f.Line == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", f.File, f.Line)
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) } // of at most a year

func aclRule(r config.Rule) (acl.Rule, error) {
	owner, err1 := acl.ParseOwner(r.Owner)
	match, err2 := acl.ParseMatch(r.Match)
	rule := acl.Rule{
		Addresses: r.Addresses, Keys: r.Keys, AnyKey: r.AnyKey, Deny: r.Deny,
		Owner: owner, Match: match, OwnerNames: r.OwnerNames,
		SelfNumber: r.SelfNumber, Numbers: r.Numbers, MaxRecords: r.MaxRecords, SourceAddress: r.SourceAddr, FirstCome: r.FirstCome,
	}
	errs := []error{err1, err2}
	for _, word := range r.Actions {
		a, err := acl.ParseAction(word)
		rule.Actions |= a
		errs = append(errs, err)
	}
	for _, word := range r.Types {
		t, err := acl.ParseType(word)
		rule.Types = append(rule.Types, t)
		errs = append(errs, err)
	}
	return rule, errors.Join(errs...)
}
