//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// dial opens a connection from one of the flood's addresses.
func dial(ctx context.Context, o *options, i int) (*net.TCPConn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: source(i, o.sources)}, Timeout: 2 * time.Second, KeepAlive: -1}
	c, err := d.DialContext(ctx, "tcp4", o.addr)
	if err != nil {
		return nil, err
	}
	tcp := c.(*net.TCPConn)
	_ = tcp.SetLinger(0) // closed at once, and no port is kept waiting
	return tcp, nil
}

// connect opens connections and asks nothing. The oldest are closed when there are too many.
func connect(ctx context.Context, o *options, c *counts) error {
	open := make(chan *net.TCPConn, o.open)
	busy := make(chan struct{}, 64)
	i := 0
	return pace(ctx, o.rate, func(n int) error {
		for range n {
			i++
			select {
			case busy <- struct{}{}:
			default:
				c.Failed.Add(1)
				continue
			}
			go func(i int) {
				defer func() { <-busy }()
				conn, err := dial(ctx, o, i)
				if err != nil {
					c.Failed.Add(1)
					return
				}
				c.Sent.Add(1)
				for {
					select {
					case open <- conn:
						return
					default:
						_ = (<-open).Close()
					}
				}
			}(i)
		}
		return nil
	})
}

// crowd keeps connections open, with f on each, and opens another one when the server has closed one.
func crowd(ctx context.Context, o *options, c *counts, f func(ctx context.Context, conn *net.TCPConn)) error {
	slots := make(chan struct{}, o.open)
	var all sync.WaitGroup
	defer all.Wait()
	i := 0
	return pace(ctx, o.rate, func(n int) error {
		for range n {
			select {
			case slots <- struct{}{}:
			default:
				return nil
			}
			i++
			from := i
			all.Go(func() {
				defer func() { <-slots }()
				conn, err := dial(ctx, o, from)
				if err != nil {
					c.Failed.Add(1)
					return
				}
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				defer func() { _ = conn.Close() }()
				c.Sent.Add(1)
				f(ctx, conn)
				c.Closed.Add(1)
			})
		}
		return nil
	})
}

func framed(msgs ...[]byte) []byte {
	var b []byte
	for _, m := range msgs {
		b = binary.BigEndian.AppendUint16(b, uint16(len(m)))
		b = append(b, m...)
	}
	return b
}

// slowRead asks for the zone and for long answers as long as the server takes questions, and reads nothing.
func slowRead(ctx context.Context, o *options, c *counts) error {
	long := pack(new(dns.Msg).SetQuestion("long."+o.zone, dns.TypeTXT))
	var many [][]byte
	for range 500 {
		many = append(many, long)
	}
	first, more := framed(pack(new(dns.Msg).SetAxfr(o.zone))), framed(many...)
	return crowd(ctx, o, c, func(_ context.Context, conn *net.TCPConn) {
		_ = conn.SetReadBuffer(4096)
		if _, err := conn.Write(first); err != nil {
			return
		}
		for {
			if _, err := conn.Write(more); err != nil {
				return
			}
		}
	})
}

// slowWrite sends a message of 64 KiB octet by octet.
func slowWrite(ctx context.Context, o *options, c *counts) error {
	return crowd(ctx, o, c, func(ctx context.Context, conn *net.TCPConn) {
		if _, err := conn.Write([]byte{0xff, 0xff}); err != nil {
			return
		}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			_, _ = io.Copy(io.Discard, conn)
		}()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-closed:
				return
			case <-tick.C:
			}
			if _, err := conn.Write(make([]byte, 64)); err != nil {
				return
			}
		}
	})
}
