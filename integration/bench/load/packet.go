package load

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Types and classes that the loads use.
const (
	TypeA    = 1
	TypeSOA  = 6
	TypeAAAA = 28
	typeOPT  = 41
	typeTSIG = 250
	TypeIXFR = 251
	TypeAXFR = 252

	classIN  = 1
	classANY = 255
)

const headerLen = 12

// Question is one query: a number of the zone and a type.
type Question struct {
	Number int
	Type   uint16
}

// Packets are queries in wire form, one behind the other, all of one length: so that many of them leave in one system call.
type Packets struct {
	data []byte
	size int
}

// NewPackets builds the queries. Options, when not nil, is the data of an OPT record: the queries have EDNS then.
func NewPackets(zone string, questions []Question, options []byte) (*Packets, error) {
	p := &Packets{}
	for _, q := range questions {
		m, err := Query(strconv.Itoa(q.Number)+"."+zone, q.Type, options)
		if err != nil {
			return nil, err
		}
		if p.size == 0 {
			p.size = len(m)
			p.data = make([]byte, 0, len(m)*len(questions))
		}
		if len(m) != p.size {
			return nil, fmt.Errorf("the query for %d has %d octets, the others %d: all numbers need as many digits", q.Number, len(m), p.size)
		}
		p.data = append(p.data, m...)
	}
	if p.size == 0 {
		return nil, fmt.Errorf("no queries to send")
	}
	return p, nil
}

// Len is the number of queries.
func (p *Packets) Len() int { return len(p.data) / p.size }

// at gives query i.
func (p *Packets) at(i int) []byte { return p.data[i*p.size : (i+1)*p.size] }

// Query builds one query. The ID is 0.
func Query(name string, qtype uint16, options []byte) ([]byte, error) {
	m := make([]byte, headerLen, 80)
	binary.BigEndian.PutUint16(m[4:], 1)
	m, err := appendName(m, name)
	if err != nil {
		return nil, err
	}
	m = binary.BigEndian.AppendUint16(m, qtype)
	m = binary.BigEndian.AppendUint16(m, classIN)
	if options == nil {
		return m, nil
	}
	binary.BigEndian.PutUint16(m[10:], 1)
	m = append(m, 0)
	m = binary.BigEndian.AppendUint16(m, typeOPT)
	m = binary.BigEndian.AppendUint16(m, 1232)
	m = binary.BigEndian.AppendUint32(m, 0)
	m = binary.BigEndian.AppendUint16(m, uint16(len(options)))
	return append(m, options...), nil
}

// TransferQuery builds a query for AXFR, or for IXFR from the serial given.
func TransferQuery(zone string, qtype uint16, serial uint32) ([]byte, error) {
	m, err := Query(zone, qtype, nil)
	if err != nil || qtype != TypeIXFR {
		return m, err
	}
	binary.BigEndian.PutUint16(m[8:], 1)
	m = append(m, 0xc0, headerLen)
	m = binary.BigEndian.AppendUint16(m, TypeSOA)
	m = binary.BigEndian.AppendUint16(m, classIN)
	m = binary.BigEndian.AppendUint32(m, 0)
	m = binary.BigEndian.AppendUint16(m, 2+5*4)
	m = append(m, 0, 0)
	m = binary.BigEndian.AppendUint32(m, serial)
	return append(m, make([]byte, 4*4)...), nil
}

// appendName appends a name without escapes in wire form.
func appendName(b []byte, name string) ([]byte, error) {
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 {
			return nil, fmt.Errorf("%q is no name that a load can use", name)
		}
		b = append(b, byte(len(label)))
		b = append(b, label...)
	}
	return append(b, 0), nil
}
