package tap

import (
	"context"
	"log/slog"
	"net"
	"os"
	"time"

	dnstap "github.com/dnstap/golang-dnstap"
)

// output is where frames go. It is used by one goroutine.
type output interface {
	write(frame []byte) bool // false: it was not written
	flush()
	close()
}

// flusher is what the writers of the library are beside what their type says.
type flusher interface{ Flush() error }

// file writes to a file up to a size.
type file struct {
	f    *os.File
	w    dnstap.Writer
	left int64
	full bool // it was told of
	log  *slog.Logger
}

func newFile(f *os.File, size int64, log *slog.Logger) (*file, error) {
	w, err := dnstap.NewWriter(f, nil)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &file{f: f, w: w, left: size, log: log}, nil
}

// frameHead is in front of each frame.
const frameHead = 4

func (o *file) write(frame []byte) bool {
	if o.full {
		return false
	}
	if o.left -= int64(len(frame) + frameHead); o.left < 0 {
		o.fail("it has its full size")
		return false
	}
	if _, err := o.w.WriteFrame(frame); err != nil {
		o.fail(err.Error())
		return false
	}
	return true
}

// fail ends the writing: what would follow a frame that is cut short could not be read.
func (o *file) fail(why string) {
	o.full = true
	o.log.Warn("dnstap writes no more", "op", "dnstap", "file", o.f.Name(), "why", why)
}

func (o *file) flush() {
	if f, ok := o.w.(flusher); ok && !o.full {
		if err := f.Flush(); err != nil {
			o.fail(err.Error())
		}
	}
}

func (o *file) close() {
	if err := o.w.Close(); err != nil {
		o.fail(err.Error())
	}
	o.f.Close()
}

// Times of a socket. A reader that takes nothing for writeTime is cut off, and looked for again after retryTime. What
// comes in between is dropped.
const (
	dialTime  = time.Second
	writeTime = 2 * time.Second
	retryTime = time.Second
)

// socket writes to whoever listens on a Unix socket.
type socket struct {
	path    string
	log     *slog.Logger
	closing <-chan struct{}

	c     net.Conn
	w     dnstap.Writer // nil: there is no reader
	tried time.Time     // when one was looked for last
	told  bool          // that there is none
}

func (o *socket) write(frame []byte) bool {
	if o.w == nil && !o.connect() {
		return false
	}
	if _, err := o.w.WriteFrame(frame); err != nil {
		o.lose(err)
		return false
	}
	return true
}

func (o *socket) connect() bool {
	select {
	case <-o.closing:
		return false
	default:
	}
	if time.Since(o.tried) < retryTime {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", o.path)
	var w dnstap.Writer
	if err == nil {
		if w, err = dnstap.NewWriter(c, &dnstap.WriterOptions{Bidirectional: true, Timeout: writeTime}); err != nil {
			c.Close()
		}
	}
	o.tried = time.Now()
	if err != nil {
		if !o.told {
			o.log.Warn("nobody reads dnstap: messages are dropped until somebody does", "op", "dnstap", "socket", o.path, "err", err)
			o.told = true
		}
		return false
	}
	o.log.Info("dnstap is read", "op", "dnstap", "socket", o.path)
	o.c, o.w, o.told = c, w, false
	return true
}

func (o *socket) lose(err error) {
	o.log.Warn("the reader of dnstap is gone: messages are dropped until it is back", "op", "dnstap", "socket", o.path, "err", err)
	o.c.Close()
	o.w, o.told, o.tried = nil, true, time.Now()
}

func (o *socket) flush() {
	if f, ok := o.w.(flusher); ok {
		if err := f.Flush(); err != nil {
			o.lose(err)
		}
	}
}

func (o *socket) close() {
	if o.w == nil {
		return
	}
	_ = o.w.Close() // the reader knows by the end of the connection too
	o.c.Close()
}
