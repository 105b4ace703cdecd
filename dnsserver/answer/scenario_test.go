package answer

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/tools/txtar"

	"dialtone/dnsserver/ratelimit"
	"dialtone/zone/rr"
)

var update = flag.Bool("update", false, "rewrite the replies in testdata/scenario")

// TestScenarios runs the dialogues in testdata/scenario. Files named
// APEX.zone are the zones; in the others each line that starts with "> " is a
// question, followed by the reply:
//
//	> NAME TYPE [tcp] [edns] [do] [size=N] [nsid] [expire] [class=CH]
//
// With the word "counts" comes, instead of the reply, what it counts as where
// responses are limited, with "slips" what is sent in its place then.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenario/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runScenario(t, file) })
	}
}

func runScenario(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, zonesOf(a), Options{ServerID: "ns1", Version: "dialtone 1", TCPIdle: 10 * time.Second})
	for i := range a.Files {
		f := &a.Files[i]
		if strings.HasSuffix(f.Name, ".zone") {
			continue
		}
		got := dialogue(t, b, string(f.Data))
		if *update {
			f.Data = []byte(got)
		} else if got != string(f.Data) {
			t.Errorf("%s:\n%s", f.Name, firstDifference(string(f.Data), got))
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func zonesOf(a *txtar.Archive) map[string]string {
	zones := map[string]string{}
	for _, f := range a.Files {
		if apex, ok := strings.CutSuffix(f.Name, ".zone"); ok {
			zones[apex] = string(f.Data)
		}
	}
	return zones
}

// dialogue gives the questions and comments of text with the replies to them.
func dialogue(t *testing.T, b *bench, text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "#"), line == "\n":
			out.WriteString(line)
		case strings.HasPrefix(line, "> "):
			out.WriteString(line)
			m, tcp := parseWords(t, []byte(line[2:]))
			reply := b.ask(t, m, tcp)
			switch {
			case strings.HasSuffix(line, " counts\n"):
				out.WriteString(showKind(b.s.Response(pack(t, m))))
			case strings.HasSuffix(line, " slips\n"):
				n := b.Slip(pack(t, m), b.out[:], &b.s)
				out.WriteString(show(unpack(t, b.out[:n])))
			default:
				out.WriteString(show(reply))
			}
		}
	}
	return out.String()
}

func showKind(r ratelimit.Response) string {
	text := "  " + r.Class.String()
	if len(r.Name) > 0 {
		text += " " + rr.Name(r.Name).String()
	}
	if r.Wildcard {
		text += " wildcard"
	}
	if r.QType != 0 {
		text += " " + dns.Type(r.QType).String()
	}
	return text + "\n"
}

func parseWords(t testing.TB, line []byte) (m *dns.Msg, tcp bool) {
	t.Helper()
	words := strings.Fields(string(line))
	qtype, ok := dns.StringToType[words[1]]
	if !ok {
		n, err := strconv.ParseUint(strings.TrimPrefix(words[1], "TYPE"), 10, 16)
		if err != nil {
			t.Fatalf("type %s: %v", words[1], err)
		}
		qtype = uint16(n)
	}
	m = question(words[0], qtype)
	for _, w := range words[2:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "tcp":
			tcp = true
		case "counts", "slips":
		case "class":
			m.Question[0].Qclass = dns.StringToClass[value]
		default:
			edns(t, m, key, value)
		}
	}
	return m, tcp
}

func edns(t testing.TB, m *dns.Msg, key, value string) {
	t.Helper()
	if m.IsEdns0() == nil {
		m.SetEdns0(1232, false)
	}
	o := m.IsEdns0()
	switch key {
	case "edns":
	case "cookie":
		o.Option = append(o.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: value})
	case "do":
		o.SetDo()
	case "size":
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		o.SetUDPSize(uint16(n))
	case "nsid":
		o.Option = append(o.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	case "expire":
		o.Option = append(o.Option, &dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Empty: true})
	case "keepalive":
		o.Option = append(o.Option, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE})
	default:
		t.Fatalf("unknown word %q", key)
	}
}

// show gives a reply as text.
func show(m *dns.Msg) string {
	var out strings.Builder
	out.WriteString(dns.RcodeToString[m.Rcode])
	for _, f := range []struct {
		set  bool
		name string
	}{{m.Authoritative, "aa"}, {m.Truncated, "tc"}, {m.RecursionAvailable, "RA"}, {m.AuthenticatedData, "AD"}} {
		if f.set {
			out.WriteString(" " + f.name)
		}
	}
	out.WriteString("\n")
	for _, s := range []struct {
		name string
		rrs  []dns.RR
	}{{"an", m.Answer}, {"ns", m.Ns}, {"ar", m.Extra}} {
		for _, r := range s.rrs {
			if o, ok := r.(*dns.OPT); ok {
				out.WriteString(showOPT(o))
			} else {
				fmt.Fprintf(&out, "  %s %s\n", s.name, strings.ReplaceAll(r.String(), "\t", " "))
			}
		}
	}
	return out.String()
}

func showOPT(o *dns.OPT) string {
	s := fmt.Sprintf("  opt %d", o.UDPSize())
	if o.Do() {
		s += " do"
	}
	for _, e := range o.Option {
		s += fmt.Sprintf(" %d=%q", e.Option(), e)
	}
	return s + "\n"
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	question := ""
	for i := range min(len(w), len(g)) {
		if strings.HasPrefix(w[i], "> ") {
			question = w[i]
		}
		if w[i] != g[i] {
			return fmt.Sprintf("line %d after %q\nwant %s\ngot  %s", i+1, question, w[i], g[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}
