package tsig

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
	"sync/atomic"

	"dialtone/zone/rr"
)

// Keyring holds the keys of a server or client, and finds others that are kept
// elsewhere. It is safe for concurrent use.
type Keyring struct {
	keys  atomic.Pointer[map[rr.Name]*key] // by lower-case name
	found found
	opts  Options
}

// Options are the local policy of a Keyring.
type Options struct {
	// MinMAC is the shortest MAC accepted, in octets (RFC 8945, section
	// 5.2.4); for an algorithm with a shorter digest it is the whole digest.
	// 0 accepts what section 5.2.2.1 allows: half the digest, at least 10.
	MinMAC int

	// Lookup finds keys for Verify that are not in the ring; nil: there are no
	// others. Cached is how many of them are remembered after a MAC of theirs has
	// verified, some 500 octets each; 0: none. See Keyring.Forget.
	Lookup Lookup
	Cached int
}

// Key is a shared secret under a name. The name is bound to one algorithm
// (RFC 8945, section 8).
type Key struct {
	Name      rr.Name
	Algorithm Algorithm
	Secret    []byte // raw octets, not base64
}

// String names the key without its secret.
func (k Key) String() string { return k.Algorithm.String() + ":" + k.Name.String() }

// GoString and MarshalText keep the secret out of %#v, logs and JSON.
func (k Key) GoString() string { return k.String() }

// MarshalText is String.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// NewKeyring checks all keys and reports all their faults at once.
func NewKeyring(keys []Key, opts Options) (*Keyring, error) {
	r := &Keyring{opts: opts}
	r.found.reset(opts.Cached)
	var fault error
	if opts.MinMAC < 0 || opts.MinMAC > maxDigest {
		fault = fmt.Errorf("shortest MAC of %d octets: need 0 to %d", opts.MinMAC, maxDigest)
	}
	if err := errors.Join(fault, r.Replace(keys)); err != nil {
		return nil, err
	}
	return r, nil
}

// Replace puts other keys into the ring in place of those that are there; after an
// error nothing has changed. What was signed or verified with a key before goes on
// with it.
func (r *Keyring) Replace(keys []Key) error {
	ring := make(map[rr.Name]*key, len(keys))
	old := r.keys.Load()
	var faults []error
	for _, k := range keys {
		if err := k.check(); err != nil {
			faults = append(faults, err)
			continue
		}
		p := newKey(k)
		if _, twice := ring[p.canonical]; twice {
			faults = append(faults, fmt.Errorf("key %s is given twice", k.Name))
		}
		if old != nil {
			if was := (*old)[p.canonical]; was != nil && was.name == p.name && was.algorithm == p.algorithm && bytes.Equal(was.secret, p.secret) {
				p = was // with what it has hashed
			}
		}
		ring[p.canonical] = p
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	r.keys.Store(&ring)
	return nil
}

// Has tells whether a key of that name, in any case, is in the ring itself.
func (r *Keyring) Has(name rr.Name) bool { return r.find(name) != nil }

func (r *Keyring) find(name rr.Name) *key {
	if r == nil {
		return nil
	}
	return (*r.keys.Load())[name.Lower()]
}

func (k Key) check() error {
	switch {
	case !k.Name.Valid():
		return fmt.Errorf("key name %s is not a domain name", k.Name)
	case !k.Algorithm.valid():
		return fmt.Errorf("key %s: no algorithm", k.Name)
	case len(k.Secret) == 0:
		return fmt.Errorf("key %s: the secret is empty", k.Name)
	}
	return nil
}

// key is a Key made ready for use.
type key struct {
	name      rr.Name // as configured
	canonical rr.Name // lower case
	algorithm Algorithm
	secret    []byte
	macs      *sync.Pool // of *mac; keeps the padded secret hashed. nil: each message hashes it anew
}

func newKey(k Key) *key {
	p := newFoundKey(k)
	p.macs = &sync.Pool{New: func() any { return p.newMAC() }}
	return p
}

// newFoundKey makes a key of which there may be very many.
func newFoundKey(k Key) *key {
	return &key{name: k.Name, canonical: k.Name.Lower(), algorithm: k.Algorithm, secret: []byte(string(k.Secret))}
}

func (k *key) newMAC() *mac { return &mac{hash: hmac.New(k.algorithm.newHash(), k.secret)} }

// Algorithm is an HMAC (RFC 8945, section 6). The zero value is none.
type Algorithm uint8

// The algorithms that are implemented. Their numbers are kept on disk with keys
// of phones, so they never change.
const (
	HMACSHA1 Algorithm = iota + 1
	HMACSHA224
	HMACSHA256
	HMACSHA384
	HMACSHA512
)

// maxDigest is the longest digest of all algorithms.
const maxDigest = sha512.Size

var algorithms = [...]struct {
	text string
	name rr.Name
	size int
	hash func() hash.Hash
}{
	HMACSHA1:   {"hmac-sha1", "\x09hmac-sha1\x00", sha1.Size, sha1.New},
	HMACSHA224: {"hmac-sha224", "\x0bhmac-sha224\x00", sha256.Size224, sha256.New224},
	HMACSHA256: {"hmac-sha256", "\x0bhmac-sha256\x00", sha256.Size, sha256.New},
	HMACSHA384: {"hmac-sha384", "\x0bhmac-sha384\x00", sha512.Size384, sha512.New384},
	HMACSHA512: {"hmac-sha512", "\x0bhmac-sha512\x00", sha512.Size, sha512.New},
}

// ParseAlgorithm reads an algorithm's name, in any case, with or without the
// final dot.
func ParseAlgorithm(text string) (Algorithm, error) {
	want := strings.TrimSuffix(strings.ToLower(text), ".")
	for a := HMACSHA1; a <= HMACSHA512; a++ {
		if algorithms[a].text == want {
			return a, nil
		}
	}
	const known = "use hmac-sha256, or hmac-sha1, hmac-sha224, hmac-sha384, hmac-sha512"
	if want == "hmac-md5" || want == "hmac-md5.sig-alg.reg.int" {
		// RFC 8945, section 6: hmac-md5 must not be used.
		return 0, fmt.Errorf("algorithm %s is broken and not supported: %s", text, known)
	}
	return 0, fmt.Errorf("algorithm %q is not known: %s", text, known)
}

// String gives the name without a final dot, as configurations have it.
func (a Algorithm) String() string {
	if !a.valid() {
		return "none"
	}
	return algorithms[a].text
}

// Size is the length of the digest in octets.
func (a Algorithm) Size() int { return algorithms[a].size }

func (a Algorithm) valid() bool               { return HMACSHA1 <= a && a <= HMACSHA512 }
func (a Algorithm) wire() rr.Name             { return algorithms[a].name }
func (a Algorithm) newHash() func() hash.Hash { return algorithms[a].hash }

// shortest is the shortest MAC that is not malformed (RFC 8945, section
// 5.2.2.1).
func (a Algorithm) shortest() int { return max(10, a.Size()/2) }
