package store

import (
	"iter"
	"log/slog"
	"time"

	"dialtone/zone/rr"
)

// Options of Open. Zero values are the defaults in parentheses.
type Options struct {
	Dir      string       // the data directory; made when missing
	Logger   *slog.Logger // (slog.Default)
	MemTable int64        // octets of one Badger memtable (16 MiB)
}

// Store is an open data directory.
type Store struct{}

// Zone is one zone's part of a Store.
type Zone struct{}

// Open opens or makes the data directory.
func Open(o Options) (*Store, error) { panic("todo") }

// Close syncs and closes.
func (s *Store) Close() error { panic("todo") }

// Zone gives the part of a zone, made when missing.
func (s *Store) Zone(apex rr.Name) (*Zone, error) { panic("todo") }

// Meta is what the store knows of a loaded zone.
type Meta struct {
	Serial       uint32
	Burned       uint32
	JournalCount uint64
	JournalSize  int64
	JournalFrom  uint32
}

// Meta tells the zone's state.
func (z *Zone) Meta() (m Meta, loaded bool, err error) { panic("todo") }

// Seed replaces the zone's whole content.
func (z *Zone) Seed(serial uint32, sets iter.Seq2[OwnedRRset, error]) error { panic("todo") }

// OwnedRRset is an RRset with its owner.
type OwnedRRset struct {
	Owner rr.Name
	Set   rr.RRset
}

// All streams every RRset in canonical order.
func (z *Zone) All() iter.Seq2[OwnedRRset, error] { panic("todo") }

// Commit is one change of a zone.
type Commit struct {
	From, To       uint32
	OldSOA, NewSOA rr.RR
	Time           time.Time
	Deleted, Added []rr.RR
	Sets           []OwnedRRset
}

// Commit makes one change durable.
func (z *Zone) Commit(c *Commit) error { panic("todo") }

// Entry is one journal entry.
type Entry struct {
	From, To       uint32
	OldSOA, NewSOA rr.RR
	Time           time.Time
	Deleted, Added []rr.RR
}

// Journal streams the entries that lead from serial from to serial to.
func (z *Zone) Journal(from, to uint32) iter.Seq2[*Entry, error] { panic("todo") }

// Trim bounds the journal.
func (z *Zone) Trim(now time.Time, maxAge time.Duration, maxSize int64) error { panic("todo") }
