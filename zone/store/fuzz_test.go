package store

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"dialtone/zone/rr"
)

// What a decoder takes must come back the same when it is encoded again.

func FuzzRRset(f *testing.F) {
	z := &Zone{s: &Store{maxValue: 1 << 20}, apex: apex, lower: apex}
	for _, set := range []OwnedRRset{aSet(1, 1), soaSet(7),
		{"\x02Ab\x03\x00\x01\xff" + apex, rr.RRset{Type: 65280, TTL: 1 << 31, Data: []string{"", "x", "yy"}}}} {
		var b batch
		if err := b.putRRset(z, 1, &set); err != nil {
			f.Fatal(err)
		}
		f.Add(b.ops[0].key, b.ops[0].value)
	}
	f.Add([]byte("r\x00\x00\x00\x01\x01\x03\x00\x00\x00\x01"), []byte("\x10\x00\x00\x00\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		var c chunk
		var s rrsetSpans
		var err error
		c.arena, c.spans, s, err = cutRRset(nil, nil, apex, key, value)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		c.sets = append(c.sets, s)
		c.yield(func(stored *rr.Octets) bool {
			r := cloned(stored)
			if !r.Owner.Valid() || !r.Owner.IsBelowOrEqual(apex) || len(r.Set.Data) == 0 {
				t.Fatalf("decoded %q %v", string(r.Owner), r.Set)
			}
			var b batch
			if err := b.putRRset(z, 1, &r); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.ops[0].key[prefixLen:], key[prefixLen:]) {
				t.Fatalf("key %x comes back as %x", key, b.ops[0].key)
			}
			_, spans, again, err := cutRRset(nil, nil, apex, b.ops[0].key, b.ops[0].value)
			if err != nil || !reflect.DeepEqual(again, s) || !reflect.DeepEqual(spans, c.spans) {
				t.Fatalf("%v comes back as %v, %v", s, again, err)
			}
			return true
		})
	})
}

func FuzzEntry(f *testing.F) {
	z := &Zone{apex: apex}
	for _, c := range []*Commit{change(z, 1, 2, 0, 0, 0), change(z, 1<<32-1, 7, 0, 3, 9), {From: 1, To: 2}} {
		var b batch
		if _, err := b.putEntry(&Store{maxValue: 1 << 20}, &state{}, c); err != nil {
			f.Fatal(err)
		}
		f.Add(b.ops[0].value)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var h entryHead
		body, err := h.decode(value)
		if err == nil {
			var e *Entry
			if e, err = h.entry(body); err == nil {
				c := &Commit{From: e.From, To: e.To, OldSOA: e.OldSOA, NewSOA: e.NewSOA, Deleted: e.Deleted, Added: e.Added}
				again, err := appendBody(nil, c)
				if err != nil {
					t.Fatal(err)
				}
				h.body = uint32(len(again))
				var e2 *Entry
				h.authors = true // as they are written now
				if e2, err = h.entry(again); err != nil || !reflect.DeepEqual(e, e2) {
					t.Fatalf("%v comes back as %v, %v", e, e2, err)
				}
				scansAs(t, h, again, e)
			}
		}
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
}

// scansAs wants what History makes of an entry, in parts of any length, to be what the journal says.
func scansAs(t *testing.T, h entryHead, body []byte, e *Entry) {
	t.Helper()
	const label = "0000001"
	of := func(list []rr.RR) (mine []rr.RR) {
		for _, r := range list {
			if r.Owner.IsBelowOrEqual(rr.NumberName(label, apex)) {
				mine = append(mine, r)
			}
		}
		return mine
	}
	for _, size := range []int{1, 7, 64, len(body)} {
		var s pastScan
		s.owner(label, apex)
		if _, err := s.begin(h.append(nil)); err != nil {
			t.Fatal(err)
		}
		for left := body; len(left) > 0; {
			n := min(size, len(left))
			if err := s.feed(left[:n], n == len(left)); err != nil {
				t.Fatalf("in parts of %d octets: %v", size, err)
			}
			left = left[n:]
		}
		if d, a := records(s.out.deleted), records(s.out.added); !reflect.DeepEqual(d, of(e.Deleted)) || !reflect.DeepEqual(a, of(e.Added)) {
			t.Fatalf("in parts of %d octets: -%v +%v of %v", size, d, a, e)
		}
	}
}

func FuzzMeta(f *testing.F) {
	m := meta{serial: 1, burned: 2, next: 3, distance: 4, appended: 5, stage: 6, staged: 7}
	tr := trim{first: 1, from: 2, dropped: 3}
	f.Add(m.append(nil))
	f.Add(tr.append(nil))
	f.Add(zoneValue(7, apex))
	f.Fuzz(func(t *testing.T, value []byte) {
		var m meta
		if m.decode(value) == nil && !bytes.Equal(m.append(nil), value) {
			t.Fatalf("meta %x comes back as %x", value, m.append(nil))
		}
		var tr trim
		if tr.decode(value) == nil && !bytes.Equal(tr.append(nil), value) {
			t.Fatalf("trim %x comes back as %x", value, tr.append(nil))
		}
		if id, name, err := decodeZone(value); err == nil && !bytes.Equal(zoneValue(id, name), value) {
			t.Fatalf("zone %x comes back as %x", value, zoneValue(id, name))
		}
	})
}

func FuzzStage(f *testing.F) {
	var b batch
	z := &Zone{s: &Store{maxValue: 1 << 20}, apex: apex, lower: apex}
	for _, set := range []OwnedRRset{aSet(1, 1), {number(2), rr.RRset{Type: typeA}}, soaSet(7)} {
		if err := b.putRRset(z, 1, &set); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(stage(b.ops, 1, 1, 1<<20)[0].value)
	f.Fuzz(func(t *testing.T, value []byte) {
		var b batch
		if err := unstage(&b, 1, value); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		var again batch
		for _, part := range stage(b.ops, 1, 1, 64) {
			if err := unstage(&again, 1, part.value); err != nil {
				t.Fatal(err)
			}
		}
		if len(again.ops) != len(b.ops) || len(b.ops) > 0 && !reflect.DeepEqual(again.ops, b.ops) {
			t.Fatalf("%v comes back as %v", b.ops, again.ops)
		}
	})
}

// TestDamageIsReported changes stored octets: reading must end with an error
// and not with a wrong answer or a panic.
func TestDamageIsReported(t *testing.T) {
	s, z := history(t, 3)
	st := z.state.Load()
	put := func(key, value []byte) {
		t.Helper()
		var b batch
		b.put(key, value)
		if err := s.commit(&b); err != nil {
			t.Fatal(err)
		}
	}
	good, err := func() (v []byte, err error) {
		sn, err := s.snapshot()
		if err != nil {
			return nil, err
		}
		defer sn.close()
		return get(sn.txn, entryKey(st.id, 1, 0))
	}()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string][]byte{"gap": nil, "head": {1, 2}, "body": good[:len(good)-1], "parts": append([]byte{1, 0, 2}, good[3:]...)} {
		put(entryKey(st.id, 1, 0), value)
		if _, err := journalOf(z, 1, 7); !errors.Is(err, ErrCorrupt) {
			t.Errorf("journal with a bad %s: %v", name, err)
		}
	}
	put(entryKey(st.id, 1, 0), nil)
	if err := z.Trim(time.Now(), 1, 0); !errors.Is(err, ErrCorrupt) {
		t.Errorf("trim of a journal with a gap: %v", err)
	}
	put(appendRRsetKey(nil, st.id, apex, number(0), typeA), []byte{encRRset})
	if err := func() error {
		for _, err := range z.All() {
			if err != nil {
				return err
			}
		}
		return nil
	}(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("all with a bad RRset: %v", err)
	}
	// A zone without meta must not look like one that was never loaded.
	for _, kind := range []byte{kindTrim, kindMeta} {
		for _, value := range [][]byte{nil, {9}} {
			put(zonePrefix(kind, st.id), value)
			if _, err := crash(t, s).Zone(apex); !errors.Is(err, ErrCorrupt) {
				t.Errorf("zone with %c of %v: %v", kind, value, err)
			}
		}
	}
}
