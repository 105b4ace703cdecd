package dnsserver

import (
	"bytes"
	"testing"
)

// TestFramesKeepTheirContent lets the frames of two connections grow through all sizes of buffers in turns, and use those
// again that others left.
func TestFramesKeepTheirContent(t *testing.T) {
	for range 3 {
		var frames, want [2][]byte
		for i, size := range []int{0, 12, 500, 3500, 3600, 30_000, 6_000, 30_000, maxMessage} {
			for c := range frames {
				msg := bytes.Repeat([]byte{byte(i<<1 | c)}, size)
				want[c] = append(append(want[c], byte(size>>8), byte(size)), msg...)
				frames[c] = appendFrame(frames[c], msg)
			}
			for c := range frames {
				if !bytes.Equal(frames[c], want[c]) {
					t.Fatalf("connection %d: a message of %d octets behind %d others", c, size, len(want[c])-size-frameLen)
				}
			}
		}
		for c := range frames {
			freeFrames(frames[c])
		}
		large := appendFrame(nil, make([]byte, maxMessage))
		if cap(large) != frameBuffers[1].size {
			t.Errorf("the longest message is in a buffer of %d octets, which nobody uses again", cap(large))
		}
		some := appendFrame(make([]byte, 0, 100), make([]byte, maxQueued))
		if cap(some) != frameBuffers[0].size {
			t.Errorf("what may wait is in a buffer of %d octets, which nobody uses again", cap(some))
		}
		freeFrames(large)
		freeFrames(some)
	}
}
