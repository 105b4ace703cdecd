package tsig

import (
	"encoding/binary"
	"hash"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// mac computes one MAC at a time; it is pooled per key in the ring, because
// setting up an HMAC costs more than hashing a small message.
type mac struct {
	hash    hash.Hash
	scratch []byte
	sum     [maxDigest]byte
}

// digest is what a MAC is made of, in the order of RFC 8945, section 4.3.
type digest struct {
	prior   []byte // MAC of the request or of the message before; nil for a request
	msg     []byte // message without its TSIG
	id      uint16 // Original ID
	arcount uint16 // without the TSIG
	timers  bool   // only the timers of the variables (RFC 8945, section 5.3.1)
	variables
}

// of gives the full MAC of d. It is valid until m is used again.
func (m *mac) of(k *key, d *digest) []byte {
	m.hash.Reset()
	b := m.scratch[:0]
	if d.prior != nil {
		b = binary.BigEndian.AppendUint16(b, uint16(len(d.prior)))
		b = append(b, d.prior...)
	}
	// The header as it was before the TSIG was added (RFC 8945, section
	// 4.3.2); the message itself stays as it is.
	b = binary.BigEndian.AppendUint16(b, d.id)
	b = append(b, d.msg[2:10]...)
	b = binary.BigEndian.AppendUint16(b, d.arcount)
	m.hash.Write(b)
	m.hash.Write(d.msg[rr.HeaderSize:])

	b = b[:0]
	if !d.timers {
		b = append(b, k.canonical...)
		b = binary.BigEndian.AppendUint16(b, dns.ClassANY)
		b = binary.BigEndian.AppendUint32(b, 0) // TTL
		b = append(b, k.algorithm.wire()...)
	}
	b = appendUint48(b, d.time)
	b = binary.BigEndian.AppendUint16(b, d.fudge)
	if !d.timers {
		b = binary.BigEndian.AppendUint16(b, d.err)
		b = binary.BigEndian.AppendUint16(b, uint16(len(d.other)))
		b = append(b, d.other...)
	}
	m.hash.Write(b)
	m.scratch = b
	return m.hash.Sum(m.sum[:0])
}

func (k *key) borrow() *mac {
	if k.macs == nil {
		return k.newMAC()
	}
	return k.macs.Get().(*mac)
}

func (k *key) giveBack(m *mac) {
	if k.macs != nil {
		k.macs.Put(m)
	}
}
