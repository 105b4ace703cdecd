package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const webBase = `listen: ["127.0.0.1:5300"]
data_dir: d
zones:
  - {name: a., file: x, acl: [{address: 127.0.0.1, action: transfer}]}
web: `

func TestWeb(t *testing.T) {
	d := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(d, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("token", "0123456789abcdef\n")
	write("short", "0123456789\n")
	write("words", "0123456789 abcdef\n")
	writeCertificate(t, d)
	for _, tt := range []struct{ web, want string }{
		{`{listen: "127.0.0.1:8053", token_file: token}`, ""},
		{`{listen: "[::1]:0", token_file: token, hosts: [Desk.example, desk], connections: 10, streams: 5}`, ""},
		{`{listen: "192.0.2.1:8053", token_file: token, cert_file: cert, key_file: key}`, ""},
		{`{listen: "192.0.2.1:8053", token_file: token}`, "warning: f:5: web.listen: the token and the page go over the network as anybody can read them"},
		{`{token_file: token}`, "f:5: web.listen: it is missing"},
		{`{listen: "127.0.0.1:8053"}`, "f:5: web.token_file: it is missing: name a file with the token that browsers log in with; make one with \"openssl rand -base64 24\""},
		{`{listen: "127.0.0.1:8053", token_file: none}`, "f:5: web.token_file: the file cannot be read"},
		{`{listen: "127.0.0.1:8053", token_file: short}`, "f:5: web.token_file: the token has 10 octets: it needs at least 16"},
		{`{listen: "127.0.0.1:8053", token_file: words}`, "f:5: web.token_file: the token is not one word"},
		{`{listen: "8053", token_file: token}`, "f:5: web.listen: \"8053\" is not an address with a port"},
		{`{listen: "127.0.0.1:8053", token_file: token, hosts: ["desk:80"]}`, `f:5: web.hosts[0]: "desk:80" is not the name of a host`},
		{`{listen: "127.0.0.1:8053", token_file: token, cert_file: cert}`, "f:5: web: cert_file and key_file go together"},
		{`{listen: "127.0.0.1:8053", token_file: token, cert_file: token, key_file: key}`, "f:5: web.cert_file: the certificate and its key"},
		{`{listen: "127.0.0.1:8053", token_file: token, streams: 0}`, `f:5: web.streams: "0" is not a number from 1 to 10000`},
		{`{listen: "127.0.0.1:8053", tokenfile: token}`, "f:5: web.tokenfile: there is no such setting: did you mean token_file?"},
	} {
		file := filepath.Join(d, "f")
		conf, err := LoadBytes([]byte(webBase+tt.web), file)
		got := ""
		if err != nil {
			got = err.Error()
		} else if len(conf.Warnings) > 0 {
			got = "warning: " + conf.Warnings[0].String()
		}
		got = strings.ReplaceAll(got, file, "f")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.web, got, tt.want)
		}
		if strings.Contains(got, "0123456789") {
			t.Errorf("%s: the token is shown: %s", tt.web, got)
		}
		if err == nil && conf.Web.Token != "0123456789abcdef" {
			t.Errorf("%s: %+v", tt.web, conf.Web)
		}
	}
	conf, err := LoadBytes([]byte(webBase+`{listen: "127.0.0.1:8053", token_file: token, hosts: [Desk.example.], cert_file: cert, key_file: key, connections: 9, streams: 8}`), filepath.Join(d, "f"))
	if err != nil {
		t.Fatal(err)
	}
	if w := conf.Web; w.Listen.Port() != 8053 || len(w.Hosts) != 1 || w.Hosts[0] != "desk.example" || w.TLS == nil || w.Connections != 9 || w.Streams != 8 {
		t.Errorf("%+v", w)
	}
}

// writeCertificate makes the files cert and key.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"desk.example"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: cert}, "key": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
