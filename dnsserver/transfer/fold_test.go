package transfer

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// plain is what a folder does, said plainly.
type plain map[string][2]string

func (p plain) change(r rr.RR, added bool) {
	k := fmt.Sprintf("%s %05d %q", r.Owner.Lower(), r.Type, rr.CanonicalData(r.Type, r.Data))
	now := fmt.Sprintf("%q %d %d %q", string(r.Owner), r.Type, r.TTL, r.Data)
	c, seen := p[k]
	switch {
	case added:
		c[1] = now
	case seen:
		c[1] = ""
	default:
		c[0] = now
	}
	if p[k] = c; c[0] == c[1] {
		delete(p, k)
	}
}

func (p plain) into() (deleted, added []string) {
	for _, k := range slices.Sorted(maps.Keys(p)) {
		if p[k][0] != "" {
			deleted = append(deleted, p[k][0])
		}
		if p[k][1] != "" {
			added = append(added, p[k][1])
		}
	}
	return deleted, added
}

func (b records) texts(t *testing.T) (out []string) {
	t.Helper()
	err := b.each(func(owner []byte, typ uint16, ttl uint32, data []byte) error {
		out = append(out, fmt.Sprintf("%q %d %d %q", owner, typ, ttl, data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Records come, go and come back in another case or with another TTL, few
// enough to meet again and many enough for slots to fill and gaps to close.
func TestFolderAgainstPlainOne(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, names := range []int{3, 40, 3000} {
		f, p := newFolder(), plain{}
		held := map[string]bool{}
		for range 30000 {
			r := randomRecord(random, names)
			k := fmt.Sprint(r.Owner.Lower(), r.Type, rr.CanonicalData(r.Type, r.Data))
			added := !held[k]
			held[k] = added
			f.change(&r, added)
			p.change(r, added)
		}
		d := &difference{}
		f.into(d)
		deleted, added := p.into()
		if !slices.Equal(d.deleted.texts(t), deleted) || !slices.Equal(d.added.texts(t), added) || d.count != len(deleted)+len(added) {
			t.Errorf("%d names: the difference is another one", names)
		}
		if live := len(f.changes) - len(f.unused); live != len(p) {
			t.Errorf("%d names: %d changes are held of %d", names, live, len(p))
		}
	}
}

func randomRecord(random *rand.Rand, names int) rr.RR {
	owner := fmt.Sprintf("n%06d.example.", random.IntN(names))
	if random.IntN(4) == 0 {
		owner = strings.ToUpper(owner)
	}
	r := rr.RR{Owner: rr.MustName(owner), Type: dns.TypeA, TTL: uint32(60 + random.IntN(2)), Data: "\x0a\x00\x00" + string(rune(random.IntN(3)))}
	if random.IntN(3) == 0 {
		r.Type, r.Data = dns.TypeNS, string(rr.MustName(owner))
	}
	return r
}

// What came and went leaves no memory behind.
func TestFolderForgets(t *testing.T) {
	f := newFolder()
	for i := range 200000 {
		r := rr.RR{Owner: rr.MustName("5551234.example."), Type: dns.TypeA, TTL: 60, Data: fmt.Sprint(i)}
		f.change(&r, true)
		f.change(&r, false)
	}
	if f.held != 0 || len(f.changes) > 1 || len(f.slots) != minSlots || cap(f.text) > 512<<10 {
		t.Errorf("%d octets are held by %d changes, %d slots and %d octets of text", f.held, len(f.changes), len(f.slots), cap(f.text))
	}
}

// BenchmarkCondense condenses 100,000 updates of 10,000 numbers, one and a
// hundred to an entry of the journal.
func BenchmarkCondense(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			const updates = 100000
			entries := journalOf(updates, size)
			b.ReportAllocs()
			for b.Loop() {
				d, err := condense(context.Background(), entries, 0, uint32(updates/size), budget{1 << 30, 1 << 30, 1 << 30}, func() {})
				if err != nil || d.count > 20000 {
					b.Fatal(d, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/updates, "ns/update")
		})
	}
}

// journalOf gives a new address to one of 10,000 numbers with every update.
func journalOf(updates, size int) iter.Seq2[*store.Entry, error] {
	random := rand.New(rand.NewPCG(5, 6))
	now := map[int]string{}
	var all []*store.Entry
	for i := range updates / size {
		e := &store.Entry{From: uint32(i), To: uint32(i) + 1, OldSOA: rr.RR{Data: "soa"}}
		for range size {
			n := random.IntN(10000)
			r := rr.RR{Owner: rr.Name(fmt.Sprintf("\x07%07d\x06phones\x07example\x00", 5000000+n)), Type: dns.TypeA, TTL: 60}
			if old, ok := now[n]; ok {
				r.Data = old
				e.Deleted = append(e.Deleted, r)
			}
			r.Data = fmt.Sprintf("\x0a%c%c%c", random.IntN(128), random.IntN(128), random.IntN(128))
			now[n] = r.Data
			e.Added = append(e.Added, r)
		}
		all = append(all, e)
	}
	return func(yield func(*store.Entry, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}
