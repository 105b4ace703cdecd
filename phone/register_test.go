package phone

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func registration(s *fakeServer) Registration {
	return Registration{Number: "5551234", Zone: "phones.example", Servers: []string{s.addr}}
}

func testKey(t *testing.T, name, secret string) *Key {
	t.Helper()
	k, err := NewKey(name, "", secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func lines(rrs []dns.RR) (out []string) {
	for _, rr := range rrs {
		out = append(out, strings.Join(strings.Fields(rr.String()), " "))
	}
	return out
}

func TestRegisterSendsOneUpdate(t *testing.T) {
	s := newServer(t, "")
	r := registration(s)
	r.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.2"), netip.MustParseAddr("2001:db8::1")}
	r.SIPPort, r.TTL, r.Key = 5070, 30, testKey(t, "5551234.phones.example", secret)
	done, err := Register(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if done.Name != "5551234.phones.example." || done.Server != s.addr || len(done.Addresses) != 3 || done.Note != "" {
		t.Errorf("%+v", done)
	}
	m := s.last()
	if m.Opcode != dns.OpcodeUpdate || m.Question[0].Name != "phones.example." || !slices.Equal(lines(m.Answer), []string{"5551234.phones.example. 0 NONE CNAME"}) || m.IsTsig() == nil {
		t.Errorf("%v", m)
	}
	if got, want := lines(m.Ns), []string{
		"5551234.phones.example. 0 CLASS255 A", "5551234.phones.example. 0 CLASS255 AAAA", "_sip._udp.5551234.phones.example. 0 CLASS255 SRV 0 0 0",
		"5551234.phones.example. 30 IN A 192.0.2.1", "5551234.phones.example. 30 IN A 192.0.2.2",
		"5551234.phones.example. 30 IN AAAA 2001:db8::1",
		"_sip._udp.5551234.phones.example. 30 IN SRV 0 0 5070 5551234.phones.example.",
	}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	// Without an address it is that of the way to the server; with no TTL and no port the usual.
	r = registration(s)
	if done, err = Register(context.Background(), r); err != nil || len(done.Addresses) != 1 || done.Addresses[0].String() != "127.0.0.1" {
		t.Errorf("%+v, %v", done, err)
	}
	if got := lines(s.last().Ns[3:]); !slices.Equal(got, []string{"5551234.phones.example. 60 IN A 127.0.0.1"}) {
		t.Errorf("%q", got)
	}
	if done, err = Withdraw(context.Background(), r); err != nil || len(done.Addresses) != 0 || len(s.last().Ns) != 3 {
		t.Errorf("%+v, %v, %v", done, err, s.last())
	}
}

func TestRegisterFindsTheServer(t *testing.T) {
	s := newServer(t, "@ SOA ns1 hostmaster 1 1 1 1 1\nns1 A 192.0.2.53\nns1 AAAA 2001:db8::53\n")
	q := newQuery(context.Background(), []string{s.addr})
	servers, err := primaryOf(q, "phones.example")
	if err != nil || !slices.Equal(servers, []string{"[2001:db8::53]:53", "192.0.2.53:53"}) {
		t.Errorf("%v, %v", servers, err)
	}
	for _, c := range []struct{ records, want string }{
		{"@ SOA ns1.other.example. h 1 1 1 1 1\n", "ns1.other.example., which the SOA record of phones.example names, has no address"},
		{"", "there is no zone phones.example"},
	} {
		s := newServer(t, c.records)
		q := newQuery(context.Background(), []string{s.addr})
		if _, err := primaryOf(q, "phones.example"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v", err)
		}
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	s := newServer(t, "")
	r := registration(s)
	says := func(rcode int, text string) {
		s.answers(func(_ dns.ResponseWriter, req, reply *dns.Msg) bool {
			reply.Rcode = rcode
			reply.SetEdns0(1232, false)
			reply.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: 18, ExtraText: text}}
			return true
		})
	}
	says(dns.RcodeRefused, "key a. may not change b. A")
	_, err := Register(context.Background(), r)
	var refused *ServerError
	if !errors.As(err, &refused) || err.Error() != "server "+s.addr+": REFUSED: key a. may not change b. A" {
		t.Errorf("%v", err)
	}
	says(dns.RcodeSuccess, "x ignored: a CNAME exists")
	if done, err := Register(context.Background(), r); err != nil || done.Note != "x ignored: a CNAME exists" {
		t.Errorf("%v, %v", done, err)
	}
	for code, want := range map[uint16]string{dns.RcodeBadKey: "does not know the key", dns.RcodeBadSig: "secret", dns.RcodeBadTime: "clocks", dns.RcodeBadTrunc: "BADTRUNC"} {
		s.answers(func(w dns.ResponseWriter, req, reply *dns.Msg) bool {
			reply.Rcode = dns.RcodeNotAuth
			x := req.IsTsig()
			reply.Extra = append(reply.Extra, &dns.TSIG{
				Hdr:       dns.RR_Header{Name: x.Hdr.Name, Rrtype: dns.TypeTSIG, Class: dns.ClassANY},
				Algorithm: x.Algorithm, TimeSigned: x.TimeSigned, Fudge: x.Fudge, OrigId: req.Id, Error: code,
			})
			b, err := reply.Pack()
			if err != nil {
				t.Error(err)
			}
			w.Write(b)
			return false
		})
		r.Key = testKey(t, "5551234.phones.example.", secret)
		_, err := Register(context.Background(), r)
		if !errors.As(err, &refused) || refused.TSIG != int(code) || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v", code, err)
		}
	}
	// A refusal without a signature counts when it comes by TCP.
	s.answers(func(w dns.ResponseWriter, req, reply *dns.Msg) bool {
		reply.Rcode = dns.RcodeRefused
		b, _ := reply.Pack()
		w.Write(b)
		return false
	})
	if _, err := Register(context.Background(), r); !errors.As(err, &refused) || !strings.Contains(err.Error(), "REFUSED: its answer is not signed") {
		t.Errorf("%v", err)
	}
	says(dns.RcodeYXRrset, "")
	r.Key = nil
	if _, err := Register(context.Background(), r); err == nil || !strings.Contains(err.Error(), "is an alias there") {
		t.Errorf("%v", err)
	}
	// An answer without the signature that was asked for may be anybody's.
	s.answers(nil)
	r.Key = testKey(t, "other.", secret)
	if _, err := Register(context.Background(), r); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "not signed") {
		t.Errorf("%v", err)
	}
}

func TestRegisterNeedsSense(t *testing.T) {
	s := newServer(t, "")
	for _, change := range []func(r *Registration){
		func(r *Registration) { r.Number = "" },
		func(r *Registration) { r.Number = "+44 20" },
		func(r *Registration) { r.Zone = "" },
		func(r *Registration) { r.Servers = []string{"a b"} },
		func(r *Registration) { r.Addresses = []netip.Addr{{}} },
		func(r *Registration) { r.Zone = "a..b" },
		func(r *Registration) { r.TTL = 1 << 31 },
		func(r *Registration) { r.Source, r.Addresses = true, []netip.Addr{netip.MustParseAddr("192.0.2.1")} },
		func(r *Registration) { r.Addresses = []netip.Addr{netip.MustParseAddr("fe80::1%lo")} },
		func(r *Registration) { r.Addresses = []netip.Addr{netip.MustParseAddr("fe80::1")} },
		func(r *Registration) { r.Addresses = []netip.Addr{netip.MustParseAddr("::")} },
		func(r *Registration) { r.Addresses = []netip.Addr{netip.MustParseAddr("224.0.0.1")} },
	} {
		r := registration(s)
		change(&r)
		var wrong *InputError
		if done, err := Register(context.Background(), r); !errors.As(err, &wrong) {
			t.Errorf("%+v is registered as %+v, %v", r, done, err)
		}
	}
	if _, err := InterfaceAddrs("lo"); err == nil || !strings.Contains(err.Error(), "lo") {
		t.Error(err)
	}
	if _, err := InterfaceAddrs("no such"); err == nil {
		t.Error("an interface that is none has addresses")
	}
}

// TestFailover has servers that cannot, and one that can.
func TestFailover(t *testing.T) {
	broken, good := newServer(t, ""), newServer(t, directory)
	answer := func(rcode int) {
		broken.answers(func(_ dns.ResponseWriter, _, reply *dns.Msg) bool {
			reply.Rcode, reply.Answer = rcode, nil
			return true
		})
	}
	servers := []string{freeAddr(t), broken.addr, good.addr}
	for _, rcode := range []int{dns.RcodeServerFailure, dns.RcodeNotImplemented, dns.RcodeRefused} {
		answer(rcode)
		l, err := (&Resolver{Zone: "phones.example", Servers: servers}).Locate(context.Background(), "1")
		if err != nil || len(l.Contacts) != 1 {
			t.Errorf("%d: %v, %v", rcode, l, err)
		}
		r := registration(good)
		r.Servers = servers
		done, err := Register(context.Background(), r)
		if rcode != dns.RcodeRefused && (err != nil || done.Server != good.addr) || rcode == dns.RcodeRefused && err == nil {
			t.Errorf("%d: %+v, %v", rcode, done, err)
		}
	}
	answer(dns.RcodeServerFailure)
	var said *ServerError
	r := registration(broken)
	if _, err := Register(context.Background(), r); !errors.As(err, &said) || !said.Temporary() {
		t.Errorf("%v", err)
	}
}
