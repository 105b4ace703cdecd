//go:build !linux

package control

import (
	"fmt"
	"net"
	"path/filepath"
)

func shortPath(dir string) (name string, release func(), err error) {
	return "", nil, fmt.Errorf("the path of %s has more than %d octets: name a data directory with a shorter path",
		filepath.Join(dir, SocketName), maxPath)
}

func unixPeer(*net.UnixConn) Peer { return Peer{UID: -1} }
