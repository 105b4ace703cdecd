package phone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// keeping is the state of a running Agent. It belongs to the goroutine of Run;
// a registration on its way runs beside it and hands over an outcome.
type keeping struct {
	*Agent
	env *surroundings

	servers []string     // as they were found last; none: not yet
	seen    []netip.Addr // what look gave when the number was last registered, or was to be

	attempt chan outcome // of the registration on its way; nil: there is none
	cancel  context.CancelFunc

	state    State
	done     *Registered // the last that the server has taken
	placed   bool        // the server may have a registration
	failures int         // since the last success or change
	started  bool
	leaseEnd time.Time // zero: it has none

	settling bool
	next     *time.Timer // the next attempt
	settle   *time.Timer
	expiry   *time.Timer
	mark     time.Time // of the last beat
	wallMark time.Time
}

// outcome is what became of an attempt.
type outcome struct {
	began   time.Time
	servers []string // nil: none was found
	seen    []netip.Addr
	done    *Registered
	err     error
}

func (k *keeping) run(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changes := k.env.watch(watching)
	k.servers = literals(k.Registration.Servers)
	k.seen = k.look(k.servers)
	k.next = time.NewTimer(time.Duration(k.env.random() * float64(k.StartDelay)))
	k.settle, k.expiry = stopped(), stopped()
	k.mark, k.wallMark = time.Now(), k.env.wall()
	beat := time.NewTicker(beatTime)
	defer func() { beat.Stop(); k.next.Stop(); k.settle.Stop(); k.expiry.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return k.stop(ctx)
		case <-changes:
			if !k.settling {
				k.settling = true
				k.settle.Reset(settleTime)
			}
		case <-k.settle.C:
			k.settling = false
			k.check(ctx)
		case <-beat.C:
			k.beat(ctx)
		case <-k.next.C:
			k.begin(ctx)
		case <-k.expiry.C:
			k.expire()
		case out := <-k.attempt:
			if err := k.take(ctx, out); err != nil {
				return err
			}
		}
	}
}

func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

func (k *keeping) tell(e Event) {
	k.state, e.Time = e.State, k.env.wall()
	if k.Notify != nil {
		k.Notify(e)
	}
}

// look gives all addresses on which a registration depends: none, when there is
// nothing to register or no way to a server.
func (k *keeping) look(servers []string) (seen []netip.Addr) {
	if seen = k.ofInterfaces(); len(seen) == 0 && len(k.Interfaces) > 0 && len(k.Registration.Addresses) == 0 {
		return nil
	}
	ways := 0
	for _, s := range servers {
		if a, err := k.env.towards(s); err == nil {
			seen = append(seen, a)
			ways++
		}
	}
	if len(servers) == 0 { // it is not known which are the ways
		all, _ := k.env.own("")
		seen, ways = append(seen, all...), len(all)
	}
	if ways == 0 {
		return nil
	}
	return seen
}

func (k *keeping) ofInterfaces() (list []netip.Addr) {
	for _, name := range k.Interfaces {
		addrs, _ := k.env.own(name) // it may come later
		list = append(list, addrs...)
	}
	return list
}

// check registers when the addresses are not those of the last time.
func (k *keeping) check(ctx context.Context) {
	seen := k.look(k.servers)
	if slices.Equal(seen, k.seen) {
		return
	}
	k.seen = seen
	switch {
	case !k.started:
	case len(seen) == 0:
		k.abort()
		k.wait()
	default:
		k.failures = 0
		k.begin(ctx)
	}
}

// wait is for an address. As long as no server is known there may be one that
// needs none, on this machine.
func (k *keeping) wait() {
	e := Event{State: StateNoAddress, Err: ErrNoAddress}
	if len(k.Interfaces) > 0 {
		e.Err = fmt.Errorf("%w (interfaces %q)", ErrNoAddress, k.Interfaces)
	}
	k.next.Stop()
	if len(k.servers) == 0 {
		e.Retry = k.backoff(retryFirst, retryMost)
		k.next.Reset(e.Retry)
	}
	if k.state != StateNoAddress {
		k.tell(e)
	}
}

// beat notices what nobody tells: that the machine has slept, in which leases go
// on and timers do not, and addresses where they cannot be watched.
func (k *keeping) beat(ctx context.Context) {
	now, wall := time.Now(), k.env.wall()
	leap := wall.Sub(k.wallMark) - now.Sub(k.mark)
	k.mark, k.wallMark = now, wall
	if leap < leapTime || !k.started {
		k.check(ctx)
		return
	}
	if !k.leaseEnd.IsZero() {
		k.leaseEnd = k.leaseEnd.Add(-leap)
		if left := time.Until(k.leaseEnd); left > 0 {
			k.expiry.Reset(left)
		} else {
			k.expire()
		}
	}
	k.failures = 0
	k.begin(ctx)
}

func (k *keeping) expire() {
	k.expiry.Stop()
	k.leaseEnd = time.Time{}
	k.tell(Event{State: StateExpired, Err: fmt.Errorf("the lease of %s is over: callers no longer find the number", k.done.Lease)})
}

// begin starts a registration, instead of one that is on its way.
func (k *keeping) begin(ctx context.Context) {
	k.abort()
	k.started = true
	k.next.Stop()
	timeout := or(k.Timeout, 30*time.Second)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w within %s", ErrUnreachable, timeout))
	attempt := make(chan outcome, 1)
	k.attempt, k.cancel = attempt, cancel
	go func() { attempt <- k.try(ctx) }()
}

// try is all that runs beside the goroutine of Run. It reads what does not change.
func (k *keeping) try(ctx context.Context) (out outcome) {
	out.began = time.Now()
	r := k.Registration
	if len(k.Interfaces) > 0 {
		r.Addresses = slices.Concat(r.Addresses, k.ofInterfaces())
		if len(r.Addresses) == 0 {
			out.err = ErrNoAddress
			return out
		}
	}
	if out.servers, out.err = k.env.find(ctx, r); out.err != nil {
		return out
	}
	r.Servers, out.seen = out.servers, k.look(out.servers)
	out.done, out.err = k.env.register(ctx, r)
	return out
}

// abort ends the registration on its way, if there is one. What it may have done
// the next one does again.
func (k *keeping) abort() {
	if k.attempt == nil {
		return
	}
	k.cancel()
	k.note(<-k.attempt)
	k.attempt = nil
}

// note keeps what an attempt has found out.
func (k *keeping) note(out outcome) {
	if out.servers != nil {
		k.servers = out.servers
	}
	var said *ServerError
	if out.err == nil || out.servers != nil && !(errors.As(out.err, &said) && !said.Temporary()) {
		k.placed = true
	}
}

// take goes on from what became of an attempt.
func (k *keeping) take(ctx context.Context, out outcome) error {
	k.cancel()
	k.attempt = nil
	k.note(out)
	if out.servers != nil {
		k.seen = out.seen
	} else {
		k.seen = k.look(k.servers)
	}
	var wrong *InputError
	var said *ServerError
	switch {
	case out.err == nil:
		k.succeed(out)
	case errors.As(out.err, &wrong):
		return out.err
	case len(k.seen) == 0 || errors.Is(out.err, ErrNoAddress):
		k.wait()
	case errors.As(out.err, &said) && !said.Temporary():
		k.fail(StateRefused, out.err, k.backoff(refusalFirst, refusalMost))
	default:
		k.fail(StateFailed, out.err, k.backoff(retryFirst, retryMost))
	}
	k.check(ctx) // what has changed meanwhile
	return nil
}

func (k *keeping) fail(s State, err error, retry time.Duration) {
	k.next.Reset(retry)
	k.tell(Event{State: s, Err: err, Retry: retry})
}

// backoff is between the half and the whole of what doubles with each failure.
func (k *keeping) backoff(first, most time.Duration) time.Duration {
	d := first
	for range k.failures {
		d = min(2*d, most)
	}
	k.failures++
	return d/2 + time.Duration(k.env.random()*float64(d/2))
}

// succeed refreshes at 80 to 85 % of the lease (RFC 9664, section 5.2), counted
// from before the server knew of it.
func (k *keeping) succeed(out outcome) {
	lease := out.done.Lease
	period := or(lease, or(k.Registration.Lease, ownLease))
	period = time.Duration(float64(period) * (0.8 + 0.05*k.env.random())).Round(time.Millisecond)
	retry := max(0, time.Until(out.began.Add(period)))
	k.next.Reset(retry)
	k.expiry.Stop()
	k.leaseEnd = time.Time{}
	if lease > 0 {
		k.leaseEnd = out.began.Add(lease)
		k.expiry.Reset(time.Until(k.leaseEnd))
	}
	state := StateRegistered
	if (k.state == StateRegistered || k.state == StateRefreshed) &&
		slices.Equal(k.done.Addresses, out.done.Addresses) && k.done.Lease == lease && k.done.Note == out.done.Note {
		state = StateRefreshed
	}
	k.done, k.failures = out.done, 0
	k.tell(Event{State: state, Done: out.done, Retry: retry})
}

// stop takes the registration away.
func (k *keeping) stop(ctx context.Context) error {
	k.abort()
	if !k.placed || k.Keep {
		return nil
	}
	timeout := or(k.StopTimeout, 5*time.Second)
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), timeout, fmt.Errorf("%w within %s", ErrUnreachable, timeout))
	defer cancel()
	r := k.Registration
	if r.Servers = k.servers; k.done != nil { // the one that is known to answer first
		r.Servers = append([]string{k.done.Server}, slices.DeleteFunc(slices.Clone(k.servers), func(s string) bool { return s == k.done.Server })...)
	}
	done, err := k.env.withdraw(ctx, r)
	if err != nil {
		err = fmt.Errorf("take the registration away: %w", err)
		k.tell(Event{State: StateFailed, Err: err})
		return err
	}
	k.tell(Event{State: StateWithdrawn, Done: done})
	return nil
}

// literals are the servers that are known without asking anybody; none, when
// one of them is a name.
func literals(servers []string) (list []string) {
	for _, s := range servers {
		host, port := hostPort(s)
		a, err := netip.ParseAddr(host)
		if err != nil {
			return nil
		}
		list = append(list, net.JoinHostPort(a.String(), port))
	}
	return list
}
