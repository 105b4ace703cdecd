package store

import (
	"encoding/binary"
	"net/netip"

	"dialtone/zone/rr"
)

// Who made a change
//
// A journal entry ends with who made what it holds. It is little beside the
// records: a list of authors, and for the records that are deleted and then for
// those that are added the runs of one author. What nearly all updates have in
// common is left out of an author, so that one is enough for any number of them:
// the key bears the number's own name, and the address that a phone sends from
// is the one that it registers.

// By is an author as an entry has it.
type By struct {
	rr.Author
	OwnKey    bool   // Key, which is left out, is that of the number
	FromAdded uint16 // From, which is left out, is the first address of this type that the commit added there; 0 for none
}

// Run is how many records that follow each other one author changed.
type Run struct {
	By    uint32 // the place in Commit.Authors, from 1 on; 0: it is not known
	Count uint32
}

// Authors of a commit. The zero value says that nobody is known.
type Authors struct {
	List      []By
	DeletedBy []Run // of Commit.Deleted
	AddedBy   []Run // of Commit.Added
}

// Note adds to the runs that list[by-1] made the last deleted and added records.
func (a *Authors) Note(by uint32, deleted, added int) {
	a.DeletedBy = appendRun(a.DeletedBy, by, deleted)
	a.AddedBy = appendRun(a.AddedBy, by, added)
}

func appendRun(runs []Run, by uint32, count int) []Run {
	if count == 0 {
		return runs
	}
	if n := len(runs); n > 0 && runs[n-1].By == by {
		runs[n-1].Count += uint32(count)
		return runs
	}
	return append(runs, Run{by, uint32(count)})
}

// The encoding of authors: the first octet says which, so that another can come.
const (
	encAuthors = 1

	flagByKind   = 0x07
	flagByPublic = 0x08
	flagByOwn    = 0x10
	flagByA      = 0x20 // FromAdded is A
	flagByAAAA   = 0x40 // FromAdded is AAAA
)

func appendAuthors(b []byte, a *Authors) []byte {
	b = append(b, encAuthors)
	b = binary.AppendUvarint(b, uint64(len(a.List)))
	for i := range a.List {
		b = appendBy(b, &a.List[i])
	}
	for _, runs := range [...][]Run{a.DeletedBy, a.AddedBy} {
		b = binary.AppendUvarint(b, uint64(len(runs)))
		for _, r := range runs {
			b = binary.AppendUvarint(b, uint64(r.By))
			b = binary.AppendUvarint(b, uint64(r.Count))
		}
	}
	return b
}

func appendBy(b []byte, by *By) []byte {
	flags := byte(by.Kind) & flagByKind
	if by.Public {
		flags |= flagByPublic
	}
	if by.OwnKey {
		flags |= flagByOwn
	}
	switch by.FromAdded {
	case rr.TypeA:
		flags |= flagByA
	case rr.TypeAAAA:
		flags |= flagByAAAA
	}
	b = append(b, flags)
	switch by.Kind {
	case rr.ByUpdate:
		b = append(append(b, byte(len(by.Key))), by.Key...)
		from := by.From.Unmap().WithZone("").AsSlice()
		b = append(append(b, byte(len(from))), from...)
	case rr.ByRelease, rr.ByImport:
		b = binary.AppendVarint(b, int64(by.UID))
	}
	return b
}

// decodeAuthors reads what stands behind the records of an entry. What a later
// version has written there says nothing.
func decodeAuthors(b []byte, deleted, added int) (a Authors, err error) {
	if len(b) == 0 {
		return a, corrupt("journal entry without authors")
	}
	if b[0] != encAuthors {
		return a, nil
	}
	d := authorsDecoder{b: b[1:]}
	if n := d.count(1); n > 0 {
		a.List = make([]By, n)
	}
	for i := range a.List {
		a.List[i] = d.by()
	}
	a.DeletedBy = d.runs(len(a.List), deleted)
	a.AddedBy = d.runs(len(a.List), added)
	if d.bad || len(d.b) > 0 {
		return Authors{}, corrupt("authors of a journal entry")
	}
	return a, nil
}

type authorsDecoder struct {
	b   []byte
	bad bool
}

func (d *authorsDecoder) take(n int) []byte {
	if n > len(d.b) {
		d.bad, d.b = true, nil
		return make([]byte, n)
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *authorsDecoder) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > most {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads how many follow that take so many octets at least.
func (d *authorsDecoder) count(least int) int { return int(d.uvarint(uint64(len(d.b) / least))) }

func (d *authorsDecoder) by() (by By) {
	flags := d.take(1)[0]
	by.Kind = rr.AuthorKind(flags & flagByKind)
	by.Public, by.OwnKey = flags&flagByPublic != 0, flags&flagByOwn != 0
	switch flags & (flagByA | flagByAAAA) {
	case flagByA:
		by.FromAdded = rr.TypeA
	case flagByAAAA:
		by.FromAdded = rr.TypeAAAA
	}
	switch by.Kind {
	case rr.ByUpdate:
		by.Key = rr.Name(d.take(int(d.take(1)[0])))
		from := d.take(int(d.take(1)[0]))
		var ok bool
		if by.From, ok = netip.AddrFromSlice(from); !ok && len(from) > 0 || by.Key != "" && !by.Key.Valid() {
			d.bad = true
		}
	case rr.ByRelease, rr.ByImport:
		v, n := binary.Varint(d.b)
		if d.bad = d.bad || n <= 0 || int64(int32(v)) != v; !d.bad {
			by.UID, d.b = int32(v), d.b[n:]
		}
	}
	return by
}

func (d *authorsDecoder) runs(authors, records int) (runs []Run) {
	n := d.count(2)
	left := uint64(records)
	for range n {
		r := Run{uint32(d.uvarint(uint64(authors))), uint32(d.uvarint(left))}
		left -= uint64(r.Count)
		runs = append(runs, r)
	}
	if left > 0 && n > 0 {
		d.bad = true
	}
	return runs
}

// byAt gives who made the record at a place; 0 when that is not known.
func byAt(runs []Run, at int) uint32 {
	for _, r := range runs {
		if at < int(r.Count) {
			return r.By
		}
		at -= int(r.Count)
	}
	return 0
}

// author puts back what was left out. own is the name of the number, and added
// are the records that the commit added to the owner of the record.
func (by *By) author(own rr.Name, added []rr.RR) rr.Author {
	a := by.Author
	if by.OwnKey {
		a.Key = own
	}
	if by.FromAdded != 0 {
		for i := range added {
			if added[i].Type == by.FromAdded {
				a.From, _ = netip.AddrFromSlice([]byte(added[i].Data))
				break
			}
		}
	}
	return a
}
