package table

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

func newLeases() *Leases {
	t, l := new(Table), new(Leases)
	t.Init(NewEpochs())
	l.Init(t)
	return l
}

func TestNumbersPack(t *testing.T) {
	for _, n := range []string{"0", "00", "5551234", "999999999999999", "000000000000000", "012345678901234"} {
		p, ok := packNumber(n)
		if !ok || unpackNumber(p) != n || p>>54 != 0 {
			t.Errorf("%s: %x, %v", n, p, ok)
		}
	}
	for _, n := range []string{"", "1234567890123456", "12a", "-1", "ns1", "1/", "1:"} {
		if _, ok := packNumber(n); ok {
			t.Errorf("%q is packed", n)
		}
	}
}

// TestLeasesAreAMap compares with a map.
func TestLeasesAreAMap(t *testing.T) {
	const now = leaseEpoch + 1_000_000
	r := rand.New(rand.NewPCG(1, 2))
	l, want := newLeases(), map[string]Lease{}
	due := func(now int64) map[string]bool {
		m := map[string]bool{}
		l.Due(now, func(n string, _ bool) bool { m[n] = true; return true })
		return m
	}
	for i := range 200_000 {
		n := fmt.Sprint(r.IntN(30_000))
		switch r.IntN(8) {
		case 0:
			n = "x" + n
		case 1:
			n = "0" + n
		}
		x := Lease{}
		if r.IntN(4) > 0 {
			x.End = now + leaseTick*int64(r.IntN(1000))
		}
		if r.IntN(4) == 0 {
			x.KeyEnd = now + leaseTick*int64(r.IntN(1000))
		}
		if r.IntN(4) == 0 {
			x.Signed, x.Public = r.Uint32()|1, r.IntN(2) == 0
		}
		l.Put(n, x)
		if want[n] = x; x == (Lease{}) {
			delete(want, n)
		}
		if i%20_000 == 0 {
			at := now + leaseTick*int64(r.IntN(1000))
			ended := map[string]bool{}
			for n, x := range want {
				if x.Ends(at) {
					ended[n] = true
				}
			}
			running := 0
			for _, x := range want {
				if x.End != 0 {
					running++
				}
			}
			if l.Running() != running {
				t.Fatalf("%d leases run, want %d", l.Running(), running)
			}
			if got := due(at); !maps.Equal(got, ended) {
				t.Fatalf("%d are due, want %d", len(got), len(ended))
			}
		}
	}
	for n, x := range want {
		if got := l.Get(n); got != x {
			t.Fatalf("%s: %v, want %v", n, got, x)
		}
	}
	for n := range want {
		l.Put(n, Lease{})
	}
	if l.Len() != 0 || l.Running() != 0 || len(due(now+1e9)) != 0 {
		t.Errorf("%d are left", l.Len())
	}
}

func TestNoLeaseIsShortened(t *testing.T) {
	l := newLeases()
	for i := range int64(2 * leaseTick) {
		end := leaseEpoch + 1_000_000 + i
		for _, n := range []string{"5551234", "name"} {
			l.Put(n, Lease{End: end})
			if got := l.Get(n).End; got < end || got >= end+leaseTick {
				t.Fatalf("%s: %d ends at %d", n, end, got)
			}
			l.Due(end-1, func(due string, _ bool) bool {
				if due == n {
					t.Fatalf("%s: due before its end", n)
				}
				return true
			})
		}
	}
}

// TestLeasesAreSmall: a million numbers with leases take at most 24 octets each.
func TestLeasesAreSmall(t *testing.T) {
	l := newLeases()
	const n = 1_000_000
	for i := range n {
		l.Put(fmt.Sprint(5_000_000+i), Lease{End: leaseEpoch + int64(i)*leaseTick, Signed: 1})
	}
	if per := float64(l.Octets()) / n; per > 24 {
		t.Errorf("%.1f octets for each of %d", per, n)
	} else {
		t.Logf("%.1f octets a number", per)
	}
}

func BenchmarkLeasesPut(b *testing.B) {
	l := newLeases()
	const n = 1_000_000
	numbers := make([]string, n)
	for i := range numbers {
		numbers[i] = fmt.Sprint(5_000_000 + i)
		l.Put(numbers[i], Lease{End: leaseEpoch + 1, Signed: 1})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Put(numbers[i*7919%n], Lease{End: leaseEpoch + int64(i), Signed: 1})
	}
}

// BenchmarkLeasesDue is the look for what has ended, when nothing has.
func BenchmarkLeasesDue(b *testing.B) {
	l := newLeases()
	for i := range 1_000_000 {
		l.Put(fmt.Sprint(5_000_000+i), Lease{End: leaseEpoch + 1_000_000_000})
	}
	for b.Loop() {
		l.Due(leaseEpoch+1, func(string, bool) bool { return true })
	}
}
