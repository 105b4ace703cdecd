package rr

import (
	"testing"

	"github.com/miekg/dns"
)

// TestDataThatEndsEarlyIsMalformed: the library behind ValidateData would take all of these.
func TestDataThatEndsEarlyIsMalformed(t *testing.T) {
	for _, c := range []struct {
		t    uint16
		data string
	}{
		{dns.TypeHINFO, "\x00"}, {dns.TypeCAA, "\x00"}, {dns.TypeDS, "\x00\x01"}, {dns.TypeCERT, "\x00\x01\x02"},
		{dns.TypeTLSA, "\x03"}, {dns.TypeSVCB, "\x00\x01"}, {dns.TypeHTTPS, "\x00\x01"}, {dns.TypeURI, "\x00\x01"},
		{dns.TypeLOC, "\x00"}, {dns.TypeSSHFP, "\x01"}, {dns.TypeDNSKEY, "\x01\x00"}, {dns.TypeCSYNC, "\x00\x00\x00\x01"},
		{dns.TypeL32, "\x00\x01"}, {dns.TypeNID, "\x00\x01"}, {dns.TypeLP, "\x00\x01"}, {dns.TypeZONEMD, "\x00\x00\x00\x01\x01\x01"},
		{dns.TypeX25, "\x02a"}, {dns.TypeIPSECKEY, "\x0a\x01"}, {typeWKS, "\xc0\x00\x02\x01"}, {typeNSAP, ""},
	} {
		if err := ValidateData(c.t, c.data); err == nil {
			t.Errorf("%s %x passes", TypeString(c.t), c.data)
		}
	}
}

func TestFieldsThatSecondariesCheck(t *testing.T) {
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{`x. CAA 0 issue "ca.example"`, true},
		{`x. TYPE257 \# 2 0000`, false},                                            // no tag
		{`x. TYPE257 \# 4 00012d61`, false},                                        // the tag is "-"
		{`x. TYPE43 \# 24 0001080100112233445566778899aabbccddeeff00112233`, true}, // SHA-1 has 20 octets
		{`x. TYPE43 \# 23 0001080100112233445566778899aabbccddeeff001122`, false},
		{`x. TYPE43 \# 5 00010809ff`, true}, // nobody knows digest type 9
		{`x. TYPE44 \# 22 010100112233445566778899aabbccddeeff00112233`, true},
		{`x. TYPE44 \# 5 0101001122`, false},
		{`x. ISDN "150862028003217" "004"`, true},
		{`x. ISDN "150862028003217"`, true},
		{`x. NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:a@phones.example!" .`, true},
		{`x. HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p9+LrV4e19WzK00+CI6zBCQTdtWsuxKbWIy87UOoJTwkUs7lBu+Upr1gsNrut79ryra+bSRGQb1slImA8YVJyuIDsj7kwzG7jnERNqnWxZ48AWkskmdHaVDP4BcelrTI3rMXdXF5D`, true},
		{`x. AMTRELAY 10 0 1 203.0.113.15`, true},
		{`x. KEY 512 3 13 AAAA`, true},
		{`x. SVCB 1 a. alpn=h2 port=5060`, true},
		{`x. TYPE64 \# 17 0001000003000213c400010003026832`, false}, // keys out of order
		{`x. HTTPS 1 . mandatory=port port=5060`, true},
		{`x. TYPE65 \# 9 000100000000020003`, false}, // port is mandatory and missing
		{`x. TYPE64 \# 7 00010000020000`, false},     // no-default-alpn without alpn
		{`x. TYPE65 \# 7 00010000010000`, false},     // alpn without a protocol
		{`x. TYPE64 \# 7 00010000000000`, false},     // nothing is mandatory
		{`x. TYPE64 \# 7 00010000070000`, false},     // dohpath without a path
		{`x. SVCB 1 a. dohpath=/dns-query{?dns}`, true},
		{`x. TYPE38 \# 3 7b6200`, false}, // A6 with more bits than its suffix has
		{`x. TYPE38 \# 3 7b1200`, true},
		{`x. TYPE29 \# 16 00000202000000020000000200000002`, false},
		{`x. LOC 52 14 5 N 0 8 50 E 10m`, true},
		{`x. DNSKEY 257 3 13 AAAA`, true},
		{`x. TLSA 3 1 1 ab`, true},
		{`x. IPSECKEY 10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==`, true},
		{`x. TYPE65280 \# 0`, true},
	} {
		r, err := dns.NewRR(c.text)
		if err != nil {
			if c.ok {
				t.Errorf("%s: %v", c.text, err)
			}
			continue
		}
		wire := make([]byte, 600)
		n, err := dns.PackRR(r, wire, 0, nil, false)
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		start := 2 + 1 + 10 // "x." and the header
		if got := ValidateData(r.Header().Rrtype, string(wire[start:n])); (got == nil) != c.ok {
			t.Errorf("%s: %v", c.text, got)
		}
	}
}

func TestSubstitutionExpressions(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, `!^.*$!sip:a@phones.example!`: true, `!^(\+44)(.*)$!tel:\1\2!i`: true, `/a\/b/c/`: true,
		`!a!b`: false, `!a!b!x`: false, `!a!b!!`: false, `1a1b1`: false, `ia!bi`: false, `\a\b\`: false, `!a!\1!`: false,
		`!(a!b!`: false, "!a\x00!b!": false, `!a!\0!`: false, `!a!b\`: false,
	} {
		if got := substitution(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}
