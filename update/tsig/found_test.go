package tsig_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

// directory is where keys are looked up.
type directory struct {
	mu      sync.Mutex
	keys    map[rr.Name]tsig.Key
	err     error
	lookups int
	during  func() // called while a key is looked up
}

func (d *directory) lookup(name rr.Name) (tsig.Key, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lookups++
	if d.during != nil {
		d.during()
	}
	k, ok := d.keys[name]
	return k, ok, d.err
}

// have makes the directory know a key of the test's secret.
func (d *directory) have(names ...string) {
	for _, n := range names {
		d.keys[rr.MustName(n)] = tsig.Key{Name: rr.MustName(n), Algorithm: tsig.HMACSHA256, Secret: secret}
	}
}

func lookupRing(t testing.TB, cached int) (*directory, *tsig.Keyring) {
	t.Helper()
	d := &directory{keys: map[rr.Name]tsig.Key{}}
	d.have(keyName)
	r, err := tsig.NewKeyring(nil, tsig.Options{Lookup: d.lookup, Cached: cached})
	if err != nil {
		t.Fatal(err)
	}
	return d, r
}

func signAs(t testing.TB, name string) []byte {
	t.Helper()
	msg, _ := sign(t, query(t), tsig.HMACSHA256, now, func(r *dns.TSIG) { r.Hdr.Name = name })
	return msg
}

func TestLookedUpKeyVerifiesAndSigns(t *testing.T) {
	for _, cached := range []int{0, 10} {
		d, r := lookupRing(t, cached)
		for range 3 {
			msg, mac := sign(t, query(t), tsig.HMACSHA256, now, func(r *dns.TSIG) { r.Hdr.Name = "Phone.KEY." })
			c := success(t, r, msg, now)
			if c.Key() != rr.MustName(keyName) {
				t.Errorf("key %s", c.Key())
			}
			reply := c.SignReply(answer(t, msg, 0), now)
			if rec := check(t, reply, mac, false); rec.Hdr.Name != "Phone.KEY." {
				t.Errorf("the reply is signed by %s", rec.Hdr.Name)
			}
		}
		keys, hits := r.CacheStats()
		want := [3]int{3, 0, 0}
		if cached > 0 {
			want = [3]int{1, 1, 2}
		}
		if got := [3]int{d.lookups, keys, int(hits)}; got != want {
			t.Errorf("lookups, cached keys, hits with a cache of %d: %v, want %v", cached, got, want)
		}
	}
}

func TestKeysInTheRingAreNotLookedUp(t *testing.T) {
	d := &directory{keys: map[rr.Name]tsig.Key{rr.MustName(keyName): {Name: rr.MustName(keyName), Algorithm: tsig.HMACSHA256, Secret: []byte("another")}}}
	r, err := tsig.NewKeyring([]tsig.Key{{Name: rr.MustName(keyName), Algorithm: tsig.HMACSHA256, Secret: secret}}, tsig.Options{Lookup: d.lookup, Cached: 1})
	if err != nil {
		t.Fatal(err)
	}
	success(t, r, signAs(t, keyName), now)
	if d.lookups != 0 {
		t.Errorf("%d lookups", d.lookups)
	}
}

// What anybody can make up must not take the place of keys that are in use.
func TestJunkIsNotCached(t *testing.T) {
	d, r := lookupRing(t, 2)
	d.have("known.key.")
	success(t, r, signAs(t, keyName), now)
	for i := range 10 {
		if e := failure(t, r, signAs(t, fmt.Sprintf("unknown%d.key.", i)), now); e.TSIGError != dns.RcodeBadKey || !errors.Is(e, tsig.ErrBadKey) {
			t.Errorf("unknown key: %v", e)
		}
		bad := edit(t, signAs(t, "known.key."), func(r *dns.TSIG) { r.Fudge++ })
		if e := failure(t, r, bad, now); e.TSIGError != dns.RcodeBadSig {
			t.Errorf("wrong MAC: %v", e)
		}
	}
	other, _ := sign(t, query(t), tsig.HMACSHA512, now, nil)
	if e := failure(t, r, other, now); !errors.Is(e, tsig.ErrBadAlg) || e.TSIGError != dns.RcodeBadKey {
		t.Errorf("another algorithm: %v", e)
	}
	if keys, _ := r.CacheStats(); keys != 1 {
		t.Errorf("%d keys cached, want the one that verified", keys)
	}
}

func TestCacheIsBounded(t *testing.T) {
	d, r := lookupRing(t, 2)
	d.have("a.key.", "b.key.", "c.key.")
	for _, name := range []string{"a.key.", "b.key.", "a.key.", "c.key.", "a.key."} {
		success(t, r, signAs(t, name), now)
	}
	if keys, hits := r.CacheStats(); keys != 2 || hits != 2 || d.lookups != 3 {
		t.Errorf("%d keys, %d hits, %d lookups; want 2, 2, 3: the key that was used longest ago goes", keys, hits, d.lookups)
	}
}

func TestForgottenKeyIsLookedUpAgain(t *testing.T) {
	d, r := lookupRing(t, 10)
	msg := signAs(t, keyName)
	success(t, r, msg, now)
	delete(d.keys, rr.MustName(keyName))
	success(t, r, msg, now) // nobody said so yet
	r.Forget(rr.MustName("PHONE.key."))
	if e := failure(t, r, msg, now); !errors.Is(e, tsig.ErrBadKey) {
		t.Errorf("revoked key: %v", e)
	}
}

// A key that was looked up before it was revoked, and verified after that, must
// not be remembered.
func TestForgetWhileAKeyIsLookedUp(t *testing.T) {
	d, r := lookupRing(t, 10)
	msg := signAs(t, keyName)
	d.during = func() { r.Forget(rr.MustName(keyName)) }
	success(t, r, msg, now)
	if keys, _ := r.CacheStats(); keys != 0 {
		t.Errorf("%d keys cached", keys)
	}
	d.during = nil
	delete(d.keys, rr.MustName(keyName))
	failure(t, r, msg, now)
}

// A server that does not know must not say that there is no such key.
func TestLookupThatFailsIsServfail(t *testing.T) {
	d, r := lookupRing(t, 10)
	d.err = errors.New("the disk is gone")
	msg := signAs(t, keyName)
	e := failure(t, r, msg, now)
	if e.Rcode != dns.RcodeServerFailure || e.TSIGError != 0 || !errors.Is(e, d.err) || e.Overhead() != 0 {
		t.Errorf("%+v", e)
	}
	if reply := answer(t, msg, e.Rcode); unpack(t, e.SignReply(reply, now)).IsTsig() != nil {
		t.Error("the reply has a TSIG")
	}
	d.err, d.keys[rr.MustName(keyName)] = nil, tsig.Key{Name: rr.MustName(keyName)}
	if e := failure(t, r, msg, now); e.Rcode != dns.RcodeServerFailure {
		t.Errorf("a key that is none: %v", e)
	}
}

func TestLookupIsConcurrent(t *testing.T) {
	d, r := lookupRing(t, 2)
	names := []string{"a.key.", "b.key.", "c.key.", keyName}
	d.have(names...)
	var wg sync.WaitGroup
	for _, name := range names {
		msg := signAs(t, name)
		for range 2 {
			wg.Go(func() {
				for range 100 {
					if _, err := r.Verify(msg, now); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					r.Forget(rr.MustName("c.key."))
				}
			})
		}
	}
	wg.Wait()
	if keys, _ := r.CacheStats(); keys > 2 {
		t.Errorf("%d keys cached", keys)
	}
}

func BenchmarkVerifyLookedUp(b *testing.B) {
	for name, cached := range map[string]int{"cached": 10, "not cached": 0} {
		b.Run(name, func(b *testing.B) {
			_, r := lookupRing(b, cached)
			msg := signAs(b, keyName)
			b.ReportAllocs()
			for b.Loop() {
				success(b, r, msg, now)
			}
		})
	}
	b.Run("derived", func(b *testing.B) {
		s := seed(b)
		r, err := tsig.NewKeyring(nil, tsig.Options{Lookup: func(name rr.Name) (tsig.Key, bool, error) {
			k, err := s.Key(name, 1)
			return k, true, err
		}})
		if err != nil {
			b.Fatal(err)
		}
		msg := signAs(b, keyName)
		b.ReportAllocs()
		for b.Loop() {
			r.Verify(msg, now)
		}
	})
}

// Other keys are in the ring at once; with faults it stays as it was.
func TestReplacedKeys(t *testing.T) {
	mine := tsig.Key{Name: rr.MustName(keyName), Algorithm: tsig.HMACSHA256, Secret: secret}
	r, err := tsig.NewKeyring([]tsig.Key{mine}, tsig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	verifies := func(want bool) {
		t.Helper()
		if _, err := r.Verify(signAs(t, keyName), now); (err == nil) != want {
			t.Errorf("verified: %v", err)
		}
	}
	other := tsig.Key{Name: rr.MustName("other.key."), Algorithm: tsig.HMACSHA256, Secret: secret}
	if err := r.Replace([]tsig.Key{other, other}); err == nil {
		t.Error("a key that is there twice was taken")
	}
	verifies(true)
	if err := r.Replace([]tsig.Key{other, mine}); err != nil || !r.Has(other.Name) {
		t.Errorf("%v", err)
	}
	verifies(true)
	mine.Secret = []byte("another")
	if err := r.Replace([]tsig.Key{mine}); err != nil || r.Has(other.Name) {
		t.Errorf("%v", err)
	}
	verifies(false)
}

func TestForgetAll(t *testing.T) {
	d, r := lookupRing(t, 10)
	verify := func() {
		t.Helper()
		if _, err := r.Verify(signAs(t, keyName), now); err != nil {
			t.Fatal(err)
		}
	}
	verify()
	verify()
	r.ForgetAll(0)
	verify()
	verify()
	if n, _ := r.CacheStats(); d.lookups != 3 || n != 0 {
		t.Errorf("%d lookups, %d cached", d.lookups, n)
	}
	r.ForgetAll(1)
	verify()
	verify()
	if n, _ := r.CacheStats(); d.lookups != 4 || n != 1 {
		t.Errorf("%d lookups, %d cached", d.lookups, n)
	}
}
