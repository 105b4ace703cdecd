package rr

import "encoding/binary"

// HeaderSize is the number of octets of a message before its sections (RFC 1035,
// section 4.1.1).
const HeaderSize = 12

// SkipQuestions gives the offset of the first record of a message; false when
// it has no header or its questions run past the end.
func SkipQuestions(msg []byte) (off int, ok bool) {
	if len(msg) < HeaderSize {
		return 0, false
	}
	off = HeaderSize
	for range binary.BigEndian.Uint16(msg[4:]) {
		if off, ok = skipName(msg, off); !ok || off+4 > len(msg) {
			return 0, false
		}
		off += 4
	}
	return off, true
}

// SkipRecord gives the offset of the type field of the record at off, and that
// behind the record; false when it runs past the end. Names are stepped over,
// pointers are not followed.
func SkipRecord(msg []byte, off int) (fields, end int, ok bool) {
	fields, ok = skipName(msg, off)
	if !ok || fields+10 > len(msg) {
		return 0, 0, false
	}
	end = fields + 10 + int(binary.BigEndian.Uint16(msg[fields+8:]))
	return fields, end, end <= len(msg)
}

// skipName gives the offset behind a name without following pointers.
func skipName(msg []byte, off int) (int, bool) {
	for off < len(msg) {
		switch c := int(msg[off]); {
		case c == 0:
			return off + 1, true
		case c < 64:
			off += 1 + c
		case c >= 0xC0:
			return off + 2, off+2 <= len(msg)
		default:
			return 0, false
		}
	}
	return 0, false
}
