package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"dialtone/zone/rr"
	"dialtone/zone/store/backup"
)

var madeAt = time.Date(2026, 11, 26, 4, 0, 0, 0, time.UTC)

// backUp makes a file of a store.
func backUp(t testing.TB, s *Store, o BackupOptions) (path string, h backup.Header) {
	t.Helper()
	if o.Time.IsZero() {
		o.Time = madeAt
	}
	path = filepath.Join(t.TempDir(), "backup")
	f, err := os.Create(path)
	if err == nil {
		h, err = s.Backup(f, o)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return path, h
}

// after are the options of an increment on a file.
func after(t testing.TB, path string, h backup.Header) BackupOptions {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return BackupOptions{Since: h.Version, Store: h.Store, Base: hex.EncodeToString(data[len(data)-backup.SumLen:])}
}

func restore(o Options, ahead int64, files ...string) (*Restored, error) {
	return Restore(context.Background(), o, files, RestoreOptions{Ahead: ahead, Now: madeAt, Others: []string{"audit.log"}})
}

// restored opens what is restored into a new directory, with serials as they were.
func restored(t testing.TB, files ...string) *Store {
	t.Helper()
	o := testOptions(t.TempDir())
	if _, err := restore(o, 0, files...); err != nil {
		t.Fatal(err)
	}
	return openStore(t, o)
}

// everything is all that a store holds but what belongs to the directory.
func everything(t testing.TB, s *Store) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := s.view(func(txn *badger.Txn) error {
		return each(txn, nil, nil, func(key, value []byte) (bool, error) {
			if key[0] != kindBackup {
				m[string(key)] = string(value)
			}
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func wantSame(t testing.TB, s *Store, want map[string]string) {
	t.Helper()
	got := everything(t, s)
	if maps.Equal(got, want) {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			t.Fatalf("key %q: %q, want %q", k, got[k], want[k])
		}
	}
	t.Fatalf("%d keys, want %d", len(got), len(want))
}

// fullStore has a bit of everything.
func fullStore(t testing.TB, numbers int) (*Store, *Zone) {
	t.Helper()
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 7, manySets(numbers, 3)...)
	c := change(z, 7, 8, 5, 3, 9)
	c.Held = Held{
		Registrations: []rr.Registration{{Number: "0000005", Lease: 1e12, KeyLease: 2e12, Signed: 77, Digest: 5, Updated: 9, From: netip.MustParseAddr("192.0.2.1")}},
		Signers:       []rr.Signer{{Key: "\x03key\x00", Signed: 99, Digest: 1}},
	}
	commit(t, z, c)
	if err := z.PutPhoneKeys(PhoneKey{Number: "5", Generation: 2, Created: madeAt, Secret: []byte("secret")}); err != nil {
		t.Fatal(err)
	}
	other := openZone(t, s, rr.MustName("Other.example."))
	if err := other.Seed(8, seq(OwnedRRset{other.apex, rr.RRset{Type: typeSOA, TTL: 9, Data: soaSet(8).Set.Data}})); err != nil {
		t.Fatal(err)
	}
	return s, z
}

func TestBackupAndRestore(t *testing.T) {
	s, z := fullStore(t, 20_000)
	want := everything(t, s)
	path, h := backUp(t, s, BackupOptions{})
	if h.StoreFormat != FormatVersion || h.Version == 0 || len(h.Zones) != 2 || h.Zones[1] != (backup.Zone{Name: "phones.example.", Serial: 8}) {
		t.Errorf("%+v", h)
	}
	commit(t, z, change(z, 8, 9, 5, 3, 10)) // not in it
	copied := restored(t, path)
	wantSame(t, copied, want)
	check(t, openZone(t, copied, apex))
	// It goes on, and can be backed up like any other.
	commit(t, openZone(t, copied, apex), change(z, 8, 9, 5, 3, 11))
	again, h2 := backUp(t, copied, BackupOptions{})
	if h2.Store == h.Store {
		t.Error("two directories have one identity")
	}
	wantSame(t, restored(t, again), everything(t, copied))
	if _, err := copied.Backup(io.Discard, after(t, path, h)); !errors.As(err, new(*SinceError)) {
		t.Errorf("an increment of the copy on a backup of the original: %v", err)
	}
}

// A large commit that is decided and half in place comes to its end in the copy;
// one that is not yet leaves nothing.
func TestBackupOfALargeCommitHalfWay(t *testing.T) {
	s, z := fullStore(t, 4000)
	before := content(t, z)
	var paths []string
	steps := 0
	fault := func(after bool) error {
		if steps++; !after && steps%3 == 0 {
			was := s.fault
			s.fault = func(bool) error { return nil } // not of the mark
			path, _ := backUp(t, s, BackupOptions{})
			paths = append(paths, path)
			s.fault = was
		}
		return nil
	}
	s.fault = fault
	commit(t, z, change(z, 8, 9, 0, 4000, 77))
	s.fault = func(bool) error { return nil }
	decided := 0
	for _, path := range paths {
		copied := openZone(t, restored(t, path), apex)
		check(t, copied)
		m, _, err := copied.Meta()
		if err != nil {
			t.Fatal(err)
		}
		if m.Serial == 8 {
			wantContent(t, copied, before)
			continue
		}
		decided++
		wantContent(t, copied, content(t, z))
	}
	if decided == 0 || decided == len(paths) {
		t.Errorf("of %d backups %d have the commit", len(paths), decided)
	}
}

// TestBackupsUnderLoad makes full and incremental backups while commits go on:
// each copy is one version, which has all that was acknowledged before it began.
func TestBackupsUnderLoad(t *testing.T) {
	s, z := fullStore(t, 5000)
	var acked struct {
		sync.Mutex
		serial uint32
	}
	acked.serial = 8
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for serial := uint32(8); ; serial++ {
			select {
			case <-stop:
				return
			default:
			}
			c := change(z, serial, serial+1, int(serial%5000), 1, int(serial+1))
			if serial%7 == 0 { // deletions
				c.Sets[1].Set.Data, c.Added = nil, nil
			}
			c.Held.Registrations = []rr.Registration{{Number: fmt.Sprint(serial % 3), Lease: int64(serial)}}
			if err := z.Commit(c); err != nil {
				t.Error(err)
				return
			}
			acked.Lock()
			acked.serial = serial + 1
			acked.Unlock()
			if serial%50 == 0 {
				if err := z.Trim(time.Now(), 0, 64<<10); err != nil {
					t.Error(err)
				}
			}
		}
	})
	var files []string
	var o BackupOptions
	for range 6 {
		acked.Lock()
		before := acked.serial
		acked.Unlock()
		path, h := backUp(t, s, o)
		files = append(files, path)
		o = after(t, path, h)
		if got := h.Zones[1].Serial; got < before {
			t.Errorf("the backup has serial %d, %d was acknowledged before", got, before)
		}
		copied := restored(t, files...)
		cz := openZone(t, copied, apex)
		check(t, cz)
		wantSerialOf(t, cz, h.Zones[1].Serial)
	}
	close(stop)
	wg.Wait()
	path, _ := backUp(t, s, o)
	wantSame(t, restored(t, append(files, path)...), everything(t, s))
	// A differential one, on the full backup alone.
	first, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	fi, _ := first.Stat()
	r, err := backup.NewReader(first, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	path, _ = backUp(t, s, after(t, files[0], r.Header))
	for _, chain := range [][]string{{files[0], path}, {files[0], files[1], path}} {
		wantSame(t, restored(t, chain...), everything(t, s))
	}
}

// wantSerialOf recomputes what each number of TestBackupsUnderLoad has at a serial.
func wantSerialOf(t *testing.T, z *Zone, serial uint32) {
	t.Helper()
	want := map[string]string{}
	for _, o := range append(manySets(5000, 3), soaSet(serial)) {
		maps.Copy(want, contentOf(o))
	}
	for i := 5; i < 8; i++ {
		maps.Copy(want, contentOf(aSet(i, 9)))
	}
	for s := uint32(8); s < serial; s++ {
		set := aSet(int(s%5000), int(s+1))
		maps.Copy(want, contentOf(set))
		if s%7 == 0 {
			delete(want, set.Owner.String()+" A")
		}
	}
	wantContent(t, z, want)
}

// What Badger forgets of deletions does not come back by an increment.
func TestIncrementKnowsForgottenDeletions(t *testing.T) {
	s, z := fullStore(t, 3000)
	full, h := backUp(t, s, BackupOptions{})
	c := change(z, 8, 9, 0, 2900, 1)
	for i := range c.Sets[1:] {
		c.Sets[1+i].Set.Data = nil
	}
	c.Added = nil
	commit(t, z, c)
	if err := z.Trim(time.Now(), time.Nanosecond, 0); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s) // to tables
	if err := s.db.Flatten(2); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	increment, _ := backUp(t, s, after(t, full, h))
	wantSame(t, restored(t, full, increment), everything(t, s))
}

// After a crash, and after its newest keys were deleted and forgotten, a store
// gives no version twice.
func TestVersionsAreNotUsedTwice(t *testing.T) {
	s, z := fullStore(t, 10)
	for i := range 5 {
		if err := z.PutPhoneKeys(PhoneKey{Number: "9", Generation: 1, Created: madeAt}); err != nil {
			t.Fatal(err)
		}
		if err := z.DeletePhoneKeys("9"); err != nil {
			t.Fatal(err)
		}
		full, h := backUp(t, s, BackupOptions{})
		if i%2 == 0 {
			s = reopen(t, s)
			if err := s.db.Flatten(2); err != nil {
				t.Fatal(err)
			}
			s = reopen(t, s)
		} else {
			s = crash(t, s)
		}
		z = openZone(t, s, apex)
		if err := z.PutPhoneKeys(PhoneKey{Number: "8", Generation: uint32(i + 1), Created: madeAt}); err != nil {
			t.Fatal(err)
		}
		increment, _ := backUp(t, s, after(t, full, h))
		wantSame(t, restored(t, full, increment), everything(t, s))
	}
}

func TestChainsThatDoNotFit(t *testing.T) {
	s, z := fullStore(t, 100)
	full, h0 := backUp(t, s, BackupOptions{})
	next := func(serial uint32, o BackupOptions) (string, backup.Header) {
		commit(t, z, change(z, serial, serial+1, int(serial), 1, 1))
		return backUp(t, s, o)
	}
	one, h1 := next(8, after(t, full, h0))
	two, h2 := next(9, after(t, one, h1))
	other, _ := fullStore(t, 100)
	foreign, hf := backUp(t, other, BackupOptions{})
	foreignNext, _ := backUp(t, other, after(t, foreign, hf))
	// Another base of the same version, as no store makes it.
	forged, _ := next(10, BackupOptions{Since: h2.Version, Base: strings.Repeat("ab", 32)})
	for _, c := range []struct {
		files []string
		want  string
	}{
		{nil, "no backup was named"},
		{[]string{one}, "name the full backup first"},
		{[]string{one, full}, "name the full backup first"},
		{[]string{full, two}, "name the backup in between"},
		{[]string{full, two, one}, "name the backup in between"},
		{[]string{full, one, two, one}, "it is older than " + two},
		{[]string{full, full}, "it is a full backup"},
		{[]string{full, foreign}, "it is a full backup"},
		{[]string{full, foreignNext}, "it is of another data directory"},
		{[]string{full, one, two, forged}, "it goes on from another file"},
		{[]string{full, filepath.Join(t.TempDir(), "none")}, "none: no such file"},
		{[]string{t.TempDir()}, "it is no regular file"},
	} {
		o := testOptions(t.TempDir())
		_, err := restore(o, 0, c.files...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.files, err, c.want)
		}
		if files, err := os.ReadDir(o.Dir); err != nil || len(files) > 0 {
			t.Errorf("%v: something is left: %v, %v", c.files, files, err)
		}
	}
	if _, err := s.Backup(io.Discard, BackupOptions{Since: h2.Version + 1000}); !errors.As(err, new(*SinceError)) {
		t.Errorf("since a version that no backup has: %v", err)
	}
}

// A file that does not fit although its head says so is found as well: it keeps
// what the ones before it do not have.
func TestIncrementThatKeepsTooMuch(t *testing.T) {
	s, z := fullStore(t, 100)
	full, h0 := backUp(t, s, BackupOptions{})
	commit(t, z, change(z, 8, 9, 200, 5, 1))
	// It leaves out what is newer than a version at which nobody made a backup.
	h := h0
	h.Since, h.Version = h0.Version, h0.Version+5
	path := filepath.Join(t.TempDir(), "increment")
	var b bytes.Buffer
	w, err := backup.NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range slices.Sorted(maps.Keys(everything(t, s))) {
		if err := w.Keep([]byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	o := testOptions(t.TempDir())
	if _, err := restore(o, 0, full, path); err == nil || !strings.Contains(err.Error(), "it does not belong to the backups before it") {
		t.Error(err)
	}
	if files, err := os.ReadDir(o.Dir); err != nil || len(files) > 0 {
		t.Errorf("something is left: %v, %v", files, err)
	}
}

// Nothing is restored of a file that is cut or altered anywhere.
func TestDamagedBackups(t *testing.T) {
	s, _ := fullStore(t, 2000)
	path, _ := backUp(t, s, BackupOptions{})
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(t.TempDir())
	try := func(what string, data []byte) {
		t.Helper()
		bad := filepath.Join(t.TempDir(), "bad")
		if err := os.WriteFile(bad, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var fe *FileError
		if _, err := restore(o, 0, bad); !errors.As(err, &fe) || !errors.Is(err, backup.ErrDamaged) && !errors.As(err, new(*backup.FormatError)) {
			t.Errorf("%s: %v", what, err)
		}
		if files, err := os.ReadDir(o.Dir); err != nil || len(files) > 0 {
			t.Fatalf("%s: something is left: %v, %v", what, files, err)
		}
	}
	for i := range 200 {
		at := i * len(file) / 200
		bad := bytes.Clone(file)
		bad[at] ^= 0x10
		try(fmt.Sprintf("octet %d of %d altered", at, len(file)), bad)
		try(fmt.Sprintf("cut at %d of %d", at, len(file)), file[:at])
	}
	try("one octet more", append(bytes.Clone(file), 0))
}

func TestBackupsOfOtherFormats(t *testing.T) {
	newer := testOptions(t.TempDir())
	newer.format = FormatVersion + 1
	s := openStore(t, newer)
	seed(t, openZone(t, s, apex), 7, manySets(5, 3)...)
	path, h := backUp(t, s, BackupOptions{})
	if h.StoreFormat != FormatVersion+1 {
		t.Errorf("format %d", h.StoreFormat)
	}
	o := testOptions(t.TempDir())
	_, err := restore(o, 0, path)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s: its data has version %d, and this dialtone knows versions up to %d; restore it with the dialtone that wrote it, or a newer one", path, FormatVersion+1, FormatVersion)) {
		t.Error(err)
	}
	// An older one is taken as Open takes an older directory.
	s, _ = fullStore(t, 5)
	path, _ = backUp(t, s, BackupOptions{})
	o.format = FormatVersion + 1
	if _, err := restore(o, 0, path); err != nil {
		t.Fatal(err)
	}
	want := everything(t, s)
	want[string(kindFormat)] = string([]byte{0, 0, 0, byte(o.format)})
	wantSame(t, openStore(t, o), want)
}

// A full disk does not keep a backup from being made; no increment can follow it.
func TestBackupOfAFullDisk(t *testing.T) {
	s, _ := fullStore(t, 100)
	was := s.o.Reserve
	s.o.Reserve = 1 << 62
	path, h := backUp(t, s, BackupOptions{})
	s.o.Reserve = was
	if h.Version != 0 {
		t.Errorf("version %d", h.Version)
	}
	wantSame(t, restored(t, path), everything(t, s))
	_, h = backUp(t, s, BackupOptions{})
	if h.Version == 0 {
		t.Error("there is room again, and no increment can follow")
	}
}

func TestCheckBackups(t *testing.T) {
	s, z := fullStore(t, 100)
	full, h := backUp(t, s, BackupOptions{})
	commit(t, z, change(z, 8, 9, 5, 3, 10))
	next, _ := backUp(t, s, after(t, full, h))
	done, err := CheckBackups(t.Context(), []string{full, next}, nil)
	if err != nil || len(done.Zones) != 2 || done.Zones[1].Serial != 9 || done.Records != int64(len(everything(t, s))) {
		t.Errorf("%+v, %v", done, err)
	}
	var fe *FileError
	if _, err := CheckBackups(t.Context(), []string{next}, nil); !errors.As(err, &fe) {
		t.Error(err)
	}
}

func TestOneBackupAtATime(t *testing.T) {
	s, _ := fullStore(t, 20_000)
	second := make(chan error, 1)
	o := BackupOptions{Yield: sync.OnceFunc(func() {
		_, err := s.Backup(io.Discard, BackupOptions{})
		second <- err
	})}
	path, _ := backUp(t, s, o)
	if err := <-second; !errors.Is(err, ErrBackup) {
		t.Errorf("the second: %v", err)
	}
	wantSame(t, restored(t, path), everything(t, s))
}

// Who does not take a backup, or goes away, keeps nobody waiting.
func TestBackupThatNobodyTakes(t *testing.T) {
	s, z := fullStore(t, 20_000)
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := s.Backup(w, BackupOptions{Time: madeAt})
		ended <- err
	}()
	var first [10]byte
	if _, err := io.ReadFull(r, first[:]); err != nil {
		t.Fatal(err)
	}
	for serial := uint32(8); serial < 40; serial++ {
		commit(t, z, change(z, serial, serial+1, 1, 1, int(serial)))
	}
	gone := errors.New("gone")
	r.CloseWithError(gone)
	if err := <-ended; !errors.Is(err, gone) {
		t.Error(err)
	}
	if _, err := s.Backup(io.Discard, BackupOptions{}); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// A store that was opened again in the middle ends a backup, and takes the next.
func TestBackupAcrossAFault(t *testing.T) {
	s, z := fullStore(t, 20_000)
	o := BackupOptions{Yield: sync.OnceFunc(func() {
		s.broken.Store(true)
		if err := repair(z, nil, Held{}, 0); err != nil {
			t.Error(err)
		}
	})}
	if _, err := s.Backup(io.Discard, o); !errors.Is(err, ErrReopened) {
		t.Error(err)
	}
	s.broken.Store(true)
	if _, err := s.Backup(io.Discard, BackupOptions{}); !errors.Is(err, ErrBroken) {
		t.Error(err)
	}
	if err := repair(z, nil, Held{}, 0); err != nil {
		t.Fatal(err)
	}
	path, _ := backUp(t, s, BackupOptions{})
	wantSame(t, restored(t, path), everything(t, s))
}
