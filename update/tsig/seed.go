package tsig

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"dialtone/zone/rr"
)

// Seed is a secret from which the keys of a zone's phones are derived, so that
// none of them has to be kept. Whoever has it has all of them.
type Seed struct{ prk []byte }

const (
	// MinSeed is the least octets of a seed.
	MinSeed = 32

	seedSalt      = "dialtone phone key v1"
	derivedSecret = 32 // octets
)

// NewSeed takes the octets of a seed.
func NewSeed(octets []byte) (*Seed, error) {
	if len(octets) < MinSeed {
		return nil, fmt.Errorf("the seed has %d octets: it needs at least %d", len(octets), MinSeed)
	}
	prk, err := hkdf.Extract(sha256.New, octets, []byte(seedSalt))
	if err != nil {
		return nil, err
	}
	return &Seed{prk}, nil
}

// Key derives the key of that name (RFC 5869, with SHA-256):
//
//	secret = HKDF(IKM = seed, salt = "dialtone phone key v1", info, L = 32)
//	info   = name in lower case in wire form | generation (32 bits, big endian)
//
// The algorithm is hmac-sha256. Another generation is another secret, which
// nobody finds who has the first one.
func (s *Seed) Key(name rr.Name, generation uint32) (Key, error) {
	info := binary.BigEndian.AppendUint32([]byte(name.Lower()), generation)
	secret, err := hkdf.Expand(sha256.New, s.prk, string(info), derivedSecret)
	if err != nil {
		return Key{}, err
	}
	return Key{Name: name, Algorithm: HMACSHA256, Secret: secret}, nil
}

// String and GoString keep the seed out of logs.
func (s *Seed) String() string { return "seed" }

// GoString is String.
func (s *Seed) GoString() string { return s.String() }
