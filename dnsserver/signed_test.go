package dnsserver

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update/acl"
	"dialtone/zone/rr"
)

func TestSignedTransfer(t *testing.T) {
	o := testOptions(t)
	o.Zones[0].ACL = rules(t, apex, acl.Rule{Keys: []rr.Name{rr.MustName(keyName)}, Actions: acl.Transfer})
	s, _ := start(t, o)
	to := s.Addrs()[0]
	if reply := ask(t, "tcp", to, new(dns.Msg).SetAxfr(apex)); reply.Rcode != dns.RcodeRefused {
		t.Errorf("unsigned: %v", reply)
	}
	for _, m := range []*dns.Msg{new(dns.Msg).SetAxfr(apex), new(dns.Msg).SetIxfr(apex, 7, "ns1."+apex, "hostmaster."+apex)} {
		// The client verifies the signature of each message.
		tr := &dns.Transfer{TsigSecret: map[string]string{keyName: secret}, ReadTimeout: 10 * time.Second}
		in, err := tr.In(signed(m), to.String())
		if err != nil {
			t.Fatal(err)
		}
		records := 0
		for e := range in {
			if e.Error != nil {
				t.Fatal(e.Error)
			}
			records += len(e.RR)
		}
		if records == 0 {
			t.Errorf("nothing came for %v", m.Question[0])
		}
	}
}

func TestSecondariesAreNotifiedOfAChange(t *testing.T) {
	secondary, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer secondary.Close()
	secondary.SetDeadline(time.Now().Add(20 * time.Second)) // only so that a lost NOTIFY fails the test
	o := testOptions(t)
	o.Zones[0].Notify = []NotifyTarget{{Addr: secondary.LocalAddr().(*net.UDPAddr).AddrPort(), Key: rr.MustName(keyName)}}
	s, _ := start(t, o)
	receive := func() uint32 {
		buf := make([]byte, 2048)
		n, from, err := secondary.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatal(err)
		}
		m := new(dns.Msg)
		if err := m.Unpack(buf[:n]); err != nil || m.Opcode != dns.OpcodeNotify {
			t.Fatalf("%v %v", m, err)
		}
		if err := dns.TsigVerify(buf[:n], secret, "", false); err != nil {
			t.Errorf("signature: %v", err)
		}
		mac := m.IsTsig().MAC
		reply := signed(new(dns.Msg).SetReply(m))
		raw, _, err := dns.TsigGenerate(reply, secret, mac, false)
		if err != nil {
			t.Fatal(err)
		}
		secondary.WriteToUDPAddrPort(raw, from)
		return m.Answer[0].(*dns.SOA).Serial
	}
	if serial := receive(); serial != 1 {
		t.Errorf("serial %d at the start", serial)
	}
	ask(t, "udp", s.Addrs()[0], insert("n."+apex+" 60 A 192.0.2.1"))
	for receive() != 2 { // a repetition of the first may be on its way
	}
}

func TestFiveHundredZones(t *testing.T) {
	o := testOptions(t)
	text, list := o.Zones[0].Text, o.Zones[0].ACL
	o.Zones = nil
	for i := range 500 {
		o.Zones = append(o.Zones, ZoneOptions{Apex: rr.MustName("z" + itoa(i) + ".example."), Text: text, ACL: list})
	}
	for range 2 { // seeded, then loaded
		begun := time.Now()
		s, stop := start(t, o)
		t.Logf("started in %v", time.Since(begun))
		for _, i := range []int{0, 250, 499} {
			if got := addressOf(t, "udp", s.Addrs()[0], "100.z"+itoa(i)+".example."); got != "192.0.2.100" {
				t.Errorf("%q", got)
			}
		}
		stop()
	}
}

func TestZoneIsRefusedTwice(t *testing.T) {
	o := testOptions(t)
	twin := o.Zones[0]
	twin.Apex = rr.MustName("PHONES.example.")
	o.Zones = append(o.Zones, twin)
	if s, err := Start(context.Background(), o); err == nil {
		s.Shutdown(context.Background())
		t.Error("two writers for one zone")
	}
}

// What a datagram cannot hold goes by TCP: the reply to a signed query keeps room for its signature
// (RFC 8945, section 5.3).
func TestSignedReplyKeepsToTheSizeLimit(t *testing.T) {
	s, _ := start(t, testOptions(t))
	for size := 512; size < 800; size += 8 {
		m := signed(query("long."+apex, dns.TypeTXT).SetEdns0(uint16(size), false))
		raw, _, err := dns.TsigGenerate(m, secret, "", false)
		if err != nil {
			t.Fatal(err)
		}
		got := exchangeRaw(t, "udp", s.Addrs()[0], raw)
		reply := new(dns.Msg)
		if err := reply.Unpack(got); err != nil {
			t.Fatal(err)
		}
		if len(got) > size || reply.IsTsig() == nil || reply.Truncated != (len(reply.Answer) == 0) {
			t.Errorf("%d octets for a limit of %d: %v", len(got), size, reply)
		}
	}
	if reply := ask(t, "tcp", s.Addrs()[0], signed(query("long."+apex, dns.TypeTXT))); len(reply.Answer) != 5 {
		t.Errorf("%v", reply)
	}
}
