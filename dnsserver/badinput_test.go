package dnsserver

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update/acl"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

// TestBadInputOfPhones: what is no number, is not one's own or comes at the wrong time gets a clear answer, and changes
// nothing.
func TestBadInputOfPhones(t *testing.T) {
	const (
		pbx    = "pbx.key."
		letter = "abc." + apex
		long   = "1234567890123456." + apex
	)
	o := testOptions(t)
	o.Zones[0].ACL = rules(t, apex,
		acl.Rule{AnyKey: true, Actions: acl.Update, SelfNumber: true, MaxRecords: 4},
		acl.Rule{Keys: []rr.Name{rr.MustName(pbx)}, Actions: acl.Update, Numbers: []string{"2000-2999", "44*"}},
	)
	keys := map[string]string{keyName: secret}
	for _, name := range []string{pbx, letter, long, "*." + apex, "_1." + apex} {
		o.Keys = append(o.Keys, tsig.Key{Name: rr.MustName(name), Algorithm: tsig.HMACSHA256, Secret: o.Keys[0].Secret})
		keys[name] = secret
	}
	s, _ := start(t, o)
	before := ask(t, "udp", s.Addrs()[0], query(apex, dns.TypeSOA)).Answer[0].(*dns.SOA).Serial
	for _, c := range []struct {
		key, record string
		skew        time.Duration
		rcode       int
		text        string
	}{
		{keyName, "101." + apex + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "key " + keyName + " may not change 101." + apex + " A"},
		{keyName, apex + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "may not change"},
		{keyName, "*." + apex + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "may not change"},
		{keyName, "1100." + apex + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "may not change"},
		{keyName, keyName + " 60 MX 1 " + apex, 0, dns.RcodeRefused, "may not change " + keyName + " MX"},
		{keyName, keyName + " 60 NS ns1." + apex, 0, dns.RcodeRefused, "may not change " + keyName + " NS"},
		{keyName, keyName + " 60 CNAME ns1." + apex, 0, dns.RcodeRefused, "may not change " + keyName + " CNAME"},
		{keyName, keyName + " 60 KEY 0 3 15 AAAA", 0, dns.RcodeRefused, "only the public key of a number"},
		{letter, letter + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "may not change"},
		{long, long + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "may not change"},
		{"*." + apex, "*." + apex + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "may not change"},
		{"_1." + apex, "_1." + apex + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "may not change"},
		{pbx, "3000." + apex + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "key pbx.key. may not change 3000." + apex + " A"},
		{pbx, "02000." + apex + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "may not change"},
		{pbx, "4412345678901234." + apex + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "may not change"},
		{pbx, strings.Repeat("4", 63) + "." + apex + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "may not change"},
		{pbx, "44a." + apex + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "may not change"},
		{pbx, "44*." + apex + " 60 A 192.0.2.66", 0, dns.RcodeRefused, "may not change"},
		{pbx, "*.2000." + apex + " 60 A 192.0.2.1", 0, dns.RcodeSuccess, ""},
		{pbx, "2000." + apex + " 60 A 0.0.0.0", 0, dns.RcodeRefused, "no source_address"},
		{pbx, "2000.example. 60 A 192.0.2.66", 0, dns.RcodeRefused, "may not change"},
		{keyName, keyName + " 60 A 192.0.2.66", 301 * time.Second, dns.RcodeNotAuth, ""},
		{keyName, keyName + " 60 A 192.0.2.66", -301 * time.Second, dns.RcodeNotAuth, ""},
		{"nobody.", keyName + " 60 A 192.0.2.66", 0, dns.RcodeNotAuth, ""},
	} {
		m := insert(c.record).SetEdns0(1232, false)
		m.SetTsig(c.key, dns.HmacSHA256, 300, time.Now().Add(c.skew).Unix())
		secrets := keys
		if keys[c.key] == "" {
			secrets = map[string]string{c.key: secret}
		}
		raw, _, err := dns.TsigGenerate(m, secrets[c.key], "", false)
		if err != nil {
			t.Fatal(err)
		}
		reply := new(dns.Msg)
		if err := reply.Unpack(exchangeRaw(t, "udp", s.Addrs()[0], raw)); err != nil {
			t.Fatal(err)
		}
		if reply.Rcode != c.rcode || !strings.Contains(reply.String(), c.text) {
			t.Errorf("key %s, %s: %v", c.key, c.record, reply)
		}
		if c.skew != 0 && reply.IsTsig().Error != dns.RcodeBadTime {
			t.Errorf("skew %v: %v", c.skew, reply)
		}
	}
	if serial := ask(t, "udp", s.Addrs()[0], query(apex, dns.TypeSOA)).Answer[0].(*dns.SOA).Serial; serial != before+1 {
		t.Errorf("serial %d, was %d: one update was good", serial, before)
	}
}
