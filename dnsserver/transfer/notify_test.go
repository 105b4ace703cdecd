package transfer

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/update/tsig"
	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/zonetest"

	"github.com/miekg/dns"
)

var secondary = netip.MustParseAddrPort("192.0.2.53:53")

// wire stands for the network inside a synctest bubble.
type wire struct {
	start  time.Time
	in     chan datagram
	closed chan struct{}
	mu     struct {
		sync.Mutex
		sent []sentMessage
		fail error
		open error
	}
}

type sentMessage struct {
	at  time.Duration // since the start
	to  netip.AddrPort
	raw []byte
}

func newWire() *wire {
	return &wire{start: time.Now(), in: make(chan datagram), closed: make(chan struct{})}
}

func (w *wire) listen(string) (PacketConn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w, w.mu.open
}

func (w *wire) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-w.in:
		return copy(b, d.msg), d.from, nil
	case <-w.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (w *wire) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.sent = append(w.mu.sent, sentMessage{time.Since(w.start), to, slices.Clone(b)})
	return len(b), w.mu.fail
}

func (w *wire) Close() error {
	close(w.closed)
	return nil
}

func (w *wire) setFail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.fail = err
}

// sent gives what was sent, once all goroutines of the bubble wait.
func (w *wire) sent() []sentMessage {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mu.sent)
}

// times gives when messages were sent.
func (w *wire) times() (at []time.Duration) {
	for _, m := range w.sent() {
		at = append(at, m.at)
	}
	return at
}

func (m sentMessage) msg(t *testing.T) *dns.Msg {
	t.Helper()
	q := new(dns.Msg)
	if err := q.Unpack(m.raw); err != nil {
		t.Fatal(err)
	}
	return q
}

// last gives the last message as miekg/dns reads it.
func (w *wire) last(t *testing.T) *dns.Msg {
	t.Helper()
	all := w.sent()
	return all[len(all)-1].msg(t)
}

// reply sends a changed copy of the normal reply to the last message.
func (w *wire) reply(t *testing.T, from netip.AddrPort, change func(*dns.Msg)) {
	t.Helper()
	r := new(dns.Msg).SetReply(w.last(t))
	r.Authoritative = true
	change(r)
	b, err := r.Pack()
	if err != nil {
		t.Fatal(err)
	}
	w.in <- datagram{from, b}
	synctest.Wait()
}

func as(rcode int) func(*dns.Msg) { return func(m *dns.Msg) { m.Rcode = rcode } }

// notifying runs a test in a bubble with a zone of serial 10 and one target.
func notifying(t *testing.T, target Target, keys *tsig.Keyring, test func(t *testing.T, z *zone.Zone, n *Notifier, w *wire)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		z := zonetest.Open(t, apex, smallZone)
		w := newWire()
		n := NewNotifier(NotifyOptions{Keys: keys, Listen: w.listen, Logger: slog.New(slog.DiscardHandler)})
		defer n.Close()
		z.OnPublish(n.Published)
		n.Replace(z, []Target{target})
		test(t, z, n, w)
	})
}

func seconds(s ...int) (d []time.Duration) {
	for _, s := range s {
		d = append(d, time.Duration(s)*time.Second)
	}
	return d
}

// RFC 1996, sections 3.7 and 4.1: what a NOTIFY is, and that it is sent at the
// start.
func TestNotifyAtStart(t *testing.T) {
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.53]:53")
	notifying(t, Target{Addr: mapped}, nil, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
		if at := w.times(); !slices.Equal(at, seconds(0)) {
			t.Fatalf("sent at %v", at)
		}
		m := w.last(t)
		h := m.MsgHdr
		h.Id = 0
		if want := (dns.MsgHdr{Opcode: dns.OpcodeNotify, Authoritative: true}); h != want {
			t.Errorf("header %+v", h)
		}
		q := dns.Question{Name: apex, Qtype: dns.TypeSOA, Qclass: dns.ClassINET}
		if len(m.Question) != 1 || m.Question[0] != q || len(m.Ns) != 0 || len(m.Extra) != 0 || w.sent()[0].to != secondary {
			t.Errorf("message %v", m)
		}
		if len(m.Answer) != 1 || m.Answer[0].(*dns.SOA).Serial != 10 || m.Answer[0].Header().Ttl != 3600 {
			t.Errorf("answer %v", m.Answer)
		}
	})
}

// RFC 1996, section 3.6.
func TestNotifyIsRetriedAndGivenUp(t *testing.T) {
	notifying(t, Target{Addr: secondary}, nil, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
		time.Sleep(time.Hour)
		if at := w.times(); !slices.Equal(at, seconds(0, 5, 15, 35, 75, 135)) {
			t.Errorf("sent at %v", at)
		}
		c := &n.Counters
		if c.Sent.Load() != 6 || c.Missed.Load() != 6 || c.GivenUp.Load() != 1 || c.Pending.Load() != 0 || c.Answered.Load() != 0 {
			t.Errorf("counters %+v", c)
		}
		put(t, z, "5559999 60 IN A 192.0.2.99\n")
		if m := w.last(t); len(w.sent()) != 7 || m.Answer[0].(*dns.SOA).Serial != 11 {
			t.Errorf("a change after giving up sent %v", m)
		}
	})
}

// RFC 1996, sections 3.12 and 4.7: NOERROR and NOTIMP end it, others do not.
func TestReplyEndsNotify(t *testing.T) {
	for rcode := range 11 {
		notifying(t, Target{Addr: secondary}, nil, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
			w.sent()
			w.reply(t, secondary, as(rcode))
			time.Sleep(5 * time.Second)
			ends := rcode == dns.RcodeSuccess || rcode == dns.RcodeNotImplemented
			if got := len(w.sent()) == 1; got != ends {
				t.Errorf("%s: ended is %v", dns.RcodeToString[rcode], got)
			}
			if got := n.Counters.Pending.Load() == 0 && n.Counters.Answered.Load() == 1; got != ends {
				t.Errorf("%s: counters %+v", dns.RcodeToString[rcode], &n.Counters)
			}
		})
	}
}

// NOTIMP may come from the header alone (RFC 8906, section 3.1.4).
func TestNotImpWithoutQuestionEndsNotify(t *testing.T) {
	notifying(t, Target{Addr: secondary}, nil, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
		w.sent()
		w.reply(t, secondary, func(m *dns.Msg) { m.Rcode, m.Question = dns.RcodeNotImplemented, nil })
		if n.Counters.Answered.Load() != 1 {
			t.Error("it goes on")
		}
	})
}

// RFC 1996, section 4.7: what does not match the message is no reply to it.
func TestReplyMustMatch(t *testing.T) {
	keep := func(*dns.Msg) {}
	for name, c := range map[string]struct {
		from   string
		change func(*dns.Msg)
	}{
		"ID":           {"192.0.2.53:53", func(m *dns.Msg) { m.Id++ }},
		"address":      {"192.0.2.54:53", keep},
		"port":         {"192.0.2.53:54", keep},
		"QR":           {"192.0.2.53:53", func(m *dns.Msg) { m.Response = false }},
		"opcode":       {"192.0.2.53:53", func(m *dns.Msg) { m.Opcode = dns.OpcodeQuery }},
		"zone":         {"192.0.2.53:53", func(m *dns.Msg) { m.Question[0].Name = "other.example." }},
		"type":         {"192.0.2.53:53", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }},
		"class":        {"192.0.2.53:53", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }},
		"no question":  {"192.0.2.53:53", func(m *dns.Msg) { m.Question = nil }},
		"more of them": {"192.0.2.53:53", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }},
	} {
		notifying(t, Target{Addr: secondary}, nil, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
			w.sent()
			w.reply(t, netip.MustParseAddrPort(c.from), c.change)
			if n.Counters.Answered.Load() != 0 {
				t.Errorf("a reply with another %s was taken", name)
			}
			w.reply(t, netip.MustParseAddrPort("[::ffff:192.0.2.53]:53"), func(m *dns.Msg) { m.Question[0].Name = "PHONES.example." })
			if n.Counters.Answered.Load() != 1 {
				t.Errorf("the true reply after one with another %s was not taken", name)
			}
		})
	}
}

func TestReplyThatIsNoMessage(t *testing.T) {
	notifying(t, Target{Addr: secondary}, nil, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
		head := w.sent()[0].raw[:12]
		for i := range head {
			w.in <- datagram{secondary, head[:i]}
		}
		w.in <- datagram{secondary, append(slices.Clone(head[:2]), 0xA4, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0)}
		synctest.Wait()
		if n.Counters.Answered.Load() != 0 {
			t.Error("taken")
		}
	})
}

// RFC 8945: a NOTIFY is signed, and only a reply that verifies counts.
func TestSignedNotify(t *testing.T) {
	key := tsig.Key{Name: rr.MustName("notify.key."), Algorithm: tsig.HMACSHA512, Secret: []byte(strings.Repeat("s", 64))}
	keys, err := tsig.NewKeyring([]tsig.Key{key}, tsig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	notifying(t, Target{Addr: secondary, Key: key.Name}, keys, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
		raw := w.sent()[0].raw
		ctx, err := keys.Verify(raw, time.Now())
		if err != nil || ctx.Key() != key.Name {
			t.Fatalf("signed by %v: %v", ctx.Key(), err)
		}
		w.reply(t, secondary, func(m *dns.Msg) { m.Extra = nil })
		if n.Counters.Answered.Load() != 0 {
			t.Error("an unsigned reply was taken")
		}
		m := w.last(t)
		m.Extra = nil
		reply, err := new(dns.Msg).SetReply(m).Pack()
		if err != nil {
			t.Fatal(err)
		}
		w.in <- datagram{secondary, ctx.SignReply(reply, time.Now())}
		synctest.Wait()
		if n.Counters.Answered.Load() != 1 {
			t.Error("a signed reply was not taken")
		}
	})
}

// A key that is not there is a fault of the configuration, and never leads to
// an unsigned message.
func TestNotifyWithUnknownKeyIsNotSent(t *testing.T) {
	keys, err := tsig.NewKeyring(nil, tsig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	notifying(t, Target{Addr: secondary, Key: rr.MustName("other.key.")}, keys, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
		time.Sleep(time.Hour)
		if s := w.sent(); len(s) != 0 || n.Counters.GivenUp.Load() != 1 {
			t.Errorf("%d messages, counters %+v", len(s), &n.Counters)
		}
	})
}

// Any number of changes while a reply is due make one more message, which has
// the newest serial, and messages to a target keep their distance.
func TestNotifyCoalescesToNewestSerial(t *testing.T) {
	notifying(t, Target{Addr: secondary}, nil, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
		w.sent()
		var serial uint32
		for i := range 100 {
			serial = put(t, z, fmt.Sprintf("5559999 60 IN A 192.0.2.%d\n", i))
		}
		if len(w.sent()) != 1 {
			t.Errorf("%d messages while the first is not answered", len(w.sent()))
		}
		time.Sleep(100 * time.Millisecond)
		w.reply(t, secondary, as(dns.RcodeSuccess))
		time.Sleep(time.Second)
		if at := w.times(); !slices.Equal(at, []time.Duration{0, 500 * time.Millisecond}) {
			t.Errorf("sent at %v", at)
		}
		if got := w.last(t).Answer[0].(*dns.SOA).Serial; got != serial {
			t.Errorf("told %d, not %d", got, serial)
		}
		w.reply(t, secondary, as(dns.RcodeSuccess))
		if n.Counters.Pending.Load() != 0 {
			t.Error("more is to come")
		}
		put(t, z, "5559999 60 IN A 192.0.2.200\n")
		if at := w.times(); len(at) != 3 || at[2] != 1100*time.Millisecond {
			t.Errorf("an idle target was told at %v", at)
		}
		w.reply(t, secondary, as(dns.RcodeSuccess))
		put(t, z, "5559999 60 IN A 192.0.2.201\n")
		time.Sleep(time.Second)
		if at := w.times(); len(at) != 4 || at[3] != 1600*time.Millisecond {
			t.Errorf("a target that has just been told was told again at %v", at)
		}
	})
}

// A change while a target is silent starts its retries anew.
func TestChangeStartsRetriesAnew(t *testing.T) {
	notifying(t, Target{Addr: secondary}, nil, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
		time.Sleep(40 * time.Second) // sent at 0, 5, 15, 35; the next would be at 75
		put(t, z, "5559999 60 IN A 192.0.2.1\n")
		time.Sleep(11 * time.Second)
		if at := w.times(); !slices.Equal(at, seconds(0, 5, 15, 35, 40, 45)) {
			t.Errorf("sent at %v", at)
		}
		put(t, z, "5559999 60 IN A 192.0.2.3\n")
		time.Sleep(time.Hour)
		if at := w.times(); !slices.Equal(at[6:], seconds(51, 56, 66, 86, 126, 186)) {
			t.Errorf("sent at %v", at)
		}
	})
}

// An ICMP refusal, or a network that is away, is a missed try.
func TestSendErrorIsMissedTry(t *testing.T) {
	notifying(t, Target{Addr: secondary}, nil, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
		w.sent()
		w.setFail(errors.New("connection refused"))
		time.Sleep(29 * time.Second)
		w.reply(t, secondary, as(dns.RcodeSuccess))
		if n.Counters.Answered.Load() != 0 {
			t.Error("the reply to a message that was not sent was taken")
		}
		time.Sleep(time.Second)
		w.setFail(nil)
		time.Sleep(10 * time.Second)
		if at := w.times(); !slices.Equal(at, seconds(0, 5, 15, 35)) {
			t.Errorf("sent at %v", at)
		}
		w.reply(t, secondary, as(dns.RcodeSuccess))
		if n.Counters.Answered.Load() != 1 || n.Counters.Sent.Load() != 2 {
			t.Errorf("counters %+v", &n.Counters)
		}
	})
}

func TestSocketThatCannotBeOpenedIsMissedTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.mu.open = errors.New("no IPv6 here")
		n := NewNotifier(NotifyOptions{Listen: w.listen, Logger: slog.New(slog.DiscardHandler)})
		defer n.Close()
		n.Replace(zonetest.Open(t, apex, smallZone), []Target{{Addr: secondary}})
		time.Sleep(time.Second)
		w.mu.Lock()
		w.mu.open = nil
		w.mu.Unlock()
		time.Sleep(10 * time.Second)
		if at := w.times(); !slices.Equal(at, seconds(5)) {
			t.Errorf("sent at %v", at)
		}
	})
}

// A socket that fails is replaced, not read in a loop.
func TestSocketThatFailsIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken, good := &brokenWire{wire: newWire(), fail: make(chan struct{})}, newWire()
		opened := 0
		n := NewNotifier(NotifyOptions{Logger: slog.New(slog.DiscardHandler), Listen: func(string) (PacketConn, error) {
			if opened++; opened == 1 {
				return broken, nil
			}
			return good, nil
		}})
		defer n.Close()
		n.Replace(zonetest.Open(t, apex, smallZone), []Target{{Addr: secondary}})
		synctest.Wait()
		close(broken.fail)
		<-broken.closed
		time.Sleep(6 * time.Second)
		if at := good.times(); !slices.Equal(at, seconds(5)) || opened != 2 {
			t.Errorf("sent at %v on socket %d", at, opened)
		}
		good.reply(t, secondary, as(dns.RcodeSuccess))
		if n.Counters.Answered.Load() != 1 {
			t.Error("the reply was not taken")
		}
	})
}

type brokenWire struct {
	*wire
	fail chan struct{}
}

func (w *brokenWire) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	<-w.fail
	return 0, netip.AddrPort{}, errors.New("no buffer space")
}

// Many zones at the start do not leave in one burst, but all leave.
func TestNotifyOfManyTargetsIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		n := NewNotifier(NotifyOptions{Listen: w.listen, Logger: slog.New(slog.DiscardHandler)})
		defer n.Close()
		var targets []Target
		for i := range 200 {
			targets = append(targets, Target{Addr: netip.AddrPortFrom(secondary.Addr(), uint16(1000+i))})
		}
		n.Replace(zonetest.Open(t, apex, smallZone), targets)
		time.Sleep(time.Second)
		perMoment, told := map[time.Duration]int{}, map[netip.AddrPort]bool{}
		for _, m := range w.sent() {
			perMoment[m.at]++
			told[m.to] = true
		}
		for at, count := range perMoment {
			if count > burst {
				t.Errorf("%d messages at %v", count, at)
			}
		}
		if len(told) != len(targets) || len(w.sent()) != len(targets) {
			t.Errorf("%d of %d targets told by %d messages", len(told), len(targets), len(w.sent()))
		}
	})
}

// RFC 1035, section 4.2.1: the hint is left out when it would not fit 512.
func TestNotifyFitsPlainDatagram(t *testing.T) {
	label := strings.Repeat("x", 60) + "."
	soa := rr.RR{Owner: rr.MustName(apex), Type: dns.TypeSOA, TTL: 1,
		Data: string(rr.MustName(strings.Repeat(label, 4))+rr.MustName(strings.Repeat(label, 4))) + strings.Repeat("\x00", 20)}
	text := soa.String() + "\n@ 60 IN NS ns1\n"
	notifying(t, Target{Addr: secondary}, nil, func(t *testing.T, z *zone.Zone, n *Notifier, w *wire) {
		long := zonetest.Open(t, apex, text)
		n.Replace(long, []Target{{Addr: netip.MustParseAddrPort("192.0.2.54:53")}})
		m := w.last(t)
		if len(w.sent()) != 2 || len(m.Answer) != 0 || len(m.Question) != 1 {
			t.Errorf("got %v", m)
		}
	})
}

// Published is called by a zone's writer, which must not wait.
func TestPublishedDoesNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &blockedWire{wire: newWire(), release: make(chan struct{})}
		n := NewNotifier(NotifyOptions{Listen: func(string) (PacketConn, error) { return w, nil }, Logger: slog.New(slog.DiscardHandler)})
		z := zonetest.Open(t, apex, smallZone)
		n.Replace(z, []Target{{Addr: secondary}})
		synctest.Wait()
		for range 1000 {
			n.Published(z, 11)
		}
		n.Published(zonetest.Open(t, "other.example.", strings.ReplaceAll(smallZone, apex, "other.example.")), 1)
		close(w.release)
		if len(w.sent()) != 1 {
			t.Errorf("%d messages", len(w.sent()))
		}
		if err := errors.Join(n.Close(), n.Close()); err != nil {
			t.Error(err)
		}
		n.Published(z, 12)
	})
}

type blockedWire struct {
	*wire
	release chan struct{}
}

func (w *blockedWire) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	<-w.release
	return w.wire.WriteToUDPAddrPort(b, to)
}

// Over real sockets, IPv4 and IPv6, against the server of miekg/dns.
func TestNotifyOverLoopback(t *testing.T) {
	z := zonetest.Open(t, apex, smallZone)
	n := NewNotifier(NotifyOptions{Logger: slog.New(slog.DiscardHandler)})
	defer n.Close()
	got := make(chan string, 10)
	var targets []Target
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		pc, err := net.ListenPacket("udp", addr)
		if err != nil {
			t.Logf("no %s here: %v", addr, err)
			continue
		}
		srv := &dns.Server{PacketConn: pc, MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
			Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
				if err := w.WriteMsg(new(dns.Msg).SetReply(m)); err != nil {
					t.Error(err)
				}
				got <- fmt.Sprint(m.Opcode, m.Answer[0].(*dns.SOA).Serial)
			})}
		stopped := make(chan error, 1)
		go func() { stopped <- srv.ActivateAndServe() }()
		defer func() { pc.Close(); <-stopped }()
		targets = append(targets, Target{Addr: pc.LocalAddr().(*net.UDPAddr).AddrPort()})
	}
	n.Replace(z, targets)
	if len(targets) == 0 {
		t.Fatal("there is no loopback address")
	}
	for range targets {
		if s := <-got; s != "4 10" {
			t.Errorf("got %s", s)
		}
	}
}
