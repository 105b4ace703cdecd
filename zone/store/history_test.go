package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"dialtone/zone/rr"
)

// pasts gives the history of a number.
func pasts(t testing.TB, z *Zone, number string) []*Past {
	t.Helper()
	var list []*Past
	for p, err := range z.History(number, func(read, of int64, _ time.Time) bool { return true }) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// pastText is a history in short: what there was, and who made it.
func pastText(list []*Past) (lines []string) {
	for _, p := range list {
		line := fmt.Sprintf("%d:", p.Since.Unix())
		for _, r := range p.Records {
			line += fmt.Sprintf(" %s %d %x", r.Owner, r.TTL, r.Data)
		}
		if p.Change == nil {
			lines = append(lines, line+" from before")
			continue
		}
		line += fmt.Sprintf(" by serial %d", p.Change.Serial)
		for _, a := range p.Change.Authors {
			line += fmt.Sprintf(", %s %s %s", a.Kind, a.Key, a.From)
		}
		lines = append(lines, line)
	}
	return lines
}

// recorder makes commits of several numbers and knows what History must say.
type recorder struct {
	t      *testing.T
	z      *Zone
	serial uint32
	now    map[string]OwnedRRset // by owner
	past   map[int][]*Past       // by number, the oldest first
}

func newRecorder(t *testing.T, z *Zone, numbers int) *recorder {
	r := &recorder{t: t, z: z, serial: 1, now: map[string]OwnedRRset{}, past: map[int][]*Past{}}
	var sets []OwnedRRset
	for i := range numbers {
		set := aSet(i, 1000+i)
		sets = append(sets, set)
		r.now[string(set.Owner)] = set
		r.past[i] = []*Past{{Records: recordsIn(set)}}
	}
	seed(t, z, 1, sets...)
	return r
}

func recordsIn(sets ...OwnedRRset) (list []rr.RR) {
	for _, s := range sets {
		for _, d := range s.Set.Data {
			list = append(list, rr.RR{Owner: s.Owner, Type: s.Set.Type, TTL: s.Set.TTL, Data: d})
		}
	}
	return list
}

// commit gives numbers these RRsets, by who; by gives the author as an entry has it.
func (r *recorder) commit(who map[int]By, sets map[int]OwnedRRset) {
	c := &Commit{From: r.serial, To: r.serial + 2, OldSOA: soa(r.serial), NewSOA: soa(r.serial + 2),
		Time: time.Unix(int64(r.serial+2), 0), Sets: []OwnedRRset{soaSet(r.serial + 2)}}
	r.serial += 2
	numbers := make([]int, 0, len(sets))
	for i := range sets {
		numbers = append(numbers, i)
	}
	slices.Sort(numbers)
	for _, i := range numbers {
		set := sets[i]
		old := recordsIn(r.now[string(set.Owner)])
		c.Sets, c.Deleted, c.Added = append(c.Sets, set), append(c.Deleted, old...), append(c.Added, recordsIn(set)...)
		r.now[string(set.Owner)] = set
		if len(old)+len(set.Set.Data) == 0 {
			continue // nothing came of nothing
		}
		place := uint32(0)
		change := &Change{Serial: c.To, Deleted: old, Added: recordsIn(set)}
		if by, ok := who[i]; ok {
			c.Authors.List = append(c.Authors.List, by)
			place = uint32(len(c.Authors.List))
			change.Authors = []rr.Author{by.author(number(i), recordsIn(set))}
		}
		c.Authors.Note(place, len(old), len(recordsIn(set)))
		r.past[i] = append(r.past[i], &Past{Records: recordsIn(set), Change: change, Since: c.Time})
	}
	commit(r.t, r.z, c)
}

// check compares what is known of all numbers; oldest is the time of the oldest entry.
func (r *recorder) check(z *Zone, oldest time.Time) {
	r.t.Helper()
	for i, want := range r.past {
		want = slices.Clone(want)
		slices.Reverse(want)
		for j, p := range want {
			if p.Change == nil || p.Since.Before(oldest) {
				want = append(want[:j:j], &Past{Records: p.Records, Since: oldest})
				break
			}
		}
		got := pasts(r.t, z, fmt.Sprintf("%07d", i))
		if g, w := pastText(got), pastText(want); !slices.Equal(g, w) {
			for j := 0; ; j++ {
				if j == len(g) || j == len(w) || g[j] != w[j] {
					r.t.Fatalf("number %d:\n got %q\nwant %q", i, g[min(j, len(g)):min(j+3, len(g))], w[min(j, len(w)):min(j+3, len(w))])
				}
			}
		}
	}
}

func TestHistorySaysWhatEachNumberHadAndWhoMadeIt(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	r := newRecorder(t, z, 8)
	random := rand.New(rand.NewPCG(1, 2))
	for range 600 {
		who, sets := map[int]By{}, map[int]OwnedRRset{}
		for range 1 + random.IntN(3) {
			i := random.IntN(8)
			set := OwnedRRset{number(i), rr.RRset{Type: typeA, TTL: uint32(60 + random.IntN(2))}}
			for range random.IntN(3) {
				set.Set.Data = append(set.Set.Data, a(random.Int()))
			}
			sets[i] = set
			by := By{Author: rr.Author{Kind: rr.ByUpdate, Key: number(i + random.IntN(3)), From: netip.AddrFrom4([4]byte{192, 0, 2, byte(random.Int())})}}
			switch random.IntN(5) {
			case 0:
				continue
			case 1:
				by = By{Author: rr.Author{Kind: rr.ByRelease, UID: -1}}
			case 2:
				by = By{Author: rr.Author{Kind: rr.ByLease}}
			case 3:
				by.Key, by.OwnKey = "", true
				if len(set.Set.Data) > 0 {
					by.From, by.FromAdded = netip.Addr{}, rr.TypeA
				}
			}
			who[i] = by
		}
		r.commit(who, sets)
	}
	everyWay(t, s, func(z *Zone) { r.check(z, time.Unix(3, 0)) })
}

func TestHistoryEndsWhereTheJournalBegins(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	r := newRecorder(t, z, 2)
	for i := range 700 {
		r.commit(nil, map[int]OwnedRRset{i % 2: aSet(i%2, i)})
	}
	if err := z.Trim(time.Unix(1001, 0), 500*time.Second, 0); err != nil {
		t.Fatal(err)
	}
	r.check(z, time.Unix(501, 0))
	if err := z.Trim(time.Unix(1e6, 0), time.Second, 0); err != nil {
		t.Fatal(err)
	}
	got := pasts(t, z, "0000001")
	if len(got) != 1 || got[0].Change != nil || !got[0].Since.IsZero() || len(got[0].Records) != 1 {
		t.Errorf("without a journal: %q", pastText(got))
	}
}

// An entry that is larger than one part, with the number's records anywhere in it.
func TestHistoryReadsLargeEntries(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	const many = 40_000
	r := newRecorder(t, z, many)
	for round := range 2 {
		who, sets := map[int]By{}, map[int]OwnedRRset{}
		for i := range many / (1 + 9*round) {
			sets[i] = aSet(i, 5000*round+i)
			who[i] = By{Author: rr.Author{Kind: rr.ByImport, UID: int32(round)}}
		}
		r.commit(who, sets)
	}
	if m, _, _ := z.Meta(); m.JournalSize < 2*manyParts {
		t.Fatalf("the journal has %d octets only", m.JournalSize)
	}
	for i := range r.past {
		if i%1999 != 0 && i != many-1 {
			delete(r.past, i)
		}
	}
	r.check(z, time.Unix(3, 0))
}

func TestHistoryDoesNotTellWhatIsNotAcknowledged(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	r := newRecorder(t, z, 1)
	r.commit(nil, map[int]OwnedRRset{0: aSet(0, 1)})
	want := pastText(pasts(t, z, "0000000"))
	before := z.state.Load()
	r.commit(nil, map[int]OwnedRRset{0: aSet(0, 2)})
	z.state.Store(before) // as it is until the sync is over
	if got := pastText(pasts(t, z, "0000000")); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Directories of format 1 have entries without authors.
func TestEntriesOfFormat1AreRead(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	r := newRecorder(t, z, 1)
	for i := range 3 {
		r.commit(nil, map[int]OwnedRRset{0: aSet(0, i)})
	}
	var b batch
	for seq := range uint64(3) {
		b.put(entryKey(z.state.Load().id, seq, 0), asFormat1(t, z, seq))
	}
	b.put([]byte{kindFormat}, binary.BigEndian.AppendUint32(nil, 1))
	if err := s.commit(&b); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	r.z = openZone(t, s, apex)
	r.commit(map[int]By{0: {Author: rr.Author{Kind: rr.ByLease}}}, map[int]OwnedRRset{0: aSet(0, 9)})
	everyWay(t, s, func(z *Zone) {
		r.check(z, time.Unix(3, 0))
		if entries, err := journalOf(z, 1, 9); err != nil || len(entries) != 4 {
			t.Errorf("%d entries, %v", len(entries), err)
		}
		sn, err := z.s.snapshot()
		if err != nil {
			t.Fatal(err)
		}
		defer sn.close()
		if v, err := get(sn.txn, []byte{kindFormat}); err != nil || !slices.Equal(v, z.s.formatValue()) {
			t.Errorf("the format is %v, %v: an older program would not refuse it", v, err)
		}
	})
}

// asFormat1 gives an entry as format 1 has it.
func asFormat1(t *testing.T, z *Zone, seq uint64) []byte {
	t.Helper()
	sn, err := z.s.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer sn.close()
	v, err := get(sn.txn, entryKey(z.state.Load().id, seq, 0))
	if err != nil {
		t.Fatal(err)
	}
	var h entryHead
	body, err := h.decode(v)
	if err != nil {
		t.Fatal(err)
	}
	authors := len(appendAuthors(nil, &Authors{DeletedBy: []Run{{0, 1}}, AddedBy: []Run{{0, 1}}}))
	body = body[:len(body)-authors]
	h.body = uint32(len(body))
	old := append(h.append(nil), body...)
	old[0] = 1
	return old
}

func TestHistoryFindsDamage(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	r := newRecorder(t, z, 1)
	r.commit(map[int]By{0: {Author: rr.Author{Kind: rr.ByLease}}}, map[int]OwnedRRset{0: aSet(0, 1)})
	r.commit(nil, map[int]OwnedRRset{0: aSet(0, 2)})
	sn, err := s.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	key := entryKey(z.state.Load().id, 0, 0)
	good, err := get(sn.txn, key)
	sn.close()
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(good)
	other[len(other)-12] ^= 1 // of the address that was added
	for name, value := range map[string][]byte{"gap": nil, "head": {2, 2}, "end": good[:len(good)-1], "parts": append([]byte{2, 0, 2}, good[3:]...), "address": other} {
		var b batch
		b.put(key, value)
		if err := s.commit(&b); err != nil {
			t.Fatal(err)
		}
		err = nil
		for _, e := range z.History("0000000", func(read, of int64, _ time.Time) bool { return true }) {
			err = e
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("journal with a bad %s: %v", name, err)
		}
	}
}

func TestHistoryStopsWhenNobodyWantsMore(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	r := newRecorder(t, z, 1)
	for i := range 1000 {
		r.commit(nil, map[int]OwnedRRset{0: aSet(0, i)})
	}
	var read int64
	for range z.History("0000000", func(r, of int64, _ time.Time) bool { read = r; return true }) {
		break
	}
	m, _, _ := z.Meta()
	if read > m.JournalSize/3 {
		t.Errorf("%d octets of %d were read for the newest change", read, m.JournalSize)
	}
	n := 0
	for _, err := range z.History("0000000", func(r, of int64, _ time.Time) bool { read = r; return true }) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != 1001 || read != m.JournalSize {
		t.Errorf("%d moments, %d octets of %d", n, read, m.JournalSize)
	}
}

func FuzzAuthors(f *testing.F) {
	a := Authors{List: []By{
		{Author: rr.Author{Kind: rr.ByUpdate, Key: number(1), From: netip.MustParseAddr("2001:db8::1"), Public: true}},
		{Author: rr.Author{Kind: rr.ByUpdate}, OwnKey: true, FromAdded: rr.TypeAAAA},
		{Author: rr.Author{Kind: rr.ByImport, UID: -1}},
		{Author: rr.Author{Kind: rr.ByLease}},
	}}
	a.Note(1, 2, 0)
	a.Note(0, 0, 3)
	a.Note(4, 1, 1)
	f.Add(appendAuthors(nil, &a), uint16(3), uint16(4))
	f.Add(appendAuthors(nil, &Authors{}), uint16(0), uint16(0))
	f.Add([]byte{9, 9}, uint16(0), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, deleted, added uint16) {
		a, err := decodeAuthors(b, int(deleted), int(added))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		for i := range int(deleted) {
			if by := byAt(a.DeletedBy, i); int(by) > len(a.List) {
				t.Fatalf("record %d by %d of %d", i, by, len(a.List))
			}
		}
		again, err := decodeAuthors(appendAuthors(nil, &a), int(deleted), int(added))
		if err != nil || !reflect.DeepEqual(a, again) {
			t.Fatalf("%v comes back as %v, %v", a, again, err)
		}
	})
}
