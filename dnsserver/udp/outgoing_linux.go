//go:build linux && !portable

package udp

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// outgoing is up to batchLen datagrams that leave with one sendmmsg. It belongs to one goroutine.
type outgoing struct {
	s      *Socket
	buf    []byte
	stride int
	first  int // of those not sent yet
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

// next is the room for the next datagram. There must be one: see full.
func (o *outgoing) next() []byte {
	return o.buf[o.n*o.stride : o.n*o.stride+o.s.outSize : o.n*o.stride+o.s.outSize]
}

// add takes the datagram of size octets that was written to next; its header still wants an address.
func (o *outgoing) add(size int) *unix.Msghdr {
	o.vec[o.n].SetLen(size)
	o.n++
	return &o.hdr[o.n-1].hdr
}

func (o *outgoing) full() bool { return o.n == batchLen }

// flush sends all datagrams. One that the kernel refuses (no route, a filter, port 0) is skipped; a full
// send buffer is waited for, while the kernel's receive buffer takes the queries.
func (o *outgoing) flush(fd uintptr) {
	o.first = 0
	for o.first < o.n {
		n, errno := sendmmsg(fd, o.hdr[o.first:o.n])
		switch errno {
		case 0:
			o.first += n
		case unix.EINTR:
		case unix.EAGAIN:
			if !o.waitWritable() {
				o.first = o.n
			}
		default:
			o.s.SendErrors.Add(1)
			o.first++
		}
	}
	o.n = 0
}

// waitWritable sleeps until the socket takes another datagram; false when it is closing.
func (o *outgoing) waitWritable() bool {
	first := o.first
	err := o.s.raw.Write(func(fd uintptr) bool {
		n, errno := sendmmsg(fd, o.hdr[o.first:o.n])
		if errno == 0 {
			o.first += n
		}
		return errno != unix.EAGAIN
	})
	if err != nil {
		o.s.SendErrors.Add(uint64(o.n - first))
	}
	return err == nil
}

// sendmmsg is a raw call, for the reason that stands at recvmmsg.
func sendmmsg(fd uintptr, h []mmsghdr) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&h[0])), uintptr(len(h)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// Sender sends late replies of one socket, many with one system call. It belongs to one goroutine.
//
// Measured with signed updates: one call of the net package for each reply took 28 % of the server's
// time, half of it in the scheduler, which takes the processor away from whoever makes calls that often.
type Sender struct {
	o       outgoing
	names   [batchLen][nameLen]byte
	control [batchLen][controlLen]byte
}

// NewSender makes a Sender, which has buffers of its own.
func (s *Socket) NewSender() *Sender {
	x := new(Sender)
	x.o.init(s)
	return x
}

// Add takes a copy of one reply, and sends what it has when that fills it. A reply that is longer than
// Options.OutSize is counted in SendErrors and not sent.
func (x *Sender) Add(msg []byte, p Peer) {
	i := x.o.n
	room := x.o.next()
	if len(msg) > len(room) {
		x.o.s.SendErrors.Add(1)
		return
	}
	h := x.o.add(copy(room, msg))
	h.Name, h.Namelen = &x.names[i][0], putSockaddr(&x.names[i], p.Remote, x.o.s.v6)
	if oob := packetInfoFrom(p.Local); oob != nil {
		h.Control = &x.control[i][0]
		h.SetControllen(copy(x.control[i][:], oob))
	} else {
		h.Control = nil
		h.SetControllen(0)
	}
	if x.o.full() {
		x.Flush()
	}
}

// Flush sends what Add took. It may wait for a full send buffer.
func (x *Sender) Flush() {
	if x.o.n == 0 {
		return
	}
	err := x.o.s.raw.Control(func(fd uintptr) { x.o.flush(fd) })
	if err != nil { // the socket is closed
		x.o.s.SendErrors.Add(uint64(x.o.n))
		x.o.n = 0
	}
}

// putSockaddr writes a socket address and gives its length.
func putSockaddr(name *[nameLen]byte, a netip.AddrPort, v6 bool) uint32 {
	clear(name[:])
	if !v6 {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		sa.Family, sa.Addr = unix.AF_INET, a.Addr().As4()
		binary.BigEndian.PutUint16(name[2:], a.Port())
		return unix.SizeofSockaddrInet4
	}
	sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(name))
	sa.Family, sa.Addr = unix.AF_INET6, a.Addr().As16()
	if i, err := strconv.ParseUint(a.Addr().Zone(), 10, 32); err == nil {
		sa.Scope_id = uint32(i)
	}
	binary.BigEndian.PutUint16(name[2:], a.Port())
	return unix.SizeofSockaddrInet6
}

// packetInfoFrom is the control message that makes a datagram leave from an address; nil for none.
func packetInfoFrom(local netip.Addr) []byte {
	switch {
	case !local.IsValid():
		return nil
	case local.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: local.As4()})
	default:
		info := unix.Inet6Pktinfo{Addr: local.As16()}
		if i, err := strconv.ParseUint(local.Zone(), 10, 32); err == nil {
			info.Ifindex = uint32(i)
		}
		return unix.PktInfo6(&info)
	}
}

func (s *Socket) send(msg []byte, p Peer) error {
	_, _, err := s.conn.WriteMsgUDPAddrPort(msg, packetInfoFrom(p.Local), p.Remote)
	return err
}
