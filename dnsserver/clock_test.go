package dnsserver

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone"
)

// stepped is a server whose clock a test sets, to any time.
type stepped struct {
	*Server
	t     *testing.T
	clock *atomic.Int64 // seconds since 1970
}

// startStepped runs one. Its clock stands still, so that all that passes of time is what the test says.
func startStepped(t *testing.T) stepped {
	t.Helper()
	s := stepped{t: t, clock: new(atomic.Int64)}
	s.clock.Store(1_800_000_000)
	o := testOptions(t)
	o.Now = func() time.Time { return time.Unix(s.clock.Load(), 0) }
	o.Zones[0].Lease.Max, o.Zones[0].Lease.KeyMax = 7*24*3600, 7*24*3600
	s.Server, _ = start(t, o)
	return s
}

const aDay = 24 * 3600

// step sets the clock and has the server look at it, as it does four times a second.
func (s stepped) step(seconds int64) {
	s.clock.Add(seconds)
	s.lookAtClock()
}

func (s stepped) is(name, address string) {
	s.t.Helper()
	if got := addressOf(s.t, "udp", s.Addrs()[0], name); got != address {
		s.t.Errorf("at %d, %s is at %q, not %q", s.clock.Load(), name, got, address)
	}
}

func (s stepped) signs(address string, signed int64) (rcode, sig int) {
	s.t.Helper()
	return exchanged(s.t, "udp", s.Server, at(s.t, moved(address), time.Unix(signed, 0)))
}

// TestClockStepsAndLeases: a step ahead is time that has passed, as after the sleep of a machine: what has ended by the clock is not
// answered, and a refresh brings it back. A step back ends nothing early. A lease counts from the refresh, whatever the clock was.
func TestClockStepsAndLeases(t *testing.T) {
	s := startStepped(t)
	to := s.Addrs()[0]
	register := func(number string, seconds uint32) {
		t.Helper()
		if r := ask(t, "udp", to, withLease(insert(number+"."+apex+" 60 A 192.0.2.5"), leaseData(seconds))); r.Rcode != dns.RcodeSuccess {
			t.Fatal(r)
		}
	}
	register("5", 3600)
	register("6", 3*aDay)
	s.step(aDay)
	s.is("5."+apex, "")
	s.is("6."+apex, "192.0.2.5")
	register("5", 3600)
	s.is("5."+apex, "192.0.2.5")
	s.step(-aDay)
	s.is("5."+apex, "192.0.2.5")
	s.is("6."+apex, "192.0.2.5")
	s.step(2 * 3600) // nobody has refreshed it, and by this clock it has a day more
	s.is("5."+apex, "192.0.2.5")
	register("5", 3600)
	s.step(3599)
	s.is("5."+apex, "192.0.2.5")
	s.step(1)
	s.is("5."+apex, "")
	s.is("100."+apex, "192.0.2.100") // has no lease
}

// TestClockStepsAndSignatures: who signs by another clock is told the server's (RFC 8945, section 5.2.3), and is taken again when both
// agree. No step makes an update be done twice, or an older one after a newer.
func TestClockStepsAndSignatures(t *testing.T) {
	s := startStepped(t)
	now := s.clock.Load()
	first := at(t, moved("192.0.2.1"), time.Unix(now, 0))
	if rcode, _ := exchanged(t, "udp", s.Server, first); rcode != dns.RcodeSuccess {
		t.Fatalf("RCODE %d", rcode)
	}
	s.step(aDay)
	if rcode, sig := s.signs("192.0.2.2", now+5); rcode != dns.RcodeNotAuth || sig != dns.RcodeBadTime {
		t.Errorf("a day ahead: RCODE %d, error %d", rcode, sig)
	}
	s.is(keyName, "192.0.2.1")
	s.step(10 - aDay)
	if rcode, _ := s.signs("192.0.2.3", now+10); rcode != dns.RcodeSuccess {
		t.Errorf("both are right again: RCODE %d", rcode)
	}
	// The first again, from before the steps: the newest that was taken is newer.
	exchanged(t, "udp", s.Server, first)
	s.is(keyName, "192.0.2.3")
	s.step(-60)
	if rcode, sig := s.signs("192.0.2.4", now-50); rcode != dns.RcodeNotAuth || sig != dns.RcodeBadTime {
		t.Errorf("a minute back: RCODE %d, error %d", rcode, sig)
	}
	s.is(keyName, "192.0.2.3")
	s.step(61)
	if rcode, _ := s.signs("192.0.2.5", now+11); rcode != dns.RcodeSuccess {
		t.Errorf("when the clock is where it was: RCODE %d", rcode)
	}
	s.is(keyName, "192.0.2.5")
}

// TestReleaseForgetsTimesToCome: a key that has signed while its clock and the server's were a day ahead is too old for a day, when both
// are right; releasing its number ends that, and what was signed before the release is not taken all the same.
func TestReleaseForgetsTimesToCome(t *testing.T) {
	s := startStepped(t)
	now := s.clock.Load()
	s.step(aDay)
	if rcode, _ := s.signs("192.0.2.1", now+aDay); rcode != dns.RcodeSuccess {
		t.Fatalf("RCODE %d", rcode)
	}
	s.step(-aDay)
	early := at(t, moved("192.0.2.2"), time.Unix(now-1, 0))
	if rcode, sig := exchanged(t, "udp", s.Server, early); rcode != dns.RcodeNotAuth || sig != dns.RcodeBadTime {
		t.Errorf("RCODE %d, error %d", rcode, sig)
	}
	s.is(keyName, "192.0.2.1")
	op := &releaseOp{number: "100", done: make(chan zone.Committed, 1)}
	if err := s.Zones().All()[0].Submit(op); err != nil {
		t.Fatal(err)
	}
	if c := <-op.done; c.Err != nil {
		t.Fatal(c.Err)
	}
	if rcode, sig := exchanged(t, "udp", s.Server, early); rcode != dns.RcodeNotAuth || sig != dns.RcodeBadTime {
		t.Errorf("signed before the release: RCODE %d, error %d", rcode, sig)
	}
	s.step(1)
	if rcode, _ := s.signs("192.0.2.3", now+1); rcode != dns.RcodeSuccess {
		t.Errorf("after the release: RCODE %d", rcode)
	}
	s.is(keyName, "192.0.2.3")
}

// TestClockStepsAndCookies: a cookie from a time that is not now is none, and its client gets another (RFC 9018, section 4.3).
func TestClockStepsAndCookies(t *testing.T) {
	s := startStepped(t)
	to := s.Addrs()[0]
	for _, seconds := range []int64{aDay, -2 * aDay} {
		old := learn(t, "udp", to)
		s.step(seconds)
		if r := ask(t, "udp", to, probe(old)); r.Rcode != dns.RcodeBadCookie {
			t.Errorf("a step of %d s: %v", seconds, r)
		}
		r := ask(t, "udp", to, withCookie(query("100."+apex, dns.TypeA), old))
		if fresh := cookieOf(r); r.Rcode != dns.RcodeSuccess || len(r.Answer) != 1 || len(fresh) != 48 || fresh == old {
			t.Errorf("a step of %d s: %v", seconds, r)
		}
	}
}

// TestClockStepsAndSerials: a serial counts changes and knows no clock.
func TestClockStepsAndSerials(t *testing.T) {
	s := startStepped(t)
	to := s.Addrs()[0]
	serial := soa(t, to)
	for i, seconds := range []int64{aDay, -2 * aDay, 0, -aDay} {
		s.step(seconds)
		if r := ask(t, "tcp", to, insert("7."+apex+" 60 A 192.0.2."+string(rune('1'+i)))); r.Rcode != dns.RcodeSuccess {
			t.Fatal(r)
		}
		if got := soa(t, to); got != serial+1 {
			t.Errorf("serial %d after %d", got, serial)
		}
		serial++
	}
}
