package table

import "math/rand/v2"

// Numbers is a set of labels next to the apex, in lower case. It is immutable
// once it is shared.
type Numbers struct {
	seed   uint64
	slots  []uint64 // packed numbers, 0 for none
	used   int
	others map[string]bool
}

// NewNumbers makes an empty set with room for n.
func NewNumbers(n int) *Numbers {
	size := 16
	for size < 2*n {
		size *= 2
	}
	return &Numbers{seed: rand.Uint64(), slots: make([]uint64, size)}
}

// Add adds a label. There must be room for it.
func (s *Numbers) Add(label string) {
	p, ok := packNumber(label)
	if !ok {
		if s.others == nil {
			s.others = map[string]bool{}
		}
		s.others[label] = true
		return
	}
	if i, has := s.find(p); !has {
		s.slots[i] = p
		s.used++
	}
}

// Has tells whether a label is in the set. It allocates nothing.
func (s *Numbers) Has(label []byte) bool {
	if p, ok := packNumber(label); ok {
		_, has := s.find(p)
		return has
	}
	return s.others[string(label)]
}

// Len counts the labels.
func (s *Numbers) Len() int { return s.used + len(s.others) }

// All calls f for each label.
func (s *Numbers) All(f func(label string)) {
	for _, p := range s.slots {
		if p != 0 {
			f(unpackNumber(p))
		}
	}
	for label := range s.others {
		f(label)
	}
}

// find gives the slot of a packed number, or the one where it would be. No
// number is 0 when it is packed: it has digits.
func (s *Numbers) find(p uint64) (slot int, has bool) {
	h := (p ^ s.seed) * 0xd6e8feb86659fd93
	i := int(h^h>>32) & (len(s.slots) - 1)
	for s.slots[i] != 0 && s.slots[i] != p {
		i = (i + 1) & (len(s.slots) - 1)
	}
	return i, s.slots[i] == p
}
