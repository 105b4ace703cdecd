package transfer

import (
	"encoding/binary"

	"dialtone/zone"
	"dialtone/zone/rr"

	"github.com/miekg/dns"
)

// recordHead is what stands between owner and rdata, in octets.
const recordHead = 10

// node packs all records of one name but the SOA, which stands at both ends.
func (p *packer) node(n zone.Node) error {
	owner := n.Owner()
	near := len(owner) > 0 && int(owner[0])+1 == len(owner)
	p.owned = 0
	sets := n.Sets()
	for set, ok := sets.Next(); ok; set, ok = sets.Next() {
		t, ttl := set.Type(), set.TTL()
		if t == dns.TypeSOA {
			continue
		}
		plain := near && !rr.Compressed(t)
		all := set.Data()
		for data, ok := all.Next(); ok; data, ok = all.Next() {
			if plain && p.below(owner, t, ttl, data) {
				continue
			}
			p.owner = append(append(p.owner[:0], owner...), p.zone...)
			if err := p.record(p.owner, t, ttl, data); err != nil {
				return err
			}
		}
	}
	return nil
}

// below packs a record that is like nearly all of a zone of numbers: its owner
// is one label below the apex, and nothing in its rdata is compressed. Then
// the owner is that label and a pointer to the apex, and for the second record
// of a name a pointer alone: no table of names is asked, and none is told. It
// does nothing and gives false when the message has no room, or the apex is
// nowhere in it yet: the general way begins a message and puts it there.
//
// Measured over a million numbers with an address each: a third of the time of
// the general way.
func (p *packer) below(label []byte, t uint16, ttl uint32, data []byte) bool {
	start := len(p.msg)
	room := p.limit - start - len(label) - 2 - recordHead - len(data)
	if p.apex == 0 || room < 0 {
		return false
	}
	b := p.msg[start:p.limit]
	if p.owned != 0 {
		binary.BigEndian.PutUint16(b, pointer|uint16(p.owned))
		b = b[2:]
	} else {
		n := copy(b, label)
		binary.BigEndian.PutUint16(b[n:], pointer|uint16(p.apex))
		b = b[n+2:]
		if start <= maxPointer {
			p.owned = start
		}
	}
	h := b[:recordHead+len(data)]
	binary.BigEndian.PutUint32(h, uint32(t)<<16|dns.ClassINET)
	binary.BigEndian.PutUint32(h[4:], ttl)
	binary.BigEndian.PutUint16(h[8:], uint16(len(data)))
	copy(h[recordHead:], data)
	p.msg = p.msg[:p.limit-len(b)+len(h)]
	p.count++
	return true
}
