//go:build linux && !portable

package udp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Places in what SO_MEMINFO gives, which x/sys/unix does not have.
const (
	memInfoDrops = 8
	memInfoLen   = 9
)

// Dropped counts the datagrams that the kernel threw away, modulo 2^32: mostly
// those for which the buffer had no room, beside some that were damaged. 0 for a
// socket that is closed.
func (s *Socket) Dropped() (n uint32) {
	_ = s.raw.Control(func(fd uintptr) {
		var info [memInfoLen]uint32
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info[0])), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 {
			n = info[memInfoDrops]
		}
	})
	return n
}
