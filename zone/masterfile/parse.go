package masterfile

import (
	"fmt"
	"io"
	"os"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Owned is an RRset with its owner.
type Owned struct {
	Owner rr.Name
	Set   rr.RRset
}

// Parse reads the master file of the zone apex from r. Its RRsets come in the
// order in which their first records stand in the file, and each owner and
// type comes once. file is the name for messages; $INCLUDE is relative to its
// directory. What was read is fit for use only if Faulty(problems) is false.
// progress, when not nil, is called now and then with the number of records
// read so far.
func Parse(r io.Reader, file string, apex rr.Name, progress func(records int)) ([]Owned, []Problem) {
	return parseSized(r, file, apex, 0, progress)
}

// usualLine is the length of a line of a file with many numbers, in octets.
const usualLine = 22

// parseSized makes room for as many RRsets as there may be in a file of size octets.
// Measured with 1,000,000 numbers: growing step by step, with all that is there
// copied at each step, took half of the time.
func parseSized(r io.Reader, file string, apex rr.Name, size int64, progress func(records int)) ([]Owned, []Problem) {
	room := int(size / usualLine)
	p := &parser{
		apex: apex, progress: progress, sets: make([]Owned, 0, room), lines: make([]lines, 0, room),
		index: make(map[key]int, room), types: make(map[uint16]bool), broken: make(map[uint16]bool), plain: make(map[uint16]place),
	}
	p.file(r, file, apex, 0)
	p.spell()
	p.check()
	if progress != nil {
		progress(p.records)
	}
	return p.sets, p.problems.sorted(p.files)
}

// ParseFile is Parse for a file on disk; not being able to read it is
// a Problem like any other.
func ParseFile(path string, apex rr.Name, progress func(records int)) ([]Owned, []Problem) {
	f, err := os.Open(path)
	if err != nil {
		return nil, []Problem{{File: path, Text: "the zone file cannot be read: " + plainError(err)}}
	}
	defer f.Close()
	size := int64(0)
	if fi, err := f.Stat(); err == nil && fi.Mode().IsRegular() {
		size = fi.Size()
	}
	return parseSized(f, path, apex, size, progress)
}

// key finds an RRset: the owner in lower case, and the type.
type key struct {
	owner rr.Name
	t     uint16
}

// place is a line of one of the files read.
type place struct {
	file int32
	line int32
}

// origin of the records of one RRset.
type lines struct {
	first  place
	more   []place // of the second record and so on
	octets int     // of the RRset in a message, with owners compressed
	mixed  bool    // the different TTLs were reported
	large  bool    // the size was reported
}

func (l *lines) at(i int) place {
	if i == 0 {
		return l.first
	}
	return l.more[i-1]
}

// parser is the state of one Parse.
type parser struct {
	apex     rr.Name
	files    []string
	problems collector

	sets    []Owned
	lines   []lines // of sets, by index
	index   map[key]int
	types   map[uint16]bool // that some RRset has
	records int

	broken map[uint16]bool  // types of which a record could not be read
	plain  map[uint16]place // DNSSEC types that were seen, and where first

	ttl      uint32 // for records without one
	ttlKnown bool
	ttlFixed bool // by $TTL, which the TTLs of records do not replace

	progress func(records int)
}

// maxSet is the room that an RRset may take in a message of 65535 octets, the
// rest of which is for header, question, OPT and TSIG.
const maxSet = 65000

// add puts one record into its RRset.
func (p *parser) add(at place, r rr.RR) {
	p.records++
	if p.progress != nil && p.records%(1<<16) == 0 {
		p.progress(p.records)
	}
	if !r.Owner.IsBelowOrEqual(p.apex) {
		p.problems.fault(at, "%s is not in the zone %s: remove the record, or take the final dot away if the name is meant to be below the zone", r.Owner, p.apex)
		return
	}
	k := key{r.Owner.Lower(), r.Type}
	i, ok := p.index[k]
	if !ok {
		p.index[k] = len(p.sets)
		p.types[r.Type] = true
		p.sets = append(p.sets, Owned{r.Owner, rr.RRset{Type: r.Type, TTL: r.TTL, Data: []string{r.Data}}})
		p.lines = append(p.lines, lines{first: at, octets: 12 + len(r.Data)})
		return
	}
	set, l := &p.sets[i].Set, &p.lines[i]
	if l.large || set.Contains(r.Data) {
		return
	}
	// RFC 2181, section 5.2: the records of an RRset share one TTL.
	if set.TTL != r.TTL && !l.mixed {
		l.mixed = true
		p.problems.warn(at, "TTL %d differs from TTL %d of the same %s RRset at line %d: %d is used for all of it",
			r.TTL, set.TTL, rr.TypeString(r.Type), l.first.line, set.TTL)
	}
	if l.octets += 12 + len(r.Data); l.octets > maxSet {
		l.large = true
		p.problems.fault(at, "the %s RRset of %s is larger than %d octets and fits no DNS message: spread it over several names",
			rr.TypeString(r.Type), r.Owner, maxSet)
		return
	}
	set.Data = append(set.Data, r.Data)
	l.more = append(l.more, at)
}

// find gives the RRset of owner and type t, or nil.
func (p *parser) find(owner rr.Name, t uint16) *rr.RRset {
	if i, ok := p.place(owner, t); ok {
		return &p.sets[i].Set
	}
	return nil
}

// place gives the index of the RRset of owner and type t. Most types that are
// asked for are in no RRset at all.
func (p *parser) place(owner rr.Name, t uint16) (int, bool) {
	if !p.types[t] {
		return 0, false
	}
	i, ok := p.index[key{owner.Lower(), t}]
	return i, ok
}

// defaultTTL tells the TTL of a record that has none of its own.
func (p *parser) defaultTTL(t uint16, data string) (uint32, error) {
	if p.ttlKnown {
		return p.ttl, nil
	}
	if t == dns.TypeSOA {
		// As BIND does: MINIMUM was the default TTL before RFC 2308, section 4.
		if soa, err := rr.ParseSOA(data); err == nil {
			return soa.Minimum, nil
		}
	}
	return 0, fmt.Errorf("the record has no TTL and there is no $TTL line before it: put \"$TTL 300\" at the top of the file")
}
