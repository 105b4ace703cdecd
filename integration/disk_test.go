package integration

import (
	"strings"
	"testing"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// wantFault wants the server to say what is wrong to whoever asks.
func wantFault(t *testing.T, s *peertest.Server, text string) {
	t.Helper()
	if got := s.Status(t); !strings.Contains(got, text) {
		t.Errorf("status says nothing of %q:\n%s", text, got)
	}
}

// TestFullDiskIsNoEnd fills the file system of the data directory, first by updates, then to the last octet, and makes
// room again. Nothing has to be restarted.
func TestFullDiskIsNoEnd(t *testing.T) {
	s := peertest.OnOwnDisk(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): phonesFile}, 32)
	l := peertest.NewLedger(t, s, phones)
	s.InNamespace(t, "head -c 11m /dev/zero > data/filler")
	l.WriteUntil(t, dns.RcodeServerFailure, 40_000, 2000)
	if l.Acked() < 5 {
		t.Errorf("only %d updates were acknowledged", l.Acked())
	}
	s.InNamespace(t, "cat /dev/zero >> data/filler 2>/dev/null || true") // somebody takes the rest
	if rcode := l.Write(t, 0); rcode != dns.RcodeServerFailure {
		t.Errorf("an update on a full disk: %s", dns.RcodeToString[rcode])
	}
	wantFault(t, s, "updates get SERVFAIL, queries go on")
	l.Check(t, false)
	s.InNamespace(t, "rm data/filler")
	l.Recover(t)
	l.Check(t, false)
	if strings.Contains(s.Status(t), "SERVFAIL") {
		t.Error("status goes on telling of a fault")
	}
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestFailedSync has the kernel refuse one kind of sync, which the log of each commit needs, and then no more.
func TestFailedSync(t *testing.T) {
	s := peertest.Dialtone(t, phones, openConfig(phones), map[string]string{peertest.ZoneFile(phones): phonesFile})
	l := peertest.NewLedger(t, s, phones)
	l.WriteUntil(t, dns.RcodeSuccess, 0, 1)
	fault := s.Inject(t, "--inject=fdatasync:error=EIO")
	l.WriteUntil(t, dns.RcodeServerFailure, 0, 1)
	wantFault(t, s, "input/output error")
	l.Check(t, false)
	fault.Stop(t)
	l.Recover(t)
	l.Check(t, false)
	s.Kill(t)
	l.Reconnect()
	s.Restart(t)
	l.Check(t, false)
	l.WriteUntil(t, dns.RcodeSuccess, 0, 1)
}
