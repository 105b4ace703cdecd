package zone

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
	"dialtone/zone/store"
	"dialtone/zone/table"
)

// The way of a change
//
// Each zone has one writer goroutine (run). Whatever changes the zone is an
// Op in its queue. The writer takes all that waits, up to a bound, and makes
// one commit of it:
//
//	evaluate  each op in turn on the Draft, which shows what the ops before it
//	          left; an op that fails leaves nothing behind and does not touch
//	          its neighbours
//	append    the net difference of the batch, with one new serial and one
//	          journal entry, in one synced transaction of the store
//	publish   new nodes in memory, then one pointer: from here on readers see
//	          the new version
//	reply     Done of each op
//	notify    the listeners of OnPublish
//
// Nothing is served, and no op is answered, before the sync: a query can
// never show what a crash would take back. This holds for ops that failed or
// changed nothing as well, since what they saw may be another op's unsynced
// work. When the batch as a whole changes nothing, there is no append and no
// publish.
//
// While one batch is being synced the next one gathers in the queue, so that
// latency at idle is one sync, and under load the disk bounds nothing. Where
// several ops come at once, Options.CommitInterval keeps commits apart
// (pause).
//
// When the store cannot commit, nothing is published, all ops of the batch
// get ErrStore, and so does every Submit until the store works again. The
// failed batch may still have reached the disk. So its serial is never used
// again, and before any other commit the writer has the store put back what
// memory says of every RRset that the batch touched (repair): no serial ever
// names two contents, not even across a crash.

// Op is one change, evaluated and committed by the zone's writer. It may be an
// Author too.
type Op interface {
	// Evaluate is called again when a batch turns out to be more than one
	// commit can hold; the last call counts. An error undoes what it did to
	// the draft. It must not block and must not keep d.
	Evaluate(d *Draft) error
	// Done is called exactly once, after the batch is synced and published,
	// or has failed. It must not block.
	Done(Committed)
}

// Committed is what became of an Op.
type Committed struct {
	Err     error  // Evaluate's own, or one that wraps ErrStore, ErrTooBig, ErrSerial, ErrZoneFull, ErrFrozen or ErrClosed
	Changed bool   // by this op
	Serial  uint32 // of the zone now
}

// Errors of Submit and Committed.
var (
	ErrQueueFull = errors.New("the zone's update queue is full")
	ErrStore     = errors.New("the store cannot commit")
	ErrTooBig    = errors.New("the change is too big for one transaction")
	ErrSerial    = errors.New("the serial does not follow the zone's")
	ErrZoneFull  = errors.New("the zone has as many records as it may have")
	ErrClosed    = errors.New("the zone is closed")
)

// What is more than ErrQueueFull says.
var (
	// ErrQueueShare says that others than this sender find room in the queue.
	ErrQueueShare = fmt.Errorf("%w for this sender: the rest of it is for others", ErrQueueFull)
	// ErrAllFull says that Options.Waiting has no room.
	ErrAllFull = fmt.Errorf("%w with those of other zones", ErrQueueFull)
)

type fault struct {
	err   error
	since time.Time
}

// Failed tells the fault of the store for which the zone refuses updates; nil
// when there is none.
func (z *Zone) Failed() error {
	if f := z.fault.Load(); f != nil {
		return f.err
	}
	return nil
}

// FailedSince tells since when there is the fault that Failed tells of.
func (z *Zone) FailedSince() time.Time {
	if f := z.fault.Load(); f != nil {
		return f.since
	}
	return time.Time{}
}

// Damaged tells of the first damage that was found in what is stored of the zone, since this start; nil for none. The
// zone goes on from memory.
func (z *Zone) Damaged() (since time.Time, err error) {
	if f := z.damage.Load(); f != nil {
		return f.since, f.err
	}
	return time.Time{}, nil
}

// Committed tells when the zone was last written to its store, since the start; the zero time: not yet.
func (z *Zone) Committed() time.Time {
	if at := z.committed.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// QueueLen tells how many ops wait.
func (z *Zone) QueueLen() int { return z.queue.len() }

// QueueWeight is what they weigh.
func (z *Zone) QueueWeight() int { return z.queue.weight() }

// Submit queues op and never blocks. Ops that have a method
//
//	Sender() (id uint64, weight int)
//
// are taken in turns of their senders; the others are one sender's. When it
// gives an error, which is or wraps ErrQueueFull, ErrClosed or ErrStore, Done is
// not called.
func (z *Zone) Submit(op Op) error {
	if err := z.Failed(); err != nil {
		return err
	}
	return z.queue.put(op, z.bounds.Load().QueueLen)
}

// SubmitBehind is Submit, but op comes when all has been done that was submitted
// before it, whoever sent that. It is for the server's own, of which there are few.
func (z *Zone) SubmitBehind(op Op) error {
	if err := z.Failed(); err != nil {
		return err
	}
	return z.queue.putBehind(op)
}

// Close refuses new ops, commits what waits, and ends the writer.
func (z *Zone) Close() error {
	z.queue.close()
	<-z.stopped
	return nil
}

// Closed tells whether Close has ended.
func (z *Zone) Closed() bool {
	select {
	case <-z.stopped:
		return true
	default:
		return false
	}
}

// writer is what only the writer goroutine, and Open before it, touches.
type writer struct {
	z       *Zone
	draft   Draft
	ops     []Op
	done    []Committed
	path    table.Path
	body    []byte
	behind  []Op      // of a batch that is split, still to be evaluated again
	changed bool      // by an op of the batch
	alone   int       // see awaitRefresh
	apart   bool      // the ops of the batch do not go into one commit
	ours    uint32    // the serial that bumpSerial gave the batch; 0 while an op's own stands
	begun   time.Time // of the batch
	burned  uint32    // no serial up to here may be used again; 0 for none
	wild    int       // names with data that have a label "*"
	names   int       // names with data
	numbers int       // of them, those of terminal numbers
	records int       // of all names
	grown   int       // records that the batch adds so far
	octets  int64     // of all records, roughly as a transfer has them

	ahead *opsAhead // nil before it is needed

	trim trimmer
}

func (w *writer) init(z *Zone, burned uint32) {
	w.z, w.burned = z, burned
	w.draft = Draft{z: z, nodes: map[string]*draftNode{}}
	w.trim = trimmer{z: z, done: make(chan struct{}, 1)}
	w.trim.done <- struct{}{}
}

// run is the writer. It ends when the queue is closed and empty.
func (z *Zone) run() {
	w := &z.w
	for op := z.queue.next(); op != nil; op = z.queue.next() {
		w.pause()
		c := w.gather(op)
		w.commit(c)
		w.trim.start()
		// What waits to be read and verified goes first, so that the next commit
		// has more to share its sync. Measured on one processor, where it all
		// waits for this goroutine: a third more ops in a commit.
		runtime.Gosched()
	}
	<-w.trim.done
	close(z.stopped)
}

// fewOps is what a batch may hold without having the next one wait: clients
// that wait for one update after the other get the latency of one sync.
const fewOps = 2

// pause lets ops gather before a batch: until as many wait as the last batch
// had, but no longer than Options.CommitInterval after that one began.
// Clients that have sent all they may send before an answer are all there at
// once, and nothing waits for nothing.
//
// A commit costs about 0.4 ms of processor time, whatever is in it: the wake
// of the thread that syncs, the kernel's way to the disk and back. At 10,000
// updates a second that come one by one it was made for 7 ops each, 1,400
// times a second, more than half a processor. The queries beside it felt that:
// in 1 % of them an answer took 5 ms and longer, with 2 ms between commits 1.3
// ms (0.7 ms without updates).
func (w *writer) pause() {
	if n := min(len(w.ops), w.z.bounds.Load().QueueLen); n > fewOps {
		// One op of them is what the writer has in its hand.
		if rest := w.z.bounds.Load().CommitInterval - time.Since(w.begun); rest > 0 && w.z.queue.len() < n-1 {
			w.z.Gathered.Add(1)
			w.z.queue.wait(n-1, rest)
		}
	}
	w.begun = time.Now()
}

// gather evaluates op and what waits behind it, and gives the net difference.
func (w *writer) gather(op Op) *store.Commit {
	w.begin()
	w.evaluate(op)
	for i := 0; !w.apart && len(w.ops) < w.z.bounds.Load().BatchOps && w.draft.octets < w.z.o.BatchOctets; i++ {
		if i%table.AheadMax == 0 {
			w.askAhead()
		}
		if i%opsATurn == opsATurn-1 {
			w.z.o.Yield()
		}
		next, _ := w.z.queue.take()
		if next == nil {
			if w.awaitRefresh() {
				continue
			}
			break
		}
		w.evaluate(next)
	}
	return w.draft.diff()
}

// opsATurn are evaluated before others are let run.
const opsATurn = 64

// awaitRefresh waits for more ops while all that the batch has to commit are
// leases and times of signatures. Nobody who looks a number up waits for these,
// and a commit costs the same for one as for many: at 278 refreshes a second,
// which a million phones make that refresh hourly, it was a tenth of a core for
// commits of one each, and is a fiftieth with 25 ms for more to come. The
// first op that changes the zone ends the wait.
//
// A client that sends one refresh after the other would wait for nothing: after a
// wait in vain, some of them are not waited for.
func (w *writer) awaitRefresh() bool {
	if w.changed || !w.draft.held.written {
		return false
	}
	rest := w.z.bounds.Load().RefreshInterval - time.Since(w.begun)
	if rest <= 0 {
		return false
	}
	if w.alone > 0 {
		w.alone--
		return false
	}
	w.z.queue.wait(1, rest)
	more := w.z.queue.len() > 0
	if !more && len(w.ops) == 1 {
		w.alone = aloneAfter
	}
	return more
}

// aloneAfter is how many refreshes are not waited for after one for nothing.
const aloneAfter = 32

// askAhead asks memory for the names of the ops that wait: see table.Ahead.
// Measured in a zone of 1,000,000 numbers: updates take 3 to 8 % less time.
func (w *writer) askAhead() {
	if w.z.queue.len() < askFrom {
		return
	}
	if w.ahead == nil { // not for the very many zones that hardly change
		w.ahead = new(opsAhead)
	}
	w.z.queue.peek(table.AheadMax, func(op Op) {
		if n, ok := op.(interface{ Names(add func(owner rr.Name)) }); ok {
			n.Names(w.noteName)
		}
	})
	w.ahead.Ask(&w.z.table)
}

// askFrom is how many ops are worth a look at all of them.
const askFrom = 4

// opsAhead are the names that ops will look at.
type opsAhead struct {
	table.Ahead
	own [rr.MaxName]byte
}

// noteName notes a name that an op will look at, if it is one of the zone: ops
// are not checked yet.
func (w *writer) noteName(owner rr.Name) {
	if !owner.IsBelowOrEqual(w.z.apex) {
		return
	}
	w.z.table.SetPath(&w.path, append(w.ahead.own[:0], owner[:len(owner)-len(w.z.apex)]...))
	w.ahead.Add(w.path.Hash())
}

func (w *writer) begin() {
	w.draft.reset()
	w.ops, w.done, w.ours, w.apart, w.changed, w.grown = w.ops[:0], w.done[:0], 0, false, false, 0
}

func (w *writer) evaluate(op Op) {
	w.z.o.Trace("evaluate")
	d := &w.draft
	d.authors.begin(op)
	r := Committed{}
	if w.z.table.Full() && !shrinks(op) {
		r.Err = fmt.Errorf("%w: memory of zone %s is full", ErrStore, w.z.apex)
	} else {
		r.Err = op.Evaluate(d)
		if r.Err == nil && d.fault == nil && d.held.used {
			d.forgetEmpty()
		}
		if d.fault != nil {
			r.Err = d.fault // what the op concluded in spite of it counts for nothing
		}
		if r.Err == nil && !w.follows() {
			// Jumps of the serial that are each allowed can be too far together.
			r.Err, w.apart = ErrSerial, len(w.ops) > 0
		}
	}
	if r.Err == nil {
		r.Err = w.checkFrozen(op)
	}
	if r.Err == nil {
		r.Err = w.checkRecords()
	}
	if r.Err != nil {
		d.revert()
	} else if r.Changed = d.keep(); r.Changed {
		w.changed = true
		w.bumpSerial()
	}
	w.ops, w.done = append(w.ops, op), append(w.done, r)
}

// checkRecords keeps an op from making the zone larger than it may be. In a zone
// that is larger already, ops may take away, and put back as much.
func (w *writer) checkRecords() error {
	limit := w.z.bounds.Load().MaxRecords
	if limit <= 0 {
		return nil
	}
	by := w.draft.growth()
	if by > 0 && w.records+w.grown+by > limit {
		return ErrZoneFull
	}
	w.grown += by
	return nil
}

// shrinks tells of an op that only takes away.
func shrinks(op Op) bool {
	s, ok := op.(interface{ Shrinks() bool })
	return ok && s.Shrinks()
}

// follows tells whether one commit can lead to the draft's serial.
func (w *writer) follows() bool {
	serial, base := w.draft.serial(), w.draft.base.serial
	return serial == base || rr.SerialGreater(serial, base)
}

// bumpSerial gives the batch its serial at the first op that changes
// something, so that the ops behind it see it in prerequisites (RFC 2136,
// section 3.6). An op that set a higher one itself has done so already.
func (w *writer) bumpSerial() {
	d := &w.draft
	base, serial := d.base.serial, d.serial()
	bump := serial == base
	if bump {
		serial = rr.NextSerial(base)
	}
	if w.burned != 0 && !rr.SerialGreater(serial, w.burned) {
		serial = rr.NextSerial(w.burned)
	}
	if serial != d.serial() {
		d.setSerial(serial)
	}
	if bump {
		w.ours = serial
	}
}

// commit makes a batch durable, visible and answered.
func (w *writer) commit(c *store.Commit) {
	if w.apart {
		w.split(nil)
		return
	}
	if c != nil && w.cancelledOut(c) {
		c = w.draft.onlyHeld()
	}
	if c != nil {
		c.Time = time.Now()
		w.z.o.Trace("append")
		switch err := w.z.o.Store.Commit(c); {
		case errors.Is(err, store.ErrTooBig):
			w.split(err)
			return
		case err != nil:
			w.fail(c, err)
			return
		}
		w.z.Commits.Add(1)
		w.z.committed.Store(c.Time.UnixNano())
		w.z.o.Committed(len(w.ops), time.Since(c.Time))
		if len(c.Sets) > 0 {
			w.burned = 0
			w.apply(c)
			w.z.o.Trace("publish")
		}
		w.z.applyHeld(&c.Held)
		w.z.held.revive(w.draft.held.numbers, w.z.o.Now().UnixMilli())
	}
	serial := w.z.cur.Load().serial
	for i, op := range w.ops {
		w.z.o.Trace("reply")
		w.done[i].Serial = serial
		op.Done(w.done[i])
	}
	if c != nil && len(c.Sets) > 0 {
		w.z.o.Trace("notify")
		w.z.announce(serial)
	}
}

// cancelledOut tells whether all that is left of a batch is the serial that
// the writer itself gave it: the ops undid each other.
func (w *writer) cancelledOut(c *store.Commit) bool {
	return w.ours != 0 && c.To == w.ours && len(c.Sets) == 1 && c.Sets[0].Set.Type == dns.TypeSOA &&
		c.OldSOA.TTL == c.NewSOA.TTL && rr.WithSerial(c.OldSOA.Data, c.To) == c.NewSOA.Data
}

// split evaluates the ops of a batch that one commit cannot hold again, one by
// one, each in a commit of its own.
func (w *writer) split(err error) {
	if len(w.ops) == 1 {
		w.ops[0].Done(Committed{Err: fmt.Errorf("%w: %w", ErrTooBig, err), Serial: w.z.cur.Load().serial})
		return
	}
	w.behind = slices.Clone(w.ops)
	for len(w.behind) > 0 {
		op := w.behind[0]
		w.behind = w.behind[1:]
		w.begin()
		w.evaluate(op)
		w.commit(w.draft.diff())
	}
}

// apply writes the changed nodes to memory and publishes them.
func (w *writer) apply(c *store.Commit) {
	number := w.draft.base.number + 1
	for _, n := range w.draft.touched {
		if !equalSets(n.before, n.now) {
			w.put(n.owner, n.before, n.now, number)
		}
	}
	if err := w.z.publish(number); err != nil {
		// The draft guards the SOA record: this cannot be.
		w.z.log.Error("publish", "op", "update", "zone", w.z.apex.String(), "serial", c.To, "err", err)
	}
}

// put writes one node and keeps the zone's counts.
func (w *writer) put(owner rr.Name, before, now []rr.RRset, number uint64) {
	rel := owner.Relative(w.z.apex)
	w.z.table.SetPath(&w.path, []byte(rel))
	w.octets += wireSize(rel, now) - wireSize(rel, before)
	wild, own := 0, 0
	if hasAsterisk(rel) {
		wild = 1
	}
	if isNumber(rel) {
		own = 1
	}
	w.records += countRecords(now) - countRecords(before)
	if len(before) == 0 {
		w.names++
		w.numbers += own
		w.wild += wild
	}
	if len(now) == 0 {
		w.names--
		w.numbers -= own
		w.wild -= wild
		w.z.table.Clear(&w.path, number)
		return
	}
	w.body = appendBody(w.body[:0], now)
	w.z.table.Put(&w.path, w.body, nodeFlags(rel == "", now), number)
}

func wireSize(rel string, sets []rr.RRset) (n int64) {
	for _, s := range sets {
		for _, d := range s.Data {
			n += recordSize(len(rel), len(d))
		}
	}
	return n
}

func countRecords(sets []rr.RRset) (n int) {
	for _, s := range sets {
		n += len(s.Data)
	}
	return n
}

// recordSize is the octets of a record: owner with a pointer, and header.
func recordSize(rel, data int) int64 { return int64(rel + 2 + 10 + data) }

// hasAsterisk tells whether some label is a single asterisk: then that name
// exists, with data or as an empty non-terminal, and is a wildcard.
func hasAsterisk[S ~string | ~[]byte](rel S) bool {
	for i := 0; i < len(rel); i += int(rel[i]) + 1 {
		if rel[i] == 1 && rel[i+1] == '*' {
			return true
		}
	}
	return false
}

// isNumber tells whether a name relative to the apex is that of a terminal number.
func isNumber[S ~string | ~[]byte](rel S) bool {
	return len(rel) > 1 && int(rel[0]) == len(rel)-1 && rr.IsNumber(rel[1:])
}

func (z *Zone) announce(serial uint32) {
	z.listeners.Lock()
	list := z.listeners.list
	z.listeners.Unlock()
	for _, f := range list {
		f(z, serial)
	}
}
