package phone

import (
	"strings"
	"testing"
)

func TestNumbersAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]Number{
		"5551234":                      "5551234",
		"+44 20 7946 0148":             "442079460148",
		"+44 (0)20 7946 0148":          "442079460148",
		"555-1234":                     "5551234",
		"(02) 9876.5432":               "0298765432",
		"tel:+1-201-555-0123;ext=5":    "12015550123",
		"TEL:7042;phone-context=x.org": "7042",
		"555\u20111234":                "5551234",
		" 7 ":                          "7",
		"123456789012345":              "123456789012345",
		"(0)20":                        "020",
	} {
		if got, err := ParseNumber(text); got != want || err != nil {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	for text, why := range map[string]string{
		"": "no digits", "+": "no digits", "tel:": "no digits", "555-CALL": `'C'`, "1+2": "beginning", "1234567890123456": "more than 15",
		"sip:5551234@x": `'s'`, "*": `'*'`, "1_2": `'_'`, "55\n5": `'\n'`, "٣": "neither", "5551234.phones.example": `'p'`,
		strings.Repeat("1", 1<<16): "more than 15",
	} {
		if got, err := ParseNumber(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.40q is %q, %v; want an error with %q", text, got, err, why)
		}
	}
	for zone, want := range map[string]string{"phones.example": "7.phones.example.", "phones.example.": "7.phones.example.", ".": "7."} {
		if got := Number("7").Name(zone); got != want {
			t.Errorf("in %s it is %s, want %s", zone, got, want)
		}
	}
}

func FuzzParseNumber(f *testing.F) {
	for _, text := range []string{"+44 20", "tel:1;x", "(0)", "\xff", "a"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseNumber(text)
		if err != nil {
			return
		}
		if len(n) == 0 || len(n) > MaxDigits || strings.Trim(string(n), "0123456789") != "" {
			t.Fatalf("%q is %q", text, n)
		}
		if again, err := ParseNumber(string(n)); again != n || err != nil {
			t.Fatalf("%q is %q, which is %q, %v", text, n, again, err)
		}
	})
}
