package phone

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/miekg/dns"
)

// Provisioning is what a phone needs to register: a QR code carries it as a URI.
//
//	dialtone://ZONE/NUMBER?algorithm=hmac-sha256&secret=SECRET&server=HOST:PORT
//
// SECRET is base64url without padding (RFC 4648, section 5). The key is named
// NUMBER.ZONE. algorithm may be absent, for hmac-sha256, and server too, for the
// one that the zone's SOA record names; its port may be absent, for 53. A reader
// leaves out parameters that it does not know.
type Provisioning struct {
	Zone   string // with a final dot
	Number Number
	Key    *Key
	Server string // "": none is said
}

const provisioningScheme = "dialtone"

// plainZone is what a zone may be made of where it stands for a host.
var plainZone = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// String is the URI, with the secret.
func (p Provisioning) String() string {
	octets, err := base64.StdEncoding.DecodeString(p.Key.secret)
	if err != nil {
		octets = nil // NewKey has checked it
	}
	q := url.Values{"algorithm": {strings.TrimSuffix(p.Key.Algorithm, ".")}, "secret": {base64.RawURLEncoding.EncodeToString(octets)}}
	if p.Server != "" {
		q.Set("server", p.Server)
	}
	u := url.URL{Scheme: provisioningScheme, Host: strings.TrimSuffix(p.Zone, "."), Path: "/" + string(p.Number), RawQuery: q.Encode()}
	return u.String()
}

// ParseProvisioning reads the URI.
func ParseProvisioning(text string) (p Provisioning, err error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme != provisioningScheme || u.Host == "" {
		return p, mistake("this is no provisioning of a phone: it wants dialtone://ZONE/NUMBER?secret=...")
	}
	p.Zone, p.Number, p.Server = dns.CanonicalName(u.Host), Number(strings.TrimPrefix(u.Path, "/")), u.Query().Get("server")
	if _, ok := dns.IsDomainName(p.Zone); !ok || p.Zone == "." || !plainZone.MatchString(u.Host) {
		return p, mistake("the zone %q of the provisioning is not a plain domain name", u.Host)
	}
	if err := p.Number.check(); err != nil {
		return p, err
	}
	secret, err := base64.RawURLEncoding.DecodeString(u.Query().Get("secret"))
	if err != nil || len(secret) == 0 {
		return p, mistake("the secret in the provisioning of %s is not base64url", p.Number)
	}
	p.Key, err = NewKey(p.Number.Name(p.Zone), u.Query().Get("algorithm"), base64.StdEncoding.EncodeToString(secret))
	if err != nil {
		return p, mistake("%v", err)
	}
	return p, nil
}

// Clause is the key as tsig-keygen prints it and nsupdate -k reads it, with the
// secret.
func (k Key) Clause() string {
	return fmt.Sprintf("key %q {\n\talgorithm %s;\n\tsecret %q;\n};\n", strings.TrimSuffix(k.Name, "."), strings.TrimSuffix(k.Algorithm, "."), k.secret)
}
