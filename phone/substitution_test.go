package phone

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSubstitute(t *testing.T) {
	const number = "+442079460148"
	for expression, want := range map[string]string{
		// RFC 6116, section 4, and the recipe of this project.
		`!^.*$!sip:x@y.example!`:                       "sip:x@y.example",
		`!^\+(.*)$!sip:\1@\1.phones.example!`:          "sip:442079460148@442079460148.phones.example",
		`!^\+?(.*)$!sip:\1@\1.phones.example!`:         "sip:442079460148@442079460148.phones.example",
		`!^[+]?(.*)$!sip:\1!`:                          "sip:442079460148",
		`!^(\+)(4)(4)(2)(0)(7)(9)(4)(6)!\9\8\1!`:       "64+",
		`!^\+44([0-9]{2})([[:digit:]]{4,})$!h:\2-\1!`:  "h:79460148-20",
		`!^(\+1|\+44)(.*)$!h:\2!`:                      "h:2079460148",
		`!(x)?4!h:\1\1!`:                               "h:", // a group without part in the match is empty
		`!46!h:x!`:                                     "h:x",
		`!!h:x!`:                                       "h:x",
		`!^A?.*$!h:x!i`:                                "h:x",
		`!^.*$!h:x!ii`:                                 "h:x",
		`/^.*$/mailto:a!b@c\/d/`:                       "mailto:a!b@c/d",
		`!^.*$!h:a\!b!`:                                "h:a!b",
		`a^.*$ah:\abca`:                                "h:abc",
		`|^\+44\|.*$|h:x|`:                             "", // the delimiter for itself is no alternative
		`(^.*\(?$(h:x(`:                                "h:x",
		"\xc3^.*$\xc3h:x\xc3":                          "h:x",
		`!^[\+]([0-9]+)$!h:\1!`:                        "h:442079460148",
		`!^[^]]([]0-9]+)$!h:\1!`:                       "h:442079460148",
		`!^[^\d]*$!h:x!`:                               "h:x", // RFC 3402 has POSIX: neither a backslash nor a d
		`![\]4!h:x!`:                                   "",    // a backslash, and then 4
		`!^[[:digit:][+-]+$!h:x!`:                      "h:x",
		`!^[+]([0-9]|[0-9][0-9])([0-9]*)$!h:\1-\2!`:    "h:4-42079460148", // POSIX has 44
		`!4{2,}!h:x!`:                                  "h:x",
		`!^[+]4{3}!h:x!`:                               "",
		`!^(\+44|\+4420)(.*)$!h:\2!`:                   "h:2079460148",
		`!^(((((((((([0-9+]*)*)*)*)*)*)*)*)*)*)x$!h:!`: "",
	} {
		got, err := substitute(expression, number)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "does not match +442079460148") {
				t.Errorf("%q: %q, %v", expression, got, err)
			}
			continue
		}
		if got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", expression, got, err, want)
		}
	}
}

func TestExpressionsThatAreNone(t *testing.T) {
	for expression, why := range map[string]string{
		"":                                       "no expression",
		"!":                                      `fewer than three '!'`,
		"!^.*$!h:x":                              `fewer than three '!'`,
		`!^.*$!h:x\!`:                            `fewer than three '!'`,
		"!^.*$!h:x!!":                            "more than three",
		"!^.*$!h:x!g":                            `flags "g"`,
		`!^.*$!h:x!\i`:                           "backslash",
		"i^.*$ih:xi":                             "delimited by 'i'",
		"1^.*$1h:x1":                             "delimited by '1'",
		`\^.*$\h:x\`:                             "delimited by",
		`!^.*$!h:x!i\`:                           "ends in a backslash",
		`!^x(.*)$!h:\2!`:                         `\2, its pattern 1 groups`,
		`!^(.*)$!h:\0!`:                          `backslash before '0'`,
		`!^(.*)$!h:\x!`:                          `backslash before 'x'`,
		`!^(.*)$!h:\\!`:                          `backslash before '\\'`,
		`!^(.)\1$!h:x!`:                          `\1, which POSIX leaves undefined`,
		`!^\d*$!h:x!`:                            `\d, which`,
		`!^.*?(?i)$!h:x!`:                        "its pattern",
		`!^(?:.*)$!h:x!`:                         "its pattern",
		`!^(.*$!h:x!`:                            "its pattern",
		`!^.{1001}$!h:x!`:                        "its pattern",
		`!((.{100}){100}){100}!h:x!`:             "its pattern",
		`!^(.?){1000}(.?){1000}(.?){1000}$!h:x!`: "repeats too much",
		`!((.{9}){9}){9}((.{9}){9}){9}((.{9}){9}){9}!h:x!`: "repeats too much",
		`![0-9!h:x!`:                           "[ without ]",
		`![!h:x!`:                              "[ without ]",
		`![]!h:x!`:                             "[ without ]",
		`![[=4=]]!h:x!`:                        "not supported",
		`![[.4.]]!h:x!`:                        "not supported",
		`![[:digit!h:x!`:                       "without :]",
		`![[:number:]]!h:x!`:                   "its pattern",
		"!\xff!h:x!":                           "its pattern",
		"!" + strings.Repeat("1", 252) + "!h!": "more than 255 octets",
	} {
		if got, err := substitute(expression, "+442079460148"); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %q, %v; want an error with %q", expression, got, err, why)
		}
	}
}

func FuzzSubstitute(f *testing.F) {
	for _, expression := range []string{`!^\+?(.*)$!sip:\1@\1.phones.example!`, `/[[:digit:]\]{2,}(x|y)*/h:\9\//i`, `![^]a-]!\1!`, `|\||x|`, "!(((.*)*)*)*{9}!!"} {
		f.Add(expression, "442079460148")
	}
	f.Fuzz(func(t *testing.T, expression, text string) {
		n, err := ParseNumber(text)
		if err != nil {
			return
		}
		uri, err := substitute(expression, string(n))
		if err != nil {
			return
		}
		// Each octet of the replacement gives itself or one group.
		if len(expression) > 255 || len(uri) > 255*MaxDigits {
			t.Fatalf("%q makes %d octets of %s", expression, len(uri), n)
		}
		if strings.Count(expression, expression[:1]) < 3 {
			t.Fatalf("%q is no expression", expression)
		}
		// Which delimiter there is does not matter.
		if !strings.ContainsAny(expression, "\\\x01") && utf8.ValidString(expression) && expression[0] < utf8.RuneSelf {
			other, err := substitute(strings.ReplaceAll(expression, expression[:1], "\x01"), string(n))
			if other != uri || err != nil {
				t.Fatalf("%q makes %q of %s, and with another delimiter %q, %v", expression, uri, n, other, err)
			}
		}
	})
}
