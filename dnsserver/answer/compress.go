package answer

// maxPointer is the first offset that a pointer cannot reach
// (RFC 1035, section 4.1.4).
const maxPointer = 1 << 14

// Bounds of the work that compression may cost. A name that finds no place is
// written all the same, only longer.
const (
	slots     = 128 // of the table, a power of two
	maxLabels = 96  // remembered
	maxProbes = 8
)

// suffixes remembers the labels written so far as a tree with the root label
// as its root: a label is found by its parent's place and its octets. Labels
// compare with their case, so that what a record says is sent as it was
// entered.
type suffixes struct {
	slot   [slots]suffix
	round  uint32 // slots of another round are empty
	used   int
	seeded bool // the question's labels are in
}

type suffix struct {
	round       uint32
	parent, off uint16
}

// forget empties the table.
func (t *suffixes) forget() {
	if !t.seeded {
		return
	}
	t.used, t.seeded = 0, false
	if t.round++; t.round == 0 {
		t.slot = [slots]suffix{}
	}
}

// find looks for the label below the one at parent. off is 0 when it is not
// there; then at is the slot to put it in, or -1.
func (t *suffixes) find(msg []byte, parent uint16, label []byte) (off uint16, at int) {
	h := uint32(parent)*0x9E3779B1 ^ 0x811C9DC5
	for _, c := range label {
		h = (h ^ uint32(c)) * 0x01000193
	}
	h ^= h >> 15
	for range maxProbes {
		s := &t.slot[h%slots]
		if s.round != t.round || s.off == 0 {
			return 0, int(h % slots)
		}
		if s.parent == parent && msg[s.off] == label[0] && string(msg[s.off:int(s.off)+len(label)]) == string(label) {
			return s.off, -1
		}
		h++
	}
	return 0, -1
}

func (t *suffixes) put(at int, parent uint16, off int) bool {
	if at < 0 || off >= maxPointer || t.used >= maxLabels {
		return false
	}
	t.slot[at] = suffix{t.round, parent, uint16(off)}
	t.used++
	return true
}

// seed makes the question known.
func (w *writer) seed() {
	w.seen.seeded = true
	if w.questionEnd > 0 {
		w.remember(w.out[headerLen:w.questionEnd-4], headerLen)
	}
}

// split notes where the labels of name start.
func (w *writer) split(name []byte) (labels int) {
	for i := 0; name[i] != 0; i += int(name[i]) + 1 {
		w.starts[labels] = uint8(i)
		labels++
	}
	return labels
}

func (w *writer) label(name []byte, i int) []byte {
	s := int(w.starts[i])
	return name[s : s+1+int(name[s])]
}

// remember lets later names point into name, which stands uncompressed at off.
func (w *writer) remember(name []byte, off int) {
	if !w.seen.seeded {
		w.seed()
	}
	parent := uint16(0)
	for i := w.split(name) - 1; i >= 0; i-- {
		known, at := w.seen.find(w.out, parent, w.label(name, i))
		if known == 0 {
			if !w.seen.put(at, parent, off+int(w.starts[i])) {
				return
			}
			known = uint16(off + int(w.starts[i]))
		}
		parent = known
	}
}

// name writes a name, compressed against what was written before. It reports
// whether there was room.
func (w *writer) name(name []byte) bool {
	if !w.seen.seeded {
		w.seed()
	}
	parent, slot := uint16(0), -1
	i := w.split(name)
	literal := len(name) - 1
	for i > 0 {
		known, at := w.seen.find(w.out, parent, w.label(name, i-1))
		if known == 0 {
			slot = at
			break
		}
		i--
		parent, literal = known, int(w.starts[i])
	}
	tail := 2
	if parent == 0 {
		tail = 1
	}
	start := w.pos
	if start+literal+tail > w.limit {
		return false
	}
	w.pos += copy(w.out[start:], name[:literal])
	if parent == 0 {
		w.out[w.pos] = 0
		w.pos++
	} else {
		w.u16(0xC000 | parent)
	}
	// The labels written in full can be pointed to from now on.
	for i--; i >= 0 && w.seen.put(slot, parent, start+int(w.starts[i])); i-- {
		parent = uint16(start + int(w.starts[i]))
		if i > 0 {
			_, slot = w.seen.find(w.out, parent, w.label(name, i-1))
		}
	}
	return true
}
