package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"dialtone/zone/rr"
)

// powered keeps of each write-ahead log what a power cut would leave: its
// content at the last sync, if its name was synced too.
type powered struct {
	mu     sync.Mutex
	synced map[string][]byte
	named  []string // files in the directory at its last sync
	syncs  int
}

func (p *powered) syncDir(dir *os.File) error {
	files, err := os.ReadDir(dir.Name())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.named = p.named[:0]
	for _, f := range files {
		p.named = append(p.named, f.Name())
	}
	return errors.Join(err, dir.Sync())
}

func (p *powered) sync(f *os.File) error {
	if err := dataSync(f); err != nil {
		return err
	}
	data, err := os.ReadFile(f.Name())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.synced[filepath.Base(f.Name())] = data
	p.syncs++
	return err
}

// cut makes a copy of the data directory as a power cut leaves it. A log that
// was never synced is there without its content, or not at all; one whose name
// was not synced is not there.
func (p *powered) cut(t *testing.T, s *Store, named bool) *Store {
	t.Helper()
	return openCopy(t, s, func(name string, data []byte) []byte {
		if !strings.HasSuffix(name, walSuffix) {
			return data
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if !slices.Contains(p.named, name) && !named {
			return nil
		}
		if kept, ok := p.synced[name]; ok || !named {
			return kept
		}
		return make([]byte, len(data))
	})
}

// TestPowerCut loses all that was not synced, at points in between which
// Badger begins new logs and moves old ones to tables.
func TestPowerCut(t *testing.T) {
	p := &powered{synced: map[string][]byte{}}
	s := openStore(t, testOptions(t.TempDir()))
	s.dataSync, s.dirSync = p.sync, p.syncDir
	if err := p.syncDir(s.dir); err != nil { // Open has done so
		t.Fatal(err)
	}
	z := openZone(t, s, apex)
	seed(t, z, 1, manySets(phones, 0)...)
	addr := make([]int, phones)
	rotations, last := 0, ""
	for serial := uint32(1); serial < 200; serial++ {
		first, n := int(serial*37)%phones, 1+int(serial*serial)%300
		n = min(n, phones-first)
		commit(t, z, change(z, serial, serial+1, first, n, int(serial)))
		for i := range n {
			addr[first+i] = int(serial)
		}
		names, err := fileNames(s.root)
		if err != nil {
			t.Fatal(err)
		}
		if newest := slices.MaxFunc(walNames(names), compareLogs); newest != last {
			rotations, last = rotations+1, newest
		} else if serial%37 != 0 {
			continue
		}
		want := []OwnedRRset{soaSet(serial + 1)}
		for i := range addr {
			want = append(want, aSet(i, addr[i]))
		}
		c := p.cut(t, s, serial%2 == 0)
		cz := openZone(t, c, apex)
		check(t, cz)
		wantContent(t, cz, contentOf(want...))
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if rotations < 4 {
		t.Errorf("Badger began %d logs only: the test is too small", rotations)
	}
}

// TestOneSyncACommit holds what a commit costs: a sync of one log, unless
// Badger has just begun another.
func TestOneSyncACommit(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	syncs := 0
	s.dataSync = func(f *os.File) error {
		syncs++
		return dataSync(f)
	}
	z := openZone(t, s, apex)
	seed(t, z, 1)
	before := syncs
	const commits = 20
	for serial := uint32(1); serial <= commits; serial++ {
		commit(t, z, change(z, serial, serial+1, 0, 1, int(serial)))
	}
	if got := syncs - before; got != commits {
		t.Errorf("%d syncs for %d commits", got, commits)
	}
}

// TestFailedSyncStopsAllZones has the kernel tell one zone's commit of a page
// that was lost. It tells nobody else, so no other zone may count on the log.
func TestFailedSyncStopsAllZones(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	one, two := openZone(t, s, apex), openZone(t, s, rr.MustName("other.example."))
	seed(t, one, 1)
	if err := two.Seed(1, seq()); err != nil {
		t.Fatal(err)
	}
	fault := errors.New("lost a page")
	s.dataSync = func(*os.File) error { return fault }
	if err := one.Commit(change(one, 1, 2, 0, 1, 1)); !errors.Is(err, fault) {
		t.Fatalf("commit without a sync: %v", err)
	}
	s.dataSync = dataSync
	if err := s.sync(s.logs.written()); !errors.Is(err, ErrBroken) {
		t.Errorf("another sync of the same log: %v", err)
	}
	if err := two.Commit(&Commit{From: 1, To: 2}); !errors.Is(err, ErrBroken) {
		t.Errorf("commit of another zone: %v", err)
	}
	if err := repair(one, []OwnedRRset{{Owner: number(0), Set: rr.RRset{Type: typeA}}, soaSet(1)}, Held{}, 2); err != nil {
		t.Fatal(err)
	}
	commit(t, one, change(one, 1, 3, 0, 1, 3))
	everyWay(t, s, func(z *Zone) {
		check(t, z)
		wantContent(t, z, contentOf(soaSet(3), aSet(0, 3)))
	})
}

// TestSyncsAreShared has commits of one zone covered by the sync of another's.
func TestSyncsAreShared(t *testing.T) {
	p := &powered{synced: map[string][]byte{}}
	s := openStore(t, testOptions(t.TempDir()))
	s.dataSync = p.sync
	first, second := s.logs.written(), s.logs.written()
	if err := s.sync(second); err != nil {
		t.Fatal(err)
	}
	before := p.syncs
	if err := s.sync(first); err != nil || p.syncs != before {
		t.Errorf("%d more syncs for what was synced already, error %v", p.syncs-before, err)
	}
	if err := s.sync(s.logs.written()); err != nil || p.syncs == before {
		t.Errorf("%d more syncs for what came behind, error %v", p.syncs-before, err)
	}
}

func TestLogsInOrder(t *testing.T) {
	for _, c := range []struct{ older, newer string }{
		{"00001.mem", "00002.mem"}, {"00009.mem", "00010.mem"}, {"99999.mem", "100000.mem"},
	} {
		if compareLogs(c.older, c.newer) >= 0 || compareLogs(c.newer, c.older) <= 0 {
			t.Errorf("%s is not older than %s", c.older, c.newer)
		}
	}
}

// TestNoLogIsNoSync has a directory in which Badger's log is not found.
func TestNoLogIsNoSync(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	var l logs
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	err = l.lookLocked(root, []string{"MANIFEST"})
	if err == nil || !strings.Contains(err.Error(), walSuffix) {
		t.Errorf("no log, and %v", err)
	}
	names, err := fileNames(s.root)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.logs.lookLocked(s.root, names); err != nil || len(s.logs.mu.open) == 0 {
		t.Errorf("%d logs in a store's directory, %v", len(s.logs.mu.open), err)
	}
}
