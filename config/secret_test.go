package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const seeded = `listen: ["127.0.0.1:5300"]
data_dir: d
zones:
  - name: phones.example.
    file: f
    acl:
      - {key: "*", action: update, self_number: true}
    derived_keys: {seed_file: phones.seed}
`

// 32 octets.
const aSeed = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func seedDir(t *testing.T, mode os.FileMode) string {
	t.Helper()
	d := t.TempDir()
	for name, text := range map[string]string{"phones.seed": aSeed[:20] + "\n" + aSeed[20:] + "\n", "short": "c2hvcnQ=\n", "text": "a secret\n", "empty": ""} {
		if err := os.WriteFile(filepath.Join(d, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(d, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestSeedIsRead(t *testing.T) {
	d := seedDir(t, 0o600)
	for _, text := range []string{seeded, strings.Replace(seeded, "seed_file: phones.seed", "seed: "+aSeed, 1)} {
		c, err := LoadBytes([]byte(text), filepath.Join(d, "f"))
		if err != nil {
			t.Fatal(err)
		}
		if s := c.Zones[0].Seed; len(s) != 32 || s[1] != 1 || s[31] != 31 || len(c.Warnings) != 0 {
			t.Errorf("seed %x, warnings %v", s, c.Warnings)
		}
	}
}

func TestSeedFaults(t *testing.T) {
	const file = "{seed_file: phones.seed}"
	for _, c := range []struct{ name, old, new, want string }{
		{"both", file, "{seed_file: phones.seed, seed: x}", "f:8: zones[0].derived_keys: there are seed and seed_file: remove one"},
		{"neither", file, "{}", `f:8: zones[0].derived_keys.seed: it is missing: add seed_file (a file with a secret in base64) or seed (the secret itself); make one with "openssl rand -base64 32"`},
		{"misspelt", "seed_file", "sed_file", "f:8: zones[0].derived_keys.sed_file: there is no such setting: did you mean seed_file?"},
		{"no file", "phones.seed", "none", "f:8: zones[0].derived_keys.seed_file: the file cannot be read: open none: no such file or directory"},
		{"no base64", "phones.seed", "text", `f:8: zones[0].derived_keys.seed_file: the seed is not base64: make one with "openssl rand -base64 32"`},
		{"empty", "phones.seed", "empty", `f:8: zones[0].derived_keys.seed_file: the seed is not base64: make one with "openssl rand -base64 32"`},
		{"short", "phones.seed", "short", `f:8: zones[0].derived_keys.seed_file: the seed has 5 octets: it needs at least 32, for all keys of the zone come from it; make one with "openssl rand -base64 32"`},
		{"a number", file, "{seed: 123456}", "f:8: zones[0].derived_keys.seed: YAML does not take this value for a text: put it in quotes"},
		{"no section", file, aSeed, "f:8: zones[0].derived_keys: it wants settings in the form \"name: value\", not this value"},
		{"key_cache", "zones:", "limits: {key_cache: 0}\nzones:", `f:3: limits.key_cache: "0" is not a number from 1 to 16777216`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(seeded, c.old, c.new, 1)
			if got := strings.Join(faults(t, seedDir(t, 0o600), text), "|"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// "*" lets phones in, whose keys the file does not name.
func TestAnyKeyWarnings(t *testing.T) {
	const (
		phone   = `"*" is the key of any phone too, derived, kept ("dialtone key add") or a KEY record: name the keys that may `
		derived = "    derived_keys: {seed_file: phones.seed}\n"
		own     = "action: update, self_number: true"
		admin   = "keys: [{name: admin.key., algorithm: hmac-sha256, secret: " + aSeed + "}]\n"
	)
	for _, c := range []struct {
		name, top, rule, end string
		want                 []string
	}{
		{"own number", "", own, derived, nil},
		{"own number, keys in the store", "", own, "", nil},
		{"own name", "", "action: update, update_owner: key", "", nil},
		{"any name, keys in the store", "", "action: update", "", []string{phone + "update, or add self_number"}},
		{"any name, keys in the file", admin, "action: [update, transfer]", "", []string{phone + "update, or add self_number", phone + "transfer, or add self_number"}},
		{"any name, derived", "", "action: update", derived, []string{phone + "update, or add self_number"}},
		{"transfer, derived", admin, "action: transfer", derived, []string{phone + "transfer, or add self_number"}},
		{"ranges, derived", "", `action: update, numbers: "2000-2999"`, derived, []string{phone + "update, or add self_number"}},
		{"transfer, derived in another zone", "", "action: transfer", "  - {name: other.example., file: f, acl: [{address: 192.0.2.1, action: transfer}], " + strings.TrimSpace(derived) + "}\n", []string{phone + "transfer, or add self_number"}},
		{"denied, derived", "", "action: transfer, deny: true", derived, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := c.top + strings.Replace(strings.Replace(seeded, own, c.rule, 1), derived, c.end, 1)
			conf, err := LoadBytes([]byte(text), filepath.Join(seedDir(t, 0o600), "f"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range conf.Warnings {
				got = append(got, w.Text)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("warnings %q, want %q", got, c.want)
			}
		})
	}
}

func TestSeedThatEverybodyReads(t *testing.T) {
	c, err := LoadBytes([]byte(seeded), filepath.Join(seedDir(t, 0o644), "f"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].String(), "f:8: zones[0].derived_keys.seed_file: everybody on this machine may open ") {
		t.Errorf("warnings %v", c.Warnings)
	}
}
