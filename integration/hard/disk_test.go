//go:build hard

package hard

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// diskFault is a fault of the disk as the kernel tells of it.
type diskFault struct {
	name   string
	inject []string // for strace; DIR is the server's directory
	// harmless: no update fails by it.
	harmless bool
}

var diskFaults = []diskFault{
	{name: "fdatasync EIO", inject: []string{"--inject=fdatasync:error=EIO"}},
	{name: "fsync EIO", inject: []string{"--inject=fsync:error=EIO"}},
	{name: "fsync ENOSPC", inject: []string{"--inject=fsync:error=ENOSPC"}},
	{name: "msync EIO", inject: []string{"--inject=msync:error=EIO"}},
	{name: "ftruncate ENOSPC", inject: []string{"--inject=ftruncate,fallocate:error=ENOSPC"}},
	{name: "write of the MANIFEST ENOSPC", inject: []string{"-P", "DIR/data/MANIFEST", "--inject=write:error=ENOSPC"}},
	{name: "sync of the MANIFEST EIO", inject: []string{"-P", "DIR/data/MANIFEST", "--inject=fsync:error=EIO"}},
	{name: "pwrite EIO", inject: []string{"--inject=pwrite64:error=EIO"}, harmless: true},
	{name: "read-only EROFS", inject: []string{"--inject=fdatasync,fsync,msync,ftruncate,pwrite64,rename,renameat,renameat2,unlinkat:error=EROFS"}},
	{name: "all at once", inject: []string{"--inject=fdatasync,fsync,msync,ftruncate,fallocate,pwrite64,rename,renameat,renameat2:error=EIO"}},
}

// bulk is how many octets of text an update has, so that tables are written soon.
const bulk = 15_000

// TestDiskFaults has system calls fail under a running server, of each kind with each end: the fault goes away; the
// server is stopped, which takes 5 s at most; it is killed. What was acknowledged is there at each moment, and after.
func TestDiskFaults(t *testing.T) {
	for _, f := range diskFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Run("goes away", func(t *testing.T) {
				s, l, fault := f.begin(t)
				fault.Stop(t)
				l.Recover(t)
				l.Check(t, false)
				if strings.Contains(s.Status(t), "updates get SERVFAIL") {
					t.Error("status goes on telling of a fault")
				}
				l.WriteUntil(t, dns.RcodeSuccess, bulk, 1)
				if code := s.Stop(t); code != 0 {
					t.Errorf("exit code %d", code)
				}
				again(t, s, l, false)
			})
			t.Run("stopped", func(t *testing.T) {
				s, l, fault := f.begin(t)
				begun := time.Now()
				code := s.Stop(t)
				if took := time.Since(begun); code != 0 && code != 1 || took > 5*time.Second {
					t.Errorf("exit code %d after %v", code, took)
				}
				fault.Stop(t)
				again(t, s, l, true)
			})
			t.Run("killed", func(t *testing.T) {
				s, l, fault := f.begin(t)
				s.Kill(t)
				fault.Stop(t)
				again(t, s, l, true)
			})
		})
	}
}

// begin starts a server, writes, and goes on until the fault is felt.
func (f diskFault) begin(t *testing.T) (*peertest.Server, *peertest.Ledger, *peertest.Fault) {
	t.Helper()
	s := start(t, "")
	l := peertest.NewLedger(t, s, phones)
	for range 20 {
		l.WriteUntil(t, dns.RcodeSuccess, bulk, 1)
	}
	var args []string
	for _, a := range f.inject {
		args = append(args, strings.ReplaceAll(a, "DIR", s.Dir))
	}
	fault := s.Inject(t, args...)
	if f.harmless {
		for range 200 {
			l.WriteUntil(t, dns.RcodeSuccess, bulk, 1)
		}
	} else {
		l.WriteUntil(t, dns.RcodeServerFailure, bulk, 2000)
		if got := s.Status(t); !strings.Contains(got, "updates get SERVFAIL") {
			t.Errorf("status says nothing of the fault:\n%s", got)
		}
		l.WriteUntil(t, dns.RcodeServerFailure, 0, 1000)
	}
	l.Check(t, false)
	return s, l, fault
}

// again starts the server once more: everything is there, and the data directory is sound.
func again(t *testing.T, s *peertest.Server, l *peertest.Ledger, maybe bool) {
	t.Helper()
	l.Reconnect()
	s.Restart(t)
	l.Check(t, maybe)
	l.WriteUntil(t, dns.RcodeSuccess, 0, 1)
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	r := peertest.Run(t, s.Dir, "", peertest.Binary(t), "store", "check", filepath.Join(s.Dir, "data"))
	if r.Code != 0 {
		t.Errorf("store check: %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// TestReadOnlyDisk has the kernel find an error in a file system, which then takes no writes any more. It does not come
// back, so the server is stopped, the file system is repaired, and the server started again.
func TestReadOnlyDisk(t *testing.T) {
	s := peertest.OnOwnImage(t, phones, config, map[string]string{"phones.zone": phonesText}, 96)
	l := peertest.NewLedger(t, s, phones)
	for range 20 {
		l.WriteUntil(t, dns.RcodeSuccess, bulk, 1)
	}
	s.InNamespace(t, "echo found by a test > /sys/fs/ext4/$(basename $(findmnt -no SOURCE data))/trigger_fs_error")
	s.InNamespace(t, "if touch data/probe 2>/dev/null; then echo still writable; exit 1; fi")
	l.WriteUntil(t, dns.RcodeServerFailure, bulk, 2000)
	if got := s.Status(t); !strings.Contains(got, "updates get SERVFAIL") {
		t.Errorf("status says nothing of the fault:\n%s", got)
	}
	l.WriteUntil(t, dns.RcodeServerFailure, 0, 1)
	l.Check(t, false)
	if code := s.Stop(t); code != 0 && code != 1 {
		t.Errorf("exit code %d", code)
	}
	if r := peertest.Run(t, s.Dir, "", peertest.Program(t, "e2fsck"), "-fy", "image"); r.Code > 2 {
		t.Fatalf("e2fsck: %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	l.Reconnect()
	s.Restart(t)
	l.Check(t, true)
	l.WriteUntil(t, dns.RcodeSuccess, 0, 1)
}
