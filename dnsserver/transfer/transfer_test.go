package transfer

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/update/tsig"
	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/store"
	"dialtone/zone/zonetest"

	"github.com/miekg/dns"
)

const apex = "phones.example."

const smallZone = `
phones.example. 3600 IN SOA ns1.phones.example. admin.phones.example. 10 3600 600 864000 30
phones.example. 3600 IN NS ns1.phones.example.
phones.example. 3600 IN NS ns.elsewhere.example.
phones.example. 3600 IN MX 10 Mail.phones.example.
ns1.phones.example. 3600 IN A 192.0.2.1
5551234.phones.example. 60 IN A 192.0.2.34
5551234.phones.example. 60 IN AAAA 2001:db8::34
_sip._udp.5551234.phones.example. 60 IN SRV 0 0 5060 5551234.phones.example.
*.wild.phones.example. 60 IN CNAME 5551234.phones.example.
child.phones.example. 300 IN NS ns.child.phones.example.
ns.child.phones.example. 300 IN A 192.0.2.53
old.phones.example. 300 IN DNAME phones.example.
below.old.phones.example. 300 IN TXT "occluded"
a\.b\000\255.phones.example. 60 IN TXT "octets"
MixedCase.phones.example. 60 IN TYPE65280 \# 3 010203
`

func testServer(change ...func(*Options)) *Server {
	o := Options{Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&o)
	}
	return NewServer(o)
}

// ask makes a request with miekg/dns and reads it with Parse.
func ask(t testing.TB, m *dns.Msg, tcp bool) *Request {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse(wire)
	if err != nil {
		t.Fatal(err)
	}
	r.TCP, r.Remote = tcp, netip.MustParseAddr("192.0.2.99")
	return r
}

func axfr() *dns.Msg { return new(dns.Msg).SetAxfr(apex) }

func ixfr(serial uint32) *dns.Msg { return new(dns.Msg).SetIxfr(apex, serial, ".", ".") }

// answers is a reply as it left: raw, and as miekg/dns reads it.
type answers struct {
	raw   [][]byte
	msgs  []*dns.Msg
	stats Stats
}

func (a *answers) send(t testing.TB) func([]byte) error {
	return func(b []byte) error {
		m := new(dns.Msg)
		if err := m.Unpack(b); err != nil {
			t.Errorf("message %d does not unpack: %v", len(a.raw), err)
		}
		a.raw, a.msgs = append(a.raw, slices.Clone(b)), append(a.msgs, m)
		return nil
	}
}

func (a *answers) records() (all []dns.RR) {
	for _, m := range a.msgs {
		all = append(all, m.Answer...)
	}
	return all
}

func serve(t testing.TB, s *Server, r *Request, z *zone.Zone) *answers {
	t.Helper()
	a := &answers{}
	st, err := s.Serve(context.Background(), r, z, nil, a.send(t))
	if err != nil {
		t.Fatal(err)
	}
	a.stats = st
	records := 0
	for _, m := range a.msgs {
		records += len(m.Answer)
	}
	if st.Messages != len(a.msgs) || st.Records != records {
		t.Errorf("stats %+v for %d messages of %d records", st, len(a.msgs), records)
	}
	return a
}

func refusal(t testing.TB, s *Server, r *Request, z *zone.Zone) *Error {
	t.Helper()
	st, err := s.Serve(context.Background(), r, z, nil, func([]byte) error {
		t.Error("something was sent before the refusal")
		return nil
	})
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a refusal", err)
	}
	if st.Style != None {
		t.Errorf("style %v beside a refusal", st.Style)
	}
	return e
}

// lines gives records in the form of zonetest.Read.
func lines(t testing.TB, records []dns.RR) []string {
	t.Helper()
	var out []string
	for _, m := range records {
		r, err := rr.FromMiekg(m)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r.String())
	}
	slices.Sort(out)
	return out
}

func isSOA(m dns.RR) bool { return m.Header().Rrtype == dns.TypeSOA }

// bigZone has n numbers with an A record each.
func bigZone(t testing.TB, n int) *zone.Zone {
	t.Helper()
	name := rr.MustName(apex)
	sets := zonetest.Parse(t, apex, "@ 60 IN SOA ns1 admin 10 3600 600 864000 30\n@ 60 IN NS ns1\nns1 60 IN A 192.0.2.1\n")
	for i := range n {
		number := fmt.Sprintf("%08d", 55000000+i)
		data := binary.BigEndian.AppendUint32(nil, 0x0A000000+uint32(i))
		sets = append(sets, store.OwnedRRset{
			Owner: rr.Name("\x08"+number) + name,
			Set:   rr.RRset{Type: dns.TypeA, TTL: 60, Data: []string{string(data)}},
		})
	}
	z, err := zone.Open(context.Background(), zone.Options{
		Apex: name, Store: zonetest.NewStore(t, sets), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { z.Close() })
	return z
}

// put sets one RRset from master file text; delete with remove.
func put(t testing.TB, z *zone.Zone, text string) uint32 {
	t.Helper()
	c := zonetest.Do(t, z, func(d *zone.Draft) error {
		for _, s := range zonetest.Parse(t, apex, text) {
			d.Set(s.Owner, s.Set)
		}
		return nil
	})
	if c.Err != nil {
		t.Fatal(c.Err)
	}
	return c.Serial
}

func remove(t testing.TB, z *zone.Zone, owner string, typ uint16) uint32 {
	t.Helper()
	c := zonetest.Do(t, z, func(d *zone.Draft) error {
		d.Set(rr.MustName(owner), rr.RRset{Type: typ})
		return nil
	})
	if c.Err != nil {
		t.Fatal(c.Err)
	}
	return c.Serial
}

// RFC 5936, section 3: all that is stored, glue and occluded names included,
// every record once.
func TestFullTransferHasEveryRecordOnce(t *testing.T) {
	z := zonetest.Open(t, apex, smallZone)
	a := serve(t, testServer(), ask(t, axfr(), true), z)
	all := a.records()
	if got, want := lines(t, all[:len(all)-1]), zonetest.Read(z); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if a.stats.Style != Full || a.stats.Serial != 10 {
		t.Errorf("stats %+v", a.stats)
	}
}

// RFC 5936, section 2.2: the SOA is the first record and the last, and
// nowhere else.
func TestFullTransferStandsBetweenSOAs(t *testing.T) {
	all := serve(t, testServer(), ask(t, axfr(), true), bigZone(t, 5000)).records()
	for i, m := range all {
		if atEnd := i == 0 || i == len(all)-1; isSOA(m) != atEnd {
			t.Fatalf("record %d of %d is %v", i, len(all), m)
		}
	}
	if len(all) != 5004 {
		t.Errorf("%d records", len(all))
	}
}

// RFC 5936, section 2.2.1.
func TestHeaderOfTransferMessages(t *testing.T) {
	q := axfr()
	q.RecursionDesired = true
	a := serve(t, testServer(), ask(t, q, true), bigZone(t, 10000))
	if len(a.msgs) < 3 {
		t.Fatalf("only %d messages", len(a.msgs))
	}
	for i, m := range a.msgs {
		h := m.MsgHdr
		if h.Id != q.Id || !h.Response || !h.Authoritative || h.Truncated || h.RecursionAvailable || h.AuthenticatedData ||
			h.CheckingDisabled || h.Zero || h.Opcode != dns.OpcodeQuery || h.Rcode != dns.RcodeSuccess || !h.RecursionDesired {
			t.Errorf("message %d has header %+v", i, h)
		}
		if want := i == 0; (len(m.Question) == 1) != want || len(m.Question) > 1 {
			t.Errorf("message %d has %d questions", i, len(m.Question))
		}
		if len(m.Ns) != 0 || len(m.Extra) != 0 {
			t.Errorf("message %d has other sections", i)
		}
	}
}

// RFC 5936, section 2.2: as many records in a message as fit.
func TestMessagesAreFull(t *testing.T) {
	for _, size := range []int{2000, 16384, 65535} {
		a := serve(t, testServer(func(o *Options) { o.MessageSize = size }), ask(t, axfr().SetEdns0(1232, false), true), bigZone(t, 10000))
		for i, b := range a.raw {
			if len(b) > size {
				t.Errorf("message %d has %d octets of %d", i, len(b), size)
			}
			// A record here has less than 64 octets.
			if i < len(a.raw)-1 && len(b) < size-64 {
				t.Errorf("message %d has %d octets of %d and is not the last", i, len(b), size)
			}
		}
	}
}

// RFC 5936, section 3.4: names keep their case, whatever case the question has.
func TestCaseSurvivesTransfer(t *testing.T) {
	z := zonetest.Open(t, apex, smallZone)
	q := axfr()
	q.Question[0].Name = "PHONES.eXample."
	a := serve(t, testServer(), ask(t, q, true), z)
	if got := a.msgs[0].Question[0].Name; got != "PHONES.eXample." {
		t.Errorf("question is %s", got)
	}
	all := a.records()
	if got, want := lines(t, all[:len(all)-1]), zonetest.Read(z); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// RFC 9103, section 6.3.4; RFC 6891, section 6.1.1.
func TestOPTIsInEveryMessageWhenAsked(t *testing.T) {
	z := bigZone(t, 10000)
	for _, edns := range []bool{true, false} {
		q := axfr()
		if edns {
			q.SetEdns0(4096, true)
		}
		for i, m := range serve(t, testServer(), ask(t, q, true), z).msgs {
			opt := m.IsEdns0()
			if (opt != nil) != edns || edns && (!opt.Do() || opt.Version() != 0 || opt.UDPSize() != 1232 || len(opt.Option) != 0) {
				t.Errorf("asked %v: message %d has %v", edns, i, opt)
			}
		}
	}
}

// RFC 7873, section 5.2.
func TestCookieIsInEveryMessage(t *testing.T) {
	r := ask(t, axfr().SetEdns0(1232, false), true)
	r.Cookie = []byte("client..server..........")
	a := serve(t, testServer(), r, bigZone(t, 10000))
	for i, m := range a.msgs {
		o := m.IsEdns0().Option
		if len(o) != 1 || o[0].Option() != dns.EDNS0COOKIE || o[0].String() != hex.EncodeToString(r.Cookie) {
			t.Errorf("message %d has %v", i, o)
		}
	}
	if len(a.msgs) < 2 {
		t.Errorf("%d messages", len(a.msgs))
	}
}

// RFC 7314, section 3.1; RFC 5001, section 2.1.
func TestExpireAndNSIDAreAnsweredWhenAsked(t *testing.T) {
	z := zonetest.Open(t, apex, smallZone)
	q := ixfr(10)
	q.SetEdns0(1232, false)
	q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Empty: true}, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
	a := serve(t, testServer(func(o *Options) { o.ServerID = "ns1" }), ask(t, q, true), z)
	opt := a.msgs[0].IsEdns0()
	if len(opt.Option) != 2 {
		t.Fatalf("options %v", opt.Option)
	}
	if e, ok := opt.Option[0].(*dns.EDNS0_EXPIRE); !ok || e.Expire != 864000 || e.Empty {
		t.Errorf("EXPIRE is %v", opt.Option[0])
	}
	if e, ok := opt.Option[1].(*dns.EDNS0_NSID); !ok || e.Nsid != "6e7331" {
		t.Errorf("NSID is %v", opt.Option[1])
	}
}

// RFC 5936, section 4.2.
func TestFullTransferOverUDPIsRefused(t *testing.T) {
	e := refusal(t, testServer(), ask(t, axfr(), false), zonetest.Open(t, apex, smallZone))
	if e.Rcode != dns.RcodeFormatError {
		t.Errorf("RCODE %d", e.Rcode)
	}
}

// A transfer shows one version of the zone, and does not hold up updates.
func TestFullTransferIsOneVersion(t *testing.T) {
	z := bigZone(t, 10000)
	want := zonetest.Read(z)
	a := &answers{}
	keep := a.send(t)
	round := 0
	send := func(b []byte) error {
		round++
		put(t, z, fmt.Sprintf("%d 60 IN A 192.0.2.200\n", 55000000+9999))
		put(t, z, fmt.Sprintf("new%d 60 IN A 192.0.2.201\n", round))
		remove(t, z, fmt.Sprintf("%d.%s", 55000000+9000+round, apex), dns.TypeA)
		return keep(b)
	}
	st, err := testServer().Serve(context.Background(), ask(t, axfr(), true), z, nil, send)
	if err != nil {
		t.Fatal(err)
	}
	all := a.records()
	if got := lines(t, all[:len(all)-1]); !slices.Equal(got, want) {
		t.Error("the transfer is not the version at its start")
	}
	if st.Serial != 10 || round < 2 {
		t.Errorf("serial %d after %d messages", st.Serial, round)
	}
}

// A peer that does not read delays nobody but itself.
func TestStalledTransferDelaysNobody(t *testing.T) {
	z := bigZone(t, 10000)
	s := testServer()
	stalled, release, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		first := true
		_, err := s.Serve(context.Background(), ask(t, axfr(), true), z, nil, func([]byte) error {
			if first {
				first = false
				close(stalled)
				<-release
			}
			return errors.New("write timeout")
		})
		done <- err
	}()
	<-stalled
	put(t, z, "late 60 IN A 192.0.2.202\n")
	all := serve(t, s, ask(t, axfr(), true), z).records()
	if len(all) != 10005 {
		t.Errorf("%d records", len(all))
	}
	if n := s.Counters.Active.Load(); n != 1 {
		t.Errorf("%d transfers are active", n)
	}
	close(release)
	if err := <-done; err == nil || err.Error() != "write timeout" {
		t.Errorf("the stalled transfer ended with %v", err)
	}
	if s.Counters.Cut.Load() != 1 || s.Counters.Active.Load() != 0 || s.Counters.Full.Load() != 1 {
		t.Errorf("counters: cut %d, active %d, full %d", s.Counters.Cut.Load(), s.Counters.Active.Load(), s.Counters.Full.Load())
	}
}

// RFC 9103, section 6.3.3: SERVFAIL at the limit. What costs nothing is
// answered all the same.
func TestConcurrentTransfersAreLimited(t *testing.T) {
	z := zonetest.Open(t, apex, smallZone)
	from := func(q *dns.Msg, addr string) *Request {
		r := ask(t, q, true)
		r.Remote = netip.MustParseAddr(addr)
		return r
	}
	s := testServer(func(o *Options) { o.Transfers, o.TransfersPerAddress = 2, 1 })
	servfail := func(r *Request) {
		t.Helper()
		if e := refusal(t, s, r, z); e.Rcode != dns.RcodeServerFailure {
			t.Errorf("RCODE %d", e.Rcode)
		}
	}
	var nested func(addrs ...string)
	nested = func(addrs ...string) {
		if len(addrs) == 0 {
			servfail(from(axfr(), "192.0.2.3"))
			if a := serve(t, s, from(ixfr(10), "192.0.2.3"), z); a.stats.Style != Single {
				t.Errorf("style %v", a.stats.Style)
			}
			return
		}
		_, err := s.Serve(context.Background(), from(axfr(), addrs[0]), z, nil, func([]byte) error {
			servfail(from(axfr(), "::ffff:"+addrs[0]))
			nested(addrs[1:]...)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	nested("192.0.2.1", "192.0.2.2")
	if n, ofAddress := s.Counters.Busy.Load(), s.Counters.BusyAddress.Load(); n != 2 || ofAddress != 1 {
		t.Errorf("%d refused, and %d for their address", n, ofAddress)
	}
	serve(t, s, from(axfr(), "192.0.2.1"), z)
}

// The end of the server or of the transfer's time ends a transfer between
// two messages.
func TestTransferEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	sent := 0
	_, err := testServer().Serve(ctx, ask(t, axfr(), true), bigZone(t, 10000), nil, func([]byte) error {
		sent++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || sent != 1 {
		t.Errorf("%v after %d messages", err, sent)
	}
}

// RFC 5936, section 2.2: an error in the middle is one message with the RCODE.
func TestRecordThatFitsNoMessage(t *testing.T) {
	z := zonetest.Open(t, apex, smallZone)
	put(t, z, "huge 60 IN TXT "+strings.Repeat(`"`+strings.Repeat("x", 250)+`" `, 20)+"\n")
	s := testServer(func(o *Options) { o.MessageSize = 600 })
	a := &answers{}
	_, err := s.Serve(context.Background(), ask(t, axfr(), true), z, nil, a.send(t))
	if !errors.Is(err, ErrTooLarge) || len(a.msgs) < 2 {
		t.Fatalf("%v after %d messages", err, len(a.msgs))
	}
	last := a.msgs[len(a.msgs)-1]
	if last.Rcode != dns.RcodeServerFailure || len(last.Question) != 1 || len(last.Answer) != 0 {
		t.Errorf("the last message is %v", last)
	}

	tiny := testServer(func(o *Options) { o.MessageSize = 60 })
	if e := refusal(t, tiny, ask(t, axfr(), true), z); e.Rcode != dns.RcodeServerFailure {
		t.Errorf("RCODE %d", e.Rcode)
	}
}

// RFC 8945, section 5.3.1: every message of a transfer is signed; checked by
// the client of miekg/dns.
func TestSignedTransferVerifies(t *testing.T) {
	const secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0ISEhISE="
	keys, err := tsig.NewKeyring([]tsig.Key{{
		Name: rr.MustName("xfr.key."), Algorithm: tsig.HMACSHA256, Secret: []byte("secret secret secret secret!!!!!"),
	}}, tsig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	z := bigZone(t, 10000)
	s := testServer()
	for _, q := range []*dns.Msg{axfr(), ixfr(1)} {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			if err := serveOne(s, z, keys, server); err != nil {
				t.Error(err)
			}
		}()
		tr := &dns.Transfer{Conn: &dns.Conn{Conn: client}, TsigSecret: map[string]string{"xfr.key.": secret}}
		q.SetTsig("xfr.key.", dns.HmacSHA256, 300, time.Now().Unix())
		env, err := tr.In(q, "")
		if err != nil {
			t.Fatal(err)
		}
		var all []dns.RR
		for e := range env {
			if e.Error != nil {
				t.Fatal(e.Error)
			}
			all = append(all, e.RR...)
		}
		if got := lines(t, all[:len(all)-1]); !slices.Equal(got, zonetest.Read(z)) {
			t.Errorf("the %s is not the zone", dns.TypeToString[q.Question[0].Qtype])
		}
	}
}

// serveOne is what the dispatch does, for one request.
func serveOne(s *Server, z *zone.Zone, keys *tsig.Keyring, conn net.Conn) error {
	c := &dns.Conn{Conn: conn}
	msg, err := c.ReadMsgHeader(nil)
	if err != nil {
		return err
	}
	ctx, err := keys.Verify(msg, time.Now())
	if err != nil {
		return err
	}
	r, err := Parse(ctx.Strip(msg))
	if err != nil {
		return err
	}
	r.TCP = true
	_, err = s.Serve(context.Background(), r, z, ctx.Stream(), func(b []byte) error {
		if len(b) > dns.MaxMsgSize-1 {
			return fmt.Errorf("message of %d octets", len(b))
		}
		_, err := c.Write(b)
		return err
	})
	return err
}
