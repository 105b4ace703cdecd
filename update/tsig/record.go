package tsig

import (
	"encoding/binary"
	"errors"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Reasons for which a message is malformed; all are FORMERR.
var (
	errShort     = errors.New("message is not well-formed")
	errTrailing  = errors.New("octets follow the last record")
	errMisplaced = errors.New("TSIG is not the last additional record")
	errRData     = errors.New("TSIG record is not well-formed")
)

// record is a TSIG record as it stands in a message.
type record struct {
	start    int // offset of the record in the message
	name     nameBuf
	alg      nameBuf
	mac      []byte // aliases the message
	original uint16 // Original ID
	variables
}

// variables are the fields of a TSIG that are hashed with the message, but
// for the names (RFC 8945, section 4.3.3).
type variables struct {
	time  uint64 // 48 bits
	fudge uint16
	err   uint16
	other []byte
}

// nameBuf holds a name without allocation, in the case in which it was sent.
type nameBuf struct {
	buf [rr.MaxName]byte
	n   int
}

func (b *nameBuf) octets() []byte { return b.buf[:b.n] }

func (rec *record) find(msg []byte) (bool, error) {
	off, ok := rr.SkipQuestions(msg)
	if !ok {
		return false, errShort
	}
	additional := int(binary.BigEndian.Uint16(msg[10:]))
	records := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:])) + additional
	found := false
	for i := range records {
		data, end, ok := rr.SkipRecord(msg, off)
		if !ok {
			return false, errShort
		}
		if binary.BigEndian.Uint16(msg[data:]) == dns.TypeTSIG {
			if i != records-1 || additional == 0 {
				return false, errMisplaced
			}
			if err := rec.parse(msg, off, data, end); err != nil {
				return false, err
			}
			found = true
		}
		off = end
	}
	if off != len(msg) {
		// They would be covered by no MAC.
		return false, errTrailing
	}
	return found, nil
}

// parse reads the record at msg[start:end], whose type field is at data
// (RFC 8945, section 4.2).
func (rec *record) parse(msg []byte, start, data, end int) (err error) {
	rec.start = start
	if rec.name.n, _, err = rr.UnpackNameInto(msg, start, &rec.name.buf); err != nil {
		return errRData
	}
	class, ttl := binary.BigEndian.Uint16(msg[data+2:]), binary.BigEndian.Uint32(msg[data+4:])
	if class != dns.ClassANY || ttl != 0 {
		return errRData
	}
	off := data + 10
	next := 0
	rec.alg.n, next, err = rr.UnpackNameInto(msg[:end], off, &rec.alg.buf)
	if err != nil || next != off+rec.alg.n { // never compressed
		return errRData
	}
	d := msg[next:end]
	if len(d) < 10 {
		return errRData
	}
	rec.time = uint48(d)
	rec.fudge = binary.BigEndian.Uint16(d[6:])
	size := int(binary.BigEndian.Uint16(d[8:]))
	if d = d[10:]; len(d) < size+6 {
		return errRData
	}
	rec.mac, d = d[:size:size], d[size:]
	rec.original = binary.BigEndian.Uint16(d)
	rec.err = binary.BigEndian.Uint16(d[2:])
	if int(binary.BigEndian.Uint16(d[4:])) != len(d)-6 {
		return errRData
	}
	rec.other = d[6:len(d):len(d)]
	return nil
}

// recordSize is what appendRecord will add.
func recordSize(name, alg rr.Name, mac, other int) int {
	return len(name) + 10 + len(alg) + 10 + mac + 6 + other
}

// appendRecord adds a TSIG record to a message and counts it. The message's
// own ID becomes the Original ID.
func appendRecord(msg []byte, name, alg rr.Name, mac []byte, v variables) []byte {
	id := binary.BigEndian.Uint16(msg)
	msg = append(msg, name...)
	msg = binary.BigEndian.AppendUint16(msg, dns.TypeTSIG)
	msg = binary.BigEndian.AppendUint16(msg, dns.ClassANY)
	msg = binary.BigEndian.AppendUint32(msg, 0)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(alg)+10+len(mac)+6+len(v.other)))
	msg = append(msg, alg...)
	msg = appendUint48(msg, v.time)
	msg = binary.BigEndian.AppendUint16(msg, v.fudge)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(mac)))
	msg = append(msg, mac...)
	msg = binary.BigEndian.AppendUint16(msg, id)
	msg = binary.BigEndian.AppendUint16(msg, v.err)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(v.other)))
	msg = append(msg, v.other...)
	binary.BigEndian.PutUint16(msg[10:], binary.BigEndian.Uint16(msg[10:])+1)
	return msg
}

func uint48(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

func appendUint48(b []byte, v uint64) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(v>>32))
	return binary.BigEndian.AppendUint32(b, uint32(v))
}
