package phone

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const numberName = "5551234.phones.example."

func generate(t *testing.T, algorithm string) *Key {
	t.Helper()
	k, err := GenerateKey(numberName, algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyPairsSignAndAreReadBack(t *testing.T) {
	for algorithm, want := range map[string]string{"": "ed25519", "ed25519": "ed25519", "ecdsa-p256": "ecdsap256sha256", "ecdsap256sha256": "ecdsap256sha256"} {
		dir := t.TempDir()
		k := generate(t, algorithm)
		private, public, err := k.Save(dir)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", private, info, err)
		}
		for _, file := range []string{private, public, strings.TrimSuffix(private, ".private")} {
			again, err := ReadKey(file)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			if again.Record() != k.Record() || again.String() != want+":"+numberName {
				t.Errorf("%s is %s, %s", file, again, again.Record())
			}
			checkSigned(t, again)
			for _, shown := range []string{fmt.Sprintf("%v %+v %#v", again, again, again), again.Record()} {
				if secret := strings.Fields(read(t, private)); strings.Contains(shown, secret[len(secret)-1]) {
					t.Errorf("the secret is in %s", shown)
				}
			}
		}
	}
}

// TestShortSecretOfBIND: dnssec-keygen leaves leading zeros out.
func TestShortSecretOfBIND(t *testing.T) {
	base := filepath.Join(t.TempDir(), "K5551234.phones.example.+013+00711")
	for suffix, text := range map[string]string{
		".private": "Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: W5bYDIeqtaQwr5dtsKWEFI6xzWTxWeucJvi8ezyj+A==\n" +
			"Created: 20261126041501\nPublish: 20261126041501\nActivate: 20261126041501\n",
		".key": "5551234.phones.example. IN KEY 512 3 13 vv9+nM7pnhQ03d7TZUKdAFlGqEhNjzVG+fVwGDVJo61g8S0IpSujps39 ygC+30nTal+lIOjUKQJa96IJAXTedw==\n",
	} {
		if err := os.WriteFile(base+suffix, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k, err := ReadKey(base + ".private")
	if err != nil {
		t.Fatal(err)
	}
	checkSigned(t, k)
	dir := t.TempDir()
	private, _, err := k.Save(dir)
	if err != nil || filepath.Base(private) != filepath.Base(base)+".private" {
		t.Fatalf("%s, %v", private, err)
	}
	if again, err := ReadKey(private); err != nil || again.Record() != k.Record() {
		t.Errorf("written again: %v, %v", again, err)
	}
}

// checkSigned verifies with the key that the record has.
func checkSigned(t *testing.T, k *Key) {
	t.Helper()
	m := new(dns.Msg).SetUpdate("phones.example.").SetEdns0(udpSize, false)
	for i := range 20 {
		m.Insert([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: numberName, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{192, 0, 2, byte(i)}}})
	}
	m.Compress = true
	at := time.Now()
	raw, _, err := k.sign(m, at)
	if err != nil {
		t.Fatal(err)
	}
	var got dns.Msg
	if err := got.Unpack(raw); err != nil {
		t.Fatal(err)
	}
	record, err := dns.NewRR(k.Record())
	if err != nil {
		t.Fatal(err)
	}
	sig, ok := got.Extra[len(got.Extra)-1].(*dns.SIG)
	if !ok || sig.Verify(record.(*dns.KEY), raw) != nil {
		t.Fatalf("%s: the signature is wrong: %v", k, got.Extra)
	}
	if sig.Inception != uint32(at.Unix()-300) || sig.Expiration != uint32(at.Unix()+300) || sig.SignerName != numberName || sig.Hdr.Name != "." {
		t.Errorf("%s: %s", k, sig)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestRegisterWithKeyPair: replies are not signed, and that is no fault.
func TestRegisterWithKeyPair(t *testing.T) {
	s := newServer(t, "")
	r := Registration{Number: "5551234", Zone: "phones.example.", Servers: []string{s.addr}, Key: generate(t, ""), Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7")}}
	wantSigned := func() {
		t.Helper()
		m := s.last()
		if sig, ok := m.Extra[len(m.Extra)-1].(*dns.SIG); !ok || sig.TypeCovered != 0 || sig.SignerName != numberName {
			t.Errorf("not signed: %s", m)
		}
	}
	if _, err := Register(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	wantSigned()
	s.answers(func(_ dns.ResponseWriter, _, reply *dns.Msg) bool { reply.Rcode = dns.RcodeRefused; return true })
	var said *ServerError
	if _, err := Register(t.Context(), r); !errors.As(err, &said) || said.Rcode != dns.RcodeRefused || strings.Contains(err.Error(), "not signed") {
		t.Errorf("a server that refuses: %v", err)
	}
	wantSigned()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) != 2 {
		t.Errorf("%d messages were sent, not 2", len(s.asked))
	}
}

func TestKeyPairsThatAreNoUse(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	texts := func(k *Key) (private, public string) {
		p, q, err := k.Save(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return read(t, p), read(t, q)
	}
	private, public := texts(generate(t, "ed25519"))
	private13, public13 := texts(generate(t, "ecdsa-p256"))
	_, other := texts(generate(t, "ed25519"))
	_, other13 := texts(generate(t, "ecdsa-p256"))
	const order = "/////wAAAAD//////////7zm+q2nF56E87nKwvxjJVE=" // of P-256, as base64
	p256 := func(secret string) string {
		return "Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\n" + secret
	}
	for name, c := range map[string]struct{ private, public, why string }{
		"another's record":        {private, other, "not that of the KEY record"},
		"another's P-256":         {private13, other13, "not that of the KEY record"},
		"another algorithm's":     {private, public13, "not that of the KEY record"},
		"another algorithm's too": {private13, public, "not that of the KEY record"},
		"a zone key":              {private, strings.Replace(public, "KEY 0", "KEY 256", 1), "zone"},
		"DNSKEY":                  {private, strings.Replace(public, "KEY 0", "DNSKEY 257", 1), "no KEY record"},
		"no record":               {private, "\n", "no KEY record"},
		"two words":               {private, "5551234.phones.example. KEY x\n", "dns:"},
		"RSA":                     {private, strings.Replace(public, "3 15", "3 8", 1), "RSASHA256"},
		"no algorithm":            {private, strings.Replace(public, "3 15", "3 77", 1), "number 77"},
		"no secret":               {"Private-key-format: v1.3\nAlgorithm: 15 (ED25519)\n", public, "not that of the KEY record"},
		"no secret of P-256":      {p256(""), public13, "not that of the KEY record"},
		"secret is zero":          {p256("PrivateKey: AAAA\n"), public13, "not that of the KEY record"},
		"secret is the order":     {p256("PrivateKey: " + order + "\n"), public13, "not that of the KEY record"},
		"secret is long":          {p256("PrivateKey: " + strings.Repeat("/", 400) + "\n"), public13, "not that of the KEY record"},
		"short secret":            {"Private-key-format: v1.3\nAlgorithm: 15 (ED25519)\nPrivateKey: AAAA\n", public, "bad private key"},
		"format of tomorrow":      {strings.Replace(private, "v1.3", "v9.9", 1), public, "bad private key"},
		"large":                   {private + strings.Repeat(" ", maxKeyFile), public, "no key in it"},
		"record is large":         {private, public + strings.Repeat(" ", maxKeyFile), "no key in it"},
	} {
		file := write("k.private", c.private)
		write("k.key", c.public)
		if k, err := ReadKey(file); err == nil || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v, %v; want an error with %q", name, k, err, c.why)
		}
	}
	for name, c := range map[string]struct{ file, why string }{
		"no record beside it": {write("lonely.private", private), "lonely.key"},
		"no secret beside it": {write("public.key", public), "public.private"},
		"under another name":  {write("phone", private), "phone.private"},
		"none at all":         {filepath.Join(dir, "none"), "none"},
	} {
		if k, err := ReadKey(c.file); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, %v; want an error with %q", name, k, err, c.why)
		}
	}
}

// With key tag 0, which flags can make, nothing can be signed.
func TestKeyTagZero(t *testing.T) {
	for {
		k := generate(t, "")
		p := k.pair.public
		if p.Flags = 1<<16 - 1 - p.KeyTag(); p.Flags&dns.ZONE != 0 || p.KeyTag() != 0 && p.KeyTag() != 1<<16-1 {
			continue
		}
		if p.KeyTag() != 0 {
			p.Flags++
		}
		if p.KeyTag() != 0 || p.Flags&dns.ZONE != 0 {
			continue
		}
		if again, err := newPairKey(p, k.pair.private); !errors.Is(err, errTagZero) {
			t.Errorf("%v, %v", again, err)
		}
		return
	}
}

func TestSaveLeavesNothingHalf(t *testing.T) {
	k := generate(t, "")
	dir := t.TempDir()
	private, public, err := k.Save(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Save(dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("the same again: %v", err)
	}
	if err := os.Remove(public); err != nil {
		t.Fatal(err)
	}
	before := read(t, private)
	if _, _, err := k.Save(dir); !errors.Is(err, os.ErrExist) || read(t, private) != before {
		t.Errorf("over the private half: %v", err)
	}
	if _, err := os.Stat(public); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half of it was written: %v", err)
	}
	if _, _, err := k.Save(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	odd, err := GenerateKey("0/25.A*.example", "")
	if err != nil {
		t.Fatal(err)
	}
	if file, _, err := odd.Save(dir); err != nil || !strings.HasPrefix(filepath.Base(file), "K0%2F25.a%2A.example.+015+") || filepath.Dir(file) != dir {
		t.Errorf("%s, %v", file, err)
	}
	tsig, err := NewKey("k.", "", secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := tsig.Save(dir); err == nil || tsig.Record() != "" {
		t.Errorf("a TSIG key: %v, %q", err, tsig.Record())
	}
}

func TestGenerateKeyRefuses(t *testing.T) {
	var wrong *InputError
	for _, c := range [][2]string{{"", ""}, {"a..b", ""}, {numberName, "rsa"}, {numberName, "hmac-sha256"}} {
		if k, err := GenerateKey(c[0], c[1]); !errors.As(err, &wrong) {
			t.Errorf("%q: %v, %v", c, k, err)
		}
	}
	k := generate(t, "")
	if _, ok := k.pair.private.(ed25519.PrivateKey); !ok {
		t.Errorf("the usual key is a %T", k.pair.private)
	}
	if _, ok := generate(t, "ecdsa-p256").pair.private.(*ecdsa.PrivateKey); !ok || !strings.Contains(k.Record(), " KEY 0 3 15 ") {
		t.Error(k.Record())
	}
}
