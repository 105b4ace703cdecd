package integration

import (
	"fmt"
	"strings"
	"testing"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// askOver asks for a type at a name, with EDNS and room for 64 KiB.
func askOver(t *testing.T, network, addr, name string, typ uint16) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, typ)
	q.SetEdns0(65535, false)
	r, _, err := (&dns.Client{Net: network, Timeout: peertest.Patience, UDPSize: 65535}).Exchange(q, addr)
	if err != nil && r == nil {
		t.Fatal(err)
	}
	return r
}

// TestOwnerWithAThousandRecords: they come by updates, are answered over TCP and, cut off, over UDP, and reach a secondary.
func TestOwnerWithAThousandRecords(t *testing.T) {
	port := peertest.Port(t)
	config := openConfig(phones) + fmt.Sprintf("    notify: [\"127.0.0.1:%d\"]\n", port)
	server := peertest.Dialtone(t, phones, config, map[string]string{peertest.ZoneFile(phones): phonesFile})
	nsd := peertest.NSD(t, phones, peertest.NSDSecondary(phones, server.Addr, nil), nil, port)
	c := peertest.NewClient(server.Addr, "tcp", nil)
	defer c.Close()
	owner := "5551234." + phones
	for part := range 4 {
		m := new(dns.Msg).SetUpdate(phones)
		for i := range 250 {
			m.Insert([]dns.RR{peertest.RR(fmt.Sprintf("%s 60 IN A 10.0.%d.%d", owner, part, i))})
		}
		if rcode, err := c.Do(m); err != nil || rcode != dns.RcodeSuccess {
			t.Fatal(rcode, err)
		}
	}
	if r := askOver(t, "tcp", server.Addr, owner, dns.TypeA); len(r.Answer) != 1000 || r.Truncated {
		t.Errorf("TCP: %d records, TC %v", len(r.Answer), r.Truncated)
	}
	if r := askOver(t, "udp", server.Addr, owner, dns.TypeA); !r.Truncated || r.Rcode != dns.RcodeSuccess {
		t.Errorf("UDP: %d records, TC %v", len(r.Answer), r.Truncated)
	}
	// One of them goes, and another comes back.
	m := new(dns.Msg).SetUpdate(phones)
	m.Used([]dns.RR{peertest.RR("5550000." + phones + " 0 IN A 192.0.2.100")})
	m.Remove([]dns.RR{peertest.RR(owner + " 0 IN A 10.0.3.7")})
	m.Insert([]dns.RR{peertest.RR(owner + " 60 IN A 10.0.9.9")})
	if rcode, err := c.Do(m); err != nil || rcode != dns.RcodeSuccess {
		t.Fatal(rcode, err)
	}
	peertest.Converged(t, peertest.Patience, phones, server, nsd, peertest.View{})
	if r := askOver(t, "tcp", nsd.Addr, owner, dns.TypeA); len(r.Answer) != 1000 {
		t.Errorf("the secondary has %d", len(r.Answer))
	}
}

// TestAnswerOf64KiB: the largest RRset that the server takes, of 65,000 octets, comes over TCP and in transfers; one octet more is refused,
// and told where a file has it. Over UDP it is cut off, and over TCP as well behind aliases that leave it no room.
func TestAnswerOf64KiB(t *testing.T) {
	owner := "5551234." + phones
	config := openConfig(phones)
	server := peertest.Dialtone(t, phones, config, map[string]string{peertest.ZoneFile(phones): phonesFile})
	c := peertest.NewClient(server.Addr, "tcp", nil)
	defer c.Close()
	do := func(records ...string) int {
		t.Helper()
		m := new(dns.Msg).SetUpdate(phones)
		for _, r := range records {
			m.Insert([]dns.RR{peertest.RR(r)})
		}
		rcode, err := c.Do(m)
		if err != nil {
			t.Fatal(err)
		}
		return rcode
	}
	// 242 records of 256 octets and one of what is left, each with 12 octets of its own.
	const full, left = 242, 65000 - 242*(12+256)
	var most []string
	for i := range full {
		most = append(most, textRecord(owner, i, 256))
	}
	first, second := do(most[:full/2]...), do(most[full/2:]...)
	tooMuch, fits := do(textRecord(owner, full, left-12+1)), do(textRecord(owner, full, left-12))
	if first != dns.RcodeSuccess || second != dns.RcodeSuccess || tooMuch != dns.RcodeRefused || fits != dns.RcodeSuccess {
		t.Fatalf("RCODEs %d, %d, %d, %d", first, second, tooMuch, fits)
	}
	if r := askOver(t, "tcp", server.Addr, owner, dns.TypeTXT); len(r.Answer) != full+1 || r.Truncated {
		t.Errorf("TCP: %d records, TC %v", len(r.Answer), r.Truncated)
	}
	if r := askOver(t, "udp", server.Addr, owner, dns.TypeTXT); !r.Truncated || r.Rcode != dns.RcodeSuccess {
		t.Errorf("UDP: RCODE %d, %d records, TC %v", r.Rcode, len(r.Answer), r.Truncated)
	}
	// Names that share nothing but the zone, so that the aliases take 230 octets and more each.
	target := owner
	for i := range 4 {
		label := strings.Repeat(string(rune('a'+i)), 60)
		alias := strings.Repeat(label+".", 3) + phones
		if rcode := do(fmt.Sprintf("%s 60 IN CNAME %s", alias, target)); rcode != dns.RcodeSuccess {
			t.Fatalf("RCODE %d", rcode)
		}
		target = alias
	}
	if r := askOver(t, "tcp", server.Addr, target, dns.TypeTXT); !r.Truncated || r.Rcode != dns.RcodeSuccess {
		t.Errorf("TCP behind aliases: RCODE %d, %d records, TC %v", r.Rcode, len(r.Answer), r.Truncated)
	}
	copied := peertest.MustAXFR(t, server.Addr, phones)
	if n := len(copied.Records); n != full+1+2+4 {
		t.Errorf("the transfer has %d records", n)
	}
	file := phonesFile + strings.Join(append(most, textRecord(owner, full, left-12+1)), "\n") + "\n"
	log, code := peertest.NewDialtone(t, config, map[string]string{peertest.ZoneFile(phones): file}).Refuses(t)
	if want := "the TXT RRset of " + owner + " is larger than 65000 octets"; code == 0 || !strings.Contains(log, want) {
		t.Errorf("exit code %d, and not %q: %s", code, want, log)
	}
}

// textRecord gives a TXT record with so many octets of data, at most 256.
func textRecord(owner string, n, octets int) string {
	return fmt.Sprintf("%s 60 IN TXT \"%s%05d\"", owner, strings.Repeat("x", octets-6), n)
}
