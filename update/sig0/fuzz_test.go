package sig0_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update/sig0"
)

// FuzzVerify feeds Find and Verify with anything and checks what they make of
// it.
func FuzzVerify(f *testing.F) {
	for _, q := range requests(f) {
		f.Add(q.msg, q.key, q.now.Unix())
	}
	for _, algorithm := range both {
		p := newPair(f, algorithm)
		f.Add(p.sign(f, update(f), now, nil), p.rdata(f), now.Unix())
		f.Add(p.sign(f, new(dns.Msg).SetQuestion("a.", dns.TypeA), now, func(s *dns.SIG) { s.SignerName = "a." }), p.rdata(f), now.Unix())
		f.Add(p.sign(f, update(f), time.Unix(1<<32-1, 0), nil), p.rdata(f), int64(1<<32+5))
		f.Add(pack(f, update(f)), p.rdata(f), int64(0))
	}
	f.Fuzz(func(t *testing.T, msg []byte, rdata string, at int64) {
		before := bytes.Clone(msg)
		now := time.Unix(at, 0)
		r, err := sig0.Find(msg)
		var e *sig0.Error
		switch {
		case err != nil:
			if r != nil || !errors.As(err, &e) || e.Rcode != dns.RcodeFormatError || e.Error() == "" {
				t.Fatalf("Find gives %v, %v", r, err)
			}
			return
		case r == nil:
			return
		}
		if !r.Signer.Valid() || !bytes.HasSuffix(msg, r.Octets()) {
			t.Fatalf("signer %x, octets %x", string(r.Signer), r.Octets())
		}
		keys, err := r.Select([]string{rdata}, now)
		if (err == nil) != (len(keys) == 1) || err != nil && (!errors.As(err, &e) || e.Rcode != dns.RcodeRefused) {
			t.Fatalf("Select gives %v, %v", keys, err)
		}
		if key, err := sig0.ParsePublicKey(rdata); err == nil {
			c, err := r.Verify(key, now)
			if (c == nil) != (err != nil) || c != nil && len(keys) == 0 {
				t.Fatalf("Verify gives %v, %v after Select gave %v", c, err, keys)
			}
			if c != nil {
				checkVerified(t, msg, c, now)
			}
		}
		if !bytes.Equal(msg, before) {
			t.Fatal("the message has changed")
		}
	})
}

func checkVerified(t *testing.T, msg []byte, c *sig0.Context, now time.Time) {
	if c.Inception().After(now) || c.Expiration().Before(now) || c.Expiration().Sub(c.Inception()) > sig0.MaxBracket {
		t.Fatalf("from %v to %v at %v", c.Inception(), c.Expiration(), now)
	}
	stripped := c.Strip(bytes.Clone(msg))
	if r, err := sig0.Find(stripped); r != nil || err != nil {
		t.Fatalf("after Strip: %v, %v", r, err)
	}
}

// TestMiekgVerifiesWhatWeVerify: it looks at the time itself, so this is signed
// now.
func TestMiekgVerifiesWhatWeVerify(t *testing.T) {
	for _, algorithm := range both {
		p := newPair(t, algorithm)
		at := time.Now()
		msg := p.sign(t, update(t), at, nil)
		bad := bytes.Clone(msg)
		bad[len(bad)-1] ^= 1
		changed := bytes.Clone(msg)
		changed[0] ^= 1 // the ID
		for name, b := range map[string][]byte{"good": msg, "signature": bad, "ID": changed} {
			m := new(dns.Msg)
			if err := m.Unpack(b); err != nil {
				t.Fatal(err)
			}
			theirs := m.Extra[len(m.Extra)-1].(*dns.SIG).Verify(p.key, b)
			_, ours := find(t, b).Verify(p.public(t), at)
			if (theirs == nil) != (ours == nil) || (ours == nil) != (name == "good") {
				t.Errorf("algorithm %d, %s: miekg/dns says %v, we say %v", algorithm, name, theirs, ours)
			}
		}
	}
}
