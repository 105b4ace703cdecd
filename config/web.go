package config

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// Web is the page for the people at the desk; the zero address: there is none.
type Web struct {
	Listen               netip.AddrPort
	Token                string   // with which a browser logs in
	Hosts                []string // names by which browsers may reach it, in lower case, beside addresses and localhost
	TLS                  *tls.Certificate
	Connections, Streams int // 0: not said
}

type rawWeb struct {
	Listen      string   `mapstructure:"listen"`
	TokenFile   *string  `mapstructure:"token_file"`
	Hosts       []string `mapstructure:"hosts"`
	CertFile    string   `mapstructure:"cert_file"`
	KeyFile     string   `mapstructure:"key_file"`
	Connections string   `mapstructure:"connections"`
	Streams     string   `mapstructure:"streams"`
}

var webSettings = map[string]setting{
	"listen": {kind: text}, "token_file": {kind: text}, "hosts": {kind: texts}, "cert_file": {kind: text}, "key_file": {kind: text},
	"connections": {kind: number}, "streams": {kind: number},
}

const (
	minToken, maxToken = 16, 512 // octets
	maxWebConnections  = 10_000
	maxWebHosts        = 64
)

// hostName is a name as browsers send it: ASCII, without a port.
var hostName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

func (c *checker) web(r rawWeb) {
	w := &c.conf.Web
	if r.Listen == "" {
		if r.TokenFile != nil || len(r.Hosts) > 0 || r.CertFile+r.KeyFile+r.Connections+r.Streams != "" {
			c.fault("web.listen", "it is missing: say where to serve the page, as in web: {listen: \"127.0.0.1:8053\", token_file: web.token}")
		}
		return
	}
	var ok bool
	w.Listen, ok = c.addrPort("web.listen", r.Listen)
	w.Token = c.webToken(r.TokenFile)
	for i, host := range r.Hosts {
		host = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(host), "."))
		if !hostName.MatchString(host) || i == maxWebHosts {
			c.fault(fmt.Sprintf("web.hosts[%d]", i), "%q is not the name of a host, without a port; there may be %d of them", host, maxWebHosts)
			continue
		}
		w.Hosts = append(w.Hosts, host)
	}
	c.webCertificate(r)
	if ok && w.TLS == nil && !w.Listen.Addr().IsLoopback() {
		c.warn("web.listen", "the token and the page go over the network as anybody can read them: add cert_file and key_file, or listen on 127.0.0.1 behind a proxy that has them")
	}
	for _, n := range []struct {
		name, text string
		to         *int
	}{{"connections", r.Connections, &w.Connections}, {"streams", r.Streams, &w.Streams}} {
		if n.text != "" {
			*n.to = int(c.number("web."+n.name, n.text, 1, maxWebConnections))
		}
	}
}

// webToken reads the token. No message may show it.
func (c *checker) webToken(file *string) string {
	const fresh = `make one with "openssl rand -base64 24"`
	if file == nil || *file == "" {
		c.fault("web.token_file", "it is missing: name a file with the token that browsers log in with; "+fresh)
		return ""
	}
	text, at, ok := c.kept("web", "token", nil, file)
	if !ok {
		return ""
	}
	token := strings.TrimSpace(text)
	switch {
	case len(token) < minToken:
		c.fault(at, "the token has %d octets: it needs at least %d; "+fresh, len(token), minToken)
	case len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		c.fault(at, "the token is not one word of at most %d printable characters of ASCII; "+fresh, maxToken)
	}
	return token
}

func (c *checker) webCertificate(r rawWeb) {
	switch {
	case r.CertFile == "" && r.KeyFile == "":
		return
	case r.CertFile == "" || r.KeyFile == "":
		c.fault("web", "cert_file and key_file go together: the one is missing")
		return
	}
	pair, err := tls.LoadX509KeyPair(c.path(r.CertFile), c.path(r.KeyFile))
	if err != nil {
		c.fault("web.cert_file", "the certificate and its key in %s and %s cannot be used: %v", c.path(r.CertFile), c.path(r.KeyFile), err)
		return
	}
	c.conf.Web.TLS = &pair
}
