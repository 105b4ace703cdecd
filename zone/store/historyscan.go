package store

import (
	"encoding/binary"
	"slices"

	"dialtone/zone/rr"
)

// pastScan decodes entries part by part, and keeps what belongs to one number.
type pastScan struct {
	name string // of the number, as it ends owners

	head  entryHead
	fed   int    // octets of the body
	rest  []byte // that are not decoded yet
	stage pastStage
	count [2]int  // records that are deleted and added
	at    int     // the next one of the stage's
	last  rr.Name // the last owner, if it belongs to the number
	out   scanned
}

// pastStage is what of an entry comes next.
type pastStage int

const (
	stageSOAs pastStage = iota
	stageDeletedCount
	stageDeleted
	stageAddedCount
	stageAdded
	stageAuthors
)

// scanned is what an entry says of a number.
type scanned struct {
	seq            uint64
	to             uint32
	time           int64
	deleted, added []placed
	authors        Authors
}

// placed is a record with its place in the entry's list.
type placed struct {
	rr.RR
	at int
}

func (s *pastScan) owner(number string, apex rr.Name) {
	s.name = string(rr.NumberName(number, apex))
}

// begin takes the first part of an entry, and gives what is behind its head.
func (s *pastScan) begin(v []byte) ([]byte, error) {
	rest, err := s.head.decode(v)
	s.rest, s.fed, s.stage, s.count, s.at, s.last = s.rest[:0], 0, stageSOAs, [2]int{}, 0, ""
	s.out = scanned{to: s.head.to, time: s.head.time}
	return rest, err
}

// feed takes the body of the next part.
func (s *pastScan) feed(v []byte, end bool) (err error) {
	s.fed += len(v)
	b := v
	if len(s.rest) > 0 {
		s.rest = append(s.rest, v...)
		b = s.rest
	}
	for s.stage != stageAuthors {
		n, err := s.step(b)
		if err != nil {
			return err
		}
		if n < 0 { // there must be more
			break
		}
		b = b[n:]
	}
	s.rest = append(s.rest[:0], b...)
	if !end {
		return nil
	}
	if s.fed != int(s.head.body) || s.stage != stageAuthors || !s.head.authors && len(s.rest) > 0 {
		return corrupt("journal entry of another length")
	}
	if s.head.authors && len(s.out.deleted)+len(s.out.added) > 0 {
		s.out.authors, err = decodeAuthors(slices.Clone(s.rest), s.count[0], s.count[1])
	}
	return err
}

// step decodes what comes next, and gives its octets: -1 when it is not whole.
func (s *pastScan) step(b []byte) (n int, err error) {
	switch s.stage {
	case stageDeletedCount, stageAddedCount:
		count, n := binary.Uvarint(b)
		switch {
		case n == 0:
			return -1, nil
		case n < 0 || count > uint64(s.head.body)/minRecord:
			return 0, corrupt("journal entry with a bad count")
		}
		s.count[(s.stage-stageDeletedCount)/2] = int(count)
		s.at = 0
		s.stage++
		if count == 0 {
			s.stage++
		}
		return n, nil
	}
	most := 2
	if s.stage != stageSOAs {
		most = s.count[(s.stage-stageDeleted)/2]
	}
	if n, err = s.record(b); n < 0 || err != nil {
		return n, err
	}
	if s.at++; s.at == most {
		s.stage++
	}
	return n, nil
}

func (s *pastScan) record(b []byte) (n int, err error) {
	if len(b) == 0 {
		return -1, nil
	}
	own := int(b[0])
	head := 1 + own + 8
	if len(b) < head {
		return -1, nil
	}
	size := int(binary.BigEndian.Uint16(b[head-2:]))
	if len(b) < head+size {
		return -1, nil
	}
	if own > 0 {
		s.last = ""
		if owner := b[1 : 1+own]; s.matches(owner) {
			s.last = rr.Name(owner)
		}
	}
	if s.last != "" {
		f := b[1+own:]
		r := placed{rr.RR{Owner: s.last, Type: binary.BigEndian.Uint16(f), TTL: binary.BigEndian.Uint32(f[2:]),
			Data: string(b[head : head+size])}, s.at}
		switch s.stage {
		case stageDeleted:
			s.out.deleted = append(s.out.deleted, r)
		case stageAdded:
			s.out.added = append(s.out.added, r)
		}
	}
	return head + size, nil
}

// matches tells whether an owner is the number's name or below it.
func (s *pastScan) matches(owner []byte) bool {
	n := len(owner) - len(s.name)
	if n < 0 || !rr.EqualFold(owner[n:], s.name) {
		return false
	}
	name := rr.Name(owner)
	return name.Valid() && name.IsBelowOrEqual(rr.Name(s.name))
}

// change puts together what an entry says.
func (e *scanned) change(own rr.Name) (*Change, error) {
	c := &Change{Serial: e.to}
	c.Deleted, c.Added = records(e.deleted), records(e.added)
	note := func(list []placed, runs []Run) error {
		for _, r := range list {
			by := byAt(runs, r.at)
			if by == 0 {
				continue
			}
			if int(by) > len(e.authors.List) {
				return corrupt("journal entry with a bad author")
			}
			mine := slices.DeleteFunc(slices.Clone(c.Added), func(x rr.RR) bool { return !x.Owner.EqualFold(r.Owner) })
			if a := e.authors.List[by-1].author(own, mine); !slices.Contains(c.Authors, a) {
				c.Authors = append(c.Authors, a)
			}
		}
		return nil
	}
	if err := note(e.deleted, e.authors.DeletedBy); err != nil {
		return nil, err
	}
	return c, note(e.added, e.authors.AddedBy)
}

func records(list []placed) []rr.RR {
	var out []rr.RR
	for _, r := range list {
		out = append(out, r.RR)
	}
	return out
}
