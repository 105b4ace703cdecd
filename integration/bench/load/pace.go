//go:build linux

package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// PaceOptions says how to ask on a schedule, whether the server keeps up or not: so that a pause of the server is seen by
// every query that falls into it.
type PaceOptions struct {
	Addr    string
	Packets *Packets
	Sockets int
	Rate    float64 // queries a second
	For     time.Duration
	Timeout time.Duration
	Cores   []int // where it may run; nil: where this process may
}

// PaceResult is what came of it.
type PaceResult struct {
	Sent    uint64
	Lost    uint64
	Rcodes  [16]uint64
	Late    time.Duration // the longest that the load itself was behind its schedule
	CPU     time.Duration
	Latency Histogram // from the time in the schedule to the reply
}

// tick is the distance of the bursts in which queries leave. One burst of some ten queries goes over one socket.
const tick = 200 * time.Microsecond

// Pace runs the load.
func Pace(ctx context.Context, o PaceOptions) (r *PaceResult, err error) {
	l := &paceLoad{o: o, burst: int(o.Rate*tick.Seconds() + 0.5)}
	if l.burst < 1 || l.burst > batchLen {
		return nil, fmt.Errorf("%.0f queries/s: the schedule can hold from %.0f to %.0f", o.Rate, 1/tick.Seconds(), batchLen/tick.Seconds())
	}
	r = &PaceResult{}
	l.r = r
	err = onThread(o.Cores, func() error {
		first()
		sockets, err := dialAll(o.Addr, o.Sockets)
		if err != nil {
			return err
		}
		defer closeAll(sockets)
		l.waiter = newWaiter(sockets)
		for _, s := range sockets {
			l.lines = append(l.lines, &line{socket: s})
		}
		return l.run(ctx)
	})
	return r, err
}

type paceLoad struct {
	o      PaceOptions
	r      *PaceResult
	waiter *waiter
	lines  []*line
	burst  int
	ticks  int // that have gone out
	next   int // of the packets
	clock  time.Time
}

// line is a socket with the time at which each ID was due; 0: none is on its way.
type line struct {
	socket *socket
	id     uint16
	due    [1 << 16]time.Duration
}

func (l *paceLoad) run(ctx context.Context) error {
	before := threadTime()
	l.clock = time.Now().Add(-tick) // so that no time of the schedule is 0
	for ctx.Err() == nil {
		due := time.Duration(l.ticks+1) * tick
		if due > l.o.For {
			break
		}
		now := time.Since(l.clock)
		if now >= due {
			l.r.Late = max(l.r.Late, now-due)
			if err := l.send(due); err != nil {
				return err
			}
			continue
		}
		if err := l.receive(); err != nil {
			return err
		}
		if err := l.waiter.wait(due - time.Since(l.clock)); err != nil {
			return err
		}
	}
	l.r.CPU = threadTime() - before
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return l.drain()
}

// send sends one burst. What a full socket does not take counts as lost.
func (l *paceLoad) send(due time.Duration) error {
	line := l.lines[l.ticks%len(l.lines)]
	l.ticks++
	p := l.o.Packets
	if l.next+l.burst > p.Len() {
		l.next = 0
	}
	n := min(l.burst, p.Len())
	block := p.data[l.next*p.size : (l.next+n)*p.size]
	l.next += n
	for i := range n {
		line.id++
		binary.BigEndian.PutUint16(block[i*p.size:], line.id)
		if line.due[line.id] != 0 {
			l.r.Lost++
		}
		line.due[line.id] = due
	}
	l.r.Sent += uint64(n)
	_, err := line.socket.sendBlock(block, p.size)
	return err
}

func (l *paceLoad) receive() error {
	for _, line := range l.lines {
		n, err := line.socket.receive()
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		now := time.Since(l.clock)
		for i := range n {
			m := line.socket.reply(i)
			if len(m) < headerLen || m[2]&0x80 == 0 {
				continue
			}
			id := binary.BigEndian.Uint16(m)
			if line.due[id] == 0 {
				continue
			}
			l.r.Latency.Add(now - line.due[id])
			l.r.Rcodes[m[3]&15]++
			line.due[id] = 0
		}
	}
	return nil
}

// drain waits for the last replies, and counts those that do not come.
func (l *paceLoad) drain() error {
	until := time.Now().Add(l.o.Timeout)
	for time.Now().Before(until) && l.r.Latency.Total()+l.r.Lost < l.r.Sent {
		if err := l.receive(); err != nil {
			return err
		}
		if err := l.waiter.wait(time.Millisecond); err != nil {
			return err
		}
	}
	l.r.Lost = l.r.Sent - l.r.Latency.Total()
	return nil
}
