package tsig_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/miekg/dns"

	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

// FuzzVerify feeds Verify with anything and checks what it makes of it.
func FuzzVerify(f *testing.F) {
	r := ring(f, tsig.HMACSHA256, tsig.Options{MinMAC: 20})
	good, _ := sign(f, query(f), tsig.HMACSHA256, now, nil)
	f.Add(good)
	f.Add(query(f))
	f.Add(resize(f, good, 16))
	f.Add(resize(f, good, 0))
	f.Add(edit(f, good, func(r *dns.TSIG) { r.Hdr.Name = "other." }))
	f.Add(edit(f, good, func(r *dns.TSIG) { r.TimeSigned++ }))
	late, _ := sign(f, query(f), tsig.HMACSHA256, now.Add(1000000000), nil)
	f.Add(late)
	update := new(dns.Msg).SetUpdate("phones.example.")
	update.RemoveName([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: "a.phones.example."}}})
	signed, _ := sign(f, pack(f, update), tsig.HMACSHA256, now, nil)
	f.Add(signed)
	base := answer(f, query(f), dns.RcodeNotAuth)

	f.Fuzz(func(t *testing.T, msg []byte) {
		before := bytes.Clone(msg)
		c, err := r.Verify(msg, now)
		if !bytes.Equal(msg, before) {
			t.Fatal("Verify changed the message")
		}
		_, found, findErr := tsig.Find(msg)
		switch {
		case err != nil:
			var e *tsig.Error
			if c != nil || !errors.As(err, &e) {
				t.Fatalf("%v with %v", c, err)
			}
			checkErrorReply(t, e, base)
			if found == (findErr != nil) {
				t.Fatalf("%v, but Find says %v, %v", err, found, findErr)
			}
		case c == nil:
			if found {
				t.Fatal("a TSIG was passed over")
			}
		default:
			miekgVerifiesIfItCan(t, msg, c)
			if _, found, err := tsig.Find(c.Strip(msg)); found || err != nil {
				t.Fatalf("after Strip: %v, %v", found, err)
			}
		}
	})
}

// checkErrorReply wants the TSIG of an error reply to be well-formed and of
// the size that was told, and signed only where RFC 8945, section 5.3.2 says.
func checkErrorReply(t *testing.T, e *tsig.Error, base []byte) {
	reply := e.SignReply(bytes.Clone(base), now)
	if len(reply)-len(base) != e.Overhead() {
		t.Fatalf("%v: Overhead is %d, not %d", e, e.Overhead(), len(reply)-len(base))
	}
	start, found, err := tsig.Find(reply)
	if err != nil {
		t.Fatalf("%v: the reply: %v", e, err)
	}
	if e.Rcode == dns.RcodeFormatError {
		if found || e.TSIGError != 0 {
			t.Fatalf("%v: FORMERR with a TSIG", e)
		}
		return
	}
	if !found || start != len(base) || e.Rcode != dns.RcodeNotAuth {
		t.Fatalf("%v: RCODE %d, TSIG found %v at %d", e, e.Rcode, found, start)
	}
	rec, _, err := dns.UnpackRR(reply, start)
	if err != nil {
		t.Fatalf("%v: %v", e, err)
	}
	signed := e.TSIGError == dns.RcodeBadTime || e.TSIGError == dns.RcodeBadTrunc
	if got := rec.(*dns.TSIG); got.Error != e.TSIGError || signed != (got.MACSize == 32) || !signed && got.MACSize != 0 {
		t.Fatalf("%v: the reply has %v", e, got)
	}
}

// miekgVerifiesIfItCan: it knows full MACs only, and refuses some messages
// for what is in other records, and all with RCODE NOTAUTH.
func miekgVerifiesIfItCan(t *testing.T, msg []byte, c *tsig.Context) {
	if len(c.MAC()) != 32 || new(dns.Msg).Unpack(msg) != nil || msg[3]&0xF == dns.RcodeNotAuth {
		return
	}
	miekgVerifies(t, msg, nil, false)
}

// FuzzSign signs anything that can be walked and has no TSIG yet; the result
// must verify, here and with miekg/dns.
func FuzzSign(f *testing.F) {
	r := ring(f, tsig.HMACSHA256, tsig.Options{})
	f.Add(query(f), []byte{0, 1})
	f.Add(answer(f, query(f), 0), []byte{})
	f.Add(make([]byte, 12), []byte{9, 9})
	f.Fuzz(func(t *testing.T, msg, id []byte) {
		_, found, err := tsig.Find(msg)
		// The record must still be countable.
		if err != nil || found || msg[10] == 0xFF {
			return
		}
		plain := bytes.Clone(msg)
		signed, req, err := r.SignRequest(msg, rr.MustName(keyName), now)
		if err != nil {
			t.Fatal(err)
		}
		copy(signed[:2], id) // as a forwarder does
		c, err := r.Verify(signed, now)
		if err != nil || c == nil {
			t.Fatalf("Verify: %v", err)
		}
		miekgVerifiesIfItCan(t, signed, c)
		reply := c.SignReply(bytes.Clone(plain), now)
		if err := req.VerifyReply(reply, now); err != nil {
			t.Fatalf("VerifyReply: %v", err)
		}
		stripped := c.Strip(signed)
		copy(stripped, plain[:2])
		if !bytes.Equal(stripped, plain) {
			t.Fatalf("stripped %x\nwant     %x", stripped, plain)
		}
	})
}
