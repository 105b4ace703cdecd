package integration

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/integration/peertest"
	"dialtone/update/sig0"
	"dialtone/zone/rr"
)

// sig0Server verifies the SIG(0) of what it is sent, with the keys that it has, and answers without a signature: NOERROR, or
// what rcode says. It stands for any server, so that what a client sends and does is seen by itself.
type sig0Server struct {
	port   int
	rdatas []string

	mu    sync.Mutex
	rcode int
	msgs  [][]byte
	errs  []error
}

func newSIG0Server(t *testing.T, rdatas ...string) *sig0Server {
	t.Helper()
	s := &sig0Server{port: peertest.Port(t), rdatas: rdatas}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { s.serveUDP(udp) })
	running.Go(func() { s.serveTCP(tcp) })
	t.Cleanup(func() {
		udp.Close()
		tcp.Close()
		running.Wait()
	})
	return s
}

func (s *sig0Server) serveUDP(c net.PacketConn) {
	buf := make([]byte, 65535)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if _, err := c.WriteTo(s.answer(buf[:n]), from); err != nil {
			return
		}
	}
}

func (s *sig0Server) serveTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.SetDeadline(time.Now().Add(peertest.Patience))
		var head [2]byte
		if _, err := io.ReadFull(c, head[:]); err == nil {
			msg := make([]byte, binary.BigEndian.Uint16(head[:]))
			if _, err := io.ReadFull(c, msg); err == nil {
				reply := s.answer(msg)
				_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
			}
		}
		_ = c.Close()
	}
}

func (s *sig0Server) answer(msg []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.msgs = append(s.msgs, append([]byte(nil), msg...))
	s.errs = append(s.errs, s.verify(msg))
	reply := append([]byte(nil), msg[:12]...)
	reply[2], reply[3] = reply[2]|0x80, byte(s.rcode)
	clear(reply[4:])
	return reply
}

func (s *sig0Server) verify(msg []byte) error {
	r, err := sig0.Find(msg)
	if err != nil {
		return err
	}
	if r == nil {
		return errors.New("the message is not signed")
	}
	now := time.Now()
	keys, err := r.Select(s.rdatas, now)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if _, err = r.Verify(k, now); err == nil {
			return nil
		}
	}
	return err
}

// takes gives the messages since the last time and wants all of them to verify, or none to, with a word in each error.
func (s *sig0Server) takes(t *testing.T, n int, why string) [][]byte {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.msgs) != n {
		t.Errorf("%d messages came, not %d", len(s.msgs), n)
	}
	for i, err := range s.errs {
		if (err == nil) != (why == "") || err != nil && !strings.Contains(err.Error(), why) {
			t.Errorf("message %x: %v, want %q", s.msgs[i], err, why)
		}
	}
	msgs := s.msgs
	s.msgs, s.errs = nil, nil
	return msgs
}

func (s *sig0Server) answers(rcode int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rcode = rcode
}

// pairFiles is a key pair in its two files.
type pairFiles struct{ private, public, rdata string }

func readPairFiles(t *testing.T, private string) pairFiles {
	t.Helper()
	public := strings.TrimSuffix(private, ".private") + ".key"
	text, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	record, err := rr.FromMiekg(peertest.RR(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pairFiles{private, public, record.Data}
}

// keyPairs makes one with each algorithm by dnssec-keygen and by dialtone.
func keyPairs(t *testing.T) map[string]pairFiles {
	t.Helper()
	pairs := map[string]pairFiles{}
	for name, argv := range map[string][]string{
		"dnssec-keygen ED25519":         {peertest.Program(t, "dnssec-keygen"), "-T", "KEY", "-n", "HOST", "-a", "ED25519", "5551234.phones.example."},
		"dnssec-keygen ECDSAP256SHA256": {peertest.Program(t, "dnssec-keygen"), "-T", "KEY", "-n", "HOST", "-a", "ECDSAP256SHA256", "5551234.phones.example."},
		"dialtone ed25519":              {peertest.Binary(t), "key", "generate", "5551234", "--zone", phones},
		"dialtone ecdsa-p256":           {peertest.Binary(t), "key", "generate", "5551234", "--zone", phones, "--algorithm", "ecdsa-p256"},
	} {
		dir := t.TempDir()
		if r := peertest.Run(t, dir, "", argv...); r.Code != 0 {
			t.Fatalf("%s: exit code %d\n%s%s", name, r.Code, r.Stdout, r.Stderr)
		}
		files, err := filepath.Glob(dir + "/K5551234.phones.example.+*.private")
		if err != nil || len(files) != 1 {
			t.Fatalf("%s made %v: %v", name, files, err)
		}
		pairs[name] = readPairFiles(t, files[0])
	}
	return pairs
}

// TestNsupdateSignsBySIG0: what nsupdate -k sends verifies, over UDP and TCP, and a reply without a signature is enough for it.
func TestNsupdateSignsBySIG0(t *testing.T) {
	script := func(s *sig0Server) string {
		return "server 127.0.0.1 " + strconv.Itoa(s.port) + "\nzone phones.example.\nprereq nxrrset 5551234.phones.example. CNAME\n" +
			"update delete 5551234.phones.example. A\nupdate add 5551234.phones.example. 60 A 192.0.2.17\nsend\n"
	}
	pairs := keyPairs(t)
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) {
			s := newSIG0Server(t, pair.rdata)
			for _, flags := range [][]string{{"-k", pair.private}, {"-v", "-k", pair.private}} {
				r := peertest.Run(t, t.TempDir(), script(s), append([]string{peertest.Program(t, "nsupdate")}, flags...)...)
				if r.Code != 0 {
					t.Errorf("nsupdate %v: exit code %d\n%s%s", flags, r.Code, r.Stdout, r.Stderr)
				}
				s.takes(t, 1, "")
			}
			s.answers(dns.RcodeRefused)
			r := peertest.Run(t, t.TempDir(), script(s), peertest.Program(t, "nsupdate"), "-k", pair.private)
			if r.Code == 0 || !strings.Contains(r.Stdout+r.Stderr, "REFUSED") {
				t.Errorf("nsupdate that is refused: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
			}
			s.takes(t, 1, "")
			// Where nobody knows the key, it is of no use.
			var others []string
			for other, another := range pairs {
				if other != name {
					others = append(others, another.rdata)
				}
			}
			s = newSIG0Server(t, others...)
			peertest.Run(t, t.TempDir(), script(s), peertest.Program(t, "nsupdate"), "-k", pair.private)
			s.takes(t, 1, "there is no KEY record")
		})
	}
}

// Net::DNS is another verifier and another signer of SIG(0). The server of BIND 9.18 verifies none any more (CVE-2024-1975).
const (
	perlVerify = `use strict; use Net::DNS; use Net::DNS::SEC;
my ($keyfile, $hex) = @ARGV;
open(my $f, '<', $keyfile) or die $!; my $key = Net::DNS::RR->new(join '', <$f>);
my $data = pack 'H*', $hex; my $packet = Net::DNS::Packet->new(\$data) or die "no packet: $@";
my $sig = $packet->sigrr or die 'no SIG(0)';
$packet->verify($key) or die 'Net::DNS: ', $packet->verifyerr;
print $sig->signame, "\n";
`
	perlSign = `use strict; use Net::DNS; use Net::DNS::SEC;
my ($keyfile, $port) = @ARGV;
my $update = Net::DNS::Update->new('phones.example', 'IN');
$update->push(update => rr_del('5551234.phones.example A'));
$update->push(update => rr_add('5551234.phones.example 60 A 192.0.2.18'));
$update->sign_sig0($keyfile);
my $resolver = Net::DNS::Resolver->new(nameservers => ['127.0.0.1'], port => $port, udp_timeout => 10, retry => 1);
my $reply = $resolver->send($update) or die $resolver->errorstring;
print $reply->header->rcode, "\n";
`
)

func perl(t *testing.T, program string, args ...string) string {
	t.Helper()
	file := peertest.Write(t, t.TempDir(), "sig0.pl", program)
	r := peertest.Run(t, t.TempDir(), "", append([]string{peertest.Program(t, "perl"), file}, args...)...)
	if r.Code != 0 {
		t.Fatalf("perl (it wants apt-get install libnet-dns-sec-perl; make test does it): exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	return strings.TrimSpace(r.Stdout)
}

// TestDialtoneSignsBySIG0: what dialtone register sends verifies here and with Net::DNS, and so does what Net::DNS sends.
func TestDialtoneSignsBySIG0(t *testing.T) {
	for name, pair := range keyPairs(t) {
		t.Run(name, func(t *testing.T) {
			s := newSIG0Server(t, pair.rdata)
			addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
			register := func() peertest.Result {
				return peertest.Run(t, t.TempDir(), "", peertest.Binary(t), "register", "5551234", "--zone", phones, "--server", addr,
					"--key-file", pair.private, "--address", "192.0.2.7", "--sip-port", "5070")
			}
			if r := register(); r.Code != 0 {
				t.Errorf("register: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
			}
			for _, msg := range s.takes(t, 1, "") {
				if got := perl(t, perlVerify, pair.public, hex.EncodeToString(msg)); got != "5551234.phones.example" {
					t.Errorf("Net::DNS: signed by %q", got)
				}
			}
			s.answers(dns.RcodeRefused)
			if r := register(); r.Code != 3 || !strings.Contains(r.Stderr, "REFUSED") {
				t.Errorf("register that is refused: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
			}
			s.takes(t, 1, "")
			if strings.HasPrefix(name, "dnssec-keygen") {
				return // its private keys have no leading zeros, which Net::DNS takes for others
			}
			s.answers(dns.RcodeSuccess)
			if got := perl(t, perlSign, pair.private, strconv.Itoa(s.port)); got != "NOERROR" {
				t.Errorf("Net::DNS: %s", got)
			}
			s.takes(t, 1, "")
		})
	}
}
