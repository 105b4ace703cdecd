package tsig_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

var (
	all = []tsig.Algorithm{tsig.HMACSHA1, tsig.HMACSHA224, tsig.HMACSHA256, tsig.HMACSHA384, tsig.HMACSHA512}

	secret       = []byte("an example of a secret that has at least sixty-four octets, the digest of SHA-512")
	base64Secret = base64.StdEncoding.EncodeToString(secret)

	now = time.Unix(1_700_000_000, 0)
)

const keyName = "phone.key."

func ring(t testing.TB, a tsig.Algorithm, o tsig.Options) *tsig.Keyring {
	t.Helper()
	r, err := tsig.NewKeyring([]tsig.Key{{Name: rr.MustName(keyName), Algorithm: a, Secret: secret}}, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func query(t testing.TB) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion("5551234.phones.example.", dns.TypeA)
	m.SetEdns0(1232, false)
	return pack(t, m)
}

// answer is an unsigned reply to a message; code is its RCODE.
func answer(t testing.TB, request []byte, code uint16) []byte {
	t.Helper()
	q := unpack(t, request)
	m := new(dns.Msg).SetRcode(q, int(code))
	if code == dns.RcodeSuccess {
		m.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
			A:   []byte{192, 0, 2, 1},
		}}
	}
	return pack(t, m)
}

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unpack(t testing.TB, b []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		t.Fatalf("unpack %x: %v", b, err)
	}
	return m
}

// sign signs a message at a time with miekg/dns; change may edit the TSIG
// before.
func sign(t testing.TB, msg []byte, a tsig.Algorithm, at time.Time, change func(*dns.TSIG)) (signed, mac []byte) {
	t.Helper()
	m := unpack(t, msg)
	m.SetTsig(keyName, a.String()+".", 300, at.Unix())
	if change != nil {
		change(m.IsTsig())
	}
	signed, sum, err := dns.TsigGenerate(m, base64Secret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	return signed, unhex(t, sum)
}

// check verifies the MAC of a message as RFC 8945, section 4.3 spells it out,
// written without the package's code. prior is the request's MAC, or that of
// the message before.
func check(t testing.TB, msg, prior []byte, timersOnly bool) *dns.TSIG {
	t.Helper()
	rec := unpack(t, msg).IsTsig()
	if rec == nil {
		t.Fatal("the message has no TSIG")
	}
	body := append([]byte(nil), msg[:len(msg)-dns.Len(rec)]...)
	binary.BigEndian.PutUint16(body, rec.OrigId)
	binary.BigEndian.PutUint16(body[10:], binary.BigEndian.Uint16(body[10:])-1)

	var in []byte
	if prior != nil {
		in = append(binary.BigEndian.AppendUint16(in, uint16(len(prior))), prior...)
	}
	in = append(in, body...)
	timers := binary.BigEndian.AppendUint64(nil, rec.TimeSigned<<16|uint64(rec.Fudge))
	if timersOnly {
		in = append(in, timers...)
	} else {
		in = append(in, rr.MustName(rec.Hdr.Name).Lower()...)
		in = append(in, 0, 255, 0, 0, 0, 0)
		in = append(in, rr.MustName(rec.Algorithm).Lower()...)
		in = append(in, timers...)
		in = binary.BigEndian.AppendUint16(in, rec.Error)
		in = binary.BigEndian.AppendUint16(in, rec.OtherLen)
		in = append(in, unhex(t, rec.OtherData)...)
	}
	h := hmac.New(hashes[rec.Algorithm], secret)
	h.Write(in)
	if got := unhex(t, rec.MAC); !bytes.Equal(got, h.Sum(nil)) {
		t.Fatalf("MAC is %x, want %x", got, h.Sum(nil))
	}
	return rec
}

var hashes = map[string]func() hash.Hash{
	"hmac-sha1.": sha1.New, "hmac-sha224.": sha256.New224, "hmac-sha256.": sha256.New,
	"hmac-sha384.": sha512.New384, "hmac-sha512.": sha512.New,
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// resize cuts the MAC of a signed message, or lengthens it with zeros.
func resize(t testing.TB, msg []byte, size int) []byte {
	t.Helper()
	return edit(t, msg, func(r *dns.TSIG) {
		r.MAC = (r.MAC + strings.Repeat("00", size))[:2*size]
		r.MACSize = uint16(size)
	})
}

// edit changes the TSIG of a signed message and leaves the octets before it.
func edit(t testing.TB, msg []byte, change func(*dns.TSIG)) []byte {
	t.Helper()
	start, found, err := tsig.Find(msg)
	if err != nil || !found {
		t.Fatalf("no TSIG: %v", err)
	}
	rec := unpack(t, msg).IsTsig()
	change(rec)
	out := make([]byte, start+dns.Len(rec)+64)
	copy(out, msg[:start])
	n, err := dns.PackRR(rec, out, start, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return out[:n]
}

// failure runs Verify and wants it to fail.
func failure(t testing.TB, r *tsig.Keyring, msg []byte, at time.Time) *tsig.Error {
	t.Helper()
	c, err := r.Verify(msg, at)
	var e *tsig.Error
	if c != nil || !errors.As(err, &e) {
		t.Fatalf("Verify gives %v, %v; want an *Error", c, err)
	}
	return e
}

func success(t testing.TB, r *tsig.Keyring, msg []byte, at time.Time) *tsig.Context {
	t.Helper()
	c, err := r.Verify(msg, at)
	if err != nil || c == nil {
		t.Fatalf("Verify gives %v, %v; want a Context", c, err)
	}
	return c
}
