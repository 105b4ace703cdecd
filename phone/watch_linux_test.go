package phone

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const inNamespace = "DIALTONE_TEST_IN_NAMESPACE"

// TestWatchAddresses runs itself once more in a network namespace of its own, where it may change an interface.
func TestWatchAddresses(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWatchAddresses$", "-test.count=1")
		again.Env = append(os.Environ(), inNamespace+"=1")
		again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if id := os.Geteuid(); id != 0 {
			again.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			again.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: id, Size: 1}}
		}
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("in a network namespace: %v\n%s", err, out)
		}
		return
	}
	changes := watchAddresses(t.Context())
	told := func(what string) {
		t.Helper()
		select {
		case <-changes:
		case <-time.After(30 * time.Second):
			t.Fatal(what + ", and nobody tells")
		}
	}
	told("it listens")
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, flags := range []uint16{unix.IFF_UP, 0} {
		lo, err := unix.NewIfreq("lo")
		if err != nil {
			t.Fatal(err)
		}
		lo.SetUint16(flags)
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
			t.Fatal(err)
		}
		told("lo goes up or down")
	}
}
