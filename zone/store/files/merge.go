package files

import (
	"bytes"
	"cmp"
	"container/heap"
	"math"
	"slices"
)

// Reader gives the newest version of every key, in order, and leaves out what
// may be older than something that is lost.
type Reader struct {
	d      *Dir
	Damage []Damage // of tables, as far as they were read
	lost   []gap
	step   func(octets int64)
}

// gap is a run of keys of which a table has lost some. What is not newer than
// the table may be older than what is lost.
type gap struct {
	from, to []byte // without versions; to is beyond it, nil: all
	level    int
	version  uint64
}

// NewReader looks for damage in all tables, and corrects what can be in memory.
// An error that is a Damage says that a whole table is lost. step hears of each
// table that was read, twice in all, with its octets.
func (d *Dir) NewReader(step func(octets int64)) (*Reader, error) {
	r := &Reader{d: d, step: step}
	if len(d.Missing) > 0 {
		return r, Damage{File: d.Missing[0], Offset: -1, What: "is missing, and the MANIFEST names it"}
	}
	tails := map[*Table]int{} // gaps that go beyond the table
	for _, t := range d.Tables {
		if _, err := t.read(d.root, nil); t.data == nil {
			return r, err
		}
		found, lost, err := t.mend()
		r.Damage = append(r.Damage, found...)
		if err != nil {
			return r, err
		}
		for _, i := range lost {
			g := gap{from: unversioned(t.blocks[i].first), level: t.Level, version: t.MaxVersion}
			if i+1 < len(t.blocks) {
				// The key itself may begin in the lost block, with a newer version.
				g.to = append(bytes.Clone(unversioned(t.blocks[i+1].first)), 0)
			} else {
				tails[t] = len(r.lost)
			}
			r.lost = append(r.lost, g)
		}
		t.release()
		r.step(t.Octets)
	}
	for t, i := range tails {
		r.lost[i].to = d.behind(t)
	}
	return r, nil
}

func unversioned(key []byte) []byte { return key[:len(key)-versionLen] }

// behind gives a key beyond a table's last one: where the next table of its
// level begins. In level 0 tables overlap.
func (d *Dir) behind(t *Table) (key []byte) {
	if t.Level == 0 {
		return nil
	}
	for _, o := range d.Tables {
		if o.Level != t.Level || o.First == nil || compareKeys(o.First, t.First) <= 0 {
			continue
		}
		if k := append(bytes.Clone(unversioned(o.First)), 0); key == nil || bytes.Compare(k, key) < 0 {
			key = k
		}
	}
	return key
}

// doubtful tells of an entry that may be older than something that is lost.
func (r *Reader) doubtful(e Entry, level int) bool {
	return slices.ContainsFunc(r.lost, func(g gap) bool {
		return level >= g.level && e.Version <= g.version && bytes.Compare(e.Key, g.from) >= 0 && (g.to == nil || bytes.Compare(e.Key, g.to) < 0)
	})
}

// Lost gives the runs of keys of which some are lost: from the first to what is
// beyond them, or nil for all others.
func (r *Reader) Lost() (runs [][2][]byte) {
	for _, g := range r.lost {
		runs = append(runs, [2][]byte{g.from, g.to})
	}
	return runs
}

// Scan calls yield for the newest version of each key that starts with prefix and
// is not deleted, in order. What it gives is not used again.
func (r *Reader) Scan(prefix []byte, yield func(Entry) error) error {
	var h sources
	add := func(s *source) error {
		ok, err := s.next()
		if ok {
			h = append(h, s)
		}
		return err
	}
	for _, l := range r.d.Logs {
		if err := add(logSource(l, prefix)); err != nil {
			return err
		}
	}
	for tables := r.d.Tables; len(tables) > 0; {
		n := 1
		if level := tables[0].Level; level > 0 { // the others of a level do not overlap
			for n < len(tables) && tables[n].Level == level {
				n++
			}
		}
		run := slices.SortedFunc(slices.Values(tables[:n]), func(a, b *Table) int { return compareKeys(a.First, b.First) })
		if err := add(&source{r: r, level: tables[0].Level, tables: run, prefix: prefix}); err != nil {
			return err
		}
		tables = tables[n:]
	}
	heap.Init(&h)
	var last []byte
	for len(h) > 0 {
		s := h[0]
		if e := s.at; last == nil || !bytes.Equal(e.Key, last) {
			if !e.Deleted && !r.doubtful(e, s.level) { // else an older one is more doubtful still
				if err := yield(e); err != nil {
					return err
				}
			}
			last = e.Key
		}
		ok, err := s.next()
		switch {
		case err != nil:
			return err
		case ok:
			heap.Fix(&h, 0)
		default:
			heap.Pop(&h)
		}
	}
	return nil
}

// source is a log, a table of level 0, or all tables of another level.
type source struct {
	r      *Reader
	level  int
	at     Entry
	run    []Entry // what comes next
	tables []*Table
	block  int
	prefix []byte // nothing else is wanted
}

// logSource has a log's entries in order, the newest of each key first.
func logSource(l *Log, prefix []byte) *source {
	s := &source{level: -1}
	for _, t := range l.Txns {
		for _, e := range t.Entries { // a transaction has each key once
			if bytes.HasPrefix(e.Key, prefix) {
				s.run = append(s.run, e)
			}
		}
	}
	slices.SortStableFunc(s.run, compareEntries)
	return s
}

func compareEntries(a, b Entry) int {
	return cmp.Or(bytes.Compare(a.Key, b.Key), cmp.Compare(math.MaxUint64-a.Version, math.MaxUint64-b.Version))
}

func (s *source) next() (bool, error) {
	for len(s.run) == 0 {
		if len(s.tables) == 0 {
			return false, nil
		}
		if err := s.fill(); err != nil {
			return false, err
		}
	}
	s.at, s.run = s.run[0], s.run[1:]
	return true, nil
}

// fill reads the next block.
func (s *source) fill() error {
	t := s.tables[0]
	if len(s.tables) > 1 && s.level > 0 && s.before(s.tables[1].First) {
		s.skip()
		return nil
	}
	if t.data == nil {
		if _, err := t.read(s.r.d.root, nil); t.data == nil {
			return err
		}
		if _, _, err := t.mend(); err != nil {
			return err
		}
	}
	if s.block == len(t.blocks) || s.behind(t.blocks[s.block].first) {
		s.skip()
		return nil
	}
	s.run = s.run[:0]
	if s.block+1 < len(t.blocks) && s.before(t.blocks[s.block+1].first) {
		s.block++
		return nil
	}
	err := t.entries(s.block, func(e Entry) error {
		if bytes.HasPrefix(e.Key, s.prefix) {
			s.run = append(s.run, e)
		}
		return nil
	})
	s.block++
	if _, right := err.(Damage); right { // it is among the lost ones
		s.run, err = s.run[:0], nil
	}
	return err
}

// skip is done with a table.
func (s *source) skip() {
	t := s.tables[0]
	t.release()
	s.r.step(t.Octets)
	s.tables, s.block = s.tables[1:], 0
}

// before tells that nothing in front of a key has the prefix.
func (s *source) before(key []byte) bool {
	k := unversioned(key)
	return bytes.Compare(k, s.prefix) < 0
}

// behind tells that nothing from a key on has the prefix.
func (s *source) behind(key []byte) bool {
	k := unversioned(key)
	return bytes.Compare(k, s.prefix) > 0 && !bytes.HasPrefix(k, s.prefix)
}

type sources []*source

func (h sources) Len() int           { return len(h) }
func (h sources) Less(i, j int) bool { return compareEntries(h[i].at, h[j].at) < 0 }
func (h sources) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *sources) Push(x any)        { *h = append(*h, x.(*source)) }
func (h *sources) Pop() any {
	old := *h
	s := old[len(old)-1]
	*h = old[:len(old)-1]
	return s
}
