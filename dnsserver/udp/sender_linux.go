//go:build linux && !portable

package udp

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// lateLen is the number of late replies of one sendmmsg: as many as one commit usually answers.
	lateLen = 256
	// lateOctets is the room for them. Replies to updates are small.
	lateOctets = 64 << 10
	// trainLen and trainOctets bound a train: the kernel takes no more segments, and no more octets than
	// a datagram has.
	trainLen    = 64
	trainOctets = 60 << 10
	// openTrains is how many trains a reply is compared with. Whoever sends updates by the hundred does
	// it from few sockets.
	openTrains = 16
	// lateControl holds packet information and the length of a segment.
	lateControl = controlLen + unix.SizeofCmsghdr + 8
)

// Sender sends late replies of one socket, many with one system call. It belongs to one goroutine.
//
// Replies of one length to one socket of a client leave as a train: one large datagram, which the kernel
// or the network card cuts into segments (UDP_SEGMENT). A gateway or a DHCP server that registers many
// numbers at once gets most of its replies so.
//
// Measured with signed updates of 8 clients: one call of the net package for each reply took 28 % of the
// server's time, half of it in the scheduler, which takes the processor away from whoever makes calls
// that often. One sendmmsg for many took 21 %, nearly all of it the kernel's way of a datagram; trains
// take a quarter of that.
type Sender struct {
	s       *Socket
	buf     []byte
	used    int  // octets of buf
	n       int  // replies
	noTrain bool // the kernel or the network card does not know how

	replies [lateLen]lateReply
	trains  []train

	hdr     [lateLen]mmsghdr
	vec     [lateLen]unix.Iovec
	names   [lateLen][nameLen]byte
	control [lateLen][lateControl]byte
}

// lateReply is one reply in the buffer.
type lateReply struct {
	at, size int
	train    int
}

// train is replies that leave as one datagram, all of one size but for the last, which may be shorter.
type train struct {
	peer   Peer
	size   int // of a segment
	count  int
	octets int
	closed bool // its last segment is there
	first  int  // of its places in Sender.vec
}

// NewSender makes a Sender.
func (s *Socket) NewSender() *Sender {
	return &Sender{s: s, buf: make([]byte, max(lateOctets, s.outSize)), trains: make([]train, 0, lateLen)}
}

// Add takes a copy of one reply; what was taken before is sent when there is no room for it. A reply
// that is longer than Options.OutSize is counted in SendErrors and not sent.
func (x *Sender) Add(msg []byte, p Peer) {
	if len(msg) > x.s.outSize {
		x.s.SendErrors.Add(1)
		return
	}
	if x.n == lateLen || x.used+len(msg) > len(x.buf) {
		x.Flush()
	}
	r := &x.replies[x.n]
	*r = lateReply{at: x.used, size: copy(x.buf[x.used:], msg), train: x.trainFor(len(msg), p)}
	x.used += r.size
	x.n++
}

// trainFor finds the train that a reply can join, or begins one. Replies to one peer keep their order.
func (x *Sender) trainFor(size int, p Peer) int {
	for i := len(x.trains) - 1; i >= max(0, len(x.trains)-openTrains) && !x.noTrain; i-- {
		t := &x.trains[i]
		if t.peer != p {
			continue
		}
		if t.closed || size > t.size || t.count == trainLen || t.octets+size > trainOctets {
			break
		}
		t.count++
		t.octets += size
		t.closed = size < t.size
		return i
	}
	x.trains = append(x.trains, train{peer: p, size: size, count: 1, octets: size})
	return len(x.trains) - 1
}

// Flush sends what Add took. It may wait for a full send buffer.
func (x *Sender) Flush() {
	if x.n > 0 {
		if err := x.s.raw.Control(x.flush); err != nil { // the socket is closed
			x.s.SendErrors.Add(uint64(x.n))
		}
	}
	x.n, x.used, x.trains = 0, 0, x.trains[:0]
}

func (x *Sender) flush(fd uintptr) {
	x.couple()
	for at := 0; at < len(x.trains); {
		sent, errno := x.s.sendAll(fd, x.hdr[at:len(x.trains)])
		at += sent
		if errno == 0 {
			return
		}
		if t := &x.trains[at]; t.count > 1 && !x.noTrain {
			// EIO comes from a network card, EINVAL from a path with a small MTU; both may pass, but a
			// route does not change between two replies.
			x.noTrain = errno != unix.EINVAL
			x.oneByOne(fd, at)
		} else {
			x.s.SendErrors.Add(uint64(t.count))
		}
		at++
	}
}

// couple makes one header of each train.
func (x *Sender) couple() {
	at := 0
	for i := range x.trains {
		t := &x.trains[i]
		t.first = at
		at += t.count
		h := &x.hdr[i].hdr
		h.Iov = &x.vec[t.first]
		h.SetIovlen(t.count)
		h.Name, h.Namelen = &x.names[i][0], putSockaddr(&x.names[i], t.peer.Remote, x.s.v6)
		x.setControl(i, t.peer.Local, t.size, t.count)
		t.count = 0 // and again, as its replies take their places
	}
	for i := range x.n {
		r := &x.replies[i]
		t := &x.trains[r.train]
		v := &x.vec[t.first+t.count]
		v.Base = &x.buf[r.at]
		v.SetLen(r.size)
		t.count++
	}
}

// oneByOne sends the replies of a train that was refused as datagrams of their own.
func (x *Sender) oneByOne(fd uintptr, at int) {
	t, h := &x.trains[at], &x.hdr[at].hdr
	x.setControl(at, t.peer.Local, t.size, 1)
	h.SetIovlen(1)
	for i := range t.count {
		h.Iov = &x.vec[t.first+i]
		if _, errno := x.s.sendAll(fd, x.hdr[at:at+1]); errno != 0 {
			x.s.SendErrors.Add(1)
		}
	}
}

// setControl writes the control messages of a train: the address that it leaves from, when the socket
// has several, and the length of a segment, when there are several.
func (x *Sender) setControl(i int, local netip.Addr, size, count int) {
	b := append(x.control[i][:0], packetInfoFrom(local)...)
	if count > 1 {
		b = appendSegment(b, uint16(size))
	}
	h := &x.hdr[i].hdr
	h.Control = nil
	if len(b) > 0 {
		h.Control = &x.control[i][0]
	}
	h.SetControllen(len(b))
}

// appendSegment adds the control message UDP_SEGMENT.
func appendSegment(b []byte, size uint16) []byte {
	at := len(b)
	b = append(b, make([]byte, unix.CmsgSpace(2))...)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[at]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[at+unix.CmsgLen(0):], size)
	return b
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
