package rr

import (
	"bytes"
	"fmt"

	"github.com/miekg/dns"
)

// wellFormed checks rdata of the types that ValidateData has no shorter way
// for. It is strict: a record that a secondary cannot parse stops its transfer
// of the whole zone, so what BIND calls malformed must not get in. Types that
// nobody knows pass (RFC 3597, section 3).
func wellFormed(t uint16, data string) error {
	if err := shaped(t, data); err != nil {
		return err
	}
	if _, known := dns.TypeToRR[t]; !known {
		return nil
	}
	if len(data) == 0 {
		if t == dns.TypeAPL {
			return nil
		}
		// NULL too, though RFC 1035, section 3.3.10 wants nothing in it: Knot
		// takes a transfer with an empty one for malformed.
		return fmt.Errorf("%w: %s needs some", ErrRData, TypeString(t))
	}
	wire := packRR(Root, t, dns.ClassINET, 0, data)
	r, _, err := dns.UnpackRR(wire, 0)
	if err != nil {
		return fmt.Errorf("%w: %s: %v", ErrRData, TypeString(t), err)
	}
	// The library takes data that ends early for complete, with zeros for
	// what is missing: written again it is longer.
	back := make([]byte, len(wire)+MaxName)
	n, err := dns.PackRR(r, back, 0, nil, false)
	if t == dns.TypeISDN && err == nil && len(data) == 1+int(data[0]) {
		return nil // the second string is optional, RFC 1183, section 3.2
	}
	if err != nil || !bytes.Equal(back[:n], wire) {
		return fmt.Errorf("%w: %s: fields are missing or out of order", ErrRData, TypeString(t))
	}
	return nil
}

// Types that miekg/dns does not know and BIND does.
const (
	typeWKS   = 11
	typeNSAP  = 22
	typeATMA  = 34
	typeA6    = 38
	typeSINK  = 40
	typeDSYNC = 66
	typeHHIT  = 67
	typeBRID  = 68
	typeDOA   = 259
)

// shortest is the least number of octets of the types that end in a field
// that must not be empty, or that miekg/dns does not know.
var shortest = map[uint16]int{
	dns.TypeCERT: 6, dns.TypeTLSA: 4, dns.TypeSMIMEA: 4, dns.TypeSSHFP: 4, dns.TypeURI: 5, dns.TypeCAA: 3, dns.TypeLOC: 16,
	dns.TypeDS: 5, dns.TypeCDS: 5, dns.TypeDLV: 5, dns.TypeTA: 5, dns.TypeZONEMD: 18,
	dns.TypeDNSKEY: 5, dns.TypeCDNSKEY: 5, dns.TypeRKEY: 5, dns.TypeKEY: 4, dns.TypeX25: 5, dns.TypeISDN: 1,
	dns.TypeIPSECKEY: 3, dns.TypeAMTRELAY: 2, dns.TypeHIP: 6,
	dns.TypeSVCB: 3, dns.TypeHTTPS: 3, dns.TypeLP: 3, dns.TypeL32: 6, dns.TypeTALINK: 2, dns.TypeNSAPPTR: 1,
	typeWKS: 5, typeNSAP: 1, typeATMA: 2, typeA6: 1, typeSINK: 3, typeDSYNC: 6, typeHHIT: 1, typeBRID: 1, typeDOA: 10,
}

// digests gives the length of a hash by its number: RFC 4034, section 5.1
// (DS), RFC 4255, section 3.1 (SSHFP), RFC 8976, section 2.2 (ZONEMD).
var digests = map[uint16]map[byte]int{
	dns.TypeDS:     {1: 20, 2: 32, 4: 48},
	dns.TypeSSHFP:  {1: 20, 2: 32},
	dns.TypeZONEMD: {1: 48, 2: 64},
}

// shaped checks what miekg/dns does not.
func shaped(t uint16, data string) error {
	if least := shortest[t]; len(data) < least {
		return fmt.Errorf("%w: %s has %d octets or more, not %d", ErrRData, TypeString(t), least, len(data))
	}
	ok := true
	switch t {
	case dns.TypeDS, dns.TypeCDS, dns.TypeDLV, dns.TypeTA:
		ok = digestFits(dns.TypeDS, data[3], len(data)-4)
	case dns.TypeSSHFP:
		ok = digestFits(t, data[1], len(data)-2)
	case dns.TypeZONEMD:
		ok = digestFits(t, data[5], len(data)-6)
	case dns.TypeCAA:
		tag := int(data[1])
		ok = tag > 0 && 2+tag <= len(data) && alphanumeric(data[2:2+tag]) // RFC 8659, section 4.1
	case dns.TypeNAPTR:
		ok = naptrExpression(data)
	case dns.TypeSVCB, dns.TypeHTTPS:
		ok = serviceParameters(data)
	case dns.TypeLOC:
		ok = location(data)
	case dns.TypeKEY: // without the NOKEY flags there is a key
		ok = len(data) > 4 || data[0]&0xc0 == 0xc0
	case dns.TypeRKEY:
		ok = data[0] == 0 && data[1] == 0
	default:
		ok = rareShape(t, data)
	}
	if !ok {
		return fmt.Errorf("%w: %s: a field is not what it has to be", ErrRData, TypeString(t))
	}
	return nil
}

// rareShape is shaped for types that hardly anyone has.
func rareShape(t uint16, data string) bool {
	switch t {
	case dns.TypeIPSECKEY: // RFC 4025, section 2.1: gateway of type none, IPv4, IPv6 or name
		return data[1] <= 3 && len(data) >= 3+[]int{0, 4, 16, 1}[data[1]]
	case dns.TypeAMTRELAY: // RFC 8777, section 4.2: relay of the same types
		relay := data[1] & 0x7f
		return relay > 3 || len(data) >= 2+[]int{0, 4, 16, 1}[relay]
	case dns.TypeHIP: // RFC 8005, section 5: lengths of tag and key come first
		tag, key := int(data[0]), int(data[2])<<8|int(data[3])
		return tag > 0 && key > 0 && 4+tag+key <= len(data)
	case dns.TypeTALINK:
		rest, ok := afterName(data)
		return ok && rest != ""
	case typeWKS: // no port is listed by a last octet of zero
		return len(data) == 5 || data[len(data)-1] != 0
	case typeATMA: // E.164 digits, or anything
		return data[0] != 1 || digitsOnly(data[1:])
	case dns.TypeX25:
		return digitsOnly(data[1:])
	case typeDSYNC: // RFC 9859, section 2.1: the target comes last
		rest, ok := afterName(data[5:])
		return ok && rest == ""
	case typeDOA: // the media type is a character string
		return 10+int(data[9]) <= len(data)
	case typeA6: // RFC 2874, section 3.1: prefix length, suffix, name of the prefix
		suffix := 16 - int(data[0])/8
		if data[0] > 128 || len(data) < 1+suffix {
			return false
		}
		if suffix > 0 && data[1]&^(0xff>>(data[0]%8)) != 0 {
			return false // the bits in front of the suffix are zero
		}
		rest := data[1+suffix:]
		if data[0] == 0 {
			return rest == ""
		}
		rest, ok := afterName(rest)
		return ok && rest == ""
	}
	return true
}

// afterName gives what follows an uncompressed name.
func afterName(data string) (string, bool) {
	var buf [MaxName]byte
	_, next, err := UnpackNameInto([]byte(data), 0, &buf)
	if err != nil {
		return "", false
	}
	return data[next:], true
}

func digitsOnly(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || '9' < c {
			return false
		}
	}
	return true
}

func digestFits(t uint16, number byte, length int) bool {
	want, known := digests[t][number]
	return !known || length == want
}

func alphanumeric(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return true
}
