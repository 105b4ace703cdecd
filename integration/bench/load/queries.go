//go:build linux

package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// QueryOptions says how to ask as fast as the server answers: each reply lets the next query go, as dnsperf does.
type QueryOptions struct {
	Addr    string
	Packets *Packets
	Sockets int
	Window  int // queries outstanding on each socket, at most 64
	For     time.Duration
	Timeout time.Duration // an answer that takes longer is lost
}

// QueryResult is what came of it.
type QueryResult struct {
	Answered uint64 // within the time, all RCODEs
	Lost     uint64
	Rcodes   [16]uint64
	Took     time.Duration
	CPU      time.Duration // of the load
	Segments bool          // the kernel cut the sends: see socket.sendBlock
}

// Rate is answers a second.
func (r QueryResult) Rate() float64 { return float64(r.Answered) / r.Took.Seconds() }

// few is how many replies of a round are too few to go on at once: the load rests then, and many more wait when it looks
// again. With a window of 400 the server does not run out of queries meanwhile. It makes batches large, so that the load
// costs a fraction of the server, and its processor time says how much.
const (
	few  = 100
	rest = 200 * time.Microsecond
)

// Queries runs the load on this process' cores.
func Queries(ctx context.Context, o QueryOptions) (r QueryResult, err error) {
	if o.Window < 1 || o.Window > batchLen {
		return r, fmt.Errorf("a window of %d: it has to be from 1 to %d", o.Window, batchLen)
	}
	err = onThread(nil, func() error {
		sockets, err := dialAll(o.Addr, o.Sockets)
		if err != nil {
			return err
		}
		defer closeAll(sockets)
		l := &queryLoad{o: o, r: &r, clock: time.Now()}
		for _, s := range sockets {
			l.flights = append(l.flights, newFlight(s, o.Window))
		}
		return l.run(ctx)
	})
	return r, err
}

// queryLoad is a running load.
type queryLoad struct {
	o       QueryOptions
	r       *QueryResult
	flights []*flight
	next    int // of the packets
	clock   time.Time
	now     time.Duration
}

func (l *queryLoad) run(ctx context.Context) error {
	before := threadTime()
	expire := l.o.Timeout / 4
	for rounds := 0; l.now < l.o.For; rounds++ {
		got, err := l.round(true)
		if err != nil {
			return err
		}
		if got < few {
			pause(rest)
		}
		if l.now > expire {
			expire = l.now + l.o.Timeout/4
			l.expire(l.now - l.o.Timeout)
		}
		if rounds%64 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	l.r.Took = l.now
	l.r.CPU = threadTime() - before
	l.r.Segments = l.flights[0].socket.segments
	return l.drain()
}

// round looks at every socket once.
func (l *queryLoad) round(send bool) (got int, err error) {
	l.now = time.Since(l.clock)
	for _, f := range l.flights {
		n, err := f.socket.receive()
		if err != nil {
			return got, err
		}
		got += n
		for i := range n {
			if rcode, _, ok := f.land(f.socket.reply(i)); ok && send {
				l.r.Answered++
				l.r.Rcodes[rcode]++
			}
		}
		if !send {
			continue
		}
		if err := l.fill(f); err != nil {
			return got, err
		}
	}
	return got, nil
}

// fill sends as many queries as the window has room for, in one call.
func (l *queryLoad) fill(f *flight) error {
	p := l.o.Packets
	n := min(len(f.free), p.Len()-l.next)
	if n == 0 {
		return nil
	}
	block := p.data[l.next*p.size : (l.next+n)*p.size]
	for i := range n {
		binary.BigEndian.PutUint16(block[i*p.size:], f.peek(i))
	}
	sent, err := f.socket.sendBlock(block, p.size)
	if err != nil {
		return err
	}
	f.leave(sent, l.now)
	if l.next += sent; l.next == p.Len() {
		l.next = 0
	}
	return nil
}

func (l *queryLoad) expire(before time.Duration) {
	for _, f := range l.flights {
		l.r.Lost += uint64(f.expire(before))
	}
}

// drain waits for what is still on its way, to tell what is late from what is lost.
func (l *queryLoad) drain() error {
	until := l.now + l.o.Timeout
	for l.now < until {
		if _, err := l.round(false); err != nil {
			return err
		}
		waiting := 0
		for _, f := range l.flights {
			waiting += f.waiting()
		}
		if waiting == 0 {
			return nil
		}
		pause(time.Millisecond)
	}
	l.expire(l.now)
	return nil
}
