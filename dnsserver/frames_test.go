package dnsserver

import (
	"bytes"
	"testing"
)

// TestFramesKeepTheirContent lets frames grow through all sizes of buffers, and use those again that others left.
func TestFramesKeepTheirContent(t *testing.T) {
	for range 3 {
		var frames, want []byte
		for _, size := range []int{0, 12, 500, 3500, 3600, 30_000, 6_000, 30_000, maxMessage} {
			msg := bytes.Repeat([]byte{byte(len(want) + size)}, size)
			want = append(append(want, byte(size>>8), byte(size)), msg...)
			if frames = appendFrame(frames, msg); !bytes.Equal(frames, want) {
				t.Fatalf("a message of %d octets behind %d others", size, len(want)-size-frameLen)
			}
		}
		freeFrames(frames)
		large := appendFrame(nil, make([]byte, maxMessage))
		if cap(large) != frameBuffers[1].size {
			t.Errorf("the longest message is in a buffer of %d octets, which nobody uses again", cap(large))
		}
		freeFrames(large)
		some := appendFrame(make([]byte, 0, 100), make([]byte, maxQueued))
		if cap(some) != frameBuffers[0].size {
			t.Errorf("what may wait is in a buffer of %d octets, which nobody uses again", cap(some))
		}
		freeFrames(some)
	}
}
