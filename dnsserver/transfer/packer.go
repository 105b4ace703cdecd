package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"time"

	"dialtone/update/tsig"
	"dialtone/zone/rr"

	"github.com/miekg/dns"
)

// packer packs records into the messages of one reply: as many into each as
// fit (RFC 5936, section 2.2), and sends a message when the next record finds
// no room in it.
//
// Measured over a zone of a million A records: messages of 16, 32 and 64 KiB
// take the same 25.0 MB, since what pointers beyond 16 KiB cannot reach is
// little beside the apex, and their times differ by no more than the noise of
// the machine. So messages are as large as can be, for the fewest system calls
// and signatures.
type packer struct {
	ctx   context.Context
	sign  *tsig.Stream
	send  func([]byte) error
	stats *Stats
	yield func()

	header   [4]byte // ID and flags
	question []byte
	opt      []byte // goes into every message; nil without EDNS
	limit    int    // octets for header, question and records
	single   bool   // only one message may be sent: UDP

	msg   []byte // its capacity is at least limit
	count int    // records in msg
	owner []byte
	names nameTable
	first bool   // the next message is the reply's first
	zone  []byte // the zone's name
	apex  int    // where the zone's name is in msg; 0 when it is nowhere yet
	owned int    // where the name is in msg whose records are being packed; 0 when it is nowhere
}

// errOverflow says that the reply does not fit its only message.
var errOverflow = errors.New("reply does not fit one message")

func newPacker(ctx context.Context, r *Request, apex rr.Name, sign *tsig.Stream, send func([]byte) error, stats *Stats, size int, opt []byte) *packer {
	p := &packer{
		ctx: ctx, sign: sign, send: send, stats: stats, yield: runtime.Gosched, question: r.Question, opt: opt, zone: []byte(apex),
		limit: size - len(opt) - sign.Overhead(), single: !r.TCP,
	}
	binary.BigEndian.PutUint16(p.header[:], r.ID)
	p.header[2] = flagQR | flagAA
	if r.RD {
		p.header[2] |= flagRD
	}
	p.first = true
	p.msg = make([]byte, 0, size)
	p.begin()
	return p
}

// Bits of the third octet of a header.
const (
	flagQR = 0x80
	flagAA = 0x04
	flagTC = 0x02
	flagRD = 0x01
)

// begin starts a message. Only the first has the question.
func (p *packer) begin() {
	p.msg = append(p.msg[:0], p.header[:]...)
	p.msg = append(p.msg, 0, 0, 0, 0, 0, 0, 0, 0)
	p.count, p.apex, p.owned = 0, 0, 0
	p.names.reset()
	if p.first {
		p.msg[5] = 1
		p.appendName(p.question[:len(p.question)-4])
		p.msg = append(p.msg, p.question[len(p.question)-4:]...)
	}
}

// record packs one record. data is uncompressed.
func (p *packer) record(owner []byte, t uint16, ttl uint32, data []byte) error {
	start := len(p.msg)
	p.appendRecord(owner, t, ttl, data)
	if len(p.msg) > p.limit {
		if p.single {
			return errOverflow
		}
		p.msg = p.msg[:start]
		if p.count == 0 {
			return ErrTooLarge
		}
		if err := p.flush(); err != nil {
			return err
		}
		p.appendRecord(owner, t, ttl, data)
		if len(p.msg) > p.limit {
			return ErrTooLarge
		}
	}
	p.count++
	return nil
}

func (p *packer) appendRecord(owner []byte, t uint16, ttl uint32, data []byte) {
	p.appendName(owner)
	p.msg = binary.BigEndian.AppendUint16(p.msg, t)
	p.msg = binary.BigEndian.AppendUint16(p.msg, dns.ClassINET)
	p.msg = binary.BigEndian.AppendUint32(p.msg, ttl)
	p.msg = append(p.msg, 0, 0)
	start := len(p.msg)
	done := 0
	if rr.Compressed(t) {
		spans, n, _ := rr.NamesIn(t, data)
		for _, s := range spans[:n] {
			p.msg = append(p.msg, data[done:s[0]]...)
			p.appendName(data[s[0]:s[1]])
			done = s[1]
		}
	}
	p.msg = append(p.msg, data[done:]...)
	binary.BigEndian.PutUint16(p.msg[start-2:], uint16(len(p.msg)-start))
}

// flush sends the message and starts the next one.
func (p *packer) flush() error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	binary.BigEndian.PutUint16(p.msg[6:], uint16(p.count))
	if p.opt != nil {
		p.msg = append(p.msg, p.opt...)
		p.msg[11] = 1
	}
	p.msg = p.sign.Sign(p.msg, time.Now())
	if err := p.send(p.msg); err != nil {
		return err
	}
	p.stats.Messages++
	p.stats.Records += p.count
	p.stats.Octets += int64(len(p.msg))
	p.first = false
	p.begin()
	p.yield()
	return nil
}

// fail ends a reply that cannot go on (RFC 5936, section 2.2): one message
// with the question and the RCODE.
func (p *packer) fail(rcode byte) error {
	p.header[3] = rcode
	p.first = true
	p.begin()
	return p.flush()
}

// truncate sends the question alone with TC set.
func (p *packer) truncate() error {
	p.header[2] |= flagTC
	p.begin()
	return p.flush()
}

// nameTable finds names that a message has already. Names are compared octet
// by octet, because a copy of a zone must keep the case of its names
// (RFC 5936, section 3.4).
//
// The first name in a slot stays: these are the apex and what is near it,
// which later names can use most, and pointers cannot reach behind the first
// 16 KiB anyway.
type nameTable struct {
	slots  [1024]uint32 // offset in the low 16 bits, some of the hash above
	starts [rr.MaxLabels + 1]uint8
	hashes [rr.MaxLabels + 1]uint32
}

// A pointer has its two upper bits set (RFC 1035, section 4.1.4).
const (
	pointer    = 0xC000
	maxPointer = 0x3FFF
)

func (t *nameTable) reset() { clear(t.slots[:]) }

// find gives the offset of what may be the name with hash h, or 0.
func (t *nameTable) find(h uint32) int {
	if s := t.slots[h%uint32(len(t.slots))]; s>>16 == h>>16 {
		return int(s & 0xFFFF)
	}
	return 0
}

func (t *nameTable) put(h uint32, off int) {
	if s := &t.slots[h%uint32(len(t.slots))]; *s == 0 && off <= maxPointer {
		*s = h&0xFFFF0000 | uint32(off)
	}
}

// hash notes where the labels of a name start, and the hashes of its suffixes.
func (t *nameTable) hash(name []byte) (labels int) {
	n := 0
	for i := 0; name[i] != 0; i += int(name[i]) + 1 {
		t.starts[n] = uint8(i)
		n++
	}
	h := uint32(2166136261)
	for k := n - 1; k >= 0; k-- {
		start := int(t.starts[k])
		for _, c := range name[start : start+1+int(name[start])] {
			h = (h ^ uint32(c)) * 16777619
		}
		h ^= h >> 15
		t.hashes[k] = h
	}
	return n
}

// appendName writes a name, its longest known suffix as a pointer. The zone's
// own name is known even when another name has its slot in the table, as one in a
// thousand has: such a message would hold a quarter less.
func (p *packer) appendName(name []byte) {
	t := &p.names
	n := t.hash(name)
	apex := -1
	if bytes.HasSuffix(name, p.zone) {
		apex = len(name) - len(p.zone)
	}
	base := len(p.msg)
	for k := range n {
		start := int(t.starts[k])
		off := t.find(t.hashes[k])
		if off != 0 && !sameName(p.msg, off, name[start:]) {
			off = 0
		}
		if off == 0 && start == apex {
			off = p.apex
		}
		if off != 0 {
			p.msg = append(p.msg, name[:start]...)
			p.msg = binary.BigEndian.AppendUint16(p.msg, pointer|uint16(off))
			return
		}
		t.put(t.hashes[k], base+start)
		if start == apex && base+start <= maxPointer {
			p.apex = base + start
		}
	}
	p.msg = append(p.msg, name...)
}

// sameName compares a name in the message with one that is written out.
func sameName(msg []byte, off int, name []byte) bool {
	for off < len(msg) {
		c := msg[off]
		if c >= 0xC0 {
			off = int(c&0x3F)<<8 | int(msg[off+1])
			continue
		}
		n := int(c) + 1
		if len(name) < n || string(msg[off:off+n]) != string(name[:n]) {
			return false
		}
		if c == 0 {
			return true
		}
		off, name = off+n, name[n:]
	}
	return false
}
