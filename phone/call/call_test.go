package call

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zaf/g711"

	"dialtone/phone"
)

// directory is a Locator: one list of contacts for each look-up, the last again
// and again.
type directory struct {
	mu    sync.Mutex
	asked int
	lists [][]phone.Contact
}

func (d *directory) Locate(_ context.Context, n phone.Number) (*phone.Location, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.lists[min(d.asked, len(d.lists)-1)]
	d.asked++
	if list == nil {
		return nil, phone.ErrNotRegistered
	}
	return &phone.Location{Number: n, Name: n.Name("phones.example"), Contacts: list}, nil
}

func at(transport string, addr netip.AddrPort) []phone.Contact {
	return []phone.Contact{{Transport: transport, Addr: addr, TTL: time.Minute}}
}

// diary keeps events, and lets tests wait for one.
type diary struct {
	mu     sync.Mutex
	events []Event
	news   chan struct{}
}

func newDiary() *diary { return &diary{news: make(chan struct{}, 1000)} }

func (d *diary) report(e Event) {
	d.mu.Lock()
	d.events = append(d.events, e)
	d.mu.Unlock()
	d.news <- struct{}{}
}

func (d *diary) find(k Kind) (Event, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.events, func(e Event) bool { return e.Kind == k })
	if i < 0 {
		return Event{}, false
	}
	return d.events[i], true
}

func (d *diary) kinds() (list []Kind) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		list = append(list, e.Kind)
	}
	return list
}

const patience = 30 * time.Second

func (d *diary) await(t *testing.T, k Kind) Event {
	t.Helper()
	d.awaitAll(t, k, 1)
	e, _ := d.find(k)
	return e
}

func (d *diary) awaitAll(t *testing.T, k Kind, count int) {
	t.Helper()
	deadline := time.After(patience)
	for {
		found := slices.DeleteFunc(d.kinds(), func(other Kind) bool { return other != k })
		if len(found) >= count {
			return
		}
		select {
		case <-d.news:
		case <-deadline:
			t.Fatalf("%q did not happen, but %q", k, d.kinds())
		}
	}
}

// answers runs an Answerer until the test ends, and gives its address.
func answers(t *testing.T, a *Answerer) netip.AddrPort {
	t.Helper()
	if a.Listen == "" {
		a.Listen = "127.0.0.1:0"
	}
	if err := a.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the answerer ends with %v", err)
		}
	})
	return a.Addr()
}

// tone is a sound whose every sample differs from its neighbours.
func tone(d time.Duration) *Audio {
	var pcm []byte
	for i := range int(d * sampleRate / time.Second) {
		v := 12000*math.Sin(float64(i)*2*math.Pi*440/sampleRate) + 8000*math.Sin(float64(i)*2*math.Pi*1633/sampleRate)
		pcm = binary.LittleEndian.AppendUint16(pcm, uint16(int16(v)))
	}
	return &Audio{pcm}
}

func (a *Audio) through(encode, decode func([]byte) []byte) []byte { return decode(encode(a.pcm)) }

func recorded(t *testing.T, file string) []byte {
	t.Helper()
	a, err := ReadAudio(file)
	if err != nil {
		t.Fatal(err)
	}
	return a.pcm
}

// grows waits until a file has so many octets.
func grows(t *testing.T, file string, size int) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		info, err := os.Stat(file)
		if err == nil && info.Size() >= int64(size) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: %v, %v, want %d octets", file, info, err, size)
		case <-tick.C:
		}
	}
}

// TestAudioBothWays: what one side plays is what the other records, sample by
// sample, over each transport and family.
func TestAudioBothWays(t *testing.T) {
	for _, way := range []struct{ transport, listen string }{
		{"udp", "127.0.0.1:0"}, {"tcp", "127.0.0.1:0"}, {"udp", "[::1]:0"}, {"tcp", "[::1]:0"}, {"udp", ":0"},
	} {
		t.Run(way.transport+" "+way.listen, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			hello, reply := tone(210*time.Millisecond), tone(130*time.Millisecond)
			there, here := newDiary(), newDiary()
			addr := answers(t, &Answerer{
				Number: "5551234", Listen: way.listen, Play: reply, Record: filepath.Join(dir, "there.wav"), Report: there.report,
			})
			if addr.Addr().IsUnspecified() {
				addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port())
			}
			c := &Caller{Locator: &directory{lists: [][]phone.Contact{at(way.transport, addr)}}, Report: here.report}
			ctx, hangUp := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() {
				ended <- c.Ring(ctx, "5551234", Talk{For: time.Hour, Play: hello, Record: filepath.Join(dir, "here.wav")})
			}()
			grows(t, filepath.Join(dir, "there.wav"), headerSize+len(hello.pcm))
			grows(t, filepath.Join(dir, "here.wav"), headerSize+len(reply.pcm))
			hangUp()
			if err := <-ended; err != nil {
				t.Fatalf("%v\n%v\n%v", err, here.kinds(), there.kinds())
			}
			there.await(t, Ended)
			if got := recorded(t, filepath.Join(dir, "there.wav")); !bytes.Equal(got, hello.through(g711.EncodeUlaw, g711.DecodeUlaw)) {
				t.Errorf("the answerer heard %d samples that are not the %d that were played", len(got)/2, len(hello.pcm)/2)
			}
			if got := recorded(t, filepath.Join(dir, "here.wav")); !bytes.Equal(got, reply.through(g711.EncodeUlaw, g711.DecodeUlaw)) {
				t.Errorf("the caller heard %d samples that are not the %d that were played", len(got)/2, len(reply.pcm)/2)
			}
			// An answer that follows the ringing at once may overtake it.
			sees := slices.DeleteFunc(here.kinds(), func(k Kind) bool { return k == Ringing })
			if want := []Kind{Calling, Answered, Recording, HungUp}; !slices.Equal(sees, want) {
				t.Errorf("the caller sees %q, want %q", sees, want)
			}
			if got, want := there.kinds(), []Kind{Incoming, Ringing, Answered, Recording, Ended}; !slices.Equal(got, want) {
				t.Errorf("the answerer sees %q, want %q", got, want)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	addr := answers(t, &Answerer{})
	for _, transport := range []string{"udp", "tcp"} {
		d := newDiary()
		c := &Caller{Locator: &directory{lists: [][]phone.Contact{at(transport, addr)}}, Report: d.report}
		if err := c.Probe(context.Background(), "5551234"); err != nil {
			t.Errorf("%s: %v", transport, err)
		}
		if e, ok := d.find(Reachable); !ok || e.Code != 200 || e.Addr != addr {
			t.Errorf("%s: %v", transport, d.events)
		}
	}
}

// closedPort is an address at which nobody listens.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	m, err := newMedia(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	m.close()
	return m.local
}

// silent is an address at which somebody listens and says nothing.
func silent(t *testing.T) netip.AddrPort {
	t.Helper()
	m, err := newMedia(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return m.local
}

// TestNextContact: what leads nowhere leads to the next, and to another look-up.
func TestNextContact(t *testing.T) {
	addr := answers(t, &Answerer{Number: "5551234", MaxCalls: 100})
	other := answers(t, &Answerer{Number: "5559999"})
	closed, quiet := closedPort(t), silent(t)
	join := slices.Concat[[]phone.Contact]
	for name, x := range map[string]struct {
		lists   [][]phone.Contact
		lookups int
		failed  int
		err     error
	}{
		"first":             {[][]phone.Contact{at("udp", addr)}, 1, 0, nil},
		"udp closed":        {[][]phone.Contact{join(at("udp", closed), at("udp", addr))}, 1, 1, nil},
		"tcp closed":        {[][]phone.Contact{join(at("tcp", closed), at("udp", addr))}, 1, 1, nil},
		"silent":            {[][]phone.Contact{join(at("udp", quiet), at("tcp", addr))}, 1, 1, nil},
		"not tls":           {[][]phone.Contact{join(at("tls", addr), at("tcp", addr))}, 1, 1, nil},
		"unknown transport": {[][]phone.Contact{join(at("ws", addr), at("tcp", addr))}, 1, 1, nil},
		"moved":             {[][]phone.Contact{at("udp", closed), at("udp", addr)}, 2, 1, nil},
		"somebody else":     {[][]phone.Contact{at("udp", other), at("udp", addr)}, 2, 1, nil},
		"gone":              {[][]phone.Contact{at("udp", closed), nil}, 2, 1, phone.ErrNotRegistered},
		"stays":             {[][]phone.Contact{at("udp", closed)}, 2, 1, ErrUnreachable},
		"all closed":        {[][]phone.Contact{join(at("udp", closed), at("tcp", closed))}, 2, 2, ErrUnreachable},
		"never registered":  {[][]phone.Contact{nil}, 1, 0, phone.ErrNotRegistered},
		"too old": {[][]phone.Contact{
			join(at("udp", closed), []phone.Contact{{Transport: "udp", Addr: quiet}}), at("udp", addr),
		}, 2, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for kind, try := range map[string]func(c *Caller) error{
				"probe": func(c *Caller) error { return c.Probe(context.Background(), "5551234") },
				"ring": func(c *Caller) error {
					return c.Ring(context.Background(), "5551234", Talk{For: time.Millisecond})
				},
			} {
				if kind == "probe" && name == "somebody else" {
					continue // who answers OPTIONS is not asked for the number
				}
				where, d := &directory{lists: x.lists}, newDiary()
				c := &Caller{Locator: where, Report: d.report}
				if name == "silent" {
					c.Wait = 2 * time.Second
				}
				if err := try(c); !errors.Is(err, x.err) {
					t.Errorf("%s: %v, want %v; %v", kind, err, x.err, d.events)
				}
				failed := 0
				for _, k := range d.kinds() {
					if k == Unreachable {
						failed++
					}
				}
				if where.asked != x.lookups || failed != x.failed {
					t.Errorf("%s: %d look-ups and %d failed contacts, want %d and %d; %v", kind, where.asked, failed, x.lookups, x.failed, d.events)
				}
			}
		})
	}
}

// TestBusyAndTheNextCall: one call at a time, and the line is free afterwards.
func TestBusyAndTheNextCall(t *testing.T) {
	dir := t.TempDir()
	there, here := newDiary(), newDiary()
	addr := answers(t, &Answerer{Report: there.report, Record: filepath.Join(dir, "call.wav"), Play: tone(20 * time.Millisecond)})
	where := &directory{lists: [][]phone.Contact{at("udp", addr)}}
	ctx, hangUp := context.WithCancel(context.Background())
	first := make(chan error, 1)
	go func() {
		first <- (&Caller{Locator: where, Report: here.report}).Ring(ctx, "5551234", Talk{For: time.Hour})
	}()
	here.await(t, Answered)
	var refused *Refusal
	second := &Caller{Locator: where}
	if err := second.Ring(context.Background(), "5551234", Talk{}); !errors.Is(err, ErrBusy) || !errors.As(err, &refused) || refused.Code != 486 {
		t.Errorf("the second call: %v", err)
	}
	hangUp()
	if err := <-first; err != nil {
		t.Errorf("the first call: %v", err)
	}
	there.await(t, Ended)
	// Nothing was heard in the first: there is no file of it.
	for range 2 {
		if err := second.Ring(context.Background(), "5551234", Talk{Play: tone(20 * time.Millisecond)}); err != nil {
			t.Errorf("the third call: %v", err)
		}
	}
	// Each has a recording of its own.
	there.awaitAll(t, Ended, 3)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("%v, %v", files, err)
	}
	for _, name := range []string{"call.wav", "call-2.wav"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestNobodyAnswers: the caller gives up, by time or by will, and the phone stops
// to ring.
func TestNobodyAnswers(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			there := newDiary()
			addr := answers(t, &Answerer{Report: there.report, RingFor: time.Hour})
			where := &directory{lists: [][]phone.Contact{at(transport, addr)}}
			c := &Caller{Locator: where, Timeout: 2 * time.Second}
			if err := c.Ring(context.Background(), "5551234", Talk{}); !errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrUnreachable) {
				t.Errorf("%v", err)
			}
			there.await(t, Missed)

			// The line is free again: it rings, and is not busy.
			for i := range 2 {
				here := newDiary()
				c := &Caller{Locator: where, Report: here.report}
				ctx, cancel := context.WithCancel(context.Background())
				ended := make(chan error, 1)
				go func() { ended <- c.Ring(ctx, "5551234", Talk{}) }()
				here.await(t, Ringing)
				cancel()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Errorf("%v", err)
				}
				there.awaitAll(t, Missed, i+2)
			}
		})
	}
}

// TestAnswererHangsUp: at the end of its time, and when it is stopped.
func TestAnswererHangsUp(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			a := &Answerer{Listen: "127.0.0.1:0", MaxTime: 50 * time.Millisecond}
			addr := answers(t, a)
			here := newDiary()
			c := &Caller{Locator: &directory{lists: [][]phone.Contact{at(transport, addr)}}, Report: here.report}
			if err := c.Ring(context.Background(), "5551234", Talk{For: time.Hour}); err != nil {
				t.Fatal(err)
			}
			here.await(t, Ended)

			b := &Answerer{Listen: "127.0.0.1:0"}
			if err := b.Open(); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			stopped := make(chan error, 1)
			go func() { stopped <- b.Run(ctx) }()
			here = newDiary()
			c = &Caller{Locator: &directory{lists: [][]phone.Contact{at(transport, b.Addr())}}, Report: here.report}
			ended := make(chan error, 1)
			go func() { ended <- c.Ring(context.Background(), "5551234", Talk{For: time.Hour}) }()
			here.await(t, Answered)
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			here.await(t, Ended)
			if err := <-stopped; err != nil {
				t.Error(err)
			}
		})
	}
}
