package dnsserver

import (
	"crypto"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update"
	"dialtone/update/acl"
)

// pair is a number's key pair.
type pair struct {
	*dns.KEY
	private crypto.Signer
}

func newPair(t *testing.T, number string) pair {
	t.Helper()
	k := &dns.KEY{DNSKEY: dns.DNSKEY{
		Hdr:      dns.RR_Header{Name: number + "." + apex, Rrtype: dns.TypeKEY, Class: dns.ClassINET, Ttl: 60},
		Protocol: 3, Algorithm: dns.ED25519,
	}}
	private, err := k.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	return pair{k, private.(crypto.Signer)}
}

// sign signs as nsupdate does.
func (p pair) sign(t *testing.T, m *dns.Msg, at time.Time) []byte {
	t.Helper()
	s := &dns.SIG{RRSIG: dns.RRSIG{
		Algorithm: p.Algorithm, KeyTag: p.KeyTag(), SignerName: p.Hdr.Name,
		Inception: uint32(at.Unix() - 300), Expiration: uint32(at.Unix() + 300),
	}}
	raw, err := s.Sign(p.private, m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// claim registers an address and brings the key.
func (p pair) claim(address string) *dns.Msg {
	m := insert(p.Hdr.Name+" 60 A "+address, p.KEY.String())
	return m.SetEdns0(1232, false)
}

func keyOptions(t *testing.T, clock *testClock, provisioned ...pair) Options {
	t.Helper()
	o := testOptions(t)
	o.Now = clock.now
	list := rules(t, apex,
		acl.Rule{AnyKey: true, Actions: acl.Update, SelfNumber: true},
		acl.Rule{AnyKey: true, Actions: acl.Update, SelfNumber: true, Numbers: []string{"2000-2999"}, FirstCome: true},
	)
	o.Zones[0].ACL, o.Zones[0].Lease = list, update.LeaseLimits{Min: 1, Max: 3600, KeyMax: 7200}
	for _, p := range provisioned {
		o.Zones[0].Text += p.KEY.String() + "\n"
	}
	return o
}

// keyServer is a server to which updates are sent that key pairs sign.
type keyServer struct {
	*Server
	t *testing.T
}

func (s keyServer) send(proto string, raw []byte, rcode int, text string) *dns.Msg {
	s.t.Helper()
	reply := new(dns.Msg)
	if err := reply.Unpack(exchangeRaw(s.t, proto, s.Addrs()[0], raw)); err != nil {
		s.t.Fatal(err)
	}
	said := ""
	if opt := reply.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				said = e.ExtraText
			}
		}
	}
	if reply.Rcode != rcode || !strings.Contains(said, text) || reply.IsTsig() != nil {
		s.t.Errorf("%v %q, want %s %q", reply, said, dns.RcodeToString[rcode], text)
	}
	return reply
}

func (s keyServer) is(number, address string) {
	s.t.Helper()
	if got := addressOf(s.t, "udp", s.Addrs()[0], number+"."+apex); got != address {
		s.t.Errorf("%s is at %q, want %q", number, got, address)
	}
}

func TestProvisionedPublicKey(t *testing.T) {
	var clock testClock
	mine, other := newPair(t, "5551234"), newPair(t, "5551234")
	s, _ := start(t, keyOptions(t, &clock, mine))
	k := keyServer{s, t}
	now := time.Now()
	move := func(number, address string) *dns.Msg {
		m := new(dns.Msg).SetUpdate(apex)
		m.RemoveName(parseAll([]string{number + "." + apex + " 0 A 192.0.2.1"}))
		m.Insert(parseAll([]string{number + "." + apex + " 60 A " + address}))
		return m.SetEdns0(1232, false)
	}
	first := mine.sign(t, move("5551234", "192.0.2.1"), now)
	k.send("udp", first, dns.RcodeSuccess, "")
	k.is("5551234", "192.0.2.1")
	k.send("udp", mine.sign(t, move("5551235", "192.0.2.66"), now), dns.RcodeRefused, "may not")
	k.send("udp", other.sign(t, move("5551234", "192.0.2.66"), now), dns.RcodeRefused, "no KEY record with")
	forged := mine.sign(t, move("5551234", "192.0.2.66"), now)
	forged[len(forged)-1] ^= 1
	k.send("udp", forged, dns.RcodeRefused, "signature is wrong")
	k.send("tcp", other.sign(t, other.claim("192.0.2.66"), now), dns.RcodeYXDomain, "belongs to another key")
	k.send("udp", mine.sign(t, move("5551234", "192.0.2.66"), now.Add(-400*time.Second)), dns.RcodeRefused, "between inception and expiration")
	// Deleting all of the name has left the key, so it goes on.
	k.send("udp", mine.sign(t, move("5551234", "192.0.2.2"), now.Add(time.Second)), dns.RcodeSuccess, "")
	k.send("udp", mine.sign(t, move("5551234", "192.0.2.66"), now), dns.RcodeNotAuth, "later update")
	k.send("udp", first, dns.RcodeSuccess, "") // sent again: its first answer
	k.is("5551234", "192.0.2.2")
	// Who has no KEY record signs nothing.
	k.send("tcp", newPair(t, "5551236").sign(t, move("5551236", "192.0.2.66"), now), dns.RcodeRefused, "no KEY record")
	k.is("5551234", "192.0.2.2")
}

func TestFirstThatComes(t *testing.T) {
	var clock testClock
	o := keyOptions(t, &clock)
	s, _ := start(t, o)
	k := keyServer{s, t}
	mine, other, outside := newPair(t, "2001"), newPair(t, "2001"), newPair(t, "3001")
	lease := leaseData(60, 600)
	k.send("udp", mine.sign(t, withLease(mine.claim("192.0.2.1"), lease), clock.now()), dns.RcodeRefused, "no forgery")
	k.is("2001", "")
	k.send("tcp", mine.sign(t, withLease(mine.claim("192.0.2.1"), lease), clock.now()), dns.RcodeSuccess, "")
	k.is("2001", "192.0.2.1")
	k.send("tcp", other.sign(t, withLease(other.claim("192.0.2.66"), lease), clock.now()), dns.RcodeYXDomain, "belongs to another key")
	k.send("tcp", outside.sign(t, withLease(outside.claim("192.0.2.66"), lease), clock.now()), dns.RcodeRefused, "may not")
	k.is("2001", "192.0.2.1")

	// The lease ends: nobody answers at the number, but it is kept for its key.
	clock.ahead.Store(int64(61 * time.Second))
	isGoneOrEmpty(t, s.Addrs()[0], "2001."+apex)
	k.send("tcp", other.sign(t, withLease(other.claim("192.0.2.66"), lease), clock.now()), dns.RcodeYXDomain, "belongs to another key")
	k.send("udp", mine.sign(t, withLease(mine.claim("192.0.2.2"), lease), clock.now()), dns.RcodeSuccess, "")
	k.is("2001", "192.0.2.2")

	// The key lease ends: it is free.
	clock.ahead.Store(int64(800 * time.Second))
	isGone(t, s.Addrs()[0], "2001."+apex)
	k.send("tcp", other.sign(t, withLease(other.claim("192.0.2.3"), lease), clock.now()), dns.RcodeSuccess, "")
	k.is("2001", "192.0.2.3")
	// And given back.
	m := new(dns.Msg).SetUpdate(apex)
	m.RemoveName(parseAll([]string{"2001." + apex + " 0 A 192.0.2.1"}))
	k.send("udp", other.sign(t, withLease(m.SetEdns0(1232, false), leaseData(0, 0)), clock.now().Add(time.Second)), dns.RcodeSuccess, "")
	isGone(t, s.Addrs()[0], "2001."+apex)
	k.send("tcp", mine.sign(t, mine.claim("192.0.2.4"), clock.now().Add(2*time.Second)), dns.RcodeSuccess, "")
}

// isGoneOrEmpty waits until a number has no address.
func isGoneOrEmpty(t *testing.T, to netip.AddrPort, name string) {
	t.Helper()
	for addressOf(t, "udp", to, name) != "" {
	}
}

func TestClaimsAreLimited(t *testing.T) {
	var clock testClock
	o := keyOptions(t, &clock)
	o.Limits.ClaimsPerSource = 3
	s, _ := start(t, o)
	k := keyServer{s, t}
	for i, number := range []string{"2001", "2002", "2003", "2004"} {
		p := newPair(t, number)
		if raw := p.sign(t, p.claim("192.0.2.1"), clock.now()); i < 3 {
			k.send("tcp", raw, dns.RcodeSuccess, "")
		} else {
			k.send("tcp", raw, dns.RcodeRefused, "3 numbers were claimed")
		}
	}
	clock.ahead.Store(int64(61 * time.Second))
	p := newPair(t, "2004")
	k.send("tcp", p.sign(t, p.claim("192.0.2.1"), clock.now()), dns.RcodeSuccess, "")
}

func TestWrongSignaturesAreNotVerifiedForEver(t *testing.T) {
	var clock testClock
	mine := newPair(t, "5551234")
	o := keyOptions(t, &clock, mine)
	s, _ := start(t, o)
	k := keyServer{s, t}
	for i := range failuresAllowed + 5 {
		raw := mine.sign(t, mine.claim("192.0.2.66"), clock.now().Add(time.Duration(i)*time.Second))
		raw[len(raw)-1] ^= byte(i + 1)
		rcode := dns.RcodeRefused
		if i >= failuresAllowed {
			rcode = dns.RcodeServerFailure // it may be tried again
		}
		k.send("udp", raw, rcode, "")
	}
	if n := s.Counters.KeysVerified.Load(); n != failuresAllowed {
		t.Errorf("%d were verified", n)
	}
	// Who shows that the address is his does not pay for others.
	k.send("tcp", mine.sign(t, mine.claim("192.0.2.1"), clock.now()), dns.RcodeSuccess, "")
	clock.ahead.Store(int64(61 * time.Second))
	k.send("udp", mine.sign(t, mine.claim("192.0.2.1"), clock.now()), dns.RcodeSuccess, "")

	o = keyOptions(t, &clock, mine)
	o.Limits.KeyVerifications = 4 // half of it for addresses that may be forged
	frozen := clock.now()
	o.Now = func() time.Time { return frozen }
	s, _ = start(t, o)
	k = keyServer{s, t}
	for i := range 3 {
		rcode := dns.RcodeSuccess
		if i == 2 {
			rcode = dns.RcodeServerFailure
		}
		k.send("udp", mine.sign(t, mine.claim("192.0.2.1"), frozen.Add(time.Duration(i)*time.Second)), rcode, "")
	}
}

func TestSendersAreBounded(t *testing.T) {
	from := func(text string, proven bool) acl.Principal {
		return acl.Principal{Address: netip.MustParseAddr(text), Proven: proven}
	}
	of := map[sender]int{}
	for i := range 2 * maxSources {
		count(of, sourceOf(acl.Principal{Address: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}, 64))
	}
	if len(of) > maxSources+1 {
		t.Errorf("%d are counted", len(of))
	}
	// Those for whom there is no room are counted together.
	if n := of[inMap(of, sourceOf(from("192.0.2.1", false), 64))]; n != maxSources {
		t.Errorf("%d of others", n)
	}
	if _, known := of[inMap(of, sourceOf(from("192.0.2.1", true), 64))]; known {
		t.Error("a proven address is counted with forged ones")
	}
	a, b := sourceOf(from("2001:db8::1", true), 64), sourceOf(from("2001:db8::2", true), 64)
	if a != b || a == sourceOf(from("2001:db8:0:1::1", true), 64) || a == sourceOf(from("2001:db8::1", false), 64) {
		t.Errorf("%v and %v", a, b)
	}
}
