package stage

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"dialtone/integration/peertest"
)

// DHCP makes the provider give addresses of its pool to phones that connect, by dnsmasq. One that is given back may go to
// the next who asks for it.
func (s *Stage) DHCP(t testing.TB) {
	t.Helper()
	dir := s.Provider.Dir
	s.dhcp = s.Provider.Start(t, peertest.Daemon(t, "dnsmasq", dir), "--no-daemon", "--conf-file=/dev/null", "--port=0",
		"--interface="+phoneNet, "--bind-interfaces", "--no-ping", "--dhcp-authoritative", "--pid-file=",
		"--dhcp-leasefile="+dir+"/leases", "--dhcp-range="+poolFirst+","+poolLast+","+shortestLease,
		"--dhcp-option=option:dns-server,"+s.Resolver)
	s.dhcp.Says(t, "sockets bound exclusively")
}

// StopDHCP makes the provider give no addresses any more.
func (s *Stage) StopDHCP(t testing.TB) {
	t.Helper()
	s.dhcp.Stop(t)
}

// InPool tells whether an address is one of those that the provider gives.
func InPool(a netip.Addr) bool {
	return netip.MustParseAddr(poolFirst).Compare(a) <= 0 && a.Compare(netip.MustParseAddr(poolLast)) <= 0
}

// Leases gives what the provider's own table says: which phone, by its hardware address, has which address.
func (s *Stage) Leases(t testing.TB) map[string]string {
	t.Helper()
	text, err := os.ReadFile(s.Provider.Dir + "/leases")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]string{}
	for line := range strings.Lines(string(text)) {
		// End of the lease, hardware address, address, name, client identifier.
		if f := strings.Fields(line); len(f) >= 3 {
			table[f[1]] = f[2]
		}
	}
	return table
}

// UpdatingDHCP makes the provider give addresses by ISC dhcpd instead, which registers the numbers of the phones that it knows
// by their hardware address. The style is that of the records that tell other DHCP servers whose a name is: standard (DHCID)
// or interim (TXT).
func (s *Stage) UpdatingDHCP(t testing.TB, style string, phones ...*Phone) {
	t.Helper()
	dir := s.Provider.Dir
	key := Key(DHCPKey)
	var b strings.Builder
	fmt.Fprintf(&b, `ping-check false;
ddns-updates on;
ddns-update-style %s;
update-static-leases on;
ignore client-updates;
ddns-domainname %q;
ddns-ttl %d;
default-lease-time %s;
key %s { algorithm %s; secret %s; };
zone %s { primary %s; key %s; }
subnet 198.51.100.0 netmask 255.255.255.0 {
	range %s %s;
	option routers %s;
	option domain-name-servers %s;
}
`, style, Zone, TTL, shortestLease, key.Name, key.Algorithm, key.Secret, Zone, ServerAddr, key.Name, poolFirst, poolLast, phoneGateway, s.Resolver)
	for _, p := range phones {
		fmt.Fprintf(&b, "host %s { hardware ethernet %s; ddns-hostname %q; }\n", p.Name, p.MAC, p.Number)
	}
	config := peertest.Write(t, dir, "dhcpd.conf", b.String())
	leases := peertest.Write(t, dir, "dhcpd.leases", "")
	s.dhcp = s.Provider.Start(t, peertest.Daemon(t, "dhcpd", dir), "-f", "-d", "-4", "--no-pid", "-cf", config, "-lf", leases, phoneNet)
	s.dhcp.Says(t, "Server starting service.")
}
