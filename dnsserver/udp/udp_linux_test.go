//go:build linux && !portable

package udp

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// quiet answers every datagram with its first 12 octets.
type quiet struct{}

func (quiet) BeginBatch([][]byte)      {}
func (quiet) EndBatch()                {}
func (quiet) Datagram(d *Datagram) int { return copy(d.Out, d.Msg[:12]) }

// burstLen is how many datagrams the benchmarks' client has on their way.
const burstLen = 32

// bursts is a client that sends b.N datagrams in bursts and waits for all their replies.
type bursts struct {
	fd int
	b  *batch
}

func newBursts(tb testing.TB, to netip.AddrPort) *bursts {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { unix.Close(fd) })
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		tb.Fatal(err)
	}
	c := &bursts{fd: fd}
	if c.b, err = newBatch(&Socket{outSize: 64}, quiet{}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.b.free)
	for range batchLen {
		c.b.replies.add(40)
	}
	return c
}

// round sends n datagrams and reads n replies.
func (c *bursts) round(tb testing.TB, n int) {
	for sent := 0; sent < n; {
		k, errno := sendmmsg(uintptr(c.fd), c.b.replies.hdr[sent:n])
		if errno != 0 {
			tb.Fatal(errno)
		}
		sent += k
	}
	for got := 0; got < n; {
		k, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&c.b.inHdr)), uintptr(n-got), unix.MSG_WAITFORONE, 0, 0)
		if errno != 0 {
			tb.Fatal(errno)
		}
		for i := range int(k) {
			c.b.rearm(i)
		}
		got += int(k)
	}
}

// BenchmarkServe is the whole loop. Compare it with BenchmarkBareLoop.
func BenchmarkServe(b *testing.B) {
	s, err := Listen(context.Background(), netip.MustParseAddrPort("127.0.0.1:0"), Options{OutSize: 1232, Buffer: 4 << 20})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(quiet{}) }()
	c := newBursts(b, s.Addr())
	b.ReportAllocs()
	b.ResetTimer()
	for n := b.N; n > 0; n -= burstLen {
		c.round(b, min(n, burstLen))
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/float64(s.Batches.Load()), "datagrams/batch")
	s.Stop()
	<-done
	s.Close()
}

// BenchmarkBareLoop is the least that an answering loop can do: blocking recvmmsg and sendmmsg in a
// thread of its own, without netpoller and scheduler.
func BenchmarkBareLoop(b *testing.B) {
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	f, err := pc.File() // blocking
	if err != nil {
		b.Fatal(err)
	}
	to := pc.LocalAddr().(*net.UDPAddr).AddrPort()
	pc.Close()
	bt, err := newBatch(&Socket{outSize: 1232}, quiet{})
	if err != nil {
		b.Fatal(err)
	}
	defer bt.free()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fd := int(f.Fd())
		for {
			n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&bt.inHdr)), batchLen, unix.MSG_WAITFORONE, 0, 0)
			if errno != 0 || bt.inHdr[0].n == 0 {
				return
			}
			for i := range int(n) {
				out := bt.replies.add(copy(bt.replies.next(), bt.in[i*inStride:i*inStride+12]))
				bt.address(out, &bt.inHdr[i].hdr, nil)
			}
			bt.replies.flush(uintptr(fd))
			for i := range int(n) {
				bt.rearm(i)
			}
		}
	}()
	c := newBursts(b, to)
	b.ReportAllocs()
	b.ResetTimer()
	for n := b.N; n > 0; n -= burstLen {
		c.round(b, min(n, burstLen))
	}
	b.StopTimer()
	unix.Write(c.fd, nil)
	<-done
	f.Close()
}

func TestServeAllocatesNothing(t *testing.T) {
	s := start(t, "0.0.0.0:0", quiet{}, Options{OutSize: 1232, Buffer: 1 << 20})
	c := newBursts(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.Addr().Port()))
	c.round(t, burstLen)
	if n := testing.AllocsPerRun(100, func() { c.round(t, burstLen) }); n >= 1 {
		t.Errorf("%v allocations for %d datagrams", n, burstLen)
	}
}

// The wait for a full send buffer happens inside the read callback. Loopback never fills the buffer, so
// the step is taken directly.
func TestWaitingToSendInsideTheReadCallback(t *testing.T) {
	s, err := Listen(context.Background(), netip.MustParseAddrPort("127.0.0.1:0"), Options{OutSize: 512})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := newBatch(s, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.free()
	c := dial(t, s.Addr())
	c.Write([]byte("twelve octets"))
	err = s.raw.Read(func(fd uintptr) bool {
		n, errno := recvmmsg(fd, &b.inHdr)
		if errno == unix.EAGAIN {
			return false
		}
		b.address(b.replies.add(copy(b.replies.next(), b.in[:12])), &b.inHdr[0].hdr, nil)
		if sent, ok := s.sendWhenWritable(b.replies.hdr[:1]); sent != 1 || !ok {
			t.Errorf("%d of %d replies sent", sent, n)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "twelve octet" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	s.conn.SetWriteDeadline(time.Unix(1, 0))
	if sent, ok := s.sendWhenWritable(b.replies.hdr[:1]); sent != 0 || ok {
		t.Errorf("a closing socket was waited for; %d replies sent", sent)
	}
}

func TestSharedAddress(t *testing.T) {
	a := start(t, "127.0.0.1:0", &echo{}, Options{OutSize: 512, Shared: true})
	start(t, a.Addr().String(), &echo{}, Options{OutSize: 512, Shared: true})
	buf := make([]byte, 16)
	for range 32 { // client ports, so that both sockets get some
		c := dial(t, a.Addr())
		c.Write([]byte("x"))
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
}

// Addr is on the fast path; a scope, which Peer must make text of, is nothing to it.
func TestAddrAllocatesNothing(t *testing.T) {
	b, err := newBatch(&Socket{outSize: 64, v6: true}, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.free()
	sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&b.names[3]))
	sa.Addr, sa.Scope_id = netip.MustParseAddr("fe80::1").As16(), 7
	b.d.slot = 3
	if got := b.d.Addr(); got != netip.MustParseAddr("fe80::1") {
		t.Error(got)
	}
	if n := testing.AllocsPerRun(100, func() { b.d.Addr() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRefusedTrainIsSentOneByOne has a segment length with which there are more than the kernel takes.
func TestRefusedTrainIsSentOneByOne(t *testing.T) {
	k := keeper{make(chan Peer, 1)}
	s := start(t, "127.0.0.1:0", k, Options{OutSize: 512})
	c := dial(t, s.Addr())
	c.Write([]byte("x"))
	p := <-k.peers
	x := s.NewSender()
	for i := range 3 {
		x.Add(append([]byte{byte(i)}, make([]byte, 299)...), p)
	}
	if len(x.trains) != 1 {
		t.Fatalf("%d trains for three replies of one length to one client", len(x.trains))
	}
	if err := x.s.raw.Control(func(fd uintptr) {
		x.couple()
		x.setControl(0, p.Local, 1, 3)
		if _, errno := s.sendAll(fd, x.hdr[:1]); errno == 0 {
			t.Error("900 segments of one octet were sent")
		}
		x.oneByOne(fd, 0)
	}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 512)
	for i := range 3 {
		if n, err := c.Read(buf); err != nil || n != 300 || buf[0] != byte(i) {
			t.Fatalf("reply %d: %x, %v", i, buf[:n], err)
		}
	}
	if n := s.SendErrors.Load(); n != 0 {
		t.Errorf("%d send errors counted", n)
	}
}
