package dnsserver

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update"
	"dialtone/update/acl"
	"dialtone/update/tsig"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// exchanged sends octets and gives RCODE and TSIG error of the reply.
func exchanged(t *testing.T, proto string, s *Server, raw []byte) (rcode, sig int) {
	t.Helper()
	r := new(dns.Msg)
	if err := r.Unpack(exchangeRaw(t, proto, s.Addrs()[0], raw)); err != nil {
		t.Fatal(err)
	}
	if x := r.IsTsig(); x != nil {
		sig = int(x.Error)
	}
	return r.Rcode, sig
}

// TestReplayByWayOfTheNewest: of two updates of one second the newer one is sent again by somebody when the answers are
// forgotten. That opens no way for the older one.
func TestReplayByWayOfTheNewest(t *testing.T) {
	var clock testClock
	o := testOptions(t)
	o.Now = clock.now
	s, _ := start(t, o)
	now := time.Now()
	older, newer := at(t, moved("192.0.2.66"), now), at(t, moved("192.0.2.102"), now)
	for _, raw := range [][]byte{older, newer} {
		if rcode, _ := exchanged(t, "udp", s, raw); rcode != dns.RcodeSuccess {
			t.Fatal(rcode)
		}
	}
	for range 3 {
		clock.ahead.Add(int64(answeredFor))
		s.answered.tick(clock.now())
	}
	for i, c := range []struct {
		raw        []byte
		rcode, sig int
	}{
		{older, dns.RcodeNotAuth, dns.RcodeBadTime},
		{newer, dns.RcodeSuccess, 0},
		{older, dns.RcodeNotAuth, dns.RcodeBadTime},
	} {
		if rcode, sig := exchanged(t, "udp", s, c.raw); rcode != c.rcode || sig != c.sig {
			t.Errorf("step %d: RCODE %d, TSIG error %d", i, rcode, sig)
		}
		if got := addressOf(t, "udp", s.Addrs()[0], keyName); got != "192.0.2.102" {
			t.Errorf("step %d: it is at %s", i, got)
		}
	}
}

// TestClockFarAhead: nobody puts the newest time where nothing can follow, whatever the fudge.
func TestClockFarAhead(t *testing.T) {
	s, _ := start(t, testOptions(t))
	for _, ahead := range []time.Duration{maxSkew + time.Minute, -maxSkew - time.Minute} {
		m := moved("192.0.2.66")
		m.SetTsig(keyName, dns.HmacSHA256, 65535, time.Now().Add(ahead).Unix())
		raw, _, err := dns.TsigGenerate(m, secret, "", false)
		if err != nil {
			t.Fatal(err)
		}
		if rcode, sig := exchanged(t, "udp", s, raw); rcode != dns.RcodeNotAuth || sig != dns.RcodeBadTime {
			t.Errorf("%v ahead: RCODE %d, TSIG error %d", ahead, rcode, sig)
		}
	}
	if rcode, _ := exchanged(t, "udp", s, at(t, moved("192.0.2.1"), time.Now())); rcode != dns.RcodeSuccess {
		t.Errorf("RCODE %d", rcode)
	}
}

// TestSourceOfACopy: an update that takes its source address is refused from another address, also when the answer to it
// is known.
func TestSourceOfACopy(t *testing.T) {
	o := testOptions(t)
	o.Zones[0].ACL = rules(t, apex, acl.Rule{AnyKey: true, Actions: acl.Update, SelfNumber: true, SourceAddress: true})
	s, _ := start(t, o)
	raw := at(t, moved("0.0.0.0"), time.Now())
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}}
	c, err := d.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second)) // only so that a lost reply fails the test
	exchangeOn(t, &dns.Conn{Conn: c}, raw)
	if rcode, _ := exchanged(t, "tcp", s, raw); rcode != dns.RcodeRefused {
		t.Errorf("from another address: RCODE %d", rcode)
	}
}

// TestNumberOfASecretIsNotClaimed: it has no KEY record, and is somebody's all the same.
func TestNumberOfASecretIsNotClaimed(t *testing.T) {
	var clock testClock
	o := keyOptions(t, &clock)
	raw := o.Keys[0].Secret
	o.Keys = append(o.Keys, tsig.Key{Name: rr.MustName("2000." + apex), Algorithm: tsig.HMACSHA256, Secret: raw})
	o.Zones[0].Text += "2002 A 192.0.2.2\n"
	s, _ := start(t, o)
	k := keyServer{s, t}
	for _, number := range []string{"2000", "2002"} {
		p := newPair(t, number)
		k.send("tcp", p.sign(t, p.claim("192.0.2.66"), clock.now()), dns.RcodeYXDomain, "")
	}
	k.is("2002", "192.0.2.2")
}

// TestCopyOverTCPWaits for the answer to what came before.
func TestCopyOverTCPWaits(t *testing.T) {
	s, _ := start(t, testOptions(t))
	// The writer is busy.
	hold, held := make(chan bool), make(chan bool)
	z := s.zoneOf(rr.MustName(apex)).z
	if err := z.Submit(&busyOp{held, hold}); err != nil {
		t.Fatal(err)
	}
	<-held
	raw := at(t, moved("192.0.2.101"), time.Now())
	udp, tcp := dial(t, "udp", s.Addrs()[0]), dial(t, "tcp", s.Addrs()[0])
	if _, err := udp.Write(raw); err != nil {
		t.Fatal(err)
	}
	for z.QueueLen() == 0 {
	}
	if _, err := tcp.Write(raw); err != nil {
		t.Fatal(err)
	}
	for waits := false; !waits; {
		s.answered.mu.Lock()
		waits = len(s.answered.mu.waiting) > 0
		s.answered.mu.Unlock()
	}
	close(hold)
	for proto, c := range map[string]*dns.Conn{"udp": udp, "tcp": tcp} {
		reply, err := c.ReadMsgHeader(nil)
		m := new(dns.Msg)
		if err == nil {
			err = m.Unpack(reply)
		}
		if err != nil || m.Rcode != dns.RcodeSuccess {
			t.Errorf("%s: %v, %v", proto, m, err)
		}
	}
	if _, repeated := s.answered.remembered(); repeated != 1 {
		t.Errorf("%d came again", repeated)
	}
}

// busyOp keeps a zone's writer.
type busyOp struct{ held, hold chan bool }

func (o *busyOp) Evaluate(*zone.Draft) error { o.held <- true; <-o.hold; return nil }
func (o *busyOp) Done(zone.Committed)        {}

// TestCopiesAreNotVerified: one good update that is sent again takes nothing from the quota of signatures.
func TestCopiesAreNotVerified(t *testing.T) {
	var clock testClock
	mine := newPair(t, "5551234")
	s, _ := start(t, keyOptions(t, &clock, mine))
	k := keyServer{s, t}
	raw := mine.sign(t, mine.claim("192.0.2.1"), clock.now())
	for range 50 {
		k.send("udp", raw, dns.RcodeSuccess, "")
	}
	if n := s.Counters.KeysVerified.Load(); n != 1 {
		t.Errorf("%d were verified", n)
	}
}

// TestClocksOfClients: whatever a client's clock says, several updates of one second are taken, and none is done twice.
func TestClocksOfClients(t *testing.T) {
	for _, skew := range []time.Duration{0, -3 * time.Second, -25 * time.Second, -4 * time.Minute, 4 * time.Minute} {
		var clock testClock
		o := testOptions(t)
		o.Now = clock.now
		s, _ := start(t, o)
		signed := time.Now().Add(skew)
		first, second := at(t, moved("192.0.2.1"), signed), at(t, moved("192.0.2.2"), signed)
		if rcode, _ := exchanged(t, "udp", s, first); rcode != dns.RcodeSuccess {
			t.Errorf("%v: RCODE %d", skew, rcode)
		}
		clock.ahead.Store(int64(5 * time.Second)) // it was lost, and is sent again
		if rcode, sig := exchanged(t, "udp", s, second); rcode != dns.RcodeSuccess {
			t.Errorf("%v, the second: RCODE %d, TSIG error %d", skew, rcode, sig)
		}
		for range 3 {
			clock.ahead.Add(int64(answeredFor))
			s.answered.tick(clock.now())
		}
		if rcode, _ := exchanged(t, "udp", s, first); rcode != dns.RcodeNotAuth {
			t.Errorf("%v, the first again: RCODE %d", skew, rcode)
		}
	}
}

// TestSharedKeyMayBeLate: messages of several clients overtake each other; those that were done are not done again.
func TestSharedKeyMayBeLate(t *testing.T) {
	const shared = "dhcp.key."
	var clock testClock
	o := testOptions(t)
	o.Now = clock.now
	o.Keys = append(o.Keys, tsig.Key{Name: rr.MustName(shared), Algorithm: tsig.HMACSHA256, Secret: o.Keys[0].Secret})
	o.Zones[0].ACL = rules(t, apex, acl.Rule{AnyKey: true, Actions: acl.Update})
	s, _ := start(t, o)
	now := time.Now()
	by := func(address string, signed time.Time) []byte {
		m := moved(address)
		m.SetTsig(shared, dns.HmacSHA256, 300, signed.Unix())
		raw, _, err := dns.TsigGenerate(m, secret, "", false)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	first := by("192.0.2.1", now)
	for i, c := range []struct {
		raw   []byte
		rcode int
		is    string
	}{
		{first, dns.RcodeSuccess, "192.0.2.1"},
		{by("192.0.2.2", now.Add(6*time.Second)), dns.RcodeSuccess, "192.0.2.2"},
		{by("192.0.2.3", now.Add(4*time.Second)), dns.RcodeSuccess, "192.0.2.3"},
		{first, dns.RcodeSuccess, "192.0.2.3"}, // its first answer
		{by("192.0.2.5", now.Add(-time.Second)), dns.RcodeSuccess, "192.0.2.5"},
		{by("192.0.2.66", now.Add(-8*time.Second)), dns.RcodeNotAuth, "192.0.2.5"}, // too late
	} {
		if rcode, _ := exchanged(t, "udp", s, c.raw); rcode != c.rcode || addressOf(t, "udp", s.Addrs()[0], keyName) != c.is {
			t.Errorf("step %d: RCODE %d, it is at %s", i, rcode, addressOf(t, "udp", s.Addrs()[0], keyName))
		}
	}
	// When the answer is forgotten, it is late.
	for range 2 {
		clock.ahead.Add(int64(answeredFor))
		s.answered.tick(clock.now())
	}
	if rcode, _ := exchanged(t, "udp", s, by("192.0.2.4", now.Add(7*time.Second))); rcode != dns.RcodeSuccess {
		t.Errorf("RCODE %d", rcode)
	}
	if rcode, _ := exchanged(t, "udp", s, first); rcode != dns.RcodeNotAuth || addressOf(t, "udp", s.Addrs()[0], keyName) != "192.0.2.4" {
		t.Errorf("RCODE %d, it is at %s", rcode, addressOf(t, "udp", s.Addrs()[0], keyName))
	}
}

func TestMoments(t *testing.T) {
	var m moments
	at := func(i int) uint64 { return uint64(i) }
	m.floor = 10
	for i := range 3 * maxMoments {
		m.add(uint32(10+2*i), uint32(12+2*i), at(i))
	}
	for signed := range uint32(200) {
		got, ok := m.reached(signed)
		first := 2 * maxMoments // of list
		want, known := at(first), signed > 10+2*uint32(first) && signed <= 10+2*3*maxMoments
		if known {
			want = at(int(signed-11) / 2)
		}
		if ok != known || known && got != want {
			t.Fatalf("%d: %v, %v, want %v, %v", signed, got, ok, want, known)
		}
	}
	// What was evaluated twice counts once, and of what nobody told nothing is known.
	n := len(m.list)
	m.add(105, 106, at(999))
	if len(m.list) != n {
		t.Error("it is noted twice")
	}
	m.add(500, 501, at(1000))
	if _, ok := m.reached(499); ok || len(m.list) != 1 {
		t.Error("what was before is known")
	}
}

// TestRepeatedLeaseOfAnotherZone sends an update with a lease and a record of no zone here that is older than another of its
// key: what is left of its lease is looked for before its records are looked at.
func TestRepeatedLeaseOfAnotherZone(t *testing.T) {
	var clock testClock
	o := testOptions(t)
	o.Now = clock.now
	o.Zones[0].Lease = update.LeaseLimits{Min: 30, Max: 3600, KeyMax: 7200}
	o.Zones[0].ACL = rules(t, apex, acl.Rule{Keys: []rr.Name{rr.MustName(keyName)}, Actions: acl.Update})
	s, _ := start(t, o)
	newer := at(t, withLease(moved("192.0.2.1"), leaseData(3600)), clock.now().Add(2*time.Second))
	if rcode, _ := exchanged(t, "udp", s, newer); rcode != dns.RcodeSuccess {
		t.Fatal(dns.RcodeToString[rcode])
	}
	m := withLease(moved("192.0.2.2"), leaseData(3600))
	m.Insert(parseAll([]string{"x. 60 A 192.0.2.3"}))
	if rcode, _ := exchanged(t, "udp", s, at(t, m, clock.now())); rcode == dns.RcodeSuccess {
		t.Error("it was done")
	}
	if got := addressOf(t, "udp", s.Addrs()[0], keyName); got != "192.0.2.1" {
		t.Error(got)
	}
}
