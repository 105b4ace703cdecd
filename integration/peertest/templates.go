package peertest

import (
	"fmt"
	"strings"
)

// BINDSecondary is a named.conf for a secondary of one zone. A key, when given, signs transfers and is wanted on NOTIFY.
func BINDSecondary(zone, primary string, key *Key) string {
	host, port := split(primary)
	from, keys := fmt.Sprintf("%s port %s", host, port), ""
	if key != nil {
		from += " key " + quote(key.Name)
		keys = bindKey(key)
	}
	return keys + bindOptions + fmt.Sprintf(`
zone %s { type secondary; file "DIR/zone.db"; primaries { %s; }; masterfile-format text; notify no; allow-notify { 127.0.0.1; };
	max-refresh-time 3600; min-refresh-time 3600; };
`, quote(zone), from)
}

// ZoneFile is the name of a zone's master file in a server's directory.
func ZoneFile(zone string) string { return "db." + zone }

// BINDPrimary is a named.conf for a primary that takes unsigned updates of zones in files that ZoneFile names. Its
// limits are off, and its checks of what an update brings too: they are local policy.
func BINDPrimary(zones ...string) string {
	var b strings.Builder
	b.WriteString(bindOptions)
	for _, zone := range zones {
		fmt.Fprintf(&b, `
zone %s { type primary; file "DIR/%s"; allow-update { 127.0.0.1; }; notify no; check-names ignore; check-mx ignore;
	check-integrity no; max-records-per-type 0; max-types-per-name 0; };
`, quote(zone), ZoneFile(zone))
	}
	return b.String()
}

const bindOptions = `
options { directory "DIR"; listen-on port PORT { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile none;
	recursion no; dnssec-validation no; allow-transfer { any; }; allow-query { any; }; empty-zones-enable no;
	serial-query-rate 1000; transfers-in 100; transfers-per-ns 100; };
controls { };
`

func bindKey(k *Key) string {
	return fmt.Sprintf("key %s { algorithm %s; secret %s; };\n", quote(k.Name), k.Algorithm, quote(k.Secret))
}

// KnotSecondary is a knot.conf for a secondary of one zone.
func KnotSecondary(zone, primary string, key *Key) string {
	host, port := split(primary)
	keys, remoteKey, aclKey := "", "", ""
	if key != nil {
		keys = fmt.Sprintf("key:\n  - id: %s\n    algorithm: %s\n    secret: %s\n", key.Name, key.Algorithm, key.Secret)
		remoteKey, aclKey = "\n    key: "+key.Name, "\n    key: "+key.Name
	}
	return knotServer + keys + fmt.Sprintf(`
remote:
  - id: primary
    address: %s@%s%s
acl:
  - id: notify
    address: 127.0.0.1%s
    action: notify
  - id: copy
    address: 127.0.0.1
    action: transfer
zone:
  - domain: %s
    storage: DIR
    file: zone.db
    master: primary
    acl: [notify, copy]
    zonefile-sync: -1
`, host, port, remoteKey, aclKey, zone)
}

// KnotPrimary is a knot.conf for a primary that takes unsigned updates of zones in files that ZoneFile names.
func KnotPrimary(zones ...string) string {
	var b strings.Builder
	b.WriteString(knotServer + `
acl:
  - id: local
    address: 127.0.0.1
    action: [update, transfer]
zone:
`)
	for _, zone := range zones {
		fmt.Fprintf(&b, `
  - domain: %s
    storage: DIR
    file: %s
    acl: local
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: changes
    semantic-checks: off
`, zone, ZoneFile(zone))
	}
	return b.String()
}

const knotServer = `
server:
    rundir: DIR
    listen: 127.0.0.1@PORT
    tcp-workers: 1
    udp-workers: 1
    background-workers: 8
database:
    storage: DIR
    journal-db-mode: asynchronous
    journal-db-max-size: 64M
    timer-db-max-size: 8M
    kasp-db-max-size: 8M
    catalog-db-max-size: 8M
control:
    listen: DIR/knot.sock
log:
  - target: stderr
    any: info
`

// NSDSecondary is an nsd.conf for a secondary of one zone.
func NSDSecondary(zone, primary string, key *Key) string {
	host, port := split(primary)
	keys, name := "", "NOKEY"
	if key != nil {
		name = key.Name
		keys = fmt.Sprintf("key:\n    name: %q\n    algorithm: %s\n    secret: %q\n", key.Name, key.Algorithm, key.Secret)
	}
	return nsdServer + keys + fmt.Sprintf(`
zone:
    name: %q
    zonefile: DIR/zone.db
    allow-notify: 127.0.0.1 %s
    request-xfr: %s@%s %s
    provide-xfr: 127.0.0.1 NOKEY
`, zone, name, host, port, name)
}

// NSDPrimary is an nsd.conf for a primary of a zone in a file that ZoneFile names.
func NSDPrimary(zone string) string {
	return nsdServer + fmt.Sprintf(`
zone:
    name: %q
    zonefile: DIR/%s
    provide-xfr: 127.0.0.1 NOKEY
`, zone, ZoneFile(zone))
}

const nsdServer = `
server:
    ip-address: 127.0.0.1@PORT
    username: ""
    chroot: ""
    zonesdir: DIR
    database: ""
    pidfile: DIR/nsd.pid
    xfrdfile: DIR/xfrd.state
    xfrdir: DIR
    zonelistfile: DIR/zone.list
    server-count: 1
    verbosity: 2
    xfrd-reload-timeout: 1
    zonefiles-check: no
    zonefiles-write: 0
remote-control:
    control-enable: no
`

func split(addr string) (host, port string) {
	i := strings.LastIndexByte(addr, ':')
	return addr[:i], addr[i+1:]
}

func quote(s string) string { return `"` + s + `"` }
