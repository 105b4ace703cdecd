package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

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

// listenPrivately makes the socket with its permissions: those that it has before
// it gets its name are those of the file. There is no moment at which others may
// open it, and no path to be followed afterwards.
func listenPrivately(_ string, addr *net.UnixAddr) (*net.UnixListener, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var chmod error
		err := raw.Control(func(fd uintptr) { chmod = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, chmod)
	}}
	l, err := c.Listen(context.Background(), "unix", addr.Name)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
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
