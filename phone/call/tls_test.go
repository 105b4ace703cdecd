package call

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"dialtone/phone"
)

// TestTLS: the certificate is for the number's name, whatever the contact's host
// is (RFC 5922, section 4).
func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"5551234.phones.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	p := newPeer(t, nil)
	l := tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	go func() { defer close(ended); p.ua.TransportLayer().ServeTLS(l) }()
	t.Cleanup(func() { l.Close(); <-ended })
	where := &directory{lists: [][]phone.Contact{at("tls", plain.Addr().(*net.TCPAddr).AddrPort())}}
	for _, x := range []struct {
		number phone.Number
		conf   *tls.Config
		err    string
	}{
		{"5551234", &tls.Config{RootCAs: roots}, ""},
		{"5559999", &tls.Config{RootCAs: roots}, "not 5559999.phones.example"},
		{"5551234", nil, "unknown authority"},
	} {
		c := &Caller{Locator: where, TLS: x.conf}
		err := c.Probe(context.Background(), x.number)
		if x.err == "" && err != nil || x.err != "" && (!errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), x.err)) {
			t.Errorf("%s: %v, want %q", x.number, err, x.err)
		}
	}
}
