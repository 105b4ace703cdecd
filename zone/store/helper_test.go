package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"dialtone/zone/rr"
)

const (
	typeA   = 1
	typeNS  = 2
	typeSOA = 6
	typeTXT = 16
)

var apex = rr.MustName("phones.example.")

func testOptions(dir string) Options {
	return Options{Dir: dir, MemTable: 1 << 20, Logger: slog.New(slog.DiscardHandler)}
}

func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openZone(t testing.TB, s *Store, apex rr.Name) *Zone {
	t.Helper()
	z, err := s.Zone(apex)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// reopen closes s and opens its directory again.
func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o := s.o
	o.FailCommit = nil
	return openStore(t, o)
}

func number(i int) rr.Name { return rr.MustName(fmt.Sprintf("%07d.phones.example.", i)) }

func a(i int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(i))) }

func soa(serial uint32) rr.RR {
	d := rr.SOA{MName: rr.MustName("ns1.phones.example."), RName: rr.MustName("host.phones.example."), Serial: serial,
		Refresh: 3600, Retry: 600, Expire: 86400, Minimum: 60}
	return rr.RR{Owner: apex, Type: typeSOA, TTL: 300, Data: d.Data()}
}

func soaSet(serial uint32) OwnedRRset {
	r := soa(serial)
	return OwnedRRset{r.Owner, rr.RRset{Type: r.Type, TTL: r.TTL, Data: []string{r.Data}}}
}

func aSet(i, addr int) OwnedRRset {
	return OwnedRRset{number(i), rr.RRset{Type: typeA, TTL: 60, Data: []string{a(addr)}}}
}

func seq(sets ...OwnedRRset) iter.Seq2[OwnedRRset, error] {
	return func(yield func(OwnedRRset, error) bool) {
		for _, s := range sets {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func seed(t testing.TB, z *Zone, serial uint32, sets ...OwnedRRset) {
	t.Helper()
	if err := z.Seed(serial, seq(append(sets, soaSet(serial))...)); err != nil {
		t.Fatal(err)
	}
}

// change makes a commit that gives numbers from..from+n-1 the address addr.
func change(z *Zone, from, to uint32, first, n, addr int) *Commit {
	c := &Commit{From: from, To: to, OldSOA: soa(from), NewSOA: soa(to), Time: time.Unix(int64(to), 0),
		Sets: []OwnedRRset{soaSet(to)}}
	for i := first; i < first+n; i++ {
		s := aSet(i, addr)
		c.Sets = append(c.Sets, s)
		c.Deleted = append(c.Deleted, rr.RR{Owner: s.Owner, Type: typeA, TTL: 60, Data: a(0)})
		c.Added = append(c.Added, rr.RR{Owner: s.Owner, Type: typeA, TTL: 60, Data: a(addr)})
	}
	return c
}

func commit(t testing.TB, z *Zone, c *Commit) {
	t.Helper()
	if err := z.Commit(c); err != nil {
		t.Fatal(err)
	}
}

func cloned(o *rr.Octets) OwnedRRset {
	owner, set := o.Clone()
	return OwnedRRset{owner, set}
}

// content is a zone as text: owner and type to the rest.
func content(t testing.TB, z *Zone) map[string]string {
	t.Helper()
	m := make(map[string]string)
	for stored, err := range z.All() {
		if err != nil {
			t.Fatal(err)
		}
		r := cloned(stored)
		m[r.Owner.String()+" "+rr.TypeString(r.Set.Type)] = fmt.Sprintf("%d %x", r.Set.TTL, r.Set.Data)
	}
	return m
}

func contentOf(sets ...OwnedRRset) map[string]string {
	m := make(map[string]string)
	for _, r := range sets {
		m[r.Owner.String()+" "+rr.TypeString(r.Set.Type)] = fmt.Sprintf("%d %x", r.Set.TTL, r.Set.Data)
	}
	return m
}

func wantContent(t testing.TB, z *Zone, want map[string]string) {
	t.Helper()
	if got := content(t, z); !maps.Equal(got, want) {
		for _, k := range slices.Sorted(maps.Keys(want)) {
			if got[k] != want[k] {
				t.Fatalf("%s: got %q, want %q (%d RRsets, want %d)", k, got[k], want[k], len(got), len(want))
			}
		}
		t.Fatalf("got %d RRsets, want %d", len(got), len(want))
	}
}

func journalOf(z *Zone, from, to uint32) ([]*Entry, error) {
	var list []*Entry
	for e, err := range z.Journal(from, to) {
		if err != nil {
			return list, err
		}
		list = append(list, e)
	}
	return list, nil
}

// check verifies the invariants that package store promises of a loaded zone:
// the SOA has the serial of meta, and the journal is a whole chain of the
// counted length and size.
func check(t testing.TB, z *Zone) {
	t.Helper()
	m, loaded, err := z.Meta()
	if err != nil || !loaded {
		t.Fatalf("loaded %v, error %v", loaded, err)
	}
	var serial uint32
	var last OwnedRRset
	for stored, err := range z.All() {
		if err != nil {
			t.Fatal(err)
		}
		r := cloned(stored)
		if last.Owner != "" {
			if c := last.Owner.Compare(r.Owner); c > 0 || c == 0 && last.Set.Type >= r.Set.Type {
				t.Fatalf("%s %d stands before %s %d", last.Owner, last.Set.Type, r.Owner, r.Set.Type)
			}
		}
		last = r
		if r.Set.Type == typeSOA {
			s, err := rr.ParseSOA(r.Set.Data[0])
			if err != nil {
				t.Fatal(err)
			}
			serial = s.Serial
		}
	}
	if serial != m.Serial {
		t.Fatalf("SOA has serial %d, meta %d", serial, m.Serial)
	}
	entries, err := journalOf(z, m.JournalFrom, m.Serial)
	if err != nil {
		t.Fatal(err)
	}
	if uint64(len(entries)) != m.JournalCount {
		t.Fatalf("journal has %d entries, meta says %d", len(entries), m.JournalCount)
	}
	at := m.JournalFrom
	for _, e := range entries {
		if e.From != at {
			t.Fatalf("entry starts at %d, the one before ends at %d", e.From, at)
		}
		at = e.To
	}
	if at != m.Serial {
		t.Fatalf("journal ends at %d, serial is %d", at, m.Serial)
	}
	if (m.JournalSize == 0) != (m.JournalCount == 0) || m.JournalSize < 0 {
		t.Fatalf("journal of %d entries has size %d", m.JournalCount, m.JournalSize)
	}
}

// crash copies a data directory in use, as a crash would leave it, and opens
// the copy.
func crash(t testing.TB, s *Store) *Store {
	t.Helper()
	return openCopy(t, s, func(_ string, data []byte) []byte { return data })
}

// openCopy opens a copy of a data directory in use, of one moment: when files
// come and go meanwhile, it copies again. as gives what is to be in a file of
// the copy; nil leaves the file out.
func openCopy(t testing.TB, s *Store, as func(name string, data []byte) []byte) *Store {
	t.Helper()
	var files map[string][]byte
	for {
		before := readDir(t, s.o.Dir, "")
		files = readDir(t, s.o.Dir, "all")
		after := readDir(t, s.o.Dir, "")
		if maps.EqualFunc(before, after, bytes.Equal) && len(files) == len(after) {
			break
		}
	}
	o := s.o
	o.Dir, o.FailCommit = t.TempDir(), nil
	for name, data := range files {
		if data = as(name, data); data == nil || name == "LOCK" {
			continue
		}
		if err := os.WriteFile(filepath.Join(o.Dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return openStore(t, o)
}

// readDir gives the names of all files, with the content of all of them or of
// Badger's MANIFEST alone. A file that goes meanwhile is left out.
func readDir(t testing.TB, dir, which string) map[string][]byte {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range list {
		if which != "all" && f.Name() != "MANIFEST" {
			files[f.Name()] = nil
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name()] = data
	}
	return files
}

// failsAfter gives what fails when it is called once more than n times.
func failsAfter(n int) func() error {
	return func() error {
		if n--; n < 0 {
			return errTest
		}
		return nil
	}
}

type lockedBuffer struct {
	mu struct{ sync.Mutex }
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// everyWay looks at the test zone as it is, after a crash, and after a clean
// end, which closes s.
func everyWay(t *testing.T, s *Store, look func(z *Zone)) {
	t.Helper()
	look(openZone(t, s, apex))
	look(openZone(t, crash(t, s), apex))
	look(openZone(t, reopen(t, s), apex))
}

// repair is Repair, which is called again as long as Badger still tries to write what it holds.
func repair(z *Zone, sets []OwnedRRset, held Held, burnedTo uint32) error {
	for deadline := time.Now().Add(time.Minute); ; {
		err := z.Repair(sets, held, burnedTo)
		if !errors.Is(err, ErrBroken) || time.Now().After(deadline) {
			return err
		}
	}
}
