package dnsserver

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

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
	list, err := acl.Compile(rr.MustName(apex), []acl.Rule{{AnyKey: true, Actions: acl.Update, SelfNumber: true, SourceAddress: true}})
	if err != nil {
		t.Fatal(err)
	}
	o.Zones[0].ACL = list
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
