package transfer

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/update/tsig"
	"dialtone/zone"

	"github.com/miekg/dns"
)

// Options of a Server. Zero values are the defaults in parentheses.
type Options struct {
	Transfers           int           // at one time, in total (64)
	TransfersPerAddress int           // at one time to one client address (32)
	MaxTime             time.Duration // for one transfer; after it the connection is to be closed (1 h)
	MessageSize         int           // octets of a message over TCP, TSIG included (65535)
	MaxDifference       int           // octets of a condensed difference; above it the whole zone is sent (16 MiB)
	MaxUDP              int           // octets of a reply over UDP, and what our OPT offers (1232)
	ServerID            string        // answer to NSID (none)
	Logger              *slog.Logger  // (slog.Default)
	Yield               func()        // lets others run; called after each piece of work of some 100 microseconds (runtime.Gosched)
}

func (o Options) withDefaults() Options {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.Transfers, 64)
	def(&o.TransfersPerAddress, 32)
	def(&o.MessageSize, dns.MaxMsgSize-1)
	def(&o.MaxDifference, 16<<20)
	def(&o.MaxUDP, 1232)
	o.MessageSize = min(o.MessageSize, dns.MaxMsgSize-1)
	if o.MaxTime <= 0 {
		o.MaxTime = time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Yield == nil {
		o.Yield = runtime.Gosched
	}
	return o
}

// Server serves transfers. It is safe for concurrent use.
type Server struct {
	Counters Counters

	opt        atomic.Pointer[Options]
	condensing chan struct{} // a place for each journal that may be condensed at one time
	mu         struct {
		sync.Mutex
		total   int
		perAddr map[netip.Addr]int
	}
}

// Counters of a Server. They only grow, but for Active.
type Counters struct {
	Active      atomic.Int64  // transfers that are being sent
	Full        atomic.Uint64 // whole zones sent to the end
	Incremental atomic.Uint64 // differences sent to the end
	Single      atomic.Uint64 // answers of one SOA
	Busy        atomic.Uint64 // refused by the limit on all of them
	BusyAddress atomic.Uint64 // refused by the limit on those of an address
	Cut         atomic.Uint64 // begun and not ended: peer gone, too slow, shutdown
}

// Style is the kind of answer that a transfer request got.
type Style uint8

// Kinds of answers.
const (
	None        Style = iota // nothing was sent
	Full                     // the whole zone
	Incremental              // a difference
	Single                   // the current SOA alone
)

// String names the style for the log.
func (s Style) String() string { return [...]string{"none", "full", "incremental", "single"}[s&3] }

// Stats tells what was sent. They are valid beside an error too.
type Stats struct {
	Style    Style
	Serial   uint32 // of the version that was sent
	Messages int
	Records  int
	Octets   int64 // of messages, signatures included
}

// Error is a refusal: nothing was sent, and the request is to be answered
// with Rcode, and with Text as an Extended DNS Error when that is not empty.
type Error struct {
	Rcode uint16
	EDE   uint16 // INFO-CODE of RFC 8914
	Text  string
	Busy  bool // for a limit: it may be tried again
}

func (e *Error) Error() string {
	return "transfer refused, " + dns.RcodeToString[int(e.Rcode)] + ": " + e.Text
}

// ErrTooLarge says that the zone has a record that fits no message.
var ErrTooLarge = errors.New("record does not fit a message")

// NewServer makes a Server.
func NewServer(o Options) *Server {
	s := &Server{condensing: make(chan struct{}, 2)}
	s.Set(o)
	s.mu.perAddr = make(map[netip.Addr]int)
	return s
}

// Set changes the options, for the transfers that begin after it.
func (s *Server) Set(o Options) {
	o = o.withDefaults()
	s.opt.Store(&o)
}

// Serve answers r from the current version of z through send, which is called
// once a message, in order, and must be done with msg when it returns. sign
// is what the request's tsig.Context gives; nil stands for an unsigned request.
//
// An *Error means that nothing was sent and a reply is due. After any other
// error the connection is to be closed, as what the client got is not whole.
// Serve does not know how long send waits: send must give up on a peer that
// does not read.
func (s *Server) Serve(ctx context.Context, r *Request, z *zone.Zone, sign *tsig.Stream, send func(msg []byte) error) (Stats, error) {
	if sign == nil {
		sign = (*tsig.Context)(nil).Stream()
	}
	opt := s.opt.Load()
	ctx, cancel := context.WithTimeout(ctx, opt.MaxTime)
	defer cancel()
	a := &reply{Server: s, opt: opt, Request: r, zone: z, reader: zone.NewReader(), sign: sign, send: send}
	defer a.reader.Close()
	err := a.run(ctx)
	s.count(a.stats, err)
	return a.stats, err
}

func (s *Server) count(st Stats, err error) {
	switch {
	case err != nil && st.Style != None:
		s.Counters.Cut.Add(1)
	case err != nil:
	case st.Style == Full:
		s.Counters.Full.Add(1)
	case st.Style == Incremental:
		s.Counters.Incremental.Add(1)
	case st.Style == Single:
		s.Counters.Single.Add(1)
	}
}

// acquire takes one of the places for transfers; release gives it back.
func (s *Server) acquire(addr netip.Addr) (release func(), ok bool) {
	addr = addr.Unmap()
	opt := s.opt.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.total >= opt.Transfers:
		s.Counters.Busy.Add(1)
		return nil, false
	case s.mu.perAddr[addr] >= opt.TransfersPerAddress:
		s.Counters.BusyAddress.Add(1)
		return nil, false
	}
	s.mu.total++
	s.mu.perAddr[addr]++
	s.Counters.Active.Add(1)
	return func() { s.release(addr) }, true
}

func (s *Server) release(addr netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.total--
	if s.mu.perAddr[addr]--; s.mu.perAddr[addr] == 0 {
		delete(s.mu.perAddr, addr)
	}
	s.Counters.Active.Add(-1)
}

// Levels tells how many transfers there are, and how many go to the address to
// which most go.
func (s *Server) Levels() (total, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.mu.perAddr {
		most = max(most, n)
	}
	return s.mu.total, most
}
