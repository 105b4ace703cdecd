package peertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// debianPackage names where a program comes from.
func debianPackage(program string) string {
	switch program {
	case "named":
		return "bind9"
	case "promtool":
		return "prometheus"
	case "dnssec-keygen", "dnstap-read", "named-checkzone":
		return "bind9-utils"
	case "dig", "nsupdate", "delv":
		return "bind9-dnsutils"
	case "knotd":
		return "knot"
	case "kdig", "knsupdate":
		return "knot-dnsutils"
	case "systemd-analyze":
		return "systemd"
	case "drill":
		return "ldnsutils"
	case "dnsmasq":
		return "dnsmasq-base"
	case "dhclient":
		return "isc-dhcp-client"
	case "dhcpd":
		return "isc-dhcp-server"
	case "sipp":
		return "sip-tester"
	case "node":
		return "nodejs"
	case "ip", "ss":
		return "iproute2"
	case "nice":
		return "coreutils"
	case "getent":
		return "libc-bin"
	case "nsenter", "setpriv", "unshare":
		return "util-linux"
	case "mkfs.ext4", "e2fsck":
		return "e2fsprogs"
	default:
		return program
	}
}

// Program finds an installed program, in the sbin directories too, which are not on everyone's PATH.
func Program(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: apt-get install %s (make test does it)", name, debianPackage(name))
	return ""
}

// Daemon is Program for servers. Where AppArmor confines the installed file to its own directories, a copy
// at another path is free to read the test's.
func Daemon(t testing.TB, name, dir string) string {
	t.Helper()
	path := Program(t, name)
	state, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	if err != nil || strings.TrimSpace(string(state)) != "Y" {
		return path
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, name)
	if err := os.WriteFile(copied, body, 0o755); err != nil {
		t.Fatal(err)
	}
	return copied
}

// built is the one binary of a test run: the only state here that outlives a test, with the ports.
type built struct {
	once sync.Once
	path string
	err  error
}

var theBinary built

// Binary builds dialtone once per test run. DIALTONE_TEST_RACE=1 builds it with the race detector,
// DIALTONE_TEST_BINARY names one that is built already.
func Binary(t testing.TB) string {
	t.Helper()
	theBinary.once.Do(func() { theBinary.path, theBinary.err = build() })
	if theBinary.err != nil {
		t.Fatal(theBinary.err)
	}
	return theBinary.path
}

func build() (string, error) {
	if path := os.Getenv("DIALTONE_TEST_BINARY"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "dialtone-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "dialtone")
	args := []string{"build", "-o", path}
	if os.Getenv("DIALTONE_TEST_RACE") != "" {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "dialtone/cmd/dialtone")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building dialtone: %v\n%s", err, out)
	}
	return path, nil
}

// Cleanup removes what Binary and StartFlood left; for TestMain.
func Cleanup() {
	if floodProgram.path != "" {
		_ = os.RemoveAll(filepath.Dir(floodProgram.path))
	}
	if theBinary.path != "" && os.Getenv("DIALTONE_TEST_BINARY") == "" {
		_ = os.RemoveAll(filepath.Dir(theBinary.path))
	}
}

// ports remembers what was handed out, for a port is free again while its program is being started.
type ports struct {
	mu struct {
		sync.Mutex
		used map[int]bool
	}
}

var handedOut ports

// Port gives a port that is free on 127.0.0.1 and ::1 for both UDP and TCP. It is below the kernel's range for
// outgoing connections, so nothing else takes it by chance.
func Port(t testing.TB) int {
	t.Helper()
	handedOut.mu.Lock()
	defer handedOut.mu.Unlock()
	if handedOut.mu.used == nil {
		handedOut.mu.used = map[int]bool{}
	}
	for range 1000 {
		port := 12000 + rand.IntN(18000)
		if !handedOut.mu.used[port] && free(port) {
			handedOut.mu.used[port] = true
			return port
		}
	}
	t.Fatal("no free port found")
	return 0
}

func free(port int) bool {
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		addr := fmt.Sprintf("%s:%d", host, port)
		// A machine without IPv6 gives another error than a port that is taken.
		l, err := net.Listen("tcp", addr)
		if errors.Is(err, syscall.EADDRINUSE) {
			return false
		}
		if err == nil {
			_ = l.Close()
		}
		c, err := net.ListenPacket("udp", addr)
		if errors.Is(err, syscall.EADDRINUSE) {
			return false
		}
		if err == nil {
			_ = c.Close()
		}
	}
	return true
}
