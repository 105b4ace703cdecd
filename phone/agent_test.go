package phone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// world is what an agent sees, and what it does there, with the time since the beginning.
type world struct {
	t     *testing.T
	start time.Time
	agent Agent
	stop  context.CancelFunc
	ended chan error

	changes chan struct{}
	mu      struct {
		sync.Mutex
		trace  []string
		ways   map[string]string   // from which address a server is reached
		ifaces map[string][]string // addresses of interfaces; "": all
		found  []string            // servers, when none is given
		leap   time.Duration       // that the machine has slept
		answer func(ctx context.Context, r Registration) (*Registered, error)
	}
}

const (
	here, there = "192.0.2.53:53", "192.0.2.54:53"
	lease       = time.Hour
)

// inWorld runs do beside an agent, in a bubble of its own time. Chance is always in the middle.
func inWorld(t *testing.T, change func(w *world), do func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		w := &world{t: t, start: time.Now(), stop: stop, ended: make(chan error, 1), changes: make(chan struct{})}
		w.mu.ways = map[string]string{here: "10.0.0.1"}
		w.agent.Registration = Registration{Number: "5551234", Zone: "phones.example", Servers: []string{here}, Lease: lease}
		w.agent.Notify = w.event
		w.agent.env = &surroundings{
			watch: func(context.Context) <-chan struct{} { return w.changes },
			towards: func(server string) (netip.Addr, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				return netip.ParseAddr(w.mu.ways[server])
			},
			own: func(name string) (list []netip.Addr, err error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				for _, a := range w.mu.ifaces[name] {
					list = append(list, netip.MustParseAddr(a))
				}
				return list, nil
			},
			find: func(_ context.Context, r Registration) ([]string, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				if len(r.Servers) > 0 {
					return r.Servers, nil
				}
				if len(w.mu.found) == 0 {
					w.sayLocked("finds no server")
					return nil, ErrUnreachable
				}
				return w.mu.found, nil
			},
			register: w.register,
			withdraw: func(ctx context.Context, r Registration) (*Registered, error) {
				w.say("withdraw at %s", strings.Join(r.Servers, ","))
				w.mu.Lock()
				answer := w.mu.answer
				w.mu.Unlock()
				if answer != nil {
					return answer(ctx, r)
				}
				return &Registered{Server: r.Servers[0]}, nil
			},
			wall: func() time.Time {
				w.mu.Lock()
				defer w.mu.Unlock()
				return time.Now().Add(w.mu.leap)
			},
			random: func() float64 { return 0.5 },
		}
		if change != nil {
			change(w)
		}
		go func() { w.ended <- w.agent.Run(ctx) }()
		do(w)
		stop()
		select {
		case err := <-w.ended:
			w.ended <- err
		case <-time.After(time.Minute):
			t.Error("the agent does not stop")
		}
		synctest.Wait()
	})
}

func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sayLocked(format, args...)
}

func (w *world) sayLocked(format string, args ...any) {
	w.mu.trace = append(w.mu.trace, fmt.Sprintf("%s: %s", time.Since(w.start), fmt.Sprintf(format, args...)))
}

func (w *world) register(ctx context.Context, r Registration) (*Registered, error) {
	server := r.Servers[0]
	w.mu.Lock()
	answer := w.mu.answer
	addrs := r.Addresses
	if a, err := netip.ParseAddr(w.mu.ways[server]); err == nil && len(addrs) == 0 {
		addrs = []netip.Addr{a}
	}
	w.sayLocked("register %s at %s", joined(addrs), server)
	w.mu.Unlock()
	if answer != nil {
		done, err := answer(ctx, r)
		if done == nil {
			return nil, err
		}
		return &Registered{Addresses: addrs, Server: server, Lease: done.Lease}, nil
	}
	return &Registered{Addresses: addrs, Server: server, Lease: r.Lease}, nil
}

func joined(addrs []netip.Addr) string { return strings.Trim(fmt.Sprint(addrs), "[]") }

func (w *world) event(e Event) {
	switch {
	case e.Time.IsZero():
		w.t.Errorf("%+v has no time", e)
	case e.State == StateRegistered:
		w.say("%s %s for %s, again in %s", e.State, joined(e.Done.Addresses), e.Done.Lease, e.Retry)
	case e.State == StateRefreshed:
		w.say("%s, again in %s", e.State, e.Retry)
	case e.State == StateWithdrawn:
		w.say("%s", e.State)
	default:
		w.say("%s (%v), again in %s", e.State, e.Err, e.Retry)
	}
}

// moves changes something, and the kernel tells of it.
func (w *world) moves(change func()) {
	w.changed(change)
	w.changes <- struct{}{}
}

// changed changes something, and nobody tells.
func (w *world) changed(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// answers makes the servers answer so.
func (w *world) answers(done *Registered, err error) {
	w.changed(func() {
		w.mu.answer = func(context.Context, Registration) (*Registered, error) { return done, err }
	})
}

// until lets time pass, to this time since the beginning.
func (w *world) until(d time.Duration) {
	time.Sleep(time.Until(w.start.Add(d)))
	synctest.Wait()
}

// wants compares what was done since it was called last.
func (w *world) wants(lines ...string) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.mu.trace, lines) {
		w.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(w.mu.trace, "\n\t"), strings.Join(lines, "\n\t"))
	}
	w.mu.trace = nil
}

// stops ends the agent and wants that of Run.
func (w *world) stops(want error) {
	w.t.Helper()
	w.stop()
	err := <-w.ended
	w.ended <- err
	if !errors.Is(err, want) {
		w.t.Errorf("Run: %v, want %v", err, want)
	}
}

// TestAgentsDay registers, refreshes at 82.5 % of the lease, moves, and leaves.
func TestAgentsDay(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.wants("0s: register 10.0.0.1 at 192.0.2.53:53", "0s: registered 10.0.0.1 for 1h0m0s, again in 49m30s")
		w.until(50 * time.Minute)
		w.wants("49m30s: register 10.0.0.1 at 192.0.2.53:53", "49m30s: refreshed, again in 49m30s")
		// A move changes several things; the kernel tells of things that change nothing, too.
		w.until(60*time.Minute + time.Second)
		w.moves(func() { w.mu.ways[here] = "10.0.0.2" })
		w.moves(func() {})
		w.until(60*time.Minute + 1050*time.Millisecond)
		w.moves(func() { w.mu.ways[here] = "10.0.0.3" })
		w.until(70 * time.Minute)
		w.moves(func() {})
		w.wants("1h0m1.1s: register 10.0.0.3 at 192.0.2.53:53", "1h0m1.1s: registered 10.0.0.3 for 1h0m0s, again in 49m30s")
		w.until(71 * time.Minute)
		w.stops(nil)
		w.wants("1h11m0s: withdraw at 192.0.2.53:53", "1h11m0s: withdrawn")
	})
}

// TestAgentFollowsWhatTheServerGrants has less, more, and a server that knows no leases.
func TestAgentFollowsWhatTheServerGrants(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.until(time.Second)
		w.answers(&Registered{Lease: 10 * time.Minute}, nil)
		w.until(60 * time.Minute)
		w.answers(&Registered{Lease: (1<<32 - 1) * time.Second}, nil)
		w.until(70 * time.Minute)
		w.wants("0s: register 10.0.0.1 at 192.0.2.53:53", "0s: registered 10.0.0.1 for 1h0m0s, again in 49m30s",
			"49m30s: register 10.0.0.1 at 192.0.2.53:53", "49m30s: registered 10.0.0.1 for 10m0s, again in 8m15s",
			"57m45s: register 10.0.0.1 at 192.0.2.53:53", "57m45s: refreshed, again in 8m15s",
			"1h6m0s: register 10.0.0.1 at 192.0.2.53:53", "1h6m0s: registered 10.0.0.1 for 1193046h28m15s, again in 984263h20m18.375s")
	})
	for _, c := range []struct {
		asked time.Duration
		again string
	}{{2 * time.Hour, "1h39m0s"}, {0, "49m30s"}} {
		inWorld(t, func(w *world) {
			w.agent.Registration.Lease = c.asked
			w.answers(&Registered{}, nil)
		}, func(w *world) {
			w.wants("0s: register 10.0.0.1 at 192.0.2.53:53", "0s: registered 10.0.0.1 for 0s, again in "+c.again)
		})
	}
	// The shortest there is.
	inWorld(t, func(w *world) { w.answers(&Registered{Lease: time.Second}, nil) }, func(w *world) {
		w.until(time.Second)
		w.wants("0s: register 10.0.0.1 at 192.0.2.53:53", "0s: registered 10.0.0.1 for 1s, again in 825ms",
			"825ms: register 10.0.0.1 at 192.0.2.53:53", "825ms: refreshed, again in 825ms")
	})
}

func TestAgentBacksOff(t *testing.T) {
	inWorld(t, func(w *world) { w.answers(nil, fmt.Errorf("%w (192.0.2.53:53: timeout)", ErrUnreachable)) }, func(w *world) {
		w.until(5 * time.Second)
		w.wants("0s: register 10.0.0.1 at 192.0.2.53:53", "0s: failed (no server answers (192.0.2.53:53: timeout)), again in 750ms",
			"750ms: register 10.0.0.1 at 192.0.2.53:53", "750ms: failed (no server answers (192.0.2.53:53: timeout)), again in 1.5s",
			"2.25s: register 10.0.0.1 at 192.0.2.53:53", "2.25s: failed (no server answers (192.0.2.53:53: timeout)), again in 3s")
		w.answers(nil, &ServerError{Server: here, Rcode: dns.RcodeServerFailure})
		w.until(20 * time.Minute)
		w.mu.trace = w.mu.trace[len(w.mu.trace)-1:]
		w.wants("19m35.25s: failed (server 192.0.2.53:53: SERVFAIL), again in 1m30s")
		w.until(20*time.Minute + time.Second)
		// It is somewhere else, where it is answered: then all begins anew.
		w.answers(&Registered{Lease: lease}, nil)
		w.moves(func() { w.mu.ways[here] = "10.0.0.2" })
		w.until(20*time.Minute + 2*time.Second)
		w.answers(nil, ErrUnreachable)
		w.moves(func() { w.mu.ways[here] = "10.0.0.3" })
		w.until(20*time.Minute + 3*time.Second)
		w.wants("20m1.1s: register 10.0.0.2 at 192.0.2.53:53", "20m1.1s: registered 10.0.0.2 for 1h0m0s, again in 49m30s",
			"20m2.1s: register 10.0.0.3 at 192.0.2.53:53", "20m2.1s: failed (no server answers), again in 750ms",
			"20m2.85s: register 10.0.0.3 at 192.0.2.53:53", "20m2.85s: failed (no server answers), again in 1.5s")
		w.stops(ErrUnreachable)
		w.wants("20m3s: withdraw at 192.0.2.53:53", "20m3s: failed (take the registration away: no server answers), again in 0s")
	})
}

// TestAgentIsPatientWithRefusals: they pass when somebody does something about them. A new address may be taken at once.
func TestAgentIsPatientWithRefusals(t *testing.T) {
	refused := &ServerError{Server: here, Rcode: dns.RcodeRefused, Text: "no rule"}
	inWorld(t, func(w *world) { w.answers(nil, refused) }, func(w *world) {
		w.until(5 * time.Minute)
		w.wants("0s: register 10.0.0.1 at 192.0.2.53:53", "0s: refused (server 192.0.2.53:53: REFUSED: no rule), again in 45s",
			"45s: register 10.0.0.1 at 192.0.2.53:53", "45s: refused (server 192.0.2.53:53: REFUSED: no rule), again in 1m30s",
			"2m15s: register 10.0.0.1 at 192.0.2.53:53", "2m15s: refused (server 192.0.2.53:53: REFUSED: no rule), again in 3m0s")
		w.moves(func() { w.mu.ways[here] = "10.0.0.2" })
		w.until(5*time.Minute + time.Second)
		w.wants("5m0.1s: register 10.0.0.2 at 192.0.2.53:53", "5m0.1s: refused (server 192.0.2.53:53: REFUSED: no rule), again in 45s")
		w.until(24 * time.Hour)
		w.mu.trace = w.mu.trace[len(w.mu.trace)-1:]
		w.wants("23h22m15.1s: refused (server 192.0.2.53:53: REFUSED: no rule), again in 45m0s")
		w.stops(nil)
		w.wants() // there is nothing to take away
	})
}

// TestAgentWithoutAddress loses it and waits, in the middle of an attempt, too.
func TestAgentWithoutAddress(t *testing.T) {
	inWorld(t, func(w *world) { w.answers(nil, ErrUnreachable); w.mu.ways = map[string]string{} }, func(w *world) {
		w.until(time.Hour)
		w.wants("0s: register  at 192.0.2.53:53", "0s: no-address (this machine has no address from which a server can be reached), again in 0s")
		w.answers(&Registered{Lease: lease}, nil)
		w.moves(func() { w.mu.ways[here] = "10.0.0.1" })
		w.until(time.Hour + time.Second)
		w.moves(func() { delete(w.mu.ways, here) })
		w.until(time.Hour + 2*time.Second)
		w.moves(func() { w.mu.ways[here] = "10.0.0.1" })
		w.until(time.Hour + 3*time.Second)
		w.wants("1h0m0.1s: register 10.0.0.1 at 192.0.2.53:53", "1h0m0.1s: registered 10.0.0.1 for 1h0m0s, again in 49m30s",
			"1h0m1.1s: no-address (this machine has no address from which a server can be reached), again in 0s",
			"1h0m2.1s: register 10.0.0.1 at 192.0.2.53:53", "1h0m2.1s: registered 10.0.0.1 for 1h0m0s, again in 49m30s")
	})
}

// TestAgentLooksForItsServer where none is given: it waits for an address, and tries, since a server may be on this machine.
func TestAgentLooksForItsServer(t *testing.T) {
	inWorld(t, func(w *world) { w.agent.Registration.Servers = nil }, func(w *world) {
		w.until(time.Second)
		w.wants("0s: finds no server", "0s: no-address (this machine has no address from which a server can be reached), again in 750ms", "750ms: finds no server")
		w.moves(func() { w.mu.ifaces = map[string][]string{"": {"10.0.0.1"}} })
		w.until(1500 * time.Millisecond)
		w.changed(func() { w.mu.found = []string{here, there} })
		w.until(2 * time.Second)
		w.wants("1.1s: finds no server", "1.1s: failed (no server answers), again in 750ms",
			"1.85s: register 10.0.0.1 at 192.0.2.53:53", "1.85s: registered 10.0.0.1 for 1h0m0s, again in 49m30s")
		// The other of its addresses counts, too.
		w.moves(func() { w.mu.ways[there] = "2001:db8::1" })
		w.until(3 * time.Second)
		w.wants("2.1s: register 10.0.0.1 at 192.0.2.53:53", "2.1s: refreshed, again in 49m30s")
		w.stops(nil)
		w.wants("3s: withdraw at 192.0.2.53:53,192.0.2.54:53", "3s: withdrawn")
	})
}

// TestAgentsInterface comes and goes.
func TestAgentsInterface(t *testing.T) {
	inWorld(t, func(w *world) { w.agent.Interfaces = []string{"ppp0"} }, func(w *world) {
		w.until(time.Second)
		w.wants(`0s: no-address (this machine has no address from which a server can be reached (interfaces ["ppp0"])), again in 0s`)
		w.moves(func() { w.mu.ifaces = map[string][]string{"ppp0": {"192.0.2.1", "2001:db8::1"}} })
		w.until(2 * time.Second)
		w.moves(func() { w.mu.ifaces["ppp0"] = []string{"192.0.2.2"} })
		w.until(3 * time.Second)
		w.wants("1.1s: register 192.0.2.1 2001:db8::1 at 192.0.2.53:53", "1.1s: registered 192.0.2.1 2001:db8::1 for 1h0m0s, again in 49m30s",
			"2.1s: register 192.0.2.2 at 192.0.2.53:53", "2.1s: registered 192.0.2.2 for 1h0m0s, again in 49m30s")
	})
}

// TestAgentMovesMeanwhile: what is on its way with an old address is given up.
func TestAgentMovesMeanwhile(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.until(time.Second)
		w.wants("0s: register 10.0.0.1 at 192.0.2.53:53", "0s: registered 10.0.0.1 for 1h0m0s, again in 49m30s")
		w.changed(func() {
			w.mu.answer = func(ctx context.Context, r Registration) (*Registered, error) {
				select {
				case <-ctx.Done():
					w.say("given up")
					return nil, context.Cause(ctx)
				case <-time.After(10 * time.Second):
					return &Registered{Lease: lease}, nil
				}
			}
		})
		w.moves(func() { w.mu.ways[here] = "10.0.0.2" })
		w.until(2 * time.Second)
		w.moves(func() { w.mu.ways[here] = "10.0.0.1" })
		w.until(20 * time.Second)
		w.wants("1.1s: register 10.0.0.2 at 192.0.2.53:53", "2.1s: given up",
			"2.1s: register 10.0.0.1 at 192.0.2.53:53", "12.1s: refreshed, again in 49m20s")
		w.moves(func() { w.mu.ways[here] = "10.0.0.3" })
		w.until(21 * time.Second)
		w.moves(func() { delete(w.mu.ways, here) })
		w.until(22 * time.Second)
		w.wants("20.1s: register 10.0.0.3 at 192.0.2.53:53", "21.1s: given up",
			"21.1s: no-address (this machine has no address from which a server can be reached), again in 0s")
		// And when the agent ends, and no server answers any more.
		w.moves(func() { w.mu.ways[here] = "10.0.0.3" })
		w.until(23 * time.Second)
		w.stops(ErrUnreachable)
		w.wants("22.1s: register 10.0.0.3 at 192.0.2.53:53", "23s: given up", "23s: withdraw at 192.0.2.53:53", "28s: given up",
			"28s: failed (take the registration away: no server answers within 5s), again in 0s")
	})
}

// TestAgentsAttemptsEnd even where nothing else ends them.
func TestAgentsAttemptsEnd(t *testing.T) {
	inWorld(t, func(w *world) {
		w.agent.Timeout = 7 * time.Second
		w.mu.answer = func(ctx context.Context, r Registration) (*Registered, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
	}, func(w *world) {
		w.until(10 * time.Second)
		w.wants("0s: register 10.0.0.1 at 192.0.2.53:53", "7s: failed (no server answers within 7s), again in 750ms", "7.75s: register 10.0.0.1 at 192.0.2.53:53")
	})
}

// TestAgentAfterSleep: no timer ran, the lease may be over, and the address is another one.
func TestAgentAfterSleep(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.until(7 * time.Second)
		w.wants("0s: register 10.0.0.1 at 192.0.2.53:53", "0s: registered 10.0.0.1 for 1h0m0s, again in 49m30s")
		w.changed(func() { w.mu.leap = 30 * time.Minute })
		w.until(11 * time.Second)
		w.wants("10s: register 10.0.0.1 at 192.0.2.53:53", "10s: refreshed, again in 49m30s")
		w.changed(func() {
			w.mu.leap += 2 * time.Hour
			w.mu.answer = func(context.Context, Registration) (*Registered, error) {
				time.Sleep(time.Second)
				return &Registered{Lease: lease}, nil
			}
		})
		w.until(17 * time.Second)
		w.wants("15s: expired (the lease of 1h0m0s is over: callers no longer find the number), again in 0s",
			"15s: register 10.0.0.1 at 192.0.2.53:53",
			"16s: registered 10.0.0.1 for 1h0m0s, again in 49m29s")
		// A clock that is set back, and one that is corrected a little, mean nothing.
		w.changed(func() { w.mu.leap = 0 })
		w.until(22 * time.Second)
		w.changed(func() { w.mu.leap = 4 * time.Second })
		w.until(40 * time.Second)
		w.wants()
	})
}

func TestAgentTellsThatItsLeaseIsOver(t *testing.T) {
	inWorld(t, func(w *world) { w.agent.Registration.Lease = time.Minute }, func(w *world) {
		w.until(time.Second)
		w.answers(nil, ErrUnreachable)
		w.until(61 * time.Second)
		w.answers(&Registered{Lease: time.Minute}, nil)
		w.until(64 * time.Second)
		w.wants("0s: register 10.0.0.1 at 192.0.2.53:53", "0s: registered 10.0.0.1 for 1m0s, again in 49.5s",
			"49.5s: register 10.0.0.1 at 192.0.2.53:53", "49.5s: failed (no server answers), again in 750ms",
			"50.25s: register 10.0.0.1 at 192.0.2.53:53", "50.25s: failed (no server answers), again in 1.5s",
			"51.75s: register 10.0.0.1 at 192.0.2.53:53", "51.75s: failed (no server answers), again in 3s",
			"54.75s: register 10.0.0.1 at 192.0.2.53:53", "54.75s: failed (no server answers), again in 6s",
			"1m0s: expired (the lease of 1m0s is over: callers no longer find the number), again in 0s",
			"1m0.75s: register 10.0.0.1 at 192.0.2.53:53", "1m0.75s: failed (no server answers), again in 12s")
		w.until(73 * time.Second)
		w.wants("1m12.75s: register 10.0.0.1 at 192.0.2.53:53", "1m12.75s: registered 10.0.0.1 for 1m0s, again in 49.5s")
	})
}

// TestAgentNobodyTells looks by itself where the system tells nothing of changes.
func TestAgentNobodyTells(t *testing.T) {
	inWorld(t, func(w *world) { w.changes = nil }, func(w *world) {
		w.until(6 * time.Second)
		w.changed(func() { w.mu.ways[here] = "10.0.0.2" })
		w.until(11 * time.Second)
		w.wants("0s: register 10.0.0.1 at 192.0.2.53:53", "0s: registered 10.0.0.1 for 1h0m0s, again in 49m30s",
			"10s: register 10.0.0.2 at 192.0.2.53:53", "10s: registered 10.0.0.2 for 1h0m0s, again in 49m30s")
	})
}

func TestAgentStartsLate(t *testing.T) {
	inWorld(t, func(w *world) { w.agent.StartDelay = 3 * time.Second }, func(w *world) {
		w.until(time.Second)
		w.moves(func() { w.mu.ways[here] = "10.0.0.2" })
		w.until(2 * time.Second)
		w.wants("1.5s: register 10.0.0.2 at 192.0.2.53:53", "1.5s: registered 10.0.0.2 for 1h0m0s, again in 49m30s")
	})
	inWorld(t, func(w *world) { w.agent.StartDelay = time.Hour }, func(w *world) {
		w.until(time.Minute)
		w.stops(nil)
		w.wants()
	})
}

func TestAgentKeeps(t *testing.T) {
	inWorld(t, func(w *world) { w.agent.Keep = true }, func(w *world) {
		w.until(time.Second)
		w.stops(nil)
		w.wants("0s: register 10.0.0.1 at 192.0.2.53:53", "0s: registered 10.0.0.1 for 1h0m0s, again in 49m30s")
	})
}

func TestAgentNeedsSense(t *testing.T) {
	inWorld(t, func(w *world) { w.answers(nil, mistake("no")); w.agent.Notify = nil }, func(w *world) {
		var wrong *InputError
		err := <-w.ended
		if w.ended <- err; !errors.As(err, &wrong) {
			t.Error(err)
		}
	})
}

func TestLiterals(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.53":                   "192.0.2.53:53",
		"192.0.2.53:5300 2001:db8::53": "192.0.2.53:5300 [2001:db8::53]:53",
		"[2001:db8::53]:5300":          "[2001:db8::53]:5300",
		"[2001:db8::53]":               "[2001:db8::53]:53",
		"192.0.2.53 ns1.example":       "",
		"ns1.example:53":               "",
		"":                             "",
	} {
		if got := strings.Join(literals(strings.Fields(text)), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestAgentRegisters has the machine it runs on, and a server that grants less.
func TestAgentRegisters(t *testing.T) {
	s := newServer(t, "")
	s.answers(func(_ dns.ResponseWriter, req, reply *dns.Msg) bool {
		reply.SetEdns0(1232, false)
		for _, o := range options(req) {
			reply.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_UL{Code: dns.EDNS0UL, Lease: min(o.Lease, 1800)}}
		}
		return true
	})
	r := registration(s)
	r.Key, r.Lease = testKey(t, "5551234.phones.example", secret), lease
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var events []Event
	a := &Agent{Registration: r, Notify: func(e Event) {
		events = append(events, e)
		cancel()
	}}
	if err := a.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 || events[0].State != StateRegistered || events[1].State != StateWithdrawn {
		t.Fatalf("%+v", events)
	}
	if d := events[0].Done; d.Lease != 30*time.Minute || joined(d.Addresses) != "127.0.0.1" || d.Server != s.addr {
		t.Errorf("%+v", d)
	}
	if p := events[0].Retry; p < 24*time.Minute || p > 25*time.Minute+30*time.Second {
		t.Errorf("it refreshes after %s", p)
	}
	if times := s.times(); len(times) != 2 || cmp.Compare(times[0], times[1]) >= 0 {
		t.Errorf("%v", times)
	}
	if o := options(s.last()); len(o) != 1 || o[0].Lease != 0 || len(s.last().Ns) != 3 {
		t.Errorf("%v", s.last())
	}
}
