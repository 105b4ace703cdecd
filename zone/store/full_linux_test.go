package store

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"dialtone/zone/rr"
)

// TestFullDisk fills a real file system: writes are refused, reads go on, the
// process lives, and once there is room everything works again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=40m")
	if errors.Is(err, syscall.EPERM) && os.Getenv(inNamespace) == "" {
		runInNamespace(t)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	data, filler := filepath.Join(dir, "data"), filepath.Join(dir, "filler")
	s := openStore(t, testOptions(data))
	z := openZone(t, s, apex)
	seed(t, z, 1)
	fill(t, filler, 16<<20)
	serial, used := uint32(1), 0
	for ; err == nil; serial++ { // new numbers, so that compactions gain nothing
		err = z.Commit(change(z, serial, serial+1, used, 1000, 1))
		used += 1000
	}
	serial-- // the one that failed
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if err := s.db.Flatten(1); err != nil { // nothing is being written any more
		t.Fatal(err)
	}
	z = openZone(t, s, apex)
	fill(t, filler, 64<<20) // somebody takes the rest
	if err := z.Commit(change(z, serial, serial+1, 0, 1, 1)); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if err := z.Repair([]OwnedRRset{soaSet(serial)}, Held{}, serial+1); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	check(t, z)
	if _, err := Open(testOptions(data)); err == nil {
		t.Error("opened on a full file system")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	undo := []OwnedRRset{soaSet(serial)}
	for i := used - 1000; i < used; i++ {
		undo = append(undo, OwnedRRset{number(i), rr.RRset{Type: typeA}})
	}
	if err := repair(z, undo, Held{}, serial+1); err != nil {
		t.Fatal(err)
	}
	commit(t, z, change(z, serial, serial+2, 0, 1, 1))
	check(t, z)
	check(t, openZone(t, reopen(t, s), apex))
}

// inNamespace marks a test process that may mount.
const inNamespace = "DIALTONE_TEST_NAMESPACE"

// runInNamespace runs the test again as the root of a user namespace.
func runInNamespace(t *testing.T) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in a user namespace: %v\n%s", err, out)
	}
}

// fill writes up to size octets, as many as there is room for.
func fill(t *testing.T, name string, size int) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for range size / len(block) {
		if _, err := f.Write(block); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			return
		}
	}
}
