package zone

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// ---- readers ----

// Zones is the set of zones that a server answers for. Find and Exact never block.
type Zones struct{}

func NewZones() *Zones                     { panic("todo") }
func (zs *Zones) Add(z *Zone) error        { panic("todo") }
func (zs *Zones) All() []*Zone             { panic("todo") } // canonical order of apexes
func (zs *Zones) Exact(apex rr.Name) *Zone { panic("todo") } // nil when there is none
// Find gives the zone with the longest apex that is q or above it; nil when there is none. For
// type DS at an apex it gives the zone above when that is served too.
func (zs *Zones) Find(q *QName, qtype uint16) *Zone { panic("todo") }

// NewReader registers a reading goroutine. Nothing obtained from a View (nodes, sets, rdata)
// may be used outside Begin..End of one reader. A Reader is for one goroutine at a time.
// Begin and End cost one atomic store each; call them once per batch of queries.
func NewReader() *Reader { panic("todo") }

// Reader marks the time in which its goroutine looks at zone memory.
type Reader struct{}

func (r *Reader) Begin() { panic("todo") }
func (r *Reader) End()   { panic("todo") }
func (r *Reader) Close() { panic("todo") }

// QName is a query name, lower-cased, with its label offsets. The zero value is not valid: use Set.
type QName struct {
	Wire   [rr.MaxName]byte
	Len    int                     // octets, root label included
	Labels int                     // without root
	Off    [rr.MaxLabels + 1]uint8 // start of each label, the last of them the root label's
}

// Set takes a well-formed wire name (any case).
func (q *QName) Set(wire []byte)   { panic("todo") }
func (q *QName) SetName(n rr.Name) { panic("todo") }

// Suffix gives the last n labels (lower case) with the root label.
func (q *QName) Suffix(n int) []byte { panic("todo") }

// Zone is one zone.
type Zone struct{}

func (z *Zone) Apex() rr.Name { panic("todo") } // as configured
func (z *Zone) View() View    { panic("todo") } // the current version: one atomic load; use within Reader.Begin..End
// Store is the zone's place on disk (for the journal).
func (z *Zone) Store() *store.Zone { panic("todo") }

// View is one version of a zone. It is a value, copied freely, within one Begin..End.
type View struct{}

func (v View) Serial() uint32                  { panic("todo") }
func (v View) ApexNode() Node                  { panic("todo") }
func (v View) SOA() Set                        { panic("todo") }
func (v View) NegativeTTL() uint32             { panic("todo") } // min(SOA TTL, MINIMUM), RFC 2308 section 5
func (v View) Size() (names int, octets int64) { panic("todo") } // names with data; octets of an uncompressed transfer, roughly
// Lookup does RFC 1034 4.3.2 for one name in this zone, without following aliases. Allocates nothing.
func (v View) Lookup(q *QName, qtype uint16, r *Result) { panic("todo") }

// Node gives the node at exactly this name, even below a cut (glue) or occluded; ok=false when there is no data there.
func (v View) Node(q *QName) (n Node, ok bool) { panic("todo") }

// Nodes gives every node that has data, in no order, the apex included. For transfers.
func (v View) Nodes() iter.Seq[Node] { panic("todo") }

// Outcome is what a lookup found.
type Outcome uint8

const (
	Answer   Outcome = iota + 1 // Node has QTYPE (or QTYPE is ANY): Set, Node
	NoData                      // the name exists (or a wildcard does), the type does not
	NXDomain                    // the name does not exist
	CNAME                       // Set is the CNAME RRset of the name; QTYPE is not answered by it
	DNAME                       // Set is a DNAME RRset above the name; OwnerLabels tells where
	Referral                    // Set is the NS RRset of a cut at or above the name; OwnerLabels tells where
)

// Result of a Lookup; reused by the caller.
type Result struct {
	Outcome     Outcome
	Node        Node // node that Set is of; for ANY the node to choose from
	Set         Set
	OwnerLabels int  // labels of the owner: a suffix of the query name (DNAME, Referral), else all of it
	Wildcard    bool // synthesised: owner is the query name
}

// Node is a name with its RRsets (Sets may be empty for an empty non-terminal).
type Node struct{ b []byte }

func (n Node) Owner() []byte             { panic("todo") } // labels below the apex in the case as entered, no root label; empty at the apex
func (n Node) Find(t uint16) (Set, bool) { panic("todo") }
func (n Node) Sets() SetCursor           { panic("todo") } // by ascending type
// SetCursor walks the RRsets of a node: for s, ok := c.Next(); ok; s, ok = c.Next() {...}
type SetCursor struct{ b []byte }

func (c *SetCursor) Next() (Set, bool) { panic("todo") }

// Set is one RRset in zone memory.
type Set struct{ b []byte }

func (s Set) Type() uint16     { panic("todo") }
func (s Set) TTL() uint32      { panic("todo") }
func (s Set) Count() int       { panic("todo") }
func (s Set) Data() DataCursor { panic("todo") }

// DataCursor walks rdata (uncompressed wire form).
type DataCursor struct{ b []byte }

func (c *DataCursor) Next() ([]byte, bool) { panic("todo") }

// ---- writers ----

// Draft is a private, mutable view of the zone in which one update is evaluated. It shows the state
// left by the updates before it in the same batch. Owners compare case folded. Valid only inside Evaluate.
type Draft struct{}

func (d *Draft) Apex() rr.Name { panic("todo") }

// RRset gives the current RRset; ok=false when it does not exist. Empty non-terminals have none.
func (d *Draft) RRset(owner rr.Name, t uint16) (rr.RRset, bool) { panic("todo") }

// RRsets gives all RRsets of owner by ascending type; none when the name is not in use.
func (d *Draft) RRsets(owner rr.Name) []rr.RRset { panic("todo") }

// Set replaces the RRset of set.Type at owner; one without Data removes it. It enforces no DNS rule
// (CNAME, apex NS...: that is update's subject) except that the apex SOA must stay a single valid SOA.
func (d *Draft) Set(owner rr.Name, set rr.RRset) { panic("todo") }

// Op is one change to be evaluated and committed by the zone's writer.
type Op struct {
	// Evaluate is called once by the zone's writer goroutine. An error undoes what it did to the draft.
	// It must not block and must not keep d.
	Evaluate func(d *Draft) error
	// Done is called exactly once, by the writer goroutine, after the batch is synced and published (or
	// has failed). It must not block.
	Done func(Committed)
}

// Committed is what became of an Op.
type Committed struct {
	Err     error  // Evaluate's own error, or ErrStore wrapped, or nil
	Changed bool   // the zone changed by this op
	Serial  uint32 // the zone's serial now
}

var (
	ErrQueueFull = errors.New("update queue is full")
	ErrStore     = errors.New("the store cannot commit")
	ErrClosed    = errors.New("zone is closed")
)

// Submit queues op. It never blocks: ErrQueueFull, ErrClosed or ErrStore (store failed, updates refused
// until it works again) come at once and then Done is not called.
func (z *Zone) Submit(op *Op) error { panic("todo") }

// OnPublish registers f, called by the writer goroutine after each published change (after replies). Must not block.
func (z *Zone) OnPublish(f func(z *Zone, serial uint32)) { panic("todo") }

// Options of Open.
type Options struct {
	Apex           rr.Name
	Store          *store.Zone
	JournalMaxAge  time.Duration
	JournalMaxSize int64
	QueueLen       int // ops that may wait (4096)
	BatchOps       int // ops in one commit (1024)
	BatchOctets    int // octets of one commit's changes (4 MiB)
	Logger         *slog.Logger
}

// Open loads a zone from its store (which must have been seeded) and starts its writer, which stops with Close.
func Open(ctx context.Context, o Options) (*Zone, error) { panic("todo") }

// Close drains the queue, commits what waits, and stops the writer.
func (z *Zone) Close() error { panic("todo") }

// Failed tells the store fault that makes the zone refuse updates; nil when all is well.
func (z *Zone) Failed() error { panic("todo") }
