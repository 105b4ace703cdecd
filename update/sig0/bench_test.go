package sig0_test

import (
	"testing"

	"github.com/miekg/dns"

	"dialtone/update/sig0"
)

// BenchmarkRequest is the whole way of one request: good, with a wrong
// signature, and junk that is seen before a signature is computed.
func BenchmarkRequest(b *testing.B) {
	unsigned := pack(b, update(b))
	b.Run("unsigned", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if r, err := sig0.Find(unsigned); r != nil || err != nil {
				b.Fatal(r, err)
			}
		}
	})
	for _, algorithm := range both {
		p := newPair(b, algorithm)
		good := p.sign(b, update(b), now, nil)
		wrong := p.sign(b, update(b), now, nil)
		wrong[0] ^= 1
		for name, c := range map[string]struct {
			msg  []byte
			good bool
		}{
			"good":      {good, true},
			"wrong":     {wrong, false},
			"late":      {p.sign(b, update(b), now.Add(-1e12), nil), false},
			"other-key": {p.sign(b, update(b), now, func(s *dns.SIG) { s.KeyTag++ }), false},
		} {
			b.Run(dns.AlgorithmToString[algorithm]+"/"+name, func(b *testing.B) {
				rdatas := []string{p.rdata(b)}
				b.ReportAllocs()
				for b.Loop() {
					r, err := sig0.Find(c.msg)
					if err != nil {
						b.Fatal(err)
					}
					keys, err := r.Select(rdatas, now)
					for _, k := range keys {
						_, err = r.Verify(k, now)
					}
					if (err == nil) != c.good {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestUnsignedAllocatesNothing(t *testing.T) {
	msg := pack(t, update(t))
	if n := testing.AllocsPerRun(1000, func() { sig0.Find(msg) }); n > 0 {
		t.Errorf("Find in an unsigned message allocates %v times", n)
	}
}
