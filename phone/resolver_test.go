package phone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const directory = `
1 A 192.0.2.1
2 60 A 192.0.2.2
2 A 192.0.2.22
2 AAAA 2001:db8::2
_sip._udp.3 30 SRV 10 0 5070 3
_sip._udp.3 SRV 20 0 5071 host
_sip._tcp.3 SRV 10 0 5072 host
3 120 A 192.0.2.3
host 10 A 192.0.2.100
4 NAPTR 20 1 "s" "SIP+D2U" "" udp.4
4 NAPTR 10 1 "S" "sips+d2t" "" tls.4
4 NAPTR 5 1 "u" "E2U+sip" "!^.*$!sip:x!" .
4 A 192.0.2.4
udp.4 SRV 0 0 5060 4
tls.4 SRV 0 0 5061 4
_sip._udp.5 SRV 0 0 0 .
5 A 192.0.2.5
6 TXT "nothing to call"
_sip._udp.7 SRV 0 0 5060 gone
`

func TestLocate(t *testing.T) {
	s := newServer(t, directory)
	r := &Resolver{Zone: "phones.example", Servers: []string{s.addr}}
	for number, want := range map[Number][]string{
		"1": {"udp 192.0.2.1:5060 1m0s"},
		"2": {"udp [2001:db8::2]:5060 1m0s", "udp 192.0.2.2:5060 1m0s", "udp 192.0.2.22:5060 1m0s"},
		"3": {"udp 192.0.2.3:5070 30s", "udp 192.0.2.100:5071 10s", "tcp 192.0.2.100:5072 10s"},
		"4": {"tls 192.0.2.4:5061 10s", "udp 192.0.2.4:5060 10s"},
		"5": nil, "6": nil, "7": nil, "8": nil,
	} {
		l, err := r.Locate(context.Background(), number)
		if want == nil {
			if !errors.Is(err, ErrNotRegistered) || !strings.Contains(err.Error(), string(number)+".phones.example.") {
				t.Errorf("%s: %v, %v", number, l, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", number, err)
			continue
		}
		var got []string
		for _, c := range l.Contacts {
			got = append(got, fmt.Sprintf("%s %s %s", c.Transport, c.Addr, c.TTL))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", number, got, want)
		}
	}
}

// TestWeights sees that equals come in any order, and others do not.
func TestWeights(t *testing.T) {
	srv := func(priority, weight, port uint16) dns.RR {
		return &dns.SRV{Priority: priority, Weight: weight, Port: port, Target: "h."}
	}
	first := map[uint16]int{}
	for range 2000 {
		list := servers([]dns.RR{srv(2, 0, 9), srv(1, 1, 2), srv(1, 3, 3), srv(1, 0, 1)}, "udp", 60)
		if len(list) != 4 || list[3].port != 9 {
			t.Fatalf("%v", list)
		}
		first[list[0].port]++
	}
	if first[3] <= first[2] || first[2] == 0 || first[1] == 0 {
		t.Errorf("first are %v", first)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	s := newServer(t, directory)
	r := &Resolver{Zone: "phones.example.", Servers: []string{s.addr}}
	var refused *ServerError
	s.answers(func(_ dns.ResponseWriter, _, reply *dns.Msg) bool {
		reply.Rcode = dns.RcodeRefused
		reply.SetEdns0(1232, false)
		reply.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: 20, ExtraText: "not\x1b[2J here"}}
		return true
	})
	if _, err := r.Locate(context.Background(), "1"); !errors.As(err, &refused) || refused.Rcode != dns.RcodeRefused || refused.Text != "not?[2J here" {
		t.Errorf("%v", err)
	}
	s.answers(func(_ dns.ResponseWriter, _, reply *dns.Msg) bool {
		reply.Question[0].Name = "other."
		return true
	})
	if _, err := r.Locate(context.Background(), "1"); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "another question") {
		t.Errorf("%v", err)
	}
	// What does not fit comes by TCP.
	s.answers(func(w dns.ResponseWriter, _, reply *dns.Msg) bool {
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			reply.Truncated, reply.Answer = true, nil
		}
		return true
	})
	if l, err := r.Locate(context.Background(), "1"); err != nil || len(l.Contacts) != 1 {
		t.Errorf("%v, %v", l, err)
	}
	// The next server is asked when nobody listens at the first.
	closed := freeAddr(t)
	r.Servers = []string{closed, s.addr}
	if l, err := r.Locate(context.Background(), "1"); err != nil || len(l.Contacts) != 1 {
		t.Errorf("%v, %v", l, err)
	}
	r.Servers = []string{closed}
	if _, err := r.Locate(context.Background(), "1"); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), closed) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("enough"))
	if _, err := r.Locate(ctx, "1"); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "[", "a b"} {
		r.Servers = []string{bad}
		if _, err := r.Locate(context.Background(), "1"); err == nil || errors.Is(err, ErrUnreachable) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// freeAddr is an address at which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// TestAliasBoundsTheTime: what leads to an address may change before it does.
func TestAliasBoundsTheTime(t *testing.T) {
	answer := []dns.RR{
		&dns.CNAME{Hdr: dns.RR_Header{Rrtype: dns.TypeCNAME, Ttl: 5}, Target: "h."},
		&dns.A{Hdr: dns.RR_Header{Rrtype: dns.TypeA, Ttl: 60}, A: net.IPv4(192, 0, 2, 1)},
	}
	if list := (service{ttl: 90}).contacts(answer); len(list) != 1 || list[0].TTL != 5*time.Second {
		t.Errorf("%v", list)
	}
}
