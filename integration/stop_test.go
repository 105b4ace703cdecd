package integration

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// TestStopInTheMiddle sends SIGTERM while updates come over UDP and TCP, transfers are under way and some of them are not
// read. The server ends within 5 s and by its own will. What it acknowledged is there afterwards, and what was not yet
// carried out was refused, or its connection closed.
func TestStopInTheMiddle(t *testing.T) {
	server := peertest.Dialtone(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): paddedFile(9000)})
	for range 2 {
		clients := make([]*crasher, 16)
		var acked atomic.Int64
		var wg sync.WaitGroup
		busy := make(chan struct{})
		for i := range clients {
			c := &crasher{owner: fmt.Sprintf("555%04d.%s", i, phones)}
			clients[i] = c
			wg.Go(func() {
				if err := c.untilRefused(server.Addr, [...]string{"udp", "tcp"}[i%2], func() {
					if acked.Add(1) == 400 {
						close(busy)
					}
				}); err != nil {
					t.Error(err)
				}
			})
		}
		for range 4 {
			defer readsNothing(t, server.Addr).Close()
			wg.Go(func() {
				for err := error(nil); err == nil; {
					_, err = peertest.AXFR(server.Addr, phones, nil)
				}
			})
		}
		<-busy
		begun := time.Now()
		code := server.Stop(t)
		if took := time.Since(begun); code != 0 || took > 5*time.Second {
			t.Errorf("exit code %d after %v", code, took)
		}
		wg.Wait()
		server.Restart(t)
		address, text := counts(peertest.MustAXFR(t, server.Addr, phones))
		for _, c := range clients {
			if a := address[c.owner]; a != text[c.owner] || a < c.acked || a > c.sent {
				t.Errorf("%s: address of %d, text of %d; %d was acknowledged, %d sent", c.owner, a, text[c.owner], c.acked, c.sent)
			}
		}
	}
}

// untilRefused writes until the server says that it ends, or is gone.
func (c *crasher) untilRefused(addr, network string, acked func()) error {
	client := dns.Client{Net: network, Timeout: 2 * time.Second}
	conn, err := client.Dial(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		c.sent = max(c.acked, c.sent) + 1
		r, _, err := client.ExchangeWithConn(c.update(c.sent), conn)
		switch {
		case err != nil, r.Rcode == dns.RcodeServerFailure:
			return nil
		case r.Rcode != dns.RcodeSuccess:
			return fmt.Errorf("%s: update %d answered %s", c.owner, c.sent, dns.RcodeToString[r.Rcode])
		}
		c.acked = c.sent
		acked()
	}
}

// readsNothing asks for the whole zone and takes as little of it as the kernel allows.
func readsNothing(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).SetReadBuffer(1024); err != nil {
		t.Fatal(err)
	}
	q, err := new(dns.Msg).SetAxfr(phones).Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSuspendedProcess: a lease that ends while the process is stopped, as by a machine that sleeps, is answered for no more
// than a second when it goes on. An update that came meanwhile is carried out.
func TestSuspendedProcess(t *testing.T) {
	config := openConfig(phones) + "    lease: {min: 1s}\n"
	server := peertest.Dialtone(t, phones, config, map[string]string{peertest.ZoneFile(phones): phonesFile})
	leased, other := "5551234."+phones, "5550000."+phones
	m := peertest.Register(phones, leased, "192.0.2.1")
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0UL, Data: []byte{0, 0, 0, 3}})
	c := peertest.NewClient(server.Addr, "tcp", nil)
	defer c.Close()
	if rcode, err := c.Do(m); err != nil || rcode != dns.RcodeSuccess {
		t.Fatal(rcode, err)
	}
	waitFor(t, server.Addr, leased, "192.0.2.1")
	server.Signal(t, syscall.SIGSTOP)
	done := make(chan error, 1)
	go func() {
		rcode, err := c.Do(peertest.Register(phones, other, "192.0.2.7"))
		if err == nil && rcode != dns.RcodeSuccess {
			err = fmt.Errorf("the update that came meanwhile: %s", dns.RcodeToString[rcode])
		}
		done <- err
	}()
	<-time.After(4 * time.Second) // so that the lease ends
	server.Signal(t, syscall.SIGCONT)
	goesOn := time.Now()
	for {
		asked := time.Now()
		r, err := dns.Exchange(new(dns.Msg).SetQuestion(leased, dns.TypeA), server.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if r.Rcode == dns.RcodeNameError {
			break
		}
		if late := asked.Sub(goesOn); late > time.Second {
			t.Fatalf("answered %v after the process goes on: %s", late, r)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	waitFor(t, server.Addr, other, "192.0.2.7")
}
