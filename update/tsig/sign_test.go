package tsig_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

func TestMiekgVerifiesReplies(t *testing.T) {
	for _, a := range all {
		t.Run(a.String(), func(t *testing.T) {
			r := ring(t, a, tsig.Options{})
			msg, mac := sign(t, query(t), a, now, nil)
			c := success(t, r, msg, now)
			reply := answer(t, msg, dns.RcodeSuccess)
			signed := c.SignReply(bytes.Clone(reply), now)
			if len(signed)-len(reply) != c.Overhead() {
				t.Errorf("the TSIG has %d octets, Overhead says %d", len(signed)-len(reply), c.Overhead())
			}
			rec := check(t, signed, mac, false)
			if rec.Error != 0 || rec.OtherLen != 0 || rec.Fudge != 300 || rec.TimeSigned != uint64(now.Unix()) {
				t.Errorf("TSIG is %v", rec)
			}
			miekgVerifies(t, signed, mac, false)
		})
	}
}

// miekgVerifies uses a library that has its own clock and says ErrTime only
// when the MAC is right.
func miekgVerifies(t testing.TB, msg, prior []byte, timersOnly bool) {
	t.Helper()
	err := dns.TsigVerify(bytes.Clone(msg), base64Secret, hex.EncodeToString(prior), timersOnly)
	if err != nil && !errors.Is(err, dns.ErrTime) {
		t.Errorf("miekg/dns: %v", err)
	}
}

// RFC 8945, section 5.3: whatever the outcome, the answer is signed.
func TestRepliesOfAnyRcodeAreSigned(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{})
	msg, mac := sign(t, query(t), tsig.HMACSHA256, now, nil)
	c := success(t, r, msg, now)
	for _, code := range []uint16{
		dns.RcodeFormatError, dns.RcodeServerFailure, dns.RcodeNameError, dns.RcodeRefused,
		dns.RcodeNXRrset, dns.RcodeNotAuth, dns.RcodeNotZone,
	} {
		if rec := check(t, c.SignReply(answer(t, msg, code), now), mac, false); rec.Error != 0 {
			t.Errorf("RCODE %d: TSIG error %d", code, rec.Error)
		}
	}
}

// RFC 8945, section 5.3: the answer to an unsigned request is not signed.
func TestUnsignedRequestGetsUnsignedReply(t *testing.T) {
	var c *tsig.Context
	reply := answer(t, query(t), 0)
	if got := c.SignReply(bytes.Clone(reply), now); !bytes.Equal(got, reply) {
		t.Error("a reply was signed")
	}
	s := c.Stream()
	for range 2 {
		if got := s.Sign(bytes.Clone(reply), now); !bytes.Equal(got, reply) || s.Overhead() != 0 {
			t.Error("a stream was signed")
		}
	}
}

// RFC 8945, section 5.2.2.1: the digest of the reply has the request's MAC as
// it was sent; section 7: the reply's MAC is not shorter.
func TestReplyToTruncatedMAC(t *testing.T) {
	for _, a := range all {
		r := ring(t, a, tsig.Options{})
		msg, mac := sign(t, query(t), a, now, nil)
		size := max(10, a.Size()/2)
		c := success(t, r, resize(t, msg, size), now)
		if rec := check(t, c.SignReply(answer(t, msg, 0), now), mac[:size], false); int(rec.MACSize) != a.Size() {
			t.Errorf("%s: MAC of %d octets", a, rec.MACSize)
		}
	}
}

// RFC 8945, section 5.3.1.
func TestStreamChainsTheMACs(t *testing.T) {
	for _, a := range all {
		r := ring(t, a, tsig.Options{})
		msg, mac := sign(t, query(t), a, now, nil)
		c := success(t, r, msg, now)
		s := c.Stream()
		reply := answer(t, msg, 0)
		prior := mac
		for i := range 4 {
			signed := s.Sign(bytes.Clone(reply), now.Add(time.Duration(i)*time.Minute))
			if len(signed)-len(reply) != s.Overhead() {
				t.Errorf("the TSIG has %d octets, Overhead says %d", len(signed)-len(reply), s.Overhead())
			}
			rec := check(t, signed, prior, i > 0)
			miekgVerifies(t, signed, prior, i > 0)
			prior = unhex(t, rec.MAC)
		}
		// Another stream of the same request starts afresh.
		check(t, c.Stream().Sign(bytes.Clone(reply), now), mac, false)
	}
}

// The transfer client of miekg/dns, which stops at the first message that
// does not verify.
func TestStreamForTransferClient(t *testing.T) {
	const messages = 5
	server, client := net.Pipe()
	defer client.Close()
	served := make(chan error, 1)
	go func() { served <- serveTransfer(server, ring(t, tsig.HMACSHA384, tsig.Options{}), messages) }()

	q := new(dns.Msg).SetAxfr("phones.example.")
	q.SetTsig(keyName, dns.HmacSHA384, 300, time.Now().Unix())
	tr := &dns.Transfer{Conn: &dns.Conn{Conn: client}, TsigSecret: map[string]string{keyName: base64Secret}}
	envelopes, err := tr.In(q, "")
	if err != nil {
		t.Fatal(err)
	}
	records := 0
	for e := range envelopes {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		records += len(e.RR)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if records != messages+1 {
		t.Errorf("%d records, want %d", records, messages+1)
	}
}

// serveTransfer answers one request on a connection with several messages.
func serveTransfer(conn net.Conn, r *tsig.Keyring, messages int) error {
	defer conn.Close()
	c := &dns.Conn{Conn: conn}
	request, err := c.ReadMsgHeader(nil)
	if err != nil {
		return err
	}
	ctx, err := r.Verify(request, time.Now())
	if err != nil {
		return err
	}
	q := new(dns.Msg)
	if err := q.Unpack(request); err != nil {
		return err
	}
	stream := ctx.Stream()
	for _, m := range transfer(q, messages) {
		b, err := m.Pack()
		if err != nil {
			return err
		}
		if _, err := c.Write(stream.Sign(b, time.Now())); err != nil {
			return err
		}
	}
	return nil
}

// transfer is a zone in several messages: an SOA, addresses, the SOA again.
func transfer(q *dns.Msg, messages int) []*dns.Msg {
	parse := func(s string) dns.RR {
		r, err := dns.NewRR(s)
		if err != nil {
			panic(err)
		}
		return r
	}
	soa := parse("phones.example. 60 IN SOA ns1.phones.example. root.phones.example. 1 60 60 60 60")
	out := make([]*dns.Msg, messages)
	for i := range out {
		out[i] = new(dns.Msg).SetReply(q)
		out[i].Extra = nil
		out[i].Answer = []dns.RR{parse(fmt.Sprintf("%d.phones.example. 60 IN A 192.0.2.%d", i, i))}
	}
	out[0].Answer[0] = soa
	out[messages-1].Answer = append(out[messages-1].Answer, soa)
	return out
}

func TestRequestAndReply(t *testing.T) {
	name := rr.MustName("PHONE.key.")
	for _, a := range all {
		r := ring(t, a, tsig.Options{})
		msg, req, err := r.SignRequest(query(t), name, now)
		if err != nil {
			t.Fatal(err)
		}
		miekgVerifies(t, msg, nil, false)
		c := success(t, r, msg, now)
		reply := c.SignReply(answer(t, msg, 0), now)
		if err := req.VerifyReply(reply, now); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestReplyFromMiekg(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{})
	msg, req, err := r.SignRequest(query(t), rr.MustName(keyName), now)
	if err != nil {
		t.Fatal(err)
	}
	m := unpack(t, answer(t, msg, 0))
	m.SetTsig("phone.KEY.", "HMAC-SHA256.", 300, now.Unix())
	reply, _, err := dns.TsigGenerate(m, base64Secret, unpack(t, msg).IsTsig().MAC, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := req.VerifyReply(reply, now); err != nil {
		t.Error(err)
	}
}

func TestFalseReplies(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{MinMAC: 20})
	msg, req, err := r.SignRequest(query(t), rr.MustName(keyName), now)
	if err != nil {
		t.Fatal(err)
	}
	c := success(t, r, msg, now)
	good := c.SignReply(answer(t, msg, 0), now)
	otherRequest, _ := sign(t, query(t), tsig.HMACSHA256, now.Add(time.Second), nil)
	flipped := bytes.Clone(good)
	flipped[3] ^= dns.RcodeRefused
	for name, x := range map[string]struct {
		reply []byte
		want  error
	}{
		"not signed":           {answer(t, msg, 0), tsig.ErrUnsigned},
		"other key":            {edit(t, good, func(r *dns.TSIG) { r.Hdr.Name = "x." }), tsig.ErrOtherKey},
		"other algorithm":      {edit(t, good, func(r *dns.TSIG) { r.Algorithm = dns.HmacSHA1 }), tsig.ErrOtherKey},
		"changed":              {flipped, tsig.ErrBadSig},
		"to another request":   {success(t, r, otherRequest, now).SignReply(answer(t, msg, 0), now), tsig.ErrBadSig},
		"the request itself":   {msg, tsig.ErrBadSig},
		"too late":             {c.SignReply(answer(t, msg, 0), now.Add(-301*time.Second)), tsig.ErrBadTime},
		"truncated too far":    {resize(t, good, 19), tsig.ErrBadTrunc},
		"MAC of no octets":     {resize(t, good, 0), tsig.ErrMACSize},
		"other error unsigned": {edit(t, resize(t, good, 0), func(r *dns.TSIG) { r.Error = dns.RcodeBadTime }), tsig.ErrMACSize},
	} {
		if err := req.VerifyReply(x.reply, now); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
	}
	if err := req.VerifyReply(append(bytes.Clone(good), 0), now); err == nil {
		t.Error("octets behind the TSIG are accepted")
	}
}

// The server's complaint reaches the client, and is marked as verified
// exactly when it was signed (RFC 8945, section 5.3.2).
func TestReplyError(t *testing.T) {
	client := ring(t, tsig.HMACSHA256, tsig.Options{})
	msg, req, err := client.SignRequest(query(t), rr.MustName(keyName), now)
	if err != nil {
		t.Fatal(err)
	}
	otherSecret, err := tsig.NewKeyring([]tsig.Key{{Name: rr.MustName(keyName), Algorithm: tsig.HMACSHA256, Secret: []byte("x")}}, tsig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	late := now.Add(time.Hour)
	for _, x := range []struct {
		server *tsig.Keyring
		at     time.Time
		want   tsig.ReplyError
		text   string
	}{
		{nil, now, tsig.ReplyError{TSIGError: dns.RcodeBadKey}, "tsig: the server answers BADKEY"},
		{otherSecret, now, tsig.ReplyError{TSIGError: dns.RcodeBadSig}, "tsig: the server answers BADSIG"},
		{client, late, tsig.ReplyError{TSIGError: dns.RcodeBadTime, Verified: true, ServerTime: late}, "tsig: the server answers BADTIME"},
	} {
		e := failure(t, x.server, msg, x.at)
		reply := e.SignReply(answer(t, msg, e.Rcode), x.at)
		var got *tsig.ReplyError
		if err := req.VerifyReply(reply, now); !errors.As(err, &got) || *got != x.want || got.Error() != x.text {
			t.Errorf("%v, want %v", err, x.text)
		}
	}
}

func TestSignRequestWithUnknownKey(t *testing.T) {
	for _, r := range []*tsig.Keyring{nil, ring(t, tsig.HMACSHA256, tsig.Options{})} {
		if _, _, err := r.SignRequest(query(t), rr.MustName("other.key."), now); !errors.Is(err, tsig.ErrNoKey) {
			t.Errorf("error is %v", err)
		}
	}
}
