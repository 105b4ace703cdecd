package tsig_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/miekg/dns"

	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

// RFC 8945, section 5.2: exactly one, at the end of the additional section.
func TestMisplacedIsFormErr(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{})
	good, _ := sign(t, query(t), tsig.HMACSHA256, now, nil)
	start, _, _ := tsig.Find(good)
	rec := good[start:]
	count := func(msg []byte, section int, by int) []byte {
		at := 4 + 2*section
		binary.BigEndian.PutUint16(msg[at:], uint16(int(binary.BigEndian.Uint16(msg[at:]))+by))
		return msg
	}
	a := []byte("\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01")
	bare := bytes.Clone(good[:headerAndQuestion(t, good)])
	count(bare, 3, -2)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

	cases := map[string][]byte{
		"two":                          count(join(good, rec), 3, 1),
		"not last":                     count(join(good, a), 3, 1),
		"in the answer section":        count(join(bare, rec), 1, 1),
		"in the authority section":     count(join(bare, rec), 2, 1),
		"authority and additional":     count(count(join(bare, rec, rec), 2, 1), 3, 1),
		"octets behind it":             join(good, []byte{0}),
		"octets behind unsigned":       join(query(t), []byte{0}),
		"cut":                          good[:len(good)-1],
		"no header":                    good[:11],
		"empty":                        nil,
		"question runs out":            good[:15],
		"record runs out":              good[:start+5],
		"header only, counts too many": good[:12],
		"class IN":                     edit(t, good, func(r *dns.TSIG) { r.Hdr.Class = dns.ClassINET }),
		"TTL not 0":                    edit(t, good, func(r *dns.TSIG) { r.Hdr.Ttl = 1 }),
		"compressed algorithm":         compressedAlgorithm(good, start),
		"label of unknown type":        join(good[:start], []byte{0x40}, rec[1:]),
		"owner points at itself":       join(good[:start], []byte{0xC0 | byte(start>>8), byte(start)}, rec[len(rr.MustName(keyName)):]),
	}
	nameLen := len(rr.MustName(keyName))
	algLen := len(rr.MustName("hmac-sha256."))
	field := func(off int, v uint16) []byte { // of the rdata behind the algorithm
		m := bytes.Clone(good)
		binary.BigEndian.PutUint16(m[start+nameLen+10+algLen+off:], v)
		return m
	}
	cases["MAC Size beyond the rdata"] = field(8, 60000)
	cases["MAC Size one too many"] = field(8, 33)
	cases["Other Len too many"] = field(10+32+4, 1)
	short := bytes.Clone(good[:start+nameLen+10+algLen+9])
	binary.BigEndian.PutUint16(short[start+nameLen+8:], uint16(algLen+9))
	cases["rdata ends in front of MAC Size"] = short

	for name, msg := range cases {
		t.Run(name, func(t *testing.T) {
			e := failure(t, r, msg, now)
			if e.Rcode != dns.RcodeFormatError || e.TSIGError != 0 || e.Overhead() != 0 {
				t.Errorf("RCODE %d, TSIG error %d, overhead %d: %v", e.Rcode, e.TSIGError, e.Overhead(), e)
			}
			reply := answer(t, query(t), e.Rcode)
			if got := e.SignReply(bytes.Clone(reply), now); !bytes.Equal(got, reply) {
				t.Error("FORMERR carries a TSIG")
			}
		})
	}
}

func headerAndQuestion(t *testing.T, msg []byte) int {
	t.Helper()
	_, off, err := rr.UnpackName(msg, 12)
	if err != nil {
		t.Fatal(err)
	}
	return off + 4
}

// compressedAlgorithm replaces the final root label of the algorithm by a
// pointer to one.
func compressedAlgorithm(good []byte, start int) []byte {
	root := 12
	for good[root] != 0 {
		root += 1 + int(good[root])
	}
	data := start + len(rr.MustName(keyName)) + 10
	end := data + len(rr.MustName("hmac-sha256.")) - 1
	out := append(bytes.Clone(good[:end]), 0xC0, byte(root))
	out = append(out, good[end+1:]...)
	binary.BigEndian.PutUint16(out[data-2:], binary.BigEndian.Uint16(out[data-2:])+1)
	return out
}

// RFC 8945, section 5.2.2.1: the digest at most; 10 octets and half the digest
// at least.
func TestMACSize(t *testing.T) {
	for _, a := range all {
		r := ring(t, a, tsig.Options{})
		msg, mac := sign(t, query(t), a, now, nil)
		least := max(10, a.Size()/2)
		for size := 0; size <= a.Size()+2; size++ {
			cut := resize(t, msg, size)
			if size < least || size > a.Size() {
				e := failure(t, r, cut, now)
				if e.Rcode != dns.RcodeFormatError || e.TSIGError != 0 || !errors.Is(e, tsig.ErrMACSize) {
					t.Errorf("%s, %d octets: %v", a, size, e)
				}
				continue
			}
			if c := success(t, r, cut, now); !bytes.Equal(c.MAC(), mac[:size]) {
				t.Errorf("%s, %d octets: the request's MAC is %x", a, size, c.MAC())
			}
		}
	}
}
