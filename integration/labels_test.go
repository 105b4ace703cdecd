package integration

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// rawLabels are owner names whose labels hold octets that text has to escape, or that a careless server takes for something else
// (RFC 2181, section 11: any octets may stand in a label).
var rawLabels = []string{`\000`, `\000\000a`, `a\000b`, `with\.dot`, `\.`, `back\\slash`, `\255`, `\128\200`, `\032space\032`,
	`"quoted"`, `semi\;colon`, `at\@`, `tab\009`, `new\010line`, `UPPER`, `\195\156mlaut`, `\*`, strings.Repeat(`\001`, 63)}

// TestRawOctetsInLabels takes every such label through update, query, restart and transfer to BIND and Knot.
func TestRawOctetsInLabels(t *testing.T) {
	bindPort, knotPort := peertest.Port(t), peertest.Port(t)
	config := openConfig(phones) + fmt.Sprintf("    notify: [\"127.0.0.1:%d\", \"127.0.0.1:%d\"]\n", bindPort, knotPort)
	server := peertest.Dialtone(t, phones, config, map[string]string{peertest.ZoneFile(phones): phonesFile})
	client := peertest.NewClient(server.Addr, "tcp", nil)
	defer client.Close()
	for i, label := range rawLabels {
		m := new(dns.Msg)
		m.SetUpdate(phones)
		owner := label + "." + phones
		m.Insert([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: []byte{192, 0, 2, byte(i)}},
			&dns.CNAME{Hdr: dns.RR_Header{Name: "to." + owner, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 60}, Target: owner}})
		if rcode, err := client.Do(m); err != nil || rcode != dns.RcodeSuccess {
			t.Fatalf("%s: %s, %v", label, dns.RcodeToString[rcode], err)
		}
	}
	client.Close()
	wantRawLabels(t, server)

	server.Kill(t)
	server.Restart(t)
	wantRawLabels(t, server)

	bind := peertest.BIND(t, phones, peertest.BINDSecondary(phones, server.Addr, nil), nil, bindPort)
	peertest.Converged(t, time.Minute, phones, server, bind, peertest.View{})
	knot := peertest.Knot(t, phones, peertest.KnotSecondary(phones, server.Addr, nil), nil, knotPort)
	peertest.Converged(t, time.Minute, phones, server, knot, peertest.View{FoldCase: true}) // Knot keeps lower case
}

// wantRawLabels asks for each label and for an alias to it, and finds it in a transfer.
func wantRawLabels(t *testing.T, server *peertest.Server) {
	t.Helper()
	axfr := strings.Join(peertest.MustAXFR(t, server.Addr, phones).Lines(peertest.View{}), "\n") + "\n"
	for i, label := range rawLabels {
		address := "192.0.2." + strconv.Itoa(i)
		q := new(dns.Msg)
		q.SetQuestion("to."+label+"."+phones, dns.TypeA)
		r, err := dns.Exchange(q, server.Addr)
		if err != nil {
			t.Fatalf("%s: %v", label, err)
		}
		if len(r.Answer) != 2 || !strings.HasSuffix(r.Answer[1].String(), "\t"+address) {
			t.Errorf("alias to %s: %v", label, r.Answer)
		}
		if strings.Count(axfr, "\t"+address+"\n") != 1 {
			t.Errorf("%s is not in the transfer", label)
		}
	}
	if got := digShort(t, server.Port, `with\.dot.phones.example.`, "A"); got != "192.0.2.3" {
		t.Errorf("dig for a label with a dot in it: %q", got)
	}
}
