package update

import (
	"errors"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// FuzzEvaluate feeds raw messages to Parse and Evaluate and checks the
// invariants of the package comment.
func FuzzEvaluate(f *testing.F) {
	for _, lines := range [][]string{
		{"prereq yxdomain a", "del a A", "add a 60 A 192.0.2.9"},
		{"prereq yxrrset two A 192.0.2.1", "prereq yxrrset two A 192.0.2.2", "del two A 192.0.2.1", "add two 60 AAAA 2001:db8::1"},
		{"add a 60 CNAME two", "add c 60 A 192.0.2.1", "add c 60 KEY 256 3 8 AQPS", "add d 60 DNAME x", "add d 9 CNAME y"},
		{"del @", "del @ NS ns1.example.", "add @ 60 NS ns2", "del @ NS", "del @ SOA", "add @ 60 SOA ns2 admin 11 1 2 3 4"},
		{"add *.w 60 NS ns1", "add mx 60 SRV 1 2 3 a", `add mx 60 NAPTR 1 2 "u" "E2U+sip" "!x!y!" .`, "del mx MX 10 mail.example."},
		{"raw update x 60 IN TYPE65280", "raw update x 0 NONE TYPE65280", "raw update x 60 IN TYPE11 c000020106ff"},
		{"raw prereq a 0 IN ANY 01", "raw update a 0 NONE A"},
	} {
		f.Add(build(f, lines...), uint32(60), 3)
	}
	f.Add(request(f, func(m *dns.Msg) {
		m.Compress = true
		m.Insert([]dns.RR{mustRR(f, "a.example. 60 MX 1 b.example."), mustRR(f, "a.example. 60 MX 2 c.example.")})
		m.SetEdns0(1232, false)
	}), uint32(0), 0)
	f.Fuzz(func(t *testing.T, msg []byte, maxTTL uint32, maxRecords int) {
		m, err := read(msg)
		if err != nil {
			wantRcode(t, err)
			return
		}
		z := newMemory(t, scenarioApex, testZone)
		before := z.dump()
		soa, _ := z.RRset(z.apex, dns.TypeSOA)
		_, err = Evaluate(z, m, Limits{MaxTTL: maxTTL, MaxRecordsPerRRset: maxRecords})
		if err != nil {
			wantRcode(t, err)
			if len(z.log) > 0 {
				t.Fatalf("%v, but Set was called for %v", err, z.log)
			}
			return
		}
		if err := z.check(); err != nil {
			t.Fatal(err)
		}
		checkSerial(t, soa, z)
		checkLog(t, z, before)
	})
}

func wantRcode(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Rcode == dns.RcodeSuccess {
		t.Fatalf("%v is no *Error with an RCODE", err)
	}
	if len(e.Text) > maxEDE {
		t.Fatalf("text of %d octets", len(e.Text))
	}
}

func checkSerial(t *testing.T, was rr.RRset, z *memory) {
	t.Helper()
	now, _ := z.RRset(z.apex, dns.TypeSOA)
	a, err := rr.ParseSOA(was.Data[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := rr.ParseSOA(now.Data[0])
	if err != nil {
		t.Fatal(err)
	}
	if a.Serial != b.Serial && !rr.SerialGreater(b.Serial, a.Serial) {
		t.Fatalf("serial went from %d to %d", a.Serial, b.Serial)
	}
}

// checkLog holds invariant 7: Set is called for what differs, once.
func checkLog(t *testing.T, z *memory, before []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, l := range z.log {
		if seen[l] {
			t.Fatalf("Set was called twice for %s", l)
		}
		seen[l] = true
	}
	after := z.dump()
	same := len(before) == len(after)
	for i := 0; same && i < len(before); i++ {
		same = before[i] == after[i]
	}
	if same != (len(z.log) == 0) {
		t.Fatalf("Set was called for %v; zone is the same: %v", z.log, same)
	}
}
