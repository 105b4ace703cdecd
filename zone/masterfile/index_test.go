package masterfile

import (
	"math/rand/v2"
	"slices"
	"testing"

	"dialtone/zone/rr"
)

// TestIndexLeadsToEveryName has names come in order, out of order, again and in
// capitals, and compares with a map and a sort.
func TestIndexLeadsToEveryName(t *testing.T) {
	apex := rr.MustName("phones.example.")
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		c, numbers := newContent(apex), map[string]int{}
		check := func(labels string) {
			want, known := numbers[string(rr.Name(labels).Lower())]
			if got := c.lookup(labels); known && got != want || !known && got >= 0 {
				t.Fatalf("seed %d: %q has number %d, got %d", seed, labels, want, got)
			}
		}
		for range 1 + rnd.IntN(12) {
			names := make([]string, 1+rnd.IntN(60))
			for i := range names {
				names[i] = someLabels(rnd)
			}
			if rnd.IntN(4) > 0 {
				slices.SortFunc(names, func(a, b string) int { return rr.Name(a).Compare(rr.Name(b)) })
			}
			for _, labels := range names {
				key := string(rr.Name(labels).Lower())
				n := c.intern(labels)
				if want, known := numbers[key]; known && n != want || !known && n != len(numbers) {
					t.Fatalf("seed %d: %q becomes number %d, of %d", seed, labels, n, len(numbers))
				}
				numbers[key] = n
				if rnd.IntN(8) == 0 {
					check(someLabels(rnd))
				}
			}
		}
		for labels := range numbers {
			check(labels)
		}
		var order []rr.Name
		for n := range c.order() {
			order = append(order, c.owner(n))
		}
		if len(order) != len(numbers) || !slices.IsSortedFunc(order, rr.Name.Compare) {
			t.Fatalf("seed %d: %d names in the order %v", seed, len(numbers), order)
		}
	}
}

// someLabels are zero to two labels of few letters and of octets that sort
// beside them.
func someLabels(rnd *rand.Rand) (labels string) {
	for range rnd.IntN(5) % 3 {
		label := make([]byte, 1+rnd.IntN(3))
		for i := range label {
			label[i] = "abcABC01*-\x00\xe9\xc9["[rnd.IntN(14)]
		}
		labels += string(rune(len(label))) + string(label)
	}
	return labels
}
