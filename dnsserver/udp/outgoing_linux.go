//go:build linux && !portable

package udp

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// outgoing is up to batchLen replies that leave with one sendmmsg. It belongs to one goroutine.
type outgoing struct {
	s      *Socket
	buf    []byte
	stride int
	n      int

	hdr [batchLen]mmsghdr
	vec [batchLen]unix.Iovec
}

func (o *outgoing) init(s *Socket) {
	o.s = s
	// An odd number of cache lines, for the same reason as inStride.
	o.stride = ((s.outSize+63)/64 | 1) * 64
	o.buf = make([]byte, batchLen*o.stride)
	for i := range batchLen {
		o.vec[i].Base = &o.buf[i*o.stride]
		h := &o.hdr[i].hdr
		h.Iov = &o.vec[i]
		h.SetIovlen(1)
	}
}

// next is the room for the next reply. There are never more than there were datagrams.
func (o *outgoing) next() []byte {
	return o.buf[o.n*o.stride : o.n*o.stride+o.s.outSize : o.n*o.stride+o.s.outSize]
}

// add takes the reply of size octets that was written to next; its header still wants an address.
func (o *outgoing) add(size int) *unix.Msghdr {
	o.vec[o.n].SetLen(size)
	o.n++
	return &o.hdr[o.n-1].hdr
}

// flush sends all replies. One that the kernel refuses (no route, a filter, port 0) is skipped.
func (o *outgoing) flush(fd uintptr) {
	for rest := o.hdr[:o.n]; len(rest) > 0; {
		sent, errno := o.s.sendAll(fd, rest)
		rest = rest[sent:]
		if errno != 0 {
			o.s.SendErrors.Add(1)
			rest = rest[1:]
		}
	}
	o.n = 0
}

// sendAll sends datagrams in order until one is refused, and tells how many it sent. A full send buffer
// is waited for, while the kernel's receive buffer takes the queries.
func (s *Socket) sendAll(fd uintptr, h []mmsghdr) (sent int, errno syscall.Errno) {
	for sent < len(h) {
		n, errno := sendmmsg(fd, h[sent:])
		switch errno {
		case 0:
			sent += n
		case unix.EINTR:
		case unix.EAGAIN:
			n, ok := s.sendWhenWritable(h[sent:])
			if sent += n; !ok {
				return sent, unix.EBADF
			}
		default:
			return sent, errno
		}
	}
	return sent, 0
}

// sendWhenWritable sleeps until the socket takes at least one datagram; false when it is closing, or
// when the first datagram is one that it refuses.
func (s *Socket) sendWhenWritable(h []mmsghdr) (sent int, ok bool) {
	var refused syscall.Errno
	err := s.raw.Write(func(fd uintptr) bool {
		sent, refused = sendmmsg(fd, h)
		return refused != unix.EAGAIN
	})
	return sent, err == nil && refused == 0
}

// sendmmsg is a raw call, for the reason that stands at recvmmsg.
func sendmmsg(fd uintptr, h []mmsghdr) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&h[0])), uintptr(len(h)), unix.MSG_DONTWAIT, 0, 0)
	return max(int(n), 0), errno
}
