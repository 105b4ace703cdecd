package tap

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Options of New. Socket or File must be given.
type Options struct {
	Socket string // path of a Unix socket on which a reader listens; one that is not there yet is tried again
	File   string // made, or made empty
	// MaxFile is how many octets a file may have (1 GiB); what comes then is dropped.
	MaxFile int64

	Queries   bool // all messages that are no updates
	Updates   bool
	Responses bool // to the kinds that are chosen, with the time of their request

	// Queue is how many octets of messages may wait for the reader (4 MiB), the room for each one counted.
	Queue int64

	Identity, Version string // of the server, in each message
	Logger            *slog.Logger
}

// DefaultMaxFile and DefaultQueue are what Options say when they say nothing, in octets.
const (
	DefaultMaxFile = 1 << 30
	DefaultQueue   = 4 << 20
)

// Peer is between whom a message went.
type Peer struct {
	Remote netip.AddrPort // the client
	Local  netip.AddrPort // ours
	TCP    bool
}

// Counters only grow.
type Counters struct {
	Written atomic.Uint64 // messages
	Dropped atomic.Uint64 // messages that the reader did not keep up with, or that could not be written
}

// Tap takes messages. It may be used by any number of goroutines. A nil *Tap takes nothing.
type Tap struct {
	Counters Counters

	o       Options
	out     output
	queue   chan *message
	waiting atomic.Int64 // octets in queue
	free    sync.Pool
	ended   chan struct{}
	closing chan struct{}
	once    sync.Once
}

// message is a copy of one that waits to be written.
type message struct {
	data     []byte
	peer     Peer
	response bool
	update   bool
	asked    time.Time // of the request
	at       time.Time
}

// overhead is what a message takes in the queue beside its octets.
const overhead = 256

// New opens the file, or begins to look for the socket's reader, and writes until Close.
func New(o Options) (*Tap, error) {
	o.Queue = cmp.Or(o.Queue, DefaultQueue)
	o.MaxFile = cmp.Or(o.MaxFile, DefaultMaxFile)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	t := &Tap{o: o, queue: make(chan *message, max(1, o.Queue/overhead)), ended: make(chan struct{}), closing: make(chan struct{})}
	t.free.New = func() any { return new(message) }
	if o.Socket != "" {
		t.out = &socket{path: o.Socket, log: o.Logger, closing: t.closing}
	} else {
		f, err := os.OpenFile(o.File, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return nil, fmt.Errorf("dnstap: %w", err)
		}
		if t.out, err = newFile(f, o.MaxFile, o.Logger); err != nil {
			return nil, fmt.Errorf("dnstap: %s: %w", o.File, err)
		}
	}
	go t.run() // until Close
	return t, nil
}

// opcodeUpdate stands in the header (RFC 2136, section 2.2).
const opcodeUpdate = 5

// Request takes a message as it came.
func (t *Tap) Request(msg []byte, p Peer, at time.Time) { t.put(msg, p, false, at, at) }

// Response takes a reply as it leaves, to a request that came at a time.
func (t *Tap) Response(msg []byte, p Peer, asked, at time.Time) {
	if t != nil && t.o.Responses {
		t.put(msg, p, true, asked, at)
	}
}

func (t *Tap) put(msg []byte, p Peer, response bool, asked, at time.Time) {
	if t == nil || len(msg) < 12 {
		return // not even a header
	}
	update := msg[2]>>3&15 == opcodeUpdate
	if update && !t.o.Updates || !update && !t.o.Queries {
		return
	}
	size := int64(len(msg) + overhead)
	if t.waiting.Add(size) > t.o.Queue {
		t.waiting.Add(-size)
		t.Counters.Dropped.Add(1)
		return
	}
	m := t.free.Get().(*message)
	m.data = append(m.data[:0], msg...)
	m.peer, m.response, m.update, m.asked, m.at = p, response, update, asked, at
	select {
	case t.queue <- m:
	default:
		t.done(m)
		t.Counters.Dropped.Add(1)
	}
}

// keep is the largest buffer that a message keeps for its next use.
const keep = 4096

func (t *Tap) done(m *message) {
	t.waiting.Add(-int64(len(m.data) + overhead))
	if cap(m.data) <= keep {
		t.free.Put(m)
	}
}

// run writes what waits. It ends after Close, when it has written what waited then, or could not.
func (t *Tap) run() {
	defer close(t.ended)
	for {
		if len(t.queue) == 0 {
			t.out.flush()
		}
		select {
		case m := <-t.queue:
			t.write(m)
		case <-t.closing:
			for len(t.queue) > 0 {
				t.write(<-t.queue)
			}
			t.out.close()
			return
		}
	}
}

func (t *Tap) write(m *message) {
	frame, err := t.encode(m)
	t.done(m)
	if err != nil || !t.out.write(frame) {
		t.Counters.Dropped.Add(1)
		return
	}
	t.Counters.Written.Add(1)
}

// Close writes what waits, if the reader takes it, and ends. Messages that are put later are dropped. A second call does
// nothing.
func (t *Tap) Close() {
	if t == nil {
		return
	}
	t.once.Do(func() { close(t.closing) })
	<-t.ended
}
