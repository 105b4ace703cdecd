package store

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/zone/rr"
)

var created = time.Unix(1_700_000_000, 0)

func phoneKeyOf(number string, generation uint32) PhoneKey {
	return PhoneKey{Number: number, Algorithm: 3, Generation: generation, Created: created, Secret: []byte("secret of " + number)}
}

func putKeys(t testing.TB, z *Zone, keys ...PhoneKey) {
	t.Helper()
	if err := z.PutPhoneKeys(keys...); err != nil {
		t.Fatal(err)
	}
}

// keysOf is what a zone holds, by number, read one by one and as a stream.
func keysOf(t testing.TB, z *Zone) map[string]PhoneKey {
	t.Helper()
	m := map[string]PhoneKey{}
	for k, err := range z.PhoneKeys("") {
		if err != nil {
			t.Fatal(err)
		}
		if one, ok, err := z.PhoneKey(k.Number); err != nil || !ok || !reflect.DeepEqual(one, k) {
			t.Fatalf("%s: alone %v %v %v, in the stream %v", k.Number, one, ok, err, k)
		}
		m[k.Number] = k
	}
	return m
}

func wantKeys(t testing.TB, z *Zone, want ...PhoneKey) {
	t.Helper()
	m := map[string]PhoneKey{}
	for _, k := range want {
		m[k.Number] = k
	}
	if got := keysOf(t, z); !reflect.DeepEqual(got, m) {
		t.Fatalf("got %v\nwant %v", got, m)
	}
}

func TestPhoneKeysAreKept(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1, aSet(1, 1))
	putKeys(t, z, phoneKeyOf("1", 1), phoneKeyOf("12", 1), phoneKeyOf("123456789012345", 1), phoneKeyOf("9", 1))
	derived := PhoneKey{Number: "2", Generation: 4, Created: created, Blocked: true, Revoked: []SecretHash{{1}, {2}, {3}}}
	replaced := phoneKeyOf("12", 2)
	replaced.Revoked = []SecretHash{{4, 5, 6, 7, 8, 9, 10, 11}}
	putKeys(t, z, derived, replaced)
	commit(t, z, change(z, 1, 2, 1, 1, 2))
	if err := z.DeletePhoneKeys("9", "8"); err != nil {
		t.Fatal(err)
	}
	everyWay(t, s, func(z *Zone) {
		wantKeys(t, z, phoneKeyOf("1", 1), replaced, phoneKeyOf("123456789012345", 1), derived)
		if _, ok, err := z.PhoneKey("9"); ok || err != nil {
			t.Errorf("a key that was deleted: %v, %v", ok, err)
		}
		check(t, z)
	})
}

func TestPhoneKeysComeInOrder(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1)
	var all []string
	const n = 2*MaxPhoneKeys + 500
	for from := 0; from < n; from += MaxPhoneKeys {
		var keys []PhoneKey
		for i := from; i < min(from+MaxPhoneKeys, n); i++ {
			k := phoneKeyOf(fmt.Sprint(i*7919), 1)
			k.Secret = bytes.Repeat([]byte{7}, MaxPhoneSecret) // the largest fit one transaction
			k.Revoked = make([]SecretHash, MaxRevoked)
			keys, all = append(keys, k), append(all, k.Number)
		}
		putKeys(t, z, keys...)
	}
	slices.Sort(all)
	numbers := func(after string, limit int) (list []string) {
		for k, err := range z.PhoneKeys(after) {
			if err != nil {
				t.Fatal(err)
			}
			if list = append(list, k.Number); len(list) == limit {
				break
			}
		}
		return list
	}
	if got := numbers("", -1); !slices.Equal(got, all) {
		t.Errorf("%d keys, want %d in the order of their digits", len(got), len(all))
	}
	if got := numbers(all[99], 3); !slices.Equal(got, all[100:103]) {
		t.Errorf("behind %s: %v, want %v", all[99], got, all[100:103])
	}
	if got := numbers(all[n-1], -1); len(got) != 0 {
		t.Errorf("behind the last: %v", got)
	}
}

func TestPhoneKeysGoWithTheirZone(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z, other := openZone(t, s, apex), openZone(t, s, rr.MustName("other.example."))
	seed(t, z, 1)
	if err := other.Seed(1, seq()); err != nil {
		t.Fatal(err)
	}
	putKeys(t, z, phoneKeyOf("1", 1))
	putKeys(t, other, phoneKeyOf("1", 7))
	wantKeys(t, z, phoneKeyOf("1", 1))
	wantKeys(t, other, phoneKeyOf("1", 7))
	if err := z.Drop(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := z.PhoneKey("1"); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("key of a dropped zone: %v", err)
	}
	if err := other.Seed(2, seq()); err != nil {
		t.Fatal(err)
	}
	seed(t, z, 1)
	for _, z := range []*Zone{z, other} {
		wantKeys(t, z)
	}
	if got := keys(t, s)[kindPhone]; got != 0 {
		t.Errorf("%d keys are left", got)
	}
}

func TestPhoneKeysAreCheckedBeforeTheyAreWritten(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	if err := z.PutPhoneKeys(phoneKeyOf("1", 1)); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("zone not loaded: %v", err)
	}
	for _, err := range z.PhoneKeys("") {
		if !errors.Is(err, ErrNotLoaded) {
			t.Errorf("zone not loaded: %v", err)
		}
	}
	seed(t, z, 1)
	for number, want := range map[string]error{"": ErrBadNumber, "12a": ErrBadNumber, "1234567890123456": ErrBadNumber} {
		if err := z.PutPhoneKeys(phoneKeyOf("1", 1), phoneKeyOf(number, 1)); !errors.Is(err, want) {
			t.Errorf("%q: %v", number, err)
		}
	}
	long := phoneKeyOf("2", 1)
	long.Secret = make([]byte, MaxPhoneSecret+1)
	if err := z.PutPhoneKeys(phoneKeyOf("1", 1), long); !errors.Is(err, ErrTooBig) || !strings.Contains(err.Error(), "number 2") {
		t.Errorf("long secret: %v", err)
	}
	many := phoneKeyOf("2", 1)
	many.Revoked = make([]SecretHash, MaxRevoked+1)
	if err := z.PutPhoneKeys(phoneKeyOf("1", 1), many); !errors.Is(err, ErrTooBig) || !strings.Contains(err.Error(), "number 2") {
		t.Errorf("many revoked secrets: %v", err)
	}
	if err := z.PutPhoneKeys(make([]PhoneKey, MaxPhoneKeys+1)...); !errors.Is(err, ErrTooBig) {
		t.Errorf("too many: %v", err)
	}
	wantKeys(t, z)
}

// A put that fails is there as a whole or not at all, and nothing is told of it
// before it is known which; the zone is not disturbed.
func TestPhoneKeysAtEveryFault(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(map[bool]string{false: "before the write", true: "after the write"}[after], func(t *testing.T) {
			s := openStore(t, testOptions(t.TempDir()))
			z := openZone(t, s, apex)
			seed(t, z, 1, aSet(1, 1))
			putKeys(t, z, phoneKeyOf("1", 1))
			s.fault = func(a bool) error {
				if a == after {
					return errTest
				}
				return nil
			}
			if err := z.PutPhoneKeys(phoneKeyOf("1", 2), phoneKeyOf("2", 2)); !errors.Is(err, errTest) {
				t.Fatal(err)
			}
			s.fault = func(bool) error { return nil }
			if err := z.Commit(change(z, 1, 2, 1, 1, 2)); !errors.Is(err, ErrBroken) {
				t.Errorf("commit to a log that failed: %v", err)
			}
			// A look begins to open the store again; nobody else need do so.
			_, ok, err := z.PhoneKey("2")
			for ; errors.Is(err, ErrBroken); _, ok, err = z.PhoneKey("2") {
			}
			if err != nil || ok != after {
				t.Fatalf("second key: %v, %v", ok, err)
			}
			want := []PhoneKey{phoneKeyOf("1", 1)}
			if after {
				want = []PhoneKey{phoneKeyOf("1", 2), phoneKeyOf("2", 2)}
			}
			commit(t, z, change(z, 1, 2, 1, 1, 2))
			everyWay(t, s, func(z *Zone) {
				wantKeys(t, z, want...)
				wantContent(t, z, contentOf(soaSet(2), aSet(1, 2)))
				check(t, z)
			})
		})
	}
}

// A zone whose commit has failed waits for its repair, whatever is done to its
// keys meanwhile.
func TestPhoneKeysBesideARepair(t *testing.T) {
	var next error
	o := testOptions(t.TempDir())
	o.FailCommit = func() error { return next }
	s := openStore(t, o)
	z := openZone(t, s, apex)
	seed(t, z, 1, aSet(1, 1))
	next = fmt.Errorf("%w: %w", ErrTorn, errTest)
	if err := z.Commit(change(z, 1, 2, 1, 1, 2)); !errors.Is(err, errTest) {
		t.Fatal(err)
	}
	next = nil
	putKeys(t, z, phoneKeyOf("1", 1))
	if err := z.Commit(change(z, 1, 2, 1, 1, 2)); !errors.Is(err, ErrBroken) {
		t.Errorf("commit before the repair: %v", err)
	}
	if err := repair(z, []OwnedRRset{soaSet(1), aSet(1, 1)}, Held{}, 2); err != nil {
		t.Fatal(err)
	}
	commit(t, z, change(z, 1, 3, 1, 1, 3))
	everyWay(t, s, func(z *Zone) {
		wantKeys(t, z, phoneKeyOf("1", 1))
		wantContent(t, z, contentOf(soaSet(3), aSet(1, 3)))
		check(t, z)
	})
}

func TestPhoneKeysSurviveAPowerCut(t *testing.T) {
	p := &powered{synced: map[string][]byte{}}
	s := openStore(t, testOptions(t.TempDir()))
	s.dataSync, s.dirSync = p.sync, p.syncDir
	if err := p.syncDir(s.dir); err != nil {
		t.Fatal(err)
	}
	z := openZone(t, s, apex)
	seed(t, z, 1)
	want := map[string]PhoneKey{}
	for round := range 30 {
		var keys []PhoneKey
		for i := range 400 {
			k := phoneKeyOf(fmt.Sprint(100_000+(round*211+i)%3000), uint32(round))
			keys = append(keys, k)
			want[k.Number] = k
		}
		putKeys(t, z, keys...)
		if round%5 != 4 {
			continue
		}
		c := p.cut(t, s, round%2 == 0)
		if got := keysOf(t, openZone(t, c, apex)); !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d: %d keys, want %d", round, len(got), len(want))
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPhoneKeysBesideCommits(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1)
	const rounds = 200
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range uint32(rounds) {
			if err := z.PutPhoneKeys(phoneKeyOf(fmt.Sprint(i), 1), phoneKeyOf("5", i)); err != nil {
				t.Error(err)
			}
			if k, ok, err := z.PhoneKey("5"); err != nil || !ok || k.Generation != i {
				t.Errorf("round %d: %v, %v, %v", i, k, ok, err)
			}
		}
	})
	for i := range uint32(rounds) {
		if err := z.Commit(change(z, 1+i, 2+i, int(i), 1, int(i))); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	everyWay(t, s, func(z *Zone) {
		if got := keysOf(t, z); len(got) != rounds || got["5"].Generation != rounds-1 {
			t.Errorf("%d keys, number 5 at %d", len(got), got["5"].Generation)
		}
		check(t, z)
	})
}

func TestDamagedPhoneKeyIsReported(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	seed(t, z, 1)
	k := phoneKeyOf("1", 1)
	good := k.append(nil)
	revoked := PhoneKey{Number: "1", Generation: 2, Created: created, Revoked: []SecretHash{{1}}}
	hashes := revoked.append(nil)
	count := func(n byte) []byte {
		return append(append(bytes.Clone(hashes[:phoneHead]), n), hashes[phoneHead+1:]...)
	}
	for name, value := range map[string][]byte{
		"short": good[:phoneHead-1], "version": append([]byte{9}, good[1:]...), "flags": append([]byte{1, 4}, good[2:]...),
		"no revoked secrets": hashes[:phoneHead], "revoked secret cut": hashes[:len(hashes)-1], "count of 0": count(0), "count too large": count(MaxRevoked + 1),
		"long behind revoked secrets": append(bytes.Clone(hashes), make([]byte, MaxPhoneSecret+1)...),
		"long":                        append(good, make([]byte, MaxPhoneSecret)...),
	} {
		var b batch
		b.put(phoneKey(z.state.Load().id, "1"), value)
		if err := s.commit(&b); err != nil {
			t.Fatal(err)
		}
		if _, _, err := z.PhoneKey("1"); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		for _, err := range z.PhoneKeys("") {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, stream: %v", name, err)
			}
		}
	}
}

func TestPhoneKeysOfAClosedStore(t *testing.T) {
	s := openStore(t, testOptions(filepath.Join(t.TempDir(), "data")))
	z := openZone(t, s, apex)
	seed(t, z, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.PutPhoneKeys(phoneKeyOf("1", 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("put: %v", err)
	}
	if _, _, err := z.PhoneKey("1"); !errors.Is(err, ErrClosed) {
		t.Errorf("get: %v", err)
	}
}

func FuzzPhoneKey(f *testing.F) {
	for _, k := range []PhoneKey{phoneKeyOf("1", 1), {Generation: 1 << 31, Created: created, Blocked: true}, {Generation: 3, Created: created, Secret: []byte("x"), Revoked: make([]SecretHash, 2)}} {
		f.Add(k.append(nil))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var k PhoneKey
		if k.decode("1", value) == nil && !bytes.Equal(k.append(nil), value) {
			t.Fatalf("%x comes back as %x", value, k.append(nil))
		}
	})
}

func BenchmarkPhoneKey(b *testing.B) {
	s := openStore(b, Options{Dir: b.TempDir()})
	z := openZone(b, s, apex)
	seed(b, z, 1)
	const n = 200_000
	for from := 0; from < n; from += MaxPhoneKeys {
		keys := make([]PhoneKey, MaxPhoneKeys)
		for i := range keys {
			keys[i] = phoneKeyOf(fmt.Sprint(1_000_000+2*(from+i)), 1)
		}
		putKeys(b, z, keys...)
	}
	for name, odd := range map[string]int{"known": 0, "unknown": 1} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, ok, err := z.PhoneKey(fmt.Sprint(1_000_000 + 2*(i*7919%n) + odd)); err != nil || ok != (odd == 0) {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
