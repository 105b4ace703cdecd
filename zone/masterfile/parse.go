package masterfile

import (
	"fmt"
	"io"
	"os"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Parse reads the master file of the zone apex from r. file is the name for
// messages; $INCLUDE is relative to its directory. What was read is fit for use
// only if Faulty(problems) is false. progress, when not nil, is called now and
// then with the number of records read so far.
func Parse(r io.Reader, file string, apex rr.Name, progress func(records int)) (*Content, []Problem) {
	p := &parser{
		Content: newContent(apex), progress: progress,
		broken: make(map[uint16]bool), plain: make(map[uint16]place), seen: make(map[uint16]bool),
	}
	p.file(r, file, apex, 0)
	p.check()
	if progress != nil {
		progress(p.read)
	}
	return p.Content, p.problems.sorted(p.files)
}

// ParseFile is Parse for a file on disk; not being able to read it is
// a Problem like any other.
func ParseFile(path string, apex rr.Name, progress func(records int)) (*Content, []Problem) {
	f, err := os.Open(path)
	if err != nil {
		return newContent(apex), []Problem{{File: path, Text: "the zone file cannot be read: " + plainError(err)}}
	}
	defer f.Close()
	return Parse(f, path, apex, progress)
}

// place is a line of one of the files read.
type place struct {
	file int32
	line int32
}

// parser is the state of one Parse.
type parser struct {
	*Content
	files    []string
	problems collector
	read     int // records, those at fault included

	apexDNAME bool
	seen      map[uint16]bool  // types of RRsets below the apex
	broken    map[uint16]bool  // types of which a record could not be read
	plain     map[uint16]place // DNSSEC types that were seen, and where first

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
	p.read++
	if p.progress != nil && p.read%(1<<14) == 0 {
		p.progress(p.read)
	}
	if !r.Owner.IsBelowOrEqual(p.apex) {
		p.problems.fault(at, "%s is not in the zone %s: remove the record, or take the final dot away if the name is meant to be below the zone", r.Owner, p.apex)
		return
	}
	name := p.intern(r.Owner.Relative(p.apex))
	i, ok := p.setOf(name, r.Type)
	if !ok {
		p.addSet(at, name, &r)
		if len(r.Owner) > len(p.apex) && r.Type != dns.TypeA && r.Type != dns.TypeAAAA {
			p.seen[r.Type] = true
		}
		return
	}
	s := p.sets.at(i)
	if s.large || p.contains(s, r.Data) {
		return
	}
	// RFC 2181, section 5.2: the records of an RRset share one TTL.
	if s.ttl != r.TTL && !s.mixed {
		s.mixed = true
		p.problems.warn(at, "TTL %d differs from TTL %d of the same %s RRset at line %d: %d is used for all of it",
			r.TTL, s.ttl, rr.TypeString(r.Type), s.at.line, s.ttl)
	}
	if s.octets += uint32(12 + len(r.Data)); s.octets > maxSet {
		s.large = true
		p.problems.fault(at, "the %s RRset of %s is larger than %d octets and fits no DNS message: spread it over several names",
			rr.TypeString(r.Type), r.Owner, maxSet)
		return
	}
	p.addRecord(at, s, r.Data)
}

// contains tells whether an RRset has a record, as rr.EqualData compares.
func (p *parser) contains(s *set, data string) (found bool) {
	_, names, _ := rr.NamesIn(s.typ, data)
	p.each(s, func(d []byte, _ place) bool {
		found = string(d) == data || names > 0 && rr.EqualData(s.typ, string(d), data)
		return !found
	})
	return found
}

// has tells whether there is an RRset of owner and type t.
func (p *parser) has(owner rr.Name, t uint16) bool {
	_, ok := p.find(owner, t)
	return ok
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
