package store

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"dialtone/zone/rr"
)

func registration(i int) rr.Registration {
	n := fmt.Sprintf("%07d", i)
	return rr.Registration{
		Number: n, Lease: 1_800_000_000_123 + int64(i), Signed: 1_800_000_000, Digest: uint64(i) << 40, Updated: 1_799_999_999_999,
		Key: number(i), From: netip.MustParseAddr("192.0.2.7"),
	}
}

func seeded(t *testing.T) (*Store, *Zone) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1)
	return s, z
}

func heldBy(t testing.TB, z *Zone) (list []rr.Registration) {
	t.Helper()
	for r, err := range z.Registrations() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, *r)
	}
	return list
}

func TestRegistrationsAreKept(t *testing.T) {
	s, z := seeded(t)
	list := []rr.Registration{
		registration(1),
		{Number: "a.\x00b", KeyLease: 5, Updated: -1, Public: true, Key: rr.MustName("pbx.key."), From: netip.MustParseAddr("2001:db8::1")},
		{Number: "2", Lease: 7},
	}
	signers := []rr.Signer{{Key: rr.MustName("pbx.key."), Signed: 1<<32 - 1, Digest: 1<<64 - 1}, {Key: rr.MustName("other."), Signed: 1, Digest: 2}}
	c := change(z, 1, 2, 0, 1, 9)
	c.Held = Held{list, signers}
	commit(t, z, c)
	want := slices.Clone(list)
	slices.SortFunc(want, func(a, b rr.Registration) int { return cmp.Compare(a.Number, b.Number) })
	same := func(z *Zone) {
		t.Helper()
		if got := heldBy(t, z); !reflect.DeepEqual(got, want) {
			t.Errorf("held %+v, want %+v", got, want)
		}
		got, err := z.Signers()
		if err != nil || len(got) != 2 || !slices.Contains(got, signers[0]) || !slices.Contains(got, signers[1]) {
			t.Errorf("signers %v, %v", got, err)
		}
		for _, r := range want {
			if got, err := z.Registration(r.Number); err != nil || got != r {
				t.Errorf("%q: %+v, %v", r.Number, got, err)
			}
		}
	}
	same(z)
	// A commit of such alone costs no serial and no journal entry.
	list[0].Lease++
	want[slices.IndexFunc(want, func(r rr.Registration) bool { return r.Number == list[0].Number })].Lease++
	commit(t, z, &Commit{From: 2, To: 2, Held: Held{Registrations: list[:1]}})
	s = reopen(t, s)
	z = openZone(t, s, apex)
	same(z)
	if m, _, _ := z.Meta(); m.Serial != 2 || m.JournalCount != 1 {
		t.Errorf("meta %+v", m)
	}
	check(t, z)
	// One that says nothing goes.
	commit(t, z, &Commit{From: 2, To: 2, Held: Held{Registrations: []rr.Registration{{Number: "2", Updated: 9}}}})
	if r, err := z.Registration("2"); err != nil || r != (rr.Registration{}) {
		t.Errorf("%+v, %v", r, err)
	}
	if err := z.Commit(&Commit{From: 2, To: 2, Held: Held{Registrations: []rr.Registration{{Lease: 1}}}}); !errors.Is(err, ErrOutOfZone) {
		t.Errorf("no number: %v", err)
	}
	// They go with the zone.
	seed(t, z, 9)
	if got := heldBy(t, z); len(got) > 0 {
		t.Errorf("after a seed: %v", got)
	}
}

// TestManyRegistrations go through a stage.
func TestManyRegistrations(t *testing.T) {
	s, z := seeded(t)
	var h Held
	for i := range 20_000 {
		h.Registrations = append(h.Registrations, registration(i))
	}
	c := change(z, 1, 2, 0, 2, 9)
	c.Held = h
	commit(t, z, c)
	s = reopen(t, s)
	z = openZone(t, s, apex)
	if got := heldBy(t, z); !reflect.DeepEqual(got, h.Registrations) {
		t.Errorf("%d are held", len(got))
	}
	check(t, z)
}

// TestRepairHolds puts back what was held before a commit that failed.
func TestRepairHolds(t *testing.T) {
	fail := false
	o := testOptions(t.TempDir())
	o.FailCommit = func() error {
		if fail {
			fail = false
			return ErrTorn
		}
		return nil
	}
	s := openStore(t, o)
	z := openZone(t, s, apex)
	seed(t, z, 1)
	before := Held{Registrations: []rr.Registration{registration(1)}}
	commit(t, z, &Commit{From: 1, To: 1, Held: before})
	fail = true
	changed := registration(1)
	changed.Lease = 1
	if err := z.Commit(&Commit{From: 1, To: 1, Held: Held{Registrations: []rr.Registration{changed}}}); !errors.Is(err, ErrTorn) {
		t.Fatal(err)
	}
	// There is no serial to be burned.
	if err := repair(z, nil, before, 0); err != nil {
		t.Fatal(err)
	}
	if m, _, _ := z.Meta(); m.Burned != 1 {
		t.Errorf("burned up to %d", m.Burned)
	}
	s = reopen(t, s)
	z = openZone(t, s, apex)
	commit(t, z, change(z, 1, 2, 0, 1, 9))
	if got := heldBy(t, z); !reflect.DeepEqual(got, before.Registrations) {
		t.Errorf("held %+v", got)
	}
}

func TestBelow(t *testing.T) {
	_, z := seeded(t)
	name := func(text string) OwnedRRset {
		return OwnedRRset{rr.MustName(text), rr.RRset{Type: typeA, TTL: 60, Data: []string{a(1)}}}
	}
	c := change(z, 1, 2, 0, 0, 0)
	c.Sets = append(c.Sets, name("55.phones.example."), name("_sip._udp.55.phones.example."), name("b.55.PHONES.example."),
		name("551.phones.example."), name("5.phones.example."), name("_sip._udp.66.phones.example."), name("555.phones.example."))
	c.Sets = append(c.Sets, OwnedRRset{rr.MustName("55.phones.example."), rr.RRset{Type: 16, TTL: 60, Data: []string{"\x01x"}}})
	commit(t, z, c)
	got, err := z.Below([]string{"66", "55", "77", "5"})
	want := []string{"5.phones.example.", "55.phones.example.", "_sip._udp.55.phones.example.", "b.55.phones.example.", "_sip._udp.66.phones.example."}
	var texts []string
	for _, n := range got {
		texts = append(texts, n.String())
	}
	if err != nil || !slices.Equal(texts, want) {
		t.Errorf("%q, %v", texts, err)
	}
}

func FuzzDecodeRegistration(f *testing.F) {
	r := registration(3)
	f.Add(appendRegistration(nil, &r, apex))
	r.Key, r.From = rr.MustName("k."), netip.Addr{}
	f.Add(appendRegistration(nil, &r, apex))
	f.Fuzz(func(t *testing.T, v []byte) {
		r, err := decodeRegistration("3", apex, v)
		if err != nil {
			return
		}
		again, err := decodeRegistration("3", apex, appendRegistration(nil, &r, apex))
		if err != nil || again != r {
			t.Errorf("%+v is read back as %+v, %v", r, again, err)
		}
	})
}
