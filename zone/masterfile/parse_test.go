package masterfile

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

var apex = rr.MustName("phones.example.")

// head makes a zone whole; it has four lines.
const head = "$TTL 300\n@ SOA ns1 hostmaster 7 3600 900 604800 60\n@ NS ns1\nns1 A 192.0.2.53\n"

// owned is an RRset with its owner.
type owned struct {
	Owner rr.Name
	Set   rr.RRset
}

func parse(text string) ([]owned, []Problem) {
	c, problems := Parse(strings.NewReader(text), "z", apex, nil)
	return setsOf(c), problems
}

func setsOf(c *Content) (sets []owned) {
	for o := range c.All() {
		owner, set := o.Clone()
		sets = append(sets, owned{owner, set})
	}
	return sets
}

// records gives the sets as text, one record a line, without the head's.
func records(t *testing.T, text string) []string {
	t.Helper()
	sets, problems := parse(head + text)
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	return lineUp(sets[3:])
}

func lineUp(sets []owned) (out []string) {
	for _, o := range sets {
		for _, d := range o.Set.Data {
			out = append(out, strings.ReplaceAll(rr.RR{Owner: o.Owner, Type: o.Set.Type, TTL: o.Set.TTL, Data: d}.String(), "\t", " "))
		}
	}
	return out
}

func TestEntriesAreReadAsRFC1035Section5Says(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"relative", "a A 192.0.2.1\n", "a.phones.example. 300 IN A 192.0.2.1"},
		{"absolute", "a.phones.example. A 192.0.2.1\n", "a.phones.example. 300 IN A 192.0.2.1"},
		{"no newline at the end", "a A 192.0.2.1", "a.phones.example. 300 IN A 192.0.2.1"},
		{"crlf", "a A 192.0.2.1\r\n", "a.phones.example. 300 IN A 192.0.2.1"},
		{"ttl class", "a 60 IN A 192.0.2.1\n", "a.phones.example. 60 IN A 192.0.2.1"},
		{"class ttl", "a IN 1h30m A 192.0.2.1\n", "a.phones.example. 5400 IN A 192.0.2.1"},
		{"lower case words", "a in aaaa 2001:db8::1\n", "a.phones.example. 300 IN AAAA 2001:db8::1"},
		{"owner that looks like a type", "A A 192.0.2.1\n", "A.phones.example. 300 IN A 192.0.2.1"},
		{"owner that looks like a ttl", "5551234 A 192.0.2.1\n", "5551234.phones.example. 300 IN A 192.0.2.1"},
		{"blank owner", "a A 192.0.2.1\n\tAAAA 2001:db8::1\n", "a.phones.example. 300 IN A 192.0.2.1|a.phones.example. 300 IN AAAA 2001:db8::1"},
		{"comment", "; one\na A 192.0.2.1 ; two\n", "a.phones.example. 300 IN A 192.0.2.1"},
		{"parentheses", "a TXT ( \"x\" ; one\n\n  \"y;(\" )\n", `a.phones.example. 300 IN TXT "x" "y;("`},
		{"quotes beside each other", `a TXT "x""y"` + "\n", `a.phones.example. 300 IN TXT "x" "y"`},
		{"escaped semicolon", `a TXT x\;y` + "\n", `a.phones.example. 300 IN TXT "x;y"`},
		{"quote inside a field", `a HTTPS 1 . alpn="h2,h3" port=53` + "\n", `a.phones.example. 300 IN HTTPS 1 . alpn="h2,h3" port="53"`},
		{"origin", "$ORIGIN b\na A 192.0.2.1\n$ORIGIN c.b.phones.example.\n@ A 192.0.2.2\n", "a.b.phones.example. 300 IN A 192.0.2.1|c.b.phones.example. 300 IN A 192.0.2.2"},
		{"ttl directive", "$TTL 5\na A 192.0.2.1\nb 9 A 192.0.2.1\nc A 192.0.2.1\n", "a.phones.example. 5 IN A 192.0.2.1|b.phones.example. 9 IN A 192.0.2.1|c.phones.example. 5 IN A 192.0.2.1"},
		{"unknown type", `a TYPE65280 \# 3 abcdef` + "\n", `a.phones.example. 300 CLASS1 TYPE65280 \# 3 abcdef`},
		{"known type as unknown", `a TYPE1 \# 4 C000 0201` + "\n", "a.phones.example. 300 IN A 192.0.2.1"},
		{"duplicate in another case", "a CNAME NS1\na CNAME ns1\n", "a.phones.example. 300 IN CNAME NS1.phones.example."},
		{"generate", "$GENERATE 8-12/2 h${2,3,x}.$ 60 A 192.0.2.$\n", "h00a.8.phones.example. 60 IN A 192.0.2.8|h00c.10.phones.example. 60 IN A 192.0.2.10|h00e.12.phones.example. 60 IN A 192.0.2.12"},
		{"generate uses $TTL", "$GENERATE 1-1 h$ A 192.0.2.$\n", "h1.phones.example. 300 IN A 192.0.2.1"},
		{"generate with a dollar sign", `$GENERATE 1-1 h$ TXT \$$` + "\n", `h1.phones.example. 300 IN TXT "$1"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(records(t, c.text), "|"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// RFC 2181, section 11: labels are any octets.
func TestLabelsAreRawOctets(t *testing.T) {
	sets, problems := parse(head + `a\.b\\\000\255\ \;\" A 192.0.2.1` + "\n" + `\@ CNAME x\.y` + "\n")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if want := rr.Name("\x09a.b\\\x00\xff ;\"") + apex; sets[3].Owner != want {
		t.Errorf("owner %q, want %q", sets[3].Owner, want)
	}
	if want := rr.Name("\x01@") + apex; sets[4].Owner != want {
		t.Errorf("owner %q, want %q", sets[4].Owner, want)
	}
	if want := "\x03x.y" + string(apex); sets[4].Set.Data[0] != want {
		t.Errorf("target %q, want %q", sets[4].Set.Data[0], want)
	}
}

// RFC 1035, section 5.1: an omitted TTL is the last one stated; before there is
// any, the SOA's MINIMUM is taken.
func TestANameHasOneSpelling(t *testing.T) {
	c, problems := Parse(strings.NewReader(`$TTL 60
@ SOA a b 1 1 1 1 1
@ NS ns1
ns1 A 192.0.2.1
Phone A 192.0.2.2
phone TXT "x"
PHONE AAAA 2001:db8::1
other A 192.0.2.3
Other.PHONES.example. TXT "y"
`), "zone", rr.MustName("phones.Example."), nil)
	if Faulty(problems) {
		t.Fatal(problems)
	}
	var got []string
	for _, s := range setsOf(c)[3:] {
		got = append(got, s.Owner.String())
	}
	want := []string{"Phone.phones.Example.", "Phone.phones.Example.", "Phone.phones.Example.", "other.phones.Example.", "other.phones.Example."}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestTTLWithoutDirective(t *testing.T) {
	sets, problems := parse("@ SOA ns1 h 1 2 3 4 60\n@ NS ns1\nns1 90 A 192.0.2.1\nb A 192.0.2.1\n")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for i, want := range []uint32{60, 60, 90, 90} {
		if got := sets[i].Set.TTL; got != want {
			t.Errorf("record %d: TTL %d, want %d", i, got, want)
		}
	}
}

func TestProblems(t *testing.T) {
	long := strings.Repeat("x", 63)
	for _, c := range []struct{ name, text, want string }{
		{"no soa, no ns", "$TTL 1\na A 192.0.2.1\n", `z: there is no SOA record at phones.example.: a zone begins with one, as in "@ SOA ns1 hostmaster 1 3600 900 604800 60"|z: there is no NS record at phones.example.: name the zone's servers, as in "@ NS ns1"`},
		{"broken soa is not missing", "$TTL 1\n@ SOA ns1 h 1 2 3\n@ NS a\na A 192.0.2.1\n", `z:2: the data of the SOA record has 5 fields and not 7: write it as PRIMARY MAILBOX ( SERIAL REFRESH RETRY EXPIRE MINIMUM )`},
		{"two soas", head + "@ SOA ns1 hostmaster 8 3600 900 604800 60\n", "z:5: this is a second SOA record (the first is at line 2): remove one"},
		{"soa below", head + "b SOA ns1 hostmaster 8 3600 900 604800 60\n", "z:5: the SOA record is at b.phones.example., but only the zone's apex phones.example. may have one"},
		{"out of zone", head + "a.other.example. A 192.0.2.1\n", "z:5: a.other.example. is not in the zone phones.example.: remove the record, or take the final dot away if the name is meant to be below the zone"},
		{"no type", head + "a 192.0.2.1\n", `z:5: "192.0.2.1" is not a TTL: write seconds, as in 300, or units, as in 1h30m`},
		{"unknown word", head + "a IM A 192.0.2.1\n", `z:5: "IM" is no record type (such as A, AAAA or TXT), and no TTL or class: write "owner TTL type data"`},
		{"owner only", head + "a\n", `z:5: the record has no type: write "owner TTL type data"`},
		{"bad address", head + "a A 192.0.2.300\nb AAAA 192.0.2.1\nc A 192.0.2.1 2\n", `z:5: "192.0.2.300" is not an IPv4 address: an A record has one such as 192.0.2.1|z:6: "192.0.2.1" is not an IPv6 address: an AAAA record has one such as 2001:db8::1|z:7: "2" is too much: the data of A is one address`},
		{"no data", head + "a MX\n", "z:5: the MX record has no data: write it as PREFERENCE HOST"},
		{"too little data", head + "a SRV 1 2 ns1\n", `z:5: the data of the SRV record has an error at "ns1" (SRV Port): write it as PRIORITY WEIGHT PORT TARGET`},
		{"bad label", head + "a." + long + "x A 192.0.2.1\n", `z:5: "a.` + long + `x" is not a domain name: labels have 1 to 63 octets, names at most 255`},
		{"lost owner is one fault", head + "a..b A 192.0.2.1\n AAAA 2001:db8::1\n", `z:5: "a..b" is not a domain name: labels have 1 to 63 octets, names at most 255`},
		{"long relative name", head + strings.Repeat("abcdefg.", 31) + "a A 192.0.2.1\n", `z:5: "` + strings.Repeat("abcdefg.", 31) + `a" with the origin phones.example. behind it is longer than 255 octets`},
		{"no owner", "$TTL 1\n A 192.0.2.1\n" + head, "z:2: the line begins with white space, which repeats the owner before, but there is none: write the owner at the beginning of the line"},
		{"class", head + "a CH TXT x\n", "z:5: class CH is not served: only IN is"},
		{"meta type", head + "a ANY x\n", "z:5: ANY is a type of questions and messages that no zone can hold: remove the record"},
		{"ttl too large", head + "a 2147483648 A 192.0.2.1\n", "z:5: TTL 2147483648 is more than 2147483647 seconds"},
		{"no ttl", "@ NS ns1\n" + head, `z:1: the record has no TTL and there is no $TTL line before it: put "$TTL 300" at the top of the file`},
		{"cname and other data", head + "a CNAME b\na A 192.0.2.1\n", "z:6: a.phones.example. has a CNAME record (line 5) and so cannot have A as well: remove one"},
		{"cname and signature", head + "a CNAME b\na RRSIG CNAME 8 3 300 20300101000000 20200101000000 1 phones.example. AAAA\n", "z:6: warning: RRSIG records are kept and served as plain data: dialtone does not sign, and updates make them wrong"},
		{"two cnames", head + "a CNAME b\na CNAME c\n", "z:6: this is a second CNAME record for a.phones.example. (the first is at line 5): a name can have only one"},
		{"two dnames", head + "a DNAME b\na DNAME c\n", "z:6: this is a second DNAME record for a.phones.example. (the first is at line 5): a name can have only one"},
		{"dname and cname", head + "a CNAME b\na DNAME c\n", "z:6: a.phones.example. has a CNAME record (line 5) and so cannot have DNAME as well: remove one"},
		{"dname and ns", head + "a DNAME b\na NS ns1\n", "z:5: a.phones.example. has DNAME and NS records, which only the apex may: remove one"},
		{"wildcard dname", head + "*.a DNAME b\n", "z:5: a DNAME at the wildcard *.a.phones.example. has no defined meaning: remove it"},
		{"below dname", head + "a DNAME b\nx.a A 192.0.2.1\n", "z:6: warning: x.a.phones.example. is below the DNAME record of a.phones.example. and is never answered"},
		{"wildcard ns", head + "*.a NS ns1\n", "z:5: warning: an NS record at the wildcard *.a.phones.example. has no defined meaning"},
		{"hidden by a delegation", head + "a NS ns1\nx.a TXT x\n", "z:6: warning: x.a.phones.example. is in the part that a.phones.example. delegates: its TXT is never answered"},
		{"glue missing", head + "a NS ns.a\n", "z:5: warning: the name server ns.a.phones.example. is inside what a.phones.example. delegates and has no address here (glue): add an A or AAAA record for it"},
		{"useless ds", head + "a DS 1 8 2 " + strings.Repeat("00", 32) + "\n", "z:5: warning: the DS record at a.phones.example. is of no use: it belongs beside the NS records of a delegation"},
		{"ttls differ", head + "a 1 A 192.0.2.1\na 2 A 192.0.2.2\na 3 A 192.0.2.3\n", "z:6: warning: TTL 2 differs from TTL 1 of the same A RRset at line 5: 1 is used for all of it"},
		{"host without address", head + "a MX 1 mail\nb SRV 1 1 1 sip.phones.example.com\n", "z:5: warning: the host mail.phones.example. of the MX record has no address in this zone: add an A or AAAA record for it|z:6: warning: the host sip.phones.example.com.phones.example. of the SRV record has no address in this zone: add an A or AAAA record, or put a dot at the end of the name if it is complete as written"},
		{"host under a wildcard", head + "a MX 1 mail.w\n*.w A 192.0.2.1\n", ""},
		{"alias to the zone's name twice", head + "a CNAME ns1.phones.example\nb CNAME ns1\nc CNAME phones.example.\n", "z:5: warning: the target of the CNAME record is ns1.phones.example.phones.example.: put a dot at the end of the name if it is complete as written"},
		{"byte order mark", "\xef\xbb\xbf" + head, ""},
		{"host is an alias", head + "a MX 1 m\nm CNAME ns1\n", "z:5: warning: the host m.phones.example. of the MX record is an alias (CNAME): name the host itself"},
		{"quote", head + "a TXT \"x\nb A 192.0.2.1\n", `z:5: there is a " that is not closed on its line: close it, or write \" for the character itself`},
		{"open parenthesis", head + "a TXT ( x\nb A 192.0.2.1\n", "z:5: the ( that is opened here is never closed: add the )"},
		{"closing parenthesis", head + "a TXT x )\n", "z:5: there is a ) without a ( before it"},
		{"compressed name", head + `a TYPE2 \# 2 C00C` + "\n", `z:5: the octets behind \# are no data of type NS`},
		{"length of unknown data", head + `a TYPE65280 \# 3 ab` + "\n", `z:5: the data behind \# is not 3 octets in hex`},
		{"directive", head + "$TIME 3\n", `z:5: $TIME is not known: there are $ORIGIN, $TTL, $INCLUDE and $GENERATE (a name that begins with a dollar sign is written \$TIME)`},
		{"include outside", head + "$INCLUDE ../x\n", "z:5: $INCLUDE ../x: only files in the directory of this file or below it can be included"},
		{"generate range", head + "$GENERATE 1-70000 a$ A 192.0.2.1\n", "z:5: the range 1-70000 makes more than 65536 records: split it"},
		{"generate in error", head + "$GENERATE 255-257 a$ A 192.0.2.$\n", `z:5: $GENERATE at 256: "192.0.2.256" is not an IPv4 address: an A record has one such as 192.0.2.1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := parse(c.text)
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			if strings.Join(got, "|") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), c.want)
			}
		})
	}
}

func TestRRsetThatFitsNoMessageIsAFault(t *testing.T) {
	var b strings.Builder
	for i := range 4200 {
		fmt.Fprintf(&b, "a A 10.0.%d.%d\n", i/256, i%256)
	}
	_, problems := parse(head + b.String())
	if len(problems) != 1 || problems[0].Warning || !strings.Contains(problems[0].Text, "larger than 65000 octets") {
		t.Error(problems)
	}
}

func TestFaultsAreBoundedAndWarningsDoNotHideThem(t *testing.T) {
	var b strings.Builder
	for i := range 80 {
		fmt.Fprintf(&b, "m%d MX 1 none\n", i)
	}
	for range 70 {
		b.WriteString("a A x\n")
	}
	_, problems := parse(head + b.String())
	if len(problems) != maxProblems+1 || !Faulty(problems) {
		t.Fatalf("%d problems", len(problems))
	}
	if got := problems[maxProblems].String(); got != "z: and 20 more faults that are not shown: correct these first" {
		t.Error(got)
	}
}

func TestIncludeStaysInTheDirectoryAndGivesOriginAndOwnerBack(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("sub/one", "x A 192.0.2.1\nbad A y\n")
	write("self", "$INCLUDE self\n")
	zone := write("zone", head+"b A 192.0.2.2\n$INCLUDE sub/one c\n TXT b\n$INCLUDE none\n$INCLUDE self\n")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	c, problems := ParseFile(zone, apex, nil)
	got := lineUp(setsOf(c)[3:])
	want := []string{"b.phones.example. 300 IN A 192.0.2.2", "x.c.phones.example. 300 IN A 192.0.2.1", `b.phones.example. 300 IN TXT "b"`}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q", got)
	}
	var texts []string
	for _, p := range problems {
		texts = append(texts, strings.TrimPrefix(p.String(), dir+"/"))
	}
	for _, want := range []string{
		`sub/one:2: "y" is not an IPv4 address: an A record has one such as 192.0.2.1`,
		"zone:8: $INCLUDE none: no such file or directory",
		"self:1: $INCLUDE is nested more than 7 deep: does a file include itself?",
	} {
		if !strings.Contains(strings.Join(texts, "\n"), want) {
			t.Errorf("missing %q in %q", want, texts)
		}
	}
	_, problems = ParseFile(write("zone2", head+"$INCLUDE link\n"), apex, nil)
	if len(problems) != 1 || !strings.Contains(problems[0].Text, "$INCLUDE link") {
		t.Errorf("a link out of the directory was followed: %v", problems)
	}
}

func TestUnreadableFileIsAProblem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	_, problems := ParseFile(path, apex, nil)
	if len(problems) != 1 || problems[0].String() != path+": the zone file cannot be read: no such file or directory" {
		t.Error(problems)
	}
}

// wantSorted compares Sorted with All: the same RRsets, by owner and type.
func wantSorted(t *testing.T, c *Content) {
	t.Helper()
	want := setsOf(c)
	slices.SortFunc(want, func(a, b owned) int {
		return cmp.Or(a.Owner.Compare(b.Owner), cmp.Compare(a.Set.Type, b.Set.Type))
	})
	i := 0
	for o := range c.Sorted() {
		owner, set := o.Clone()
		if owner != want[i].Owner || !set.Equal(want[i].Set) {
			t.Fatalf("at %d: %s %v, want %s %v", i, owner, set, want[i].Owner, want[i].Set)
		}
		i++
	}
	if i != len(want) {
		t.Fatalf("%d RRsets in order, %d in all", i, len(want))
	}
}

// TestContentInOrder has names whose first octets are equal, that need the
// whole comparison, and that stand in no order.
func TestContentInOrder(t *testing.T) {
	var text strings.Builder
	text.WriteString(head)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		n := rnd.IntN(3000)
		switch rnd.IntN(4) {
		case 0:
			fmt.Fprintf(&text, "12345678%d A 192.0.2.1\n", n)
		case 1:
			fmt.Fprintf(&text, "x.%d.y%d TXT \"%d\"\n", n%7, n%50, i)
		case 2:
			fmt.Fprintf(&text, "Y%d AAAA 2001:db8::%x\n", n%50, i)
		case 3:
			fmt.Fprintf(&text, "%d TXT b%d\n%d A 10.0.0.1\na\\000.%d A 10.0.0.1\n", n, i, n, n)
		}
	}
	c, problems := Parse(strings.NewReader(text.String()), "z", apex, nil)
	if Faulty(problems) {
		t.Fatal(problems)
	}
	wantSorted(t, c)
	names, records := map[rr.Name]bool{}, 0
	for _, o := range setsOf(c) {
		names[o.Owner.Lower()] = true
		records += len(o.Set.Data)
	}
	if c.Names() != len(names) || c.Records() != records {
		t.Errorf("%d names and %d records, want %d and %d", c.Names(), c.Records(), len(names), records)
	}
	if serial, err := c.Serial(); serial != 7 || err != nil {
		t.Errorf("serial %d, %v", serial, err)
	}
}

// TestReadingMakesLittleGarbage bounds what a record costs while it is read,
// the text of its line included.
func TestReadingMakesLittleGarbage(t *testing.T) {
	var text strings.Builder
	text.WriteString(head)
	const count = 50_000
	for i := range count {
		fmt.Fprintf(&text, "%07d A 10.%d.%d.%d\n", i, i>>16, i>>8&255, i&255)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, problems := Parse(strings.NewReader(text.String()), "z", apex, nil)
	runtime.ReadMemStats(&after)
	if c.Sets() != count+3 || len(problems) > 0 {
		t.Fatal(c.Sets(), problems)
	}
	if got := (after.TotalAlloc - before.TotalAlloc) / count; got > 400 {
		t.Errorf("%d octets a record, want at most 400", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(head + "a A 192.0.2.1\n")
	f.Add(head + "$ORIGIN b\n*.a ( 60 ) IN TXT ( \"x;\" \\; y\n) ; c\n$GENERATE 1-3/2 h${1,2,o} CNAME a\\$$\n")
	f.Add(head + `a\.b\000 TYPE65280 \# 2 abcd` + "\n" + `a HTTPS 1 . alpn="h2"` + "\n")
	f.Add(head + "a NAPTR 1 1 \"u\" \"E2U+sip\" \"!^.*$!sip:x@y!\" .\na LOC 1 N 1 E 1m\na APL\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(strings.ToUpper(text), "GENERATE") && len(text) > 200 {
			return // makes many records, which is slow and nothing new
		}
		c, problems := Parse(strings.NewReader(text), "z", apex, nil)
		if Faulty(problems) {
			return
		}
		wantSorted(t, c)
		sets := setsOf(c)
		soas := 0
		for _, o := range sets {
			if !o.Owner.Valid() || !o.Owner.IsBelowOrEqual(apex) || len(o.Set.Data) == 0 || rr.IsMetaType(o.Set.Type) {
				t.Fatalf("%q %v", o.Owner, o.Set)
			}
			if o.Set.Type == dns.TypeSOA {
				soas += len(o.Set.Data)
			}
			for _, d := range o.Set.Data {
				if err := rr.ValidateData(o.Set.Type, d); err != nil {
					t.Fatalf("%s %s %x: %v", o.Owner, rr.TypeString(o.Set.Type), d, err)
				}
			}
		}
		if soas != 1 {
			t.Fatalf("%d SOA records and no fault", soas)
		}
	})
}

func BenchmarkParseMillionAddresses(b *testing.B) {
	var text strings.Builder
	text.WriteString(head)
	for i := range 1_000_000 {
		fmt.Fprintf(&text, "%07d A 10.%d.%d.%d\n", i, i>>16, i>>8&255, i&255)
	}
	b.ReportAllocs()
	for b.Loop() {
		if c, problems := Parse(strings.NewReader(text.String()), "z", apex, nil); c.Sets() != 1_000_003 || len(problems) > 0 {
			b.Fatal(c.Sets(), problems)
		}
	}
}
