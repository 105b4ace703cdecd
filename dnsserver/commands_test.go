package dnsserver

import (
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/dnsserver/keys"
	"dialtone/update/acl"
	"dialtone/update/tsig"
)

// phoneKeyOptions serve a zone whose numbers have derived keys, each of which may
// change its number.
func phoneKeyOptions(t testing.TB) Options {
	t.Helper()
	o := testOptions(t)
	list := rules(t, apex, acl.Rule{AnyKey: true, Actions: acl.Update, SelfNumber: true})
	seed, err := tsig.NewSeed(make([]byte, tsig.MinSeed))
	if err != nil {
		t.Fatal(err)
	}
	o.Zones[0].ACL, o.Zones[0].Seed = list, seed
	return o
}

// auditLog is all that was noted in a data directory.
func auditLog(t testing.TB, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, control.AuditName))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// command does what a command does.
func command(t testing.TB, o Options) *control.Client {
	t.Helper()
	c, err := Commands(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func call(t testing.TB, c *control.Client, request string, in any) keys.Info {
	t.Helper()
	i, err := control.Call[keys.Info](t.Context(), c, request, in)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// ahead is by how many seconds the clock of phones is: after a restart a number's
// key must have signed later than before.
var ahead atomic.Int64

func signedAt() int64 { return time.Now().Unix() + ahead.Load() }

// register signs an update of a number with its key, and gives the RCODE and
// the TSIG error of the reply.
func register(t testing.TB, to netip.AddrPort, i keys.Info) (rcode int, fault uint16) {
	t.Helper()
	m := insert(i.Name + " 60 A 192.0.2.7")
	m.SetTsig(i.Name, i.Algorithm+".", 3600, signedAt())
	c := &dns.Client{Net: "tcp", Timeout: 10 * time.Second, TsigSecret: map[string]string{i.Name: base64.StdEncoding.EncodeToString(i.Secret)}}
	reply, _, err := c.Exchange(m, to.String())
	if reply == nil {
		t.Fatal(err)
	}
	if sig := reply.IsTsig(); sig != nil {
		fault = sig.Error
	}
	if err != nil && fault == 0 && reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("reply: %v", err)
	}
	return reply.Rcode, fault
}

func TestKeysWhileServing(t *testing.T) {
	o := phoneKeyOptions(t)
	s, stop := start(t, o)
	to := s.Addrs()[0]
	c := command(t, o)
	want := func(what string, i keys.Info, rcode int, fault uint16) {
		t.Helper()
		for range 2 { // the second time the key may be cached
			if r, f := register(t, to, i); r != rcode || f != fault {
				t.Errorf("%s: RCODE %s, TSIG error %s; want %s, %s", what, dns.RcodeToString[r], dns.RcodeToString[int(f)], dns.RcodeToString[rcode], dns.RcodeToString[int(fault)])
			}
		}
	}
	first := call(t, c, keys.RequestShow, keys.Show{Number: "1"})
	want("derived", first, dns.RcodeSuccess, 0)
	call(t, c, keys.RequestRevoke, keys.Revoke{Number: "1"})
	want("revoked", first, dns.RcodeNotAuth, dns.RcodeBadSig)
	second := call(t, c, keys.RequestShow, keys.Show{Number: "1"})
	want("of the next generation", second, dns.RcodeSuccess, 0)
	kept := call(t, c, keys.RequestAdd, keys.Add{Number: "1", Replace: true, Algorithm: "hmac-sha512"})
	want("replaced", second, dns.RcodeNotAuth, dns.RcodeBadKey) // it has another algorithm now
	want("kept", kept, dns.RcodeSuccess, 0)
	call(t, c, keys.RequestRevoke, keys.Revoke{Number: "1", Block: true})
	want("blocked", kept, dns.RcodeNotAuth, dns.RcodeBadKey)
	other := call(t, c, keys.RequestAdd, keys.Add{Number: "2", Replace: true})
	if _, err := control.Upload[keys.Imported](t.Context(), c, keys.RequestImport, keys.Import{}, strings.NewReader("2 aW1wb3J0ZWQ=\n")); err != nil {
		t.Fatal(err)
	}
	want("before the import", other, dns.RcodeNotAuth, dns.RcodeBadSig)
	other.Secret = []byte("imported")
	want("imported", other, dns.RcodeSuccess, 0)
	if err := c.Close(); err != nil {
		t.Error(err)
	}

	// All of it is there after a restart, and without a server.
	stop()
	if _, err := os.Lstat(filepath.Join(o.DataDir, control.SocketName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	c = command(t, o)
	if i := call(t, c, keys.RequestShow, keys.Show{Number: "2"}); string(i.Secret) != "imported" || i.Kind != keys.KindKept {
		t.Errorf("without a server: %+v", i)
	}
	third := call(t, c, keys.RequestAdd, keys.Add{Number: "3", Replace: true})
	if _, err := Start(context.Background(), o); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a start while a command has the store: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	ahead.Add(2)
	s, _ = start(t, o)
	to = s.Addrs()[0]
	want("imported before the restart", other, dns.RcodeSuccess, 0)
	want("made without a server", third, dns.RcodeSuccess, 0)
	want("blocked before the restart", kept, dns.RcodeNotAuth, dns.RcodeBadKey)
	audit := auditLog(t, o.DataDir)
	if strings.Count(audit, "\n") != 6 {
		t.Errorf("audit log:\n%s", audit)
	}
}

// Before the first start there is nothing to be changed, and the data directory
// is left to the server.
func TestKeysBeforeTheFirstStart(t *testing.T) {
	o := phoneKeyOptions(t)
	o.DataDir = filepath.Join(o.DataDir, "data")
	c := command(t, o)
	shown := call(t, c, keys.RequestShow, keys.Show{Number: "1"})
	_, err := control.Call[keys.Info](t.Context(), c, keys.RequestRevoke, keys.Revoke{Number: "1"})
	var mistake *control.Mistake
	if !errors.As(err, &mistake) || !strings.Contains(err.Error(), "start the server once") {
		t.Errorf("%v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(o.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data directory was made: %v", err)
	}
	s, _ := start(t, o)
	if rcode, _ := register(t, s.Addrs()[0], shown); rcode != dns.RcodeSuccess {
		t.Errorf("RCODE %s", dns.RcodeToString[rcode])
	}
}

// A key of which the store cannot tell is no unknown one: the phone must try
// again, and not give up.
func TestKeyLookupInAStoreThatFails(t *testing.T) {
	var broken atomic.Bool
	fault := errors.New("the disk is gone")
	o := phoneKeyOptions(t)
	o.Limits.KeyCache = 1
	o.failCommit = func() error {
		if broken.Load() {
			return fault
		}
		return nil
	}
	s, _ := start(t, o)
	to := s.Addrs()[0]
	c := command(t, o)
	defer c.Close()
	one, two := call(t, c, keys.RequestShow, keys.Show{Number: "1"}), call(t, c, keys.RequestShow, keys.Show{Number: "2"})
	if rcode, _ := register(t, to, one); rcode != dns.RcodeSuccess {
		t.Fatal(dns.RcodeToString[rcode])
	}
	broken.Store(true)
	m := insert("1." + apex + " 60 A 192.0.2.8")
	m.SetTsig(one.Name, one.Algorithm+".", 3600, signedAt())
	client := &dns.Client{Net: "tcp", Timeout: 10 * time.Second, TsigSecret: map[string]string{one.Name: base64.StdEncoding.EncodeToString(one.Secret)}}
	if reply, _, err := client.Exchange(m, to.String()); err != nil || reply.Rcode != dns.RcodeServerFailure {
		t.Fatalf("an update that cannot be stored: %v, %v", reply, err)
	}
	if rcode, fault := register(t, to, two); rcode != dns.RcodeServerFailure || fault != 0 {
		t.Errorf("RCODE %s, TSIG error %d", dns.RcodeToString[rcode], fault)
	}
	broken.Store(false)
	deadline := time.Now().Add(30 * time.Second)
	for rcode := -1; rcode != dns.RcodeSuccess; rcode, _ = register(t, to, two) {
		if time.Now().After(deadline) {
			t.Fatal("the key is not found again")
		}
	}
}

func TestServerWithoutASocketServes(t *testing.T) {
	o := phoneKeyOptions(t)
	if err := os.WriteFile(filepath.Join(o.DataDir, control.SocketName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := start(t, o)
	if got := addressOf(t, "udp", s.Addrs()[0], "100."+apex); got != "192.0.2.100" {
		t.Errorf("100 is at %q", got)
	}
	_, err := Commands(t.Context(), o)
	var dir *DataDirError
	if !errors.As(err, &dir) || !strings.Contains(err.Error(), "is in use by another process") || !strings.Contains(err.Error(), "see in its log why") {
		t.Errorf("%v", err)
	}
}

func TestMetricsOfKeys(t *testing.T) {
	o := phoneKeyOptions(t)
	o.MetricsListen = netip.MustParseAddrPort("127.0.0.1:0")
	s, _ := start(t, o)
	c := command(t, o)
	defer c.Close()
	i := call(t, c, keys.RequestShow, keys.Show{Number: "1"})
	for range 3 {
		register(t, s.Addrs()[0], i)
	}
	i.Name = "unknown.key."
	register(t, s.Addrs()[0], i)
	wantMetrics(t, s,
		`dialtone_tsig_key_lookups_total{result="derived"} 1`, `dialtone_tsig_key_lookups_total{result="unknown"} 1`,
		`dialtone_tsig_key_lookups_total{result="kept"} 0`, `dialtone_tsig_keys_cached 1`, `dialtone_tsig_key_cache_hits_total 2`,
	)
}
