package dnsserver

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
)

// FuzzMessage sends octets through the whole dispatch, as a datagram from an address that may update
// and transfer. What is answered must be a reply to what was asked.
func FuzzMessage(f *testing.F) {
	add := func(m *dns.Msg) {
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	add(query("100."+apex, dns.TypeA).SetEdns0(1232, true))
	add(insert("x." + apex + " 60 A 192.0.2.1"))
	add(withCookie(insert("x."+apex+" 60 A 192.0.2.1"), clientCookie))
	add(probe(clientCookie + "00000000000000000000000000000000"))
	add(new(dns.Msg).SetAxfr(apex))
	add(new(dns.Msg).SetIxfr(apex, 1, "ns1."+apex, "hostmaster."+apex))
	add(new(dns.Msg).SetNotify(apex))
	for _, m := range []*dns.Msg{insert("x." + apex + " 60 A 192.0.2.1"), query(apex, dns.TypeSOA), new(dns.Msg).SetAxfr(apex)} {
		raw, _, err := dns.TsigGenerate(m.SetTsig(keyName, dns.HmacSHA256, 300, 1_000_000_000), secret, "", false)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	o := testOptions(f)
	o.Now = func() time.Time { return time.Unix(1_000_000_000, 0) } // the seeds' signatures are good
	s, _ := start(f, o)
	sock := s.listeners[0].sockets[0]
	from := client{addr: netip.MustParseAddrPort("127.0.0.1:9"), sock: sock}
	w := newWorker()
	w.scratch.Client = &from
	f.Cleanup(w.reader.Close)
	f.Fuzz(func(t *testing.T, msg []byte) {
		w.reader.Begin()
		n, verdict := s.conf().responder.Respond(msg, w.out()[:1232], false, 0, &w.scratch)
		w.reader.End()
		reply := w.out()[:n]
		switch verdict {
		case answer.Drop:
			return
		case answer.Later:
			if reply = s.answerSlow(w, bytes.Clone(msg), &from, arrival{at: time.Now()}); reply == nil {
				return // it comes later, or has left for another socket
			}
		}
		if len(reply) < headerLen || reply[0] != msg[0] || reply[1] != msg[1] || reply[2]&0xf8 != msg[2]&0x78|0x80 {
			t.Errorf("%x\nanswers %x", reply, msg)
		}
		if err := new(dns.Msg).Unpack(reply); err != nil {
			t.Errorf("%x\nanswers %x: %v", reply, msg, err)
		}
	})
}
