package dnsserver

import (
	"encoding/binary"
	"errors"
	"os"
	"time"
)

// writeAll writes replies and the messages of transfers until everything is answered after the reader
// has ended, or the connection is closed.
func (c *conn) writeAll() {
	var frames []byte
	defer func() { c.endWriting(frames) }()
	for {
		var done []*pendingUpdate
		var ended bool
		frames, done, ended = c.takeDue(frames)
		if len(frames) == 0 && len(done) == 0 {
			if ended {
				return
			}
			var ok bool
			if frames, ok = c.awaitWork(frames); !ok {
				return
			}
			continue
		}
		frames = c.finishAll(frames, done)
		if !c.write(frames) {
			return
		}
		// Replies that keep coming must not starve a transfer.
		select {
		case msg := <-c.stream:
			if frames = c.takeStream(frames, msg); !c.write(frames) {
				return
			}
		default:
		}
	}
}

// keepBuffers is what an idle connection may keep for its next replies, in octets.
const keepBuffers = 16 << 10

// takeDue takes what is due and leaves an empty buffer in its place. ended says that nothing will come
// any more.
func (c *conn) takeDue(empty []byte) (out []byte, done []*pendingUpdate, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out, done = c.mu.out, c.mu.done
	inFlight := c.inFlight.Load()
	if len(out) == 0 && inFlight == 0 && cap(out)+cap(empty) > keepBuffers {
		freeFrames(out) // going to sleep
		freeFrames(empty)
		out, empty = nil, nil
	}
	c.mu.out, c.mu.done = empty[:0], nil
	c.mu.room.Broadcast()
	return out, done, c.mu.closed || c.mu.readEnded && inFlight == 0
}

// awaitWork sleeps until there is something to write, and writes it if it is a transfer's message.
func (c *conn) awaitWork(frames []byte) ([]byte, bool) {
	select {
	case <-c.wake:
		return frames, true
	case msg := <-c.stream:
		frames = c.takeStream(frames, msg)
		return frames, c.write(frames)
	case <-c.gone:
		return frames, false
	}
}

// takeStream frames a message of a transfer and lets the transfer go on.
func (c *conn) takeStream(frames, msg []byte) []byte {
	frames = appendFrame(frames[:0], msg)
	c.taken <- struct{}{}
	return frames
}

// finishAll appends the replies to finished updates.
func (c *conn) finishAll(frames []byte, done []*pendingUpdate) []byte {
	if len(done) == 0 {
		return frames
	}
	w := c.s.workers.get()
	defer c.s.workers.put(w)
	for _, u := range done {
		if reply := c.s.finishUpdate(w, u); reply != nil {
			c.s.tapReply(reply, &u.from, u.arrived)
			frames = appendFrame(frames, reply)
		}
		c.landed()
	}
	return frames
}

func appendFrame(frames, msg []byte) []byte {
	frames = roomFor(frames, len(frames)+frameLen+len(msg))
	frames = binary.BigEndian.AppendUint16(frames, uint16(len(msg)))
	return append(frames, msg...)
}

// write writes whole frames at once (RFC 7766, section 8); false when the peer is gone or too slow.
func (c *conn) write(frames []byte) bool {
	c.nc.SetWriteDeadline(time.Now().Add(c.s.conf().Limits.TCPWrite))
	c.moved.Store(time.Now().UnixNano()) // the peer has not had the time to be stuck
	c.writing.Store(true)
	_, err := c.nc.Write(frames)
	c.moved.Store(time.Now().UnixNano())
	c.writing.Store(false)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.s.Counters.TCPStalled.Add(1)
		c.s.Counters.Limits.Hit(LimitTCPWrite)
	}
	return err == nil
}

// endWriting closes the connection and accounts for the updates whose replies have no way back.
func (c *conn) endWriting(frames []byte) {
	c.close()
	c.mu.Lock()
	done := c.mu.done
	freeFrames(c.mu.out)
	c.mu.out, c.mu.done = nil, nil
	c.mu.Unlock()
	freeFrames(frames)
	for _, u := range done {
		c.landed()
		c.s.late.put(u)
	}
}
