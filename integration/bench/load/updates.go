//go:build linux

package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
	"unsafe"
)

// UpdateOptions says how to send signed updates, each of which gives a number a new address.
type UpdateOptions struct {
	Addr          string
	Zone          string
	Key           Key
	First, Count  int // numbers are drawn from First up to First+Count-1
	Sockets       int
	Window        int     // updates outstanding on each socket, at most 64
	Rate          float64 // a second; 0: as many as are acknowledged
	Total         uint64  // acknowledged updates after which it ends; 0: For decides
	For           time.Duration
	Timeout       time.Duration // an update that takes longer is lost, and sent again
	Seed          uint64
	Cores         []int          // where it may run; nil: where this process may
	Stop          *atomic.Bool   // when not nil, ends it once set
	Acknowledged  *atomic.Uint64 // when not nil, counts while it runs, for others to read
	KeepAddresses bool           // send the address that a number has by its place, so that runs end alike
}

// UpdateResult is what came of it.
type UpdateResult struct {
	Acked   uint64
	Retried uint64 // updates that got no reply in time, and went again under a new ID
	Rcodes  [16]uint64
	Took    time.Duration
	CPU     time.Duration // of the load
	Gap     time.Duration // the longest time between two acknowledgements
	Latency Histogram
}

// Rate is acknowledged updates a second.
func (r *UpdateResult) Rate() float64 { return float64(r.Acked) / r.Took.Seconds() }

// Refused is how many replies were anything but NOERROR.
func (r *UpdateResult) Refused() (n uint64) {
	for _, c := range r.Rcodes[1:] {
		n += c
	}
	return n
}

// updateRoom is room for one update.
const updateRoom = 256

// Updates runs the load.
func Updates(ctx context.Context, o UpdateOptions) (r *UpdateResult, err error) {
	if o.Window < 1 || o.Window > batchLen {
		return nil, fmt.Errorf("a window of %d: it has to be from 1 to %d", o.Window, batchLen)
	}
	r = &UpdateResult{}
	err = onThread(o.Cores, func() error {
		sockets, err := dialAll(o.Addr, o.Sockets)
		if err != nil {
			return err
		}
		defer closeAll(sockets)
		maker, err := newUpdateMaker(o.Zone, o.Key)
		if err != nil {
			return err
		}
		l := &updateLoad{o: o, r: r, maker: maker, waiter: newWaiter(sockets), random: rand.New(rand.NewPCG(o.Seed, 1))}
		for _, s := range sockets {
			l.flights = append(l.flights, newFlight(s, o.Window))
		}
		return l.run(ctx)
	})
	return r, err
}

type updateLoad struct {
	o       UpdateOptions
	r       *UpdateResult
	maker   *updateMaker
	waiter  *waiter
	random  *rand.Rand
	flights []*flight
	clock   time.Time
	now     time.Duration
	lastAck time.Duration
	sent    uint64 // without what went again
	again   uint64 // lost, and not sent again yet
	buffers [batchLen][updateRoom]byte
}

func (l *updateLoad) run(ctx context.Context) error {
	before := threadTime()
	l.clock = time.Now()
	expire := time.Duration(0)
	for rounds := 0; ; rounds++ {
		got, err := l.round()
		if err != nil {
			return err
		}
		if l.over() {
			break
		}
		if l.now > expire {
			expire = l.now + l.o.Timeout/4
			l.expire()
		}
		if got == 0 {
			if err := l.waiter.wait(l.untilNext()); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	l.r.Took = l.now
	l.r.CPU = threadTime() - before
	l.r.Gap = max(l.r.Gap, l.now-l.lastAck)
	return nil
}

func (l *updateLoad) over() bool {
	switch {
	case l.o.Stop != nil && l.o.Stop.Load():
		return true
	case l.o.Total > 0:
		return l.r.Acked+l.r.Refused() >= l.o.Total
	default:
		return l.now >= l.o.For
	}
}

// untilNext is how long there is nothing to do but wait for replies.
func (l *updateLoad) untilNext() time.Duration {
	d := l.o.Timeout / 8
	if l.o.Total == 0 && l.o.Stop == nil {
		d = min(d, l.o.For-l.now)
	}
	if l.o.Rate > 0 {
		d = min(d, time.Duration(float64(l.sent+1)/l.o.Rate*float64(time.Second))-l.now)
	}
	return max(d, 50*time.Microsecond)
}

func (l *updateLoad) round() (got int, err error) {
	l.now = time.Since(l.clock)
	for _, f := range l.flights {
		n, err := f.socket.receive()
		if err != nil {
			return got, err
		}
		for i := range n {
			l.reply(f, f.socket.reply(i))
		}
		got += n
		if err := l.fill(f); err != nil {
			return got, err
		}
	}
	return got, nil
}

func (l *updateLoad) reply(f *flight, m []byte) {
	rcode, sent, ok := f.land(m)
	if !ok {
		return
	}
	l.r.Rcodes[rcode]++
	if rcode != 0 {
		return
	}
	l.r.Acked++
	l.r.Latency.Add(l.now - sent)
	l.r.Gap = max(l.r.Gap, l.now-l.lastAck)
	l.lastAck = l.now
	if l.o.Acknowledged != nil {
		l.o.Acknowledged.Store(l.r.Acked)
	}
}

// fill sends what the window has room for and the schedule allows.
func (l *updateLoad) fill(f *flight) error {
	n := uint64(len(f.free))
	if l.o.Rate > 0 {
		n = min(n, uint64(max(0, l.o.Rate*l.now.Seconds()-float64(l.sent)))+l.again)
	}
	if l.o.Total > 0 {
		n = min(n, l.o.Total-l.sent+l.again)
	}
	if n == 0 {
		return nil
	}
	now := time.Now()
	s := f.socket
	for i := range int(n) {
		number := l.random.IntN(l.o.Count)
		address := l.random.Uint32()
		if l.o.KeepAddresses {
			address = Address(number)
		}
		m := l.maker.appendUpdate(l.buffers[i][:0], f.peek(i), l.o.First+number, address, now)
		s.outVec[i].Base = unsafe.SliceData(m)
		s.outVec[i].SetLen(len(m))
	}
	sent, err := s.sendMany(int(n))
	if err != nil {
		return err
	}
	f.leave(sent, time.Since(l.clock))
	old := min(l.again, uint64(sent))
	l.again -= old
	l.r.Retried += old
	l.sent += uint64(sent) - old
	return nil
}

func (l *updateLoad) expire() {
	for _, f := range l.flights {
		l.again += uint64(f.expire(l.now - l.o.Timeout))
	}
}

// Address is the address that a number has in the zone file, by its place.
func Address(place int) uint32 { return 10<<24 | uint32(place)&0xffffff }
