package sig0_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/miekg/dns"

	"dialtone/update/sig0"
	"dialtone/zone/rr"
)

func TestFindTellsWhatTheRecordSays(t *testing.T) {
	p := newPair(t, dns.ED25519)
	msg := p.sign(t, update(t), now, func(s *dns.SIG) { s.SignerName = "5551234.Phones.Example." })
	r := find(t, msg)
	want := sig0.Record{
		Signer: rr.MustName("5551234.Phones.Example."), Algorithm: dns.ED25519, KeyTag: p.key.KeyTag(),
		Inception: uint32(now.Unix()) - 300, Expiration: uint32(now.Unix()) + 300,
	}
	if r.Signer != want.Signer || r.Algorithm != want.Algorithm || r.KeyTag != want.KeyTag ||
		r.Inception != want.Inception || r.Expiration != want.Expiration {
		t.Errorf("record is %+v, want %+v", r, want)
	}
	size := 11 + 18 + len(want.Signer) + 64
	if !bytes.Equal(r.Octets(), msg[len(msg)-size:]) {
		t.Errorf("octets are %x", r.Octets())
	}
}

func TestUnsignedHasNoRecord(t *testing.T) {
	sigs := update(t)
	sig := &dns.SIG{RRSIG: dns.RRSIG{Hdr: dns.RR_Header{Name: signer, Rrtype: dns.TypeSIG, Class: dns.ClassINET, Ttl: 60},
		TypeCovered: dns.TypeA, Algorithm: 13, SignerName: signer, Signature: "AAAA"}}
	sigs.Insert([]dns.RR{sig})
	sigs.RemoveRRset([]dns.RR{sig})
	sigs.Extra = append(sigs.Extra, sig)
	signed := update(t).SetTsig("a.key.", dns.HmacSHA256, 300, now.Unix())
	for name, msg := range map[string][]byte{
		"update": pack(t, update(t)), "query": pack(t, new(dns.Msg).SetQuestion(signer, dns.TypeA)),
		"header": make([]byte, 12), "SIG of data": pack(t, sigs), "TSIG": pack(t, signed),
	} {
		if r, err := sig0.Find(msg); r != nil || err != nil {
			t.Errorf("%s: Find gives %v, %v", name, r, err)
		}
	}
	var c *sig0.Context
	msg := pack(t, update(t))
	if c.Signer() != "" || c.Key() != nil || !c.Inception().IsZero() || !c.Expiration().IsZero() || c.Fingerprint() != [32]byte{} {
		t.Error("a nil Context says that something was signed")
	}
	if before := bytes.Clone(msg); !bytes.Equal(c.Strip(msg), before) {
		t.Error("Strip of a nil Context changed the message")
	}
}

// RFC 2931, sections 3 and 3.1: one, at the end of the additional section.
func TestMisplacedIsFormErr(t *testing.T) {
	good := newPair(t, dns.ED25519).sign(t, update(t), now, nil)
	start := len(good) - len(find(t, good).Octets())
	rec, head := good[start:], good[:start]
	count := func(msg []byte, by ...int) []byte { // of the answer, authority and additional section
		for i, n := range by {
			at := 6 + 2*i
			binary.BigEndian.PutUint16(msg[at:], uint16(int(binary.BigEndian.Uint16(msg[at:]))+n))
		}
		return msg
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	a := []byte("\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01")
	tsig := []byte("\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00")
	short := func(n int) []byte { // rdata of n octets
		m := bytes.Clone(good[:start+11+n])
		binary.BigEndian.PutUint16(m[start+9:], uint16(n))
		return m
	}
	header := func(arcount uint16) []byte { return append(make([]byte, 10), byte(arcount>>8), byte(arcount)) }
	sections := func(answer, authority, additional uint16, records ...[]byte) []byte {
		m := make([]byte, 6)
		for _, n := range []uint16{answer, authority, additional} {
			m = binary.BigEndian.AppendUint16(m, n)
		}
		return join(append([][]byte{m}, records...)...)
	}
	for name, msg := range map[string][]byte{
		"two":                            count(join(good, rec), 0, 0, 1),
		"not last":                       count(join(good, a), 0, 0, 1),
		"before a TSIG":                  count(join(good, tsig), 0, 0, 1),
		"behind a TSIG":                  count(join(head, tsig, rec), 0, 0, 1),
		"in the answer section":          sections(1, 0, 0, rec),
		"in the authority section":       sections(0, 1, 0, rec),
		"in authority and additional":    sections(0, 1, 1, rec, rec),
		"octets behind it":               join(good, []byte{0}),
		"octets behind an unsigned":      join(pack(t, update(t)), []byte{0}),
		"cut":                            good[:len(good)-1],
		"empty":                          nil,
		"no header":                      good[:11],
		"header that counts too many":    header(1),
		"header that counts many":        header(65535),
		"question runs out":              good[:15],
		"record runs out":                good[:start+5],
		"no rdata":                       short(0),
		"rdata of one octet":             short(1),
		"rdata of TYPE COVERED":          short(2),
		"rdata ends before the signer":   short(18),
		"rdata ends in the signer":       short(20),
		"signer points at itself":        join(head, rec[:29], []byte{0xC0 | byte((start+29)>>8), byte(start + 29)}, make([]byte, len(rec)-31)),
		"signer with a label of no type": join(head, rec[:29], []byte{0x40}, rec[30:]),
		"owner with a label of no type":  join(head, []byte{0x40}, rec[1:]),
	} {
		t.Run(name, func(t *testing.T) {
			r, err := sig0.Find(msg)
			var e *sig0.Error
			if r != nil || !errors.As(err, &e) || e.Rcode != dns.RcodeFormatError || e.Signer != "" {
				t.Errorf("Find gives %v, %v", r, err)
			}
		})
	}
}

// RFC 2931, section 3: owner, class, TTL and original TTL have no meaning.
func TestWhatHasNoMeaningIsIgnored(t *testing.T) {
	p := newPair(t, dns.ECDSAP256SHA256)
	good := p.sign(t, update(t), now, nil)
	start := len(good) - len(find(t, good).Octets())
	owner := []byte{0xC0, 12} // the zone's name
	msg := bytes.Join([][]byte{good[:start], owner, good[start+1 : start+3], {0, 1, 0, 0, 0, 60}, good[start+9:]}, nil)
	want := verify(t, good, p.public(t), now)
	c := verify(t, msg, p.public(t), now)
	if c.Fingerprint() != want.Fingerprint() {
		t.Error("the fingerprint depends on what is not signed")
	}
	if got := c.Strip(bytes.Clone(msg)); !bytes.Equal(got, want.Strip(bytes.Clone(good))) {
		t.Errorf("stripped %x", got)
	}
}
