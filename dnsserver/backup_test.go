package dnsserver

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/update/acl"
)

// backupTo makes a backup as the command does.
func backupTo(t testing.TB, o Options, q BackupQuestion) (path string, i BackupInfo, err error) {
	t.Helper()
	c := command(t, o)
	defer c.Close()
	octets, err := control.Download(t.Context(), c, RequestBackup, q)
	if err != nil {
		return "", i, err
	}
	defer octets.Close()
	path = filepath.Join(t.TempDir(), "backup")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, octets); err != nil {
		return "", i, err
	}
	i, err = ReadBackupInfo(f)
	return path, i, err
}

// recordsAt is a zone as a transfer gives it, without the SOA.
func recordsAt(t testing.TB, to netip.AddrPort) map[string]bool {
	t.Helper()
	m := new(dns.Msg)
	m.SetAxfr(apex)
	records := map[string]bool{}
	for _, r := range transferOf(t, to, m) {
		if r.Header().Rrtype != dns.TypeSOA {
			records[r.String()] = true
		}
	}
	return records
}

func wantAnswer(t testing.TB, to netip.AddrPort, name, want string) {
	t.Helper()
	if got := addressOf(t, "udp", to, name); got != want {
		t.Errorf("%s is at %q, want %q", name, got, want)
	}
}

// TestBackupWhileServingAndRestore: what was acknowledged before a backup is in it,
// and what a restored server holds is what a signature or a lease means at its time.
func TestBackupWhileServingAndRestore(t *testing.T) {
	var clock testClock
	o := phoneKeyOptions(t)
	o.Now = clock.now
	o.Zones[0].ACL = rules(t, apex,
		acl.Rule{AnyKey: true, Actions: acl.Update, SelfNumber: true},
		acl.Rule{Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Actions: acl.Transfer},
	)
	s, stop := start(t, o)
	to := s.Addrs()[0]
	c := command(t, o)
	k := call(t, c, "key/show", map[string]string{"number": "1"})
	if rcode, _ := register(t, to, k); rcode != dns.RcodeSuccess {
		t.Fatalf("RCODE %d", rcode)
	}
	full, i, err := backupTo(t, o, BackupQuestion{})
	if err != nil || len(i.Zones) != 1 || i.Zones[0].Serial != soa(t, to) || i.Since != 0 {
		t.Fatal(i, err)
	}
	increment, i2, err := backupTo(t, o, BackupQuestion{Since: i.Version, Store: i.Store, Base: i.Sum})
	if err != nil || i2.Since != i.Version {
		t.Fatal(i2, err)
	}
	var mistake *control.Mistake
	if _, _, err := backupTo(t, o, BackupQuestion{Since: 1 << 40}); !errors.As(err, &mistake) {
		t.Errorf("since a version that there was not: %v", err)
	}
	if _, err := Restore(t.Context(), o, []string{full}, RestoreOptions{Ahead: -1}); !errors.As(err, &mistake) || !strings.Contains(err.Error(), "a server runs on") {
		t.Errorf("into the directory of a running server: %v", err)
	}
	want, serial := recordsAt(t, to), soa(t, to)
	c.Close()
	stop()

	// Without a server as well.
	offline, i3, err := backupTo(t, o, BackupQuestion{Since: i2.Version, Store: i2.Store, Base: i2.Sum})
	if err != nil || i3.Zones[0].Serial != serial {
		t.Fatal(i3, err)
	}
	var dir *DataDirError
	if _, err := Restore(t.Context(), o, []string{full}, RestoreOptions{Ahead: -1}); !errors.As(err, &dir) {
		t.Errorf("into a full directory: %v", err)
	}
	first := o.DataDir
	o.DataDir = filepath.Join(t.TempDir(), "new")
	if _, err := Restore(t.Context(), o, []string{full, offline}, RestoreOptions{Ahead: -1}); !errors.As(err, &mistake) {
		t.Errorf("with a gap: %v", err)
	}
	done, err := Restore(t.Context(), o, []string{full, increment, offline}, RestoreOptions{Ahead: -1})
	if err != nil || len(done.Zones) != 1 || done.Zones[0].Was != serial {
		t.Fatal(done, err)
	}
	s, _ = start(t, o)
	to = s.Addrs()[0]
	if got := recordsAt(t, to); !maps.Equal(got, want) || soa(t, to) != done.Zones[0].Serial {
		t.Errorf("%v, want %v", got, want)
	}
	for _, d := range []struct{ dir, want string }{{first, `"action":"backup"`}, {o.DataDir, `"action":"restore"`}} {
		audit := auditLog(t, d.dir)
		if !strings.Contains(audit, d.want) {
			t.Errorf("audit log without %s: %s", d.want, audit)
		}
	}
	// What the key signed before the backup is no more taken than before.
	ahead.Add(-100)
	rcode, fault := register(t, to, k)
	ahead.Add(100)
	if rcode != dns.RcodeNotAuth || fault != dns.RcodeBadTime {
		t.Errorf("signed before the backup: RCODE %d, TSIG error %d", rcode, fault)
	}
}

// Leases that end between a backup and the start of what was restored are over.
func TestRestoredLeases(t *testing.T) {
	var clock testClock
	o := testOptions(t)
	o.Now = clock.now
	s, _ := start(t, o)
	to := s.Addrs()[0]
	for _, u := range []struct {
		name  string
		lease uint32
	}{{"1", 600}, {"2", 3600}} {
		if r := ask(t, "tcp", to, withLease(insert(u.name+"."+apex+" 60 A 192.0.2.1"), leaseData(u.lease))); r.Rcode != dns.RcodeSuccess {
			t.Fatal(r)
		}
	}
	full, _, err := backupTo(t, o, BackupQuestion{})
	if err != nil {
		t.Fatal(err)
	}
	o.DataDir = t.TempDir()
	if _, err := Restore(t.Context(), o, []string{full}, RestoreOptions{Ahead: -1}); err != nil {
		t.Fatal(err)
	}
	clock.ahead.Store(int64(1000 * time.Second))
	s, _ = start(t, o)
	to = s.Addrs()[0]
	isGone(t, to, "1."+apex)
	wantAnswer(t, to, "2."+apex, "192.0.2.1")
	clock.ahead.Store(int64(4000 * time.Second))
	isGone(t, to, "2."+apex)
}

// Before the first start there is nothing to back up.
func TestBackupOfNothing(t *testing.T) {
	o := testOptions(t)
	var mistake *control.Mistake
	if _, _, err := backupTo(t, o, BackupQuestion{}); !errors.As(err, &mistake) || !strings.Contains(err.Error(), "there is no data in") {
		t.Error(err)
	}
}

// A backup that nobody takes holds up neither updates nor the end of the server.
func TestBackupThatIsNotTaken(t *testing.T) {
	o := testOptions(t)
	var text strings.Builder
	text.WriteString(o.Zones[0].Text)
	for i := range 25_000 { // of what does not compress, more than is sent at a time
		fmt.Fprintf(&text, "%d 60 TXT \"", 1_000_000+i)
		for j := range 3 {
			fmt.Fprintf(&text, "%x", sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(j)}))
		}
		text.WriteString("\"\n")
	}
	o.Zones[0].Text = text.String()
	s, stop := start(t, o)
	to := s.Addrs()[0]
	c := command(t, o)
	defer c.Close()
	octets, err := control.Download(t.Context(), c, RequestBackup, BackupQuestion{})
	if err != nil {
		t.Fatal(err)
	}
	defer octets.Close()
	if _, err := io.ReadFull(octets, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	var mistake *control.Mistake
	if _, _, err := backupTo(t, o, BackupQuestion{}); !errors.As(err, &mistake) || !strings.Contains(err.Error(), "one is made at a time") {
		t.Errorf("a second one: %v", err)
	}
	for i := range 20 {
		if r := ask(t, "udp", to, insert(itoa(i)+"."+apex+" 60 A 192.0.2.1")); r.Rcode != dns.RcodeSuccess {
			t.Fatal(r)
		}
	}
	stop()
	if _, err := io.Copy(io.Discard, octets); err == nil {
		t.Error("a backup that the server's end broke off seems whole")
	}
}
