package sig0

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
	errMisplaced = errors.New("SIG(0) is not the last additional record")
	errBoth      = errors.New("message has a SIG(0) and a TSIG")
	errRData     = errors.New("SIG(0) record is not well-formed")
)

// Record is the SIG(0) of a message (RFC 2931, section 3). It refers to the
// message, which must stay as it is while the Record is in use. Nothing that
// it says is true before Verify.
type Record struct {
	Signer     rr.Name // owner of the KEY record, in the case in which it was sent
	Algorithm  uint8   // of the signature (RFC 8624, section 3.1)
	KeyTag     uint16  // of the KEY record (RFC 4034, appendix B)
	Inception  uint32  // seconds since 1970 modulo 2^32 (RFC 4034, section 3.1.5)
	Expiration uint32

	msg       []byte
	start     int // offset of the record
	data      int // offset of its rdata
	signature []byte
}

// fixedSize is the octets of rdata before the signer's name (RFC 2535,
// section 4.1).
const fixedSize = 18

// Find looks for the SIG(0) of a request by walking over its records, without
// reading them. It returns nil, nil for a message without one. Every error is
// an *Error of FORMERR: the message cannot be walked, octets follow the last
// record, or there is a SIG(0) that is not well-formed, beside a TSIG, or
// anywhere but at the end (RFC 2931, sections 3 and 3.1).
func Find(msg []byte) (*Record, error) {
	at, err := find(msg)
	if err != nil {
		return nil, malformed(err)
	}
	if at.start == 0 {
		return nil, nil
	}
	r := &Record{msg: msg, start: at.start}
	if err := r.parse(at.fields); err != nil {
		return nil, malformed(err)
	}
	return r, nil
}

// place is where a record and its type field are; zero when there is none.
type place struct{ start, fields int }

func find(msg []byte) (at place, err error) {
	off, ok := rr.SkipQuestions(msg)
	if !ok {
		return at, errShort
	}
	additional := int(binary.BigEndian.Uint16(msg[10:]))
	records := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:])) + additional
	misplaced, tsig := false, false
	for i := range records {
		fields, end, ok := rr.SkipRecord(msg, off)
		if !ok {
			return at, errShort
		}
		switch binary.BigEndian.Uint16(msg[fields:]) {
		case dns.TypeTSIG:
			tsig = true
		case dns.TypeSIG:
			if !isSIG0(msg[fields+10:end], i >= records-additional) {
				break
			}
			misplaced = misplaced || i != records-1 || additional == 0
			at = place{start: off, fields: fields}
		}
		off = end
	}
	switch {
	case off != len(msg):
		// They would be covered by no signature.
		return at, errTrailing
	case at.start != 0 && tsig:
		return at, errBoth
	case misplaced:
		return at, errMisplaced
	}
	return at, nil
}

// isSIG0 tells a SIG(0) from a SIG of data by TYPE COVERED. An update that
// deletes SIG records has some without rdata (RFC 2136, section 2.5.2); an
// additional record must have it.
func isSIG0(rdata []byte, additional bool) bool {
	if len(rdata) < 2 {
		return additional
	}
	return rdata[0] == 0 && rdata[1] == 0
}

// parse reads the record whose type field is at fields (RFC 2535, section 4.1).
// Its owner, class and TTL have no meaning (RFC 2931, section 3). The signer's
// name may be compressed (RFC 2535, section 4.1.7), and SRP clients do so.
func (r *Record) parse(fields int) (err error) {
	r.data = fields + 10
	if len(r.msg) < r.data+fixedSize {
		return errRData
	}
	d := r.msg[r.data:]
	r.Algorithm = d[2]
	r.Expiration = binary.BigEndian.Uint32(d[8:])
	r.Inception = binary.BigEndian.Uint32(d[12:])
	r.KeyTag = binary.BigEndian.Uint16(d[16:])
	next := 0
	if r.Signer, next, err = rr.UnpackName(r.msg, r.data+fixedSize); err != nil {
		return errRData
	}
	r.signature = r.msg[next:]
	return nil
}

// Octets is the whole record as it stands in the message.
func (r *Record) Octets() []byte { return r.msg[r.start:] }

// signed gives what the signature is made of: the rdata without the signature,
// the signer's name uncompressed, and the message as it was before the record
// was added to it (RFC 2931, section 3.1).
func (r *Record) signed() []byte {
	b := make([]byte, 0, fixedSize+len(r.Signer)+r.start)
	b = append(b, r.msg[r.data:r.data+fixedSize]...)
	b = append(b, r.Signer...)
	head := len(b)
	b = append(b, r.msg[:r.start]...)
	binary.BigEndian.PutUint16(b[head+10:], binary.BigEndian.Uint16(b[head+10:])-1)
	return b
}
