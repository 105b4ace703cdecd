package tsig

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"dialtone/zone/rr"
)

// Lookup finds a key by its name in lower case. An error means that it is not
// known now whether there is such a key. It is called for every message whose
// key is neither in the ring nor cached, so it must cost little also for names
// that anybody makes up.
type Lookup func(name rr.Name) (k Key, ok bool, err error)

// found is the cache of what Lookup found.
type found struct {
	hits atomic.Uint64
	mu   struct {
		sync.Mutex
		cache *simplelru.LRU[rr.Name, *key] // nil: nothing is kept
		// epoch counts what was forgotten, from 1 on: a key that was looked up
		// before that may be no longer true when it has been verified.
		epoch uint64
	}
}

// reset forgets all, and sets how many keys are kept from now on.
func (f *found) reset(limit int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.epoch++
	f.mu.cache = nil
	if limit > 0 {
		f.mu.cache, _ = simplelru.NewLRU[rr.Name, *key](limit, nil) // an error is for a limit below 1
	}
}

// get gives a key that is cached, or else the epoch at which it is not.
func (f *found) get(name rr.Name) (k *key, epoch uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.cache != nil {
		if k, ok := f.mu.cache.Get(name); ok {
			f.hits.Add(1)
			return k, 0
		}
	}
	return nil, f.mu.epoch
}

// add remembers a key whose MAC has verified, unless something was forgotten
// since get gave the epoch. It gives the key that is remembered.
func (f *found) add(k *key, epoch uint64) *key {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.cache == nil || f.mu.epoch != epoch {
		return k
	}
	if first, ok := f.mu.cache.Get(k.canonical); ok { // of two messages at a time
		return first
	}
	f.mu.cache.Add(k.canonical, k)
	return k
}

func (r *Keyring) lookup(low []byte) (k *key, fresh uint64, err error) {
	name := rr.Name(low)
	if k, fresh = r.found.get(name); k != nil {
		return k, 0, nil
	}
	found, ok, err := r.opts.Lookup(name)
	if err == nil && ok {
		err = found.check()
	}
	if err != nil {
		return nil, 0, fmt.Errorf("key %s cannot be looked up: %w", name, err)
	}
	if !ok {
		return nil, 0, nil
	}
	return newFoundKey(found), fresh, nil
}

// Forget makes Verify look a key up again. It is called when what Lookup gives
// for the name has changed: a message that comes after it returns is not
// verified with what was before.
func (r *Keyring) Forget(name rr.Name) {
	f := &r.found
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.epoch++
	if f.mu.cache != nil {
		f.mu.cache.Remove(name.Lower())
	}
}

// ForgetAll is Forget for all keys, and sets how many are cached from now on.
func (r *Keyring) ForgetAll(cached int) { r.found.reset(cached) }

// CacheStats tells how many keys from Lookup are cached, and how often one of
// them was used.
func (r *Keyring) CacheStats() (keys int, hits uint64) {
	f := &r.found
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.cache != nil {
		keys = f.mu.cache.Len()
	}
	return keys, f.hits.Load()
}
