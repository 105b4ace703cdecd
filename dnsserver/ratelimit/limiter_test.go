package ratelimit

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	victim = netip.MustParseAddr("198.51.100.7")
	other  = netip.MustParseAddr("203.0.113.7")
	phone  = Response{Class: Answers, QType: 1, Name: []byte("\x075551234\x06phones\x07example\x00")}
	begin  = time.Unix(1_800_000_000, 0)
)

// ratesOf has one rate for all classes but All.
func ratesOf(n int) (r [Classes]int) {
	for c := range int(All) {
		r[c] = n
	}
	return r
}

// clocked is a Limiter with a clock.
type clocked struct {
	*Limiter
	at     time.Time
	events []Event
	tally  Tally
}

func newClocked(o Options) *clocked {
	c := &clocked{Limiter: New(o, begin), at: begin}
	c.pass(0)
	return c
}

func (c *clocked) pass(d time.Duration) {
	c.at = c.at.Add(d)
	c.Tick(c.at, func(e Event) {
		e.Name = append([]byte(nil), e.Name...)
		c.events = append(c.events, e)
	})
}

// take asks n times and gives the verdicts in letters.
func (c *clocked) take(n int, client netip.Addr, r Response) string {
	var b []byte
	for range n {
		b = append(b, "sdtl"[c.Take(client, r, &c.tally)])
	}
	return string(b)
}

func TestRateSlipAndWindow(t *testing.T) {
	c := newClocked(Options{Rates: ratesOf(5), Window: 2 * time.Second})
	for i, step := range []struct {
		pass time.Duration
		n    int
		want string
	}{
		{0, 11, "ssssstdtdtd"},             // the first of two slips
		{time.Second, 3, "tdt"},            // 6 are owed, 5 may be
		{2 * time.Second, 8, "ssssstdt"},   // 9, less what two seconds pay
		{0, 100, strings.Repeat("dt", 50)}, // the debt has an end
		{2*time.Second + time.Second/5, 1, "s"},
		{10 * time.Second, 6, "ssssst"},
	} {
		c.pass(step.pass)
		if got := c.take(step.n, victim, phone); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

// A client that keeps to the rate is never limited, however long it goes on.
func TestAtTheRate(t *testing.T) {
	for _, rate := range []int{1, 4, 20, 1000} {
		c := newClocked(Options{Rates: ratesOf(rate)})
		for range 4000 {
			c.pass(time.Second / 4)
			if got := c.take(rate/4, victim, phone); got != strings.Repeat("s", rate/4) {
				t.Fatalf("rate %d: %s", rate, got)
			}
		}
		c.pass(time.Minute)
		if got := c.take(rate+1, victim, phone); got != strings.Repeat("s", rate)+"t" {
			t.Errorf("rate %d: %s", rate, got)
		}
	}
}

func TestSlip(t *testing.T) {
	for slip, want := range map[int]string{-1: "sdddddd", 1: "stttttt", 2: "stdtdtd", 3: "stddtdd", 10: "stddddd"} {
		if got := newClocked(Options{Rates: ratesOf(1), Slip: slip}).take(7, victim, phone); got != want {
			t.Errorf("slip %d: %s, want %s", slip, got, want)
		}
	}
	c := newClocked(Options{Rates: ratesOf(1), Slip: 1})
	if got := c.take(3, victim, Response{Class: Errors}); got != "sdd" {
		t.Errorf("errors: %s", got)
	}
	var rates [Classes]int
	rates[All] = 1
	c = newClocked(Options{Rates: rates, Slip: 1})
	if got := c.take(2, victim, Response{Class: Errors}) + c.take(1, victim, phone); got != "sdt" {
		t.Errorf("errors, by the rate for all: %s", got)
	}
}

func TestWhatIsTheSame(t *testing.T) {
	same := map[string][2]struct {
		client string
		r      Response
	}{
		"network":       {{"198.51.100.1", phone}, {"198.51.100.255", phone}},
		"network of v6": {{"2001:db8:0:1::1", phone}, {"2001:db8:0:ff:2::", phone}},
		"mapped":        {{"198.51.100.1", phone}, {"::ffff:198.51.100.1", phone}},
		"errors":        {{"198.51.100.1", Response{Class: Errors}}, {"198.51.100.2", Response{Class: Errors}}},
	}
	differ := map[string][2]struct {
		client string
		r      Response
	}{
		"network":       {{"198.51.100.1", phone}, {"198.51.101.1", phone}},
		"network of v6": {{"2001:db8::1", phone}, {"2001:db8:0:100::1", phone}},
		"family":        {{"0.0.1.0", phone}, {"::", phone}},
		"type":          {{"198.51.100.1", phone}, {"198.51.100.1", Response{Class: Answers, QType: 28, Name: phone.Name}}},
		"name":          {{"198.51.100.1", phone}, {"198.51.100.1", Response{Class: Answers, QType: 1, Name: phone.Name[8:]}}},
		"wildcard":      {{"198.51.100.1", phone}, {"198.51.100.1", Response{Class: Answers, QType: 1, Name: phone.Name, Wildcard: true}}},
		"class":         {{"198.51.100.1", Response{Class: NoData, Name: phone.Name}}, {"198.51.100.1", Response{Class: NXDomains, Name: phone.Name}}},
	}
	for name, pair := range same {
		c := newClocked(Options{Rates: ratesOf(1)})
		if got := c.take(1, netip.MustParseAddr(pair[0].client), pair[0].r) + c.take(1, netip.MustParseAddr(pair[1].client), pair[1].r); got == "ss" {
			t.Errorf("%s: counted apart", name)
		}
	}
	for name, pair := range differ {
		c := newClocked(Options{Rates: ratesOf(1)})
		if got := c.take(1, netip.MustParseAddr(pair[0].client), pair[0].r) + c.take(1, netip.MustParseAddr(pair[1].client), pair[1].r); got != "ss" {
			t.Errorf("%s: counted together", name)
		}
	}
}

func TestRatesByClass(t *testing.T) {
	c := newClocked(Options{Rates: [Classes]int{Answers: 0, NXDomains: 2, All: 7}})
	nx := Response{Class: NXDomains, Name: phone.Name}
	if got := c.take(4, victim, nx) + c.take(6, victim, phone); got != "sstdssssst" {
		t.Errorf("%s", got)
	}
	if n := c.tally.Limited; n[NXDomains][Slip] != 1 || n[NXDomains][Drop] != 1 || n[All][Slip] != 1 || !c.tally.Any {
		t.Errorf("%v", n)
	}
}

func TestExempt(t *testing.T) {
	var exempt []netip.Prefix
	for _, p := range []string{"198.51.100.0/25", "198.51.100.0/30", "198.51.100.64/26", "192.0.2.1/32", "2001:db8::/32", "2001:db8:1::/48", "::1/128"} {
		exempt = append(exempt, netip.MustParsePrefix(p))
	}
	c := newClocked(Options{Rates: ratesOf(1), Exempt: exempt})
	for client, want := range map[string]string{
		"198.51.100.0": "ss", "198.51.100.127": "ss", "198.51.100.128": "st", "198.51.99.255": "st", "192.0.2.1": "ss", "192.0.2.2": "st",
		"2001:db8:ffff::1": "ss", "2001:db9::": "st", "::1": "ss", "255.255.255.255": "st", "::ffff:198.51.100.1": "ss",
	} {
		if got := c.take(2, netip.MustParseAddr(client), phone); got != want {
			t.Errorf("%s: %s", client, got)
		}
	}
}

func TestLogOnly(t *testing.T) {
	c := newClocked(Options{Rates: ratesOf(1), LogOnly: true})
	if got := c.take(4, victim, phone); got != "slll" {
		t.Error(got)
	}
	c.pass(time.Second / 4)
	if len(c.events) != 1 || c.tally.Limited[Answers][Logged] != 3 {
		t.Errorf("%v %v", c.events, c.tally)
	}
}

// The table has its size, whatever comes; a network that owes much stays in it.
func TestTableIsBounded(t *testing.T) {
	c := newClocked(Options{Rates: ratesOf(5), Entries: 1000})
	if c.Size() != MinEntries {
		t.Fatalf("%d accounts", c.Size())
	}
	c.take(100, victim, phone)
	for i := range 200_000 {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(i)<<8)
		if v := c.Take(netip.AddrFrom4(a), phone, &c.tally); v != Send {
			t.Fatalf("network %d: %d", i, v)
		}
	}
	if got := c.take(2, victim, phone); got != "dt" {
		t.Errorf("after the others: %s", got)
	}
	if n := c.InUse(); n != c.Size() {
		t.Errorf("%d accounts in use", n)
	}
	if c.tally.Evicted < 190_000 {
		t.Errorf("%d made room", c.tally.Evicted)
	}
	c.pass(17 * time.Second)
	if n := c.InUse(); n != 0 {
		t.Errorf("%d accounts in use when all is paid", n)
	}
}

// What was paid long ago is not owed again when the clock has come round.
func TestClockComesRound(t *testing.T) {
	c := newClocked(Options{Rates: ratesOf(1)})
	c.take(20, victim, phone)
	round := time.Duration(1<<32) * time.Second / second
	for left := round - 10*time.Second; left > 0; left -= 10 * time.Second {
		c.pass(min(left, 10*time.Second))
	}
	if got, n := c.take(1, victim, phone), c.InUse(); got != "s" || n != 1 {
		t.Errorf("%s, %d in use", got, n)
	}
}

func TestEvents(t *testing.T) {
	c := newClocked(Options{Rates: ratesOf(1), Window: 2 * time.Second})
	c.take(3, victim, phone)
	c.take(3, netip.MustParseAddr("2001:db8:1:2ff::1"), Response{Class: NXDomains, Name: phone.Name[8:]})
	c.pass(time.Second / 4)
	c.take(3, victim, phone)
	c.pass(time.Second / 4)
	if len(c.events) != 2 {
		t.Fatalf("%+v", c.events)
	}
	if e := c.events[0]; e.Ended || e.Network.String() != "198.51.100.0/24" || e.Class != Answers || string(e.Name) != string(phone.Name) || e.QType != 1 {
		t.Errorf("%+v", e)
	}
	if e := c.events[1]; e.Ended || e.Network.String() != "2001:db8:1:200::/56" || e.Class != NXDomains || string(e.Name) != string(phone.Name[8:]) {
		t.Errorf("%+v", e)
	}
	c.pass(3 * time.Second)
	if len(c.events) != 4 || !c.events[2].Ended || !c.events[3].Ended || c.events[2].Network.String() != "198.51.100.0/24" {
		t.Fatalf("%+v", c.events)
	}
}

// A Limiter that makes room for another tells the end of what it told the beginning of.
func TestEnd(t *testing.T) {
	c := newClocked(Options{Rates: ratesOf(1)})
	c.take(3, victim, phone)
	c.pass(time.Second / 4)
	for range 2 {
		c.End(func(e Event) { c.events = append(c.events, e) })
	}
	if len(c.events) != 2 || c.events[0].Ended || !c.events[1].Ended || string(c.events[1].Name) != string(phone.Name) {
		t.Errorf("%+v", c.events)
	}
}

// Events are few, whatever comes, and those that are left out are counted.
func TestEventsAreBounded(t *testing.T) {
	c := newClocked(Options{Rates: ratesOf(1)})
	limited := 0
	for tick := range 400 {
		for i := range 100 {
			c.take(2, netip.AddrFrom4([4]byte{10, byte(tick), byte(i), 1}), phone)
			limited++
		}
		c.pass(time.Second / 4)
	}
	c.pass(time.Hour)
	c.pass(time.Hour)
	c.pass(time.Hour)
	c.pass(time.Hour)
	c.pass(time.Hour)
	begun, ended, unlogged := 0, 0, uint64(0)
	for _, e := range c.events {
		unlogged += e.Unlogged
		if e.Ended {
			ended++
		} else {
			begun++
		}
	}
	unlogged += c.Limiter.events.unlogged.Load()
	if begun != ended || begun+ended > atOnce+100*perSecond+4*atOnce || begun < 50 || begun+int(unlogged) != limited {
		t.Errorf("%d begun, %d ended, %d unlogged of %d", begun, ended, unlogged, limited)
	}
}

// Several goroutines together get no more than the rate, but for what meets: each response that was counted can have
// come before one of each other goroutine, and after tries of these one leaves that is not counted.
func TestTogether(t *testing.T) {
	const readers, each = 8, 5000
	c := newClocked(Options{Rates: ratesOf(100), Slip: -1})
	var wg sync.WaitGroup
	var tallies [readers]Tally
	for i := range readers {
		wg.Go(func() {
			for range each {
				c.Take(victim, phone, &tallies[i])
				c.Take(other, Response{Class: NoData, Name: phone.Name}, &tallies[i])
			}
		})
	}
	wg.Wait()
	for _, class := range []Class{Answers, NoData} {
		sent := readers * each
		for i := range tallies {
			sent -= int(tallies[i].Limited[class][Drop])
		}
		if sent < 100 || sent > 100+100*(readers-1)/tries {
			t.Errorf("%v: %d were sent", class, sent)
		}
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	c := newClocked(Options{Rates: [Classes]int{5, 5, 5, 5, 5, 1}, Exempt: []netip.Prefix{netip.MustParsePrefix("::1/128")}})
	n := testing.AllocsPerRun(1000, func() {
		c.Take(victim, phone, &c.tally)
		c.Take(other, Response{Class: Errors}, &c.tally)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTake(b *testing.B) {
	for _, bench := range []struct {
		name string
		mask uint32
		all  int
	}{{"one network", 0, 0}, {"one network, all", 0, 1000}, {"many networks", 1<<20 - 1, 0}} {
		b.Run(bench.name, func(b *testing.B) {
			rates := ratesOf(1000)
			rates[All] = bench.all
			c := newClocked(Options{Rates: rates})
			var a [4]byte
			i := uint32(0)
			b.ReportAllocs()
			for b.Loop() {
				i += 0x9E3779B1
				binary.BigEndian.PutUint32(a[:], i>>12&bench.mask<<8)
				c.Take(netip.AddrFrom4(a), phone, &c.tally)
			}
		})
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for c := range Classes {
		seen[Class(c).String()] = true
	}
	for v := range Verdicts {
		seen[Verdict(v).String()] = true
	}
	if len(seen) != Classes+Verdicts {
		t.Error(fmt.Sprint(seen))
	}
}
