//go:build linux || darwin

package control

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Whoever may write to the directory may put a link in place of the socket as
// soon as it is made. The file behind the link keeps its permissions.
func TestSocketThatIsSwappedForALink(t *testing.T) {
	dir := t.TempDir()
	victim, path, away := filepath.Join(t.TempDir(), "victim"), filepath.Join(dir, SocketName), filepath.Join(dir, "away")
	if err := os.WriteFile(victim, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var over atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !over.Load() {
			if os.Rename(path, away) == nil {
				_ = os.Symlink(victim, path) // or Listen was quicker
			}
		}
	})
	for range 300 {
		if l, err := Listen(dir); err == nil {
			_ = l.Close() // there may be nothing to remove
		}
		_ = os.Remove(path)
	}
	over.Store(true)
	wg.Wait()
	if fi, err := os.Stat(victim); err != nil || fi.Mode() != 0o644 {
		t.Errorf("the file elsewhere has mode %v, %v", fi.Mode(), err)
	}
}

func TestAuditLogIsNotLedElsewhere(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	const text = "another's\n"
	if err := os.WriteFile(elsewhere, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "none")
	for what, c := range map[string]struct {
		make func(path string) error
		want string
	}{
		"link":             {func(path string) error { return os.Symlink(elsewhere, path) }, "it is a symbolic link, which is not followed: move it away"},
		"dangling link":    {func(path string) error { return os.Symlink(none, path) }, "it is a symbolic link, which is not followed: move it away"},
		"another name":     {func(path string) error { return os.Link(elsewhere, path) }, "the file has another name elsewhere (a hard link): move it away"},
		"FIFO":             {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "it is no regular file: move it away"},
		"directory":        {func(path string) error { return os.Mkdir(path, 0o700) }, "it is no regular file: move it away"},
		"link to a device": {func(path string) error { return os.Symlink(os.DevNull, path) }, "it is a symbolic link, which is not followed: move it away"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, AuditName)
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			a := NewAudit(dir, time.Now)
			if err := a.Append(Entry{Action: "a"}); err == nil || err.Error() != "audit log "+path+": "+c.want {
				t.Errorf("%v", err)
			}
			if got, err := os.ReadFile(elsewhere); err != nil || string(got) != text {
				t.Errorf("the other file has %q, %v", got, err)
			}
			if _, err := os.Lstat(none); err == nil {
				t.Error("a file was made elsewhere")
			}
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
			if err := a.Append(Entry{Action: "b"}); err != nil || len(auditLines(t, dir)) != 1 {
				t.Errorf("after it was moved away: %v", err)
			}
		})
	}
}

func TestAuditLogOfAnotherUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), AuditName)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkOwn(fi, os.Geteuid()); err != nil {
		t.Error(err)
	}
	if err := checkOwn(fi, os.Geteuid()+1); err == nil || !strings.Contains(err.Error(), "and not to user ") {
		t.Errorf("%v", err)
	}
}
