package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/update/tsig"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

func TestFindLooksWhereKeysAre(t *testing.T) {
	d := newDesk(t)
	kept := string(d.add(Add{Zone: "plain.example", Number: "5"}).Secret)
	for name, want := range map[string]string{
		"1.phones.example.":                d.derived("1", 1),
		"1.PHONES.example.":                d.derived("1", 1),
		"123456789012345.phones.example.":  d.derived("123456789012345", 1),
		"5.plain.example.":                 kept,
		"6.plain.example.":                 "",
		"1234567890123456.phones.example.": "", // more digits than a number has
		"a.phones.example.":                "",
		"1a.phones.example.":               "",
		"phones.example.":                  "",
		"1.2.phones.example.":              "",
		"_sip.1.phones.example.":           "",
		"1.example.":                       "",
		"1.other.example.":                 "",
		"admin.key.":                       "", // is in the keyring
		".":                                "",
		"1.":                               "",
	} {
		if got := d.works(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	c := &d.Counters
	if got := [4]uint64{c.Kept.Load(), c.Derived.Load(), c.Unknown.Load(), c.Failed.Load()}; got != [4]uint64{1, 3, 12, 0} {
		t.Errorf("counters %v", got)
	}
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := d.Find(rr.MustName("1.phones.example.")); ok || !errors.Is(err, store.ErrClosed) || c.Failed.Load() != 1 {
		t.Errorf("without a store: %v, %v", ok, err)
	}
}

// The life of a number's key in a zone with a seed: no secret comes back.
func TestNoSecretComesBack(t *testing.T) {
	d := newDesk(t)
	const name, number = "1.phones.example.", "1"
	seen := map[string]bool{}
	fresh := func(what, secret string, kind Kind, generation uint32) {
		t.Helper()
		if got := d.works(name); got != secret || secret != "" && seen[secret] {
			t.Errorf("%s: %q works, want %q; seen before: %v", what, got, secret, seen[secret])
		}
		seen[secret] = true
		if list := collect(t, d.List(t.Context(), admin, List{Zone: "phones.example."})); generation > 1 {
			if last := list[len(list)-1]; last.Kind != kind || last.Generation != generation || last.Secret != nil {
				t.Errorf("%s: listed as %+v, want %s at %d", what, last, kind, generation)
			}
		}
	}
	fresh("at first", d.derived(number, 1), KindDerived, 1)
	if i := d.revoke(Revoke{Zone: "phones.example.", Number: number}); i.Kind != KindDerived || i.Generation != 2 {
		t.Errorf("%+v", i)
	}
	fresh("revoked", d.derived(number, 2), KindDerived, 2)
	fresh("kept", string(d.add(Add{Zone: "phones.example.", Number: number, Replace: true}).Secret), KindKept, 3)
	fresh("kept anew", string(d.add(Add{Zone: "phones.example.", Number: number, Replace: true}).Secret), KindKept, 4)
	d.revoke(Revoke{Zone: "phones.example.", Number: number})
	fresh("revoked again", d.derived(number, 5), KindDerived, 5)
	if i := d.revoke(Revoke{Zone: "phones.example.", Number: number, Block: true}); i.Kind != KindBlocked || i.Secret != nil {
		t.Errorf("%+v", i)
	}
	fresh("blocked", "", KindBlocked, 6)
	fresh("unblocked", string(d.add(Add{Zone: "phones.example.", Number: number, Derived: true}).Secret), KindDerived, 6)
	fresh("kept again", string(d.add(Add{Zone: "phones.example.", Number: number, Replace: true}).Secret), KindKept, 7)
	fresh("derived by hand", string(d.add(Add{Zone: "phones.example.", Number: number, Derived: true, Replace: true}).Secret), KindDerived, 8)
	d.revoke(Revoke{Zone: "phones.example.", Number: number, Block: true})
	seen[""] = false
	fresh("blocked again", "", KindBlocked, 9)
	fresh("kept after that", string(d.add(Add{Zone: "phones.example.", Number: number}).Secret), KindKept, 9)
	if len(d.changed) != len(d.audit) || slices.ContainsFunc(d.changed, func(n string) bool { return n != name }) {
		t.Errorf("changed %v, %d entries in the audit log", d.changed, len(d.audit))
	}
	e := d.audit[len(d.audit)-1]
	if e.Action != "key add" || e.Who != admin || e.Zone != "phones.example." || e.Number != number || e.Key != name || e.Detail != "made" {
		t.Errorf("audit log has %+v", e)
	}
}

func TestAZoneWithoutASeed(t *testing.T) {
	d := newDesk(t)
	first := d.add(Add{Zone: "plain.example.", Number: "2", Algorithm: "hmac-sha512"})
	if first.Kind != KindKept || first.Algorithm != "hmac-sha512" || len(first.Secret) != 64 || first.Name != "2.plain.example." || !first.Changed.Equal(start) {
		t.Errorf("%+v", first)
	}
	shown, err := d.Show(t.Context(), admin, Show{Zone: "plain.example.", Number: "2"})
	if err != nil || !reflect.DeepEqual(shown, first) {
		t.Errorf("shown %+v, %v; want %+v", shown, err, first)
	}
	d.now = start.Add(time.Hour)
	if i := d.revoke(Revoke{Zone: "plain.example.", Number: "2"}); i.Kind != KindNone || i.Secret != nil || d.works("2.plain.example.") != "" {
		t.Errorf("revoked: %+v", i)
	}
	_, err = d.Show(t.Context(), admin, Show{Zone: "plain.example.", Number: "2"})
	wantMistake(t, err, "2 has no key in plain.example.: dialtone key add 2 makes one")
	_, err = d.Revoke(t.Context(), admin, Revoke{Zone: "plain.example.", Number: "2"})
	wantMistake(t, err, "2 has no key in plain.example.")
	if again := d.add(Add{Zone: "plain.example.", Number: "2"}); string(again.Secret) == string(first.Secret) || again.Algorithm != "hmac-sha256" {
		t.Errorf("again %+v", again)
	}
	_, err = d.Add(t.Context(), admin, Add{Zone: "plain.example.", Number: "2", Derived: true})
	wantMistake(t, err, "no derived_keys")
}

func TestMistakesChangeNothing(t *testing.T) {
	d := newDesk(t)
	d.add(Add{Zone: "plain.example.", Number: "2"})
	d.revoke(Revoke{Zone: "plain.example.", Number: "3", Block: true})
	d.changed, d.audit = nil, nil
	ctx := t.Context()
	add := func(in Add) error { _, err := d.Add(ctx, admin, in); return err }
	revoke := func(in Revoke) error { _, err := d.Revoke(ctx, admin, in); return err }
	show := func(in Show) error { _, err := d.Show(ctx, admin, in); return err }
	for want, err := range map[string]error{
		"--zone is missing: there are empty.example. phones.example. plain.example.": add(Add{Number: "1"}),
		"--zone other.: there is no such zone":                                       add(Add{Zone: "other", Number: "1"}),
		`--zone: "a..b" is not a domain name`:                                        revoke(Revoke{Zone: "a..b", Number: "1"}),
		`"1a" is not a number of 1 to 15 digits`:                                     add(Add{Zone: "plain.example.", Number: "1a"}),
		`"" is not a number of 1 to 15 digits`:                                       show(Show{Zone: "plain.example."}),
		"--algorithm: algorithm hmac-md5 is broken":                                  add(Add{Zone: "plain.example.", Number: "1", Algorithm: "hmac-md5"}),
		"2 has a key since 2026-11-26":                                               add(Add{Zone: "plain.example.", Number: "2"}),
		"1 has a derived key: dialtone key show 1":                                   add(Add{Zone: "phones.example.", Number: "1"}),
		"1 has its derived key":                                                      add(Add{Zone: "phones.example.", Number: "1", Derived: true}),
		"3 is blocked already":                                                       revoke(Revoke{Zone: "plain.example.", Number: "3"}),
		"3 is blocked since 2026-11-26 and has no key":                               show(Show{Zone: "plain.example.", Number: "3"}),
		"the key of 100 is in the configuration":                                     add(Add{Zone: "phones.example.", Number: "100", Replace: true}),
		"take 100.Phones.example. out of keys":                                       revoke(Revoke{Zone: "phones.example.", Number: "100"}),
		"zone empty.example. is not in the data directory DIR yet":                   add(Add{Zone: "empty.example.", Number: "1", Replace: true}),
		"empty.example. is not in the data directory DIR yet, where k":               revoke(Revoke{Zone: "empty.example.", Number: "1"}),
	} {
		wantMistake(t, err, want)
	}
	if len(d.changed) != 0 || len(d.audit) != 0 {
		t.Errorf("changed %v, audit log %v", d.changed, d.audit)
	}
	if i, err := d.Show(ctx, admin, Show{Zone: "empty.example.", Number: "1"}); err != nil || i.Kind != KindDerived || i.Generation != 1 {
		t.Errorf("a derived key before the first start: %+v, %v", i, err)
	}
	if i, err := d.Show(ctx, admin, Show{Zone: "phones.example.", Number: "100"}); err != nil || i.Kind != KindConfigured || string(i.Secret) != "configured" || i.Algorithm != "hmac-sha512" {
		t.Errorf("a key in the configuration: %+v, %v", i, err)
	}
}

func TestLastGeneration(t *testing.T) {
	d := newDesk(t)
	z, err := d.store.Zone(apex)
	if err != nil {
		t.Fatal(err)
	}
	if err := z.PutPhoneKeys(store.PhoneKey{Number: "1", Generation: math.MaxUint32, Created: start}); err != nil {
		t.Fatal(err)
	}
	_, err = d.Revoke(t.Context(), admin, Revoke{Zone: "phones.example.", Number: "1"})
	wantMistake(t, err, "no generation left")
	if d.works("1.phones.example.") != d.derived("1", math.MaxUint32) {
		t.Error("the key is another")
	}
}

// Whoever asked must know that a key is changed and not noted.
func TestAuditLogThatFails(t *testing.T) {
	d := newDesk(t)
	d.fail = errors.New("no room")
	before := d.works("1.phones.example.")
	if _, err := d.Revoke(t.Context(), admin, Revoke{Zone: "phones.example.", Number: "1"}); !errors.Is(err, d.fail) || !strings.Contains(err.Error(), "the key of 1 is changed, but that could not be noted") {
		t.Errorf("%v", err)
	}
	if d.works("1.phones.example.") == before || len(d.changed) != 1 {
		t.Error("the key still works")
	}
}

func TestStoreThatFails(t *testing.T) {
	d := newDesk(t)
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		func() error {
			_, err := d.Add(t.Context(), admin, Add{Zone: "plain.example.", Number: "1"})
			return err
		}(),
		func() error {
			_, err := d.Show(t.Context(), admin, Show{Zone: "plain.example.", Number: "1"})
			return err
		}(),
		func() error {
			for _, err := range d.List(t.Context(), admin, List{Zone: "plain.example."}) {
				return err
			}
			return nil
		}(),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%v", err)
		}
	}
	if len(d.audit) != 0 {
		t.Errorf("audit log %v", d.audit)
	}
}

func TestList(t *testing.T) {
	d := newDesk(t)
	d.add(Add{Zone: "phones.example.", Number: "30", Replace: true})
	d.revoke(Revoke{Zone: "phones.example.", Number: "2"})
	d.revoke(Revoke{Zone: "phones.example.", Number: "4", Block: true})
	z, err := d.store.Zone(apex)
	if err != nil {
		t.Fatal(err)
	}
	hidden := store.PhoneKey{Number: "100", Generation: 1, Created: start, Algorithm: uint8(tsig.HMACSHA256), Secret: []byte("hidden by the configuration")}
	if err := z.PutPhoneKeys(hidden); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range collect(t, d.List(t.Context(), admin, List{Zone: "Phones.Example"})) {
		if i.Secret != nil || i.Zone != "phones.example." || !i.Derives {
			t.Errorf("%+v", i)
		}
		got = append(got, i.Number+" "+string(i.Kind)+" "+i.Algorithm)
	}
	want := []string{"100 configured hmac-sha512", "2 derived hmac-sha256", "30 kept hmac-sha256", "4 blocked "}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range d.List(ctx, admin, List{Zone: "phones.example."}) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("a list that nobody wants: %v", last)
	}
	for _, err := range d.List(t.Context(), admin, List{}) {
		wantMistake(t, err, "--zone is missing")
	}
	if all := collect(t, d.List(t.Context(), admin, List{Zone: "empty.example."})); len(all) != 0 {
		t.Errorf("%v", all)
	}
}

// BenchmarkFind is what a signed message costs whose key is not cached, names
// that somebody makes up included.
func BenchmarkFind(b *testing.B) {
	s, err := store.Open(store.Options{Dir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	z, err := s.Zone(apex)
	if err == nil {
		err = z.Seed(1, func(func(store.OwnedRRset, error) bool) {})
	}
	const n = 100_000
	for from := 0; err == nil && from < n; from += store.MaxPhoneKeys {
		kept := make([]store.PhoneKey, store.MaxPhoneKeys)
		for i := range kept {
			kept[i] = store.PhoneKey{Number: fmt.Sprint(5_000_000 + 2*(from+i)), Generation: 1, Algorithm: uint8(tsig.HMACSHA256), Created: start, Secret: make([]byte, 32)}
		}
		err = z.PutPhoneKeys(kept...)
	}
	if err != nil {
		b.Fatal(err)
	}
	seed, err := tsig.NewSeed(make([]byte, tsig.MinSeed))
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		seed *tsig.Seed
		odd  int
		text string
	}{{"kept", nil, 0, "%d.phones.example."}, {"unknown number", nil, 1, "%d.phones.example."}, {"derived", seed, 1, "%d.phones.example."}, {"unknown name", seed, 1, "%d.other.example."}} {
		b.Run(c.name, func(b *testing.B) {
			book := New(Options{})
			book.SetZones([]*Zone{{Apex: apex, Store: z, Seed: c.seed}})
			names := make([]rr.Name, 4096)
			for i := range names {
				names[i] = rr.MustName(fmt.Sprintf(c.text, 5_000_000+2*(i*7919%n)+c.odd))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, _, err := book.Find(names[i%len(names)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
