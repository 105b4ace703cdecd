package store

import (
	"encoding/binary"

	"dialtone/zone/rr"
)

// Kinds of keys.
const (
	kindFormat = 'f'
	kindBackup = 'b'
	kindZone   = 'z'
	kindDrop   = 'p'
	kindMeta   = 'm'
	kindTrim   = 't'
	kindEntry  = 'j'
	kindRRset  = 'r'
	kindStage  = 's'
	kindHeld   = 'h'
	kindPhone  = 'k'
	kindNewest = 'n'
)

// zoneKinds are the kinds that go with a zone's number.
var zoneKinds = [...]byte{kindMeta, kindTrim, kindEntry, kindRRset, kindStage, kindHeld, kindPhone}

// prefixLen is the length of kind and zone number.
const prefixLen = 5

func zonePrefix(kind byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, 32), kind), id)
}

func entryKey(id uint32, seq uint64, part uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(zonePrefix(kindEntry, id), seq), part)
}

const entryKeyLen = prefixLen + 10

// entrySeq reads the sequence out of an entry's key.
func entrySeq(key []byte) (uint64, bool) {
	if len(key) != entryKeyLen {
		return 0, false
	}
	return binary.BigEndian.Uint64(key[prefixLen:]), true
}

func stagePrefix(id uint32, stage uint64) []byte {
	return binary.BigEndian.AppendUint64(zonePrefix(kindStage, id), stage)
}

func stageKey(id uint32, stage uint64, part uint32) []byte {
	return binary.BigEndian.AppendUint32(stagePrefix(id, stage), part)
}

func apexKey(apex rr.Name) []byte {
	return appendOwner([]byte{kindZone}, apex[:len(apex)-1])
}

// Owners are escaped so that 0 can close a label: it sorts before every octet
// of a longer label, and a closed owner before all that is below it.
const (
	closing  = 0x00
	escape   = 0x01 // stands before the next two
	escaped0 = 0x01
	escaped1 = 0x02
)

// appendOwner appends labels (without a root label) in canonical order.
func appendOwner[S ~string | ~[]byte](b []byte, labels S) []byte {
	var off [rr.MaxLabels + 1]uint8
	n := 0
	for i := 0; i < len(labels) && n < len(off); i += int(labels[i]) + 1 {
		off[n] = uint8(i)
		n++
	}
	for n--; n >= 0; n-- {
		start := int(off[n])
		for _, c := range []byte(labels[start+1 : start+1+int(labels[start])]) {
			switch {
			case 'A' <= c && c <= 'Z':
				b = append(b, c|0x20)
			case c == 0:
				b = append(b, escape, escaped0)
			case c == 1:
				b = append(b, escape, escaped1)
			default:
				b = append(b, c)
			}
		}
		b = append(b, closing)
	}
	return append(b, closing)
}

// cutOwner undoes appendOwner: it appends the labels at the start of key to
// dst, in the order of a name, and returns what is behind them.
func cutOwner(dst, key []byte) (name, rest []byte, err error) {
	var buf [rr.MaxName]byte // filled from its end, for labels come from the right
	at := len(buf)
	var label [63]byte
	for i := 0; ; {
		n := 0
		for ; i < len(key) && key[i] != closing; i++ {
			c := key[i]
			if c == escape {
				if i++; i == len(key) || key[i] != escaped0 && key[i] != escaped1 {
					return nil, nil, corrupt("owner with a bad escape")
				}
				c = key[i] - escaped0
			}
			if 'A' <= c && c <= 'Z' {
				return nil, nil, corrupt("owner with a capital")
			}
			if n == len(label) {
				return nil, nil, corrupt("owner with a label of more than 63 octets")
			}
			label[n] = c
			n++
		}
		if i == len(key) {
			return nil, nil, corrupt("owner without an end")
		}
		i++
		if n == 0 {
			return append(dst, buf[at:]...), key[i:], nil
		}
		if at < n+2 { // the label, its length, and the root label
			return nil, nil, corrupt("owner of more than 255 octets")
		}
		at -= n
		copy(buf[at:], label[:n])
		at--
		buf[at] = byte(n)
	}
}

// appendRRsetKey appends the key of an RRset; owner must be in the zone.
func appendRRsetKey[O ~string | ~[]byte](b []byte, id uint32, apex rr.Name, owner O, t uint16) []byte {
	b = binary.BigEndian.AppendUint32(append(b, kindRRset), id)
	b = appendOwner(b, owner[:len(owner)-len(apex)])
	return binary.BigEndian.AppendUint16(b, t)
}
