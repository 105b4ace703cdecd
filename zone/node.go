package zone

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
	"dialtone/zone/table"
)

// The body of a node is its RRsets by ascending type, each
//
//	type u16, TTL u32, count u16, octets of the records u32, then for each
//	record: length u16, rdata
//
// in network byte order. A node without RRsets is an empty non-terminal.
const setHeader = 12

// Flags of a node that the walk down from the apex stops at.
const (
	flagCut   = 0x01 // NS below the apex
	flagDNAME = 0x02
)

// Node is a name with its RRsets; without any it is an empty non-terminal.
// It is valid until its reader's End.
type Node struct{ n table.Node }

// Owner gives the labels below the apex in the case as entered, without a
// root label; empty at the apex.
func (n Node) Owner() []byte { return n.n.Name() }

// Find gives the RRset of a type.
func (n Node) Find(t uint16) (Set, bool) {
	c := n.Sets()
	for s, ok := c.Next(); ok; s, ok = c.Next() {
		if u := s.Type(); u >= t {
			return s, u == t
		}
	}
	return Set{}, false
}

// Sets walks the RRsets by ascending type.
func (n Node) Sets() SetCursor {
	if n.n.IsZero() {
		return SetCursor{}
	}
	return SetCursor{n.n.Body()}
}

// SetCursor walks RRsets: for s, ok := c.Next(); ok; s, ok = c.Next() {...}
type SetCursor struct{ b []byte }

// Next gives the next RRset; false behind the last.
func (c *SetCursor) Next() (Set, bool) {
	if len(c.b) < setHeader {
		return Set{}, false
	}
	n := setHeader + int(binary.BigEndian.Uint32(c.b[8:]))
	s := Set{c.b[:n]}
	c.b = c.b[n:]
	return s, true
}

// Set is one RRset in zone memory, valid until its reader's End.
type Set struct{ b []byte }

// IsZero tells the Set that is none.
func (s Set) IsZero() bool { return s.b == nil }

// Type of the records.
func (s Set) Type() uint16 { return binary.BigEndian.Uint16(s.b) }

// TTL in seconds.
func (s Set) TTL() uint32 { return binary.BigEndian.Uint32(s.b[2:]) }

// Count of the records; at least 1.
func (s Set) Count() int { return int(binary.BigEndian.Uint16(s.b[6:])) }

// Octets is about what the records take in a message.
func (s Set) Octets() int { return len(s.b) - setHeader + 10*s.Count() }

// Data walks the records' rdata.
func (s Set) Data() DataCursor { return DataCursor{s.b[setHeader:]} }

// DataCursor walks rdata in uncompressed wire form.
type DataCursor struct{ b []byte }

// Next gives the next rdata; false behind the last.
func (c *DataCursor) Next() ([]byte, bool) {
	if len(c.b) < 2 {
		return nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(c.b))
	d := c.b[2:n:n]
	c.b = c.b[n:]
	return d, true
}

// appendBody encodes RRsets, which are in ascending order of type.
func appendBody(b []byte, sets []rr.RRset) []byte {
	for _, s := range sets {
		b = binary.BigEndian.AppendUint16(b, s.Type)
		b = binary.BigEndian.AppendUint32(b, s.TTL)
		b = binary.BigEndian.AppendUint16(b, uint16(len(s.Data)))
		octets := 2 * len(s.Data)
		for _, d := range s.Data {
			octets += len(d)
		}
		b = binary.BigEndian.AppendUint32(b, uint32(octets))
		for _, d := range s.Data {
			b = binary.BigEndian.AppendUint16(b, uint16(len(d)))
			b = append(b, d...)
		}
	}
	return b
}

// decodeNode is the inverse of appendBody.
func decodeNode(n Node) []rr.RRset {
	var sets []rr.RRset
	c := n.Sets()
	for s, ok := c.Next(); ok; s, ok = c.Next() {
		set := rr.RRset{Type: s.Type(), TTL: s.TTL(), Data: make([]string, 0, s.Count())}
		d := s.Data()
		for data, ok := d.Next(); ok; data, ok = d.Next() {
			set.Data = append(set.Data, string(data))
		}
		sets = append(sets, set)
	}
	return sets
}

func nodeFlags(apex bool, sets []rr.RRset) uint8 {
	var f uint8
	for _, s := range sets {
		f |= typeFlags(apex, s.Type)
	}
	return f
}

func typeFlags(apex bool, t uint16) uint8 {
	switch {
	case t == dns.TypeNS && !apex:
		return flagCut
	case t == dns.TypeDNAME:
		return flagDNAME
	}
	return 0
}
