package config

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"dialtone/zone/rr"
)

const whole = `listen: ["127.0.0.1:5300", "[::1]:5300"]
data_dir: /var/lib/dialtone
server_id: ns1
keys:
  - {name: admin.key., algorithm: hmac-sha256, secret: c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0}
  - {name: dhcp.key., algorithm: HMAC-SHA512., secret_file: dhcp.secret}
  - {name: 5551234.phones.example., algorithm: hmac-sha1, secret: c2VjcmV0}
zones:
  - name: phones.example.
    file: phones.example.zone
    max_ttl: 300
    acl:
      - {key: admin.key., action: [update, transfer]}
      - {key: "*", action: [update], update_owner: key, update_owner_match: sub-or-equal, update_type: [A, aaaa]}
      - {key: dhcp.key., action: update, update_owner: name, update_owner_match: pattern, update_owner_name: ["555????"]}
      - {address: [127.0.0.1/32, "::1/128", 192.0.2.7], action: [transfer]}
      - {deny: true}
    notify: ["127.0.0.1:5301", {address: "127.0.0.1:5302", key: admin.key.}]
    journal: {max_age: 168h, max_size: 1GiB}
limits: {tcp_idle: 20s, udp_size: 1400, udp_buffer: 8MiB, update_queue: 100}
log: {level: debug, format: json, query_sample: 1000}
metrics: {listen: "127.0.0.1:9153", zones: 50}
cookie_secrets: [000102030405060708090a0b0c0d0e0f, "E5E973E5A6B2A43F48E7DC849E37BFCF"]
cookies: true
`

// dir is a directory that holds what the file whole refers to.
func dir(t *testing.T) string {
	t.Helper()
	d := t.TempDir()
	secret := []byte("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\nc2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\n")
	if err := os.WriteFile(filepath.Join(d, "dhcp.secret"), secret, 0o600); err != nil {
		t.Fatal(err)
	}
	clause := []byte("key \"dhcp.key.\" {\n\talgorithm hmac-sha512;\n\tsecret \"c2VjcmV0\";\n};\n")
	if err := os.WriteFile(filepath.Join(d, "key.conf"), clause, 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEverySettingIsRead(t *testing.T) {
	d := dir(t)
	path := filepath.Join(d, "dialtone.yaml")
	if err := os.WriteFile(path, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].String(), "dialtone.yaml:7: keys[2]: the secret of 5551234.phones.example. has 6 octets, fewer than the 20 of hmac-sha1") {
		t.Errorf("warnings %v", c.Warnings)
	}
	if len(c.Keys) != 3 || c.Keys[1].Algorithm != "hmac-sha512" || len(c.Keys[1].Secret) != 78 || string(c.Keys[2].Secret) != "secret" {
		t.Errorf("keys %+v", c.Keys)
	}
	admin, dhcp := rr.MustName("admin.key."), rr.MustName("dhcp.key.")
	want := []Zone{{
		Name: rr.MustName("phones.example."), File: filepath.Join(d, "phones.example.zone"), MaxTTL: 300, Line: 9, AtFile: 10,
		ACL: []Rule{
			{Keys: []rr.Name{admin}, Actions: []string{"update", "transfer"}, Line: 13},
			{AnyKey: true, Actions: []string{"update"}, Owner: "key", Match: "sub-or-equal", Types: []string{"A", "AAAA"}, Line: 14},
			{Keys: []rr.Name{dhcp}, Actions: []string{"update"}, Owner: "name", Match: "pattern", OwnerNames: []string{"555????"}, Line: 15},
			{Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("192.0.2.7/32")}, Actions: []string{"transfer"}, Line: 16},
			{Deny: true, Line: 17},
		},
		Notify:  []Target{{Addr: netip.MustParseAddrPort("127.0.0.1:5301")}, {Addr: netip.MustParseAddrPort("127.0.0.1:5302"), Key: admin}},
		Journal: Journal{168 * time.Hour, 1 << 30},
	}}
	if !reflect.DeepEqual(c.Zones, want) {
		t.Errorf("zones\n%+v\nwant\n%+v", c.Zones, want)
	}
	if c.ServerID != "ns1" || c.DataDir != "/var/lib/dialtone" || len(c.Listen) != 2 || c.Listen[1] != netip.MustParseAddrPort("[::1]:5300") {
		t.Errorf("%+v", c)
	}
	if len(c.CookieSecrets) != 2 || c.CookieSecrets[0] != [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} || c.CookieSecrets[1][15] != 0xCF || c.NoCookies {
		t.Errorf("cookies %v %x", c.NoCookies, c.CookieSecrets)
	}
	if c.Limits != (Limits{TCPIdle: 20 * time.Second, UDPSize: 1400, UDPBuffer: 8 << 20, UpdateQueue: 100}) {
		t.Errorf("limits %+v", c.Limits)
	}
	if c.Log.Level.String() != "DEBUG" || !c.Log.JSON || c.Metrics.Listen.Port() != 9153 || c.Metrics.Zones != 50 {
		t.Errorf("%+v %+v", c.Log, c.Metrics)
	}
}

// faults gives the messages for text, which stands for the file d/f.
func faults(t *testing.T, d, text string) []string {
	t.Helper()
	_, err := LoadBytes([]byte(text), filepath.Join(d, "f"))
	if err == nil {
		return nil
	}
	var fs Faults
	if !errors.As(err, &fs) || len(fs) == 0 {
		t.Fatalf("%T %v", err, err)
	}
	return strings.Split(strings.ReplaceAll(err.Error(), d+"/", ""), "\n")
}

func TestFaults(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown at the top", "server_id:", "server-id:", "f:3: server-id: there is no such setting: did you mean server_id?"},
		{"unknown below", "max_ttl: 300", "zone-max-ttl: 300", "f:11: zones[0].zone-max-ttl: there is no such setting: did you mean max_ttl?"},
		{"unknown in a rule", "update_type:", "type_of_update:", "f:14: zones[0].acl[1].type_of_update: there is no such setting: here can be action, address, claim, deny, key, max_records, numbers, self_number, source_address, update_owner, update_owner_match, update_owner_name or update_type"},
		{"unknown limit", "udp_size", "udp_siez", "f:20: limits.udp_siez: there is no such setting: did you mean udp_size?"},
		{"misspelt is not missing too", "file: phones", "flie: phones", "f:10: zones[0].flie: there is no such setting: did you mean file?"},
		{"twice", "server_id: ns1", "server_id: ns1\nserver_id: ns2", "f:4: server_id: it is set twice (first at line 3): remove one"},
		{"not a list", "keys:\n  - {name: admin.key.,", "keys:\n    {name: admin.key.,", "f:5: this is not YAML: did not find expected key"},
		{"list wanted", whole[strings.Index(whole, "    acl:"):strings.Index(whole, "    notify:")], "    acl: none\n", `f:12: zones[0].acl: it wants a list, each item of which begins with "- ", not "none"`},
		{"section wanted", "journal: {max_age: 168h, max_size: 1GiB}", "journal: 168h", `f:19: zones[0].journal: it wants settings in the form "name: value", not "168h"`},
		{"number for text", `["555????"]`, "[555]", `f:15: zones[0].acl[2].update_owner_name[0]: YAML does not take "555" for a text: put it in quotes`},
		{"secret is not shown", "secret: c2VjcmV0}", "secret: 12345}", "f:7: keys[2].secret: YAML does not take this value for a text: put it in quotes"},
		{"text for number", "max_ttl: 300", "max_ttl: 5m", `f:11: zones[0].max_ttl: it wants a whole number, not "5m"`},
		{"octal number", "max_ttl: 300", "max_ttl: 0300", `f:11: zones[0].max_ttl: it wants a whole number, not "0300"`},
		{"max_ttl 0", "max_ttl: 300", "max_ttl: 0", `f:11: zones[0].max_ttl: "0" is not a number from 1 to 2147483647`},
		{"flag", "deny: true", "deny: maybe", `f:17: zones[0].acl[4].deny: it wants true or false, not "maybe"`},
		{"no value", "server_id: ns1", "server_id:", "f:3: server_id: it has no value: give it one, or remove the line"},
		{"no listen", `listen: ["127.0.0.1:5300", "[::1]:5300"]`, "", `f: listen: it is missing: say where to serve, as in listen: ["127.0.0.1:5300"]`},
		{"no port", `"[::1]:5300"`, `"::1"`, "f:1: listen[1]: ::1 has no port: write [::1]:53"},
		{"bad port", `"127.0.0.1:5300"`, `"127.0.0.1:70000"`, `f:1: listen[0]: "70000" is no port: it is a number from 1 to 65535`},
		{"no address", `"127.0.0.1:5300"`, `":5300"`, `f:1: listen[0]: ":5300" has no address: write 0.0.0.0:5300 for all IPv4 addresses of this machine, [::]:5300 for all of IPv6`},
		{"host name", `"127.0.0.1:5300"`, `"localhost:5300"`, `f:1: listen[0]: "localhost" is not an address: names are not looked up here, so write the address itself, as in 192.0.2.1:5300`},
		{"address twice", `"[::1]:5300"`, `"127.0.0.1:5300"`, "f:1: listen[1]: 127.0.0.1:5300 is listed twice: remove one"},
		{"address beside its wildcard", `"[::1]:5300"`, `"0.0.0.0:5300"`, "f:1: listen[0]: 127.0.0.1:5300 is part of 0.0.0.0:5300, which is listed too: remove one"},
		{"no data_dir", "data_dir: /var/lib/dialtone", "", "f: data_dir: it is missing: name the directory that keeps the zones, as in data_dir: /var/lib/dialtone"},
		{"bad name", "name: phones.example.", "name: phones..example.", `f:9: zones[0].name: "phones..example." is not a domain name: labels have 1 to 63 octets, names at most 255`},
		{"no file", "    file: phones.example.zone\n", "", "f:9: zones[0].file: it is missing: name the master file that the zone begins with"},
		{"key twice", "name: dhcp.key.", "name: ADMIN.key.", "f:6: keys[1].name: the key ADMIN.key. is defined twice (first at line 5): remove one|f:15: zones[0].acl[2].key: the key dhcp.key. is not in keys: add it there, or correct the name"},
		{"md5", "HMAC-SHA512.", "hmac-md5.sig-alg.reg.int.", "f:6: keys[1].algorithm: hmac-md5 is broken and not supported: make a new key with hmac-sha256"},
		{"algorithm", "HMAC-SHA512.", "sha512", `f:6: keys[1].algorithm: "sha512" is not known: write hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha384 or hmac-sha512`},
		{"algorithm misspelt", "HMAC-SHA512.", "hmac_sha512", `f:6: keys[1].algorithm: "hmac_sha512" is not known: did you mean hmac-sha512?`},
		{"no algorithm", "algorithm: HMAC-SHA512., ", "", "f:6: keys[1].algorithm: it is missing: write hmac-sha256, or the algorithm that the clients of the key use"},
		{"two secrets", "secret_file: dhcp.secret", "secret_file: dhcp.secret, secret: YQ==", "f:6: keys[1]: the key has secret and secret_file: remove one"},
		{"no secret", ", secret_file: dhcp.secret", "", "f:6: keys[1].secret: it is missing: add secret (base64) or secret_file (a file with it)"},
		{"unreadable secret", "dhcp.secret}", "none}", "f:6: keys[1].secret_file: the file cannot be read: open none: no such file or directory"},
		{"bad secret", "secret: c2VjcmV0}", "secret: hunter2}", `f:7: keys[2].secret: the secret is not base64: make one with "openssl rand -base64 32" or tsig-keygen`},
		{"key clause for a secret", "dhcp.secret}", "key.conf}", "f:6: keys[1].secret_file: this is all that tsig-keygen prints: only what stands in the quotes behind secret belongs into the file"},
		{"rule with an unknown key", "{key: admin.key., action", "{key: admni.key., action", "f:13: zones[0].acl[0].key: the key admni.key. is not in keys: did you mean admin.key.?"},
		{"notify with an unknown key", `5302", key: admin.key.`, `5302", key: k.`, "f:18: zones[0].notify[1].key: the key k. is not in keys: add it there, or correct the name"},
		{"key that nothing can use", "5551234.phones.example.,", "5551234.mobiles.example.,", "f:7: keys[2]: no acl rule and no notify can use the key 5551234.mobiles.example.: name it in one, or remove it"},
		{"zone twice", "limits:", "  - {name: PHONES.example., file: x}\nlimits:", "f:20: zones[1].name: the zone PHONES.example. is defined twice (first at line 9): remove one"},
		{"prefix", "127.0.0.1/32", "127.0.0.1/33", `f:16: zones[0].acl[3].address[0]: "127.0.0.1/33" is neither an address nor a network: write it as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32`},
		{"prefix with host bits", "127.0.0.1/32", "127.0.0.1/8", "f:16: zones[0].acl[3].address[0]: 127.0.0.1/8 has bits behind its length of 8: write 127.0.0.0/8 for the network, or 127.0.0.1 for the one address"},
		{"action", "action: [transfer]", "action: [tranfser]", `f:16: zones[0].acl[3].action[0]: "tranfser" is not known: did you mean transfer?`},
		{"query action", "action: [transfer]", "action: [query]", "f:16: zones[0].acl[3].action[0]: queries are answered to everybody: a rule can be for update or transfer"},
		{"no action", "deny: true", "address: 192.0.2.1", "f:17: zones[0].acl[4].action: it is missing: say what the rule allows, update, transfer or both"},
		{"restriction without update", `"::1/128", 192.0.2.7], action: [transfer]`, `"::1/128"], action: transfer, update_type: A`, "f:16: zones[0].acl[3].action: the rule has settings for updates, but update is not among its actions: add it, or remove them"},
		{"owner word", "update_owner: key", "update_owner: keys", `f:14: zones[0].acl[1].update_owner: "keys" is not known: did you mean key?`},
		{"match word", "sub-or-equal", "below", `f:14: zones[0].acl[1].update_owner_match: "below" is not known: write sub-or-equal, equal, sub or pattern`},
		{"owner name without names", `, update_owner_name: ["555????"]`, "", "f:15: zones[0].acl[2].update_owner: name needs update_owner_name: list the names that may be changed"},
		{"names without owner name", "update_owner: name, update_owner_match: pattern, ", "", "f:15: zones[0].acl[2].update_owner_name: names are compared only with update_owner: name, so add that"},
		{"owner key without key", `{key: "*", action: [update], update_owner: key`, "{action: [update], update_owner: key", "f:7: keys[2]: no acl rule and no notify can use the key 5551234.phones.example.: name it in one, or remove it|f:14: zones[0].acl[1].update_owner: key compares owners with the name of the key that signed, but the rule has no key: add key: \"*\" or a key's name"},
		{"pattern without name", "sub-or-equal", "pattern", "f:14: zones[0].acl[1].update_owner_match: a pattern stands in update_owner_name, so update_owner must be name"},
		{"name out of the zone", `update_owner_match: pattern, update_owner_name: ["555????"]`, `update_owner_name: [a.example.]`, "f:15: zones[0].acl[2].update_owner_name[0]: a.example. is not in the zone phones.example.: take the final dot away if it is meant to be below the zone"},
		{"type", "[A, aaaa]", "[A, AXFR]", `f:14: zones[0].acl[1].update_type[1]: "AXFR" is no record type: write A, AAAA and so on, TYPE123 for one without a name, or ANY for deleting all of a name`},
		{"duration", "168h", "168", `f:19: zones[0].journal.max_age: "168" is not a duration: write a number with a unit, as in 10s, 15m, 168h or 7d`},
		{"size", "1GiB", "1 giga", `f:19: zones[0].journal.max_size: "1 giga" is not a size: write octets or a unit, as in 64MiB or 1GiB`},
		{"notify port", `"127.0.0.1:5301"`, "127.0.0.1", "f:18: zones[0].notify[0]: 127.0.0.1 has no port: write 127.0.0.1:53"},
		{"notify twice", `"127.0.0.1:5301"`, `"127.0.0.1:5302"`, "f:18: zones[0].notify[1].address: 127.0.0.1:5302 is listed twice: remove one"},
		{"self_number without key", `{key: "*", action: [update], update_owner: key, update_owner_match: sub-or-equal`, "{action: [update], self_number: true", "f:7: keys[2]: no acl rule and no notify can use the key 5551234.phones.example.: name it in one, or remove it|f:14: zones[0].acl[1].self_number: it compares owners with the number of the key that signed, but the rule has no key: add key: \"*\" or a key's name"},
		{"self_number with another key", "{key: admin.key., action: [update, transfer]}", "{key: admin.key., action: [update, transfer], self_number: true}", "f:13: zones[0].acl[0].key: self_number is for keys that bear the name of a number, as 5551234.phones.example., and admin.key. does not"},
		{"no records", "deny: true", "action: update, max_records: 0", `f:17: zones[0].acl[4].max_records: "0" is not a number from 1 to 65535`},
		{"numbers without update", "action: [transfer]", `action: [transfer], numbers: "20*"`, "f:16: zones[0].acl[3].action: the rule has settings for updates, but update is not among its actions: add it, or remove them"},
		{"numbers without quotes", "deny: true", "action: update, numbers: [5551234]", `f:17: zones[0].acl[4].numbers[0]: YAML does not take "5551234" for a text: put it in quotes`},
		{"lease of no length", "journal: {", "lease: {min: 0s}\n    journal: {", `f:19: zones[0].lease.min: "0s" is not longer than zero`},
		{"lease with a part of a second", "journal: {", "lease: {default: 1500ms}\n    journal: {", "f:19: zones[0].lease.default: 1500ms is not of whole seconds, from 1s to 8784h0m0s"},
		{"lease longer than the longest", "journal: {", "lease: {default: 48h}\n    journal: {", "f:19: zones[0].lease.default: 48h0m0s is not between the shortest lease, 30s, and the longest, 24h0m0s"},
		{"shortest lease longer than the longest", "journal: {", "lease: {max: 10s}\n    journal: {", "f:19: zones[0].lease: the shortest lease, 30s, is longer than the longest, max 10s"},
		{"lease longer than that of keys", "journal: {", "lease: {max: 30d}\n    journal: {", "f:19: zones[0].lease.max: the longest lease, 720h0m0s, is longer than that of keys, key_max 168h0m0s: a key must keep its number for as long as it is registered"},
		{"late signatures", "name: admin.key., ", "name: admin.key., signed_late: 1h, ", "f:5: keys[0].signed_late: 1h is not of whole seconds, up to 10s"},
		{"claim without KEY", "deny: true", `key: "*", action: update, self_number: true, numbers: "2*", claim: first_come, update_type: A`, "f:17: zones[0].acl[4].claim: who claims a number brings a KEY record, and KEY is not among update_type: add it, or leave update_type out"},
		{"late signatures of a number", "name: 5551234.phones.example.,", "name: 5551234.phones.example., signed_late: 2s,", "f:7: keys[2].signed_late: it is for keys that several clients share, and 5551234.phones.example. is that of a number: remove it"},
		{"claim", "deny: true", "action: update, claim: first", `f:17: zones[0].acl[4].claim: "first" is not known: write provisioned or first_come`},
		{"limit that is too long", "udp_size: 1400", "commit_interval: 1h", "f:20: limits.commit_interval: 1h is longer than 1s, the most that it can be"},
		{"limit", "udp_size: 1400", "udp_size: 100", `f:20: limits.udp_size: "100" is not a number from 512 to 4096`},
		{"query sample", "query_sample: 1000", "query_sample: -1", `f:21: log.query_sample: "-1" is not a number from 0 to 1073741824`},
		{"dnstap without a place", "metrics:", "dnstap: {queries: true}\nmetrics:", "f:22: dnstap: it names neither socket nor file: name one of them"},
		{"dnstap of two places", "metrics:", "dnstap: {queries: true, socket: s, file: f}\nmetrics:", "f:22: dnstap.file: there is a socket too: name one of them"},
		{"dnstap of nothing", "metrics:", "dnstap: {socket: s, responses: true}\nmetrics:", "f:22: dnstap: neither queries nor updates are to be written: set one of them to true, or remove dnstap"},
		{"dnstap with a small queue", "metrics:", "dnstap: {socket: s, queries: true, queue: 1k}\nmetrics:", "f:22: dnstap.queue: 1k is not between 65536 and 1073741824 octets"},
		{"log level", "level: debug", "level: verbose", `f:21: log.level: "verbose" is not known: write debug, info, warn or error`},
		{"metrics", `"127.0.0.1:9153"`, `"9153"`, `f:22: metrics.listen: "9153" is not an address with a port: write it as 192.0.2.1:53 or [2001:db8::1]:53`},
		{"cookies", "cookies: true", "cookies: maybe", `f:24: cookies: it wants true or false, not "maybe"`},
		{"cookie secret too short", "000102030405060708090a0b0c0d0e0f", "000102030405060708090a0b0c0d0e", `f:23: cookie_secrets[0]: the secret is not 32 hexadecimal digits: make one with "openssl rand -hex 16"`},
		{"cookie secret too long", "E5E973E5A6B2A43F48E7DC849E37BFCF", "E5E973E5A6B2A43F48E7DC849E37BFCF00", `f:23: cookie_secrets[1]: the secret is not 32 hexadecimal digits: make one with "openssl rand -hex 16"`},
		{"cookie secret is not shown", "000102030405060708090a0b0c0d0e0f", "10010203040506070809101112131415", "f:23: cookie_secrets[0]: YAML does not take this value for a text: put it in quotes"},
		{"cookie secret in a section is not shown", `[000102030405060708090a0b0c0d0e0f, "E5E973E5A6B2A43F48E7DC849E37BFCF"]`, "10010203040506070809101112131415", "f:23: cookie_secrets: YAML does not take this value for a text: put it in quotes"},
		{"no cookie secret", `[000102030405060708090a0b0c0d0e0f, "E5E973E5A6B2A43F48E7DC849E37BFCF"]`, "[]", "f:23: cookie_secrets: there is none in it: add one, or remove the line to have a random one made at each start"},
		{"cookie secret twice", "000102030405060708090a0b0c0d0e0f", "e5e973e5a6b2a43f48e7dc849e37bfcf", "f:23: cookie_secrets[1]: the secret is listed twice: remove one"},
		{"too many cookie secrets", "[000102030405060708090a0b0c0d0e0f,", "[a00102030405060708090a0b0c0d0e0f, b00102030405060708090a0b0c0d0e0f, c00102030405060708090a0b0c0d0e0f, d00102030405060708090a0b0c0d0e0f,", "f:23: cookie_secrets: there are 5: at most 4 can be verified, so remove those that no server makes cookies with any more"},
		{"tab", "  - name: phones", "\t- name: phones", "f:9: the line is indented by a tab: YAML takes only spaces"},
		{"second document", "zones:", "---\nzones:", "f:8: a second YAML document begins here: a configuration is one document, so remove the --- line"},
		{"no YAML", "zones:", "zones: [", "f:9: this is not YAML: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(whole, c.old, c.new, 1)
			if text == whole {
				t.Fatal("nothing was replaced")
			}
			got := strings.Join(faults(t, dir(t), text), "|")
			if got != c.want && !(c.name == "no YAML" && strings.Contains(got, "this is not YAML: ")) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAllFaultsComeInOneGo(t *testing.T) {
	got := faults(t, t.TempDir(), `listen: [localhost]
dataa_dir: x
keys: 7
zones:
  - {name: a., file: [b], max_ttl: x}
  - {name: "", file: b, acl: [{key: k., action: [write]}, {actoin: update}]}
limits: {readers: 0}
`)
	want := []string{
		`f:1: listen[0]: "localhost" is not an address with a port: write it as 192.0.2.1:53 or [2001:db8::1]:53`,
		"f:2: dataa_dir: there is no such setting: did you mean data_dir?",
		`f:3: keys: it wants a list, each item of which begins with "- ", not "7"`,
		"f:5: zones[0].file: it wants a text, not a list",
		`f:5: zones[0].max_ttl: it wants a whole number, not "x"`,
		"f:6: zones[1].acl[1].actoin: there is no such setting: did you mean action?",
		"f:6: zones[1].name: it is missing or empty: write a domain name",
		`f:6: zones[1].acl[0].action[0]: "write" is not known: write update or transfer`,
		`f:7: limits.readers: "0" is not a number from 1 to 1024`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAnEmptyFileLacksEverything(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "null\n"} {
		if got := faults(t, t.TempDir(), text); len(got) != 3 {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestUnreadableFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none"))
	if err == nil || !strings.HasSuffix(err.Error(), "none: the configuration file cannot be read: no such file or directory") {
		t.Error(err)
	}
}

func TestAliasesAreFollowedAndBounded(t *testing.T) {
	text := strings.Replace(whole, "    acl:\n", "    acl: &rules\n", 1)
	text = strings.Replace(text, "limits:", "  - {name: b., file: b, acl: *rules}\nlimits:", 1)
	c, err := LoadBytes([]byte(text), filepath.Join(dir(t), "f"))
	if err != nil || len(c.Zones) != 2 || len(c.Zones[1].ACL) != 5 {
		t.Fatal(err)
	}
	bomb := "listen: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for _, s := range []string{"ab", "bc", "cd", "de", "ef", "fg", "gh"} {
		bomb += s + ": &" + s[1:] + " [" + strings.Repeat("*"+s[:1]+", ", 9) + "*" + s[:1] + "]\n"
	}
	if got := faults(t, t.TempDir(), bomb); len(got) == 0 {
		t.Error("no fault")
	}
}

func TestTheEnvironmentOverrides(t *testing.T) {
	for name, value := range map[string]string{
		"DIALTONE_LISTEN": "127.0.0.2:1053, [::1]:1053", "DIALTONE_DATA_DIR": "elsewhere", "DIALTONE_SERVER_ID": "ns9",
		"DIALTONE_LOG_LEVEL": "error", "DIALTONE_LOG_FORMAT": "text", "DIALTONE_METRICS_LISTEN": "127.0.0.1:1",
		"DIALTONE_LIMITS_UDP_SIZE": "600", "DIALTONE_LIMITS_TCP_IDLE": "3s", "DIALTONE_DATADIR": "x", "DIALTONE_SERVICE_HOST": "x",
	} {
		t.Setenv(name, value)
	}
	c, err := LoadBytes([]byte(whole), filepath.Join(dir(t), "f"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Listen) != 2 || c.Listen[0].String() != "127.0.0.2:1053" || c.Listen[1].String() != "[::1]:1053" ||
		c.DataDir != "elsewhere" || c.ServerID != "ns9" || c.Log.Level.String() != "ERROR" || c.Log.JSON || c.Metrics.Listen.Port() != 1 {
		t.Errorf("%+v", c)
	}
	if c.Limits.UDPSize != 600 || c.Limits.TCPIdle != 3*time.Second || c.Limits.UpdateQueue != 100 {
		t.Errorf("limits %+v", c.Limits)
	}
	if w := c.Warnings.Error(); !strings.Contains(w, "environment: DIALTONE_DATADIR: no setting is overridden by this variable: did you mean DIALTONE_DATA_DIR?") ||
		!strings.Contains(w, "environment: DIALTONE_SERVICE_HOST: no setting is overridden by this variable") {
		t.Error(w)
	}
}

func TestFaultsOfTheEnvironmentNameTheVariable(t *testing.T) {
	t.Setenv("DIALTONE_LISTEN", "127.0.0.1")
	t.Setenv("DIALTONE_LOG_LEVEL", "loud")
	t.Setenv("DIALTONE_LIMITS_READERS", "many")
	got := strings.Join(faults(t, dir(t), whole), "|")
	want := `environment: DIALTONE_LISTEN: 127.0.0.1 has no port: write 127.0.0.1:53` +
		`|environment: DIALTONE_LIMITS_READERS: "many" is not a number from 1 to 1024` +
		`|environment: DIALTONE_LOG_LEVEL: "loud" is not known: write debug, info, warn or error`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDefaultServesLoopbackOnly(t *testing.T) {
	c, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 || c.DataDir != "./dialtone-data" || len(c.Zones) != 1 || len(c.Keys) != 0 {
		t.Fatalf("%+v", c)
	}
	for _, a := range c.Listen {
		if !a.Addr().IsLoopback() || a.Port() != 5300 {
			t.Error(a)
		}
	}
	z := c.Zones[0]
	if z.MaxTTL != 60 || z.File != "" || z.Text == "" || z.Name.String() != "phones.example." || len(z.ACL) != 1 {
		t.Errorf("%+v", z)
	}
	for _, p := range z.ACL[0].Addresses {
		if !p.Addr().IsLoopback() || p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() != 128 {
			t.Error(p)
		}
	}
}

func TestDurationsAndSizes(t *testing.T) {
	c := &checker{conf: &Config{}}
	for text, want := range map[string]time.Duration{"10s": 10 * time.Second, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "1w": 168 * time.Hour} {
		if got := c.duration("", text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for text, want := range map[string]int64{"1": 1, "1GiB": 1 << 30, "64 MiB": 64 << 20, "1k": 1024, "5MB": 5e6} {
		if got := c.size("", text); got != want {
			t.Errorf("%s: %d", text, got)
		}
	}
	if len(c.faults) > 0 {
		t.Fatal(c.faults)
	}
	for _, text := range []string{"", "0s", "-1s", "1x", "d", "99999999d"} {
		if c.duration("", text); len(c.faults) == 0 {
			t.Errorf("duration %q", text)
		}
		c.faults = nil
	}
	for _, text := range []string{"", "0", "-1", "1PiB", "GiB", "99999999999GiB", "1.5GiB"} {
		if c.size("", text); len(c.faults) == 0 {
			t.Errorf("size %q", text)
		}
		c.faults = nil
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(whole)
	f.Add("listen: [\"127.0.0.1:1\"]\ndata_dir: d\nzones: [{name: a., file: b}]\n")
	f.Add("a: &a [*a]\nlimits: {<<: {}}\n? [x]\n: y\n")
	f.Add("zones: [{acl: [{key: [*x]}], notify: [[], {address: {}}]}]\nkeys: [[]]\n---\n...\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := LoadBytes([]byte(text), "/nonexistent/f")
		if err != nil {
			var fs Faults
			if !errors.As(err, &fs) || len(fs) == 0 {
				t.Fatalf("%T", err)
			}
			for _, f := range fs {
				if f.Text == "" || strings.Contains(f.Text, "the file cannot be read: decod") {
					t.Fatalf("%q", f.String())
				}
			}
			return
		}
		if len(c.Listen) == 0 || len(c.Zones) == 0 || c.DataDir == "" {
			t.Fatalf("%+v", c)
		}
		for _, z := range c.Zones {
			if !z.Name.Valid() || z.File == "" {
				t.Fatalf("%+v", z)
			}
		}
	})
}

func TestCookiesCanBeSwitchedOff(t *testing.T) {
	d := dir(t)
	for text, want := range map[string]bool{
		"cookies: false": true, "cookies: true": false, "": false,
	} {
		c, err := LoadBytes([]byte(strings.Replace(whole, "cookies: true", text, 1)), filepath.Join(d, "f"))
		if err != nil {
			t.Fatal(err)
		}
		if c.NoCookies != want {
			t.Errorf("%q: %v", text, c.NoCookies)
		}
		if warned := strings.Contains(c.Warnings.Error(), "f:23: cookie_secrets: cookies are off, so nothing uses the secrets"); warned != want {
			t.Errorf("%q: warnings %v", text, c.Warnings)
		}
	}
}

func TestCookiesFromTheEnvironment(t *testing.T) {
	d := dir(t)
	load := func(cookies, secrets string) (*Config, error) {
		t.Setenv("DIALTONE_COOKIES", cookies)
		t.Setenv("DIALTONE_COOKIE_SECRETS", secrets)
		return LoadBytes([]byte(whole), filepath.Join(d, "f"))
	}
	c, err := load("false", "ffffffffffffffffffffffffffffffff, eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee")
	if err != nil || !c.NoCookies || len(c.CookieSecrets) != 2 || c.CookieSecrets[1][0] != 0xEE {
		t.Errorf("%+v %v", c, err)
	}
	_, err = load("off", "hunter2")
	want := "environment: DIALTONE_COOKIES: \"off\" is not known: write true or false\n" +
		"environment: DIALTONE_COOKIE_SECRETS: the secret is not 32 hexadecimal digits: make one with \"openssl rand -hex 16\""
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
