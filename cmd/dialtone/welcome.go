package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"dialtone/config"
)

// welcome is what the built-in default says when it serves: what it is, what it
// lets whom do, and the lines to try.
func welcome(conf *config.Config, addrs []netip.AddrPort) string {
	zone := conf.Zones[0]
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	try := addrs[0].Addr()
	if try.IsUnspecified() {
		try = netip.MustParseAddr("127.0.0.1")
	}
	port, number := addrs[0].Port(), "5551234."+zone.Name.String()
	return fmt.Sprintf(`dialtone serves %[1]s on %[2]s (UDP and TCP).
This is the built-in default, for trying out. For everything else: dialtone serve --config FILE

  data      %[3]s
  access    updates and transfers need no signature, and only this machine may make them
  TTLs      an update's TTLs are capped at %[4]d s

Register a number, with this program or with any other that speaks RFC 2136:
  %[8]s register 5551234 --server %[9]s
  printf 'server %[5]s %[6]d\nzone %[1]s\nupdate delete %[7]s A\nupdate add %[7]s 60 A 192.0.2.17\nsend\n' | nsupdate

Look it up:
  %[8]s lookup 5551234 --server %[9]s
  dig @%[5]s -p %[6]d %[7]s A +short

Ctrl-C stops the server. What it has acknowledged is kept.
`, zone.Name, strings.Join(texts, " and "), conf.DataDir, zone.MaxTTL, try, port, number, os.Args[0], netip.AddrPortFrom(try, port))
}
