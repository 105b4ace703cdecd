//go:build linux

package load

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchLen is the number of datagrams of one system call. The kernel makes at most 64 segments of one send.
const batchLen = 64

// replyLen is room for a reply: what is longer is cut, and only the header counts.
const replyLen = 512

// bufferLen is asked for as the kernel's buffers of each socket, so that a burst of replies is not lost here.
const bufferLen = 4 << 20

// mmsghdr is the kernel's struct mmsghdr, which x/sys/unix does not have.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// socket is a connected UDP socket with the memory for batches. It belongs to one goroutine.
type socket struct {
	fd       int
	segments bool // the kernel cuts one send into datagrams (UDP_SEGMENT)

	in, out       [batchLen]mmsghdr
	inVec, outVec [batchLen]unix.Iovec
	replies       [batchLen][replyLen]byte

	block    unix.Msghdr
	blockVec unix.Iovec
	control  [24]byte
}

func dial(addr string) (*socket, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil || !to.Addr().Is4() {
		return nil, fmt.Errorf("%q is no IPv4 address with a port", addr)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	for _, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, bufferLen) // what is granted has to do
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	s := &socket{fd: fd, segments: true}
	for i := range batchLen {
		s.inVec[i].Base = &s.replies[i][0]
		s.inVec[i].SetLen(replyLen)
		s.in[i].hdr.Iov, s.out[i].hdr.Iov = &s.inVec[i], &s.outVec[i]
		s.in[i].hdr.SetIovlen(1)
		s.out[i].hdr.SetIovlen(1)
	}
	s.block.Iov = &s.blockVec
	s.block.SetIovlen(1)
	s.block.Control = &s.control[0]
	s.block.SetControllen(unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&s.control[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	return s, nil
}

func (s *socket) close() { _ = unix.Close(s.fd) }

// receive gives the number of replies that were waiting, at most batchLen; see reply.
func (s *socket) receive() (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.in)), batchLen, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR:
		case unix.ECONNREFUSED:
			return 0, fmt.Errorf("nobody listens at the server's port any more")
		default:
			return 0, fmt.Errorf("recvmmsg: %w", errno)
		}
	}
}

// reply is what reply i of the last receive held.
func (s *socket) reply(i int) []byte { return s.replies[i][:min(s.in[i].n, replyLen)] }

// sendBlock sends the datagrams of size octets that stand one behind the other in b, and gives how many left. One call
// for all of them costs the sender a tenth of a call for each: that is what makes this load cheaper than a server.
func (s *socket) sendBlock(b []byte, size int) (int, error) {
	n := len(b) / size
	if !s.segments {
		for i := range n {
			s.outVec[i].Base = &b[i*size]
			s.outVec[i].SetLen(size)
		}
		return s.sendMany(n)
	}
	s.blockVec.Base = &b[0]
	s.blockVec.SetLen(len(b))
	binary.NativeEndian.PutUint16(s.control[unix.CmsgLen(0):], uint16(size))
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.block)), unix.MSG_DONTWAIT)
		switch errno {
		case 0:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS:
			return 0, nil
		case unix.EIO, unix.EINVAL, unix.ENOPROTOOPT, unix.EOPNOTSUPP:
			s.segments = false
			return s.sendBlock(b, size)
		default:
			return 0, sendFault(errno)
		}
	}
}

// sendMany sends the first n datagrams of outVec, and gives how many left.
func (s *socket) sendMany(n int) (int, error) {
	for {
		sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.out)), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(sent), nil
		case unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS:
			return 0, nil
		default:
			return 0, sendFault(errno)
		}
	}
}

func sendFault(errno unix.Errno) error {
	if errno == unix.ECONNREFUSED {
		return fmt.Errorf("nobody listens at the server's port any more")
	}
	return fmt.Errorf("sending to the server: %w", errno)
}

// waiter sleeps until a socket has something to read or a time has come.
type waiter struct {
	fds []unix.PollFd
}

func newWaiter(sockets []*socket) *waiter {
	w := &waiter{}
	for _, s := range sockets {
		w.fds = append(w.fds, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
	}
	return w
}

func (w *waiter) wait(d time.Duration) error {
	t := unix.NsecToTimespec(int64(max(d, 0)))
	if _, err := unix.Ppoll(w.fds, &t, nil); err != nil && err != unix.EINTR {
		return fmt.Errorf("ppoll: %w", err)
	}
	return nil
}

// pause sleeps for a moment, whatever arrives meanwhile.
func pause(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal cuts it short, which does no harm
}

// dialAll opens n sockets to one server.
func dialAll(addr string, n int) ([]*socket, error) {
	var all []*socket
	for range n {
		s, err := dial(addr)
		if err != nil {
			closeAll(all)
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func closeAll(sockets []*socket) {
	for _, s := range sockets {
		s.close()
	}
}
