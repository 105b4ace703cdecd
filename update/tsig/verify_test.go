package tsig_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

func TestVerifiesWhatMiekgSigns(t *testing.T) {
	for _, a := range all {
		t.Run(a.String(), func(t *testing.T) {
			r := ring(t, a, tsig.Options{})
			msg, mac := sign(t, query(t), a, now, nil)
			before := bytes.Clone(msg)
			c := success(t, r, msg, now)
			if !bytes.Equal(msg, before) {
				t.Error("Verify changed the message")
			}
			if c.Key() != rr.MustName(keyName) || !c.TimeSigned().Equal(now) || !bytes.Equal(c.MAC(), mac) {
				t.Errorf("context has %s, %v, %x", c.Key(), c.TimeSigned(), c.MAC())
			}
		})
	}
}

func TestUnsignedIsNoError(t *testing.T) {
	for _, r := range []*tsig.Keyring{nil, ring(t, tsig.HMACSHA256, tsig.Options{})} {
		msg := query(t)
		c, err := r.Verify(msg, now)
		if c != nil || err != nil {
			t.Fatalf("Verify gives %v, %v", c, err)
		}
		if c.Key() != "" || c.MAC() != nil || !c.TimeSigned().IsZero() || c.Overhead() != 0 {
			t.Error("a nil Context says that something was signed")
		}
		if !bytes.Equal(c.Strip(msg), msg) {
			t.Error("Strip of a nil Context changed the message")
		}
	}
}

func TestNilKeyringKnowsNoKey(t *testing.T) {
	msg, _ := sign(t, query(t), tsig.HMACSHA256, now, nil)
	if e := failure(t, nil, msg, now); e.TSIGError != dns.RcodeBadKey {
		t.Errorf("TSIG error %d", e.TSIGError)
	}
}

// RFC 8945, section 5.2.1.
func TestUnknownKeyOrAlgorithmIsBadKey(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{})
	cases := map[string]func(*dns.TSIG){
		"unknown key":             func(r *dns.TSIG) { r.Hdr.Name = "Other.Key." },
		"key below":               func(r *dns.TSIG) { r.Hdr.Name = "a.phone.key." },
		"root":                    func(r *dns.TSIG) { r.Hdr.Name = "." },
		"algorithm of other keys": func(r *dns.TSIG) { r.Algorithm = dns.HmacSHA512 },
		"unknown algorithm":       func(r *dns.TSIG) { r.Algorithm = "hmac-SHA999." },
		"MD5":                     func(r *dns.TSIG) { r.Algorithm = dns.HmacMD5 },
		"with impossible MAC":     func(r *dns.TSIG) { r.Hdr.Name, r.MAC, r.MACSize = "other.key.", "00", 1 },
		"long ago":                func(r *dns.TSIG) { r.Hdr.Name, r.TimeSigned = "other.key.", 1 },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			msg, _ := sign(t, query(t), tsig.HMACSHA256, now, nil)
			msg = edit(t, msg, change)
			sent := unpack(t, msg).IsTsig()
			e := failure(t, r, msg, now)
			if e.Rcode != dns.RcodeNotAuth || e.TSIGError != dns.RcodeBadKey || e.Key.String() != sent.Hdr.Name {
				t.Fatalf("RCODE %d, TSIG error %d, key %s", e.Rcode, e.TSIGError, e.Key)
			}
			unsigned(t, e, msg, sent)
		})
	}
}

// RFC 8945, section 5.2.2.
func TestWrongMACIsBadSig(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{MinMAC: 32})
	good, _ := sign(t, query(t), tsig.HMACSHA256, now, nil)
	start, _, _ := tsig.Find(good)
	flip := func(off int) []byte {
		m := bytes.Clone(good)
		m[off] ^= 1
		return m
	}
	cases := map[string][]byte{
		"flags":       flip(2),
		"question":    flip(14),
		"OPT":         flip(start - 5),
		"Time Signed": edit(t, good, func(r *dns.TSIG) { r.TimeSigned++ }),
		"Fudge":       edit(t, good, func(r *dns.TSIG) { r.Fudge++ }),
		"Original ID": edit(t, good, func(r *dns.TSIG) { r.OrigId++ }),
		"Error":       edit(t, good, func(r *dns.TSIG) { r.Error = 1 }),
		"Other Data":  edit(t, good, func(r *dns.TSIG) { r.OtherLen, r.OtherData = 1, "00" }),
		"first octet": edit(t, good, func(r *dns.TSIG) { r.MAC = invert(r.MAC[:2]) + r.MAC[2:] }),
		"last octet":  edit(t, good, func(r *dns.TSIG) { r.MAC = r.MAC[:62] + invert(r.MAC[62:]) }),
		// MAC before time and before truncation policy.
		"and time":       edit(t, good, func(r *dns.TSIG) { r.TimeSigned -= 100000 }),
		"and truncation": edit(t, resize(t, good, 16), func(r *dns.TSIG) { r.MAC = invert(r.MAC[:2]) + r.MAC[2:] }),
	}
	for name, msg := range cases {
		t.Run(name, func(t *testing.T) {
			e := failure(t, r, msg, now)
			if e.Rcode != dns.RcodeNotAuth || e.TSIGError != dns.RcodeBadSig {
				t.Fatalf("RCODE %d, TSIG error %d", e.Rcode, e.TSIGError)
			}
			unsigned(t, e, msg, unpack(t, msg).IsTsig())
		})
	}
}

func invert(octet string) string {
	if strings.HasPrefix(octet, "0") {
		return "f0"
	}
	return "00"
}

// RFC 8945, section 5.3.2: a failed key or MAC is told with MAC Size 0.
func unsigned(t *testing.T, e *tsig.Error, request []byte, sent *dns.TSIG) {
	t.Helper()
	reply := answer(t, request, e.Rcode)
	got := e.SignReply(bytes.Clone(reply), now)
	if len(got)-len(reply) != e.Overhead() {
		t.Errorf("the TSIG has %d octets, Overhead says %d", len(got)-len(reply), e.Overhead())
	}
	rec := unpack(t, got).IsTsig()
	if rec == nil {
		t.Fatal("no TSIG")
	}
	want := dns.TSIG{
		Hdr:       dns.RR_Header{Name: sent.Hdr.Name, Rrtype: dns.TypeTSIG, Class: dns.ClassANY, Rdlength: rec.Hdr.Rdlength},
		Algorithm: sent.Algorithm, TimeSigned: uint64(now.Unix()), Fudge: 300,
		OrigId: binary.BigEndian.Uint16(request), Error: e.TSIGError,
	}
	if *rec != want {
		t.Errorf("TSIG is %+v\nwant    %+v", *rec, want)
	}
}

// RFC 8945, section 5.2.3.
func TestTimeOutsideFudgeIsBadTime(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{MinMAC: 32})
	for _, c := range []struct {
		off  time.Duration
		size int
		ok   bool
	}{
		{-300 * time.Second, 32, true}, {300 * time.Second, 32, true},
		{-301 * time.Second, 32, false}, {301 * time.Second, 32, false},
		{-1_700_000_000 * time.Second, 32, false}, {1 << 31 * time.Second, 32, false},
		{-301 * time.Second, 16, false}, // time before truncation policy
	} {
		msg, mac := sign(t, query(t), tsig.HMACSHA256, now, nil)
		msg, mac = resize(t, msg, c.size), mac[:c.size]
		server := now.Add(c.off)
		if c.ok {
			success(t, r, msg, server)
			continue
		}
		e := failure(t, r, msg, server)
		if e.Rcode != dns.RcodeNotAuth || e.TSIGError != dns.RcodeBadTime {
			t.Fatalf("%v: RCODE %d, TSIG error %d", c.off, e.Rcode, e.TSIGError)
		}
		reply := answer(t, msg, e.Rcode)
		signed := e.SignReply(bytes.Clone(reply), server)
		if len(signed)-len(reply) != e.Overhead() {
			t.Errorf("the TSIG has %d octets, Overhead says %d", len(signed)-len(reply), e.Overhead())
		}
		rec := check(t, signed, mac, false)
		if rec.TimeSigned != uint64(now.Unix()) || rec.Fudge != 300 || rec.Error != dns.RcodeBadTime {
			t.Errorf("time %d, fudge %d, error %d", rec.TimeSigned, rec.Fudge, rec.Error)
		}
		want := binary.BigEndian.AppendUint64(nil, uint64(server.Unix()))[2:]
		if got := unhex(t, rec.OtherData); !bytes.Equal(got, want) {
			t.Errorf("%v: server time %x, want %x", c.off, got, want)
		}
	}
}

func TestFudgeIsTheClients(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{})
	msg, _ := sign(t, query(t), tsig.HMACSHA256, now, func(r *dns.TSIG) { r.Fudge = 7 })
	success(t, r, msg, now.Add(7*time.Second))
	if e := failure(t, r, msg, now.Add(8*time.Second)); e.TSIGError != dns.RcodeBadTime {
		t.Errorf("TSIG error %d", e.TSIGError)
	}
}

// RFC 8945, section 5.2.3: which message is older than the newest of its key is
// the caller's to know. What such a request is answered is here.
func TestOlderIsBadTime(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{})
	older, mac := sign(t, query(t), tsig.HMACSHA256, now.Add(-time.Second), nil)
	e := success(t, r, older, now).Older()
	if e.Rcode != dns.RcodeNotAuth || e.TSIGError != dns.RcodeBadTime || !errors.Is(e, tsig.ErrOlder) {
		t.Errorf("older: %v", e)
	}
	check(t, e.SignReply(answer(t, older, dns.RcodeNotAuth), now), mac, false)
}

// RFC 8945, section 5.2.4.
func TestMACShorterThanPolicyIsBadTrunc(t *testing.T) {
	for _, a := range all {
		r := ring(t, a, tsig.Options{MinMAC: 40}) // beyond the shorter digests: the whole digest
		least := min(40, a.Size())
		msg, mac := sign(t, query(t), a, now, nil)
		success(t, r, resize(t, msg, least), now)

		msg, mac = resize(t, msg, least-1), mac[:least-1]
		e := failure(t, r, msg, now)
		if e.Rcode != dns.RcodeNotAuth || e.TSIGError != dns.RcodeBadTrunc {
			t.Fatalf("%s: RCODE %d, TSIG error %d", a, e.Rcode, e.TSIGError)
		}
		reply := answer(t, msg, e.Rcode)
		signed := e.SignReply(bytes.Clone(reply), now)
		if len(signed)-len(reply) != e.Overhead() {
			t.Errorf("the TSIG has %d octets, Overhead says %d", len(signed)-len(reply), e.Overhead())
		}
		if rec := check(t, signed, mac, false); rec.Error != dns.RcodeBadTrunc || rec.OtherLen != 0 {
			t.Errorf("TSIG is %v", rec)
		}
	}
}

// RFC 8945, section 4.2: names compare without case. The reply has the
// client's case, by which clients find their key.
func TestKeyNameInAnyCase(t *testing.T) {
	r, err := tsig.NewKeyring([]tsig.Key{{Name: rr.MustName("pHoNe.Key."), Algorithm: tsig.HMACSHA256, Secret: secret}}, tsig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Has(rr.MustName("PHONE.key.")) || r.Has(rr.MustName("phone.")) {
		t.Error("Has is wrong")
	}
	for _, sent := range []string{"phone.key.", "PHONE.KEY.", "pHoNe.Key.", "PhOnE.kEy."} {
		msg, mac := sign(t, query(t), tsig.HMACSHA256, now, func(r *dns.TSIG) {
			r.Hdr.Name, r.Algorithm = sent, "HMAC-sha256."
		})
		c := success(t, r, msg, now)
		if c.Key().String() != "pHoNe.Key." {
			t.Errorf("Key is %s", c.Key())
		}
		rec := check(t, c.SignReply(answer(t, msg, 0), now), mac, false)
		if rec.Hdr.Name != sent {
			t.Errorf("the reply names %s, the request %s", rec.Hdr.Name, sent)
		}
	}
}

func TestKeyNameWithRawOctets(t *testing.T) {
	name := rr.MustName(`a\.b\000\255\\.key.`)
	r, err := tsig.NewKeyring([]tsig.Key{{Name: name, Algorithm: tsig.HMACSHA256, Secret: secret}}, tsig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	msg, _, err := r.SignRequest(query(t), name, now)
	if err != nil {
		t.Fatal(err)
	}
	if c := success(t, r, msg, now); c.Key() != name {
		t.Errorf("Key is %s", c.Key())
	}
}

// The owner of a TSIG may be a compression pointer.
func TestCompressedOwner(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{})
	m := new(dns.Msg).SetQuestion(keyName, dns.TypeA)
	msg, _ := sign(t, pack(t, m), tsig.HMACSHA256, now, nil)
	start, _, _ := tsig.Find(msg)
	short := append(bytes.Clone(msg[:start]), 0xC0, 12)
	short = append(short, msg[start+len(rr.MustName(keyName)):]...)
	success(t, r, short, now)
}

// RFC 8945, section 5.5: a forwarder changes the ID; the MAC is over the
// original one, the reply over its own.
func TestOriginalIDDiffers(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{})
	msg, mac := sign(t, query(t), tsig.HMACSHA256, now, nil)
	binary.BigEndian.PutUint16(msg, binary.BigEndian.Uint16(msg)+1)
	c := success(t, r, msg, now)
	rec := check(t, c.SignReply(answer(t, msg, 0), now), mac, false)
	if rec.OrigId != binary.BigEndian.Uint16(msg) {
		t.Errorf("Original ID %d, ID %d", rec.OrigId, binary.BigEndian.Uint16(msg))
	}
	if got := binary.BigEndian.Uint16(c.Strip(msg)); got != rec.OrigId {
		t.Errorf("Strip changed the ID to %d", got)
	}
}

func TestStripGivesTheMessageBeforeSigning(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{})
	plain := query(t)
	msg, _, err := r.SignRequest(bytes.Clone(plain), rr.MustName(keyName), now)
	if err != nil {
		t.Fatal(err)
	}
	if got := success(t, r, msg, now).Strip(msg); !bytes.Equal(got, plain) {
		t.Errorf("stripped %x\nwant     %x", got, plain)
	}
}

func TestErrorNamesTheKey(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{})
	good, _ := sign(t, query(t), tsig.HMACSHA256, now, func(r *dns.TSIG) { r.Hdr.Name = "PHONE.key." })
	late := failure(t, r, good, now.Add(time.Hour))
	cut := failure(t, r, good[:20], now)
	if late.Error() != "tsig: key PHONE.key.: the time signed is too far from the server's" ||
		cut.Error() != "tsig: message is not well-formed" {
		t.Errorf("errors are %q and %q", late, cut)
	}
}

func TestVerifyIsConcurrent(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{})
	good, mac := sign(t, query(t), tsig.HMACSHA256, now, nil)
	bad := edit(t, good, func(r *dns.TSIG) { r.Fudge++ })
	plain := answer(t, good, 0)
	want := success(t, r, good, now).SignReply(bytes.Clone(plain), now)
	check(t, want, mac, false)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if c, err := r.Verify(good, now); err != nil || !bytes.Equal(c.SignReply(bytes.Clone(plain), now), want) {
					t.Errorf("good message: %v", err)
				}
				if _, err := r.Verify(bad, now); !errors.Is(err, tsig.ErrBadSig) {
					t.Errorf("bad message: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkVerify(b *testing.B) {
	r := ring(b, tsig.HMACSHA256, tsig.Options{})
	msg, _ := sign(b, query(b), tsig.HMACSHA256, now, nil)
	b.ReportAllocs()
	for b.Loop() {
		success(b, r, msg, now)
	}
}

func BenchmarkSignReply(b *testing.B) {
	r := ring(b, tsig.HMACSHA256, tsig.Options{})
	msg, _ := sign(b, query(b), tsig.HMACSHA256, now, nil)
	c := success(b, r, msg, now)
	reply := answer(b, msg, 0)
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		c.SignReply(append(buf, reply...), now)
	}
}
