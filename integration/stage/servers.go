package stage

import (
	"fmt"
	"strings"
	"testing"

	"dialtone/integration/peertest"
)

// Server is a name server on a host.
type Server struct {
	*Host
	*peertest.Process

	argv []string
}

// Restart starts the server again after Stop or Kill, on the same data.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Process = s.Host.serve(t, s.argv...).Process
}

// DHCPKey is the key that the provider's DHCP server has.
const DHCPKey = "dhcp.key."

// NumberServer puts the server on the stage that keeps the table from number to address: dialtone, at ServerAddr. Each of the
// numbers has its key, which changes its own number only. More is lines for the zone in its configuration.
func (s *Stage) NumberServer(t testing.TB, numbers []string, more ...string) *Server {
	t.Helper()
	h := s.Fixed(t, "dialtone", ServerAddr)
	var b strings.Builder
	fmt.Fprintf(&b, "listen: [%q]\ndata_dir: %s/data\nkeys:\n", ServerAddr+":53", h.Dir)
	names := []string{DHCPKey}
	for _, n := range numbers {
		names = append(names, n+"."+Zone)
	}
	for _, name := range names {
		k := Key(name)
		fmt.Fprintf(&b, "  - {name: %s, algorithm: %s, secret: %q}\n", k.Name, k.Algorithm, k.Secret)
	}
	fmt.Fprintf(&b, `zones:
  - name: %s
    file: zone
    max_ttl: %d
    notify: ["%s:53"]
    acl:
      - {key: %s, action: update, numbers: ["5550000-5559999"], update_type: [A, AAAA, DHCID, TXT]}
      - {key: "*", action: update, self_number: true, source_address: true, max_records: 8}
      - {address: [%s/32, %s/32], action: transfer}
`, Zone, TTL, SecondaryAddr, DHCPKey, SecondaryAddr, ServerAddr)
	for _, line := range more {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	peertest.Write(t, h.Dir, "zone", fmt.Sprintf("$TTL %d\n@ SOA ns1 hostmaster 1 3600 900 604800 %d\n@ NS ns1\nns1 A %s\n", TTL, TTL, ServerAddr))
	config := peertest.Write(t, h.Dir, "dialtone.yaml", b.String())
	return h.serve(t, peertest.Binary(t), "serve", "--config", config)
}

// Secondary puts NSD on the stage, at SecondaryAddr, which follows the number server by NOTIFY and IXFR.
func (s *Stage) Secondary(t testing.TB) *Server {
	t.Helper()
	h := s.Fixed(t, "nsd", SecondaryAddr)
	config := peertest.Write(t, h.Dir, "nsd.conf", fmt.Sprintf(`server:
    ip-address: %[1]s
    username: ""
    chroot: ""
    zonesdir: %[2]s
    database: ""
    pidfile: ""
    xfrdfile: %[2]s/xfrd.state
    xfrdir: %[2]s
    zonelistfile: %[2]s/zone.list
    server-count: 1
    verbosity: 2
    xfrd-reload-timeout: 0
    zonefiles-write: 0
remote-control:
    control-enable: no
zone:
    name: %[3]s
    zonefile: zone
    allow-notify: %[4]s NOKEY
    request-xfr: %[4]s NOKEY
`, SecondaryAddr, h.Dir, Zone, ServerAddr))
	return h.serve(t, peertest.Daemon(t, "nsd", h.Dir), "-d", "-c", config)
}

// RecursiveResolver puts unbound on the stage, at ResolverAddr. Numbers it asks of the server at the address given. Hosts that
// are put on the stage later, and phones that connect later, ask it for everything.
func (s *Stage) RecursiveResolver(t testing.TB, authority string) *Server {
	t.Helper()
	s.Resolver = ResolverAddr
	h := s.Fixed(t, "unbound", ResolverAddr)
	config := peertest.Write(t, h.Dir, "unbound.conf", fmt.Sprintf(`server:
    interface: %[1]s
    access-control: 0.0.0.0/0 allow
    do-ip6: no
    num-threads: 1
    username: ""
    chroot: ""
    directory: %[2]s
    pidfile: ""
    use-syslog: no
    module-config: "iterator"
remote-control:
    control-enable: no
stub-zone:
    name: %[3]s
    stub-addr: %[4]s
`, ResolverAddr, h.Dir, Zone, authority))
	return h.serve(t, peertest.Daemon(t, "unbound", h.Dir), "-d", "-c", config)
}

// serve starts a name server and waits until it answers for the zone.
func (h *Host) serve(t testing.TB, argv ...string) *Server {
	t.Helper()
	p := h.Start(t, argv...)
	p.Ready(t, func() error {
		r := h.Run(t, peertest.Program(t, "dig"), "@"+h.Addr, "+short", "+time=1", "+tries=1", Zone, "SOA")
		if r.Code != 0 || !strings.HasPrefix(r.Stdout, "ns1."+Zone) {
			return fmt.Errorf("dig: %s%s", r.Stdout, r.Stderr)
		}
		return nil
	})
	return &Server{h, p, argv}
}
