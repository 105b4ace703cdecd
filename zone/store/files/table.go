package files

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"

	"github.com/dgraph-io/badger/v4/fb"
)

// Table is one table:
//
//	blocks
//	index     a flat buffer: where blocks are and which keys they begin with
//	length    of the index, 4 octets
//	checksum  of the index, and its length
type Table struct {
	Name       string
	ID         uint64
	Level      int
	MaxVersion uint64
	Octets     int64
	First      []byte // the first key, with its version
	data       []byte
	index      int // where the index begins
	blocks     []block
}

// block is a run of entries in the order of keys:
//
//	entries
//	offsets   of the entries, 4 octets each, and their number
//	checksum  of all that, and its length
type block struct {
	first    []byte // its first key, with its version
	from, to int
}

// tableName is the name of a table's file.
func tableName(id uint64) string { return fmt.Sprintf("%06d.sst", id) }

// readFile reads a whole file into buf, or into a new one when it is larger.
func readFile(root *os.Root, name string, buf []byte) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if int64(cap(buf)) < fi.Size() {
		buf = make([]byte, fi.Size())
	}
	buf = buf[:fi.Size()]
	_, err = io.ReadFull(f, buf)
	return buf, err
}

// EntriesOf tells how many entries a table has, by its index, of which it reads no more.
func EntriesOf(root *os.Root, id uint64) (entries int, err error) {
	f, err := root.Open(tableName(id))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	t := Table{Name: tableName(id)}
	tail := make([]byte, min(fi.Size(), 32<<10))
	for {
		if _, err := f.ReadAt(tail, fi.Size()-int64(len(tail))); err != nil {
			return 0, err
		}
		t.data = tail
		switch n, err := t.entriesInTail(); {
		case err == nil:
			return n, nil
		case int64(len(tail)) == fi.Size():
			return 0, err
		}
		tail = make([]byte, min(fi.Size(), 8*int64(len(tail))))
	}
}

// entriesInTail is for data that is the end of a table.
func (t *Table) entriesInTail() (n int, err error) {
	index, _, err := t.findIndex()
	if err != nil {
		return 0, err
	}
	defer func() {
		if recover() != nil {
			err = t.damage(0, "the table's index makes no sense")
		}
	}()
	return int(fb.GetRootAsTableIndex(index, 0).KeyCount()), nil
}

// parse finds index and blocks. It does not look into blocks.
func (t *Table) parse() error {
	t.blocks, t.index, t.Octets = t.blocks[:0], 0, int64(len(t.data))
	index, at, err := t.findIndex()
	if err != nil {
		return err
	}
	t.index = at
	return t.readIndex(index)
}

// findIndex gives the index, whose checksum is right, and where it begins.
func (t *Table) findIndex() (index []byte, begin int, err error) {
	end := len(t.data) - 4
	if end < 8 {
		return nil, 0, t.damage(0, "the table is cut off")
	}
	n := int(binary.BigEndian.Uint32(t.data[end:]))
	if n > maxStored-4 || n+4 > end {
		return nil, 0, t.damage(end, "the length of the index's checksum is wrong")
	}
	at := end - n - 4
	size := int64(binary.BigEndian.Uint32(t.data[at:]))
	if size > int64(at) {
		return nil, 0, t.damage(at, "the index does not begin inside the table")
	}
	begin = at - int(size)
	index = t.data[begin:at]
	if string(stored(crc32.Checksum(index, castagnoli))) != string(t.data[at+4:]) {
		t.index = begin
		return nil, 0, t.damage(begin, "the table's index does not match its checksum")
	}
	return index, begin, nil
}

func (t *Table) damage(offset int, what string) error {
	return Damage{File: t.Name, Offset: int64(offset), What: what}
}

// readIndex takes the places of the blocks, which are to follow each other.
func (t *Table) readIndex(index []byte) (err error) {
	defer func() { // its checksum is right, so this is for what Badger itself wrote wrong
		if recover() != nil {
			err = t.damage(t.index, "the table's index makes no sense")
		}
	}()
	root := fb.GetRootAsTableIndex(index, 0)
	t.MaxVersion = root.MaxVersion()
	at := 0
	for i := range root.OffsetsLength() {
		var o fb.BlockOffset
		if !root.Offsets(&o, i) || int(o.Offset()) != at || int(o.Len()) > t.index-at || o.KeyLength() < versionLen {
			return t.damage(t.index, "the table's index makes no sense")
		}
		t.blocks = append(t.blocks, block{o.KeyBytes(), at, at + int(o.Len())})
		at += int(o.Len())
	}
	if at != t.index || at == 0 {
		return t.damage(t.index, "the table's index makes no sense")
	}
	t.First = bytes.Clone(t.blocks[0].first)
	return nil
}

// verify gives the damage of all blocks.
func (t *Table) verify() (list []Damage) {
	for _, b := range t.blocks {
		if _, right := cutStored(t.data[b.from:b.to]); !right {
			list = append(list, Damage{File: t.Name, Offset: int64(b.from), What: fmt.Sprintf("the block of %d octets does not match its checksum", b.to-b.from)})
		}
	}
	return list
}

// mend corrects the table in memory where one octet is wrong, and gives the
// damage that there was, and the blocks for which that was not possible. An
// error says that the index is lost, and so all that is in the table.
func (t *Table) mend() (list []Damage, lost []int, err error) {
	if err := t.parse(); err != nil {
		d, _ := err.(Damage)
		d.Mendable = t.mendIndex()
		list = append(list, d)
		if !d.Mendable {
			return list, nil, err
		}
	}
	for i, b := range t.blocks {
		octets := t.data[b.from:b.to]
		if _, right := cutStored(octets); right {
			continue
		}
		was := bytes.Clone(octets)
		d := Damage{File: t.Name, Offset: int64(b.from), What: fmt.Sprintf("the block of %d octets does not match its checksum", len(octets))}
		d.Mendable = mendStored(octets) && t.entries(i, func(Entry) error { return nil }) == nil
		list = append(list, d)
		if !d.Mendable {
			copy(octets, was)
			lost = append(lost, i)
		}
	}
	return list, lost, nil
}

// mendIndex corrects one octet of the index, or of what stands behind it.
func (t *Table) mendIndex() bool {
	try := func() bool { return t.parse() == nil }
	end := len(t.data) - 4
	if end < 8 {
		return false
	}
	for n := 2; n <= maxStored-4; n++ { // of the checksum
		at := end - n - 4
		if at < 0 {
			break
		}
		was := bytes.Clone(t.data[at:])
		size := int(binary.BigEndian.Uint32(was))
		if size <= at {
			index, sum := t.data[at-size:at], t.data[at+4:]
			want := stored(crc32.Checksum(index, castagnoli))
			if len(want) == len(sum) && differences(want, sum) == 1 { // the checksum is wrong
				copy(sum, want)
				return try()
			}
			if v, ok := readStored(sum); ok {
				if i, octet, ok := oneOctet(index, v); ok {
					old := index[i]
					if index[i] = octet; try() {
						return true
					}
					index[i] = old
				}
			}
		}
		for i := range 4 { // the length is wrong
			for x := 1; x < 256; x++ {
				t.data[at+i] = was[i] ^ byte(x)
				if int(binary.BigEndian.Uint32(t.data[end:])) == n && try() {
					return true
				}
			}
			t.data[at+i] = was[i]
		}
	}
	return false
}

// readStored undoes stored.
func readStored(b []byte) (uint32, bool) {
	if len(b) < 6 || int(binary.BigEndian.Uint32(b[len(b)-4:])) != len(b)-4 || b[0] != 2<<3 {
		return 0, false
	}
	v, n := binary.Uvarint(b[1 : len(b)-4])
	return uint32(v), n == len(b)-5 && v <= math.MaxUint32
}

// Entry is one version of one key.
type Entry struct {
	Key     []byte // without the version
	Version uint64
	Deleted bool
	Value   []byte
}

const (
	versionLen = 8 // behind each key: 2^64-1 less the version
	bitDelete  = 1 << 0
	bitPointer = 1 << 1 // the value is in the value log
	bitFinTxn  = 1 << 7
)

// newEntry takes a key with version and a value with what stands before it.
func newEntry(key []byte, meta byte, value []byte) Entry {
	n := len(key) - versionLen
	return Entry{Key: key[:n:n], Version: math.MaxUint64 - binary.BigEndian.Uint64(key[n:]), Deleted: meta&bitDelete != 0, Value: value}
}

// entries calls yield for the entries of a block whose checksum is right. What
// it gives is not used again.
func (t *Table) entries(i int, yield func(Entry) error) error {
	b := t.blocks[i]
	bad := func(what string) error {
		return t.damage(b.from, "the block "+what)
	}
	data, right := cutStored(t.data[b.from:b.to])
	if !right || len(data) < 4 {
		return bad("does not match its checksum")
	}
	n := int64(binary.BigEndian.Uint32(data[len(data)-4:]))
	if n == 0 || 4*n > int64(len(data)-4) {
		return bad("has a wrong number of entries")
	}
	entries := data[:len(data)-4-4*int(n)]
	offset := func(i int) int64 { // Badger writes them as the processor has them
		return int64(binary.NativeEndian.Uint32(data[len(entries)+4*i:]))
	}
	var base, last []byte
	for i := range int(n) {
		from, to := offset(i), int64(len(entries))
		if i+1 < int(n) {
			to = offset(i + 1)
		}
		if from+4 > to || to > int64(len(entries)) {
			return bad("has an entry outside of itself")
		}
		e := entries[from:to]
		overlap, diff := int(binary.NativeEndian.Uint16(e)), int(binary.NativeEndian.Uint16(e[2:]))
		if 4+diff > len(e) || overlap > len(base) {
			return bad("has an entry with a wrong key")
		}
		key := make([]byte, 0, overlap+diff)
		key = append(append(key, base[:overlap]...), e[4:4+diff]...)
		if i == 0 {
			base = key
		}
		v := e[4+diff:]
		if len(v) < 3 || len(key) < versionLen || last != nil && compareKeys(last, key) >= 0 {
			return bad("has an entry with a wrong key")
		}
		last = key
		_, size := binary.Uvarint(v[2:])
		if size <= 0 || v[0]&bitPointer != 0 {
			return bad("has an entry with a wrong value")
		}
		if err := yield(newEntry(key, v[0], v[2+size:])); err != nil {
			return err
		}
	}
	return nil
}

// compareKeys orders keys with versions: by key, and the newest version first.
func compareKeys(a, b []byte) int {
	n, m := len(a)-versionLen, len(b)-versionLen
	if c := bytes.Compare(a[:n], b[:m]); c != 0 {
		return c
	}
	return bytes.Compare(a[n:], b[m:])
}
