package files

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
)

// Log is a write-ahead log: what its memtable got, in order, behind a head
// that says that it is not encrypted. Behind the last entry are zeros.
//
//	entry     meta, user meta, length of key, length of value, end of life
//	          (varints), key with version, value
//	checksum  of all that, 4 octets
//
// A transaction is a run of entries of one version, and one that ends it.
type Log struct {
	Name string
	ID   uint64
	// Txns are the whole transactions; those behind the first damage, which
	// Badger would not find, as well.
	Txns []Txn
	// Whole is how many of them stand before any damage: what Badger finds.
	Whole int
	// Rest are the octets that are no whole transaction, up to the last one that
	// is not zero. A crash leaves some at the end of a log; or somebody damaged it.
	Rest []Damage
	data []byte
	head bool // it is damaged
}

// Txn is one transaction.
type Txn struct {
	Version uint64
	Entries []Entry
}

const (
	logHead = 8 + 12  // number of the key that it is encrypted with, which is 0; random octets
	maxKey  = 1 << 10 // ours are shorter
)

// logEntry is one entry with its place.
type logEntry struct {
	Entry
	meta     byte
	from, to int
}

// cut reads the entry at an offset.
func (l *Log) cut(at int) (e logEntry, ok bool) {
	b := l.data[at:]
	if len(b) < 2 {
		return e, false
	}
	meta, i := b[0], 2
	var n [3]uint64
	for k := range n {
		v, size := binary.Uvarint(b[i:])
		if size <= 0 {
			return e, false
		}
		n[k], i = v, i+size
	}
	if n[0] < versionLen || n[0] > maxKey || n[1] > uint64(len(b)) || meta&bitPointer != 0 {
		return e, false
	}
	key, value := i+int(n[0]), i+int(n[0]+n[1])
	if value+4 > len(b) || !plausible(b[i:key]) || crc32.Checksum(b[:value], castagnoli) != binary.BigEndian.Uint32(b[value:]) {
		return e, false
	}
	return logEntry{newEntry(b[i:key:key], meta, b[key:value:value]), meta, at, at + value + 4}, true
}

// plausible saves checksums of what stands nowhere near an entry: no version
// has more than 48 bits.
func plausible(key []byte) bool {
	return binary.BigEndian.Uint16(key[len(key)-versionLen:]) == math.MaxUint16
}

// parse finds all transactions. It looks for entries behind damage too.
func (l *Log) parse() {
	l.Txns, l.Rest, l.Whole, l.head = nil, nil, -1, false
	if len(l.data) < logHead {
		l.Whole = 0
		return // a log that was just begun
	}
	l.head = !bytes.Equal(l.data[:8], make([]byte, 8))
	end := len(bytes.TrimRight(l.data, "\x00")) // of what was written, but for zeros at its end
	var open []logEntry                         // of the transaction that is being read
	begin, at := logHead, logHead
	for at < end {
		e, ok := l.cut(at)
		if !ok {
			next := l.resync(at+1, end)
			l.damaged(begin, at, min(next, end))
			begin, at, open = next, next, nil
			continue
		}
		at = e.to
		switch {
		case e.meta&bitFinTxn != 0:
			// What has lost its beginning is no whole transaction.
			if v, err := strconv.ParseUint(string(e.Value), 10, 64); err == nil && len(open) > 0 && open[0].Version == v {
				l.add(open, v)
			} else {
				l.damaged(begin, begin, at)
			}
			begin, open = at, nil
		case len(open) > 0 && open[0].Version != e.Version:
			l.damaged(begin, begin, e.from)
			begin, open = e.from, []logEntry{e}
		default:
			open = append(open, e)
		}
	}
	if len(open) > 0 {
		l.damaged(begin, at, at)
	}
	if l.Whole < 0 {
		l.Whole = len(l.Txns)
	}
}

func (l *Log) add(entries []logEntry, version uint64) {
	t := Txn{Version: version}
	for _, e := range entries {
		t.Entries = append(t.Entries, e.Entry)
	}
	l.Txns = append(l.Txns, t)
}

// damaged notes octets that are no whole transaction: begin is where theirs
// begins, at where the first entry is that cannot be read.
func (l *Log) damaged(begin, at, to int) {
	if l.Whole < 0 {
		l.Whole = len(l.Txns)
	}
	what := fmt.Sprintf("%d octets are no whole transaction", to-begin)
	if at > begin {
		what += fmt.Sprintf(": the entry at octet %d cannot be read", at)
	}
	l.Rest = append(l.Rest, Damage{File: l.Name, Offset: int64(begin), What: what})
}

// resync looks for the next entry.
func (l *Log) resync(at, end int) int {
	for ; at < end; at++ {
		if _, ok := l.cut(at); ok {
			return at
		}
	}
	return end
}

// mend corrects single octets in memory: where an entry cannot be read, it
// ends where the next one begins.
func (l *Log) mend() (list []Damage) {
	if l.head {
		clear(l.data[:8])
		list = append(list, Damage{File: l.Name, Offset: 0, What: "the log's head says that it is encrypted", Mendable: true})
	}
	end := len(bytes.TrimRight(l.data, "\x00"))
	for at := logHead; at < end; {
		if e, ok := l.cut(at); ok {
			at = e.to
			continue
		}
		next := l.resync(at+1, end)
		d := Damage{File: l.Name, Offset: int64(at), What: fmt.Sprintf("%d octets are no entry", next-at)}
		if next < end {
			d.Mendable = l.mendEntry(at, next)
		} else { // the last one: it may end with zeros
			for n := next; n <= min(next+4, len(l.data)) && !d.Mendable; n++ {
				d.Mendable = l.mendEntry(at, n)
			}
		}
		list = append(list, d)
		at = next
	}
	l.parse()
	return list
}

// mendEntry makes one entry of the octets, by another value of one of them.
func (l *Log) mendEntry(from, to int) bool {
	if to-from < 2+3+versionLen+4 {
		return false
	}
	data, sum := l.data[from:to-4], l.data[to-4:to]
	fits := func() bool {
		e, ok := l.cut(from)
		return ok && e.to == to
	}
	if right := binary.BigEndian.AppendUint32(nil, crc32.Checksum(data, castagnoli)); differences(right, sum) == 1 {
		was := bytes.Clone(sum)
		if copy(sum, right); fits() {
			return true
		}
		copy(sum, was)
	}
	at, octet, ok := oneOctet(data, binary.BigEndian.Uint32(sum))
	if !ok {
		return false
	}
	was := data[at]
	if data[at] = octet; fits() {
		return true
	}
	data[at] = was
	return false
}
