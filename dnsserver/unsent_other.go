//go:build !linux

package dnsserver

import "net"

// boundUnsent is for kernels that take megabytes before the peer has room for them.
func boundUnsent(*net.TCPConn) {}
