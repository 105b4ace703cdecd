package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// SocketName is the socket's file in the data directory.
const SocketName = "control.sock"

// ErrNoServer says that no server listens for commands.
var ErrNoServer = errors.New("no server runs on the data directory")

// Listen makes the socket in a data directory, in place of what a crash left.
// Only the user of this process may open it. The caller holds the lock of the
// directory, so no other server has the socket. Who may write to the directory
// may put something in place of the socket at any time: nothing here follows it.
func Listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case fi.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is no socket: remove it", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	addr, release, err := address(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := listenPrivately(dir, addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // its address may not be its path
	return &listener{UnixListener: l, path: path}, nil
}

// Reachable tells what is wrong with the socket in a data directory in which a
// server listens.
func Reachable(dir string) error {
	path := filepath.Join(dir, SocketName)
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("somebody has removed %s", path)
	case err != nil:
		return err
	case fi.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("somebody has put something in place of %s", path)
	}
	return nil
}

// listener takes its file away with it.
type listener struct {
	*net.UnixListener
	path string
	once sync.Once
}

func (l *listener) Close() error {
	err := l.UnixListener.Close()
	l.once.Do(func() { err = errors.Join(err, os.Remove(l.path)) })
	return err
}

// Dial reaches the server that runs on a data directory; ErrNoServer when there
// is none.
func Dial(ctx context.Context, dir string) (*Client, error) {
	dial := func(ctx context.Context) (net.Conn, error) {
		addr, release, err := address(dir)
		if err != nil {
			return nil, err
		}
		defer release()
		var d net.Dialer
		return d.DialContext(ctx, "unix", addr.Name)
	}
	c, err := dial(ctx)
	path := filepath.Join(dir, SocketName)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ErrNoServer
	case errors.Is(err, fs.ErrPermission):
		return nil, Mistakef("%s belongs to the user that runs the server: give the command as that user, or as root", path)
	case err != nil:
		return nil, fmt.Errorf("cannot reach the server by %s: %w", path, err)
	}
	first := make(chan net.Conn, 1)
	first <- c
	return newClient(func(ctx context.Context) (net.Conn, error) {
		select {
		case c := <-first:
			return c, nil
		default:
			return dial(ctx)
		}
	}, func() error { return nil }, callTime,
		&Late{fmt.Sprintf("the server on %s does not answer, for %s: it hangs, or still starts, and may yet do what it was asked", dir, callTime)}), nil
}

// maxPath is the most octets that the path of a socket has.
const maxPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// address is that of the socket of a directory, good until release.
func address(dir string) (addr *net.UnixAddr, release func(), err error) {
	path := filepath.Join(dir, SocketName)
	if len(path) <= maxPath {
		return &net.UnixAddr{Net: "unix", Name: path}, func() {}, nil
	}
	short, release, err := shortPath(dir)
	if err != nil {
		return nil, nil, err
	}
	return &net.UnixAddr{Net: "unix", Name: filepath.Join(short, SocketName)}, release, nil
}

// Local serves a Client in this process. Closing it closes s, and then what
// then closes.
func (s *Server) Local(then func() error) *Client {
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	s.Serve(l)
	return newClient(l.dial, func() error {
		s.Close()
		return then()
	}, localTime, fmt.Errorf("the data directory has not answered within %s", localTime))
}

// pipes is a net.Listener without a network.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Net: "pipe", Name: "local"} }

// limited is a listener with a bound on what is open at a time.
type limited struct {
	net.Listener
	free   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limit(l net.Listener) net.Listener {
	return &limited{Listener: l, free: make(chan struct{}, maxConnections), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	who := Peer{UID: os.Getuid()} // of a pipe
	if u, ok := c.(*net.UnixConn); ok {
		who = unixPeer(u)
	}
	return &accepted{Conn: c, who: who, release: sync.OnceFunc(func() { <-l.free })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// accepted is a connection and who is at its other end.
type accepted struct {
	net.Conn
	who     Peer
	release func()
}

func (c *accepted) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}
