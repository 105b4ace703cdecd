package keys

import (
	"crypto/sha256"
	"math"
	"slices"

	"dialtone/dnsserver/control"
	"dialtone/zone/store"
)

// hashOf is by what a revoked secret of a number is known again: the first
// octets of SHA-256 of the number, an octet of zeros and the secret.
func hashOf(number string, secret []byte) (h store.SecretHash) {
	sum := sha256.Sum256(slices.Concat([]byte(number), []byte{0}, secret))
	copy(h[:], sum[:])
	return h
}

// wasRevoked tells whether the number had that secret, and lost it, among the
// last store.MaxRevoked.
func wasRevoked(k *store.PhoneKey, secret []byte) bool {
	return len(k.Revoked) > 0 && slices.Contains(k.Revoked, hashOf(k.Number, secret))
}

// revoked is what is kept of the number once the key that works is revoked: no
// secret, the hash of the one that it had, and a generation of which no key was
// revoked.
func (s *state) revoked() (store.PhoneKey, error) {
	next := s.kept
	next.Blocked, next.Secret, next.Algorithm = false, nil, 0
	k, ok, err := s.key()
	if err != nil {
		return next, err
	}
	if ok {
		next.Revoked = append(slices.Clone(next.Revoked), hashOf(s.number, k.Secret))
		next.Revoked = next.Revoked[max(0, len(next.Revoked)-store.MaxRevoked):]
	}
	for {
		if next.Generation == math.MaxUint32 {
			return next, control.Mistakef("the keys of %s were revoked 4,294,967,294 times, and there is no generation left", s.number)
		}
		next.Generation++
		if s.z.Seed == nil {
			return next, nil
		}
		// What was kept may have been derived elsewhere, from the same seed.
		if k, err = s.z.Seed.Key(s.name().Lower(), next.Generation); err != nil || !wasRevoked(&next, k.Secret) {
			return next, err
		}
	}
}
