package update

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/tools/txtar"

	"dialtone/update/acl"
	"dialtone/zone/rr"
)

var rewrite = flag.Bool("update", false, "rewrite what scenarios want")

const scenarioApex = "example."

// TestScenarios runs testdata/*.txtar. A file has a zone, then pairs of "send"
// (lines as builder reads them, and "key NAME", "from ADDRESS", "proven",
// "max_ttl N", "max_records N", "name_records N", "max_names N", "public KEY-RDATA", "claims", "after SECONDS",
// "signed SECONDS [DIGEST]" from the start of the scenario on, "recent SLACK",
// "lease N [KEY]", "# COMMENT", "limits DEFAULT MIN MAX KEYMAX")
// and "want": the RCODE with its text, the notes, the difference that the
// update makes, and when it changed, what is held beside records. -update
// rewrites the latter.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) { runScenario(t, f) })
	}
}

func runScenario(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sc := scenario{list: allowAll(t)}
	var out txtar.Archive
	out.Comment = a.Comment
	last := ""
	sends := 0
	for _, part := range a.Files {
		switch part.Name {
		case "zone":
			sc.zone = newMemory(t, scenarioApex, string(part.Data))
		case "acl":
			sc.list = parseList(t, string(part.Data))
		case "want":
			if string(part.Data) != last && !*rewrite {
				t.Errorf("send %d:\n got:\n%s want:\n%s", sends, last, part.Data)
			}
			continue
		}
		out.Files = append(out.Files, part)
		if part.Name == "send" {
			sends++
			last = sc.send(t, string(part.Data))
			out.Files = append(out.Files, txtar.File{Name: "want", Data: []byte(last)})
		}
	}
	if sends == 0 {
		t.Fatal("scenario sends nothing")
	}
	got := txtar.Format(&out)
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(got, txtar.Format(a)) {
		t.Error("the parts of the file do not pair: each send needs one want")
	}
}

type scenario struct {
	zone *memory
	list acl.List
}

// send evaluates one update and tells what came of it.
func (sc *scenario) send(t *testing.T, text string) string {
	who := acl.Principal{Address: netip.MustParseAddr("192.0.2.99")}
	limits := Limits{Lease: LeaseLimits{Min: 30, Max: 3600, KeyMax: 7200}}
	var sign *Signature
	var lease *Lease
	b := newBuilder(scenarioApex)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		var err error
		switch word {
		case "", "#":
		case "key":
			who.Key = rr.MustName(rest)
		case "from":
			who.Address = netip.MustParseAddr(rest)
		case "proven":
			who.Proven = true
		case "max_ttl":
			_, err = fmt.Sscan(rest, &limits.MaxTTL)
		case "max_records":
			_, err = fmt.Sscan(rest, &limits.MaxRecordsPerRRset)
		case "max_names":
			_, err = fmt.Sscan(rest, &limits.NamesPerNumber)
		case "public":
			who.PublicKey = keyData(t, rest)
		case "claims":
			who.Claims = true
		case "after":
			var seconds int64
			_, err = fmt.Sscan(rest, &seconds)
			sc.zone.now += 1000 * seconds
		case "signed":
			sign = &Signature{Digest: 1}
			_, _ = fmt.Sscan(rest, &sign.Time, &sign.Digest)
			sign.Time += 1_800_000_000
		case "recent":
			sign.Memory = always{}
			_, err = fmt.Sscan(rest, &sign.Slack)
		case "name_records":
			_, err = fmt.Sscan(rest, &limits.MaxRecordsPerName)
		case "limits":
			l := &limits.Lease
			_, err = fmt.Sscan(rest, &l.Default, &l.Min, &l.Max, &l.KeyMax)
		case "lease":
			var seconds, key uint32
			if n, _ := fmt.Sscan(rest, &seconds, &key); n == 1 {
				key = seconds
			}
			g := limits.Lease.Grant(seconds, key)
			lease = &g
		default:
			err = b.line(line)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if sign != nil {
		sign.Key = who.Key
	}
	return sc.evaluate(t, b.message(), who, limits, sign, lease)
}

// always is a Memory that knows all.
type always struct{}

func (always) Took(rr.Name, uint32, uint32, bool) {}
func (always) Knows(rr.Name, uint32, bool) bool   { return true }

func keyData(t *testing.T, text string) string {
	t.Helper()
	x, err := dns.NewRR("x. KEY " + text)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rr.FromMiekg(x)
	if err != nil {
		t.Fatal(err)
	}
	return r.Data
}

func (sc *scenario) evaluate(t *testing.T, msg []byte, who acl.Principal, limits Limits, sign *Signature, lease *Lease) string {
	before, held := sc.zone.dump(), sc.zone.held()
	sc.zone.log, sc.zone.withdrew = nil, false
	m, err := read(msg)
	if err == nil {
		m.Signature, m.Lease = sign, lease
		err = Authorize(m, who, sc.list)
	}
	var notes []Note
	if err == nil {
		if notes, err = Evaluate(sc.zone, m, limits); err == nil {
			sc.zone.forgetEmpty()
		}
	}
	var b strings.Builder
	var e *Error
	switch {
	case err == nil:
		b.WriteString("NOERROR\n")
	case errors.As(err, &e):
		fmt.Fprintf(&b, "%s\n", e)
		if len(sc.zone.log) > 0 || !slices.Equal(held, sc.zone.held()) {
			t.Errorf("failed update has set %v", sc.zone.log)
		}
	default:
		t.Fatalf("error is no *Error: %v", err)
	}
	for _, n := range notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	sc.difference(t, &b, before)
	if now := sc.zone.held(); !slices.Equal(held, now) {
		for _, line := range now {
			fmt.Fprintln(&b, line)
		}
	}
	return b.String()
}

func (sc *scenario) difference(t *testing.T, b *strings.Builder, before []string) {
	after := sc.zone.dump()
	changed := false
	for _, line := range before {
		if !slices.Contains(after, line) {
			changed = true
			fmt.Fprintf(b, "- %s\n", line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			changed = true
			fmt.Fprintf(b, "+ %s\n", line)
		}
	}
	if !changed && len(sc.zone.log) > 0 && !sc.zone.withdrew {
		t.Errorf("nothing has changed, but Set was called for %v", sc.zone.log)
	}
	slices.Sort(sc.zone.log)
	if n := len(sc.zone.log); len(slices.Compact(sc.zone.log)) != n {
		t.Errorf("Set was called twice for one RRset: %v", sc.zone.log)
	}
	if err := sc.zone.check(); err != nil {
		t.Errorf("invariant: %v", err)
	}
}

func allowAll(t testing.TB) acl.List {
	t.Helper()
	l, err := acl.Compile(rr.MustName(scenarioApex), []acl.Rule{
		{Actions: acl.Update}, {Actions: acl.Update, AnyKey: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// parseList reads rules, one a line: words "key=NAME", "deny", "owner=WORD",
// "match=WORD", "name=NAME", "type=TYPE", "address=PREFIX", "self_number",
// "numbers=RANGE", "max_records=N", "source_address", "first_come", all for updates.
func parseList(t *testing.T, text string) acl.List {
	t.Helper()
	var rules []acl.Rule
	for line := range strings.Lines(text) {
		r := acl.Rule{Actions: acl.Update}
		for _, f := range strings.Fields(line) {
			word, value, _ := strings.Cut(f, "=")
			var err error
			switch word {
			case "deny":
				r.Deny = true
			case "key":
				if r.AnyKey = value == "*"; !r.AnyKey {
					r.Keys = append(r.Keys, rr.MustName(value))
				}
			case "owner":
				r.Owner, err = acl.ParseOwner(value)
			case "match":
				r.Match, err = acl.ParseMatch(value)
			case "name":
				r.OwnerNames = append(r.OwnerNames, value)
			case "type":
				var ty uint16
				ty, err = acl.ParseType(value)
				r.Types = append(r.Types, ty)
			case "self_number":
				r.SelfNumber = true
			case "numbers":
				r.Numbers = append(r.Numbers, value)
			case "max_records":
				_, err = fmt.Sscan(value, &r.MaxRecords)
			case "source_address":
				r.SourceAddress = true
			case "first_come":
				r.FirstCome = true
			case "address":
				r.Addresses = append(r.Addresses, netip.MustParsePrefix(value))
			default:
				err = fmt.Errorf("no such word")
			}
			if err != nil {
				t.Fatalf("%q: %v", f, err)
			}
		}
		rules = append(rules, r)
	}
	l, err := acl.Compile(rr.MustName(scenarioApex), rules)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// An error without a text prints as its RCODE.
func TestErrorText(t *testing.T) {
	e := &Error{Rcode: dns.RcodeNXRrset}
	if e.Error() != "NXRRSET" {
		t.Errorf("error without a text prints as %q", e)
	}
}
