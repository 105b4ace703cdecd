package table

// slots is the memory of segments of full size; that of smaller ones is on the
// heap, and the collector's. What a segment leaves is used again when the
// readers that may still look at it have left.
type slots struct {
	made      int        // segments of memory taken
	chunk     []uint64   // not used yet
	free      [][]uint64 // used before
	discarded []discarded
	shown     bool // readers may look at the table
}

type discarded struct {
	epoch uint64 // 0: of the version that is being written
	slots []uint64
}

// heapSegments have memory of their own on the heap: 1 MiB.
const heapSegments = 32

func (s *slots) take(t *Table) []uint64 {
	if n := len(s.free); n > 0 {
		x := s.free[n-1]
		s.free = s.free[:n-1]
		clear(x)
		return x
	}
	s.made++
	if s.made <= heapSegments {
		return make([]uint64, segmentMax)
	}
	if len(s.chunk) == 0 {
		s.chunk = wordsOf(t.memory.take(t, mapFrom))
	}
	x := s.chunk[:segmentMax:segmentMax]
	s.chunk = s.chunk[segmentMax:]
	return x
}

// discard takes what a segment leaves that others have replaced.
func (s *slots) discard(old *segment) {
	switch {
	case len(old.slots) < segmentMax:
	case !s.shown:
		s.free = append(s.free, old.slots)
	default:
		s.discarded = append(s.discarded, discarded{slots: old.slots})
	}
}

// published tells the epoch from which on no reader finds what was discarded.
func (s *slots) published(epoch uint64) {
	s.shown = true
	for i := range s.discarded {
		if d := &s.discarded[i]; d.epoch == 0 {
			d.epoch = epoch
		}
	}
}

// reclaim frees what was discarded at low or before.
func (s *slots) reclaim(low uint64) {
	kept := s.discarded[:0]
	for _, d := range s.discarded {
		if d.epoch == 0 || d.epoch > low {
			kept = append(kept, d)
		} else {
			s.free = append(s.free, d.slots)
		}
	}
	clear(s.discarded[len(kept):])
	s.discarded = kept
}

// octets of all memory taken.
func (s *slots) octets() int64 { return int64(8 * (s.made*segmentMax + len(s.chunk))) }
