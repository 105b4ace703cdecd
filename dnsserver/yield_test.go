package dnsserver

import (
	"net"
	"runtime"
	"sync/atomic"
	"testing"
)

// On one processor that is never idle, what waits for a socket runs when others yield: without it, a
// thousand turns are over long before the runtime looks at its sockets on its own.
func TestYieldLetsReadersOfSocketsRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	in, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	out, err := net.DialUDP("udp4", nil, in.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var got atomic.Int32
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for b := make([]byte, 8); ; got.Add(1) {
			if _, err := in.Read(b); err != nil {
				return
			}
		}
	}()
	var y yielder
	y.init()
	for i := range int32(100) {
		if _, err := out.Write([]byte("datagram")); err != nil {
			t.Fatal(err)
		}
		for turn := 0; got.Load() <= i; turn++ {
			if turn == 1000 {
				t.Fatalf("datagram %d was not read", i)
			}
			y.yield()
		}
	}
	y.close()
	y.yield() // closed: does no harm
	in.Close()
	<-ended
}
