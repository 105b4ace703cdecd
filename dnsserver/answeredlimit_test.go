package dnsserver

import (
	"testing"
	"time"

	"dialtone/zone/rr"
)

// TestManyUpdatesOfASharedKey has a second full of updates of one key, the later
// half of which must be as good as the first, and a few that are late.
func TestManyUpdatesOfASharedKey(t *testing.T) {
	limits := Limits{}.withDefaults()
	var a answered
	start := time.Unix(1_800_000_000, 0)
	a.init(start.Add(-time.Second), limits.UpdateAnswers)
	const aSecond = 100_000
	key := rr.Name("\x04dhcp\x00")
	newest := uint32(start.Unix()) - 1
	a.took(key, newest-1, newest, true, start.Add(-time.Second))
	for i := range 5 * aSecond {
		now := start.Add(time.Duration(i) * time.Second / aSecond)
		signed := uint32(now.Add(-100 * time.Millisecond).Unix())
		if !a.knows(key, signed, true) && signed <= newest {
			t.Fatalf("update %d, signed at %d, is not known to be none of those before", i, signed)
		}
		if _, known, _ := a.begin(uint64(i)+1, now); known {
			t.Fatalf("update %d is taken for a copy", i)
		}
		if signed := uint32(now.Unix()); signed > newest {
			a.took(key, newest, signed, true, now)
			newest = signed
		}
	}
	if n, _ := a.remembered(); n > limits.UpdateAnswers {
		t.Errorf("%d are remembered, at most %d may be", n, limits.UpdateAnswers)
	}
}

// TestClockSetBackMakesNothingKnown: what was forgotten is not taken for known since it is from a time to come.
func TestClockSetBackMakesNothingKnown(t *testing.T) {
	var a answered
	key, now := rr.Name("\x04dhcp\x00"), time.Unix(1_800_000_000, 0)
	a.init(now, 100)
	signed := uint32(now.Unix())
	a.took(key, signed-2, signed, true, now)
	if !a.knows(key, signed, true) {
		t.Fatal("it has just been noted")
	}
	for range 2 {
		now = now.Add(-2 * answeredFor)
		a.tick(now)
	}
	if a.knows(key, signed, true) {
		t.Error("its digests are forgotten: a copy would be done again")
	}
}
