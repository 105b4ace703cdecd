package dnsserver

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
)

// TestDigestsAreAMap compares with a map.
func TestDigestsAreAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var d digests
	want := map[uint64]uint8{}
	for range 200_000 {
		k := r.Uint64N(300) << (r.IntN(3) * 20)
		if r.IntN(3) == 0 {
			d.delete(k)
			delete(want, max(k, 1))
		} else {
			code := uint8(r.Uint32())
			d.put(k, code)
			want[max(k, 1)] = code
		}
		code, ok := d.get(k)
		if w, has := want[max(k, 1)]; ok != has || ok && code != w {
			t.Fatalf("%d: %d, %v, want %d, %v", k, code, ok, w, has)
		}
		if first := d.first(k); ok && first == 0 {
			t.Fatalf("nothing stands in the place of %d", k)
		}
		if d.n != len(want) {
			t.Fatalf("%d entries, want %d", d.n, len(want))
		}
		if r.IntN(20_000) == 0 {
			g := generation{answers: d}
			g.reset()
			d = g.answers
			clear(want)
		}
	}
	for k, code := range want {
		if got, ok := d.get(k); !ok || got != code {
			t.Fatalf("%d is lost", k)
		}
	}
}

// TestAnswersComeBackAsTheyWere has more different answers than there are codes,
// and asks for them before and after the generations turn.
func TestAnswersComeBackAsTheyWere(t *testing.T) {
	var a answered
	now := time.Unix(1_800_000_000, 0)
	a.init(now, 1<<18)
	want := map[uint64]outcome{}
	for i := uint64(1); i <= 2000; i++ {
		o := outcome{rcode: uint16(i % 11)}
		switch i % 4 {
		case 1:
			o.lease = []byte{0, 0, byte(i >> 8), byte(i)}
		case 2:
			o.lease = []byte{0xff, 0, byte(i >> 8), byte(i), 0, 1, 2, 3}
		case 3:
			o.rcode, o.ede = dns.RcodeRefused, &answer.EDE{Code: answer.EDEProhibited, Text: "no"}
		}
		want[i] = o
		if _, known, _ := a.begin(i, now); known {
			t.Fatalf("%d is known", i)
		}
		if _, known, pending := a.begin(i, now); !known || !pending {
			t.Fatalf("%d is not being done", i)
		}
		a.end(i, o, now)
	}
	for range 2 {
		for i, o := range want {
			got, known := a.lookUp(i)
			if !known || got.rcode != o.rcode || string(got.lease) != string(o.lease) || got.ede != o.ede {
				t.Fatalf("%d: %+v, want %+v", i, got, o)
			}
		}
		now = now.Add(answeredFor)
		a.tick(now)
	}
	if n, _ := a.remembered(); n != 0 {
		t.Errorf("%d are remembered", n)
	}
}

// BenchmarkAnswered is what an update costs of it, with all that may be remembered.
func BenchmarkAnswered(b *testing.B) {
	var a answered
	now := time.Unix(1_800_000_000, 0)
	a.init(now, Limits{}.withDefaults().UpdateAnswers)
	r := rand.New(rand.NewPCG(1, 2))
	for range 2 * a.limit {
		a.end(r.Uint64(), outcome{}, now)
	}
	b.ReportAllocs()
	for b.Loop() {
		k := r.Uint64()
		a.begin(k, now)
		a.end(k, outcome{}, now)
	}
}
