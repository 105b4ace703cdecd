package dnsserver

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update"
	"dialtone/update/acl"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

// withLease adds UPDATE-LEASE with these octets.
func withLease(m *dns.Msg, data []byte) *dns.Msg {
	if m.IsEdns0() == nil {
		m.SetEdns0(1232, false)
	}
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0UL, Data: data})
	return m
}

func leaseData(values ...uint32) (b []byte) {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// granted gives the values of the reply's option.
func granted(t *testing.T, reply *dns.Msg) []uint32 {
	t.Helper()
	for _, o := range reply.IsEdns0().Option {
		if ul, ok := o.(*dns.EDNS0_UL); ok {
			if ul.KeyLease != 0 {
				return []uint32{ul.Lease, ul.KeyLease}
			}
			return []uint32{ul.Lease}
		}
	}
	return nil
}

// testClock is a clock that a test sets.
type testClock struct{ ahead atomic.Int64 }

func (c *testClock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// isGone waits until a number is answered NXDOMAIN.
func isGone(t *testing.T, to netip.AddrPort, name string) {
	t.Helper()
	for ask(t, "udp", to, query(name, dns.TypeA)).Rcode != dns.RcodeNameError {
	}
}

func TestLeases(t *testing.T) {
	var clock testClock
	o := testOptions(t)
	o.Now = clock.now
	o.Zones[0].Lease = update.LeaseLimits{Min: 30, Max: 3600, KeyMax: 7200}
	s, stop := start(t, o)
	to := s.Addrs()[0]
	for _, c := range []struct {
		data []byte
		want []uint32
		ttl  uint32
	}{
		{leaseData(600), []uint32{600}, 60},
		{leaseData(600, 700), []uint32{600, 700}, 60},
		{leaseData(1), []uint32{30}, 30},
		{leaseData(1<<32 - 1), []uint32{3600}, 60},
		{leaseData(1<<32-1, 1<<32-1), []uint32{3600, 7200}, 60},
		{leaseData(60, 0), []uint32{60, 60}, 60},
	} {
		reply := ask(t, "udp", to, withLease(insert("5."+apex+" 60 A 192.0.2.5"), c.data))
		got := granted(t, reply)
		if reply.Rcode != dns.RcodeSuccess || len(got) != len(c.want) || got[0] != c.want[0] || got[len(got)-1] != c.want[len(c.want)-1] {
			t.Errorf("%x: granted %v, want %v: %v", c.data, got, c.want, reply)
		}
		if a := ask(t, "udp", to, query("5."+apex, dns.TypeA)); len(a.Answer) != 1 || a.Answer[0].Header().Ttl != c.ttl {
			t.Errorf("%x: %v", c.data, a)
		}
	}
	// Every other length is malformed (RFC 6891, section 7).
	for n := range 20 {
		if n == 4 || n == 8 {
			continue
		}
		reply := ask(t, "udp", to, withLease(insert("6."+apex+" 60 A 192.0.2.6"), make([]byte, n)))
		if reply.Rcode != dns.RcodeFormatError || reply.IsEdns0() == nil {
			t.Errorf("%d octets: %v", n, reply)
		}
	}
	if q := ask(t, "udp", to, withLease(query("5."+apex, dns.TypeA), make([]byte, 3))); q.Rcode != dns.RcodeSuccess || len(q.Answer) != 1 {
		t.Errorf("a query with it: %v", q)
	}
	if reply := ask(t, "udp", to, insert("7."+apex+" 60 A 192.0.2.7").SetEdns0(1232, false)); granted(t, reply) != nil {
		t.Errorf("nobody asked: %v", reply)
	}
	// One that fails grants nothing.
	fails := insert("8." + apex + " 60 A 192.0.2.8")
	fails.NameUsed(parseAll([]string{"nobody." + apex + " 0 A 192.0.2.1"}))
	if reply := ask(t, "udp", to, withLease(fails, leaseData(600))); reply.Rcode != dns.RcodeNameError || granted(t, reply) != nil {
		t.Errorf("%v", reply)
	}
	// A refresh costs no serial.
	before := ask(t, "udp", to, query(apex, dns.TypeSOA)).Answer[0].(*dns.SOA).Serial
	ask(t, "udp", to, withLease(insert("5."+apex+" 60 A 192.0.2.5"), leaseData(60)))
	if after := ask(t, "udp", to, query(apex, dns.TypeSOA)).Answer[0].(*dns.SOA).Serial; after != before {
		t.Errorf("serial %d after a refresh, %d before", after, before)
	}
	// A restart forgets no lease.
	stop()
	s, stop = start(t, o)
	to = s.Addrs()[0]
	if got := addressOf(t, "udp", to, "5."+apex); got != "192.0.2.5" {
		t.Errorf("after a restart: %q", got)
	}
	clock.ahead.Store(int64(61 * time.Second))
	isGone(t, to, "5."+apex)
	if got := addressOf(t, "udp", to, "7."+apex); got != "192.0.2.7" {
		t.Errorf("without a lease: %q", got)
	}
	// Those that end while no server runs are gone from the first answer on.
	ask(t, "udp", to, withLease(insert("9."+apex+" 60 A 192.0.2.9", "_sip._udp.9."+apex+" 60 SRV 0 0 5060 9."+apex), leaseData(60)))
	stop()
	clock.ahead.Store(int64(200 * time.Second))
	s, _ = start(t, o)
	to = s.Addrs()[0]
	for _, name := range []string{"9.", "_sip._udp.9."} {
		if reply := ask(t, "udp", to, query(name+apex, dns.TypeSRV)); reply.Rcode != dns.RcodeNameError {
			t.Errorf("%s: %v", name, reply)
		}
	}
}

func TestDefaultLeaseAndWithdrawal(t *testing.T) {
	var clock testClock
	o := testOptions(t)
	o.Now = clock.now
	o.Zones[0].Lease.Default = 60
	s, _ := start(t, o)
	to := s.Addrs()[0]
	ask(t, "udp", to, insert("5."+apex+" 60 A 192.0.2.5", "host."+apex+" 60 A 192.0.2.9"))
	ask(t, "udp", to, withLease(insert("6."+apex+" 60 A 192.0.2.6", "_sip._udp.6."+apex+" 60 SRV 0 0 5060 6."+apex), leaseData(600)))
	m := new(dns.Msg).SetUpdate(apex)
	m.RemoveRRset(parseAll([]string{"6." + apex + " 0 A 192.0.2.6"}))
	reply := ask(t, "udp", to, withLease(m, leaseData(0)))
	if got := granted(t, reply); reply.Rcode != dns.RcodeSuccess || len(got) != 1 || got[0] != 0 {
		t.Errorf("withdrawal: %v", reply)
	}
	if reply := ask(t, "udp", to, query("_sip._udp.6."+apex, dns.TypeSRV)); reply.Rcode != dns.RcodeNameError {
		t.Errorf("what is below it stays: %v", reply)
	}
	clock.ahead.Store(int64(61 * time.Second))
	isGone(t, to, "5."+apex)
	if got := addressOf(t, "udp", to, "host."+apex); got != "192.0.2.9" {
		t.Errorf("the default is for numbers: %q", got)
	}
}

// at signs an update of the key's own number.
func at(t *testing.T, m *dns.Msg, signed time.Time) []byte {
	t.Helper()
	m.SetTsig(keyName, dns.HmacSHA256, 300, signed.Unix())
	raw, _, err := dns.TsigGenerate(m, secret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// moved is an update of the key's number.
func moved(address string) *dns.Msg { return movedTo(keyName, address) }

// movedTo is the update by which a number comes to an address and leaves the one that it had.
func movedTo(name, address string) *dns.Msg {
	m := new(dns.Msg).SetUpdate(apex)
	m.RemoveRRset(parseAll([]string{name + " 0 A 192.0.2.1"}))
	m.Insert(parseAll([]string{name + " 60 A " + address}))
	return m
}

// TestUpdateSentAgain gets its first answer, and is not done again.
func TestUpdateSentAgain(t *testing.T) {
	o := testOptions(t)
	o.Zones[0].ACL = rules(t, apex, acl.Rule{AnyKey: true, Actions: acl.Update, SelfNumber: true})
	s, _ := start(t, o)
	to := s.Addrs()[0]
	now := time.Now()
	send := func(raw []byte) *dns.Msg {
		t.Helper()
		reply := new(dns.Msg)
		if err := reply.Unpack(exchangeRaw(t, "udp", to, raw)); err != nil {
			t.Fatal(err)
		}
		return reply
	}
	move := func(address string, signed time.Time) []byte {
		m := moved(address)
		m.RRsetUsed(parseAll([]string{keyName + " 0 A 192.0.2.1"}))
		return at(t, withLease(m, leaseData(600)), signed)
	}
	remove := new(dns.Msg).SetUpdate(apex)
	remove.RemoveRRset(parseAll([]string{keyName + " 0 A 192.0.2.1"}))
	steps := []struct {
		raw   []byte
		rcode int
		is    string
	}{
		{move("192.0.2.101", now), dns.RcodeSuccess, "192.0.2.101"},
		{move("192.0.2.102", now), dns.RcodeSuccess, "192.0.2.102"},
		{at(t, remove, now), dns.RcodeSuccess, ""},
		{move("192.0.2.103", now), dns.RcodeNXRrset, ""},
		{at(t, insert(keyName+" 60 A 192.0.2.104"), now.Add(time.Second)), dns.RcodeSuccess, "192.0.2.104"},
	}
	for _, c := range steps {
		reply := send(c.raw)
		if reply.Rcode != c.rcode || addressOf(t, "udp", to, keyName) != c.is {
			t.Fatalf("%v", reply)
		}
	}
	for i, c := range steps {
		reply := send(c.raw)
		if reply.Rcode != c.rcode || addressOf(t, "udp", to, keyName) != "192.0.2.104" {
			t.Errorf("step %d again: %v, it is at %s", i, reply, addressOf(t, "udp", to, keyName))
		}
		if i < 2 && (len(granted(t, reply)) != 1 || granted(t, reply)[0] != 600) {
			t.Errorf("step %d again: lease %v", i, granted(t, reply))
		}
	}
}

// TestOlderUpdateIsRefused (RFC 8945, section 5.2.3), after a restart as well.
func TestOlderUpdateIsRefused(t *testing.T) {
	var clock testClock
	o := testOptions(t)
	o.Now = clock.now
	s, stop := start(t, o)
	now := time.Now()
	raw, _ := base64.StdEncoding.DecodeString(secret)
	ring, err := tsig.NewKeyring([]tsig.Key{{Name: rr.MustName(keyName), Algorithm: tsig.HMACSHA256, Secret: raw}}, tsig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	type request struct {
		raw []byte
		*tsig.Request
	}
	move := func(address string, signed time.Time) request {
		msg, err := moved(address).Pack()
		if err != nil {
			t.Fatal(err)
		}
		raw, r, err := ring.SignRequest(msg, rr.MustName(keyName), signed)
		if err != nil {
			t.Fatal(err)
		}
		return request{raw, r}
	}
	first, newest := move("192.0.2.101", now), move("192.0.2.102", now)
	check := func(step string, r request, good bool, is string) {
		t.Helper()
		got := exchangeRaw(t, "udp", s.Addrs()[0], r.raw)
		reply := new(dns.Msg)
		if err := reply.Unpack(got); err != nil {
			t.Fatal(err)
		}
		err := r.VerifyReply(got, time.Now())
		var said *tsig.ReplyError
		bad := reply.Rcode == dns.RcodeNotAuth && errors.As(err, &said) && said.TSIGError == dns.RcodeBadTime && said.Verified && !said.ServerTime.IsZero()
		if bad == good || good && (reply.Rcode != dns.RcodeSuccess || err != nil) || addressOf(t, "udp", s.Addrs()[0], keyName) != is {
			t.Errorf("%s: %v, %v, it is at %s", step, err, reply, addressOf(t, "udp", s.Addrs()[0], keyName))
		}
	}
	check("first", first, true, "192.0.2.101")
	check("newest, in the same second", newest, true, "192.0.2.102")
	check("older", move("192.0.2.66", now.Add(-time.Second)), false, "192.0.2.102")
	for range 2 {
		stop()
		s, stop = start(t, o)
		check("older, after a restart", move("192.0.2.66", now.Add(-time.Second)), false, "192.0.2.102")
		check("first again, after a restart", first, false, "192.0.2.102")
		check("newest again, after a restart", newest, true, "192.0.2.102")
	}
	check("newer", move("192.0.2.103", now.Add(time.Second)), true, "192.0.2.103")
}

func TestAnswersAreForgotten(t *testing.T) {
	var a answered
	now := time.Unix(1_800_000_000, 0)
	a.init(now, 10)
	begin := func(digest uint64) (known, pending bool) {
		_, known, pending = a.begin(digest, now)
		return known, pending
	}
	begin(1)
	if known, pending := begin(1); !known || !pending {
		t.Error("it is being done")
	}
	long := outcome{rcode: dns.RcodeNXRrset, lease: leaseData(1<<28-1, 1<<28-2)}
	a.end(1, long, now)
	if o, known, pending := a.begin(1, now); !known || pending || o.rcode != long.rcode || string(o.lease) != string(long.lease) {
		t.Errorf("%+v %v %v", o, known, pending)
	}
	a.forget(1)
	if known, _ := begin(1); known {
		t.Error("it was to be forgotten")
	}
	for i := range uint64(100) {
		begin(i + 2)
	}
	if n, _ := a.remembered(); n > 10 {
		t.Errorf("%d are remembered", n)
	}
	now = now.Add(answeredFor)
	a.tick(now)
	now = now.Add(answeredFor)
	a.tick(now)
	if n, _ := a.remembered(); n != 0 {
		t.Errorf("%d are remembered", n)
	}
}
