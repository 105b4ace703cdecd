package transfer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/store"
	"dialtone/zone/zonetest"

	"github.com/miekg/dns"
)

// RFC 1995, section 2.
func TestClientThatIsCurrentOrNewerGetsOneSOA(t *testing.T) {
	z := zonetest.Open(t, apex, smallZone)
	for _, serial := range []uint32{10, 11, 10 + 1<<31 - 1} {
		for _, tcp := range []bool{true, false} {
			a := serve(t, testServer(), ask(t, ixfr(serial), tcp), z)
			all := a.records()
			if len(all) != 1 || !isSOA(all[0]) || all[0].(*dns.SOA).Serial != 10 || a.stats.Style != Single {
				t.Errorf("serial %d: got %v, %+v", serial, all, a.stats)
			}
		}
	}
}

// RFC 1995, section 4: a serial without history gets the whole zone, never an
// error. So does one at a distance of 2^31, which is neither newer nor older.
func TestUnknownSerialGetsWholeZone(t *testing.T) {
	z := zonetest.Open(t, apex, smallZone)
	for _, serial := range []uint32{9, 1, 0, 10 + 1<<31} {
		a := serve(t, testServer(), ask(t, ixfr(serial), true), z)
		all := a.records()
		if got := lines(t, all[:len(all)-1]); !slices.Equal(got, zonetest.Read(z)) || a.stats.Style != Full {
			t.Errorf("serial %d: style %v, %d records", serial, a.stats.Style, len(all))
		}
		if q := a.msgs[0].Question[0].Qtype; q != dns.TypeIXFR {
			t.Errorf("question type %d", q)
		}
	}
}

// RFC 1995, section 4: the sequence of a difference.
func TestDifferenceSequence(t *testing.T) {
	z := zonetest.Open(t, apex, smallZone)
	put(t, z, "5551234 60 IN A 192.0.2.35\n")
	last := put(t, z, "5559999 60 IN A 192.0.2.99\n")
	a := serve(t, testServer(), ask(t, ixfr(10), true), z)
	var got []string
	for _, m := range a.records() {
		switch m := m.(type) {
		case *dns.SOA:
			got = append(got, fmt.Sprint("SOA ", m.Serial))
		case *dns.A:
			got = append(got, m.Hdr.Name+" "+m.A.String())
		default:
			t.Errorf("unexpected %v", m)
		}
	}
	want := []string{
		fmt.Sprint("SOA ", last), "SOA 10", "5551234.phones.example. 192.0.2.34",
		fmt.Sprint("SOA ", last), "5551234.phones.example. 192.0.2.35", "5559999.phones.example. 192.0.2.99",
		fmt.Sprint("SOA ", last),
	}
	if !slices.Equal(got, want) || a.stats.Style != Incremental {
		t.Errorf("%v: got\n%s\nwant\n%s", a.stats.Style, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// RFC 1995, section 6: what was undone again is not sent.
func TestDifferenceIsCondensed(t *testing.T) {
	z := zonetest.Open(t, apex, smallZone)
	for i := range 50 {
		put(t, z, fmt.Sprintf("5551234 60 IN A 192.0.2.%d\n", 100+i))
		put(t, z, "5550000 60 IN TXT there\n")
		remove(t, z, "5550000."+apex, dns.TypeTXT)
	}
	if n := len(serve(t, testServer(), ask(t, ixfr(10), true), z).records()); n != 4+2 {
		t.Errorf("%d records", n)
	}
	put(t, z, "5551234 60 IN A 192.0.2.34\n")
	a := serve(t, testServer(), ask(t, ixfr(10), true), z)
	if n := len(a.records()); n != 4 || a.stats.Style != Incremental {
		t.Errorf("%d records, %v, for a difference in the SOA alone", n, a.stats.Style)
	}
}

// The copy of a client plus the difference is the zone, from any serial.
func TestDifferenceFromAnySerialLeadsToTheZone(t *testing.T) {
	z := bigZone(t, 500)
	random := rand.New(rand.NewPCG(1, 2))
	copies := map[uint32][]string{10: zonetest.Read(z)}
	for range 60 {
		c := zonetest.Do(t, z, func(d *zone.Draft) error {
			for range 1 + random.IntN(20) {
				randomChange(d, random)
			}
			return nil
		})
		copies[c.Serial] = zonetest.Read(z)
	}
	want := zonetest.Read(z)
	incremental := 0
	for serial, old := range copies {
		a := serve(t, testServer(), ask(t, ixfr(serial), true), z)
		if a.stats.Style == Incremental {
			incremental++
		}
		if got := apply(t, old, a); !slices.Equal(got, want) {
			t.Errorf("from serial %d by %v: the result is not the zone", serial, a.stats.Style)
		}
	}
	if incremental < len(copies)/2 {
		t.Errorf("only %d of %d answers were differences", incremental, len(copies))
	}
}

func randomChange(d *zone.Draft, random *rand.Rand) {
	label := fmt.Sprintf("%08d", 55000000+random.IntN(40))
	if random.IntN(4) == 0 {
		label = "Ab" + label[2:] // a case that may differ from that of before
	}
	if random.IntN(4) == 0 {
		label = "aB" + label[2:]
	}
	owner := rr.Name("\x08"+label) + rr.MustName(apex)
	switch random.IntN(5) {
	case 0:
		d.Set(owner, rr.RRset{Type: dns.TypeA})
	case 1:
		d.Set(owner, rr.RRset{Type: dns.TypeMX, TTL: 60, Data: []string{"\x00\x0a\x02Mx" + apexWire, "\x00\x0b\x02mx" + apexWire}[:1+random.IntN(2)]})
	default:
		set := rr.RRset{Type: dns.TypeA, TTL: uint32(60 + random.IntN(2))}
		for i := range 1 + random.IntN(3) {
			set.Data = append(set.Data, string([]byte{10, 0, byte(random.IntN(3)), byte(i)}))
		}
		d.Set(owner, set)
	}
}

const apexWire = "\x06phones\x07example\x00"

// apply does what a secondary does with an answer.
func apply(t *testing.T, old []string, a *answers) []string {
	t.Helper()
	all := a.records()
	switch a.stats.Style {
	case Single:
		return old
	case Full:
		return lines(t, all[:len(all)-1])
	}
	have := map[string]bool{}
	for _, l := range old {
		have[l] = true
	}
	adding := true
	for i, m := range all[1 : len(all)-1] {
		l := lines(t, []dns.RR{m})[0]
		if isSOA(m) {
			adding = i > 0
		}
		switch {
		case adding && have[l]:
			t.Errorf("added twice: %s", l)
		case !adding && !have[l]:
			t.Errorf("deleted and was not there: %s", l)
		}
		if adding {
			have[l] = true
		} else {
			delete(have, l)
		}
	}
	var out []string
	for l := range have {
		out = append(out, l)
	}
	slices.Sort(out)
	return out
}

// A difference larger than the zone is not sent; a small one always is.
func TestDifferenceLargerThanTheZoneIsNotSent(t *testing.T) {
	z := bigZone(t, 1)
	text := strings.Builder{}
	for i := range 2000 {
		fmt.Fprintf(&text, "x%d 60 IN A 192.0.2.1\n", i)
	}
	put(t, z, text.String())
	c := zonetest.Do(t, z, func(d *zone.Draft) error {
		for i := range 1990 {
			d.Set(rr.MustName(fmt.Sprintf("x%d.%s", i, apex)), rr.RRset{Type: dns.TypeA})
		}
		return nil
	})
	if a := serve(t, testServer(), ask(t, ixfr(10), true), z); a.stats.Style != Incremental {
		t.Errorf("%v for a net difference of 10 records", a.stats.Style)
	}
	if a := serve(t, testServer(), ask(t, ixfr(c.Serial-1), true), z); a.stats.Style != Full || len(a.records()) > 20 {
		t.Errorf("%v of %d records for a difference of 1990", a.stats.Style, len(a.records()))
	}
}

// RFC 1995, section 2: over UDP the whole answer if it fits, else one SOA.
func TestDifferenceOverUDP(t *testing.T) {
	z := zonetest.Open(t, apex, smallZone)
	put(t, z, "5559999 60 IN A 192.0.2.99\n")
	a := serve(t, testServer(), ask(t, ixfr(10), false), z)
	if len(a.records()) != 5 || a.stats.Style != Incremental {
		t.Errorf("%v of %d records", a.stats.Style, len(a.records()))
	}
	put(t, z, `5559999 60 IN TXT "`+strings.Repeat("x", 200)+`" "`+strings.Repeat("y", 200)+"\"\n")
	for _, size := range []uint16{0, 512, 1232, 4096} {
		q := ixfr(10)
		if size > 0 {
			q.SetEdns0(size, false)
		}
		limit, want := max(min(int(size), 1232), 512), 1
		if size > 512 {
			want = 6
		}
		a := serve(t, testServer(), ask(t, q, false), z)
		if len(a.msgs) != 1 || len(a.records()) != want || len(a.raw[0]) > limit || a.msgs[0].Truncated {
			t.Errorf("size %d: %d messages, %d records, %d octets", size, len(a.msgs), len(a.records()), len(a.raw[0]))
		}
	}
	a = serve(t, testServer(), ask(t, ixfr(9), false), z)
	if len(a.records()) != 1 || a.stats.Style != Single {
		t.Errorf("without history: %v of %d records", a.stats.Style, len(a.records()))
	}
}

// RFC 2181, section 9: an SOA that does not fit is no answer but TC.
func TestSOAThatDoesNotFitUDPIsTruncated(t *testing.T) {
	long := func(c string) string { return strings.Repeat(strings.Repeat(c, 60)+".", 3) + strings.Repeat(c, 60) }
	text := fmt.Sprintf("@ 60 IN SOA %s. %s. 10 3600 600 864000 30\n@ 60 IN NS ns1\n", long("a"), long("b"))
	a := serve(t, testServer(), ask(t, ixfr(10), false), zonetest.Open(t, apex, text))
	if len(a.records()) != 0 || !a.msgs[0].Truncated || len(a.msgs[0].Question) != 1 {
		t.Errorf("got %v", a.msgs[0])
	}
}

// A journal that fails is no error for the client.
func TestBrokenJournalGetsWholeZone(t *testing.T) {
	s := &failingStore{Store: zonetest.NewStore(t, zonetest.Parse(t, apex, smallZone))}
	z := zonetest.OpenWith(t, apex, smallZone, func(o *zone.Options) { o.Store = s })
	put(t, z, "5559999 60 IN A 192.0.2.99\n")
	for _, s.mode = range []string{"error", "gap", "short", "empty"} {
		if a := serve(t, testServer(), ask(t, ixfr(10), true), z); a.stats.Style != Full {
			t.Errorf("%s: style %v", s.mode, a.stats.Style)
		}
	}
}

type failingStore struct {
	*zonetest.Store
	mode string
	stop func()
}

func (s *failingStore) Journal(from, to uint32) iter.Seq2[*store.Entry, error] {
	soa := rr.RR{Owner: rr.MustName(apex), Type: dns.TypeSOA, Data: "\x00\x00" + strings.Repeat("\x00", 20)}
	return func(yield func(*store.Entry, error) bool) {
		switch s.mode {
		case "error":
			_ = yield(&store.Entry{From: from, To: from + 1, OldSOA: soa}, nil) && yield(nil, errors.New("disk"))
		case "stop":
			s.stop()
			yield(&store.Entry{From: from, To: to, OldSOA: soa}, nil)
		case "gap":
			yield(&store.Entry{From: from + 1, To: to, OldSOA: soa}, nil)
		case "short":
			yield(&store.Entry{From: from, To: to + 5, OldSOA: soa}, nil)
		}
	}
}

// A server that stops does not read journals to their end, and sends nothing.
func TestCondensingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &failingStore{Store: zonetest.NewStore(t, zonetest.Parse(t, apex, smallZone)), mode: "stop", stop: cancel}
	z := zonetest.OpenWith(t, apex, smallZone, func(o *zone.Options) { o.Store = s })
	put(t, z, "5559999 60 IN A 192.0.2.99\n")
	_, err := testServer().Serve(ctx, ask(t, ixfr(10), true), z, nil, func([]byte) error {
		t.Error("something was sent")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// More journal than the zone is worth is not read to its end.
func TestCondensingIsBounded(t *testing.T) {
	entry := func(i int, add, del string) *store.Entry {
		e := &store.Entry{From: uint32(i), To: uint32(i + 1), OldSOA: rr.RR{Data: "x"}}
		owner := rr.MustName(apex)
		if add != "" {
			e.Added = []rr.RR{{Owner: owner, Type: dns.TypeTXT, Data: "\x07" + add}}
		}
		if del != "" {
			e.Deleted = []rr.RR{{Owner: owner, Type: dns.TypeTXT, Data: "\x07" + del}}
		}
		return e
	}
	for _, c := range []struct {
		name   string
		budget budget
		flap   bool
	}{
		{"what is held", budget{read: 1 << 30, hold: 1000, keep: 1 << 30}, false},
		{"what is read", budget{read: 5000, hold: 1 << 30, keep: 1 << 30}, true},
	} {
		read := 0
		endless := func(yield func(*store.Entry, error) bool) {
			for i := 0; i < 1000000; i++ {
				read++
				e := entry(i, fmt.Sprintf("%07d", i), "")
				if c.flap {
					e = entry(i, "0000000", "")
					if i%2 == 1 {
						e = entry(i, "", "0000000")
					}
				}
				if !yield(e, nil) {
					return
				}
			}
		}
		if _, err := condense(context.Background(), endless, 0, 1000000, c.budget, func() {}); !errors.Is(err, errTooMuch) || read > 200 {
			t.Errorf("%s: %v after %d entries", c.name, err, read)
		}
	}
}
