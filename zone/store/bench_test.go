package store

import (
	"fmt"
	"testing"
	"time"

	"dialtone/zone/rr"
)

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("rrsets=%d", n), func(b *testing.B) {
			s := openStore(b, Options{Dir: b.TempDir()})
			z := openZone(b, s, apex)
			seed(b, z, 1)
			c := change(z, 1, 2, 0, n, 1)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range uint32(b.N) {
				c.From, c.To = 1+i, 2+i
				if err := z.Commit(c); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rrsets/s")
		})
	}
}

// BenchmarkEncode is the part of Commit that is ours.
func BenchmarkEncode(b *testing.B) {
	z := &Zone{s: &Store{maxValue: 1 << 20}, apex: apex, lower: apex}
	c := change(z, 1, 2, 0, 64, 1)
	var bt batch
	b.ReportAllocs()
	for b.Loop() {
		bt.reset()
		for i := range c.Sets {
			if err := bt.putRRset(z, 1, &c.Sets[i]); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := bt.putEntry(z.s, &state{}, c); err != nil {
			b.Fatal(err)
		}
	}
}

func seedN(b *testing.B, z *Zone, n int) {
	b.Helper()
	err := z.Seed(1, func(yield func(OwnedRRset, error) bool) {
		for i := range n {
			set := rr.RRset{Type: typeA, TTL: 60, Data: []string{a(i)}}
			owner := rr.Name(fmt.Sprintf("\x07%07d", i)) + apex
			if !yield(OwnedRRset{owner, set}, nil) {
				return
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAll(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("rrsets=%d", n), func(b *testing.B) {
			s := openStore(b, Options{Dir: b.TempDir()})
			start := time.Now()
			seedN(b, openZone(b, s, apex), n)
			seeded := time.Since(start)
			s = reopen(b, s)
			z := openZone(b, s, apex)
			b.ReportAllocs()
			for b.Loop() {
				got := 0
				for _, err := range z.All() {
					if err != nil {
						b.Fatal(err)
					}
					got++
				}
				if got != n {
					b.Fatal(got)
				}
			}
			b.ReportMetric(seeded.Seconds(), "s-to-seed")
		})
	}
}

func BenchmarkJournal(b *testing.B) {
	s := openStore(b, Options{Dir: b.TempDir()})
	z := openZone(b, s, apex)
	seed(b, z, 1)
	for i := range uint32(1000) {
		commit(b, z, change(z, 1+i, 2+i, int(i), 64, 1))
	}
	b.ReportAllocs()
	for b.Loop() {
		if entries, err := journalOf(z, 501, 1001); err != nil || len(entries) != 500 {
			b.Fatal(len(entries), err)
		}
	}
}

// BenchmarkHistory reads a whole journal back for a number that it does not speak of.
func BenchmarkHistory(b *testing.B) {
	s := openStore(b, Options{Dir: b.TempDir()})
	z := openZone(b, s, apex)
	seed(b, z, 1)
	for i := range uint32(1000) {
		commit(b, z, change(z, 1+i, 2+i, int(i), 256, 1))
	}
	m, _, _ := z.Meta()
	b.SetBytes(m.JournalSize)
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range z.History("9999999", func(int64, int64, time.Time) bool { return true }) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
