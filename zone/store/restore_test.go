package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dialtone/zone/rr"
)

// TestRestoreMovesSerials: nobody who has a serial of the lost server gets less
// than the whole zone, and nobody takes the restored zone for old.
func TestRestoreMovesSerials(t *testing.T) {
	s, z := fullStore(t, 10)
	for serial := uint32(8); serial < 20; serial++ {
		commit(t, z, change(z, serial, serial+1, 1, 1, int(serial)))
	}
	path, _ := backUp(t, s, BackupOptions{})
	var serials []uint32
	for _, age := range []time.Duration{-time.Hour, 0, time.Hour, 1000 * time.Hour, 100_000 * time.Hour} {
		o := testOptions(t.TempDir())
		got, err := Restore(t.Context(), o, []string{path}, RestoreOptions{Ahead: -1, Now: madeAt.Add(age)})
		if err != nil {
			t.Fatal(err)
		}
		serial := got.Zones[1].Serial
		if got.Zones[1].Was != 20 || !rr.SerialGreater(serial, 20+1<<29) {
			t.Errorf("age %s: %+v", age, got.Zones)
		}
		serials = append(serials, serial)
		c := openStore(t, o)
		cz := openZone(t, c, apex)
		check(t, cz)
		m, _, err := cz.Meta()
		if err != nil || m.Serial != serial {
			t.Fatal(m, err)
		}
		// The lost server went on to serials that now nobody is led from.
		for lost := uint32(21); lost < 40; lost++ {
			if !rr.SerialGreater(serial, lost) {
				t.Errorf("serial %d is not newer than %d", serial, lost)
			}
			if _, err := journalOf(cz, lost, serial); !errors.Is(err, ErrNoHistory) {
				t.Errorf("from %d: %v", lost, err)
			}
		}
		// What came before the backup is true.
		for kept := uint32(8); kept < 20; kept++ {
			if entries, err := journalOf(cz, kept, serial); err != nil || len(entries) != int(20-kept)+1 {
				t.Errorf("from %d: %d entries, %v", kept, len(entries), err)
			}
		}
		want := content(t, z)
		for k, v := range contentOf(soaSet(serial)) {
			want[k] = v
		}
		wantContent(t, cz, want)
	}
	if serials[0] != serials[1] || !rr.SerialGreater(serials[2], serials[1]+3600*499) || !rr.SerialGreater(serials[3], serials[2]) || serials[4] != 20+serialJump+maxAgeJump {
		t.Errorf("serials %v", serials)
	}
}

// The serial never becomes 0, wherever it starts.
func TestRestoredSerialsWrap(t *testing.T) {
	for _, ahead := range []int64{1, 5, serialJump, MaxAhead} {
		s := openStore(t, testOptions(t.TempDir()))
		from := uint32(0) - uint32(ahead)
		seed(t, openZone(t, s, apex), from, manySets(2, 1)...)
		path, _ := backUp(t, s, BackupOptions{})
		o := testOptions(t.TempDir())
		got, err := restore(o, ahead, path)
		if ahead == MaxAhead { // one more would be too far
			if !errors.Is(err, ErrSerial) {
				t.Errorf("%d ahead: %v", ahead, err)
			}
			continue
		}
		if err != nil || got.Zones[0].Serial != 1 {
			t.Errorf("%d ahead of %d: %+v, %v", ahead, from, got, err)
		}
	}
}

func TestRestoreRefusesWhatIsNotEmpty(t *testing.T) {
	s, _ := fullStore(t, 10)
	path, _ := backUp(t, s, BackupOptions{})
	for name, want := range map[string]string{
		"zone.db": "is not empty: it has zone.db", "MANIFEST": "holds zones already; move it away, as in mv ", "000001.sst": "is not empty: it has 000001.sst",
		"audit.log": "", "lost+found": "", "building": "",
	} {
		o := testOptions(t.TempDir())
		if name == "lost+found" || name == "building" {
			if err := os.Mkdir(filepath.Join(o.Dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(filepath.Join(o.Dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := restore(o, 0, path)
		var dir *DirError
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case want != "" && (!errors.As(err, &dir) || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(o.Dir, name)); err != nil && name != "building" {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
	// A store that is in use.
	var dir *DirError
	if _, err := restore(s.o, 0, path); !errors.As(err, &dir) || !dir.InUse {
		t.Error(err)
	}
	// One that is not there is made.
	o := testOptions(filepath.Join(t.TempDir(), "new"))
	if _, err := restore(o, 0, path); err != nil {
		t.Fatal(err)
	}
	wantSame(t, openStore(t, o), everything(t, s))
}

// TestRestoreAtEveryCrash ends a Restore before each of its last steps: nothing
// is there, and the directory is refused, or all is; and a second try succeeds.
func TestRestoreAtEveryCrash(t *testing.T) {
	s, _ := fullStore(t, 4000)
	path, _ := backUp(t, s, BackupOptions{})
	want := everything(t, s)
	for n := 0; ; n++ {
		o := testOptions(t.TempDir())
		b := newBuilder(o, restoreDir)
		b.step = failsAfter(n)
		_, err := b.restore([]string{path}, &RestoreOptions{Now: madeAt, ctx: t.Context()})
		if err != nil && !errors.Is(err, errTest) {
			t.Fatal(err)
		}
		if Fresh(o.Dir) {
			if err == nil {
				t.Fatal("restored and not there")
			}
			wantUnfinished(t, o)
			if _, err := restore(o, 0, path); err != nil {
				t.Fatalf("step %d, a second try: %v", n, err)
			}
		}
		s := openStore(t, o)
		wantSame(t, s, want)
		if _, err := os.Stat(filepath.Join(o.Dir, restoreDir)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the place of the work is left: %v", err)
		}
		if err == nil {
			if n < 5 {
				t.Fatalf("it had %d steps only", n)
			}
			return
		}
	}
}

func wantUnfinished(t *testing.T, o Options) {
	t.Helper()
	const want = "holds a backup that was not restored to the end; run dialtone restore again"
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Open: %v", err)
	}
	if err := Build(o, contents()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Build: %v", err)
	}
}

// restoreEnv, when set in the environment, makes this test binary restore the
// file that it names into the directory behind it.
const restoreEnv = "DIALTONE_STORE_RESTORE"

func restoreUntilKilled(arg string) error {
	file, dir, _ := strings.Cut(arg, "|")
	fmt.Println("begins")
	_, err := Restore(context.Background(), testOptions(dir), []string{file}, RestoreOptions{Ahead: -1, Now: time.Now()})
	fmt.Println("done")
	return err
}

// TestRestoreKill9 kills a restore at random moments: nothing is there by half.
func TestRestoreKill9(t *testing.T) {
	s, z := fullStore(t, 10_000)
	path, _ := backUp(t, s, BackupOptions{})
	want := content(t, z)
	began := time.Now()
	o := testOptions(t.TempDir())
	if _, err := restore(o, -1, path); err != nil {
		t.Fatal(err)
	}
	whole := time.Since(began)
	unfinished, finished := 0, 0
	for range 12 {
		o := testOptions(t.TempDir())
		if !killOneRestore(t, path, o.Dir, time.Duration(rand.Int64N(int64(whole)*3/2))) || Fresh(o.Dir) {
			unfinished++
			if _, err := os.Stat(filepath.Join(o.Dir, restoreDir)); err == nil {
				wantUnfinished(t, o)
			}
			if _, err := restore(o, -1, path); err != nil {
				t.Fatal(err)
			}
		} else {
			finished++
		}
		copied := openZone(t, openStore(t, o), apex)
		check(t, copied)
		got := content(t, copied)
		soaKey := apex.String() + " SOA"
		got[soaKey] = want[soaKey]
		if len(got) != len(want) {
			t.Fatalf("%d RRsets, want %d", len(got), len(want))
		}
		for k := range want {
			if got[k] != want[k] {
				t.Fatalf("%s: %q, want %q", k, got[k], want[k])
			}
		}
	}
	t.Logf("%d were killed before their end, %d had come to it", unfinished, finished)
	if unfinished == 0 {
		t.Error("none was killed in the middle")
	}
}

// killOneRestore tells whether the restore said that it was done.
func killOneRestore(t *testing.T, file, dir string, after time.Duration) (done bool) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), restoreEnv+"="+file+"|"+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "begins" {
		t.Errorf("%q", lines.Text())
	}
	kill := time.AfterFunc(after, func() { cmd.Process.Kill() })
	defer kill.Stop()
	for lines.Scan() {
		done = done || lines.Text() == "done"
	}
	_ = cmd.Wait() // it was killed
	return done
}

// Who interrupts a restore finds the directory as it was.
func TestRestoreThatIsInterrupted(t *testing.T) {
	s, _ := fullStore(t, 20_000)
	path, _ := backUp(t, s, BackupOptions{})
	for _, storing := range []bool{false, true} {
		o := testOptions(t.TempDir())
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Restore(ctx, o, []string{path}, RestoreOptions{Now: madeAt, Progress: func(p RestoreProgress) {
			if storing == (p.File == "") {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if files, err := os.ReadDir(o.Dir); err != nil || len(files) > 0 {
			t.Errorf("something is left: %v, %v", files, err)
		}
	}
}
