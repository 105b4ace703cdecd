//go:build linux

package load

import (
	"encoding/binary"
	"time"
)

// flight is the window of one socket: a slot for each query on its way. The low bits of an ID are its slot, the others count,
// so that a reply that comes after its time is not taken for another's.
type flight struct {
	socket *socket
	slots  []slot
	free   []uint8 // a stack
}

type slot struct {
	id   uint16
	busy bool
	sent time.Duration
}

func newFlight(s *socket, window int) *flight {
	f := &flight{socket: s, slots: make([]slot, window)}
	for i := range f.slots {
		f.slots[i].id = uint16(i)
		f.free = append(f.free, uint8(i))
	}
	return f
}

func (f *flight) waiting() int { return len(f.slots) - len(f.free) }

// peek gives the ID of the i-th query to leave next.
func (f *flight) peek(i int) uint16 { return f.slots[f.free[len(f.free)-1-i]].id }

// leave notes that the next n queries are on their way.
func (f *flight) leave(n int, now time.Duration) {
	for range n {
		last := len(f.free) - 1
		s := &f.slots[f.free[last]]
		s.busy, s.sent = true, now
		f.free = f.free[:last]
	}
}

// land frees the slot of a reply, and tells when its request left. It is not ok when the reply is nobody's.
func (f *flight) land(reply []byte) (rcode int, sent time.Duration, ok bool) {
	if len(reply) < headerLen || reply[2]&0x80 == 0 {
		return 0, 0, false
	}
	id := binary.BigEndian.Uint16(reply)
	i := int(id % batchLen)
	if i >= len(f.slots) || f.slots[i].id != id || !f.slots[i].busy {
		return 0, 0, false
	}
	f.release(i)
	return int(reply[3] & 15), f.slots[i].sent, true
}

func (f *flight) release(i int) {
	f.slots[i].busy = false
	f.slots[i].id += batchLen
	f.free = append(f.free, uint8(i))
}

// expire frees the slots of what left before a time.
func (f *flight) expire(before time.Duration) (lost int) {
	for i := range f.slots {
		if f.slots[i].busy && f.slots[i].sent <= before {
			f.release(i)
			lost++
		}
	}
	return lost
}
