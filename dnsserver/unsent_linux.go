package dnsserver

import (
	"net"
	"syscall"
)

const (
	tcpNotSentLowAt = 25 // TCP_NOTSENT_LOWAT, which package syscall does not have

	// maxUnsent is more than one transfer message, so that the next one is ready when the peer has room.
	maxUnsent = 128 << 10
)

// boundUnsent limits what the kernel takes of a connection before the peer has room for it. Without a
// limit that is megabytes: a peer that never reads costs that much memory, and one that reads slowly
// is taken for stalled, because the next write waits until about a third of it has left. Sockets do not
// inherit the setting from their listener.
func boundUnsent(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return // it is closed already
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowAt, maxUnsent)
	})
}
