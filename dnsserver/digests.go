package dnsserver

import (
	"math/bits"
	"math/rand/v2"
)

// digests maps digests to an octet each. It is a table of its own, which is used
// again: at 80,000 updates a second Go's maps, made anew each time, took a tenth
// of the time of an update. An entry takes 9 octets, and a third of the table is free
// at least.
//
// A digest of 0 is taken for 1.
type digests struct {
	keys  []uint64 // 0: free
	codes []uint8
	n     int
}

// fewDigests is what a table begins with. Twice that and so on has room for a power of 2.
const fewDigests = 3 * 32

// digestSalt keeps those who can choose what they sign from filling one place.
var digestSalt = rand.Uint64() | 1

func (d *digests) home(k uint64) int {
	hi, _ := bits.Mul64(k*digestSalt, uint64(len(d.keys)))
	return int(hi)
}

func (d *digests) next(at int) int {
	if at++; at < len(d.keys) {
		return at
	}
	return 0
}

func (d *digests) find(k uint64) (at int, found bool) {
	for at = d.home(k); d.keys[at] != 0; at = d.next(at) {
		if d.keys[at] == k {
			return at, true
		}
	}
	return at, false
}

// first gives what stands where k would be; 0: k is not there.
func (d *digests) first(k uint64) uint64 {
	if d.n == 0 {
		return 0
	}
	return d.keys[d.home(max(k, 1))]
}

func (d *digests) get(k uint64) (code uint8, found bool) {
	if d.n == 0 {
		return 0, false
	}
	at, found := d.find(max(k, 1))
	return d.codes[at], found
}

func (d *digests) put(k uint64, code uint8) {
	if 3*(d.n+1) > 2*len(d.keys) {
		keys, codes := d.keys, d.codes
		size := max(fewDigests, 2*len(keys))
		*d = digests{keys: make([]uint64, size), codes: make([]uint8, size)}
		for i, k := range keys {
			if k != 0 {
				d.put(k, codes[i])
			}
		}
	}
	k = max(k, 1)
	at, found := d.find(k)
	if !found {
		d.n++
	}
	d.keys[at], d.codes[at] = k, code
}

// delete takes an entry out, and moves those behind it that it stood in the way
// of.
func (d *digests) delete(k uint64) {
	if d.n == 0 {
		return
	}
	at, found := d.find(max(k, 1))
	if !found {
		return
	}
	d.n--
	size := len(d.keys)
	for next := d.next(at); d.keys[next] != 0; next = d.next(next) {
		if home := d.home(d.keys[next]); (next-home+size)%size >= (next-at+size)%size {
			d.keys[at], d.codes[at] = d.keys[next], d.codes[next]
			at = next
		}
	}
	d.keys[at] = 0
}
