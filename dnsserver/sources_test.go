package dnsserver

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"dialtone/update"
)

// signedBy gives the signature of a message that was signed at a time.
func signedBy(digest uint64, at time.Time) *update.Signature {
	return &update.Signature{Digest: digest, Time: uint32(at.Unix())}
}

// TestSourceIsTakenFromOneAddress has a request sent again, from where it came
// and from elsewhere.
func TestSourceIsTakenFromOneAddress(t *testing.T) {
	began := time.Unix(1_700_000_000, 5e8)
	var s sources
	const limit = 1000
	s.init(began, limit)
	mine, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	one, two, old := signedBy(1, began), signedBy(2, began), signedBy(3, began.Add(-time.Second))
	later, last := signedBy(4, began.Add(25*time.Minute)), signedBy(5, began.Add(25*time.Minute))
	for i, c := range []struct {
		sign *update.Signature
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
		digest := uint64(100 + i)
		s.mu.byDigest[digest] = s.mu.list.PushBack(&source{digest, mine, began.Add(26 * time.Minute)})
	}
	if err := s.check(last, mine, began.Add(27*time.Minute)); err == nil || !strings.Contains(err.Error(), "so many") {
		t.Errorf("more than there is room for: %v", err)
	}
}
