package dnsserver

import (
	"context"
	"errors"
	"iter"
	"os"

	"dialtone/zone"
	"dialtone/zone/masterfile"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// buildFrom is how many octets of master files make a first start build the data directory as a whole
// (store.Build): some hundred thousand records. Fewer are seeded zone by zone, several at a time.
const buildFrom = 8 << 20

// build makes the data directory with all zones if there is none yet and their files are large.
func (s *Server) build(ctx context.Context) error {
	if !store.Fresh(s.opts.DataDir) || s.fileOctets() < s.opts.buildFrom {
		return nil
	}
	if err := refuseTwins(s.conf().Zones); err != nil {
		return err
	}
	var faults []error
	err := store.Build(s.storeOptions(), func(yield func(store.Content, error) bool) {
		for _, o := range s.conf().Zones {
			content, serial, err := s.read(o)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				faults = append(faults, err)
			}
			if len(faults) > 0 {
				continue // to tell the faults of all zones
			}
			loaded := zone.NewLoaded(o.Apex, content.Sets())
			if !yield(store.Content{Apex: o.Apex, Serial: serial, Sets: also(loaded, s.sorted(ctx, o.Apex, content))}, nil) {
				return
			}
			s.seeded(o, serial, content)
			s.built[o.Apex.Lower()] = loaded
		}
		if len(faults) > 0 {
			yield(store.Content{}, errors.Join(faults...))
		}
	})
	switch {
	case len(faults) > 0:
		return errors.Join(faults...)
	case err != nil:
		return &DataDirError{err}
	}
	return nil
}

// also gives the RRsets that are stored to the zone's memory as well.
func also(l *zone.Loaded, sets iter.Seq2[*rr.Octets, error]) iter.Seq2[*rr.Octets, error] {
	return func(yield func(*rr.Octets, error) bool) {
		for o, err := range sets {
			if err == nil {
				err = l.Add(o)
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

// fileOctets is the size of the zones' files; one that is missing is told of when it is read.
func (s *Server) fileOctets() (octets int64) {
	for _, z := range s.conf().Zones {
		if fi, err := os.Stat(z.File); err == nil {
			octets += fi.Size()
		}
	}
	return octets
}

func (s *Server) storeOptions() store.Options {
	return store.Options{Dir: s.opts.DataDir, Logger: s.log, FailCommit: s.opts.failCommit, Synced: s.instruments.synced}
}

// sorted gives the RRsets in the order of the store.
func (s *Server) sorted(ctx context.Context, apex rr.Name, content *masterfile.Content) iter.Seq2[*rr.Octets, error] {
	return func(yield func(*rr.Octets, error) bool) {
		count := 0
		for o := range content.Sorted() {
			if count++; count%progressStep == 0 {
				s.opts.Progress(Progress{Zone: apex, Phase: Storing, Records: count, Of: content.Sets()})
				if err := ctx.Err(); err != nil {
					yield(nil, err)
					return
				}
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}
