package phone

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// MaxDigits is the most that a terminal number has (ITU-T E.164, section 6).
const MaxDigits = 15

// Number is a terminal number: 1 to 15 digits.
type Number string

// ParseNumber reads a number as people write it: "+44 20 7946 0148",
// "555-1234", "(02) 9876.5432" or "tel:+1-201-555-0123" (RFC 3966). An area
// code's zero in "+44 (0)20" is not dialled with a country code and is left out.
func ParseNumber(text string) (Number, error) {
	n, _, err := parseNumber(text)
	return n, err
}

// parseNumber tells also whether a + says that the number is an international one.
func parseNumber(text string) (n Number, international bool, err error) {
	bad := func(why string) (Number, bool, error) {
		return "", false, fmt.Errorf("%q is not a number: %s", text, why)
	}
	rest := strings.TrimSpace(text)
	if len(rest) >= 4 && strings.EqualFold(rest[:4], "tel:") {
		rest, _, _ = strings.Cut(rest[4:], ";") // parameters
	}
	rest, international = strings.CutPrefix(strings.TrimSpace(rest), "+")
	if international {
		rest = strings.Replace(rest, "(0)", "", 1)
	}
	digits := make([]byte, 0, MaxDigits)
	for _, c := range rest {
		switch {
		case '0' <= c && c <= '9':
			if len(digits) == MaxDigits {
				return bad(fmt.Sprintf("it has more than %d digits", MaxDigits))
			}
			digits = append(digits, byte(c))
		case strings.ContainsRune(" -./()\u00a0\u2010\u2011\u2013", c):
		case c == '+':
			return bad("a + stands at its beginning only")
		default:
			return bad(fmt.Sprintf("%q is neither a digit nor what stands between digits", c))
		}
	}
	if len(digits) == 0 {
		return bad("it has no digits")
	}
	return Number(digits), international, nil
}

// check finds what ParseNumber did not make.
func (n Number) check() error {
	if same, err := ParseNumber(string(n)); err != nil || same != n {
		return mistake("%q is not a number of 1 to %d digits", string(n), MaxDigits)
	}
	return nil
}

// Name is the domain name of the number in a zone, with a final dot.
func (n Number) Name(zone string) string {
	if zone = dns.Fqdn(zone); zone != "." {
		return string(n) + "." + zone
	}
	return string(n) + "."
}
