package dnsserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"strings"
	"sync"

	"dialtone/update"
	"dialtone/zone"
	"dialtone/zone/masterfile"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// servedZone is a zone with what is allowed on it.
type servedZone struct {
	o      ZoneOptions
	z      *zone.Zone
	limits update.Limits
	told   bool // the notifier hears of its changes

	updates *ruleTally // it goes on through reloads
}

func newServed(o ZoneOptions, z *zone.Zone, limits Limits) *servedZone {
	return &servedZone{o: o, z: z, updates: new(ruleTally), limits: update.Limits{
		MaxTTL: o.MaxTTL, MaxRecordsPerRRset: limits.RRsetRecords, MaxRecordsPerName: limits.NameRecords, Lease: withDefaultLease(o.Lease),
		NamesPerNumber: limits.NamesPerNumber,
	}}
}

// zoneOf gives the zone with exactly this apex, or nil.
func (s *Server) zoneOf(apex rr.Name) *servedZone { return s.conf().byApex[apex.Lower()] }

// loadZones seeds and opens all zones, several at a time, and tells of all that cannot be served.
func (s *Server) loadZones(ctx context.Context) error {
	conf := *s.conf()
	conf.byApex = map[rr.Name]*servedZone{}
	if err := refuseTwins(conf.Zones); err != nil {
		return err
	}
	opened := make([]*zone.Zone, len(conf.Zones))
	faults := make([]error, len(conf.Zones))
	var wg sync.WaitGroup
	// More than there are processors: seeding waits for the disk.
	slots := make(chan struct{}, 4*runtime.GOMAXPROCS(0))
	for i, o := range conf.Zones {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			opened[i], faults[i] = s.loadZone(ctx, o, conf.Limits)
		})
	}
	wg.Wait()
	for apex := range s.built {
		s.built[apex] = nil // used up
	}
	var all []*zone.Zone
	for i, o := range conf.Zones {
		z := opened[i]
		if z == nil {
			continue
		}
		all = append(all, z)
		// Kept even if another one failed: it is to be closed.
		conf.byApex[o.Apex.Lower()] = newServed(o, z, conf.Limits)
	}
	s.current.Store(&conf)
	if err := errors.Join(append(faults, s.zones.Add(all...))...); err != nil {
		return err
	}
	return s.noteUnserved()
}

func withDefaultLease(l update.LeaseLimits) update.LeaseLimits {
	l.Min = cmp.Or(l.Min, DefaultLease.Min)
	l.Max = cmp.Or(l.Max, DefaultLease.Max)
	l.KeyMax = cmp.Or(l.KeyMax, DefaultLease.KeyMax)
	return l
}

// refuseTwins keeps a zone from having two writers.
func refuseTwins(zones []ZoneOptions) error {
	seen := map[rr.Name]bool{}
	for _, o := range zones {
		if seen[o.Apex.Lower()] {
			return &ZoneError{Apex: o.Apex, Err: errors.New("the zone is configured twice")}
		}
		seen[o.Apex.Lower()] = true
	}
	return nil
}

// noteUnserved tells of zones that are kept but no longer configured.
func (s *Server) noteUnserved() error {
	kept, err := s.store.Zones()
	for _, apex := range kept {
		if s.zoneOf(apex) == nil {
			s.log.Warn("zone is in the data directory but not configured: it is kept and not served", "op", "start", "zone", apex)
		}
	}
	return err
}

func (s *Server) loadZone(ctx context.Context, o ZoneOptions, limits Limits) (*zone.Zone, error) {
	if err := ctx.Err(); err != nil {
		return nil, &ZoneError{Apex: o.Apex, Err: err}
	}
	st, err := s.store.Zone(o.Apex)
	if err != nil {
		return nil, &ZoneError{Apex: o.Apex, Err: err}
	}
	meta, loaded, err := st.Meta()
	if err != nil {
		return nil, &ZoneError{Apex: o.Apex, Err: err}
	}
	inMemory, built := s.built[o.Apex.Lower()]
	switch {
	case !loaded:
		if err := s.seed(ctx, o, st); err != nil {
			return nil, err
		}
	case o.File != "" && !built:
		s.log.Info("zone read from the data directory; its file is not read again", "op", "start", "zone", o.Apex, "serial", meta.Serial, "file", o.File)
	}
	z, err := zone.Open(ctx, zone.Options{
		Apex: o.Apex, Store: st, Bounds: bounds(o, limits), Waiting: s.waiting, Yield: s.yielder.yield,
		Logger: s.log, Loaded: inMemory, Now: s.opts.Now,
		Committed: s.instruments.committed, Leases: s.leases,
		Progress: func(n int) { s.opts.Progress(Progress{Zone: o.Apex, Phase: Loading, Records: n}) },
	})
	if err != nil {
		return nil, &ZoneError{Apex: o.Apex, Err: err}
	}
	return z, nil
}

func bounds(o ZoneOptions, limits Limits) zone.Bounds {
	return zone.Bounds{
		JournalMaxAge: o.JournalMaxAge, JournalMaxSize: o.JournalMaxSize, MaxRecords: o.MaxRecords,
		QueueLen: limits.UpdateQueue, BatchOps: limits.BatchOps, CommitInterval: limits.CommitInterval, RefreshInterval: limits.RefreshInterval,
	}
}

// builtIn stands for the file name of ZoneOptions.Text.
const builtIn = "built-in"

const (
	// progressEvery is how many records of a master file make a line in the log.
	progressEvery = 1_000_000
	// progressStep is about how many make a call of Options.Progress.
	progressStep = 1 << 14
)

// seed fills the store from the zone's master file.
func (s *Server) seed(ctx context.Context, o ZoneOptions, st *store.Zone) error {
	content, serial, err := s.read(o)
	if err != nil {
		return err
	}
	if err := st.Seed(serial, owned(s.sorted(ctx, o.Apex, content))); err != nil {
		return &ZoneError{Apex: o.Apex, File: o.File, Err: err}
	}
	s.seeded(o, serial, content)
	return nil
}

// read takes the zone from its master file.
func (s *Server) read(o ZoneOptions) (*masterfile.Content, uint32, error) {
	content, problems := s.parse(o)
	faults := problems[:0:0]
	for _, p := range problems {
		if p.Warning {
			s.log.Warn("zone file: "+p.Text, "op", "seed", "zone", o.Apex, "file", p.File, "line", p.Line)
		} else {
			faults = append(faults, p)
		}
	}
	if len(faults) > 0 {
		return nil, 0, &ZoneError{Apex: o.Apex, File: o.File, Problems: faults, Err: errors.New("the zone file has errors")}
	}
	serial, err := content.Serial()
	if err != nil {
		return nil, 0, &ZoneError{Apex: o.Apex, File: o.File, Err: err}
	}
	return content, serial, nil
}

func (s *Server) seeded(o ZoneOptions, serial uint32, content *masterfile.Content) {
	s.log.Info("zone read from its file", "op", "seed", "zone", o.Apex, "serial", serial, "file", cmp.Or(o.File, builtIn), "rrsets", content.Sets())
}

func (s *Server) parse(o ZoneOptions) (*masterfile.Content, []masterfile.Problem) {
	next := progressEvery
	progress := func(n int) {
		s.opts.Progress(Progress{Zone: o.Apex, Phase: Reading, Records: n})
		if n >= next {
			next += progressEvery
			s.log.Info("reading the zone's file", "op", "seed", "zone", o.Apex, "records", n)
		}
	}
	if o.File == "" {
		return masterfile.Parse(strings.NewReader(o.Text), builtIn, o.Apex, progress)
	}
	if _, err := os.Stat(o.File); err != nil {
		return nil, []masterfile.Problem{{File: o.File, Text: fmt.Sprintf(
			"cannot read the zone's file, and the data directory %s does not hold the zone yet: %v", s.opts.DataDir, rootCause(err))}}
	}
	return masterfile.ParseFile(o.File, o.Apex, progress)
}

func owned(sets iter.Seq2[*rr.Octets, error]) iter.Seq2[store.OwnedRRset, error] {
	return func(yield func(store.OwnedRRset, error) bool) {
		for o, err := range sets {
			var r store.OwnedRRset
			if err == nil {
				r.Owner, r.Set = o.Clone()
			}
			if !yield(r, err) {
				return
			}
		}
	}
}
