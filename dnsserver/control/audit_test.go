package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func auditLines(t *testing.T, dir string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, AuditName))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(data), "\n") {
		t.Errorf("the log ends in the middle of a line: %q", data)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func TestAuditKeepsWhatWasDone(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 26, 4, 0, 0, 5, time.UTC)
	a := NewAudit(dir, func() time.Time { return now })
	if err := a.Append(Entry{Action: "key revoke", Who: Peer{7}, Zone: "a.", Number: "1", Key: "1.a.", Detail: "it was kept"}); err != nil {
		t.Fatal(err)
	}
	if err := a.Append(Entry{Action: "key import", Who: Peer{0}}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"time":"2026-11-26T04:00:00.000000005Z","action":"key revoke","who":{"uid":7},"zone":"a.","number":"1","key":"1.a.","detail":"it was kept"}`,
		`{"time":"2026-11-26T04:00:00.000000005Z","action":"key import","who":{"uid":0}}`,
	}
	if got := auditLines(t, dir); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if fi, err := os.Stat(filepath.Join(dir, AuditName)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

// What a crash cut off does not spoil the next line.
func TestAuditAfterACrash(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, AuditName)
	if err := os.WriteFile(path, []byte("{\"action\":\"a\"}\n{\"act"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := NewAudit(dir, time.Now)
	for range 2 {
		if err := a.Append(Entry{Action: "b"}); err != nil {
			t.Fatal(err)
		}
	}
	lines := auditLines(t, dir)
	if len(lines) != 4 || lines[1] != `{"act` {
		t.Fatalf("%q", lines)
	}
	for _, l := range lines[2:] {
		var e Entry
		if err := json.Unmarshal([]byte(l), &e); err != nil || e.Action != "b" {
			t.Errorf("%s: %v", l, err)
		}
	}
}

func TestAuditTellsWhenItCannotWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	err := NewAudit(dir, time.Now).Append(Entry{Action: "a"})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "audit log "+filepath.Join(dir, AuditName)) {
		t.Errorf("%v", err)
	}
}

func TestAuditIsConcurrent(t *testing.T) {
	dir := t.TempDir()
	a := NewAudit(dir, time.Now)
	var wg sync.WaitGroup
	const writers, each = 8, 20
	for i := range writers {
		wg.Go(func() {
			for n := range each {
				if err := a.Append(Entry{Action: fmt.Sprint(i, "-", n)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, l := range auditLines(t, dir) {
		var e Entry
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		seen[e.Action] = true
	}
	if len(seen) != writers*each {
		t.Errorf("%d entries", len(seen))
	}
}
