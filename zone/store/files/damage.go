package files

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Damage is a place in a file that is not what was written there.
type Damage struct {
	File   string // its name in the directory
	Offset int64  // where it begins; -1: the file as a whole
	What   string // is wrong, as the rest of a sentence that begins with the file
	// Mendable says that exactly one octet, if it were another, would make the
	// checksum right: what was written there is known.
	Mendable bool
}

// Error names the file, the place and what is wrong.
func (d Damage) Error() string {
	if d.Offset < 0 {
		return d.File + " " + d.What
	}
	return fmt.Sprintf("%s at octet %d: %s", d.File, d.Offset, d.What)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stored is a checksum as Badger's tables have it: a protocol buffer of which
// only the sum is not a default value. Behind it stands its length.
func stored(sum uint32) []byte {
	var b []byte
	if sum != 0 {
		b = binary.AppendUvarint([]byte{2 << 3}, uint64(sum))
	}
	return binary.BigEndian.AppendUint32(b, uint32(len(b)))
}

// maxStored is the most octets that stored gives.
const maxStored = 1 + 5 + 4

// cutStored takes data apart from the checksum behind it, and tells whether it
// is right.
func cutStored(b []byte) (data []byte, right bool) {
	if len(b) < 4 {
		return nil, false
	}
	n := int(binary.BigEndian.Uint32(b[len(b)-4:]))
	if n > maxStored-4 || n+4 > len(b) {
		return nil, false
	}
	data = b[:len(b)-4-n]
	return data, string(stored(crc32.Checksum(data, castagnoli))) == string(b[len(data):])
}

// mendStored corrects one octet of data and the checksum behind it, if there is
// exactly one way to do so.
func mendStored(b []byte) bool {
	// The data may be right, and the checksum or its length wrong.
	for n := 4; n <= maxStored && n <= len(b); n++ {
		data := b[:len(b)-n]
		want := stored(crc32.Checksum(data, castagnoli))
		if len(want) == n && differences(want, b[len(data):]) == 1 {
			copy(b[len(data):], want)
			return true
		}
	}
	n := int(binary.BigEndian.Uint32(b[max(0, len(b)-4):]))
	if len(b) < 4 || n > maxStored-4 || n < 2 || n+4 > len(b) {
		return false
	}
	data, sum := b[:len(b)-4-n], b[len(b)-4-n:len(b)-4]
	v, used := binary.Uvarint(sum[1:])
	if sum[0] != 2<<3 || used != n-1 || v > 1<<32-1 {
		return false
	}
	at, octet, ok := oneOctet(data, uint32(v))
	if ok {
		data[at] = octet
	}
	return ok
}

func differences(a, b []byte) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// oneOctet finds the octet that must be another for data to have the checksum
// sum; ok is false when there is none, or more than one.
//
// A checksum is linear: what a change of one octet does to it depends on the
// change and on how far it is from the end, not on the rest. So each place and
// change is tried without computing a checksum again. In 16 KiB there are four
// million of them, and of 2^32 checksums: what was damaged in more than one
// octet is taken for one octet once in a thousand times, so whoever uses this
// must look at what it gives as at any input.
func oneOctet(data []byte, sum uint32) (at int, octet byte, ok bool) {
	want := crc32.Checksum(data, castagnoli) ^ sum
	if want == 0 {
		return 0, 0, false
	}
	var bit [8]uint32 // what each bit of the octet does to the checksum
	for k := range bit {
		bit[k] = castagnoli[1<<k]
	}
	found := 0
	for i := len(data) - 1; i >= 0; i-- {
		sum := uint32(0)
		for g := 1; g < 256; g++ { // Gray code: one bit changes at a time
			k := 0
			for g>>k&1 == 0 {
				k++
			}
			if sum ^= bit[k]; sum == want {
				found++
				at, octet = i, data[i]^byte(g^g>>1)
			}
		}
		for k := range bit {
			bit[k] = castagnoli[byte(bit[k])] ^ bit[k]>>8
		}
	}
	return at, octet, found == 1
}
