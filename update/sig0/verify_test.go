package sig0_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update/sig0"
	"dialtone/zone/rr"
)

// TestRequestsOfOtherPrograms verifies what real clients have sent.
func TestRequestsOfOtherPrograms(t *testing.T) {
	for name, q := range requests(t) {
		t.Run(name, func(t *testing.T) {
			keys, err := find(t, q.msg).Select([]string{q.key}, q.now)
			if err != nil || len(keys) != 1 {
				t.Fatalf("Select gives %v, %v", keys, err)
			}
			before := bytes.Clone(q.msg)
			c := verify(t, q.msg, keys[0], q.now)
			if !bytes.Equal(q.msg, before) {
				t.Error("Verify changed the message")
			}
			if c.Signer() != rr.MustName(signer) || !c.Key().Equal(keys[0]) || c.Expiration().Sub(c.Inception()) != sig0.MaxBracket {
				t.Errorf("signed by %s from %v to %v", c.Signer(), c.Inception(), c.Expiration())
			}
			m := new(dns.Msg)
			if err := m.Unpack(c.Strip(bytes.Clone(q.msg))); err != nil || m.Opcode != dns.OpcodeUpdate || len(m.Extra) != 0 {
				t.Errorf("after Strip: %v, %v", m, err)
			}
		})
	}
}

func TestVerifiesWhatMiekgSigns(t *testing.T) {
	for _, algorithm := range both {
		p := newPair(t, algorithm)
		key := p.public(t)
		for name, m := range map[string]*dns.Msg{"update": update(t), "query": new(dns.Msg).SetQuestion(signer, dns.TypeA)} {
			plain := pack(t, m)
			msg := p.sign(t, m, now, nil)
			c := verify(t, msg, key, now)
			if !c.Inception().Equal(now.Add(-5*time.Minute)) || !c.Expiration().Equal(now.Add(5*time.Minute)) {
				t.Errorf("%s: from %v to %v", name, c.Inception(), c.Expiration())
			}
			if !bytes.Equal(c.Strip(msg), plain) {
				t.Errorf("%s: stripped %x, want %x", name, msg, plain)
			}
		}
	}
}

// TestCompressedSigner: SRP clients sign the name as a whole and send a pointer
// (RFC 2535, section 4.1.7).
func TestCompressedSigner(t *testing.T) {
	p := newPair(t, dns.ECDSAP256SHA256)
	good := p.sign(t, update(t), now, nil)
	start := len(good) - len(find(t, good).Octets())
	name := len(rr.MustName(signer))
	owner := bytes.Index(good, []byte("\x075551234\xc0\x0c"))
	if owner < 0 {
		t.Fatal("the update has no compressed owner to point at")
	}
	msg := bytes.Join([][]byte{good[:start+11+18], {0xC0, byte(owner)}, good[start+11+18+name:]}, nil)
	binary.BigEndian.PutUint16(msg[start+9:], uint16(18+2+64))
	if c := verify(t, msg, p.public(t), now); c.Fingerprint() != verify(t, good, p.public(t), now).Fingerprint() {
		t.Error("the fingerprint depends on compression")
	}
}

// TestEveryOctetCounts changes each bit of signed messages. Only what RFC 2931,
// section 3 calls meaningless may differ, and then the fingerprint is the same.
func TestEveryOctetCounts(t *testing.T) {
	for _, algorithm := range both {
		p := newPair(t, algorithm)
		good := p.sign(t, update(t), now, nil)
		key, want := p.public(t), verify(t, good, p.public(t), now).Fingerprint()
		start := len(good) - len(find(t, good).Octets())
		for i := range 8 * len(good) {
			msg := bytes.Clone(good)
			msg[i/8] ^= 1 << (i % 8)
			r, err := sig0.Find(msg)
			if r == nil || err != nil {
				continue
			}
			c, err := r.Verify(key, now)
			if err == nil && (i/8 < start+3 || i/8 > start+8 || c.Fingerprint() != want) {
				t.Errorf("algorithm %d: octet %d of %d, bit %d: verifies", algorithm, i/8, len(good), i%8)
			}
		}
	}
}

// TestFingerprintOutlivesMalleation: (r, n-s) is a signature, too.
func TestFingerprintOutlivesMalleation(t *testing.T) {
	p := newPair(t, dns.ECDSAP256SHA256)
	good := p.sign(t, update(t), now, nil)
	bad := bytes.Clone(good)
	s := bad[len(bad)-32:]
	new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(s)).FillBytes(s)
	a, b := verify(t, good, p.public(t), now), verify(t, bad, p.public(t), now)
	if bytes.Equal(good, bad) || a.Fingerprint() != b.Fingerprint() {
		t.Error("a second signature makes another fingerprint")
	}
	m := update(t)
	other := verify(t, p.sign(t, m, now, nil), p.public(t), now)
	later := verify(t, p.sign(t, m, now.Add(time.Second), nil), p.public(t), now)
	if a.Fingerprint() == other.Fingerprint() || other.Fingerprint() == later.Fingerprint() {
		t.Error("another ID or another time has the same fingerprint")
	}
}

func TestSignaturesThatAreWrong(t *testing.T) {
	for _, algorithm := range both {
		p, other := newPair(t, algorithm), newPair(t, algorithm)
		good := p.sign(t, update(t), now, nil)
		start := len(good) - len(find(t, good).Octets())
		with := func(signature []byte) []byte {
			msg := append(bytes.Clone(good[:len(good)-64]), signature...)
			binary.BigEndian.PutUint16(msg[start+9:], uint16(len(msg)-start-11))
			return msg
		}
		signature := good[len(good)-64:]
		r, s := signature[:32], signature[32:]
		wrong := map[string][]byte{
			"none": nil, "short": signature[:63], "long": append(bytes.Clone(signature), 0), "zeros": make([]byte, 64),
			"ones": bytes.Repeat([]byte{0xFF}, 64), "s is zero": append(bytes.Clone(r), make([]byte, 32)...),
			"halves exchanged": append(bytes.Clone(s), r...),
		}
		if algorithm == dns.ED25519 {
			// RFC 8032, section 5.1.7: S must be below the order.
			wrong["S plus the order"] = append(bytes.Clone(r), plusOrder(s)...)
		}
		for name, s := range wrong {
			t.Run(name, func(t *testing.T) { refuses(t, with(s), p.public(t), now, sig0.ErrBadSig) })
		}
		verify(t, with(signature), p.public(t), now)
		forged := other.sign(t, update(t), now, func(s *dns.SIG) { s.KeyTag = p.key.KeyTag() })
		refuses(t, forged, p.public(t), now, sig0.ErrBadSig)
	}
}

// plusOrder adds the order of the group of Ed25519 to a number of 32 octets, the
// least first.
func plusOrder(s []byte) []byte {
	tail, _ := new(big.Int).SetString("27742317777372353535851937790883648493", 10)
	order := tail.Add(tail, new(big.Int).Lsh(big.NewInt(1), 252))
	b := bytes.Clone(s)
	slices.Reverse(b)
	new(big.Int).Add(new(big.Int).SetBytes(b), order).FillBytes(b)
	slices.Reverse(b)
	return b
}

// RFC 2931, section 3.3; RFC 4034, section 3.1.5.
func TestTimeBracket(t *testing.T) {
	p := newPair(t, dns.ED25519)
	check := func(name string, n, inception, expiration int64, want error) {
		t.Helper()
		at := time.Unix(n, 0)
		msg := p.sign(t, update(t), now, func(s *dns.SIG) { s.Inception, s.Expiration = uint32(inception), uint32(expiration) })
		r := find(t, msg)
		_, selected := r.Select([]string{p.rdata(t)}, at)
		c, err := r.Verify(p.public(t), at)
		if !errors.Is(err, want) || !errors.Is(selected, want) || (err == nil) != (want == nil) || (selected == nil) != (want == nil) {
			t.Errorf("%s at %d: Verify says %v, Select %v; want %v", name, n, err, selected, want)
		}
		if c != nil && (c.Inception().Unix() != inception || c.Expiration().Unix() != expiration) {
			t.Errorf("%s at %d: from %d to %d", name, n, c.Inception().Unix(), c.Expiration().Unix())
		}
	}
	for _, n := range []int64{now.Unix(), 1<<31 - 10, 1<<32 - 10, 1<<32 + 10, 1<<33 + 300} {
		check("nsupdate", n, n-300, n+300, nil)
		check("begins now", n, n, n+600, nil)
		check("ends now", n, n-600, n, nil)
		check("one second", n, n, n, nil)
		check("begins later", n, n+1, n+601, sig0.ErrTime)
		check("has ended", n, n-601, n-1, sig0.ErrTime)
		check("a year ago", n, n-86400*365, n-86400*365+600, sig0.ErrTime)
		check("half the circle away", n, n+1<<31, n+1<<31+600, sig0.ErrTime)
		check("too wide", n, n-300, n+301, sig0.ErrBracket)
		check("a month", n, n-1, n+86400*30, sig0.ErrBracket)
		check("backwards", n, n+1, n-1, sig0.ErrBracket)
		check("exchanged", n, n+300, n-300, sig0.ErrBracket)
		check("no clock", n, 0, 0, sig0.ErrNoClock)
	}
	check("clock of 1970", now.Unix(), 0, 600, sig0.ErrTime)
	check("no expiration", now.Unix(), now.Unix(), 0, sig0.ErrBracket)
}

// TestSignatureComesLast: what is cheap to see is seen before a signature is
// computed, also when that is wrong.
func TestSignatureComesLast(t *testing.T) {
	p, other := newPair(t, dns.ED25519), newPair(t, dns.ECDSAP256SHA256)
	spoil := func(msg []byte) []byte { msg[len(msg)-1] ^= 1; return msg }
	late := spoil(p.sign(t, update(t), now.Add(-time.Hour), nil))
	refuses(t, late, p.public(t), now, sig0.ErrTime)
	refuses(t, spoil(p.sign(t, update(t), now, nil)), other.public(t), now, sig0.ErrNoKey)
	refuses(t, spoil(p.sign(t, update(t), now, func(s *dns.SIG) { s.KeyTag++ })), p.public(t), now, sig0.ErrNoKey)
	wide := spoil(p.sign(t, update(t), now, func(s *dns.SIG) { s.Expiration++ }))
	refuses(t, wide, p.public(t), now, sig0.ErrBracket)
}

func TestSelect(t *testing.T) {
	p := newPair(t, dns.ED25519)
	mine := p.rdata(t)
	twin := func(i int) string { // another key with the same tag
		b := []byte(mine)
		b[4], b[5], b[6+2*i], b[7+2*i] = b[6+2*i], b[7+2*i], b[4], b[5]
		return string(b)
	}
	var others []string
	for range 15 {
		others = append(others, newPair(t, dns.ECDSAP256SHA256).rdata(t))
	}
	zone := []byte(mine)
	zone[0], zone[1] = 1, 1 // the tag stays
	msg := p.sign(t, update(t), now, nil)
	for name, c := range map[string]struct {
		rdatas []string
		want   []string
		reason error
	}{
		"none":               {nil, nil, sig0.ErrNoKey},
		"the key":            {[]string{mine}, []string{mine}, nil},
		"others":             {others, nil, sig0.ErrNoKey},
		"the sixteenth":      {append(others[:15:15], mine), []string{mine}, nil},
		"the seventeenth":    {append(others[:15:15], others[0], mine), nil, sig0.ErrNoKey},
		"three of one tag":   {[]string{twin(0), mine, twin(1)}, []string{twin(0), mine}, nil},
		"no KEY":             {[]string{"", "\x00", "\x00\x00\x03\x0f"}, nil, sig0.ErrNoKey},
		"the key behind one": {[]string{"\x00", mine}, []string{mine}, nil},
	} {
		keys, err := find(t, msg).Select(c.rdatas, now)
		var got []string
		for _, k := range keys {
			got = append(got, k.RData())
		}
		if !errors.Is(err, c.reason) || len(got) != len(c.want) || (err == nil) != (c.reason == nil) {
			t.Errorf("%s: %x, %v; want %x, %v", name, got, err, c.want, c.reason)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %x, want %x", name, got, c.want)
			}
		}
	}
	// A zone key has another tag, and says why it is not taken when it is meant.
	p.key.Flags = 256
	msg = p.sign(t, update(t), now, nil)
	if _, err := find(t, msg).Select([]string{p.rdata(t)}, now); !errors.Is(err, sig0.ErrKeyZone) {
		t.Errorf("a zone key: %v", err)
	}
}
