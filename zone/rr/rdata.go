package rr

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// ErrRData says that rdata is not well-formed for its type.
var ErrRData = errors.New("rdata is not well-formed for its type")

// layout tells where the names stand inside the rdata of a type: skip octets
// that come first, then character strings, then names, then anything.
type layout struct {
	skip, strings, names int
	tail                 int // octets behind the names; -1 for any number
	fold                 bool
	compress             bool
}

// layouts holds the types whose rdata has names. fold: lower-cased for
// comparison (RFC 4034, section 6.2, as corrected by RFC 6840, section 5.1).
// compress: may be sent compressed, being of RFC 1035 (RFC 3597, section 4).
// All are decompressed on input.
var layouts = map[uint16]layout{
	dns.TypeNS:    {names: 1, fold: true, compress: true},
	dns.TypeMD:    {names: 1, fold: true, compress: true},
	dns.TypeMF:    {names: 1, fold: true, compress: true},
	dns.TypeCNAME: {names: 1, fold: true, compress: true},
	dns.TypeSOA:   {names: 2, tail: 20, fold: true, compress: true},
	dns.TypeMB:    {names: 1, fold: true, compress: true},
	dns.TypeMG:    {names: 1, fold: true, compress: true},
	dns.TypeMR:    {names: 1, fold: true, compress: true},
	dns.TypePTR:   {names: 1, fold: true, compress: true},
	dns.TypeMINFO: {names: 2, fold: true, compress: true},
	dns.TypeMX:    {skip: 2, names: 1, fold: true, compress: true},
	dns.TypeRP:    {names: 2, fold: true},
	dns.TypeAFSDB: {skip: 2, names: 1, fold: true},
	dns.TypeRT:    {skip: 2, names: 1, fold: true},
	dns.TypeSIG:   {skip: 18, names: 1, tail: -1, fold: true},
	dns.TypePX:    {skip: 2, names: 2, fold: true},
	dns.TypeNXT:   {names: 1, tail: -1, fold: true},
	dns.TypeNAPTR: {skip: 4, strings: 3, names: 1, fold: true},
	dns.TypeKX:    {skip: 2, names: 1, fold: true},
	dns.TypeSRV:   {skip: 6, names: 1, fold: true},
	dns.TypeDNAME: {names: 1, fold: true},
	dns.TypeRRSIG: {skip: 18, names: 1, tail: -1, fold: true},
}

// compressed has a bit for every type whose names may be compressed on output;
// all of them are below 64.
var compressed = func() (bits uint64) {
	for t, l := range layouts {
		if l.compress {
			bits |= 1 << t
		}
	}
	return bits
}()

// Compressed tells whether rdata of type t may have names that may be
// compressed on output (RFC 3597, section 4).
func Compressed(t uint16) bool { return t < 64 && compressed>>t&1 != 0 }

// NamesIn gives the spans [start, end) of the names inside well-formed,
// uncompressed rdata of type t, and whether they may be compressed on output.
// A type without names gives none.
func NamesIn[D ~string | ~[]byte](t uint16, data D) (spans [2][2]int, count int, compress bool) {
	switch t {
	case dns.TypeA, dns.TypeAAAA, dns.TypeTXT:
		return spans, 0, false
	}
	l, ok := layouts[t]
	if !ok {
		return spans, 0, false
	}
	off := l.skip
	for range l.strings {
		if off >= len(data) {
			return spans, 0, false
		}
		off += 1 + int(data[off])
	}
	for i := range l.names {
		start := off
		for off < len(data) && data[off] != 0 {
			off += 1 + int(data[off])
		}
		if off >= len(data) {
			return spans, 0, false
		}
		off++
		spans[i] = [2]int{start, off}
	}
	return spans, l.names, l.compress
}

// CanonicalData lower-cases the names inside rdata of the types of RFC 4034,
// section 6.2. Two records of one owner, class and type are the same record
// exactly when their canonical data are equal octets (RFC 2136, section
// 1.1.1). It returns data itself, and allocates nothing, when nothing is to
// be folded.
func CanonicalData(t uint16, data string) string {
	spans, n, _ := NamesIn(t, data)
	if n == 0 || !layouts[t].fold {
		return data
	}
	for i := range n {
		s := data[spans[i][0]:spans[i][1]]
		if low := lowerASCII(s); low != s {
			b := []byte(data)
			for j := range n {
				LowerBytes(b[spans[j][0]:spans[j][1]])
			}
			return string(b)
		}
	}
	return data
}

// EqualData compares rdata of one type as CanonicalData defines it.
func EqualData(t uint16, a, b string) bool {
	return a == b || len(a) == len(b) && CanonicalData(t, a) == CanonicalData(t, b)
}

// UnpackData reads the rdata at msg[off:off+length], decompresses the names in
// it and checks that it is well-formed for its type. Data of unknown types is
// taken as it is (RFC 3597, section 3).
func UnpackData(msg []byte, off, length int, t uint16) (string, error) {
	end := off + length
	if off < 0 || length < 0 || end > len(msg) {
		return "", fmt.Errorf("%w: it runs past the end of the message", ErrRData)
	}
	raw := msg[off:end]
	switch t {
	case dns.TypeA:
		if length != 4 {
			return "", fmt.Errorf("%w: A has 4 octets, not %d", ErrRData, length)
		}
		return string(raw), nil
	case dns.TypeAAAA:
		if length != 16 {
			return "", fmt.Errorf("%w: AAAA has 16 octets, not %d", ErrRData, length)
		}
		return string(raw), nil
	}
	l, ok := layouts[t]
	if !ok {
		return string(raw), ValidateData(t, string(raw))
	}
	out := make([]byte, 0, length+64)
	pos := off + l.skip
	for range l.strings {
		if pos >= end {
			return "", ErrRData
		}
		pos += 1 + int(msg[pos])
	}
	if pos > end {
		return "", ErrRData
	}
	out = append(out, msg[off:pos]...)
	var buf [MaxName]byte
	for range l.names {
		n, next, err := UnpackNameInto(msg[:end], pos, &buf)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrRData, err)
		}
		out = append(out, buf[:n]...)
		pos = next
	}
	if pos > end || l.tail >= 0 && end-pos != l.tail {
		return "", ErrRData
	}
	out = append(out, msg[pos:end]...)
	if len(out) > 65535 {
		return "", ErrRData
	}
	if l.tail < 0 || l.strings > 0 {
		return string(out), ValidateData(t, string(out))
	}
	return string(out), nil
}

// ValidateData checks uncompressed rdata of any type. Empty rdata is an error
// for all types but APL and unknown ones.
func ValidateData(t uint16, data string) error {
	if len(data) > 65535 {
		return fmt.Errorf("%w: more than 65535 octets", ErrRData)
	}
	switch t {
	case dns.TypeA:
		if len(data) != 4 {
			return ErrRData
		}
		return nil
	case dns.TypeAAAA:
		if len(data) != 16 {
			return ErrRData
		}
		return nil
	case dns.TypeTXT:
		if len(data) == 0 {
			return ErrRData
		}
		for i := 0; i < len(data); {
			if i += 1 + int(data[i]); i > len(data) {
				return ErrRData
			}
		}
		return nil
	}
	return wellFormed(t, data)
}

func packRR(owner Name, t, class uint16, ttl uint32, data string) []byte {
	b := make([]byte, 0, len(owner)+10+len(data))
	b = append(b, owner...)
	b = binary.BigEndian.AppendUint16(b, t)
	b = binary.BigEndian.AppendUint16(b, class)
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

// TypeString names a type as in a master file; TYPE123 for an unknown one
// (RFC 3597, section 5).
func TypeString(t uint16) string { return dns.Type(t).String() }

// IsMetaType tells the types that no zone can hold: OPT and 128 to 255
// (RFC 6895, section 3.1), which include TSIG, IXFR, AXFR and ANY.
func IsMetaType(t uint16) bool { return t == dns.TypeOPT || 128 <= t && t <= 255 }
