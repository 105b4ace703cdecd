package phone

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Key signs what a phone sends: a TSIG key (RFC 8945), whose secret the server
// has too, or a key pair (SIG(0), RFC 2931). String and fmt do not show its
// secret.
type Key struct {
	Name      string // with a final dot
	Algorithm string // such as "hmac-sha256." or "ed25519"
	secret    string // base64
	pair      *keyPair
}

// String names the key.
func (k Key) String() string { return strings.TrimSuffix(k.Algorithm, ".") + ":" + k.Name }

// GoString keeps the secret out of %#v.
func (k Key) GoString() string { return k.String() }

// algorithms that a key can have (RFC 8945, section 6).
var algorithms = map[string]func() hash.Hash{
	dns.HmacSHA1: sha1.New, dns.HmacSHA224: sha256.New224, dns.HmacSHA256: sha256.New, dns.HmacSHA384: sha512.New384, dns.HmacSHA512: sha512.New,
}

// NewKey makes a key; secret is base64, and algorithm "" is hmac-sha256.
func NewKey(name, algorithm, secret string) (*Key, error) {
	if _, ok := dns.IsDomainName(name); !ok || name == "" {
		return nil, fmt.Errorf("key name %q is not a domain name", name)
	}
	if algorithm == "" {
		algorithm = dns.HmacSHA256
	}
	k := &Key{Name: dns.CanonicalName(name), secret: secret}
	for a := range algorithms {
		if strings.EqualFold(a, dns.Fqdn(algorithm)) {
			k.Algorithm = a
		}
	}
	octets, err := base64.StdEncoding.DecodeString(secret)
	switch {
	case k.Algorithm == "":
		return nil, fmt.Errorf("key %s: algorithm %q is not known: hmac-sha256 is the usual one", k.Name, algorithm)
	case err != nil || len(octets) == 0:
		return nil, fmt.Errorf("key %s: the secret is not base64", k.Name)
	}
	return k, nil
}

// sign gives a message with a signature, and the MAC of that, hexadecimal, which
// that of a reply covers, too. It is the last thing that is done to a message.
func (k *Key) sign(m *dns.Msg, at time.Time) (wire []byte, mac string, err error) {
	if k.pair == nil {
		m.SetTsig(k.Name, k.Algorithm, fudge, at.Unix())
		return dns.TsigGenerateWithProvider(m, signer{k}, "", false)
	}
	if err = k.pair.sign(m, at); err == nil {
		wire, err = m.Pack()
	}
	return wire, "", err
}

// signsReplies tells whether the server signs its replies with the key, too. A
// server has no private key of its own (RFC 2931, section 2.4).
func (k *Key) signsReplies() bool { return k != nil && k.pair == nil }

// keyClause is a key as tsig-keygen writes it and named.conf and nsupdate -k
// have it.
var (
	keyClause    = regexp.MustCompile(`(?s)key\s+"?([^\s"{]+)"?\s*\{(.*?)\}`)
	keyAlgorithm = regexp.MustCompile(`algorithm\s+"?([^\s";]+)"?\s*;`)
	keySecret    = regexp.MustCompile(`secret\s+"?([^\s";]+)"?\s*;`)
	keyComment   = regexp.MustCompile(`(?m)(^|\s)(#|//).*$`) // a secret may have // in it

	errNoKeyThere = errors.New("there is no key in it: it wants what tsig-keygen prints, one line ALGORITHM:NAME:SECRET, or the private half of a key pair")
)

// maxKeyFile is more than any key takes, in octets.
const maxKeyFile = 64 << 10

// ReadKey reads what tsig-keygen prints and nsupdate -k takes, a file with one line
// ALGORITHM:NAME:SECRET, as nsupdate -y and knsupdate take it, or a key pair in two
// files, K*.private and K*.key, as dnssec-keygen and Save write them; any of the
// two names it.
func ReadKey(file string) (*Key, error) {
	k, err := readKey(file)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", file, err)
	}
	return k, nil
}

func readKey(file string) (*Key, error) {
	data, err := readSmall(file)
	if errors.Is(err, fs.ErrNotExist) {
		if private, _ := halves(file); private != file {
			if _, err := os.Stat(private); err == nil {
				return readPair(file)
			}
		}
	}
	switch {
	case err != nil:
		return nil, err
	case isPair(data):
		return readPair(file)
	}
	return parseKey(string(data))
}

// readSmall reads a file that may be a key.
func readSmall(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxKeyFile {
		err = errNoKeyThere
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

func parseKey(text string) (*Key, error) {
	if m := keyClause.FindStringSubmatch(keyComment.ReplaceAllString(text, "")); m != nil {
		algorithm, secret := keyAlgorithm.FindStringSubmatch(m[2]), keySecret.FindStringSubmatch(m[2])
		if secret == nil {
			return nil, fmt.Errorf("key %s has no secret", m[1])
		}
		if algorithm == nil {
			return NewKey(m[1], "", secret[1])
		}
		return NewKey(m[1], algorithm[1], secret[1])
	}
	return ParseKey(strings.TrimSpace(text))
}

// ParseKey reads ALGORITHM:NAME:SECRET, or NAME:SECRET for hmac-sha256.
func ParseKey(text string) (*Key, error) {
	part := strings.Split(text, ":")
	switch {
	case strings.ContainsAny(text, " \t\r\n{"):
	case len(part) == 2:
		return NewKey(part[0], "", part[1])
	case len(part) == 3:
		return NewKey(part[1], part[0], part[2])
	}
	return nil, errNoKeyThere
}
