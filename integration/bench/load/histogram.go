package load

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets whose width grows with the value: each is at most a sixty-fourth of what it holds.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	max    uint64
}

const (
	subBits = 6 // 64 buckets for each power of two
	buckets = (64 - subBits + 1) << subBits
)

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) {
	v := uint64(max(d, 0))
	h.counts[bucketOf(v)]++
	h.total++
	h.max = max(h.max, v)
}

// Total is how many were added.
func (h *Histogram) Total() uint64 { return h.total }

// Max is the largest.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max) }

// Percentile gives a duration that p per cent of all do not exceed, to the width of a bucket; 0 when there are none.
func (h *Histogram) Percentile(p float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	want := uint64(p / 100 * float64(h.total))
	if float64(want) < p/100*float64(h.total) || want == 0 {
		want++
	}
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= want {
			return time.Duration(min(highest(i), h.max))
		}
	}
	return h.Max()
}

// bucketOf: values below 64 have a bucket each; above, the six bits behind the first decide.
func bucketOf(v uint64) int {
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)<<subBits + int(v>>shift) - 1<<subBits
}

// highest is the largest value of a bucket.
func highest(i int) uint64 {
	if i < 1<<subBits {
		return uint64(i)
	}
	shift := i>>subBits - 1
	first := uint64(i&(1<<subBits-1)+1<<subBits) << shift
	return first + 1<<shift - 1
}
