package zonetest

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// Store is a zone's place in memory; it implements zone.Store.
type Store struct {
	apex rr.Name // in lower case
	mu   struct {
		sync.Mutex
		sets     []store.OwnedRRset
		journal  []*store.Entry
		serial   uint32
		burned   uint32
		commits  int
		repairs  int
		numbers  map[string]rr.Registration
		signers  map[rr.Name]rr.Signer
		fail     error
		failTrim error
		last     *store.Commit
	}
}

// NewStore makes a store that holds these RRsets.
func NewStore(t testing.TB, sets []store.OwnedRRset) *Store {
	t.Helper()
	s := &Store{}
	s.mu.sets = sets
	for _, x := range sets {
		if x.Set.Type == dns.TypeSOA {
			soa, err := rr.ParseSOA(x.Set.Data[0])
			if err != nil {
				t.Fatal(err)
			}
			s.mu.serial, s.apex = soa.Serial, x.Owner.Lower()
		}
	}
	return s
}

// Fail makes Commit and Repair fail with err until it is nil again.
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.fail = err
}

// Commits counts the commits that were made.
func (s *Store) Commits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.commits
}

// Last gives the last commit that changed records.
func (s *Store) Last() *store.Commit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.last
}

// Sets gives what the store holds.
func (s *Store) Sets() []store.OwnedRRset {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.sets)
}

// Meta implements zone.Store.
func (s *Store) Meta() (store.Meta, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return store.Meta{Serial: s.mu.serial, Burned: s.mu.burned}, true, nil
}

// Estimate implements zone.Store; it knows nothing.
func (s *Store) Estimate() int { return 0 }

// All implements zone.Store.
func (s *Store) All() iter.Seq2[*rr.Octets, error] {
	return func(yield func(*rr.Octets, error) bool) {
		for _, x := range s.Sets() {
			stored := rr.Octets{Owner: []byte(x.Owner), Type: x.Set.Type, TTL: x.Set.TTL}
			for _, d := range x.Set.Data {
				stored.Data = append(stored.Data, []byte(d))
			}
			if !yield(&stored, nil) {
				return
			}
		}
	}
}

// Commit implements zone.Store.
func (s *Store) Commit(c *store.Commit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.fail != nil {
		return s.mu.fail
	}
	if c.From != s.mu.serial || len(c.Sets) > 0 && !rr.SerialGreater(c.To, c.From) {
		return fmt.Errorf("commit from serial %d to %d at %d", c.From, c.To, s.mu.serial)
	}
	s.hold(c.Held)
	if len(c.Sets) == 0 && c.To == c.From {
		s.mu.commits++
		return nil
	}
	s.put(c.Sets)
	s.mu.serial, s.mu.last = c.To, c
	s.mu.commits++
	s.mu.journal = append(s.mu.journal, &store.Entry{From: c.From, To: c.To, OldSOA: c.OldSOA, NewSOA: c.NewSOA,
		Time: c.Time, Deleted: c.Deleted, Added: c.Added})
	return nil
}

func (s *Store) put(sets []store.OwnedRRset) {
	for _, x := range sets {
		s.mu.sets = slices.DeleteFunc(s.mu.sets, func(o store.OwnedRRset) bool {
			return o.Set.Type == x.Set.Type && o.Owner.EqualFold(x.Owner)
		})
		if len(x.Set.Data) > 0 {
			s.mu.sets = append(s.mu.sets, x)
		}
	}
	Sort(s.mu.sets)
}

func (s *Store) hold(h store.Held) {
	if s.mu.numbers == nil {
		s.mu.numbers, s.mu.signers = map[string]rr.Registration{}, map[rr.Name]rr.Signer{}
	}
	for _, r := range h.Registrations {
		if s.mu.numbers[r.Number] = r; r.SaysNothing() {
			delete(s.mu.numbers, r.Number)
		}
	}
	for _, x := range h.Signers {
		if s.mu.signers[x.Key] = x; x.Signed == 0 {
			delete(s.mu.signers, x.Key)
		}
	}
}

// Leases implements zone.Store.
func (s *Store) Leases(yield func(number []byte, r rr.Registration)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number, r := range s.mu.numbers {
		yield([]byte(number), r)
	}
	return nil
}

// Registration implements zone.Store.
func (s *Store) Registration(number string) (rr.Registration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.numbers[number], nil
}

// Signers implements zone.Store.
func (s *Store) Signers() ([]rr.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.mu.signers)), nil
}

// Below implements zone.Store.
func (s *Store) Below(numbers []string) (owners []rr.Name, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.mu.sets {
		owner := x.Owner.Lower()
		if n := len(owners); slices.Contains(numbers, owner.TopLabel(s.apex)) && (n == 0 || owners[n-1] != owner) {
			owners = append(owners, owner)
		}
	}
	return owners, nil
}

// Repair implements zone.Store.
func (s *Store) Repair(sets []store.OwnedRRset, held store.Held, burnedTo uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.fail != nil {
		return s.mu.fail
	}
	s.put(sets)
	s.hold(held)
	if rr.SerialGreater(burnedTo, s.mu.serial) {
		s.mu.burned = burnedTo
	}
	s.mu.repairs++
	return nil
}

// Trim implements zone.Store; it keeps everything, or fails as FailTrim says.
func (s *Store) Trim(time.Time, time.Duration, int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.failTrim
}

// FailTrim makes Trim fail with err.
func (s *Store) FailTrim(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.failTrim = err
}

// Forget drops the journal, as trimming does.
func (s *Store) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.journal = nil
}

// Journal implements zone.Store.
func (s *Store) Journal(from, to uint32) iter.Seq2[*store.Entry, error] {
	s.mu.Lock()
	entries := slices.Clone(s.mu.journal)
	s.mu.Unlock()
	return func(yield func(*store.Entry, error) bool) {
		i := slices.IndexFunc(entries, func(e *store.Entry) bool { return e.From == from })
		if i < 0 {
			yield(nil, store.ErrNoHistory)
			return
		}
		for _, e := range entries[i:] {
			if !yield(e, nil) || e.To == to {
				return
			}
		}
	}
}

// LeftAt implements zone.Store.
func (s *Store) LeftAt(serial uint32) (time.Time, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.mu.journal {
		if e.From == serial {
			return e.Time, uint64(len(s.mu.journal) - i), nil
		}
	}
	return time.Time{}, 0, store.ErrNoHistory
}

// ChangedAt implements zone.Store.
func (s *Store) ChangedAt() (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.mu.journal); n > 0 {
		return s.mu.journal[n-1].Time, nil
	}
	return time.Time{}, nil
}
