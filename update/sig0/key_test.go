package sig0_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/update/sig0"
)

func TestPublicKeysAndTheirTags(t *testing.T) {
	for _, algorithm := range both {
		for range 100 { // tags of all kinds
			p := newPair(t, algorithm)
			k := p.public(t)
			if k.Algorithm() != algorithm || k.KeyTag() != p.key.KeyTag() || k.RData() != p.rdata(t) {
				t.Fatalf("%s: algorithm %d, tag %d, rdata %x", p.key, k.Algorithm(), k.KeyTag(), k.RData())
			}
		}
	}
	// What dnssec-keygen gave its name to: K5551234.phones.example.+015+36587 and +013+54153.
	for name, tag := range map[string]uint16{"nsupdate-ed25519.txt": 36587, "nsupdate-ecdsap256.txt": 54153} {
		k, err := sig0.ParsePublicKey(requests(t)[name].key)
		if err != nil || k.KeyTag() != tag {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
}

func TestEqualKeysHaveOneHolder(t *testing.T) {
	p, other := newPair(t, dns.ED25519), newPair(t, dns.ED25519)
	k := p.public(t)
	p.key.Flags = 0
	flagless := p.public(t)
	var none *sig0.PublicKey
	if !k.Equal(k) || !k.Equal(flagless) || k.Equal(other.public(t)) || k.Equal(none) || none.Equal(k) || none.Equal(none) {
		t.Error("Equal is wrong")
	}
	if k.KeyTag() == flagless.KeyTag() {
		t.Error("flags are part of what the tag is made of")
	}
}

func TestKeysOfNoUse(t *testing.T) {
	p256, ed := newPair(t, dns.ECDSAP256SHA256).rdata(t), newPair(t, dns.ED25519).rdata(t)
	head := func(flags0, flags1, protocol, algorithm byte, key string) string {
		return string([]byte{flags0, flags1, protocol, algorithm}) + key
	}
	for name, c := range map[string]struct {
		rdata string
		want  error
	}{
		"nothing":                    {"", sig0.ErrKeyRData},
		"no key":                     {ed[:4], sig0.ErrKeyRData},
		"zone key":                   {head(1, 0, 3, 15, ed[4:]), sig0.ErrKeyZone},
		"zone key with SEP":          {head(1, 1, 3, 13, p256[4:]), sig0.ErrKeyZone},
		"protocol 1, TLS":            {head(2, 0, 1, 15, ed[4:]), sig0.ErrKeyProtocol},
		"protocol 255, any":          {head(2, 0, 255, 15, ed[4:]), sig0.ErrKeyProtocol},
		"RSASHA256":                  {head(2, 0, 3, 8, ed[4:]), sig0.ErrKeyAlgorithm},
		"ECDSAP384SHA384":            {head(2, 0, 3, 14, p256[4:]+p256[4:36]), sig0.ErrKeyAlgorithm},
		"ED448":                      {head(2, 0, 3, 16, ed[4:]), sig0.ErrKeyAlgorithm},
		"Ed25519 cut":                {ed[:len(ed)-1], sig0.ErrKeyRData},
		"Ed25519 with more":          {ed + "\x00", sig0.ErrKeyRData},
		"P-256 cut":                  {p256[:len(p256)-1], sig0.ErrKeyRData},
		"P-256 with more":            {p256 + "\x00", sig0.ErrKeyRData},
		"P-256 of Ed25519's size":    {head(2, 0, 3, 13, ed[4:]), sig0.ErrKeyRData},
		"P-256, no point":            {head(2, 0, 3, 13, strings.Repeat("\x01", 64)), sig0.ErrKeyRData},
		"P-256, the zero":            {head(2, 0, 3, 13, strings.Repeat("\x00", 64)), sig0.ErrKeyRData},
		"P-256, beyond the field":    {head(2, 0, 3, 13, strings.Repeat("\xff", 64)), sig0.ErrKeyRData},
		"P-256 with the point's tag": {head(2, 0, 3, 13, "\x04"+p256[4:]), sig0.ErrKeyRData},
	} {
		if k, err := sig0.ParsePublicKey(c.rdata); k != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, k, err, c.want)
		}
	}
	if _, err := sig0.ParsePublicKey(head(0xFE, 0xFF, 3, 15, ed[4:])); err != nil {
		t.Errorf("flags that are reserved: %v", err)
	}
}
