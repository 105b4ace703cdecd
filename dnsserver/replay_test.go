package dnsserver

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

// signedBy gives the context of a message that was signed at a time.
func signedBy(t *testing.T, id uint16, at time.Time) *tsig.Context {
	t.Helper()
	ring, err := tsig.NewKeyring([]tsig.Key{{Name: rr.MustName("7.phones.example."), Algorithm: tsig.HMACSHA256, Secret: []byte("01234567890123456789012345678901")}}, tsig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg).SetUpdate("phones.example.")
	m.Id = id
	m.SetTsig("7.phones.example.", dns.HmacSHA256, 300, at.Unix())
	raw, _, err := dns.TsigGenerate(m, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "", false)
	if err != nil {
		t.Fatal(err)
	}
	sign, err := ring.Verify(raw, at)
	if err != nil {
		t.Fatal(err)
	}
	return sign
}

// TestSourceIsTakenFromOneAddress has a request sent again, from where it came
// and from elsewhere.
func TestSourceIsTakenFromOneAddress(t *testing.T) {
	began := time.Unix(1_700_000_000, 5e8)
	var s sources
	const limit = 1000
	s.init(began, limit)
	mine, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	one, two, old := signedBy(t, 1, began), signedBy(t, 2, began), signedBy(t, 3, began.Add(-time.Second))
	later, last := signedBy(t, 4, began.Add(25*time.Minute)), signedBy(t, 5, began.Add(25*time.Minute))
	for i, c := range []struct {
		sign *tsig.Context
		addr netip.Addr
		at   time.Duration
		want string
	}{
		{one, mine, 0, ""},
		{one, mine, time.Second, ""},
		{one, other, time.Second, "another address"},
		{two, other, time.Second, ""},
		{two, mine, 5 * time.Minute, "another address"},
		{old, mine, 0, "before this server began"},
		{one, other, 11 * time.Minute, "so long"},
		{later, other, 26 * time.Minute, ""},
	} {
		err := s.check(c.sign, c.addr, began.Add(c.at))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("case %d: %v, want %q", i, err, c.want)
		}
	}
	if n := s.remembered(); n != 1 || s.mu.list.Len() != n {
		t.Errorf("%d are remembered, %d in the list", n, s.mu.list.Len())
	}
	for i := range limit - 1 {
		mac := fmt.Sprint(i)
		s.mu.byMAC[mac] = s.mu.list.PushBack(&source{mac, mine, began.Add(26 * time.Minute)})
	}
	if err := s.check(last, mine, began.Add(27*time.Minute)); err == nil || !strings.Contains(err.Error(), "so many") {
		t.Errorf("more than there is room for: %v", err)
	}
}
