package busiest

import (
	"math/rand/v2"
	"testing"
	"time"
)

var begun = time.Unix(1_800_000_000, 0)

// TestBusiestAmongMany has three senders among very many others, each of which sends once.
func TestBusiestAmongMany(t *testing.T) {
	var c Counter[int]
	random := rand.New(rand.NewPCG(1, 2))
	sent := map[int]float64{}
	const second = 20_000
	for s := range 60 {
		now := begun.Add(time.Duration(s) * time.Second)
		for i := range second {
			who := 1000 + s*second + i
			switch n := random.IntN(100); {
			case n < 20:
				who = 1
			case n < 25:
				who = 2
			case n < 28:
				who = 3
			}
			sent[who]++
			c.Note(who, who == 2, now)
		}
	}
	most := c.Most(10, 100, begun.Add(60*time.Second-1))
	if len(most) != 3 {
		t.Fatalf("%+v", most)
	}
	for i, x := range most {
		// A part in places of all may be missing, and what comes of counting one in many at random: of the least, 36,000
		// in all, some 2,000 are counted.
		is, may := sent[i+1]/60, float64(second)/places+0.15*sent[i+1]/60
		if x.Who != i+1 || x.Sent > is+may || x.Sent < is-may {
			t.Errorf("place %d: %+v, want %.0f a second, give or take %.0f", i, x, is, may)
		}
		if refused := x.Refused > 0; refused != (x.Who == 2) {
			t.Errorf("place %d: %+v", i, x)
		}
	}
	if n := len(c.mu.now.list) + len(c.mu.before.list); n > 2*places {
		t.Errorf("%d are kept", n)
	}
}

// TestNobodyIsNamedForOthers: of senders that all send once, none has sent much, however many there are.
func TestNobodyIsNamedForOthers(t *testing.T) {
	var c Counter[int]
	for i := range 100_000 {
		c.Note(i, true, begun.Add(time.Duration(i)*100*time.Microsecond))
	}
	if most := c.Most(10, 1, begun.Add(10*time.Second)); len(most) != 0 {
		t.Errorf("%+v", most)
	}
}

func TestBusiestOfLate(t *testing.T) {
	var c Counter[string]
	for i := range 600 {
		c.Note("a", false, begun.Add(time.Duration(i)*10*time.Millisecond))
	}
	rate := func(after time.Duration) float64 {
		for _, x := range c.Most(1, 0.1, begun.Add(after)) {
			return x.Sent
		}
		return 0
	}
	for _, row := range []struct {
		after time.Duration
		want  float64
	}{
		{6 * time.Second, 100}, {30 * time.Second, 20}, {59 * time.Second, 600. / 59}, {61 * time.Second, 0},
	} {
		if got := rate(row.after); got < row.want*0.99 || got > row.want*1.01 {
			t.Errorf("after %s: %.2f a second, want %.2f", row.after, got, row.want)
		}
	}
}

// TestBusiestInTurns has senders that come in a fixed order: all are told of alike.
func TestBusiestInTurns(t *testing.T) {
	var c Counter[int]
	const senders, second = 16, 20_000
	for i := range 20 * second {
		c.Note(i%senders, false, begun.Add(time.Duration(i)*time.Second/second))
	}
	most := c.Most(senders, 1, begun.Add(20*time.Second))
	if len(most) != senders {
		t.Fatalf("%d senders", len(most))
	}
	for _, x := range most {
		if is := float64(second) / senders; x.Sent < is*0.7 || x.Sent > is*1.3 {
			t.Errorf("%+v, want %.0f a second", x, is)
		}
	}
}

// TestBusiestAcrossATurn: a message that is counted a moment later than others loses nothing, a clock that is set back all.
func TestBusiestAcrossATurn(t *testing.T) {
	var c Counter[string]
	for i := range 3000 {
		c.Note("a", false, begun.Add(time.Duration(i)*10*time.Millisecond))
	}
	c.Note("a", false, begun.Add(half+time.Microsecond))
	c.Note("a", false, begun.Add(half-time.Microsecond))
	if most := c.Most(1, 1, begun.Add(half)); len(most) != 1 || most[0].Sent < 100 {
		t.Errorf("%+v", most)
	}
	c.Note("b", false, begun.Add(-time.Hour))
	if most := c.Most(10, 0.1, begun.Add(-time.Hour)); len(most) != 1 || most[0].Who != "b" {
		t.Errorf("%+v", most)
	}
}

func BenchmarkNote(b *testing.B) {
	var c Counter[int]
	for i := range b.N {
		c.Note(i%1000, false, begun.Add(time.Duration(i)*10*time.Microsecond))
	}
}
