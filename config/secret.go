package config

import (
	"encoding/base64"
	"os"
	"regexp"
	"strings"

	"dialtone/zone/rr"
)

// keyClause is the form of a key in named.conf.
var keyClause = regexp.MustCompile(`^\s*key\s+"?[^\s"]+"?\s*\{`)

// secret reads a key's secret. No message may show it.
func (c *checker) secret(path string, name rr.Name, k rawKey) []byte {
	switch {
	case k.Secret != nil && k.SecretFile != nil:
		c.fault(path, "the key has secret and secret_file: remove one")
		return nil
	case k.Secret == nil && k.SecretFile == nil:
		if !c.bad[path+".secret_file"] {
			c.fault(path+".secret", "it is missing: add secret (base64) or secret_file (a file with it)")
		}
		return nil
	}
	text, at, ok := c.kept(path, "secret", k.Secret, k.SecretFile)
	if !ok {
		return nil
	}
	secret, err := unBase64(text)
	switch {
	case err != nil && k.SecretFile != nil && keyClause.MatchString(text):
		c.fault(at, "this is all that tsig-keygen prints: only what stands in the quotes behind secret belongs into the file")
		return nil
	case err != nil || len(secret) == 0:
		c.fault(at, "the secret is not base64: make one with \"openssl rand -base64 32\" or tsig-keygen")
		return nil
	}
	return secret
}

// minSeed is the least octets of a seed: those of the secrets made from it.
const minSeed = 32

// seed reads what the keys of a zone's numbers are derived from; nil: nothing.
func (c *checker) seed(path string, d *rawSeed) []byte {
	const fresh = "make one with \"openssl rand -base64 32\""
	switch {
	case d == nil:
		return nil
	case d.Seed != nil && d.SeedFile != nil:
		c.fault(path, "there are seed and seed_file: remove one")
		return nil
	case d.Seed == nil && d.SeedFile == nil:
		if !c.bad[path+".seed_file"] {
			c.fault(path+".seed", "it is missing: add seed_file (a file with a secret in base64) or seed (the secret itself); "+fresh)
		}
		return nil
	}
	text, at, ok := c.kept(path, "seed", d.Seed, d.SeedFile)
	if !ok {
		return nil
	}
	seed, err := unBase64(text)
	switch {
	case err != nil || len(seed) == 0:
		c.fault(at, "the seed is not base64: "+fresh)
		return nil
	case len(seed) < minSeed:
		c.fault(at, "the seed has %d octets: it needs at least %d, for all keys of the zone come from it; "+fresh, len(seed), minSeed)
		return nil
	}
	return seed
}

// kept gives the text of a setting, or of the file that the setting with _file
// names, and the setting's place.
func (c *checker) kept(path, setting string, text, file *string) (kept, at string, ok bool) {
	if file == nil {
		return *text, path + "." + setting, true
	}
	at = path + "." + setting + "_file"
	name := c.path(*file)
	data, err := os.ReadFile(name)
	if err != nil {
		c.fault(at, "the file cannot be read: %v", err)
		return "", at, false
	}
	if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o007 != 0 {
		c.warn(at, "everybody on this machine may open %s: take the permission away with chmod o= %s", name, name)
	}
	return string(data), at, true
}

func unBase64(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
}
