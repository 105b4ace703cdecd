package keys

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"dialtone/update/tsig"
	"dialtone/zone/store"
)

// parse gives what a file holds, a line each.
func parse(t *testing.T, r io.Reader) (lines []string) {
	t.Helper()
	err := Parse(r, apex, func(l Line, err error) bool {
		var fault *LineError
		switch {
		case errors.As(err, &fault):
			lines = append(lines, fault.Error())
		case err != nil:
			t.Errorf("%T %v", err, err)
		default:
			lines = append(lines, fmt.Sprintf("%d %s %s %s", l.At, l.Number, l.Algorithm, l.Secret))
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestParse(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString([]byte{0xff, 0xff, 0xff}) // "////"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "\n  \n# comment\n// comment\n  // comment\n", nil},
		{"lines", "1 eA==\n2 hmac-sha512 eA== # comment\n\t3   HMAC-SHA1.  eA==\r\n4 " + secret, []string{"1 1 hmac-sha256 x", "2 2 hmac-sha512 x", "3 3 hmac-sha1 x", "4 4 hmac-sha256 \xff\xff\xff"}},
		{"tsig-keygen", "key \"5.phones.example\" {\n\talgorithm hmac-sha384;\n\tsecret \"eA==\";\n};\n6 eA==\n", []string{"1 5 hmac-sha384 x", "5 6 hmac-sha256 x"}},
		{"a line", `key 5.Phones.Example. { secret eA==; };`, []string{"1 5 hmac-sha256 x"}},
		{"apart", "key\n\"5.phones.example\"\n{\nsecret \"eA==\"; # }\n}\n", []string{"1 5 hmac-sha256 x"}},
		{"faults", "x eA==\n1234567890123456 eA==\n1 x y\n1 hmac-md5 eA==\n1 e\n1 \"\"\n1\n1 2 3 4\n1 " + base64.StdEncoding.EncodeToString(make([]byte, store.MaxPhoneSecret+1)) + "\n2 eA==", []string{
			`line 1: "x" is not a number of 1 to 15 digits`,
			`line 2: "1234567890123456" is not a number of 1 to 15 digits`,
			`line 3: number 1: algorithm "x" is not known: use hmac-sha256, or hmac-sha1, hmac-sha224, hmac-sha384, hmac-sha512`,
			`line 4: number 1: algorithm hmac-md5 is broken and not supported: use hmac-sha256, or hmac-sha1, hmac-sha224, hmac-sha384, hmac-sha512`,
			"line 5: number 1: the secret is not base64",
			"line 6: number 1: the secret is not base64",
			"line 7: it wants NUMBER [ALGORITHM] SECRET, or what tsig-keygen prints",
			"line 8: it wants NUMBER [ALGORITHM] SECRET, or what tsig-keygen prints",
			"line 9: number 1: the secret has 129 octets, at most 128 can be kept",
			"10 2 hmac-sha256 x",
		}},
		{"faults of keys", "key a.phones.example { secret eA==; };\nkey 1.other.example { secret eA==; };\nkey _sip.1.phones.example { secret eA==; };\nkey 1.phones.example { };\nkey 1..a { secret eA==; };\nkey {\n}\n", []string{
			"line 1: a.phones.example. is not the name of a number in phones.example.",
			"line 2: 1.other.example. is not the name of a number in phones.example.",
			"line 3: _sip.1.phones.example. is not the name of a number in phones.example.",
			"line 4: the key 1.phones.example. has no secret",
			`line 5: "1..a" is not a domain name: labels have 1 to 63 octets, names at most 255`,
			`line 6: this is no key: it wants key "NAME" { algorithm ...; secret "..."; };`,
		}},
		{"no end", "1 eA==\nkey 1.phones.example {\n", []string{"1 1 hmac-sha256 x", "line 2: the key that begins here has no end: }; is missing"}},
		{"long key", "key 1.phones.example {\n" + strings.Repeat("\n", maxBlock) + "1 eA==\n", []string{"line 1: the key that begins here has no end: }; is missing", "22 1 hmac-sha256 x"}},
		{"long line", "1 eA==\n" + strings.Repeat("x", 5*maxLine), []string{"1 1 hmac-sha256 x", "line 2: has more than 1024 octets: this is no file of keys"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text))} {
				if got := parse(t, r); !slices.Equal(got, c.want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
				}
			}
		})
	}
}

func TestParseStops(t *testing.T) {
	n := 0
	if err := Parse(strings.NewReader("1 eA==\nx\n2 eA==\n"), apex, func(Line, error) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	broken := errors.New("the disk")
	if err := Parse(iotest.ErrReader(broken), apex, func(Line, error) bool { return true }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"1 eA==\n# x\n2 hmac-sha1 eA==", "key \"5.phones.example\" {\n\talgorithm hmac-sha384;\n\tsecret \"eA==\";\n};\n", "key x {\nkey {}};"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + 1
		last := 0
		err := Parse(strings.NewReader(text), apex, func(l Line, err error) bool {
			var fault *LineError
			switch {
			case errors.As(err, &fault):
				l.At = fault.At
			case err != nil || len(l.Secret) == 0 || len(l.Secret) > store.MaxPhoneSecret || l.Algorithm.Size() == 0:
				t.Fatalf("%+v, %v", l, err)
			}
			if l.At < last || l.At < 1 || l.At > lines {
				t.Fatalf("line %d after %d of %d", l.At, last, lines)
			}
			last = l.At
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func (d *desk) importText(ctx context.Context, text string) (Imported, error) {
	return d.Import(ctx, admin, Import{Zone: "phones.example.", File: "f"}, strings.NewReader(text))
}

func TestImport(t *testing.T) {
	d := newDesk(t)
	d.revoke(Revoke{Zone: "phones.example.", Number: "3", Block: true})
	d.changed, d.audit = nil, nil
	var b strings.Builder
	const n = 2*store.MaxPhoneKeys + 7
	for i := range n {
		fmt.Fprintf(&b, "%d %s\n", i+1, base64.StdEncoding.EncodeToString([]byte(fmt.Sprint("secret ", i+1))))
	}
	text := strings.Replace(b.String(), "\n100 ", "\n", 1) // the configuration has that
	text = strings.Replace(text, "\nc2Vjc", "\n100100 c2Vjc", 1)
	for round := range 2 { // a second time changes nothing
		done, err := d.Import(t.Context(), admin, Import{Zone: "phones.example.", File: "f", Replace: true}, strings.NewReader(text))
		if err != nil || done.Keys != n {
			t.Fatalf("%+v, %v", done, err)
		}
		for _, number := range []string{"1", "3", "500", "501", fmt.Sprint(n)} {
			i, err := d.Show(t.Context(), admin, Show{Zone: "phones.example.", Number: number})
			generation := uint32(2) // the derived key was revoked by it
			if err != nil || i.Kind != KindKept || string(i.Secret) != "secret "+number || i.Generation != generation || !i.Changed.Equal(start) {
				t.Errorf("round %d: %s: %+v, %v", round, number, i, err)
			}
		}
		d.now = d.now.Add(1)
	}
	if len(d.changed) != 2*n || len(d.audit) != 2 || d.audit[0].Detail != fmt.Sprint(n, " keys of f") || d.audit[0].Action != "key import" || d.audit[0].Zone != "phones.example." {
		t.Errorf("%d changed, audit log %+v", len(d.changed), d.audit)
	}
}

func TestImportThatStops(t *testing.T) {
	d := newDesk(t)
	_, err := d.importText(t.Context(), "1 eA==\n2 e\n")
	wantMistake(t, err, "line 2: number 2: the secret is not base64")
	_, err = d.importText(t.Context(), "1 eA==\n100 eA==\n")
	wantMistake(t, err, "line 2: the key of 100 is in the configuration")
	if d.works("1.phones.example.") != d.derived("1", 1) || len(d.audit) != 0 {
		t.Error("something was imported")
	}
	var b strings.Builder
	for i := range store.MaxPhoneKeys + 1 {
		fmt.Fprintf(&b, "%d eA==\n", 1000+i)
	}
	_, err = d.importText(t.Context(), b.String()+"x\n")
	wantMistake(t, err, "or what tsig-keygen prints; 500 keys are imported, up to line 500: import the file again")
	if d.works("1000.phones.example.") != "x" || d.works("1500.phones.example.") != d.derived("1500", 1) || len(d.audit) != 1 {
		t.Errorf("not as it was told; audit log %+v", d.audit)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.importText(ctx, "1 eA==\n"); !errors.Is(err, context.Canceled) {
		t.Errorf("broken off: %v", err)
	}
	_, err = d.Import(t.Context(), admin, Import{Zone: "empty.example."}, strings.NewReader(""))
	wantMistake(t, err, "not in the data directory")
	cut := errors.New("the peer is gone")
	if _, err := d.Import(t.Context(), admin, Import{Zone: "phones.example."}, io.MultiReader(strings.NewReader("1 eA==\n"), iotest.ErrReader(cut))); !errors.Is(err, cut) {
		t.Errorf("an upload that is cut: %v", err)
	}
	if d.works("1.phones.example.") != d.derived("1", 1) {
		t.Error("something of it was imported")
	}
}

// Keys keep the number of their algorithm on disk.
func TestAlgorithmNumbersStay(t *testing.T) {
	for a, want := range map[tsig.Algorithm]uint8{tsig.HMACSHA1: 1, tsig.HMACSHA224: 2, tsig.HMACSHA256: 3, tsig.HMACSHA384: 4, tsig.HMACSHA512: 5} {
		if uint8(a) != want {
			t.Errorf("%s is %d, was %d", a, a, want)
		}
	}
}
