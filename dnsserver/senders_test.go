package dnsserver

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update"
	"dialtone/update/acl"
	"dialtone/zone/rr"
)

// edeOf gives RCODE and the text of the extended error of a reply.
func edeOf(m *dns.Msg) (rcode int, text string) {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				text = e.ExtraText
			}
		}
	}
	return m.Rcode, text
}

func wantEDE(t *testing.T, m *dns.Msg, rcode int, part string) {
	t.Helper()
	if got, text := edeOf(m); got != rcode || !strings.Contains(text, part) {
		t.Errorf("%s %q, want %s and %q", dns.RcodeToString[got], text, dns.RcodeToString[rcode], part)
	}
}

func edns(m *dns.Msg) *dns.Msg { return m.SetEdns0(1232, false) }

// TestUpdatesThatPassALimit: each is refused, says which limit it was, and is counted; the next that keeps to it is taken.
func TestUpdatesThatPassALimit(t *testing.T) {
	rows := []struct {
		limit       Limit
		set         func(*Options)
		rcode       int
		text        string
		first, then []string // records of two updates, of which the second is refused
	}{
		{LimitUpdateRecords, func(o *Options) { o.Limits.UpdateRecords = 2 }, dns.RcodeRefused, "3 records, of at most 2 (update_records)",
			[]string{"a A 192.0.2.1", "a A 192.0.2.2"}, []string{"b A 192.0.2.1", "b A 192.0.2.2", "b A 192.0.2.3"}},
		{LimitRRsetRecords, func(o *Options) { o.Limits.RRsetRecords = 1 }, dns.RcodeRefused, "b.phones.example. A would have 2 records, of at most 1 (rrset_records)",
			[]string{"a A 192.0.2.1", "a AAAA ::1"}, []string{"b A 192.0.2.1", "b A 192.0.2.2"}},
		{LimitNameRecords, func(o *Options) { o.Limits.NameRecords = 1 }, dns.RcodeRefused, "b.phones.example. would have 2 records, of at most 1 (name_records)",
			[]string{"a A 192.0.2.1", "c A 192.0.2.1"}, []string{"b A 192.0.2.1", "b AAAA ::1"}},
		{LimitZoneRecords, func(o *Options) { o.Zones[0].MaxRecords = strings.Count(zoneText, " IN ") + 2 }, dns.RcodeRefused, "zone phones.example. would have more than",
			[]string{"a A 192.0.2.1", "b A 192.0.2.1"}, []string{"c A 192.0.2.1"}},
	}
	for _, row := range rows {
		t.Run(row.limit.String(), func(t *testing.T) {
			o := testOptions(t)
			row.set(&o)
			o.MetricsListen = netip.MustParseAddrPort("127.0.0.1:0")
			s, _ := start(t, o)
			send := func(records []string) *dns.Msg {
				t.Helper()
				m := new(dns.Msg).SetUpdate(apex)
				for _, r := range records {
					owner, rest, _ := strings.Cut(r, " ")
					m.Insert(parseAll([]string{owner + "." + apex + " 60 " + rest}))
				}
				return ask(t, "udp", s.Addrs()[0], edns(m))
			}
			wantEDE(t, send(row.first), dns.RcodeSuccess, "")
			wantEDE(t, send(row.then), row.rcode, row.text)
			wantMetrics(t, s, fmt.Sprintf(`dialtone_limit_hits_total{limit="%s"} 1`, row.limit))
			wantEDE(t, send(row.first), dns.RcodeSuccess, "")
		})
	}
}

// TestFullZoneShrinks: where a zone has as many records as it may have, one can be replaced, and what was taken away makes room.
func TestFullZoneShrinks(t *testing.T) {
	o := testOptions(t)
	o.Zones[0].MaxRecords = strings.Count(zoneText, " IN ")
	s, _ := start(t, o)
	to := s.Addrs()[0]
	wantEDE(t, ask(t, "udp", to, edns(insert("x."+apex+" 60 A 192.0.2.1"))), dns.RcodeRefused, "(max_records)")
	replace := new(dns.Msg).SetUpdate(apex)
	replace.RemoveRRset(parseAll([]string{"100." + apex + " 60 A 192.0.2.1"}))
	replace.Insert(parseAll([]string{"100." + apex + " 60 A 192.0.2.77"}))
	wantEDE(t, ask(t, "udp", to, edns(replace)), dns.RcodeSuccess, "")
	remove := new(dns.Msg).SetUpdate(apex)
	remove.RemoveRRset(parseAll([]string{"100." + apex + " 60 A 192.0.2.1"}))
	wantEDE(t, ask(t, "udp", to, edns(remove)), dns.RcodeSuccess, "")
	wantEDE(t, ask(t, "udp", to, edns(insert("x."+apex+" 60 A 192.0.2.1"))), dns.RcodeSuccess, "")
	wantEDE(t, ask(t, "udp", to, edns(insert("y."+apex+" 60 A 192.0.2.1"))), dns.RcodeRefused, "(max_records)")
}

func TestRatesOfSenders(t *testing.T) {
	var s senders
	s.init(Limits{UpdatesPerKey: 10, UpdatesPerSource: 15})
	now := time.Unix(1_800_000_000, 0)
	one := acl.Principal{Key: rr.MustName("one."), Address: netip.MustParseAddr("192.0.2.1"), Proven: true}
	may := func(who acl.Principal, n int) (taken int, last error) {
		for range n {
			if err := s.mayUpdate(who, now); err == nil {
				taken++
			} else {
				last = err
			}
		}
		return taken, last
	}
	if n, err := may(one, 20); n != 10 || limitNamed(err) != "updates_per_key" {
		t.Errorf("%d of one key within a moment: %v", n, err)
	}
	other := one
	other.Key = rr.MustName("other.")
	if n, err := may(other, 8); n != 5 || limitNamed(err) != "updates_per_source" {
		t.Errorf("%d of another key, from a source that has sent 10: %v", n, err)
	}
	elsewhere := one
	elsewhere.Key, elsewhere.Proven = "", false
	if n, err := may(elsewhere, 20); n != 15 || limitNamed(err) != "updates_per_source" {
		t.Errorf("%d unsigned, from the same address, which may be forged: %v", n, err)
	}
	now = now.Add(300 * time.Millisecond)
	if n, _ := may(one, 20); n != 3 {
		t.Errorf("%d of one key, three tenths of a second later", n)
	}
	now = now.Add(time.Hour)
	if n, _ := may(one, 20); n != 10 {
		t.Errorf("%d of one key, an hour later", n)
	}
	s.set(Limits{})
	if n, _ := may(one, 20); n != 20 || s.remembered() != 0 {
		t.Errorf("%d without a rate, and %d senders are remembered", n, s.remembered())
	}
}

func limitNamed(err error) string {
	if e, ok := err.(*update.Error); ok && e.Rcode == dns.RcodeServerFailure {
		return e.Limit
	}
	return ""
}

func TestRateOfAKeyIsHeld(t *testing.T) {
	o := testOptions(t)
	o.Limits.UpdatesPerKey = 2
	stopped := time.Now()
	o.Now = func() time.Time { return stopped }
	s, _ := start(t, o)
	to := s.Addrs()[0]
	update := func(address string) *dns.Msg {
		m := new(dns.Msg).SetUpdate(apex)
		m.Insert(parseAll([]string{keyName + " 60 A " + address}))
		return ask(t, "udp", to, signed(edns(m)))
	}
	wantEDE(t, update("192.0.2.1"), dns.RcodeSuccess, "")
	wantEDE(t, update("192.0.2.2"), dns.RcodeSuccess, "")
	wantEDE(t, update("192.0.2.3"), dns.RcodeServerFailure, "key 100.phones.example. sends more than 2 updates a second (updates_per_key)")
	wantEDE(t, ask(t, "udp", to, edns(insert("z."+apex+" 60 A 192.0.2.1"))), dns.RcodeSuccess, "") // unsigned
	if n := s.Counters.Limits.Of(LimitUpdatesPerKey); n != 1 {
		t.Errorf("%d counted", n)
	}
}

// TestFloodOfOneSenderLeavesRoom: while the writer is busy, one source fills its share of the queue, and a key still gets in.
func TestFloodOfOneSenderLeavesRoom(t *testing.T) {
	o := testOptions(t)
	o.Limits.UpdateQueue = 20
	s, _ := start(t, o)
	release := hold(t, s)
	flood := dial(t, "tcp", s.Addrs()[0])
	for i := range 40 {
		write(t, flood, edns(insert("f"+itoa(i)+"."+apex+" 60 A 192.0.2.1")))
	}
	for range 40 - 16 { // four fifths of the room are the flood's
		m := read(t, flood)
		wantEDE(t, m, dns.RcodeServerFailure, "too many updates of this sender are waiting (update_queue)")
	}
	if n := s.Counters.Limits.Of(LimitUpdateQueueShare); n != 24 {
		t.Errorf("%d counted", n)
	}
	m := new(dns.Msg).SetUpdate(apex)
	m.Insert(parseAll([]string{keyName + " 60 A 192.0.2.88"}))
	good := dial(t, "udp", s.Addrs()[0])
	raw, _, err := dns.TsigGenerate(signed(m), secret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := good.Conn.Write(raw); err != nil {
		t.Fatal(err)
	}
	write(t, good, query("100."+apex, dns.TypeA))
	if m := read(t, good); m.Opcode != dns.OpcodeQuery {
		t.Errorf("the key's update is answered before the writer has looked at it: %v", m)
	}
	release()
	buf := make([]byte, 512)
	n, err := good.Conn.Read(buf)
	if err != nil || buf[3]&15 != dns.RcodeSuccess {
		t.Errorf("the key's update: %x, %v", buf[:n], err)
	}
}

// TestSlowQueueTakesTurns: a source that floods, and one that forges addresses, leave room and turns to those that are known.
func TestSlowQueueTakesTurns(t *testing.T) {
	var q slowQueues
	q.init(1, 100)
	from := func(addr string) client { return client{addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 1)} }
	now := time.Now()
	phone := "192.0.2.1"
	q.note(netip.MustParseAddr(phone), "", now)
	flood := 0
	for q.put([]byte("flood"), from("198.51.100.1"), 0, false, time.Time{}) {
		flood++
	}
	if flood != 80 {
		t.Errorf("one source has %d of 100", flood)
	}
	for i := range 300 {
		q.put([]byte("forged"), from(fmt.Sprintf("203.0.113.%d", i%256)), 0, false, time.Time{})
	}
	for _, c := range []struct {
		addr   string
		proven bool
	}{{phone, false}, {"203.0.113.1", true}, {phone, false}} {
		if !q.put([]byte("good"), from(c.addr), 0, c.proven, time.Time{}) {
			t.Fatalf("no room for %v", c)
		}
	}
	good := 0
	for range 6 {
		if string(q.queues[0].next(new(turns)).msg) == "good" {
			good++
		}
	}
	if good != 3 {
		t.Errorf("%d of the first 6 are from known sources, 3 wait", good)
	}
	if q.note(netip.MustParseAddr("192.0.2.9"), "", now.Add(2*time.Hour)); q.known.has(q.source(netip.MustParseAddr(phone))) {
		t.Error("a source is known two hours later")
	}
}

// TestSlowQueueKeepsTheOrder of one source, also when it becomes known meanwhile.
func TestSlowQueueKeepsTheOrder(t *testing.T) {
	var q slowQueues
	q.init(1, 100)
	addr := netip.MustParseAddr("2001:db8::1")
	for i := range 20 {
		if i == 10 {
			q.note(addr, "", time.Now())
		}
		if !q.put([]byte{byte(i)}, client{addr: netip.AddrPortFrom(addr, uint16(i))}, 0, false, time.Time{}) {
			t.Fatal("full")
		}
	}
	q.close()
	for i := range 20 {
		if m := q.queues[0].next(new(turns)); m == nil || m.msg[0] != byte(i) {
			t.Fatalf("message %d: %v", i, m)
		}
	}
	if q.queues[0].next(new(turns)) != nil {
		t.Error("closed and empty")
	}
}

// TestLargeMessagesCountForMore: messages of 64 KiB fill a queue before they fill memory.
func TestLargeMessagesCountForMore(t *testing.T) {
	var q slowQueues
	q.init(1, 2048)
	large := make([]byte, 64<<10-1)
	n := 0
	for i := range 1000 {
		if q.put(large, client{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)}, 0, false, time.Time{}) {
			n++
		}
	}
	if n != 2048/64 {
		t.Errorf("%d messages of 64 KiB, want %d", n, 2048/64)
	}
}

// TestKeysAtOneAddressTakeTurns: behind one NAT, a key that floods leaves room and turns to another.
func TestKeysAtOneAddressTakeTurns(t *testing.T) {
	var q slowQueues
	q.init(1, 100)
	message := func(key string) ([]byte, int) {
		m := query("100."+apex, dns.TypeA)
		m.Id = 1
		at := m.Len()
		m.SetTsig(key, dns.HmacSHA256, 300, 1)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b, at
	}
	nat := client{addr: netip.MustParseAddrPort("192.0.2.1:53")}
	put := func(key string) bool {
		b, at := message(key)
		return q.put(b, nat, at, false, time.Time{})
	}
	for _, key := range []string{"a.", "B."} {
		q.note(nat.addr.Addr(), rr.MustName(key), time.Now())
	}
	n := 0
	for put("A.") {
		n++
	}
	if n != 80 || !put("b.") || put("a.") {
		t.Fatalf("%d of 100 are one key's, and the other has no room", n)
	}
	q.queues[0].next(new(turns))
	second := q.queues[0].next(new(turns))
	if b, _ := message("b."); string(second.msg) != string(b) {
		t.Error("the other key's message waits for more than one")
	}
	junk := 0
	for range 200 { // by the same address, under names that are made up
		if put("x" + itoa(junk) + ".") {
			junk++
		}
	}
	if junk != 80 {
		t.Errorf("%d under other names, in the room of those that are not known", junk)
	}
}

// TestSignaturesOfStrangersAreBounded: what has signed before is verified whatever others send, over UDP and TCP; of others so
// many in a second.
func TestSignaturesOfStrangersAreBounded(t *testing.T) {
	o := testOptions(t)
	o.Limits.TSIGVerifications = 4 // half of it for addresses that may be forged
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	o.Now = func() time.Time { return time.Unix(0, now.Load()) }
	o.MetricsListen = netip.MustParseAddrPort("127.0.0.1:0")
	s := startReloadable(t, o)
	sent := 0
	send := func(from byte, proto string, right bool) *dns.Msg {
		t.Helper()
		sent++
		m := edns(insert(fmt.Sprintf("%s 60 A 192.0.2.%d", keyName, sent)))
		sig := m.SetTsig(keyName, dns.HmacSHA256, 300, now.Load()/1e9)
		c := dns.Client{Net: proto, Timeout: 10 * time.Second, TsigSecret: map[string]string{keyName: secret}}
		if !right {
			c.TsigSecret[keyName] = "d3Jvbmc="
		}
		c.Dialer = &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, from)}}
		if proto == "tcp" {
			c.Dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, from)}
		}
		reply, _, err := c.Exchange(sig, s.Addrs()[0].String())
		if reply == nil {
			t.Fatal(err)
		}
		return reply
	}
	wantEDE(t, send(1, "udp", true), dns.RcodeSuccess, "")
	for _, proto := range []string{"udp", "tcp"} {
		if r := send(2, proto, false); r.Rcode != dns.RcodeNotAuth || r.IsTsig().Error != dns.RcodeBadSig {
			t.Errorf("%v, want BADSIG", r)
		}
	}
	wantEDE(t, send(4, "tcp", true), dns.RcodeSuccess, "")
	for i, proto := range []string{"udp", "tcp"} {
		if r := send(3, proto, true); r.Rcode != dns.RcodeServerFailure || r.IsTsig() != nil {
			t.Errorf("%s: %v, want SERVFAIL that is not signed", proto, r)
		}
		wantEDE(t, send(1, proto, true), dns.RcodeSuccess, "")
		wantMetrics(t, s.Server, fmt.Sprintf(`dialtone_limit_hits_total{limit="tsig_verifications"} %d`, i+1))
	}
	s.o.Limits.TSIGVerifications = 1000
	s.reload(t, []string{"limits.tsig_verifications changed from 4 to 1000"}, nil)
	now.Add(int64(time.Second))
	wantEDE(t, send(3, "udp", true), dns.RcodeSuccess, "")
}
