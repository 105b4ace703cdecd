package store

import (
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	"github.com/dgraph-io/badger/v4"

	"dialtone/zone/rr"
)

// PhoneKey is what a zone keeps of the TSIG key of a terminal number.
type PhoneKey struct {
	Number    string // 1 to 15 digits
	Algorithm uint8  // whatever number the caller has for it; 0 without a secret
	// Generation counts how often the number's key was revoked, from 1 on.
	Generation uint32
	Created    time.Time // in seconds
	Blocked    bool      // the number has no key at all
	Secret     []byte    // empty: the key, if there is one, is derived from something else
	// Revoked are hashes of secrets that the number must not have again, whatever
	// the caller hashes them by; nil or 1 to MaxRevoked.
	Revoked []SecretHash
}

// SecretHash stands for a secret.
type SecretHash [8]byte

const (
	// MaxPhoneSecret is the most octets that a secret has: the block of SHA-512,
	// beyond which HMAC would hash it first (RFC 2104, section 3).
	MaxPhoneSecret = 128
	// MaxRevoked is how many hashes of revoked secrets are kept of a number.
	MaxRevoked = 8
	// MaxPhoneKeys is how many keys PutPhoneKeys takes at a time: they fit one
	// transaction of the smallest store, whatever their secrets.
	MaxPhoneKeys = 500
)

// PutPhoneKeys keeps these keys in place of those that their numbers had, all
// or none, and returns after the sync. After an error that is none of
// ErrNotLoaded, ErrTooBig, ErrBadNumber and ErrFull they may be there or not,
// and PhoneKey tells which as soon as a later call has succeeded.
//
// It waits for its turn with Commit, and like Seed opens the store again when
// an earlier write has failed; a zone that waits for Repair goes on waiting.
func (z *Zone) PutPhoneKeys(keys ...PhoneKey) error {
	return z.writePhoneKeys("put", len(keys), func(b *batch, id uint32) error {
		for i := range keys {
			k := &keys[i]
			if !rr.IsNumber(k.Number) {
				return fmt.Errorf("%w: %q", ErrBadNumber, k.Number)
			}
			if len(k.Secret) > MaxPhoneSecret {
				return fmt.Errorf("%w: the secret of number %s has %d octets, at most %d fit", ErrTooBig, k.Number, len(k.Secret), MaxPhoneSecret)
			}
			if len(k.Revoked) > MaxRevoked {
				return fmt.Errorf("%w: %d revoked secrets of number %s, at most %d are kept", ErrTooBig, len(k.Revoked), k.Number, MaxRevoked)
			}
			b.put(phoneKey(id, k.Number), k.append(make([]byte, 0, phoneHead+len(k.Secret)+1+len(k.Revoked)*len(SecretHash{}))))
		}
		return nil
	})
}

// DeletePhoneKeys forgets all that is kept of these numbers' keys, revocations
// too. It is like PutPhoneKeys in all else.
func (z *Zone) DeletePhoneKeys(numbers ...string) error {
	return z.writePhoneKeys("delete", len(numbers), func(b *batch, id uint32) error {
		for _, n := range numbers {
			b.delete(phoneKey(id, n))
		}
		return nil
	})
}

func (z *Zone) writePhoneKeys(verb string, n int, fill func(b *batch, id uint32) error) error {
	z.write.Lock()
	defer z.write.Unlock()
	if err := z.writePhoneKeysLocked(n, fill); err != nil {
		return fmt.Errorf("%s keys of zone %s: %w", verb, z.apex, err)
	}
	return nil
}

func (z *Zone) writePhoneKeysLocked(n int, fill func(b *batch, id uint32) error) error {
	st := z.state.Load()
	if st == nil {
		return ErrNotLoaded
	}
	if n > MaxPhoneKeys {
		return fmt.Errorf("%w: %d keys at a time, at most %d fit", ErrTooBig, n, MaxPhoneKeys)
	}
	var b batch
	if err := fill(&b, st.id); err != nil {
		return err
	}
	if err := z.s.heal(); err != nil {
		return err
	}
	return z.s.commit(&b)
}

// PhoneKey tells what is kept of a number's key. While the store is broken the
// error is ErrBroken: what can be read then may not be on disk. That does not
// last, for the store is opened again, without a wait.
func (z *Zone) PhoneKey(number string) (k PhoneKey, ok bool, err error) {
	st := z.state.Load()
	if st == nil {
		return k, false, fmt.Errorf("key of number %s in zone %s: %w", number, z.apex, ErrNotLoaded)
	}
	if z.s.broken.Load() {
		z.s.healLater()
		return k, false, fmt.Errorf("key of number %s in zone %s: %w", number, z.apex, ErrBroken)
	}
	var value []byte
	err = z.s.view(func(txn *badger.Txn) (err error) {
		value, err = get(txn, phoneKey(st.id, number))
		return err
	})
	if ok, err = found(err); ok {
		err = k.decode(number, value)
	}
	if err != nil {
		return PhoneKey{}, false, fmt.Errorf("key of number %s in zone %s: %w", number, z.apex, err)
	}
	return k, ok, nil
}

// PhoneKeys streams all keys of one moment in the order of their digits, those
// behind the given number only. An error ends the stream.
func (z *Zone) PhoneKeys(after string) iter.Seq2[PhoneKey, error] {
	return func(yield func(PhoneKey, error) bool) {
		if err := z.phoneKeys(after, func(k PhoneKey) bool { return yield(k, nil) }); err != nil {
			yield(PhoneKey{}, fmt.Errorf("read keys of zone %s: %w", z.apex, err))
		}
	}
}

func (z *Zone) phoneKeys(after string, yield func(PhoneKey) bool) error {
	st := z.state.Load()
	if st == nil {
		return ErrNotLoaded
	}
	sn, err := z.s.snapshot()
	if err != nil {
		return err
	}
	defer sn.close()
	prefix := zonePrefix(kindPhone, st.id)
	from := append(phoneKey(st.id, after), closing) // the least key behind it
	if after == "" {
		from = prefix
	}
	list := make([]PhoneKey, 0, MaxPhoneKeys)
	for {
		list = list[:0]
		err := sn.read(func(txn *badger.Txn) error {
			return each(txn, prefix, from, func(key, value []byte) (bool, error) {
				var k PhoneKey
				err := k.decode(string(key[prefixLen:]), value)
				list = append(list, k)
				return len(list) < MaxPhoneKeys, err
			})
		})
		if err != nil {
			return err
		}
		for _, k := range list {
			if !yield(k) {
				return nil
			}
		}
		if len(list) < MaxPhoneKeys {
			return nil
		}
		from = append(phoneKey(st.id, list[len(list)-1].Number), closing)
	}
}

func phoneKey(id uint32, number string) []byte { return append(zonePrefix(kindPhone, id), number...) }

// phoneHead is what stands in front of revoked secrets and the secret.
const phoneHead = 1 + 1 + 1 + 4 + 8

// flagRevoked says that a count and the hashes of revoked secrets stand in front
// of the secret.
const flagRevoked = 0x02

func (k *PhoneKey) append(b []byte) []byte {
	flags := byte(0)
	if k.Blocked {
		flags |= flagBlocked
	}
	if len(k.Revoked) > 0 {
		flags |= flagRevoked
	}
	b = append(b, encPhone, flags, k.Algorithm)
	b = binary.BigEndian.AppendUint32(b, k.Generation)
	b = binary.BigEndian.AppendUint64(b, uint64(k.Created.Unix()))
	if len(k.Revoked) > 0 {
		b = append(b, byte(len(k.Revoked)))
		for _, h := range k.Revoked {
			b = append(b, h[:]...)
		}
	}
	return append(b, k.Secret...)
}

// decode copies what it keeps.
func (k *PhoneKey) decode(number string, b []byte) error {
	if !rr.IsNumber(number) || len(b) < phoneHead || b[0] != encPhone || b[1]&^(flagBlocked|flagRevoked) != 0 {
		return corrupt("key of a number")
	}
	secret := b[phoneHead:]
	var revoked []SecretHash
	if b[1]&flagRevoked != 0 {
		if len(secret) == 0 || secret[0] == 0 || secret[0] > MaxRevoked || len(secret) < 1+int(secret[0])*len(SecretHash{}) {
			return corrupt("revoked secrets of a number")
		}
		revoked = make([]SecretHash, secret[0])
		secret = secret[1:]
		for i := range revoked {
			secret = secret[copy(revoked[i][:], secret):]
		}
	}
	if len(secret) > MaxPhoneSecret {
		return corrupt("key of a number")
	}
	*k = PhoneKey{
		Number: number, Blocked: b[1]&flagBlocked != 0, Algorithm: b[2],
		Generation: binary.BigEndian.Uint32(b[3:]), Created: time.Unix(int64(binary.BigEndian.Uint64(b[7:])), 0),
		Secret: append([]byte(nil), secret...), Revoked: revoked,
	}
	return nil
}
