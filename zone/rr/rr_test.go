package rr

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestNameRoundTripKeepsRawOctets(t *testing.T) {
	for _, wire := range []string{
		"\x00", "\x03a.b\x00", "\x01\x00\x00", "\x02\\\\\x01\xff\x00", "\x05a b\"c\x00", "\x04\x7f\x80;(\x00",
	} {
		n := Name(wire)
		if !n.Valid() {
			t.Errorf("%q is not valid", wire)
		}
		back, err := ParseName(n.String())
		if err != nil || back != n {
			t.Errorf("%q -> %s -> %q, %v", wire, n, string(back), err)
		}
	}
}

func TestValid(t *testing.T) {
	long := strings.Repeat("\x3f"+strings.Repeat("a", 63), 3)
	for wire, want := range map[string]bool{
		"": false, "\x00": true, "\x01a": false, "\x01a\x00": true, "\x01a\x00x": false, "\x40" + strings.Repeat("a", 64) + "\x00": false,
		long + "\x3d" + strings.Repeat("b", 61) + "\x00": true, long + "\x3e" + strings.Repeat("b", 62) + "\x00": false, "\x05abc\x00": false,
	} {
		if got := Name(wire).Valid(); got != want {
			t.Errorf("%q: %v", wire, got)
		}
	}
}

func TestIsBelowOrEqual(t *testing.T) {
	apex := MustName("phones.example.")
	for name, want := range map[string]bool{
		"phones.example.": true, "1.PHONES.example.": true, "a.b.phones.example.": true, "example.": false,
		"xphones.example.": false, "phones.example.com.": false, ".": false,
	} {
		if got := MustName(name).IsBelowOrEqual(apex); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	// A label that ends like the apex is not below it.
	if Name("\x11abc\x06phones\x07exampl\x00").IsBelowOrEqual(Name("\x06phones\x07exampl\x00")) {
		t.Error("apex found inside a label")
	}
}

// TestCompare is the example of RFC 4034, section 6.1.
func TestCompare(t *testing.T) {
	order := []string{"example.", "a.example.", "yljkjljk.a.example.", "Z.a.example.", "zABC.a.EXAMPLE.", "z.example.", "\\001.z.example.", "*.z.example.", "\\200.z.example."}
	for i, x := range order {
		for j, y := range order {
			got := MustName(x).Compare(MustName(y))
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s %s: %d", x, y, got)
			}
		}
	}
}

func TestUnpackNameRefusesLoopsAndForwardPointers(t *testing.T) {
	for _, c := range []struct {
		msg  string
		off  int
		want error
	}{
		{"\xc0\x00", 0, ErrNamePointer},
		{"\x01a\xc0\x00", 0, ErrNamePointer},
		{"\xc0\x02\x00", 0, ErrNamePointer},
		{"\x00\x01a\xc0\x01", 1, ErrNamePointer},
		{"\x01a\xc0", 0, ErrNameTruncated},
		{"\x05ab", 0, ErrNameTruncated},
		{"", 0, ErrNameTruncated},
		{"\x41a\x00", 0, ErrNameLabel},
		{strings.Repeat("\x3f"+strings.Repeat("a", 63), 4) + "\x00", 0, ErrNameTooLong},
	} {
		if _, _, err := UnpackName([]byte(c.msg), c.off); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.msg, err, c.want)
		}
	}
	n, next, err := UnpackName([]byte("\x01a\x00\x01b\xc0\x00"), 3)
	if err != nil || next != 7 || n != Name("\x01b\x01a\x00") {
		t.Errorf("%q %d %v", n, next, err)
	}
}

// TestEqualData: RFC 4034, section 6.2 folds names inside rdata; text is not folded.
func TestEqualData(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"x. NS NS1.Example.", "x. NS ns1.example.", true},
		{"x. MX 10 A.example.", "x. MX 10 a.example.", true},
		{"x. MX 10 a.example.", "x. MX 20 a.example.", false},
		{"x. SRV 0 0 5060 A.example.", "x. SRV 0 0 5060 a.example.", true},
		{"x. NAPTR 1 1 \"U\" \"E2U+sip\" \"X\" A.example.", "x. NAPTR 1 1 \"U\" \"E2U+sip\" \"X\" a.example.", true},
		{"x. NAPTR 1 1 \"U\" \"E2U+sip\" \"X\" a.example.", "x. NAPTR 1 1 \"u\" \"E2U+sip\" \"X\" a.example.", false},
		{"x. SOA A. b. 1 2 3 4 5", "x. SOA a. B. 1 2 3 4 5", true},
		{`x. TXT "A"`, `x. TXT "a"`, false},
	} {
		x, y := parse(t, c.a), parse(t, c.b)
		if got := EqualData(x.Type, x.Data, y.Data); got != c.want {
			t.Errorf("%s = %s: %v", c.a, c.b, got)
		}
	}
}

func parse(t testing.TB, text string) RR {
	t.Helper()
	m, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	r, err := FromMiekg(m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEachMissing holds its rule for small and for large sets, which it treats differently.
func TestEachMissing(t *testing.T) {
	for _, n := range []int{3, 17, 3000} {
		s, o := RRset{Type: dns.TypeA}, RRset{Type: dns.TypeA}
		for i := range n {
			s.Data = append(s.Data, string([]byte{1, 2, byte(i >> 8), byte(i)}))
			o.Data = append(o.Data, string([]byte{1, 2, byte((i + 1) >> 8), byte(i + 1)}))
		}
		rand.Shuffle(n, func(i, j int) { s.Data[i], s.Data[j] = s.Data[j], s.Data[i] })
		var missing []string
		s.EachMissing(o, func(d string) { missing = append(missing, d) })
		if len(missing) != 1 || missing[0] != string([]byte{1, 2, byte(n >> 8), byte(n)}) {
			t.Errorf("%d: missing %x", n, missing)
		}
		if s.Equal(o) || !s.Equal(s) {
			t.Errorf("%d: Equal is wrong", n)
		}
	}
}

// TestSerialGreater is RFC 1982, section 3.2.
func TestSerialGreater(t *testing.T) {
	for _, c := range []struct {
		a, b uint32
		want bool
	}{{1, 0, true}, {0, 1, false}, {0, 1<<32 - 1, true}, {5, 5, false}, {1 << 31, 0, false}, {0, 1 << 31, false}, {1<<31 - 1, 0, true}} {
		if got := SerialGreater(c.a, c.b); got != c.want {
			t.Errorf("%d > %d: %v", c.a, c.b, got)
		}
	}
	if NextSerial(1<<32-1) != 1 {
		t.Error("serial 0 given out (RFC 2136, section 4.2)")
	}
}

func FuzzUnpackName(f *testing.F) {
	f.Add([]byte("\x01a\x00\x01b\xc0\x00"), 3)
	f.Add([]byte("\xc0\x00"), 0)
	f.Fuzz(func(t *testing.T, msg []byte, off int) {
		if off < 0 {
			return
		}
		n, next, err := UnpackName(msg, off)
		if err != nil {
			return
		}
		if !n.Valid() || next <= off || next > len(msg) {
			t.Fatalf("%q at %d of %q", n, next, msg)
		}
		if back, err := ParseName(n.String()); err != nil || back != n {
			t.Fatalf("%q -> %q -> %q", n, n.String(), back)
		}
	})
}

func FuzzUnpackData(f *testing.F) {
	for _, text := range []string{"x. SOA a. b. 1 2 3 4 5", "x. NAPTR 1 1 \"u\" \"E2U+sip\" \"X\" a.example.", "x. MX 1 a.", "x. TXT a b", "x. SVCB 1 . alpn=h2",
		"x. RRSIG A 8 1 1 20300101000000 20200101000000 1 a. AAAA", "x. A 1.2.3.4", `x. TYPE65280 \# 2 abcd`} {
		r := parse(f, text)
		f.Add(r.Type, []byte(r.Data), 0)
	}
	f.Fuzz(func(t *testing.T, typ uint16, msg []byte, off int) {
		if off < 0 || off > len(msg) {
			return
		}
		data, err := UnpackData(msg, off, len(msg)-off, typ)
		if err != nil {
			return
		}
		again, err := UnpackData([]byte(data), 0, len(data), typ)
		if err != nil || again != data {
			t.Fatalf("%s %x: unpacked again: %x, %v", TypeString(typ), data, again, err)
		}
		if !EqualData(typ, data, CanonicalData(typ, data)) {
			t.Fatalf("%s %x is not equal to its canonical form", TypeString(typ), data)
		}
		spans, n, _ := NamesIn(typ, data)
		for i := range n {
			if !Name(data[spans[i][0]:spans[i][1]]).Valid() {
				t.Fatalf("%s %x: name %d", TypeString(typ), data, i)
			}
		}
	})
}

// FuzzParseNameIn holds the short way of names without escapes to the long one.
func FuzzParseNameIn(f *testing.F) {
	label := strings.Repeat("a", 63)
	for _, text := range []string{"", ".", "..", "a", "a.", "A.b.", ".a", "a..b", "*", "a\\.b", "\\065", "a b", "\xe9", "a\x00",
		label, label + "a", strings.Repeat(label+".", 3) + label[:61], strings.Repeat(label+".", 4), strings.Repeat("a.", 127), strings.Repeat("a.", 128)} {
		f.Add(text, "phones.example.")
		f.Add(text, ".")
	}
	f.Fuzz(func(t *testing.T, text, origin string) {
		in, err := ParseName(origin)
		if err != nil {
			return
		}
		want, wrong := parseName(text)
		if wrong == nil && !dns.IsFqdn(text) {
			if want = want[:len(want)-1] + in; len(want) > MaxName {
				want, wrong = "", ErrNameTooLong
			}
		}
		got, err := ParseNameIn(text, in)
		if got != want || (err == nil) != (wrong == nil) || wrong == ErrNameTooLong && err != wrong {
			t.Fatalf("%q in %q is %q, %v; want %q, %v", text, origin, got, err, want, wrong)
		}
		if err == nil && !got.Valid() {
			t.Fatalf("%q in %q is no valid name: %x", text, origin, string(got))
		}
	})
}

// A name may have a pointer for each of its labels, in front of each and behind the last, and no more: the work that
// one takes is bounded by the longest name, whatever the message.
func TestUnpackNameBoundsPointers(t *testing.T) {
	// The root label, and pointers each to the one before it.
	msg := []byte{0}
	at := []int{0}
	for len(at) <= MaxLabels+2 {
		to := at[len(at)-1]
		at = append(at, len(msg))
		msg = append(msg, 0xc0|byte(to>>8), byte(to))
	}
	for pointers, off := range at {
		_, _, err := UnpackName(msg, off)
		if want := pointers > MaxLabels+1; errors.Is(err, ErrNamePointers) != want || !want && err != nil {
			t.Errorf("%d pointers: %v", pointers, err)
		}
	}
	// The longest name, each label of which was written once.
	msg, to := []byte{0}, 0
	for range MaxLabels {
		start := len(msg)
		msg = append(msg, 1, 'a', 0xc0|byte(to>>8), byte(to))
		to = start
	}
	msg = append(msg, 0xc0|byte(to>>8), byte(to))
	n, next, err := UnpackName(msg, len(msg)-2)
	if err != nil || next != len(msg) || n.CountLabels() != MaxLabels {
		t.Errorf("%d labels, %v", n.CountLabels(), err)
	}
}
