package tap

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	dnstap "github.com/dnstap/golang-dnstap"
	"github.com/miekg/dns"
	"google.golang.org/protobuf/proto"
)

var (
	peer = Peer{Remote: netip.MustParseAddrPort("192.0.2.7:4711"), Local: netip.MustParseAddrPort("[2001:db8::53]:53"), TCP: true}
	at   = time.Unix(1_800_000_000, 123)
)

func packed(t *testing.T, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func query() *dns.Msg { return new(dns.Msg).SetQuestion("100.phones.example.", dns.TypeA) }

func options(t *testing.T) Options {
	return Options{
		File: filepath.Join(t.TempDir(), "tap"), Queries: true, Updates: true, Responses: true,
		Identity: "ns1", Version: "test", Logger: slog.New(slog.DiscardHandler),
	}
}

func newTap(t *testing.T, o Options) *Tap {
	t.Helper()
	tap, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tap.Close)
	return tap
}

// frames reads all messages of a file.
func frames(t *testing.T, file string) (all []*dnstap.Dnstap) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := dnstap.NewReader(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 128<<10)
	for {
		n, err := r.ReadFrame(buf)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		m := new(dnstap.Dnstap)
		if err := proto.Unmarshal(buf[:n], m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
}

func TestWhatIsPutIsRead(t *testing.T) {
	o := options(t)
	tap := newTap(t, o)
	q, u := packed(t, query()), packed(t, new(dns.Msg).SetUpdate("phones.example."))
	reply := packed(t, new(dns.Msg).SetReply(query()))
	tap.Request(q, peer, at)
	tap.Response(reply, peer, at, at.Add(time.Second))
	tap.Request(u, Peer{Remote: netip.MustParseAddrPort("[2001:db8::7]:1")}, at)
	tap.Request(q[:11], peer, at) // has no header
	tap.Close()
	all := frames(t, o.File)
	if len(all) != 3 || tap.Counters.Written.Load() != 3 || tap.Counters.Dropped.Load() != 0 {
		t.Fatalf("%d messages, %d written, %d dropped", len(all), tap.Counters.Written.Load(), tap.Counters.Dropped.Load())
	}
	m := all[0].Message
	if string(all[0].Identity) != "ns1" || string(all[0].Version) != "test" || m.GetType() != dnstap.Message_AUTH_QUERY ||
		!slices.Equal(m.QueryMessage, q) || m.GetSocketProtocol() != dnstap.SocketProtocol_TCP || m.GetSocketFamily() != dnstap.SocketFamily_INET ||
		!net.IP(m.QueryAddress).Equal(net.IPv4(192, 0, 2, 7)) || m.GetQueryPort() != 4711 || !net.IP(m.ResponseAddress).Equal(net.ParseIP("2001:db8::53")) ||
		m.GetResponsePort() != 53 || m.GetQueryTimeSec() != 1_800_000_000 || m.GetQueryTimeNsec() != 123 {
		t.Errorf("query %v", all[0])
	}
	if m := all[1].Message; m.GetType() != dnstap.Message_AUTH_RESPONSE || !slices.Equal(m.ResponseMessage, reply) || m.GetResponseTimeSec() != 1_800_000_001 || m.GetQueryTimeSec() != 1_800_000_000 {
		t.Errorf("response %v", all[1])
	}
	if m := all[2].Message; m.GetType() != dnstap.Message_UPDATE_QUERY || m.GetSocketProtocol() != dnstap.SocketProtocol_UDP || m.GetSocketFamily() != dnstap.SocketFamily_INET6 || m.ResponsePort != nil {
		t.Errorf("update %v", all[2])
	}
}

func TestOnlyWhatIsChosenIsTaken(t *testing.T) {
	for _, c := range []struct {
		queries, updates, responses bool
		want                        int
	}{{true, false, false, 1}, {false, true, false, 1}, {true, false, true, 2}, {true, true, true, 4}} {
		o := options(t)
		o.Queries, o.Updates, o.Responses = c.queries, c.updates, c.responses
		tap := newTap(t, o)
		for _, m := range []*dns.Msg{query(), new(dns.Msg).SetUpdate("phones.example.")} {
			tap.Request(packed(t, m), peer, at)
			tap.Response(packed(t, m), peer, at, at)
		}
		tap.Close()
		if got := len(frames(t, o.File)); got != c.want {
			t.Errorf("%+v: %d messages", c, got)
		}
	}
}

// A file ends at its full size, and what it has until then can be read.
func TestFullFile(t *testing.T) {
	o := options(t)
	o.MaxFile = 4096
	tap := newTap(t, o)
	const sent = 1000
	for range sent {
		tap.Request(packed(t, query()), peer, at)
	}
	tap.Close()
	fi, err := os.Stat(o.File)
	if err != nil {
		t.Fatal(err)
	}
	n := len(frames(t, o.File))
	if fi.Size() > o.MaxFile+256 || n < 10 || uint64(n) != tap.Counters.Written.Load() || tap.Counters.Dropped.Load() != sent-uint64(n) {
		t.Errorf("%d octets, %d messages, %d written, %d dropped", fi.Size(), n, tap.Counters.Written.Load(), tap.Counters.Dropped.Load())
	}
}

// reader listens on a socket and reads frames when asked to.
func reader(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestSocketReaderComesLateAndComesBack(t *testing.T) {
	o := options(t)
	o.File, o.Socket = "", filepath.Join(t.TempDir(), "s")
	tap := newTap(t, o)
	q := packed(t, query())
	tap.Request(q, peer, at)
	for tap.Counters.Dropped.Load() == 0 {
		runtime.Gosched() // nobody listens
	}
	for round := range 2 {
		l := reader(t, o.Socket)
		read := make(chan error, 1)
		go func() {
			c, err := l.Accept()
			if err == nil {
				defer c.Close()
				var r dnstap.Reader
				if r, err = dnstap.NewReader(c, &dnstap.ReaderOptions{Bidirectional: true}); err == nil {
					_, err = r.ReadFrame(make([]byte, 4096))
				}
			}
			read <- err
		}()
		for done := false; !done; {
			tap.Request(q, peer, at)
			select {
			case err := <-read:
				if done = true; err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			default:
				runtime.Gosched()
			}
		}
		l.Close()
	}
}

// Nobody who puts something waits for a reader that takes nothing, and what waits is bounded.
func TestSlowReaderDelaysNobody(t *testing.T) {
	o := options(t)
	o.File, o.Socket, o.Queue = "", filepath.Join(t.TempDir(), "s"), 64<<10
	l := reader(t, o.Socket)
	tap := newTap(t, o)
	big := append(packed(t, query()), make([]byte, 1000)...)
	tap.Request(big, peer, at)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The handshake goes on, and nothing is read after it.
	if _, err := dnstap.NewReader(c, &dnstap.ReaderOptions{Bidirectional: true}); err != nil {
		t.Fatal(err)
	}
	for tap.Counters.Dropped.Load() < 1000 {
		tap.Request(big, peer, at)
		if n := tap.waiting.Load(); n > o.Queue+int64(len(big)+overhead) {
			t.Fatalf("%d octets wait", n)
		}
	}
}

func TestTapThatIsOff(t *testing.T) {
	var tap *Tap
	q := packed(t, query())
	if n := testing.AllocsPerRun(100, func() {
		tap.Request(q, peer, at)
		tap.Response(q, peer, at, at)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	tap.Close()
}

func TestFileThatCannotBeMade(t *testing.T) {
	o := options(t)
	o.File = filepath.Join(o.File, "below", "nothing")
	if tap, err := New(o); err == nil {
		tap.Close()
		t.Error("it was made")
	}
}
