package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"dialtone/dnsserver"
)

func TestStatusText(t *testing.T) {
	now := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	serial, told := uint32(7), uint32(9)
	st := dnsserver.Status{
		Version: "dialtone 1", PID: 12, Now: now, Uptime: 93784, Listen: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")},
		DataDir: "/data", Numbers: 1234567, Leases: 3,
		Rates:      dnsserver.Rates{Queries: dnsserver.Rate{Second: 12345.6, Minute: 2.25, Total: 1000000}},
		Queue:      dnsserver.QueueStatus{Updates: 5, Fullest: "a.example.", InIt: 4, Limit: 4096},
		Sync:       &dnsserver.SyncStatus{At: now.Add(-time.Minute), Took: 0.0021},
		Disk:       &dnsserver.DiskStatus{Free: 3 << 30, Reserve: 64 << 20},
		ZonesTotal: 3, Zones: []dnsserver.ZoneStatus{{Zone: "a.example.", Serial: 9, Numbers: 1000, Journal: 2048, JournalEntries: 1, Changed: now}},
		SecondariesTotal: 3, Secondaries: []dnsserver.SecondaryStatus{
			{Zone: "a.example.", Address: "192.0.2.9:53", Key: "k.", Target: true, State: dnsserver.SecondaryBehind, Serial: &serial, Serials: 2, Seconds: 90, Told: &told, ToldAt: now},
			{Zone: "a.example.", Address: "192.0.2.8:53", Target: true, State: dnsserver.SecondaryUnknown, Missed: 3},
		},
		Senders:     []dnsserver.SenderStatus{{Key: "dhcp.key.", Source: "192.0.2.7", Updates: 812.3}, {Source: "2001:db8::/64", Updates: 7, Refused: 7}},
		Limits:      []dnsserver.LimitHits{{Limit: "update_queue", Minute: 2, Total: 1002}},
		FaultsTotal: 2, Faults: []dnsserver.Fault{{Kind: dnsserver.FaultStore, Zone: "a.example.", Text: "the disk is gone", Since: now}},
	}
	text := string(statusText(st))
	for _, want := range []string{
		"dialtone 1 (pid 12) serves 192.0.2.1:53 for 1d02h\n", "data in /data: last sync 1m00s ago, in 2.1 ms, 3.0 GiB free\n",
		"waiting: 5 updates of at most 4,096 a zone (4 of them in a.example.)", "queries              12,346", "2.2", "1,000,000",
		"a.example.  9       1,000", "2.0 KiB, 1 change", "and 2 more", "1,234,567",
		"192.0.2.9:53 k.  a.example.  7       behind by 2 serials, for 1m30s       answered for 9, 0.0s ago\n",
		"?       unknown: it has fetched nothing yet", "3 without an answer", "and 1 more\n",
		"update_queue   2            1,002\n",
		"SENDER                from           updates/s  refused/s\ndhcp.key.             192.0.2.7      812        0\n(no right signature)  2001:db8::/64  7.0        7.0\n",
		"\nFAULTS\n  store a.example., since 2026-11-26 08:00:00Z: the disk is gone\n  and 1 more\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasSuffix(line, " \n") {
			t.Errorf("%q ends with a blank", line)
		}
	}
}

func TestAgesAndSizes(t *testing.T) {
	for seconds, want := range map[float64]string{-1: "0.0s", 9.94: "9.9s", 59: "59s", 61: "1m01s", 3660: "1h01m", 90000: "1d01h"} {
		if got := age(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 150 << 20: "150 MiB", 1 << 50: "1024 TiB"} {
		if got := octets(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
