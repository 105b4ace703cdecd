package sig0_test

import (
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/update/sig0"
	"dialtone/zone/rr"
)

const signer = "5551234.phones.example."

var (
	now = time.Unix(1_700_000_000, 0)

	both = []uint8{dns.ECDSAP256SHA256, dns.ED25519}
)

// pair is a key pair of miekg/dns.
type pair struct {
	key     *dns.KEY
	private crypto.Signer
}

func newPair(t testing.TB, algorithm uint8) *pair {
	t.Helper()
	k := &dns.KEY{DNSKEY: dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: signer, Rrtype: dns.TypeKEY, Class: dns.ClassINET, Ttl: 60},
		Flags: 512, Protocol: 3, Algorithm: algorithm,
	}}
	for {
		private, err := k.Generate(256)
		if err != nil {
			t.Fatal(err)
		}
		// miekg/dns does not sign with key tag 0, nor can a test that counts the tag up.
		if tag := k.KeyTag(); 0 < tag && tag < 1<<16-1 {
			return &pair{k, private.(crypto.Signer)}
		}
	}
}

func (p *pair) rdata(t testing.TB) string {
	t.Helper()
	r, err := rr.FromMiekg(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return r.Data
}

func (p *pair) public(t testing.TB) *sig0.PublicKey {
	t.Helper()
	k, err := sig0.ParsePublicKey(p.rdata(t))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sig is a record as nsupdate makes it.
func (p *pair) sig(at time.Time) *dns.SIG {
	return &dns.SIG{RRSIG: dns.RRSIG{
		Algorithm: p.key.Algorithm, KeyTag: p.key.KeyTag(), SignerName: p.key.Hdr.Name,
		Inception: uint32(at.Unix() - 300), Expiration: uint32(at.Unix() + 300),
	}}
}

// sign signs with miekg/dns; change may edit the record before.
func (p *pair) sign(t testing.TB, m *dns.Msg, at time.Time, change func(*dns.SIG)) []byte {
	t.Helper()
	s := p.sig(at)
	if change != nil {
		change(s)
	}
	b, err := s.Sign(p.private, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func update(t testing.TB) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetUpdate("phones.example.")
	add, err := dns.NewRR("5551234.phones.example. 60 A 192.0.2.17")
	if err != nil {
		t.Fatal(err)
	}
	m.RemoveRRset([]dns.RR{add})
	m.Insert([]dns.RR{add})
	m.Compress = true
	return m.SetEdns0(1232, false)
}

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func find(t testing.TB, msg []byte) *sig0.Record {
	t.Helper()
	r, err := sig0.Find(msg)
	if err != nil || r == nil {
		t.Fatalf("Find gives %v, %v", r, err)
	}
	return r
}

func verify(t testing.TB, msg []byte, key *sig0.PublicKey, at time.Time) *sig0.Context {
	t.Helper()
	c, err := find(t, msg).Verify(key, at)
	if err != nil || c == nil {
		t.Fatalf("Verify gives %v, %v", c, err)
	}
	return c
}

// refuses wants Verify to fail for a reason.
func refuses(t testing.TB, msg []byte, key *sig0.PublicKey, at time.Time, reason error) {
	t.Helper()
	c, err := find(t, msg).Verify(key, at)
	var e *sig0.Error
	if c != nil || !errors.As(err, &e) || e.Rcode != dns.RcodeRefused || e.Signer == "" || !errors.Is(err, reason) {
		t.Fatalf("Verify gives %v, %v; want %v", c, err, reason)
	}
}

// request is one that another program signed.
type request struct {
	key string
	now time.Time
	msg []byte
}

// requests reads the files of testdata.
func requests(t testing.TB) map[string]request {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no requests in testdata: %v", err)
	}
	all := map[string]request{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var q request
		for line := range strings.Lines(string(text)) {
			word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch word {
			case "key":
				q.key = keyData(t, rest)
			case "now":
				n, _ := strconv.ParseInt(rest, 10, 64)
				q.now = time.Unix(n, 0)
			case "message":
				q.msg, err = hex.DecodeString(rest)
			}
		}
		if err != nil || q.key == "" || q.now.Unix() == 0 || len(q.msg) == 0 {
			t.Fatalf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = q
	}
	return all
}

// keyData gives the rdata of a KEY record from its text.
func keyData(t testing.TB, text string) string {
	t.Helper()
	f := strings.Fields(text)
	if len(f) < 4 {
		t.Fatalf("%q is no KEY", text)
	}
	flags, _ := strconv.Atoi(f[0])
	protocol, _ := strconv.Atoi(f[1])
	algorithm, _ := strconv.Atoi(f[2])
	key, err := base64.StdEncoding.DecodeString(strings.Join(f[3:], ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(append([]byte{byte(flags >> 8), byte(flags), byte(protocol), byte(algorithm)}, key...))
}
