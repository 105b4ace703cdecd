package config

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"time"
)

// config turns raw values into conf and reports every fault on the way.
func (c *checker) config(r *raw) {
	c.listen(r.Listen)
	c.dataDir(r.DataDir)
	if c.conf.ServerID = r.ServerID; len(r.ServerID) > 255 {
		c.fault("server_id", "it has %d octets: a character string of DNS has at most 255", len(r.ServerID))
	}
	c.cookies(r.Cookies)
	c.cookieSecrets(r.Secrets)
	c.keys(r.Keys)
	c.zones(r.Zones)
	c.unusedKeys()
	c.limits(r.Limits)
	c.rateLimit(r.RateLimit)
	c.log(r.Log.Level, r.Log.Format)
	if r.Log.Sample != "" {
		c.conf.Log.QuerySample = int(c.number("log.query_sample", r.Log.Sample, 0, 1<<30))
	}
	c.dnstap(r.Tap)
	c.web(r.Web)
	if r.Metrics.Listen != "" {
		c.conf.Metrics.Listen, _ = c.addrPort("metrics.listen", r.Metrics.Listen)
	}
	if r.Metrics.Zones != "" {
		c.conf.Metrics.Zones = int(c.number("metrics.zones", r.Metrics.Zones, 1, 1<<20))
	}
}

func (c *checker) listen(addrs []string) {
	if len(addrs) == 0 {
		c.fault("listen", `it is missing: say where to serve, as in listen: ["127.0.0.1:5300"]`)
	}
	seen := make(map[netip.AddrPort]bool)
	for i, text := range addrs {
		path := fmt.Sprintf("listen[%d]", i)
		a, ok := c.addrPort(path, strings.TrimSpace(text))
		if ok && seen[a] && a.Port() != 0 {
			c.fault(path, "%s is listed twice: remove one", a)
		}
		seen[a] = true
		c.conf.Listen = append(c.conf.Listen, a)
	}
	c.covered()
}

// covered finds what cannot be bound beside the wildcard of its family.
func (c *checker) covered() {
	for i, a := range c.conf.Listen {
		for _, all := range c.conf.Listen {
			if a.Port() != 0 && a.Port() == all.Port() && all.Addr().IsUnspecified() && !a.Addr().IsUnspecified() && a.Addr().Is4() == all.Addr().Is4() {
				c.fault(fmt.Sprintf("listen[%d]", i), "%s is part of %s, which is listed too: remove one", a, all)
			}
		}
	}
}

func (c *checker) dataDir(dir string) {
	if dir == "" {
		c.fault("data_dir", "it is missing: name the directory that keeps the zones, as in data_dir: /var/lib/dialtone")
		return
	}
	if c.conf.DataDir = dir; c.env["data_dir"] == "" {
		c.conf.DataDir = c.path(dir)
	}
}

// path makes a path of the file relative to the file's directory.
func (c *checker) path(p string) string {
	if filepath.IsAbs(p) || c.conf.Path == "" {
		return p
	}
	return filepath.Join(filepath.Dir(c.file), p)
}

func (c *checker) cookies(flag string) {
	c.conf.NoCookies = flag != "" && !c.flag("cookies", flag)
}

// flag reads a flag, which viper gives as 1 or 0 when it stands in the file.
func (c *checker) flag(path, flag string) bool {
	switch strings.ToLower(flag) {
	case "1", "true":
		return true
	case "", "0", "false":
	default:
		c.word(path, flag, []string{"true", "false"})
	}
	return false
}

// maxCookieSecrets is more than any roll-over needs (RFC 9018, section 5).
const maxCookieSecrets = 4

// cookieSecrets reads the keys of cookies. No message may show one.
func (c *checker) cookieSecrets(list []string) {
	const path = "cookie_secrets"
	switch {
	case len(list) > maxCookieSecrets:
		c.fault(path, "there are %d: at most %d can be verified, so remove those that no server makes cookies with any more", len(list), maxCookieSecrets)
	case len(list) == 0 && c.lines[path] > 0:
		c.fault(path, "there is none in it: add one, or remove the line to have a random one made at each start")
	case len(list) > 0 && c.conf.NoCookies:
		c.warn(path, "cookies are off, so nothing uses the secrets")
	}
	seen := make(map[[16]byte]bool)
	for i, text := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		octets, err := hex.DecodeString(strings.TrimSpace(text))
		if err != nil || len(octets) != 16 {
			c.fault(at, "the secret is not 32 hexadecimal digits: make one with \"openssl rand -hex 16\"")
			continue
		}
		secret := [16]byte(octets)
		if seen[secret] {
			c.fault(at, "the secret is listed twice: remove one")
		}
		seen[secret] = true
		c.conf.CookieSecrets = append(c.conf.CookieSecrets, secret)
	}
}

// algorithms with the length of their digests in octets.
var algorithms = map[string]int{
	"hmac-sha1": 20, "hmac-sha224": 28, "hmac-sha256": 32, "hmac-sha384": 48, "hmac-sha512": 64,
}

var algorithmWords = []string{"hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"}

func (c *checker) keys(keys []rawKey) {
	for i, k := range keys {
		path := fmt.Sprintf("keys[%d]", i)
		name, ok := c.name(path+".name", k.Name)
		if ok {
			for _, before := range c.conf.Keys {
				if before.Name.EqualFold(name) {
					c.fault(path+".name", "the key %s is defined twice (first at line %d): remove one", name, before.Line)
				}
			}
		}
		algorithm := c.algorithm(path+".algorithm", k.Algorithm)
		secret := c.secret(path, name, k)
		// RFC 8945, section 8.
		if size := algorithms[algorithm]; len(secret) > 0 && len(secret) < size {
			c.warn(path, "the secret of %s has %d octets, fewer than the %d of %s: a longer one is safer", name, len(secret), size, algorithm)
		}
		c.conf.Keys = append(c.conf.Keys, Key{name, algorithm, secret, c.signedLate(path+".signed_late", k.Late), c.lines[path]})
	}
}

// maxLate is for how long the server remembers what it has answered: it cannot
// tell what is older from a copy.
const maxLate = 10 * time.Second

func (c *checker) signedLate(path, text string) *time.Duration {
	switch text {
	case "":
		return nil
	case "0", "0s":
		return new(time.Duration)
	}
	d := c.duration(path, text)
	if d > maxLate || d%time.Second != 0 {
		c.fault(path, "%s is not of whole seconds, up to %s", text, maxLate)
	}
	return &d
}

func (c *checker) algorithm(path, text string) string {
	a := strings.TrimSuffix(strings.ToLower(text), ".")
	switch _, ok := algorithms[a]; {
	case a == "":
		c.fault(path, "it is missing: write hmac-sha256, or the algorithm that the clients of the key use")
	case strings.HasPrefix(a, "hmac-md5"):
		c.fault(path, "hmac-md5 is broken and not supported: make a new key with hmac-sha256")
	case !ok:
		c.word(path, a, algorithmWords)
	}
	return a
}

func (c *checker) log(level, format string) {
	words := []string{"debug", "info", "warn", "error"}
	if level != "" && c.word("log.level", level, words) {
		if err := c.conf.Log.Level.UnmarshalText([]byte(level)); err != nil {
			c.conf.Log.Level = slog.LevelInfo
		}
	}
	if format != "" {
		c.word("log.format", format, []string{"text", "json"})
	}
	c.conf.Log.JSON = format == "json"
}

// limits reads the numbers; what is absent is the server's default.
func (c *checker) limits(l map[string]string) {
	to := &c.conf.Limits
	number := func(name string, v *int, low, high int64) {
		if text := l[name]; text != "" {
			*v = int(c.number("limits."+name, text, low, high))
		}
	}
	duration := func(name string, v *time.Duration, high time.Duration) {
		if text := l[name]; text != "" {
			if *v = c.duration("limits."+name, text); *v > high {
				c.fault("limits."+name, "%s is longer than %s, the most that it can be", text, high)
			}
		}
	}
	number("update_queue", &to.UpdateQueue, 1, 1<<20)
	number("update_queue_total", &to.UpdateQueueTotal, 1, 1<<24)
	number("updates_per_key", &to.UpdatesPerKey, 1, 1<<20)
	number("updates_per_source", &to.UpdatesPerSource, 1, 1<<20)
	number("update_records", &to.UpdateRecords, 1, 65535)
	number("logged_refusals", &to.LoggedRefusals, 1, 1<<20)
	number("name_records", &to.NameRecords, 1, 65535)
	number("batch_ops", &to.BatchOps, 1, 1<<20)
	number("rrset_records", &to.RRsetRecords, 1, 65535)
	number("names_per_number", &to.NamesPerNumber, 1, 65535)
	number("slow_queue", &to.SlowQueue, 1, 1<<20)
	number("source_updates", &to.SourceUpdates, 1, 1<<24)
	number("update_answers", &to.UpdateAnswers, 2, 1<<24)
	number("key_verifications", &to.KeyVerifications, 1, 1<<20)
	number("tsig_verifications", &to.TSIGVerifications, 1, 1<<24)
	number("claims_per_source", &to.ClaimsPerSource, 1, 1<<20)
	number("tcp_connections", &to.TCPConnections, 1, 1<<20)
	number("tcp_per_address", &to.TCPPerAddress, 1, 1<<20)
	number("tcp_in_flight", &to.TCPInFlight, 1, 65535)
	number("transfers", &to.Transfers, 1, 1<<16)
	number("transfers_per_address", &to.TransfersPerAddress, 1, 1<<16)
	number("udp_size", &to.UDPSize, 512, 4096)
	number("readers", &to.Readers, 1, 1024)
	number("key_cache", &to.KeyCache, 1, 1<<24)
	duration("commit_interval", &to.CommitInterval, time.Second) // clients try again after some seconds
	duration("refresh_interval", &to.RefreshInterval, time.Second)
	duration("tcp_idle", &to.TCPIdle, time.Hour)
	duration("tcp_write", &to.TCPWrite, time.Hour)
	if text := l["udp_buffer"]; text != "" {
		to.UDPBuffer = int(min(c.size("limits.udp_buffer", text), 1<<30))
	}
}
