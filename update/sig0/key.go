package sig0

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"fmt"
	"math/big"

	"github.com/miekg/dns"
)

// PublicKey is a key that verifies signatures. It does not change.
type PublicKey struct {
	rdata string
	tag   uint16
	p256  *ecdsa.PublicKey // nil for Ed25519
}

// Reasons for which a KEY record is of no use here.
var (
	ErrKeyRData     = errors.New("the KEY record is not well-formed")
	ErrKeyZone      = errors.New("the KEY record is a zone key, which signs data and not requests")
	ErrKeyProtocol  = errors.New("the KEY record's protocol is not 3, DNSSEC")
	ErrKeyAlgorithm = errors.New("the KEY record's algorithm is neither 13, ECDSAP256SHA256, nor 15, ED25519")
)

const (
	keyHeader = 4 // flags, protocol and algorithm (RFC 2535, section 3.1)
	zoneKey   = 1 // bit 7 of the flags, in their first octet

	coordinate    = 32             // octets (RFC 6605, section 4)
	p256Size      = 2 * coordinate // of a public key, and of a signature
	ed25519Size   = 32             // of a public key (RFC 8080, section 3)
	signatureSize = 2 * coordinate // of both algorithms (RFC 6605, section 4; RFC 8080, section 4)
)

// ParsePublicKey reads the rdata of a KEY record. The algorithm must be
// ECDSAP256SHA256 (RFC 6605) or ED25519 (RFC 8080), the protocol 3, and the key
// must not be a zone key (RFC 3007, section 2). The other flags are reserved
// (RFC 3445, section 3) and make no difference: dnssec-keygen sets some, SRP
// none (RFC 9665, section 3.3.3).
func ParsePublicKey(rdata string) (*PublicKey, error) {
	if len(rdata) <= keyHeader {
		return nil, ErrKeyRData
	}
	switch {
	case rdata[0]&zoneKey != 0:
		return nil, ErrKeyZone
	case rdata[2] != 3:
		return nil, ErrKeyProtocol
	}
	k := &PublicKey{rdata: rdata, tag: keyTag(rdata)}
	key := rdata[keyHeader:]
	switch rdata[3] {
	case dns.ECDSAP256SHA256:
		if len(key) != p256Size {
			return nil, fmt.Errorf("%w: it has %d octets of a key, not %d", ErrKeyRData, len(key), p256Size)
		}
		var err error
		if k.p256, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), []byte("\x04"+key)); err != nil {
			return nil, fmt.Errorf("%w: its key is no point of the curve", ErrKeyRData)
		}
	case dns.ED25519:
		if len(key) != ed25519Size {
			return nil, fmt.Errorf("%w: it has %d octets of a key, not %d", ErrKeyRData, len(key), ed25519Size)
		}
	default:
		return nil, ErrKeyAlgorithm
	}
	return k, nil
}

// Algorithm is that of its signatures: dns.ECDSAP256SHA256 or dns.ED25519.
func (k *PublicKey) Algorithm() uint8 { return k.rdata[3] }

// KeyTag is what a signature names the key by (RFC 4034, appendix B). Different
// keys may have the same.
func (k *PublicKey) KeyTag() uint16 { return k.tag }

// RData is the rdata of the KEY record.
func (k *PublicKey) RData() string { return k.rdata }

// Equal tells whether the same private key belongs to both, whatever the flags.
// A nil key is equal to none.
func (k *PublicKey) Equal(o *PublicKey) bool {
	return k != nil && o != nil && k.rdata[3:] == o.rdata[3:]
}

// keyTag is RFC 4034, appendix B; KEY records have it as DNSKEY records do
// (RFC 2535, appendix C).
func keyTag(rdata string) uint16 {
	var sum uint32
	for i := range len(rdata) {
		sum += uint32(rdata[i]) << (8 * (1 - i&1))
	}
	return uint16(sum + sum>>16)
}

// verifies tells whether the signature is the key's. For ECDSA what is signed
// comes as its SHA-256 (RFC 6605, section 4), for Ed25519 as it is (RFC 8032).
func (k *PublicKey) verifies(signed, digest, signature []byte) bool {
	if k.p256 == nil {
		return ed25519.Verify(ed25519.PublicKey(k.rdata[keyHeader:]), signed, signature)
	}
	r, s := new(big.Int).SetBytes(signature[:coordinate]), new(big.Int).SetBytes(signature[coordinate:])
	return ecdsa.Verify(k.p256, digest, r, s)
}
