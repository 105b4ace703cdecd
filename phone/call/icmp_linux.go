package call

import "syscall"

// tellUnreachable makes a UDP socket report that nobody listens where it sent to
// (ICMP), as one that is connected does.
func tellUnreachable(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		// One of the two is of another family than the socket; without either, time tells.
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_RECVERR, 1)
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR, 1)
	})
}
