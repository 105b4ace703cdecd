package rr

import (
	"encoding/binary"
	"fmt"

	"github.com/miekg/dns"
)

// RR is one resource record of class IN. Data is uncompressed wire form.
type RR struct {
	Owner Name
	Type  uint16
	TTL   uint32 // seconds
	Data  string
}

// RRset is all records of one owner and type; they share one TTL
// (RFC 2181, section 5.2). Data is treated as immutable: a change makes a new
// slice.
type RRset struct {
	Type uint16
	TTL  uint32 // seconds
	Data []string
}

// Octets is an RRset with its owner as it stands in the memory of whoever hands
// it out, valid until the next one is: it costs no allocation.
type Octets struct {
	Owner []byte // in wire form, in the case as entered
	Type  uint16
	TTL   uint32 // seconds
	Data  [][]byte
}

// Clone gives what can be kept.
func (o *Octets) Clone() (Name, RRset) {
	data := make([]string, len(o.Data))
	for i, d := range o.Data {
		data[i] = string(d)
	}
	return Name(o.Owner), RRset{Type: o.Type, TTL: o.TTL, Data: data}
}

// Contains tells whether data is in the set, compared as EqualData does.
func (s RRset) Contains(data string) bool { return s.Index(data) >= 0 }

// Index is the place of data in the set, or -1.
func (s RRset) Index(data string) int {
	for i, d := range s.Data {
		if EqualData(s.Type, d, data) {
			return i
		}
	}
	return -1
}

// Equal compares two RRsets as sets, TTL included, rdata by EqualData.
func (s RRset) Equal(o RRset) bool {
	if s.Type != o.Type || s.TTL != o.TTL || len(s.Data) != len(o.Data) {
		return false
	}
	missing := false
	o.EachMissing(s, func(string) { missing = true })
	return !missing
}

// EachMissing calls f for each rdata of o that s does not have. It takes time
// in proportion to both, also for thousands of records.
func (s RRset) EachMissing(o RRset, f func(data string)) {
	const few = 16
	if len(s.Data) <= few || len(o.Data) <= few {
		for _, d := range o.Data {
			if !s.Contains(d) {
				f(d)
			}
		}
		return
	}
	have := make(map[string]bool, len(s.Data))
	for _, d := range s.Data {
		have[CanonicalData(s.Type, d)] = true
	}
	for _, d := range o.Data {
		if !have[CanonicalData(s.Type, d)] {
			f(d)
		}
	}
}

// String gives the record as a line of a master file.
func (r RR) String() string {
	m, err := r.Miekg()
	if err != nil {
		return fmt.Sprintf("%s\t%d\tIN\t%s\t\\# %d %x", r.Owner, r.TTL, TypeString(r.Type), len(r.Data), r.Data)
	}
	return m.String()
}

// Miekg converts to github.com/miekg/dns.
func (r RR) Miekg() (dns.RR, error) {
	m, _, err := dns.UnpackRR(packRR(r.Owner, r.Type, dns.ClassINET, r.TTL, r.Data), 0)
	return m, err
}

// FromMiekg converts from github.com/miekg/dns; the class is dropped.
func FromMiekg(m dns.RR) (RR, error) {
	buf := make([]byte, dns.Len(m)+64)
	n, err := dns.PackRR(m, buf, 0, nil, false)
	if err != nil {
		return RR{}, fmt.Errorf("pack %s: %w", m.Header().Name, err)
	}
	owner, off, err := UnpackName(buf[:n], 0)
	if err != nil {
		return RR{}, err
	}
	if off+10 > n {
		return RR{}, ErrRData
	}
	return RR{Owner: owner, Type: m.Header().Rrtype, TTL: m.Header().Ttl, Data: string(buf[off+10 : n])}, nil
}

// SOA is the part of an SOA record's data that the server works with
// (RFC 1035, section 3.3.13). Times are seconds.
type SOA struct {
	MName, RName                            Name
	Serial, Refresh, Retry, Expire, Minimum uint32
}

// ParseSOA reads the data of an SOA record.
func ParseSOA(data string) (SOA, error) {
	spans, n, _ := NamesIn(dns.TypeSOA, data)
	if n != 2 || len(data) != spans[1][1]+20 {
		return SOA{}, fmt.Errorf("SOA: %w", ErrRData)
	}
	u := func(i int) uint32 { return binary.BigEndian.Uint32([]byte(data[spans[1][1]+4*i:])) }
	return SOA{
		MName: Name(data[:spans[0][1]]), RName: Name(data[spans[1][0]:spans[1][1]]),
		Serial: u(0), Refresh: u(1), Retry: u(2), Expire: u(3), Minimum: u(4),
	}, nil
}

// Data gives the SOA in wire form.
func (s SOA) Data() string {
	b := make([]byte, 0, len(s.MName)+len(s.RName)+20)
	b = append(append(b, s.MName...), s.RName...)
	for _, v := range [...]uint32{s.Serial, s.Refresh, s.Retry, s.Expire, s.Minimum} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return string(b)
}

// WithSerial gives the data of an SOA record with another serial.
func WithSerial(data string, serial uint32) string {
	b := []byte(data)
	if len(b) >= 20 {
		binary.BigEndian.PutUint32(b[len(b)-20:], serial)
	}
	return string(b)
}

// SerialGreater is the comparison of RFC 1982, section 3.2. A difference of
// exactly 2^31 is undefined there and false here, both ways.
func SerialGreater(a, b uint32) bool { return a != b && a-b < 1<<31 }

// NextSerial adds one and skips 0 (RFC 2136, section 4.2).
func NextSerial(s uint32) uint32 {
	if s+1 == 0 {
		return 1
	}
	return s + 1
}
