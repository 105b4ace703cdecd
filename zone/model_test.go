package zone_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// line gives a record octet by octet, its names in the case that they have.
func line(r rr.RR) string {
	b := make([]byte, 0, len(r.Owner)+16+len(r.Data))
	b = append(append(b, r.Owner...), dns.TypeToString[r.Type]...)
	return string(append(binary.BigEndian.AppendUint32(b, r.TTL), r.Data...))
}

// text gives what a view holds as sorted lines.
func text(v zone.View) []string {
	var lines []string
	for n := range v.Nodes() {
		owner := rr.Name(n.Owner()) + v.Zone().Apex()
		sets := n.Sets()
		for s, ok := sets.Next(); ok; s, ok = sets.Next() {
			data := s.Data()
			for d, ok := data.Next(); ok; d, ok = data.Next() {
				lines = append(lines, line(rr.RR{Owner: owner, Type: s.Type(), TTL: s.TTL(), Data: string(d)}))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func read(z *zone.Zone) []string {
	r := zone.NewReader()
	defer r.Close()
	r.Begin()
	defer r.End()
	return text(z.View())
}

// kept gives what a store holds as sorted lines.
func kept(t testing.TB, s zone.Store) []string {
	t.Helper()
	var lines []string
	for stored, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		owner, set := stored.Clone()
		for _, d := range set.Data {
			lines = append(lines, line(rr.RR{Owner: owner, Type: set.Type, TTL: set.TTL, Data: d}))
		}
	}
	slices.Sort(lines)
	return lines
}

// replay applies a journal to a copy of a zone as a secondary does, but
// strictly: what is deleted must be there, what is added must not.
func replay(lines []string, entries iter.Seq2[*store.Entry, error]) ([]string, error) {
	have := map[string]bool{}
	for _, l := range lines {
		have[l] = true
	}
	for e, err := range entries {
		if err != nil {
			return nil, err
		}
		for _, r := range append(slices.Clone(e.Deleted), e.OldSOA) {
			if !have[line(r)] {
				return nil, fmt.Errorf("%w: %d to %d deletes %s, which is not there", errReplay, e.From, e.To, r)
			}
			delete(have, line(r))
		}
		for _, r := range append(slices.Clone(e.Added), e.NewSOA) {
			if have[line(r)] {
				return nil, fmt.Errorf("%w: %d to %d adds %s, which is there", errReplay, e.From, e.To, r)
			}
			have[line(r)] = true
		}
	}
	out := make([]string, 0, len(have))
	for l := range have {
		out = append(out, l)
	}
	slices.Sort(out)
	return out, nil
}

var errReplay = errors.New("journal does not fit")

// without gives the lines of a that b does not have.
func without(a, b []string) (only []string) {
	for _, l := range a {
		if _, ok := slices.BinarySearch(b, l); !ok {
			only = append(only, fmt.Sprintf("%q", l[:min(len(l), 60)]))
		}
	}
	return only
}

// witness remembers what every serial was seen to name.
type witness struct {
	mu struct {
		sync.Mutex
		seen map[uint32][]string
	}
}

// see tells what is wrong with a content, if anything.
func (w *witness) see(serial uint32, lines []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	was, ok := w.mu.seen[serial]
	if !ok {
		w.mu.seen[serial] = lines
	} else if !slices.Equal(was, lines) {
		return fmt.Errorf("serial %d names two contents: %s and %s", serial, without(was, lines), without(lines, was))
	}
	return nil
}

func (w *witness) content(serial uint32) ([]string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines, ok := w.mu.seen[serial]
	return lines, ok
}

func (w *witness) serials() (all []uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.mu.seen {
		all = append(all, s)
	}
	return all
}

// modelSet is an RRset of the model; modelName a name.
type (
	modelName struct {
		owner rr.Name
		sets  map[uint16]rr.RRset
	}
	model map[rr.Name]modelName // by lower-case owner
)

func (m model) clone() model {
	c := make(model, len(m))
	for k, n := range m {
		sets := make(map[uint16]rr.RRset, len(n.sets))
		for t, s := range n.sets {
			sets[t] = s
		}
		c[k] = modelName{n.owner, sets}
	}
	return c
}

// set is what Draft.Set is to do; base is the content before the batch.
func (m model) set(base model, owner rr.Name, s rr.RRset) {
	k := owner.Lower()
	n, ok := m[k]
	if !ok {
		n = modelName{owner[:len(owner)-len(modelApex)] + modelApex, map[uint16]rr.RRset{}}
		if was, ok := base[k]; ok {
			n.owner = was.owner
		}
	}
	switch {
	case len(s.Data) == 0:
		delete(n.sets, s.Type)
	case !n.sets[s.Type].Equal(s):
		n.sets[s.Type] = s
	}
	if m[k] = n; len(n.sets) == 0 {
		delete(m, k)
	}
}

// keep ends an op: names that it left as they were keep their spelling.
func (m model) keep(before model) {
	for k, n := range m {
		if was, ok := before[k]; ok && maps.EqualFunc(was.sets, n.sets, rr.RRset.Equal) {
			m[k] = was
		}
	}
}

// settle gives what is as it was the spelling that it had.
func (m model) settle(base model) {
	for k, n := range m {
		for t, s := range n.sets {
			if was := base[k].sets[t]; was.Equal(s) {
				n.sets[t] = was
			}
		}
	}
}

func (m model) lines() []string {
	var lines []string
	for _, n := range m {
		for t, s := range n.sets {
			for _, d := range s.Data {
				lines = append(lines, line(rr.RR{Owner: n.owner, Type: t, TTL: s.TTL, Data: d}))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func (m model) serial() uint32 {
	soa, err := rr.ParseSOA(m[modelApex].sets[dns.TypeSOA].Data[0])
	if err != nil {
		panic(err)
	}
	return soa.Serial
}

const modelApex = rr.Name("\x06phones\x07example\x00")
