package table

// Path is a name with all its suffixes and their hashes, for the writer. It grows with the names that it is set to: each zone has
// two, and a server may have very many zones.
type Path struct {
	orig, lower []byte
	labels      int
	off         []uint8 // of the labels
	hash        []Hash  // of the last k labels; hash[0] is the apex
}

// SetPath takes a name relative to the apex: whole labels in wire form in any
// case, no root label, empty for the apex. The path keeps name.
func (t *Table) SetPath(p *Path, name []byte) {
	p.orig = name
	p.lower = append(p.lower[:0], name...)
	p.off = p.off[:0]
	for i := 0; i < len(name); i += int(name[i]) + 1 {
		p.off = append(p.off, uint8(i))
	}
	p.labels = len(p.off)
	for i, c := range p.lower {
		if 'A' <= c && c <= 'Z' {
			p.lower[i] = c | 0x20
		}
	}
	h := Hash(0)
	p.hash = append(p.hash[:0], h)
	for k := 1; k <= p.labels; k++ {
		i := int(p.off[p.labels-k])
		h = t.Extend(h, p.lower[i+1:i+1+int(p.lower[i])])
		p.hash = append(p.hash, h)
	}
}

// suffix gives the last k labels in lower case.
func (p *Path) suffix(k int) []byte { return p.lower[p.start(k):] }

// original gives the last k labels in the case as entered.
func (p *Path) original(k int) []byte { return p.orig[p.start(k):] }

func (p *Path) start(k int) int {
	if k == 0 {
		return len(p.lower)
	}
	return int(p.off[p.labels-k])
}

// FindPath is Find for a path. Writer only.
func (t *Table) FindPath(p *Path, version uint64) (Node, bool) {
	return t.Find(p.hash[p.labels], p.lower, version)
}

// Hash is that of the whole name.
func (p *Path) Hash() Hash { return p.hash[p.labels] }
