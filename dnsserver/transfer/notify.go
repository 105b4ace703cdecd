package transfer

import (
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"dialtone/update/tsig"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// NotifyOptions of a Notifier. Zero values are the defaults in parentheses.
type NotifyOptions struct {
	// Retry is the wait for a reply after the first try, the second, and so
	// on; one more try follows each but the last (5, 10, 20, 40, 60 s).
	Retry []time.Duration
	// Interval is the least time between two NOTIFY of one zone to one target
	// that were answered (500 ms): what changes meanwhile is told at once.
	Interval time.Duration
	Keys     *tsig.Keyring // for targets that have a key
	Logger   *slog.Logger  // (slog.Default)
	// Listen opens the socket for network udp4 or udp6 (net.ListenUDP on any port).
	Listen func(network string) (PacketConn, error)
}

// PacketConn is what a Notifier needs of a *net.UDPConn.
type PacketConn interface {
	ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	Close() error
}

var _ PacketConn = (*net.UDPConn)(nil)

// Target is a secondary that is to be told of changes.
type Target struct {
	Addr netip.AddrPort
	Key  rr.Name // signs the NOTIFY; "" for an unsigned one
}

// NotifyCounters only grow, but for Pending.
type NotifyCounters struct {
	Pending  atomic.Int64  // targets that are not known to have the newest serial
	Sent     atomic.Uint64 // messages
	Answered atomic.Uint64 // replies that ended a NOTIFY
	Missed   atomic.Uint64 // tries without a good reply
	GivenUp  atomic.Uint64 // targets that missed every try
}

// Notifier tells secondaries that their zones have changed. Its goroutines
// are one for the schedule and one for each of its at most two sockets.
type Notifier struct {
	Counters NotifyCounters
}

// NewNotifier starts a Notifier, which runs until Close.
func NewNotifier(o NotifyOptions) *Notifier { panic("todo") }

// Add makes the targets of z known and notifies them of its current serial
// (RFC 1996, section 4.1). Call it when the zone can be queried.
func (n *Notifier) Add(z *zone.Zone, targets []Target) { panic("todo") }

// Published has the targets of z notified; it never blocks. It is made for
// (*zone.Zone).OnPublish. A zone that was not added has no targets. The serial
// that is told is that of the moment of sending.
func (n *Notifier) Published(z *zone.Zone, serial uint32) { panic("todo") }

// Close ends all tries and waits for the goroutines.
func (n *Notifier) Close() error { panic("todo") }
