package phone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// TestUpdateIsSentAgainAsItIs loses the first datagram, and lets TCP answer: a server sees one message three times.
func TestUpdateIsSentAgainAsItIs(t *testing.T) {
	for name, key := range map[string]*Key{"signed": testKey(t, "5551234.phones.example", secret), "unsigned": nil} {
		s := newServer(t, "")
		asked := 0
		s.answers(func(w dns.ResponseWriter, req, reply *dns.Msg) bool {
			asked++
			reply.Truncated = asked == 2
			return asked > 1
		})
		r := registration(s)
		r.Key = key
		if _, err := Register(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.octets) != 3 || !bytes.Equal(s.octets[0], s.octets[1]) || !bytes.Equal(s.octets[0], s.octets[2]) {
			t.Errorf("%s: %x", name, s.octets)
		}
		if !strings.HasPrefix(s.from[0], "udp") || s.from[0] != s.from[1] || !strings.HasPrefix(s.from[2], "tcp") {
			t.Errorf("%s: %q", name, s.from)
		}
	}
}

// TestQueryIsMadeAnew: who has seen one question does not know the next.
func TestQueryIsMadeAnew(t *testing.T) {
	s := newServer(t, "@ SOA ns1 h 1 1 1 1 1\n")
	asked := 0
	s.answers(func(_ dns.ResponseWriter, req, reply *dns.Msg) bool { asked++; return asked > 1 })
	q := newQuery(context.Background(), []string{s.addr})
	if _, err := q.all("phones.example.", dns.TypeSOA); err != nil {
		t.Fatal(err)
	}
	if from := s.ways(); len(from) != 2 || from[0] == from[1] {
		t.Errorf("%q", from)
	}
}

// keeper is a server that keeps the newest time signed, and has a clock of its own.
type keeper struct {
	ahead  int64 // of the clock here, in seconds
	newest int64
}

func (k *keeper) answer(t *testing.T) func(dns.ResponseWriter, *dns.Msg, *dns.Msg) bool {
	return func(w dns.ResponseWriter, req, reply *dns.Msg) bool {
		x := req.IsTsig()
		// The library checks the time by the clock here; the MAC was right then.
		if err := w.TsigStatus(); err != nil && !errors.Is(err, dns.ErrTime) {
			t.Errorf("%v", err)
			return false
		}
		signed, now := int64(x.TimeSigned), time.Now().Unix()+k.ahead
		reply.SetTsig(x.Hdr.Name, x.Algorithm, fudge, now)
		if differ(signed, now) || signed < k.newest {
			reply.Rcode = dns.RcodeNotAuth
			sig := reply.IsTsig()
			sig.Error, sig.TimeSigned, sig.OtherLen, sig.OtherData = dns.RcodeBadTime, x.TimeSigned, 6, fmt.Sprintf("%012x", now)
			return true
		}
		k.newest = signed
		return true
	}
}

// increasing tells whether each time is later than the one before.
func increasing(times []int64) bool {
	for i := range times[1:] {
		if times[i+1] <= times[i] {
			return false
		}
	}
	return true
}

func TestTimeSignedIncreases(t *testing.T) {
	s, k := newServer(t, ""), &keeper{}
	s.answers(k.answer(t))
	r := registration(s)
	r.Key = testKey(t, "5551234.phones.example", secret)
	for range 5 {
		if _, err := Register(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		r.Key = testKey(t, "5551234.phones.example", secret) // the same, read once more
	}
	if times := s.times(); len(times) != 5 || !increasing(times) {
		t.Errorf("%v", times)
	}
}

// TestWrongClock: a phone whose clock is wrong asks twice once, and then knows the server's time.
func TestWrongClock(t *testing.T) {
	for _, ahead := range []int64{86400, -86400, 20 * 365 * 86400} {
		s, k := newServer(t, ""), &keeper{ahead: ahead}
		s.answers(k.answer(t))
		r := registration(s)
		r.Key = testKey(t, "5551234.phones.example", secret)
		for i := range 3 {
			if _, err := Register(context.Background(), r); err != nil {
				t.Fatalf("clocks differ by %d: %v", ahead, err)
			}
			if times := s.times(); len(times) != 2+i || !increasing(times[1:]) {
				t.Errorf("clocks differ by %d: %v", ahead, times)
			}
		}
	}
	// And when it is right again.
	s, k := newServer(t, ""), &keeper{}
	s.answers(k.answer(t))
	r := registration(s)
	r.Key = testKey(t, "5551234.phones.example", secret)
	if _, err := Register(context.Background(), r); err != nil || len(s.times()) != 2 {
		t.Errorf("%v, %v", s.times(), err)
	}
}

// TestNewerSignature: another process has signed some seconds ahead; and so far ahead that no new time helps.
func TestNewerSignature(t *testing.T) {
	s, k := newServer(t, ""), &keeper{newest: signatures.next("5551234.phones.example.") + 2}
	s.answers(k.answer(t))
	r := registration(s)
	r.Key = testKey(t, "5551234.phones.example", secret)
	if _, err := Register(context.Background(), r); err != nil || len(s.times()) != 2 || !increasing(s.times()) {
		t.Errorf("%v, %v", s.times(), err)
	}
	s.answers((&keeper{newest: time.Now().Unix() + 1000}).answer(t))
	_, err := Register(context.Background(), r)
	var said *ServerError
	if !errors.As(err, &said) || said.TSIG != dns.RcodeBadTime || !said.Temporary() || len(s.times()) != 4 {
		t.Errorf("%v, %v", s.times(), err)
	}
}

// TestForgedTime: a time that is not signed is nobody's, and leads to no signature for later.
func TestForgedTime(t *testing.T) {
	for _, forge := range []func(sig *dns.TSIG){
		func(sig *dns.TSIG) { sig.MAC, sig.MACSize = "", 0 },
		func(sig *dns.TSIG) { sig.MAC = strings.Repeat("00", int(sig.MACSize)) },
		func(sig *dns.TSIG) { sig.OtherLen, sig.OtherData = 0, "" },
		func(sig *dns.TSIG) { sig.OtherLen, sig.OtherData = 7, "00000000000001" },
	} {
		s := newServer(t, "")
		s.answers(func(w dns.ResponseWriter, req, reply *dns.Msg) bool {
			x := req.IsTsig()
			reply.Rcode = dns.RcodeNotAuth
			reply.SetTsig(x.Hdr.Name, x.Algorithm, fudge, int64(x.TimeSigned))
			sig := reply.IsTsig()
			sig.Error, sig.OtherLen, sig.OtherData = dns.RcodeBadTime, 6, fmt.Sprintf("%012x", x.TimeSigned+86400)
			b, _, err := dns.TsigGenerate(reply, secret, x.MAC, false)
			if err != nil {
				t.Error(err)
			}
			m := new(dns.Msg)
			if err := m.Unpack(b); err != nil {
				t.Error(err)
			}
			forge(m.IsTsig())
			if b, err = m.Pack(); err != nil {
				t.Error(err)
			}
			w.Write(b)
			return false
		})
		r := registration(s)
		r.Key = testKey(t, "5551234.phones.example", secret)
		_, err := Register(context.Background(), r)
		var said *ServerError
		if !errors.As(err, &said) || said.TSIG != dns.RcodeBadTime {
			t.Errorf("%v", err)
		}
		times := s.times()
		for _, at := range times {
			if at != times[0] {
				t.Errorf("it signed for %d after %d", at, times[0])
			}
		}
	}
}

// TestForgedAnswersAreWaitedOut: what comes from somebody else first does not keep the answer from coming.
func TestForgedAnswersAreWaitedOut(t *testing.T) {
	s := newServer(t, "")
	s.answers(func(w dns.ResponseWriter, req, reply *dns.Msg) bool {
		forged := reply.Copy()
		forged.Rcode = dns.RcodeRefused
		forged.SetTsig(req.IsTsig().Hdr.Name, dns.HmacSHA256, fudge, time.Now().Unix())
		b, _, err := dns.TsigGenerate(forged, "d3Jvbmc=", req.IsTsig().MAC, false)
		if err != nil {
			t.Error(err)
		}
		other := reply.Copy()
		other.Id++
		o, err := other.Pack()
		if err != nil {
			t.Error(err)
		}
		for _, m := range [][]byte{b, o, b[:5], b[:40], nil} {
			w.Write(m)
		}
		return true
	})
	r := registration(s)
	r.Key = testKey(t, "5551234.phones.example", secret)
	if done, err := Register(context.Background(), r); err != nil || len(s.ways()) != 1 {
		t.Errorf("%+v, %v, %q", done, err, s.ways())
	}
}

func TestClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clocks
		now := time.Now().Unix()
		want := func(got, want int64) {
			t.Helper()
			if got != now+want {
				t.Errorf("%+d, want %+d", got-now, want)
			}
		}
		want(c.next("a"), 0)
		want(c.next("a"), 1)
		want(c.next("b"), 0)
		time.Sleep(10 * time.Second)
		want(c.next("a"), 10)
		// The server is a day behind; two signatures at the same time were too early.
		want(c.next("a"), 11)
		want(c.correct("a", now+10, now+10-86400), 10-86400)
		want(c.correct("a", now+11, now+10-86400), 11-86400)
		time.Sleep(10 * time.Second)
		want(c.next("a"), 20-86400)
		want(c.next("b"), 20)
		// It has a newer one.
		want(c.correct("b", now+20, now+25), 26)
		want(c.correct("b", now+26, now+25), 27)
		for i := range maxClocks + 10 {
			c.next(fmt.Sprint(i))
			if i == maxClocks/2 {
				time.Sleep(time.Hour)
			}
		}
		if n := len(c.mu.of); n > maxClocks/2+20 {
			t.Errorf("it keeps %d clocks", n)
		}
		want(c.next("a"), 3620-86400)
	})
}

// TestKeyPairsSignInOrder: a server answers NOTAUTH to what is older, and no time of its own that could be trusted.
func TestKeyPairsSignInOrder(t *testing.T) {
	s := newServer(t, "")
	r := registration(s)
	var err error
	if r.Key, err = GenerateKey("5551234.phones.example", ""); err != nil {
		t.Fatal(err)
	}
	var last uint32
	for range 3 {
		if _, err := Register(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		m := s.last()
		sig, ok := m.Extra[len(m.Extra)-1].(*dns.SIG)
		if !ok || sig.Inception <= last {
			t.Fatalf("%v, after %d", m.Extra, last)
		}
		last = sig.Inception
	}
	s.answers(func(_ dns.ResponseWriter, _, reply *dns.Msg) bool {
		reply.Rcode = dns.RcodeNotAuth
		return true
	})
	var said *ServerError
	if _, err := Register(context.Background(), r); !errors.As(err, &said) || !said.Temporary() {
		t.Errorf("%v", err)
	}
	// To others it says that it is not the server of the zone.
	r.Key = nil
	if _, err := Register(context.Background(), r); !errors.As(err, &said) || said.Temporary() {
		t.Errorf("%v", err)
	}
}

// FuzzReply has replies to a signed update, of which only those are taken for signed that are.
func FuzzReply(f *testing.F) {
	key, err := NewKey("5551234.phones.example.", "", secret)
	if err != nil {
		f.Fatal(err)
	}
	now := int64(1 << 30)
	p := &parcel{msg: new(dns.Msg).SetUpdate("phones.example.").SetEdns0(udpSize, false)}
	p.msg.Id = 4711
	if err := p.sign(key, now); err != nil {
		f.Fatal(err)
	}
	var macs []string
	for _, code := range []uint16{dns.RcodeSuccess, dns.RcodeBadTime, dns.RcodeBadKey} {
		reply := new(dns.Msg).SetReply(p.msg)
		reply.SetEdns0(1232, false).IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_UL{Code: dns.EDNS0UL, Lease: 3600}}
		reply.SetTsig(key.Name, key.Algorithm, fudge, now)
		if sig := reply.IsTsig(); code != dns.RcodeSuccess {
			reply.Rcode, sig.Error, sig.OtherLen, sig.OtherData = dns.RcodeNotAuth, code, 6, fmt.Sprintf("%012x", now+86400)
		}
		octets, mac, err := dns.TsigGenerate(reply, secret, p.mac, false)
		if err != nil {
			f.Fatal(err)
		}
		macs = append(macs, mac)
		if _, signed, err := p.open(octets, key); err != nil || signed != (code != dns.RcodeBadKey) {
			f.Fatalf("%d: %v, %v", code, signed, err)
		}
		f.Add(octets)
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		reply, signed, err := p.open(octets, key)
		if err != nil {
			return
		}
		if x := reply.IsTsig(); signed && !slices.Contains(macs, x.MAC) {
			t.Errorf("taken for signed: %v", reply)
		}
		if at, ok := serverTime(reply); ok && (at < 0 || at >= 1<<48) {
			t.Errorf("the server's time is %d", at)
		}
		for _, lease := range []time.Duration{0, time.Hour} {
			granted, key := (&Registration{Lease: lease, KeyLease: 2 * lease}).granted(reply)
			if most := (1<<32 - 1) * time.Second; granted < 0 || granted > most || key < 0 || key > most || lease == 0 && granted != 0 {
				t.Errorf("granted %v, %v", granted, key)
			}
		}
	})
}
