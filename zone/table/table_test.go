package table

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// name makes wire labels from "a.b".
func name(text string) []byte {
	var b []byte
	if text == "" {
		return b
	}
	for _, l := range strings.Split(text, ".") {
		b = append(append(b, byte(len(l))), l...)
	}
	return b
}

func newTable() *Table {
	t := &Table{}
	t.Init(NewEpochs())
	return t
}

func (t *Table) set(p *Path, text, body string, version uint64) {
	t.SetPath(p, name(text))
	if body == "" {
		t.Clear(p, version)
	} else {
		t.Put(p, []byte(body), 0, version)
	}
}

// check verifies the invariants of the package comment at a version; children
// are counted for the newest only.
func (t *Table) check(tb testing.TB, version uint64, want map[string]string, newest bool) {
	tb.Helper()
	exists := map[string]bool{"": true}
	children := map[string]map[string]bool{}
	for n := range want {
		for s := n; s != ""; {
			exists[s] = true
			_, parent, _ := strings.Cut(s, ".")
			if parent != "" {
				if children[parent] == nil {
					children[parent] = map[string]bool{}
				}
				children[parent][s] = true
			}
			s = parent
		}
	}
	seen := map[string]bool{}
	for n := range t.All(version) {
		var labels []string
		for b := n.Name(); len(b) > 0; b = b[1+b[0]:] {
			labels = append(labels, string(b[1:1+b[0]]))
		}
		key := strings.Join(labels, ".")
		if seen[key] {
			tb.Fatalf("version %d: %q is there twice", version, key)
		}
		seen[key] = true
		if !exists[key] {
			tb.Fatalf("version %d: %q should not exist", version, key)
		}
		if string(n.Body()) != want[key] {
			tb.Fatalf("version %d: %q is %q, want %q", version, key, n.Body(), want[key])
		}
		if n.prev() == 0 && n.version() > version {
			tb.Fatalf("%q shows a later version", key)
		}
	}
	for n := range exists {
		if n != "" && !seen[n] {
			tb.Fatalf("version %d: %q is missing", version, n)
		}
		var p Path
		t.SetPath(&p, name(n))
		if _, ok := t.FindPath(&p, version); n != "" && !ok {
			tb.Fatalf("version %d: %q is not found", version, n)
		}
		if _, x := t.lookup(p.hash[p.labels], p.lower); newest && n != "" && int(x.children()) != len(children[n]) {
			tb.Fatalf("%q counts %d children, want %d", n, x.children(), len(children[n]))
		}
	}
}

// TestAgainstModel changes random names and holds old versions open with
// readers, whose content must not move.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		tab := newTable()
		var p Path
		model := map[string]string{"": "apex"}
		tab.set(&p, "", "apex", 1)
		tab.Published()
		type held struct {
			r       *Reader
			version uint64
			model   map[string]string
		}
		var readers []held
		labels := []string{"a", "b", "C", "*", "d", "5551234"}
		for v := uint64(2); v < 400; v++ {
			for range 1 + rnd.IntN(8) {
				parts := []string{fmt.Sprint(rnd.IntN(200))}
				for rnd.IntN(2) == 0 && len(parts) < 5 {
					parts = append([]string{labels[rnd.IntN(len(labels))]}, parts...)
				}
				n := strings.Join(parts, ".")
				if rnd.IntN(2) == 0 {
					if _, ok := model[n]; ok {
						delete(model, n)
						tab.set(&p, n, "", v)
					}
				} else {
					body := strings.Repeat("x", 1+rnd.IntN(60))
					if rnd.IntN(400) == 0 {
						body = strings.Repeat("y", rnd.IntN(3<<20)+1)
					}
					model[n] = body
					tab.set(&p, n, body, v)
				}
			}
			tab.Published()
			if v%5 == 0 {
				tab.check(t, v, model, true)
			}
			if rnd.IntN(4) == 0 {
				r := tab.epochs.NewReader()
				r.Begin()
				m := map[string]string{}
				for k, b := range model {
					m[k] = b
				}
				readers = append(readers, held{r, v, m})
			}
			if len(readers) > 0 && rnd.IntN(3) == 0 {
				i := rnd.IntN(len(readers))
				tab.check(t, readers[i].version, readers[i].model, false)
				readers[i].r.End()
				readers[i].r.Close()
				readers = append(readers[:i], readers[i+1:]...)
			}
		}
		for _, h := range readers {
			tab.check(t, h.version, h.model, false)
			h.r.Close()
		}
		tab.Reclaim()
		tab.Published() // what the first pass buried
		if s := tab.Stats(); s.Retired != 0 {
			t.Errorf("%d nodes wait although no reader is left", s.Retired)
		}
		live := int64(0)
		for n := range tab.All(400) {
			_, octets := classOf(len(n.b))
			live += int64(octets)
		}
		if s := tab.Stats(); s.Live != live {
			t.Errorf("%d octets are in use, %d of them by nodes", s.Live, live)
		}
	}
}

// TestMemoryIsSteady holds that endless updates of the same names reuse the
// memory of what they replace.
func TestMemoryIsSteady(t *testing.T) {
	tab := newTable()
	var p Path
	round := func(v uint64) {
		for i := range 2000 {
			tab.set(&p, fmt.Sprint(5550000+i), fmt.Sprintf("%016d", v), v)
		}
		tab.Published()
	}
	for v := uint64(1); v < 5; v++ {
		round(v)
	}
	before := tab.Stats()
	for v := uint64(5); v < 60; v++ {
		round(v)
	}
	if after := tab.Stats(); after.Octets > before.Octets {
		t.Errorf("memory grew from %d to %d octets", before.Octets, after.Octets)
	}
}

func TestMemoryANumber(t *testing.T) {
	tab := newTable()
	var p Path
	const count = 200_000
	for i := range count {
		tab.set(&p, fmt.Sprint(5550000+i), "0123456789abcdefgh", 1) // an A record
	}
	tab.Published()
	// 48 of the node, 21 of the index, which has just been split, and the slab
	// that is being filled.
	if got := float64(tab.Stats().Octets) / count; got > 80 {
		t.Errorf("%.1f octets a number, want at most 80", got)
	}
}

// TestReadersDuringGrowth looks names up while the index grows, splits and
// forgets.
func TestReadersDuringGrowth(t *testing.T) {
	tab := newTable()
	var p Path
	var published atomic.Uint64
	const stable = 500
	for i := range stable {
		tab.set(&p, fmt.Sprint("s", i), "stable", 1)
	}
	tab.Published()
	published.Store(1)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			r := tab.epochs.NewReader()
			defer r.Close()
			var p Path
			for i := 0; !stop.Load(); i++ {
				r.Begin()
				v := published.Load()
				tab.SetPath(&p, name(fmt.Sprint("s", i%stable)))
				if n, ok := tab.FindPath(&p, v); !ok || string(n.Body()) != "stable" {
					t.Errorf("s%d is lost at version %d", i%stable, v)
					stop.Store(true)
				}
				if i%200 == 0 {
					count := 0
					for n := range tab.All(v) {
						if string(n.Body()) == "stable" {
							count++
						}
					}
					if count != stable {
						t.Errorf("%d of %d names in a walk at version %d", count, stable, v)
						stop.Store(true)
					}
				}
				r.End()
			}
		})
	}
	for v := uint64(2); v < 200; v++ {
		for i := range 200 {
			n := fmt.Sprint("t", (int(v)*200+i)%20000)
			if v%3 == 0 {
				n = fmt.Sprint("t", (int(v-2)*200+i)%20000)
				tab.set(&p, n, "", v)
			} else {
				tab.set(&p, n, fmt.Sprintf("body of %d", i), v)
			}
		}
		published.Store(v)
		tab.Published()
	}
	stop.Store(true)
	wg.Wait()
}

func BenchmarkFind(b *testing.B) {
	for _, count := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			tab := newTable()
			var p Path
			for i := range count {
				tab.set(&p, fmt.Sprint(i), "0123456789abcdefgh", 1)
			}
			tab.Published()
			paths := make([]Path, 4096)
			for i := range paths {
				tab.SetPath(&paths[i], name(fmt.Sprint(rand.IntN(count))))
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				if _, ok := tab.FindPath(&paths[i%len(paths)], 1); !ok {
					b.Fatal("lost")
				}
			}
		})
	}
}

func BenchmarkReplace(b *testing.B) {
	tab := newTable()
	var p Path
	const count = 1_000_000
	for i := range count {
		tab.set(&p, fmt.Sprint(i), "0123456789abcdefgh", 1)
	}
	tab.Published()
	names := make([][]byte, 4096)
	for i := range names {
		names[i] = name(fmt.Sprint(rand.IntN(count)))
	}
	body := []byte("0123456789abcdefgi")
	b.ReportAllocs()
	v := uint64(2)
	i := 0
	for b.Loop() {
		i++
		tab.SetPath(&p, names[i%len(names)])
		tab.Put(&p, body, 0, v)
		if i%64 == 0 {
			tab.Published()
			v++
		}
	}
}

// A zone that is walked in parts shows every name once, whatever is put and
// taken away between the parts.
func TestWalkInParts(t *testing.T) {
	tab := newTable()
	var p Path
	const names = 20000
	for i := range names {
		tab.set(&p, fmt.Sprint(i), "at first", 1)
	}
	tab.Published()
	r := tab.epochs.NewReader()
	defer r.Close()
	r.Begin()
	defer r.End()
	seen := map[string]bool{}
	for n := range tab.inParts(1, 3000) {
		key := string(n.Name())
		if seen[key] || string(n.Body()) != "at first" {
			t.Fatalf("%q: %q", key, n.Body())
		}
		seen[key] = true
		if k := len(seen); k%100 == 0 {
			tab.set(&p, fmt.Sprint(k), "later", 2)
			tab.set(&p, fmt.Sprint(names-k), "", 2)
			for i := range 200 {
				tab.set(&p, fmt.Sprint(names+2*k+i), "new", 2)
			}
			tab.Published()
		}
	}
	if len(seen) != names {
		t.Errorf("%d names of %d", len(seen), names)
	}
}

// BenchmarkAll walks a zone that no cache holds.
func BenchmarkAll(b *testing.B) {
	const names = 1000000
	t := newTable()
	var p Path
	for i := range names {
		t.set(&p, fmt.Sprint(5000000+i), "the octets of one address", 1)
	}
	t.Published()
	octets := 0
	for b.Loop() {
		for n := range t.All(1) {
			octets += len(n.Body())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/names, "ns/node")
}
