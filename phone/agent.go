package phone

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Agent keeps a number registered for as long as it runs: it registers when it
// starts and at once when the address changes, refreshes the registration before
// its lease is over, goes on trying when no server can do it, registers again
// after the machine was asleep, and takes the registration away when it stops.
//
// Set the fields before Run and leave them alone from then on. Run one Agent once.
type Agent struct {
	// Registration is what is registered. Without addresses it is the one from which
	// the server is reached, at any time. With a Lease of 0 the registration stays
	// when the agent dies, and is refreshed as with one of an hour.
	Registration Registration

	// Interfaces are network interfaces whose addresses are registered as they are
	// at the time, with those of Registration. They need not exist yet.
	Interfaces []string

	// StartDelay is the most by which the first registration waits, for a random time.
	// RFC 9664, section 4.2, wants it to be 3 seconds, lest all phones of a town
	// register in the moment in which power comes back. It is 0 where somebody waits
	// for this one phone, and what starts at boot should set it.
	StartDelay time.Duration

	// Timeout is how long one registration may take (30 s), StopTimeout how long
	// taking it away at the end may take (5 s).
	Timeout, StopTimeout time.Duration

	// Keep leaves the registration at the end, until its lease is over.
	Keep bool

	// Notify is told of what happens, one after the other, and should return soon;
	// nil: nobody is.
	Notify func(Event)

	env *surroundings // nil but in tests
}

// Event is a change in what an Agent keeps.
type Event struct {
	State State
	Time  time.Time
	Done  *Registered   // of StateRegistered, StateRefreshed and StateWithdrawn
	Err   error         // of the others
	Retry time.Duration // until the agent tries again by itself; 0: it waits for a change, or ends
}

// State is where a registration stands.
type State string

const (
	StateRegistered State = "registered" // for the first time, or with other addresses, or after another state
	StateRefreshed  State = "refreshed"  // as it was before
	StateFailed     State = "failed"     // no server answers, or can do it now
	StateRefused    State = "refused"    // the server does not want it: a key, a rule or a setting is wrong
	StateNoAddress  State = "no-address" // the machine has none from which the server can be reached
	StateExpired    State = "expired"    // the lease was over before it could be refreshed: callers no longer find the number
	StateWithdrawn  State = "withdrawn"  // the agent has ended, and the registration with it
)

// ErrNoAddress says that there is no address to register.
var ErrNoAddress = errors.New("this machine has no address from which a server can be reached")

// Times of an Agent. A failure is tried again after a random time between the
// half and the whole of a wait that doubles each time from the first to the most.
const (
	settleTime = 100 * time.Millisecond // in which DHCP changes several things at once
	beatTime   = 5 * time.Second        // how often the agent looks at addresses and clocks by itself
	leapTime   = 5 * time.Second        // that the clock gains when the machine has slept
	ownLease   = time.Hour              // where the server grants none

	retryFirst, retryMost     = time.Second, 2 * time.Minute // it may answer soon
	refusalFirst, refusalMost = time.Minute, time.Hour       // somebody has to change something
)

// surroundings are what an Agent sees of the machine and the network.
type surroundings struct {
	watch    func(context.Context) <-chan struct{}    // tells that addresses or routes may have changed
	towards  func(server string) (netip.Addr, error)  // the address from which a server is reached
	own      func(iface string) ([]netip.Addr, error) // addresses of an interface; "" is the whole machine
	find     func(context.Context, Registration) ([]string, error)
	register func(context.Context, Registration) (*Registered, error)
	withdraw func(context.Context, Registration) (*Registered, error)
	wall     func() time.Time // the clock that goes on while the machine sleeps
	random   func() float64   // from 0 to less than 1
}

var realSurroundings = surroundings{
	watch:    watchAddresses,
	towards:  localAddr,
	own:      ownAddrs,
	find:     func(ctx context.Context, r Registration) ([]string, error) { return r.find(ctx) },
	register: Register,
	withdraw: Withdraw,
	wall:     func() time.Time { return time.Now().Round(0) },
	random:   rand.Float64,
}

// Run keeps the number registered until ctx ends, and then takes the
// registration away, for which it needs StopTimeout at most. It returns an
// *InputError at once when the Registration makes no sense, the error of taking
// it away, or nil. Everything else that goes wrong is an Event.
func (a *Agent) Run(ctx context.Context) error {
	r := &keeping{Agent: a, env: a.env}
	if r.env == nil {
		r.env = &realSurroundings
	}
	return r.run(ctx)
}

func or(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}
