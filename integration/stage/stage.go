package stage

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"dialtone/integration/peertest"
)

// Addresses of those that keep theirs. Phones have theirs from the provider's pool in 198.51.100.0/24.
const (
	CallerAddr    = "192.0.2.10"
	ServerAddr    = "192.0.2.53"
	ResolverAddr  = "192.0.2.54"
	SecondaryAddr = "192.0.2.55"

	fixedNet, fixedGateway = "fixed", "192.0.2.1"
	phoneNet, phoneGateway = "phones", "198.51.100.1"
	poolFirst, poolLast    = "198.51.100.100", "198.51.100.107"
	shortestLease          = "120" // seconds; dnsmasq gives none that is shorter
)

// Zone is where the numbers are.
const Zone = "phones.example."

// TTL is for how many seconds resolvers may keep what the zone says, and what it does not: short, for tests wait for it.
const TTL = 1

// Stage is a provider's network that links the hosts put on it: those with fixed addresses, and phones.
type Stage struct {
	Provider *Host // routes between the two networks

	// Resolver is the address that phones are told to ask, and that fixed hosts ask, from then on. It is the number server's at first.
	Resolver string

	hosts int // so far
	dhcp  *peertest.Process
}

// New makes the provider's router. It serves nothing yet.
func New(t testing.TB) *Stage {
	t.Helper()
	s := &Stage{Resolver: ServerAddr}
	s.Provider = newHost(t, "provider", nil)
	// Bridges without an address of their own change it when ports come, and neighbours lose their way.
	s.Provider.IP(t,
		"link add name "+fixedNet+" address 02:00:00:00:01:01 type bridge",
		"link add name "+phoneNet+" address 02:00:00:00:02:01 type bridge",
		"addr add "+fixedGateway+"/24 dev "+fixedNet,
		"addr add "+phoneGateway+"/24 dev "+phoneNet,
		"link set dev "+fixedNet+" up",
		"link set dev "+phoneNet+" up")
	s.Provider.Must(t, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	return s
}

// Alone makes a host that is on no stage: it has loopback, with all ports, and a name server to ask.
func Alone(t testing.TB, name, nameserver string) *Host {
	t.Helper()
	h := newHost(t, name, nil)
	h.resolve(t, nameserver)
	return h
}

// Pair makes two hosts with nothing but a cable, from eth0 to eth0.
func Pair(t testing.TB, one, other string) (*Host, *Host) {
	t.Helper()
	a := newHost(t, one, nil)
	b := newHost(t, other, a)
	a.IP(t, "link add name eth0 type veth peer name eth0 netns "+strconv.Itoa(b.pid), "link set dev eth0 up")
	b.IP(t, "link set dev eth0 up")
	return a, b
}

// Fixed puts a host with an address of its own on the stage.
func (s *Stage) Fixed(t testing.TB, name, address string) *Host {
	t.Helper()
	h := s.host(t, name, fixedNet)
	h.Addr = address
	h.IP(t, "addr add "+address+"/24 dev eth0", "route add default via "+fixedGateway)
	h.resolve(t, s.Resolver)
	return h
}

// host makes a host with one link, eth0, to a network of the provider.
func (s *Stage) host(t testing.TB, name, network string) *Host {
	t.Helper()
	s.hosts++
	port := fmt.Sprintf("port%d", s.hosts)
	h := newHost(t, name, s.Provider)
	h.MAC = fmt.Sprintf("02:00:00:00:00:%02x", s.hosts)
	s.Provider.IP(t,
		"link add name "+port+" type veth peer name eth0 address "+h.MAC+" netns "+strconv.Itoa(h.pid),
		"link set dev "+port+" master "+network+" up")
	h.IP(t, "link set dev eth0 up")
	return h
}

// Host is a machine: a network namespace, and a mount namespace with a resolv.conf of its own.
type Host struct {
	Name string
	Addr string // IPv4; empty while a phone has none
	MAC  string // of its link
	Dir  string // for files of its programs

	enter []string // the command that runs others on the host
	pid   int      // of the process that keeps the namespaces
}

// withParent makes a program end with the test's process, whatever ends that.
var withParent = []string{"setpriv", "--pdeathsig", "KILL"}

// newHost makes a host. Within is the one in whose user namespace it is to be, if there is any.
func newHost(t testing.TB, name string, within *Host) *Host {
	t.Helper()
	h := &Host{Name: name, Dir: t.TempDir()}
	conf := peertest.Write(t, h.Dir, "resolv.conf", "")
	argv := append([]string{}, withParent...)
	user := []string{}
	if os.Geteuid() != 0 { // root of a user namespace will do, where the kernel lets others have one
		if user = []string{"--user", "--preserve-credentials"}; within == nil {
			argv = append(argv, "unshare", "--map-root-user", "--net", "--mount")
		} else {
			argv = append(argv, "nsenter", "--target", strconv.Itoa(within.pid), "--user", "--preserve-credentials", "unshare", "--net", "--mount")
		}
	} else {
		argv = append(argv, "unshare", "--net", "--mount")
	}
	argv = append(argv, "sh", "-c", `mount --bind "$0" /etc/resolv.conf && echo && exec sleep infinity`, conf)
	keeper := exec.Command(argv[0], argv[1:]...)
	keeper.Dir, keeper.Stderr = h.Dir, os.Stderr
	said, err := keeper.StdoutPipe()
	if err == nil {
		err = keeper.Start()
	}
	if err != nil {
		t.Fatalf("namespaces of %s: %v", name, err)
	}
	t.Cleanup(func() { _ = keeper.Process.Kill(); _ = keeper.Wait() })
	if _, err := said.Read(make([]byte, 1)); err != nil {
		t.Fatalf("namespaces of %s: unshare makes none (%v): it wants root, in a container one that is privileged, or a kernel that lets others have them", name, err)
	}
	h.pid = keeper.Process.Pid
	h.enter = append(append(append([]string{}, withParent...), "nsenter", "--target", strconv.Itoa(h.pid), "--net", "--mount", "--wd"), user...)
	h.IP(t, "link set dev lo up")
	return h
}

// Inside gives the command line that runs a program on the host. It is one process in the end: signals reach the program.
func (h *Host) Inside(argv ...string) []string {
	return append(append([]string{}, h.enter...), argv...)
}

// Start runs a program on the host until the test ends.
func (h *Host) Start(t testing.TB, argv ...string) *peertest.Process {
	t.Helper()
	return peertest.Start(t, filepath.Base(argv[0])+" on "+h.Name, h.Dir, h.Inside(argv...)...)
}

// Run runs a program on the host to its end.
func (h *Host) Run(t testing.TB, argv ...string) peertest.Result {
	t.Helper()
	return peertest.Run(t, h.Dir, "", h.Inside(argv...)...)
}

// Must is Run of what has to succeed. It gives what was printed.
func (h *Host) Must(t testing.TB, argv ...string) string {
	t.Helper()
	r := h.Run(t, argv...)
	if r.Code != 0 {
		t.Fatalf("%s: %s: exit code %d\n%s%s", h.Name, strings.Join(argv, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// IP runs commands of ip(8) in the host's namespace.
func (h *Host) IP(t testing.TB, commands ...string) {
	t.Helper()
	if r := peertest.Run(t, h.Dir, strings.Join(commands, "\n")+"\n", h.Inside(peertest.Program(t, "ip"), "-batch", "-")...); r.Code != 0 {
		t.Fatalf("%s: ip: exit code %d\n%s%s\n%s", h.Name, r.Code, r.Stdout, r.Stderr, strings.Join(commands, "\n"))
	}
}

// resolve makes the host's programs ask a name server.
func (h *Host) resolve(t testing.TB, server string) {
	t.Helper()
	// In place: programs have the file mounted.
	peertest.Write(t, h.Dir, "resolv.conf", "nameserver "+server+"\n")
}
