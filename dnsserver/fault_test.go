package dnsserver

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/zone/store"
)

// The order of things when the store cannot commit: nothing is acknowledged or visible, queries go on,
// and updates work again when the store does.
func TestStoreThatCannotCommit(t *testing.T) {
	for _, fault := range []error{errors.New("the disk is gone"), store.ErrTorn} {
		t.Run(fault.Error(), func(t *testing.T) {
			var broken atomic.Bool
			o := testOptions(t)
			o.failCommit = func() error {
				if broken.Load() {
					return fault
				}
				return nil
			}
			s, stop := start(t, o)
			to := s.Addrs()[0]
			if m := ask(t, "udp", to, insert("good."+apex+" 60 A 192.0.2.1")); m.Rcode != dns.RcodeSuccess {
				t.Fatal(m)
			}
			serial := soa(t, to)
			broken.Store(true)
			for _, proto := range []string{"udp", "tcp"} {
				if m := ask(t, proto, to, insert("bad."+apex+" 60 A 192.0.2.1")); m.Rcode != dns.RcodeServerFailure {
					t.Errorf("%s: %v", proto, m)
				}
				if got := addressOf(t, proto, to, "good."+apex); got != "192.0.2.1" {
					t.Errorf("%s: queries are not answered: %q", proto, got)
				}
				if got := addressOf(t, proto, to, "bad."+apex); got != "" {
					t.Errorf("%s: a change that is not stored is visible: %q", proto, got)
				}
			}
			if got := soa(t, to); got != serial {
				t.Errorf("serial went from %d to %d", serial, got)
			}
			if s.Counters.UpdateStoreDown.Load() != 2 || s.Zones().All()[0].Failed() == nil {
				t.Errorf("%d counted, fault %v", s.Counters.UpdateStoreDown.Load(), s.Zones().All()[0].Failed())
			}
			broken.Store(false)
			deadline := time.Now().Add(30 * time.Second)
			for ask(t, "tcp", to, insert("again."+apex+" 60 A 192.0.2.1")).Rcode != dns.RcodeSuccess {
				if time.Now().After(deadline) {
					t.Fatal("updates do not work again")
				}
			}
			if got := soa(t, to); got <= serial {
				t.Errorf("serial went from %d to %d", serial, got)
			}
			stop()
			s, _ = start(t, o)
			to = s.Addrs()[0]
			for name, want := range map[string]string{"good.": "192.0.2.1", "again.": "192.0.2.1", "bad.": ""} {
				if got := addressOf(t, "udp", to, name+apex); got != want {
					t.Errorf("%s is %q after the restart", name, got)
				}
			}
		})
	}
}
