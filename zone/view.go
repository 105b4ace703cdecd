package zone

import (
	"iter"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
	"dialtone/zone/table"
)

// epochs is the one domain of all readers of the process: a reader that
// answers for many zones notes its look once.
var epochs = table.NewEpochs()

// Reader marks the time in which its goroutine looks at zone memory. Begin
// and End cost an atomic store each; call them once for a batch of queries.
// What is obtained from a View must not be used after End. A Reader belongs
// to one goroutine at a time and is given back with Close.
type Reader = table.Reader

// NewReader registers a reading goroutine.
func NewReader() *Reader { return epochs.NewReader() }

// QName is a query name, lower-cased, with its label offsets. Use Set first.
type QName struct {
	Wire   [rr.MaxName]byte
	Len    int                     // octets, root label included
	Labels int                     // root label not counted
	Off    [rr.MaxLabels + 1]uint8 // where each label starts; Off[Labels] is the root label
}

// Set takes a well-formed name in wire form in any case.
func (q *QName) Set(wire []byte) {
	q.Len = copy(q.Wire[:], wire)
	q.index()
}

// SetName is Set for an rr.Name.
func (q *QName) SetName(n rr.Name) {
	q.Len = copy(q.Wire[:], n)
	q.index()
}

func (q *QName) index() {
	rr.LowerBytes(q.Wire[:q.Len])
	q.Labels = 0
	i := 0
	for q.Wire[i] != 0 {
		q.Off[q.Labels] = uint8(i)
		q.Labels++
		i += int(q.Wire[i]) + 1
	}
	q.Off[q.Labels] = uint8(i)
}

// Suffix gives the last n labels, lower-case, with the root label.
func (q *QName) Suffix(n int) []byte { return q.Wire[q.Off[q.Labels-n]:q.Len] }

// version is one state of a zone. Readers get all they need by loading the
// pointer to it once.
type version struct {
	number uint64 // of publications
	serial uint32
	negTTL uint32
	apex   Node
	soa    Set
	wild   bool // some name has a label that is an asterisk
	names  int
	// numbers are the names one label below the apex that are terminal numbers.
	numbers int
	octets  int64
	records int
}

// View is one version of a zone, for use within one Begin..End of a Reader.
type View struct {
	z     *Zone
	v     *version
	ended *hidden // numbers whose leases have ended: look-ups do not see them; nil for none
}

// Zone tells whose version this is.
func (v View) Zone() *Zone { return v.z }

// Serial of this version.
func (v View) Serial() uint32 { return v.v.serial }

// ApexNode gives the node at the apex.
func (v View) ApexNode() Node { return v.v.apex }

// SOA gives the zone's SOA RRset.
func (v View) SOA() Set { return v.v.soa }

// NegativeTTL is the TTL of the SOA record in negative answers, in seconds:
// the lesser of its own TTL and its MINIMUM field (RFC 2308, section 5).
func (v View) NegativeTTL() uint32 { return v.v.negTTL }

// Size tells how many names there are, and roughly how many octets a whole
// transfer has.
func (v View) Size() (names int, octets int64) { return v.v.names, v.v.octets }

// Numbers tells how many terminal numbers have records at their very name.
func (v View) Numbers() int { return v.v.numbers }

// Records tells how many records there are.
func (v View) Records() int { return v.v.records }

// Node gives the node that has data at exactly this name, be it below a cut
// (glue) or occluded.
func (v View) Node(q *QName) (Node, bool) {
	t := &v.z.table
	end := v.z.end(q)
	h := table.Hash(0)
	for i := q.Labels - v.z.labels - 1; i >= 0; i-- {
		o := int(q.Off[i])
		h = t.Extend(h, q.Wire[o+1:o+1+int(q.Wire[o])])
	}
	n, ok := t.Find(h, q.Wire[:end], v.v.number)
	return Node{n}, ok && len(n.Body()) > 0 && (v.ended == nil || !v.hasEnded(q))
}

// KEY gives the KEY RRset of a name, also when the lease of its number has ended:
// a KEY record has a lease of its own (RFC 9664, section 4).
func (v View) KEY(q *QName) (Set, bool) {
	v.ended = nil
	n, ok := v.Node(q)
	if !ok {
		return Set{}, false
	}
	return n.Find(dns.TypeKEY)
}

// hasEnded tells whether q is a number whose lease has ended, or is below it.
func (v View) hasEnded(q *QName) bool {
	if q.Labels == v.z.labels {
		return false
	}
	o := int(q.Off[q.Labels-v.z.labels-1])
	return v.ended.has(q.Wire[o+1 : o+1+int(q.Wire[o])])
}

// Nodes gives every node that has data, the apex included, in no order, those
// whose lease has ended too until a commit takes them away.
func (v View) Nodes() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		for n := range v.z.table.All(v.v.number) {
			if len(n.Body()) > 0 && !yield(Node{n}) {
				return
			}
		}
	}
}

// Outcome is what a Lookup found.
type Outcome uint8

// Outcomes of a Lookup.
const (
	Answer   Outcome = iota + 1 // Set is the RRset asked for; for ANY choose from Node
	NoData                      // the name exists, or a wildcard stands for it; the type does not
	NXDomain                    // the name does not exist
	CNAME                       // Set is the CNAME of the name, which QTYPE does not ask for
	DNAME                       // Set is a DNAME above the name
	Referral                    // Set is the NS RRset of a cut at or above the name
)

// Result of a Lookup; reused by the caller.
type Result struct {
	Outcome     Outcome
	Node        Node // the node that Set is of
	Set         Set
	OwnerLabels int  // labels of the owner, which is a suffix of the query name
	Wildcard    bool // the owner is the query name, the data a wildcard's
}

// Lookup finds one name in the zone (RFC 1034, section 4.3.2 step 3, as
// revised by RFC 6672, section 3.2 and RFC 4592, section 3.3.3), without
// following aliases. q is the apex or below it. It allocates nothing; its
// cost depends on the labels of q that exist, not on the size of the zone.
func (v View) Lookup(q *QName, qtype uint16, r *Result) {
	z := v.z
	end := z.end(q)
	n, h := v.v.apex, table.Hash(0)
	r.Wildcard = false
	for k := z.labels; ; k++ {
		last := k == q.Labels
		f := n.n.Flags()
		// A cut: everything at and below it belongs to the child, save its DS
		// RRset, which is the parent's (RFC 4035, section 3.1.4.1).
		if f&flagCut != 0 && !(last && qtype == dns.TypeDS) {
			r.found(Referral, n, k, dns.TypeNS)
			return
		}
		if last {
			v.match(n, qtype, k, r)
			return
		}
		if f&flagDNAME != 0 {
			r.found(DNAME, n, k, dns.TypeDNAME)
			return
		}
		o := int(q.Off[q.Labels-k-1])
		below := z.table.Extend(h, q.Wire[o+1:o+1+int(q.Wire[o])])
		next, ok := z.table.Find(below, q.Wire[o:end], v.v.number)
		if !ok || v.ended != nil && k == z.labels && v.hasEnded(q) {
			v.synthesise(q, q.Wire[q.Off[q.Labels-k]:end], h, qtype, r)
			return
		}
		n, h = Node{next}, below
	}
}

// synthesise looks for the wildcard at the closest encloser, which alone can
// stand for the name (RFC 4592, section 3.3.1).
func (v View) synthesise(q *QName, encloser []byte, h table.Hash, qtype uint16, r *Result) {
	if v.v.wild {
		var name [rr.MaxName]byte
		name[0], name[1] = 1, '*'
		m := 2 + copy(name[2:], encloser)
		n, ok := v.z.table.Find(v.z.table.Extend(h, name[1:2]), name[:m], v.v.number)
		if ok {
			v.match(Node{n}, qtype, q.Labels, r)
			r.Wildcard = true
			return
		}
	}
	*r = Result{Outcome: NXDomain}
}

// match answers from the node that stands for the name.
func (v View) match(n Node, qtype uint16, labels int, r *Result) {
	if qtype == dns.TypeANY {
		*r = Result{Outcome: Answer, Node: n, OwnerLabels: labels}
		if len(n.n.Body()) == 0 {
			r.Outcome = NoData
		}
		return
	}
	c := n.Sets()
	for s, ok := c.Next(); ok; s, ok = c.Next() {
		switch s.Type() {
		case qtype:
			*r = Result{Outcome: Answer, Node: n, Set: s, OwnerLabels: labels}
			return
		case dns.TypeCNAME:
			// These stand beside a CNAME and are asked of the name itself
			// (RFC 4035, section 2.5).
			if qtype != dns.TypeRRSIG && qtype != dns.TypeNSEC && qtype != dns.TypeKEY {
				*r = Result{Outcome: CNAME, Node: n, Set: s, OwnerLabels: labels}
				return
			}
		}
	}
	*r = Result{Outcome: NoData, Node: n, OwnerLabels: labels}
}

func (r *Result) found(o Outcome, n Node, labels int, t uint16) {
	s, _ := n.Find(t)
	*r = Result{Outcome: o, Node: n, Set: s, OwnerLabels: labels}
}
