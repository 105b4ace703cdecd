package peertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Content is a zone as a transfer gave it: one SOA, then the other records.
type Content struct {
	SOA     *dns.SOA
	Records []dns.RR // without the SOA
}

// View says how contents are to be compared.
type View struct {
	FoldCase bool // owners and record data in lower case (RFC 4343, section 4.2 leaves the case free)
	NoTTL    bool
	NoSerial bool
}

// Lines gives the records in a stable order, one text a record, the SOA first.
func (c Content) Lines(v View) []string {
	lines := make([]string, 0, len(c.Records))
	for _, r := range c.Records {
		lines = append(lines, line(r, v))
	}
	slices.Sort(lines)
	soa := *c.SOA
	if v.NoSerial {
		soa.Serial = 0
	}
	return append([]string{line(&soa, v)}, lines...)
}

func line(r dns.RR, v View) string {
	if v.NoTTL {
		r = dns.Copy(r)
		r.Header().Ttl = 0
	}
	if s := r.String(); !v.FoldCase {
		return s
	} else {
		return strings.ToLower(s)
	}
}

// Difference says which records are on one side only; empty when there are none.
func Difference(wantName string, want []string, gotName string, got []string) string {
	count := map[string]int{}
	for _, l := range want {
		count[l]++
	}
	for _, l := range got {
		count[l]--
	}
	var diff []string
	for l, n := range count {
		switch {
		case n > 0:
			diff = append(diff, fmt.Sprintf("only in %s: %s", wantName, l))
		case n < 0:
			diff = append(diff, fmt.Sprintf("only in %s: %s", gotName, l))
		}
	}
	slices.Sort(diff)
	if len(diff) > 20 {
		diff = append(diff[:20], fmt.Sprintf("and %d more", len(diff)-20))
	}
	return strings.Join(diff, "\n")
}

// AXFR copies the zone from a server. Key may be nil.
func AXFR(addr, zone string, key *Key) (Content, error) {
	q := new(dns.Msg)
	q.SetAxfr(dns.Fqdn(zone))
	all, err := transfer(addr, q, key)
	if err != nil {
		return Content{}, err
	}
	if len(all) < 2 {
		return Content{}, fmt.Errorf("AXFR of %s from %s: %d records", zone, addr, len(all))
	}
	soa, ok := all[0].(*dns.SOA)
	if !ok || !dns.IsDuplicate(all[0], all[len(all)-1]) {
		return Content{}, fmt.Errorf("AXFR of %s from %s does not begin and end with the SOA", zone, addr)
	}
	return Content{SOA: soa, Records: all[1 : len(all)-1]}, nil
}

// MustAXFR is AXFR for a transfer that has to succeed.
func MustAXFR(t testing.TB, addr, zone string) Content {
	t.Helper()
	c, err := AXFR(addr, zone, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// IXFR asks for the changes since a serial and gives the records as they came.
func IXFR(addr, zone string, serial uint32, key *Key) ([]dns.RR, error) {
	q := new(dns.Msg)
	q.SetIxfr(dns.Fqdn(zone), serial, ".", ".")
	if key == nil {
		return incremental(addr, q)
	}
	return transfer(addr, q, key)
}

// incremental reads the answer to an IXFR. dns.Transfer compares serials as plain numbers, so at a serial that has wrapped it
// takes the first message of several for all.
func incremental(addr string, q *dns.Msg) ([]dns.RR, error) {
	c, err := (&dns.Client{Net: "tcp", Timeout: Patience}).Dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.WriteMsg(q); err != nil {
		return nil, err
	}
	for all := []dns.RR(nil); ; {
		if err := c.SetReadDeadline(time.Now().Add(Patience)); err != nil {
			return nil, err
		}
		r, err := c.ReadMsg()
		switch {
		case err != nil:
			return all, err
		case r.Id != q.Id || r.Rcode != dns.RcodeSuccess || len(r.Answer) == 0:
			return all, fmt.Errorf("IXFR from %s: %s", addr, r)
		}
		if all = append(all, r.Answer...); isWhole(all) {
			return all, nil
		}
	}
}

// isWhole tells whether the answer to an IXFR has come to its end (RFC 1995, section 4): it is one SOA; or like an AXFR; or
// it has its first SOA for the third time.
func isWhole(all []dns.RR) bool {
	first, ok := all[0].(*dns.SOA)
	if !ok || len(all) == 1 {
		return true
	}
	_, last := all[len(all)-1].(*dns.SOA)
	if _, steps := all[1].(*dns.SOA); !steps {
		return last
	}
	n := 0
	for _, r := range all {
		if soa, ok := r.(*dns.SOA); ok && soa.Serial == first.Serial {
			n++
		}
	}
	return last && n == 3
}

func transfer(addr string, q *dns.Msg, key *Key) ([]dns.RR, error) {
	tr := dns.Transfer{DialTimeout: 5 * time.Second, ReadTimeout: Patience, WriteTimeout: 5 * time.Second}
	if key != nil {
		tr.TsigSecret = map[string]string{key.Name: key.Secret}
		q.SetTsig(key.Name, dns.Fqdn(key.Algorithm), 300, time.Now().Unix())
	}
	envelopes, err := tr.In(q, addr)
	if err != nil {
		return nil, err
	}
	var all []dns.RR
	for e := range envelopes {
		if e.Error != nil {
			err = e.Error
		}
		all = append(all, e.RR...)
	}
	return all, err
}

// Apply brings a copy forward by the answer to an IXFR (RFC 1995, section 4). It is strict: a deletion of what is not
// there and an addition of what is are errors, for a secondary may refuse them.
func (c Content) Apply(ixfr []dns.RR) (Content, error) {
	if len(ixfr) == 0 {
		return c, fmt.Errorf("empty IXFR")
	}
	newest, ok := ixfr[0].(*dns.SOA)
	if !ok {
		return c, fmt.Errorf("IXFR begins with %s", ixfr[0])
	}
	if len(ixfr) == 1 {
		return c, nil // the copy is current
	}
	if _, two := ixfr[1].(*dns.SOA); !two {
		return Content{SOA: newest, Records: ixfr[1 : len(ixfr)-1]}, nil // AXFR style
	}
	return c.applySteps(newest, ixfr[1:len(ixfr)-1])
}

func (c Content) applySteps(newest *dns.SOA, steps []dns.RR) (Content, error) {
	held := map[string]dns.RR{}
	for _, r := range c.Records {
		held[line(r, View{})] = r
	}
	serial, deleting := c.SOA.Serial, false
	for _, r := range steps {
		if soa, ok := r.(*dns.SOA); ok {
			deleting = !deleting
			if deleting && soa.Serial != serial {
				return c, fmt.Errorf("step from serial %d while the copy is at %d", soa.Serial, serial)
			}
			serial = soa.Serial
			continue
		}
		l := line(r, View{})
		_, there := held[l]
		switch {
		case deleting && !there:
			return c, fmt.Errorf("IXFR deletes a missing record: %s", l)
		case deleting:
			delete(held, l)
		case there:
			return c, fmt.Errorf("IXFR adds a record twice: %s", l)
		default:
			held[l] = r
		}
	}
	if serial != newest.Serial {
		return c, fmt.Errorf("IXFR ends at serial %d, promised %d", serial, newest.Serial)
	}
	out := Content{SOA: newest}
	for _, r := range held {
		out.Records = append(out.Records, r)
	}
	return out, nil
}

// Serial asks for the SOA's serial over UDP.
func Serial(addr, zone string) (uint32, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(zone), dns.TypeSOA)
	r, err := dns.Exchange(q, addr)
	if err != nil {
		return 0, err
	}
	for _, a := range r.Answer {
		if soa, ok := a.(*dns.SOA); ok {
			return soa.Serial, nil
		}
	}
	return 0, fmt.Errorf("no SOA of %s from %s: %s", zone, addr, dns.RcodeToString[r.Rcode])
}

// Converged waits until a secondary has the primary's serial, and wants it to hold the same records then.
func Converged(t testing.TB, within time.Duration, zone string, primary, secondary *Server, v View) {
	t.Helper()
	Eventually(t, within, secondary.Name+" has the primary's serial", func() error {
		want, err := Serial(primary.Addr, zone)
		if err != nil {
			return err
		}
		got, err := Serial(secondary.Addr, zone)
		if err == nil && got != want {
			err = fmt.Errorf("primary has %d, secondary %d", want, got)
		}
		return err
	})
	want := MustAXFR(t, primary.Addr, zone).Lines(v)
	got := MustAXFR(t, secondary.Addr, zone).Lines(v)
	if d := Difference("dialtone", want, secondary.Name, got); d != "" {
		t.Errorf("%s differs from the primary:\n%s", secondary.Name, d)
	}
}
