package phone

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// keyPair signs by SIG(0) (RFC 2931): the server has the public half as a KEY
// record at the name of the key, and no secret.
type keyPair struct {
	public  *dns.KEY
	private crypto.Signer
}

// pairAlgorithms are those of key pairs, in the words of BIND.
var pairAlgorithms = map[string]uint8{"ed25519": dns.ED25519, "ecdsap256sha256": dns.ECDSAP256SHA256}

// GenerateKey makes a key pair for a name, such as that of a number: algorithm
// is "ed25519", which "" means too, or "ecdsa-p256".
func GenerateKey(name, algorithm string) (*Key, error) {
	if _, ok := dns.IsDomainName(name); !ok || name == "" {
		return nil, mistake("key name %q is not a domain name", name)
	}
	switch algorithm {
	case "":
		algorithm = "ed25519"
	case "ecdsa-p256":
		algorithm = "ecdsap256sha256"
	}
	number, ok := pairAlgorithms[algorithm]
	if !ok {
		return nil, mistake("algorithm %q is not known: it is ed25519 or ecdsa-p256", algorithm)
	}
	for {
		public := &dns.KEY{DNSKEY: dns.DNSKEY{
			Hdr:      dns.RR_Header{Name: dns.CanonicalName(name), Rrtype: dns.TypeKEY, Class: dns.ClassINET},
			Protocol: 3, Algorithm: number, // no flags (RFC 3445, section 3)
		}}
		private, err := public.Generate(256)
		if err != nil {
			return nil, err
		}
		if k, err := newPairKey(public, private); !errors.Is(err, errTagZero) {
			return k, err
		}
	}
}

var (
	errTagZero = errors.New("its key tag is 0, with which nothing can be signed: make another key")
	errHalves  = errors.New("the private key is not that of the KEY record")
)

// newPairKey checks that the halves belong together.
func newPairKey(public *dns.KEY, private crypto.PrivateKey) (*Key, error) {
	k := &Key{Name: dns.CanonicalName(public.Hdr.Name)}
	for name, number := range pairAlgorithms {
		if number == public.Algorithm {
			k.Algorithm = name
		}
	}
	var half *dns.KEY
	switch p := private.(type) {
	case ed25519.PrivateKey:
		if len(p) == ed25519.PrivateKeySize {
			half = withKey(public, dns.ED25519, p[ed25519.SeedSize:])
			k.pair = &keyPair{public, p}
		}
	case *ecdsa.PrivateKey:
		own, point := ownHalves(p)
		if own != nil {
			half = withKey(public, dns.ECDSAP256SHA256, point)
			k.pair = &keyPair{public, own}
		}
	}
	switch {
	case k.Algorithm == "":
		return nil, fmt.Errorf("its algorithm is %s: ED25519 and ECDSAP256SHA256 can be used", algorithmName(public.Algorithm))
	case public.Flags&dns.ZONE != 0:
		return nil, errors.New("it is a zone's key: make one with dialtone key generate, or dnssec-keygen -T KEY -n HOST")
	case half == nil || half.PublicKey != public.PublicKey || half.Algorithm != public.Algorithm:
		return nil, errHalves
	case public.KeyTag() == 0:
		return nil, errTagZero
	}
	return k, nil
}

// isOf tells whether the key is a pair that bears this name.
func (k *Key) isOf(name string) bool {
	return k != nil && k.pair != nil && k.Name == dns.CanonicalName(name)
}

// record is the KEY record that the public half is claimed by.
func (p *keyPair) record(ttl uint32) dns.RR {
	r := *p.public
	r.Hdr.Ttl = ttl
	return &r
}

// ownHalves computes the public half, which miekg/dns takes from the KEY record
// unseen; nil when there is none.
func ownHalves(p *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	secret, err := p.Bytes()
	if err != nil {
		return nil, nil
	}
	own, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), secret)
	if err != nil {
		return nil, nil
	}
	point, err := own.PublicKey.Bytes()
	if err != nil {
		return nil, nil
	}
	return own, point[1:] // without the octet that says that it is uncompressed
}

// withKey is a KEY record with another key.
func withKey(public *dns.KEY, algorithm uint8, key []byte) *dns.KEY {
	k := *public
	k.Algorithm, k.PublicKey = algorithm, base64.StdEncoding.EncodeToString(key)
	return &k
}

func algorithmName(number uint8) string {
	if name := dns.AlgorithmToString[number]; name != "" {
		return name
	}
	return fmt.Sprintf("number %d", number)
}

// sign adds a SIG(0) as the last record. Its time bracket is that of nsupdate
// and of SRP clients, which RFC 2931, section 3.3 suggests: clients that use
// one key by turns then agree which request is the newer.
func (p *keyPair) sign(m *dns.Msg, at time.Time) error {
	s := &dns.SIG{RRSIG: dns.RRSIG{
		Algorithm: p.public.Algorithm, KeyTag: p.public.KeyTag(), SignerName: p.public.Hdr.Name,
		Inception: uint32(at.Unix() - fudge), Expiration: uint32(at.Unix() + fudge),
	}}
	m.Compress = false // Sign has no room for the difference
	if _, err := s.Sign(p.private, m); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	m.Extra = append(m.Extra, s)
	return nil
}

// Record is the KEY record of a key pair as a line of a master file: what the
// server must have. It is "" for a TSIG key.
func (k *Key) Record() string {
	if k.pair == nil {
		return ""
	}
	p := k.pair.public
	return fmt.Sprintf("%s IN KEY %d %d %d %s", p.Hdr.Name, p.Flags, p.Protocol, p.Algorithm, p.PublicKey)
}

// Save writes a key pair into two new files of a directory, as dnssec-keygen
// does: nsupdate -k and ReadKey take the private one and want the other beside
// it. Nothing is left when one of them cannot be written.
func (k *Key) Save(dir string) (private, public string, err error) {
	if k.pair == nil {
		return "", "", mistake("key %s is no key pair", k.Name)
	}
	p := k.pair.public
	base := filepath.Join(dir, fmt.Sprintf("K%s+%03d+%05d", fileName(p.Hdr.Name), p.Algorithm, p.KeyTag()))
	private, public = base+".private", base+".key"
	if err := saveNew(public, k.Record()+"\n", 0o644); err != nil {
		return "", "", err
	}
	if err := saveNew(private, p.PrivateKeyString(k.pair.private), 0o600); err != nil {
		return "", "", errors.Join(err, os.Remove(public))
	}
	return private, public, nil
}

func saveNew(path, text string, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// fileName keeps what no file system minds of a name, as BIND does.
func fileName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// publicLine is a file with the public half.
var publicLine = regexp.MustCompile(`(?m)^[^\s;]+\s+(\d+\s+)?(IN\s+)?(DNS)?KEY\s+\d`)

// halves gives the files of a key pair, when file is one of them, or what their
// names have in common.
func halves(file string) (private, public string) {
	base := strings.TrimSuffix(strings.TrimSuffix(file, ".private"), ".key")
	return base + ".private", base + ".key"
}

const privateStart = "Private-key-format:"

func isPair(text []byte) bool {
	return bytes.HasPrefix(text, []byte(privateStart)) || publicLine.Match(text)
}

// readPair reads both files of a key pair.
func readPair(file string) (*Key, error) {
	private, public := halves(file)
	secret, err := readSmall(private)
	if err != nil {
		return nil, fmt.Errorf("it has one half of a key pair, the private half is missing: %w", err)
	}
	text, err := readSmall(public)
	if err != nil {
		return nil, fmt.Errorf("it has one half of a key pair, the KEY record must be in a file beside it: %w", err)
	}
	record, err := dns.ReadRR(bytes.NewReader(text), public)
	if err != nil {
		return nil, err
	}
	key, ok := record.(*dns.KEY)
	if !ok {
		return nil, fmt.Errorf("%s has no KEY record: make one with dialtone key generate, or dnssec-keygen -T KEY -n HOST", public)
	}
	half, err := key.ReadPrivateKey(bytes.NewReader(secret), private)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", private, err)
	}
	return newPairKey(key, half)
}
