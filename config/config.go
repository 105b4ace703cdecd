package config

import (
	"cmp"
	_ "embed"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"dialtone/zone/rr"
)

// Config is a whole, checked configuration. A zero value means that the file
// does not say, and that the package which does the work has the default.
type Config struct {
	Path     string // of the file; "" for the embedded default
	Listen   []netip.AddrPort
	DataDir  string
	ServerID string

	// CookieSecrets are the keys of DNS cookies: the first makes them, all
	// verify. None: the server makes up a random one at each start. Servers that
	// share an address (anycast, a load balancer) need the same list, or they
	// take each other's cookies for wrong.
	CookieSecrets [][16]byte
	NoCookies     bool

	Keys      []Key
	Zones     []Zone
	Limits    Limits
	RateLimit RateLimit
	Log       Log
	Metrics   Metrics
	Tap       *Tap // nil: off
	Web       Web

	place func(setting, text string) Fault

	// Warnings are things that work, but probably not as they are meant.
	Warnings Faults
}

// Key is a TSIG key.
type Key struct {
	Name      rr.Name
	Algorithm string // hmac-sha256 and so on: lower case, no final dot
	Secret    []byte
	Late      *time.Duration // how much earlier than the newest an update may be signed; nil: not said
	Line      int
}

// Zone is a zone to serve.
type Zone struct {
	Name    rr.Name
	File    string // master file, read while the zone is not in DataDir yet
	Text    string // master file of the embedded default, which has no File
	MaxTTL  uint32 // seconds; 0: no cap
	Records int    // max_records; 0: no limit
	ACL     []Rule
	Notify  []Target
	Lease   Lease
	Journal Journal
	Seed    []byte // of the keys of its numbers, 32 octets or more; nil: none are derived
	Line    int    // where the zone begins
	AtFile  int    // line of File
}

// Rule is a rule of a zone's access control list, in Knot's words.
type Rule struct {
	Addresses  []netip.Prefix
	Keys       []rr.Name
	AnyKey     bool     // the key "*"
	Actions    []string // update, transfer
	Deny       bool
	Owner      string // "", key, zone, name
	Match      string // "", sub-or-equal, equal, sub, pattern
	OwnerNames []string
	Types      []string // upper case
	SelfNumber bool
	Numbers    []string // as written
	MaxRecords int      // of a name; 0: no limit
	SourceAddr bool     // source_address
	FirstCome  bool     // claim: first_come
	Line       int
}

// Target is a secondary that is notified.
type Target struct {
	Addr netip.AddrPort
	Key  rr.Name // "": unsigned
}

// Lease bounds the leases of numbers; 0: not said.
type Lease struct{ Default, Min, Max, KeyMax time.Duration }

// Journal bounds a zone's history.
type Journal struct {
	MaxAge  time.Duration
	MaxSize int64 // octets
}

// Limits bound what clients may cost.
type Limits struct {
	UpdateQueue, BatchOps, RRsetRecords, SlowQueue     int
	SourceUpdates, UpdateAnswers                       int
	UpdateQueueTotal, UpdatesPerKey, UpdatesPerSource  int
	UpdateRecords, NameRecords, LoggedRefusals         int
	KeyVerifications, ClaimsPerSource, NamesPerNumber  int
	TSIGVerifications                                  int
	TCPConnections, TCPPerAddress, TCPInFlight         int
	CommitInterval, RefreshInterval, TCPIdle, TCPWrite time.Duration
	Transfers, TransfersPerAddress                     int
	UDPSize, UDPBuffer, Readers, KeyCache              int
}

// Log tells what is logged and how.
type Log struct {
	Level       slog.Level
	JSON        bool
	QuerySample int // one in so many queries; 0: none
}

// Tap tells where messages are written as dnstap, and which.
type Tap struct {
	Socket, File                string // one of them
	MaxFile, Queue              int64  // octets; 0: not said
	Queries, Updates, Responses bool
}

// Metrics tells where metrics are served; the zero address: nowhere.
type Metrics struct {
	Listen netip.AddrPort
	Zones  int // that have metrics of their own; 0: not said
}

// Load reads and checks the file at path, with overrides from the environment.
// Its error is of type Faults.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, Faults{{File: path, Text: "the configuration file cannot be read: " + err.Error()}}
	}
	return LoadBytes(data, path)
}

// LoadBytes is Load for a file that was read already. Relative paths in it are
// relative to the directory of path.
func LoadBytes(data []byte, path string) (*Config, error) {
	c := &checker{file: cmp.Or(path, "built-in default"), conf: &Config{Path: path}}
	if root, ok := c.parse(data); ok && c.settings(root) {
		if raw := c.values(root); raw != nil {
			c.config(raw)
		}
	}
	if len(c.faults) > 0 {
		c.faults.sort()
		return nil, c.faults
	}
	c.conf.Warnings.sort()
	c.conf.place = c.at
	return c.conf, nil
}

// At makes a Fault of a setting, such as zones[0].file or listen[1], which
// turned out only when it was used.
func (c *Config) At(setting, text string) Fault { return c.place(setting, text) }

var (
	//go:embed default.yaml
	defaultFile []byte
	//go:embed default.zone
	defaultZone string
)

// Default is the configuration of a server that was given none: the zone
// phones.example. for this machine only. The environment overrides it too.
func Default() (*Config, error) {
	conf, err := LoadBytes(defaultFile, "")
	if err != nil {
		return nil, err
	}
	conf.Zones[0].File, conf.Zones[0].Text = "", defaultZone
	if _, set := os.LookupEnv(envName("listen")); !set && !hasAddress("::1") {
		conf.Listen = slices.DeleteFunc(conf.Listen, func(a netip.AddrPort) bool { return a.Addr().Is6() })
	}
	return conf, nil
}

// hasAddress: many containers have no IPv6, and the default must run there.
func hasAddress(ip string) bool {
	addrs, err := net.InterfaceAddrs()
	return err != nil || slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(net.ParseIP(ip))
	})
}
