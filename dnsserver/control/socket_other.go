//go:build !linux

package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

func shortPath(dir string) (name string, release func(), err error) {
	return "", nil, fmt.Errorf("the path of %s has more than %d octets: name a data directory with a shorter path",
		filepath.Join(dir, SocketName), maxPath)
}

// listenPrivately gives the socket its permissions afterwards, by its name in the
// directory: a link there that leads out of the directory is not followed.
func listenPrivately(dir string, addr *net.UnixAddr) (*net.UnixListener, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	l, err := net.ListenUnix("unix", addr)
	if err != nil {
		return nil, err
	}
	if err := root.Chmod(SocketName, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func unixPeer(*net.UnixConn) Peer { return Peer{UID: -1} }
