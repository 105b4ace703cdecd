package store

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"dialtone/zone/rr"
)

// Held is what a commit puts beside records. A Registration that says nothing is
// deleted, and a Signer that never signed.
type Held struct {
	Registrations []rr.Registration
	Signers       []rr.Signer
}

// Registrations and Signers have keys of one kind, told apart by the octet
// behind the zone's number.
const (
	heldNumber = 0x01
	heldSigner = 0x02

	encHeld = 1

	flagOwnKey = 0x01 // Key is the number's name
	flagPublic = 0x02 // Public
)

func (b *batch) putHeld(z *Zone, id uint32, h *Held) error {
	for i := range h.Registrations {
		if err := b.putRegistration(z, id, &h.Registrations[i]); err != nil {
			return err
		}
	}
	for i := range h.Signers {
		s := &h.Signers[i]
		if !s.Key.Valid() {
			return fmt.Errorf("signer %s: %w", s.Key, ErrOutOfZone)
		}
		key := append(append(zonePrefix(kindHeld, id), heldSigner), s.Key...)
		if s.Signed == 0 {
			b.delete(key)
			continue
		}
		v := binary.BigEndian.AppendUint32([]byte{encHeld}, s.Signed)
		b.put(key, binary.BigEndian.AppendUint64(v, s.Digest))
	}
	return nil
}

func (b *batch) putRegistration(z *Zone, id uint32, r *rr.Registration) error {
	if len(r.Number) == 0 || len(r.Number) > 63 {
		return fmt.Errorf("registration of %q: %w", r.Number, ErrOutOfZone)
	}
	from := len(b.arena)
	b.arena = binary.BigEndian.AppendUint32(append(b.arena, kindHeld), id)
	b.arena = append(append(b.arena, heldNumber), r.Number...)
	mid := len(b.arena)
	if r.SaysNothing() {
		b.delete(b.arena[from:mid:mid])
		return nil
	}
	b.arena = appendRegistration(b.arena, r, z.lower)
	b.put(b.arena[from:mid:mid], b.arena[mid:len(b.arena):len(b.arena)])
	return nil
}

func appendRegistration(b []byte, r *rr.Registration, apex rr.Name) []byte {
	key := r.Key
	flags := byte(0)
	if key.IsNumberName(r.Number, apex) {
		key, flags = "", flagOwnKey
	}
	if r.Public {
		flags |= flagPublic
	}
	b = append(b, encHeld, flags)
	b = binary.AppendVarint(b, r.Lease)
	b = binary.AppendVarint(b, r.KeyLease)
	b = binary.AppendUvarint(b, uint64(r.Signed))
	b = binary.BigEndian.AppendUint64(b, r.Digest)
	b = binary.AppendVarint(b, r.Updated)
	a := r.From.Unmap().WithZone("").AsSlice()
	b = append(append(b, byte(len(a))), a...)
	return append(b, key...)
}

// cutRegistration decodes what stands first: leases and the time signed.
func cutRegistration(v []byte) (r rr.Registration, rest []byte, err error) {
	if len(v) < 2 || v[0] != encHeld || v[1] > flagOwnKey|flagPublic {
		return r, nil, corrupt("registration with a bad head")
	}
	lease, i := binary.Varint(v[2:])
	if i <= 0 {
		return r, nil, corrupt("registration that is cut short")
	}
	keyLease, j := binary.Varint(v[2+i:])
	if j <= 0 {
		return r, nil, corrupt("registration that is cut short")
	}
	signed, k := binary.Uvarint(v[2+i+j:])
	if k <= 0 || signed > 1<<32-1 {
		return r, nil, corrupt("registration that is cut short")
	}
	r.Lease, r.KeyLease, r.Signed, r.Public = lease, keyLease, uint32(signed), v[1]&flagPublic != 0
	return r, v[2+i+j+k:], nil
}

func decodeRegistration(number string, apex rr.Name, value []byte) (r rr.Registration, err error) {
	r, v, err := cutRegistration(value)
	if err != nil {
		return r, err
	}
	own := value[1]&flagOwnKey != 0
	if r.Number = number; len(number) == 0 || len(number) > 63 || len(v) < 8 {
		return r, corrupt("registration that is cut short")
	}
	r.Digest = binary.BigEndian.Uint64(v)
	updated, n := binary.Varint(v[8:])
	if n <= 0 {
		return r, corrupt("registration that is cut short")
	}
	r.Updated = updated
	v = v[8+n:]
	if len(v) < 1 || len(v) < 1+int(v[0]) {
		return r, corrupt("registration that is cut short")
	}
	a := v[1 : 1+int(v[0])]
	var ok bool
	if r.From, ok = netip.AddrFromSlice(a); !ok && len(a) > 0 {
		return r, corrupt("registration with a bad address")
	}
	v = v[1+len(a):]
	switch {
	case own && len(v) == 0:
		r.Key = rr.NumberName(number, apex)
	case !own && len(v) == 0:
	case !own && rr.Name(v).Valid():
		r.Key = rr.Name(v)
	default:
		return r, corrupt("registration with a bad key name")
	}
	return r, nil
}

// Registration reads what is held of a number; the zero value when that is
// nothing.
func (z *Zone) Registration(number string) (r rr.Registration, err error) {
	st := z.state.Load()
	if st == nil {
		return r, ErrNotLoaded
	}
	err = z.s.view(func(txn *badger.Txn) error {
		v, err := get(txn, append(append(zonePrefix(kindHeld, st.id), heldNumber), number...))
		if err != nil {
			return err
		}
		r, err = decodeRegistration(number, z.apex, v)
		return err
	})
	if _, err = found(err); err != nil {
		return rr.Registration{}, fmt.Errorf("registration of %s in zone %s: %w", number, z.apex, err)
	}
	return r, nil
}

// Leases streams what memory keeps of all registrations: with Number, Updated, Key,
// From and Digest left out, without an allocation for any of them. number is good until
// the next one. An error ends the stream.
func (z *Zone) Leases(yield func(number []byte, r rr.Registration)) error {
	st := z.state.Load()
	if st == nil {
		return ErrNotLoaded
	}
	read := 0
	err := z.eachHeld(st.id, heldNumber, func(name, value []byte) (bool, error) {
		r, _, err := cutRegistration(value)
		if err == nil {
			yield(name, r)
		}
		read += len(name) + len(value)
		return true, err
	})
	if err != nil {
		return fmt.Errorf("leases of zone %s: %w", z.apex, err)
	}
	if read > chunkOctets { // not for small zones, of which there may be many
		z.s.releasePages()
	}
	return nil
}

// Registrations streams all of them. Each is replaced by the next one; an error
// ends the stream.
func (z *Zone) Registrations() iter.Seq2[*rr.Registration, error] {
	return func(yield func(*rr.Registration, error) bool) {
		st := z.state.Load()
		if st == nil {
			yield(nil, ErrNotLoaded)
			return
		}
		var r rr.Registration
		err := z.eachHeld(st.id, heldNumber, func(name, value []byte) (more bool, err error) {
			if r, err = decodeRegistration(string(name), z.apex, value); err != nil {
				return false, err
			}
			return yield(&r, nil), nil
		})
		if err != nil {
			yield(nil, fmt.Errorf("registrations of zone %s: %w", z.apex, err))
		}
	}
}

// Signers gives all of them.
func (z *Zone) Signers() (list []rr.Signer, err error) {
	st := z.state.Load()
	if st == nil {
		return nil, ErrNotLoaded
	}
	err = z.eachHeld(st.id, heldSigner, func(name, value []byte) (bool, error) {
		s, err := decodeSigner(rr.Name(name), value)
		list = append(list, s)
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("signers of zone %s: %w", z.apex, err)
	}
	return list, nil
}

func decodeSigner(key rr.Name, value []byte) (s rr.Signer, err error) {
	if len(value) != 1+4+8 || value[0] != encHeld || !key.Valid() {
		return s, corrupt("signer")
	}
	return rr.Signer{Key: key, Signed: binary.BigEndian.Uint32(value[1:]), Digest: binary.BigEndian.Uint64(value[5:])}, nil
}

func (z *Zone) eachHeld(id uint32, what byte, f func(name, value []byte) (more bool, err error)) error {
	prefix := append(zonePrefix(kindHeld, id), what)
	return z.s.view(func(txn *badger.Txn) error {
		return each(txn, prefix, nil, func(key, value []byte) (bool, error) { return f(key[len(prefix):], value) })
	})
}

// Below gives the owners at and below each of the numbers, as the last commit
// left them: those with records, in lower case, by number in canonical order.
func (z *Zone) Below(numbers []string) (owners []rr.Name, err error) {
	st := z.state.Load()
	if st == nil {
		return nil, ErrNotLoaded
	}
	numbers = slices.Clone(numbers)
	slices.Sort(numbers) // the nearer the next one is, the less Badger has to seek
	err = z.s.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		o.Prefix = zonePrefix(kindRRset, st.id)
		it := txn.NewIterator(o)
		defer it.Close()
		for _, n := range numbers {
			key := appendOwner(zonePrefix(kindRRset, st.id), string(byte(len(n)))+n)
			at := key[:len(key)-1] // less what closes the owner: names below go on there
			for it.Seek(at); it.ValidForPrefix(at); it.Next() {
				own, _, err := cutOwner(nil, it.Item().Key()[prefixLen:])
				if err != nil {
					return err
				}
				if owner := rr.Name(own) + z.apex; len(owners) == 0 || owners[len(owners)-1] != owner {
					owners = append(owners, owner)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("names below numbers of zone %s: %w", z.apex, err)
	}
	return owners, nil
}
