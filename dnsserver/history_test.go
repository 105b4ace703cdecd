package dnsserver

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/dnsserver/keys"
	"dialtone/update"
)

// history gives what number/history says: a line for each past, without times, and the end.
func history(t testing.TB, c *control.Client, q HistoryQuestion) (lines []string, pasts []*NumberPast, end *HistoryEnd) {
	t.Helper()
	for i, err := range control.List[HistoryItem](t.Context(), c, RequestNumberHistory, q) {
		switch {
		case err != nil:
			t.Fatal(err)
		case i.End != nil:
			end = i.End
		case i.Past != nil:
			p := i.Past
			line := fmt.Sprintf("%s%s %v of %d", p.How, p.Action, p.Addresses, p.Records)
			for _, by := range p.By {
				line += fmt.Sprintf(", %s %s %s", by.How, by.Key, by.From)
			}
			lines, pasts = append(lines, line), append(pasts, p)
		}
	}
	if end == nil {
		t.Fatal("the list has no end")
	}
	return lines, pasts, end
}

func TestHistoryOfANumber(t *testing.T) {
	o := phoneKeyOptions(t)
	s, stop := start(t, o)
	to := s.Addrs()[0]
	c := command(t, o)
	k := call(t, c, keys.RequestShow, keys.Show{Number: "4711"})
	if rcode, _ := register(t, to, k); rcode != dns.RcodeSuccess {
		t.Fatalf("register: %s", dns.RcodeToString[rcode])
	}
	call(t, c, keys.RequestRevoke, keys.Revoke{Number: "4711"})
	if _, err := control.Call[NumberReleased](t.Context(), c, RequestNumberRelease, NumberRelease{NumberQuestion: NumberQuestion{Number: "4711"}, KeepSecret: true}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"release [] of 0, release  invalid IP",
		"keykey revoke [] of 0, key  invalid IP",
		"update [192.0.2.7] of 1, update 4711." + apex + " 127.0.0.1",
	}
	q := HistoryQuestion{NumberQuestion: NumberQuestion{Number: "4711"}}
	lines, pasts, end := history(t, c, q)
	if !slices.Equal(lines, want) || end.More || end.Number != "4711" || end.Zone != apex || end.Oldest.IsZero() {
		t.Errorf("got %q %+v, want %q", lines, end, want)
	}
	if len(pasts) != 3 || !pasts[2].Until.Equal(pasts[0].Since) || !pasts[0].Until.IsZero() || *pasts[0].By[0].UID != os.Getuid() ||
		!slices.Equal(pasts[0].Gone, []string{"4711." + apex + " 60 IN A 192.0.2.7"}) {
		t.Fatalf("pasts %+v", pasts)
	}

	q.Limit = 1
	if lines, _, end := history(t, c, q); !slices.Equal(lines, want[:1]) || !end.More {
		t.Errorf("one line: got %q %+v", lines, end)
	}
	q.Limit = MaxHistory + 1
	if err := firstError(t.Context(), c, q); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("limit %d: %v", q.Limit, err)
	}

	q.Limit = 0
	for at, want := range map[time.Time][]string{
		pasts[2].Since: {want[2]}, pasts[0].Since.Add(-1): {want[2]}, pasts[0].Since: {want[0]},
		time.Now().Add(time.Hour): {want[0]}, pasts[2].Since.Add(-1): nil,
	} {
		q.At = at
		if lines, _, _ := history(t, c, q); !slices.Equal(lines, want) {
			t.Errorf("at %s: got %q, want %q", at, lines, want)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	stop()

	// Without a server, from the data directory.
	c = command(t, o)
	defer c.Close()
	q.At = time.Time{}
	if lines, _, _ := history(t, c, q); !slices.Equal(lines, want) {
		t.Errorf("without a server: got %q, want %q", lines, want)
	}
	q.Number = "100" // was in the zone's file
	lines, pasts, _ = history(t, c, q)
	if len(lines) != 1 || pasts[0].How != PastUnknown || len(pasts[0].Addresses) != 1 {
		t.Errorf("a number that was never changed: %q", lines)
	}
	q.Number = "99999"
	if lines, _, end = history(t, c, q); len(lines) != 0 || end.More {
		t.Errorf("a number that never was: %q %+v", lines, end)
	}
}

// TestHistoryLeftEarly: who stops reading is told nothing more.
func TestHistoryLeftEarly(t *testing.T) {
	s, _ := start(t, phoneKeyOptions(t))
	for i, err := range s.NumberHistory(t.Context(), HistoryQuestion{NumberQuestion: NumberQuestion{Number: "100"}}) {
		if err != nil || i.Past == nil {
			t.Errorf("%+v, %v", i, err)
		}
		break
	}
}

func firstError(ctx context.Context, c *control.Client, q HistoryQuestion) error {
	for _, err := range control.List[HistoryItem](ctx, c, RequestNumberHistory, q) {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestHistoryOfAnEndedLease(t *testing.T) {
	var clock testClock
	o := testOptions(t)
	o.Now = clock.now
	o.Zones[0].Lease = update.LeaseLimits{Min: 30, Max: 3600, KeyMax: 7200}
	s, _ := start(t, o)
	to := s.Addrs()[0]
	if reply := ask(t, "udp", to, withLease(insert("4712."+apex+" 60 A 192.0.2.8"), leaseData(60))); reply.Rcode != dns.RcodeSuccess {
		t.Fatal(reply)
	}
	clock.ahead.Store(int64(time.Hour))
	isGone(t, to, "4712."+apex)
	c := command(t, o)
	defer c.Close()
	q := HistoryQuestion{NumberQuestion: NumberQuestion{Number: "4712"}}
	want := []string{"lease end [] of 0, lease end  invalid IP", "update [192.0.2.8] of 1, update  127.0.0.1"}
	for {
		lines, _, _ := history(t, c, q)
		if slices.Equal(lines, want) {
			return
		}
		if len(lines) > 2 || len(lines) == 2 && lines[0] != want[0] {
			t.Fatalf("got %q, want %q", lines, want)
		}
	}
}
