package peertest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// OnOwnDisk starts dialtone like Dialtone, with DIR/data on a file system of its own, in memory, of that many MiB,
// which nobody else sees. InNamespace works on it.
func OnOwnDisk(t testing.TB, zone, config string, files map[string]string, mebibytes int) *Server {
	t.Helper()
	return onOwnDisk(t, zone, config, files, fmt.Sprintf("-t tmpfs -o size=%dm none", mebibytes), "")
}

// OnOwnImage is OnOwnDisk with ext4 in the file DIR/image, which becomes read-only at the first error. It takes root.
func OnOwnImage(t testing.TB, zone, config string, files map[string]string, mebibytes int) *Server {
	t.Helper()
	return onOwnDisk(t, zone, config, files, "-o loop,errors=remount-ro image",
		fmt.Sprintf("truncate -s %dM image && %s -q image && ", mebibytes, Program(t, "mkfs.ext4")))
}

// onOwnDisk makes the file system and mounts it; after a Restart it mounts it only.
func onOwnDisk(t testing.TB, zone, config string, files map[string]string, what, first string) *Server {
	t.Helper()
	s := NewDialtone(t, config, files)
	s.zone = dns.Fqdn(zone)
	data := filepath.Join(s.Dir, "data")
	if err := os.Mkdir(data, 0o750); err != nil {
		t.Fatal(err)
	}
	unshare := []string{Program(t, "unshare"), "--mount"}
	if os.Getuid() != 0 {
		unshare = append(unshare, "--map-root-user")
	}
	serve := s.argv
	mount := fmt.Sprintf(`mount %s "$0" && exec "$@"`, what)
	s.argv = slices.Concat(unshare, []string{"sh", "-c", first + mount, data}, serve)
	s.launch(t)
	s.argv = slices.Concat(unshare, []string{"sh", "-c", mount, data}, serve)
	return s
}

// InNamespace runs a shell command where the server's file systems are, in the server's directory, and gives what it
// prints.
func (s *Server) InNamespace(t testing.TB, command string) string {
	t.Helper()
	enter := []string{Program(t, "nsenter"), "--target", strconv.Itoa(s.cmd.Process.Pid), "--mount"}
	if os.Getuid() != 0 {
		enter = append(enter, "--user", "--preserve-credentials")
	}
	r := Run(t, s.Dir, "", append(enter, "sh", "-ec", "cd "+s.Dir+"; "+command)...)
	if r.Code != 0 {
		t.Fatalf("%s: %d\n%s%s", command, r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// Fault makes system calls of the server fail until it is taken away.
type Fault struct{ strace *Process }

// Inject lets strace make system calls of the server fail: arguments are those of strace, such as
// "--inject=fsync:error=EIO".
func (s *Server) Inject(t testing.TB, args ...string) *Fault {
	t.Helper()
	argv := append([]string{Program(t, "strace"), "-f", "-o", "/dev/null", "-p", strconv.Itoa(s.cmd.Process.Pid)}, args...)
	f := &Fault{Start(t, "strace", s.Dir, argv...)}
	f.strace.Says(t, "attached")
	return f
}

// Stop takes the fault away, if the server has not ended, and strace with it.
func (f *Fault) Stop(t testing.TB) {
	t.Helper()
	_ = f.strace.cmd.Process.Signal(syscall.SIGTERM)
	f.strace.Wait(t)
}

// Status is what dialtone status says of this server.
func (s *Server) Status(t testing.TB) string {
	t.Helper()
	return s.InNamespace(t, Binary(t)+" status --config dialtone.yaml || true") // its exit code tells of faults
}
