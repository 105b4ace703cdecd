package phone

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// options gives the update leases of a message.
func options(m *dns.Msg) (list []dns.EDNS0_UL) {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if o, ok := o.(*dns.EDNS0_UL); ok {
				list = append(list, dns.EDNS0_UL{Code: o.Option(), Lease: o.Lease, KeyLease: o.KeyLease})
			}
		}
	}
	return list
}

// grants makes the server answer with options.
func (s *fakeServer) grants(list ...dns.EDNS0) {
	s.answers(func(_ dns.ResponseWriter, _, reply *dns.Msg) bool {
		reply.SetEdns0(1232, false)
		reply.IsEdns0().Option = list
		return true
	})
}

func TestLeases(t *testing.T) {
	s := newServer(t, "")
	r := registration(s)
	for _, c := range []struct {
		lease, key time.Duration
		do         func(context.Context, Registration) (*Registered, error)
		sent       []dns.EDNS0_UL
		ttl        uint32
	}{
		{0, 0, Register, nil, 60},
		{time.Hour, 0, Register, []dns.EDNS0_UL{{Code: 2, Lease: 3600}}, 60},
		{45500 * time.Millisecond, 0, Register, []dns.EDNS0_UL{{Code: 2, Lease: 45}}, 45},
		{time.Second, 1<<32*time.Second - time.Second, Register, []dns.EDNS0_UL{{Code: 2, Lease: 1, KeyLease: 1<<32 - 1}}, 1},
		{1<<32*time.Second - time.Second, 0, Register, []dns.EDNS0_UL{{Code: 2, Lease: 1<<32 - 1}}, 60},
		{0, 0, Withdraw, nil, 0},
		{time.Hour, 0, Withdraw, []dns.EDNS0_UL{{Code: 2}}, 0},
		{time.Hour, 2 * time.Hour, Withdraw, []dns.EDNS0_UL{{Code: 2, KeyLease: 7200}}, 0},
	} {
		r.Lease, r.KeyLease = c.lease, c.key
		done, err := c.do(context.Background(), r)
		if err != nil || done.Lease != 0 || done.KeyLease != 0 {
			t.Errorf("%v: %+v, %v", c, done, err)
		}
		if got := options(s.last()); !slices.Equal(got, c.sent) {
			t.Errorf("%v: sent %v", c, got)
		}
		for _, rr := range s.last().Ns {
			if h := rr.Header(); h.Class == dns.ClassINET && h.Ttl != c.ttl {
				t.Errorf("%v: sent %v", c, rr)
			}
		}
	}
}

// TestGrantedLease has servers that grant more, less, what was not asked for, and nonsense.
func TestGrantedLease(t *testing.T) {
	s := newServer(t, "")
	long := &dns.EDNS0_UL{Code: 2, Lease: 1800, KeyLease: 86400}
	for _, c := range []struct {
		lease, key        time.Duration // asked for
		answer            []dns.EDNS0
		granted, granted2 time.Duration
	}{
		{time.Hour, 0, nil, 0, 0},
		{time.Hour, 0, []dns.EDNS0{&dns.EDNS0_UL{Code: 2, Lease: 1800}}, 30 * time.Minute, 0},
		{time.Hour, 2 * time.Hour, []dns.EDNS0{long}, 30 * time.Minute, 24 * time.Hour},
		{time.Hour, 2 * time.Hour, []dns.EDNS0{&dns.EDNS0_UL{Code: 2, Lease: 1<<32 - 1}}, (1<<32 - 1) * time.Second, 0},
		{time.Hour, 0, []dns.EDNS0{long}, 30 * time.Minute, 0},
		{time.Hour, 0, []dns.EDNS0{&dns.EDNS0_EDE{}, &dns.EDNS0_UL{Code: 2, Lease: 30}, long}, 30 * time.Second, 0},
		{time.Hour, 0, []dns.EDNS0{&dns.EDNS0_UL{Code: 2}}, 0, 0},
		{0, 0, []dns.EDNS0{long}, 0, 0},
	} {
		r := registration(s)
		r.Lease, r.KeyLease = c.lease, c.key
		s.grants(c.answer...)
		done, err := Register(context.Background(), r)
		if err != nil || done.Lease != c.granted || done.KeyLease != c.granted2 {
			t.Errorf("%v: %+v, %v", c, done, err)
		}
	}
	for _, size := range []int{0, 1, 3, 5, 7, 9, 1000} {
		r := registration(s)
		r.Lease, r.Source = time.Hour, true // by TCP, where the first answer counts
		s.grants(&dns.EDNS0_LOCAL{Code: 2, Data: make([]byte, size)})
		if done, err := Register(context.Background(), r); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("%d octets: %+v, %v", size, done, err)
		}
	}
}

func TestLeasesNeedSense(t *testing.T) {
	s := newServer(t, "")
	for _, c := range []struct{ lease, key time.Duration }{
		{-time.Second, 0}, {time.Second - 1, 0}, {1 << 32 * time.Second, 0}, {1<<63 - 1, 0},
		{0, time.Hour}, {time.Hour, time.Minute}, {time.Hour, -1}, {time.Hour, 1 << 32 * time.Second},
	} {
		r := registration(s)
		r.Addresses, r.Lease, r.KeyLease = []netip.Addr{netip.MustParseAddr("192.0.2.1")}, c.lease, c.key
		var wrong *InputError
		if done, err := Register(context.Background(), r); !errors.As(err, &wrong) {
			t.Errorf("%v is registered as %+v, %v", c, done, err)
		}
	}
}
