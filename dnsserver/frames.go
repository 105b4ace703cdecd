package dnsserver

import "sync"

// frameBuffers are buffers of replies that connections leave, for others to use. Without them a flood of connections
// that ask for much and end at once has the garbage collector at work all the time, and everybody waits for it.
var frameBuffers = [...]struct {
	size int
	free *sync.Pool
}{
	{maxQueued + 8<<10, new(sync.Pool)},         // what may wait, and a long reply behind it
	{frameLen + maxMessage + 1, new(sync.Pool)}, // a message of a transfer
}

// smallFrames is how large a buffer becomes of its own, in octets. Most connections need no more.
const smallFrames = 4 << 10

// roomFor gives frames in a buffer that has room for n octets.
func roomFor(frames []byte, n int) []byte {
	if n <= cap(frames) || n <= smallFrames {
		return frames
	}
	for _, b := range frameBuffers {
		if n > b.size {
			continue
		}
		var larger []byte
		if had, ok := b.free.Get().(*[]byte); ok {
			larger = (*had)[:len(frames)]
		} else {
			larger = make([]byte, len(frames), b.size)
		}
		copy(larger, frames)
		freeFrames(frames)
		return larger
	}
	return frames
}

// freeFrames gives back a buffer that nobody uses any more.
func freeFrames(frames []byte) {
	for _, b := range frameBuffers {
		if cap(frames) == b.size {
			left := frames // or each call would allocate, whatever it does
			b.free.Put(&left)
		}
	}
}
