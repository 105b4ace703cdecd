package control

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// shortPath gives a directory a name that is short whatever its path is.
func shortPath(dir string) (name string, release func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d", f.Fd()), func() { f.Close() }, nil
}

func unixPeer(c *net.UnixConn) Peer {
	who := Peer{UID: -1}
	raw, err := c.SyscallConn()
	if err != nil {
		return who
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			who.UID = int(cred.Uid)
		}
	})
	return who
}
