package dnsserver

import (
	"crypto/rand"
	"log/slog"
	"net/netip"
	"runtime"
	"time"

	"dialtone/dnsserver/ratelimit"
	"dialtone/dnsserver/tap"
	"dialtone/update"
	"dialtone/update/acl"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

// Options of Start. Zones, Listen and DataDir must be given; everything else has a default.
type Options struct {
	// Listen are the addresses to serve, each on UDP and TCP. Port 0 takes a free port, the same for
	// both protocols: see Server.Addrs. A wildcard address (0.0.0.0 or ::) answers from the address
	// that was asked; :: serves IPv6 only.
	Listen []netip.AddrPort
	// DataDir is the directory of the store, made when missing.
	DataDir string
	// ServerID answers NSID, id.server and hostname.bind; empty: they are not answered.
	ServerID string
	// Version answers version.bind and version.server; empty: they are not answered.
	Version string
	// CookieSecrets are the keys of DNS cookies (RFC 9018): the first makes them, all verify. None: a
	// random one, so no other server and no later start knows this one's cookies.
	CookieSecrets [][16]byte
	// NoCookies makes COOKIE an unknown option.
	NoCookies bool
	// Keys are the TSIG keys that requests and NOTIFY may be signed with.
	Keys []tsig.Key
	// SignedLate is how much earlier than the newest of its key an update may be signed (RFC 8945, section
	// 5.2.3), by the key's name in lower case, in whole seconds (10 s, which is the most). Clients that share a key may have
	// clocks that differ, and their messages overtake each other. Keys of numbers have none.
	SignedLate map[rr.Name]time.Duration
	// Zones are the zones to serve.
	Zones []ZoneOptions
	// Limits bound what peers may cost.
	Limits Limits
	// RateLimit bounds the responses over UDP that one network gets (none).
	RateLimit ratelimit.Options
	// Logger takes one line for each update, transfer and NOTIFY, and the server's own events
	// (slog.Default).
	Logger *slog.Logger
	// QuerySample logs one in so many queries; 0: none.
	QuerySample int
	// LogLevel, when not nil, is the level of Logger, which a command may change.
	LogLevel *slog.LevelVar
	// Tap writes messages as dnstap; nil: off. The server fills in its identity and its Logger.
	Tap *tap.Options
	// MetricsListen serves Prometheus metrics at /metrics over HTTP, and /healthz and /readyz; the zero value: off.
	MetricsListen netip.AddrPort
	// MetricsZones is how many zones have metrics of their own (1000); the others are counted together.
	MetricsZones int
	// Now is the clock of TSIG and cookies (time.Now).
	Now func() time.Time
	// Progress hears now and then how far the start is. It is called by several goroutines, one for each
	// zone, and should not take long.
	Progress func(Progress)

	// Reread, when not nil, is what a reload does: it reads the configuration again, hands it to apply, and adds to
	// the result what it knows better. Its errors are for who asked, with all faults.
	Reread func(apply func(Options) (Reloaded, error)) (Reloaded, error)

	// failCommit makes commits fail, for tests.
	failCommit func() error
	// buildFrom is the constant of that name, but for tests.
	buildFrom int64
}

// Progress is how far the start is with one zone.
type Progress struct {
	Zone    rr.Name
	Phase   Phase
	Records int // so far; RRsets, when they are stored or loaded
	Of      int // of so many; 0 when that is not known
}

// Phase is what the start does with a zone.
type Phase string

// The phases. The first two are those of a first start.
const (
	Reading Phase = "reading its file"
	Storing Phase = "storing"
	Loading Phase = "loading"
)

// ZoneOptions is one zone.
type ZoneOptions struct {
	Apex rr.Name
	// File is a master file. It is read when the store does not hold the zone yet, and not after that.
	File string
	// Text is the master file's text itself, used instead when File is empty.
	Text string
	// MaxTTL caps the TTL, in seconds, that an update can set; 0: no cap.
	MaxTTL uint32
	// MaxRecords is how many records updates may make the zone hold; 0: no limit.
	MaxRecords int
	// Lease bounds the leases of numbers (RFC 9664); zero values are those of DefaultLease.
	Lease update.LeaseLimits
	// ACL decides who may update and transfer the zone; the first rule that matches. None: nobody.
	ACL acl.List
	// Notify are the secondaries that are told of each change.
	Notify []NotifyTarget
	// Seed derives the keys of the zone's numbers; nil: none are derived. Keys that the store has are
	// found in any zone.
	Seed *tsig.Seed
	// JournalMaxAge and JournalMaxSize (octets) bound the history that incremental transfers are made
	// from; 0: the defaults of package zone.
	JournalMaxAge  time.Duration
	JournalMaxSize int64
}

// DefaultLease is what leases are bounded by where nothing else is said (RFC 9664, section 8).
var DefaultLease = update.LeaseLimits{Min: 30, Max: 24 * 3600, KeyMax: 7 * 24 * 3600}

// NotifyTarget is a secondary.
type NotifyTarget struct {
	Addr netip.AddrPort
	// Key signs the NOTIFY; it must be one of Options.Keys. Empty: unsigned.
	Key rr.Name
}

// Limits bound what peers may cost. A zero value is the default in parentheses.
type Limits struct {
	// UpdateQueue is how many updates may wait for a zone's writer (4096). More get SERVFAIL at once. One key, or one
	// source of updates that are not signed, may have four times as many in it as there is room for others. An update of
	// n KiB counts n times.
	UpdateQueue int
	// UpdateQueueTotal is UpdateQueue for all zones together (16,384), of which one zone may have four times as many as
	// there is room for others.
	UpdateQueueTotal int
	// UpdatesPerKey and UpdatesPerSource are how many updates a second a key and a source (an address, or an IPv6 network
	// of 64 bits) may make (0: no limit). More get SERVFAIL.
	UpdatesPerKey, UpdatesPerSource int
	// UpdateRecords is how many records the prerequisites and changes of an update may be (0: what a message can carry).
	UpdateRecords int
	// BatchOps is how many updates one commit may hold (1024).
	BatchOps int
	// CommitInterval is the least time from one commit of a zone to the next while several updates come at
	// once (2 ms; negative: none). It is how much longer than the sync they may wait: each commit costs
	// the processor the same, whatever is in it.
	CommitInterval time.Duration
	// RefreshInterval is how long an update that only renews a lease may wait for others of the kind (25
	// ms; negative: not at all).
	RefreshInterval time.Duration
	// RRsetRecords is how many records an update may make an RRset hold (0: no limit).
	RRsetRecords int
	// NameRecords is how many records an update may make a name have, of all types (0: no limit).
	NameRecords int
	// NamesPerNumber is how many names with records a phone may have below its number (32), by rules with
	// self_number.
	NamesPerNumber int
	// SlowQueue is how many UDP messages that are not plain queries may wait for a worker (2048), and as many
	// again of senders that are known: see slowQueues. Senders take turns.
	SlowQueue int
	// SourceUpdates is how many signed updates that took the address that they came from are remembered
	// for 20 minutes, some 200 octets each (100,000). More are refused.
	SourceUpdates int
	// UpdateAnswers is how many answers to signed updates are remembered for some seconds, 32 octets
	// each (262,144), for messages that are sent again. Half as many of one shared key may come in a second:
	// of more it is not known any more whether they are copies, and they get BADTIME.
	UpdateAnswers int
	// KeyVerifications is how many signatures of SIG(0) are verified in a second (2000, a tenth of a
	// core). More get SERVFAIL. After 20 wrong ones from one source none of its are until the minute is over.
	KeyVerifications int
	// TSIGVerifications is how many signatures of TSIG are verified in a second (100,000, a fifth of a core) for senders
	// that have signed nothing right of late: see slowQueues. More get SERVFAIL. It is as many as a storm of phones that
	// all have a new address can bring.
	TSIGVerifications int
	// ClaimsPerSource is how many numbers an address, or an IPv6 network of 48 bits, may claim in a
	// minute by rules with first_come (10).
	ClaimsPerSource int
	// KeyCache is how many keys of phones are remembered that have signed something, some 500 octets each
	// (10,000). The others are looked up for each message.
	KeyCache int

	// TCPConnections is the number of open connections (1000), TCPPerAddress that of one client
	// address (200; phones behind one NAT share an address). When a limit is reached another
	// connection makes room: one on which nothing is due, whose peer does not take what is, or of an address that has more
	// than the new one's. When there is none the new one is closed.
	TCPConnections, TCPPerAddress int
	// TCPIdle closes a connection that has sent no complete message for that long (10 s; RFC 9210,
	// section 4.5).
	TCPIdle time.Duration
	// TCPWrite closes a connection whose peer takes nothing for that long (10 s).
	TCPWrite time.Duration
	// TCPInFlight is how many updates of one connection may be waiting for their result (128). More are
	// not read before.
	TCPInFlight int

	// Transfers is the number of zone transfers at one time (64), TransfersPerAddress that of one
	// client address (16). More get SERVFAIL (RFC 9103, section 6.3.3).
	Transfers, TransfersPerAddress int

	// LoggedRefusals is how many messages that were refused, or failed, have a line in the log each second (100), those of
	// keys that have signed and those of others apart.
	LoggedRefusals int

	// UDPSize is the largest UDP reply in octets (1232).
	UDPSize int
	// UDPBuffer asks for that many octets of kernel buffer, each for receiving and for sending, on
	// each UDP socket (4 MiB). The kernel may grant less.
	UDPBuffer int
	// Readers is the number of reading goroutines, each with its own socket, for each UDP address
	// (GOMAXPROCS; always 1 where the kernel cannot share a port fairly).
	Readers int
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.UpdateQueue, 4096)
	set(&l.UpdateQueueTotal, 16_384)
	set(&l.BatchOps, 1024)
	set(&l.SlowQueue, 2048)
	set(&l.SourceUpdates, 100_000)
	set(&l.UpdateAnswers, 1<<18)
	set(&l.NamesPerNumber, 32)
	set(&l.KeyVerifications, 2000)
	set(&l.TSIGVerifications, 100_000)
	set(&l.ClaimsPerSource, 10)
	set(&l.KeyCache, 10_000)
	set(&l.TCPConnections, 1000)
	set(&l.TCPPerAddress, 200)
	set(&l.TCPInFlight, 128)
	set(&l.Transfers, 64)
	set(&l.TransfersPerAddress, 16)
	set(&l.LoggedRefusals, 100)
	set(&l.UDPSize, 1232)
	set(&l.UDPBuffer, 4<<20)
	set(&l.Readers, runtime.GOMAXPROCS(0))
	if l.TCPIdle <= 0 {
		l.TCPIdle = 10 * time.Second
	}
	if l.TCPWrite <= 0 {
		l.TCPWrite = 10 * time.Second
	}
	l.UDPSize = min(max(l.UDPSize, 512), 4096)
	return l
}

func (o Options) withDefaults() Options {
	o.Limits = o.Limits.withDefaults()
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.NoCookies {
		o.CookieSecrets = nil
	} else if len(o.CookieSecrets) == 0 {
		o.CookieSecrets = make([][16]byte, 1)
		rand.Read(o.CookieSecrets[0][:]) // never fails
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MetricsZones <= 0 {
		o.MetricsZones = 1000
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.buildFrom == 0 {
		o.buildFrom = buildFrom
	}
	return o
}
