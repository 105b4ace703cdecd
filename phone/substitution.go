package phone

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// substitute applies the substitution expression of a NAPTR record: delimiter,
// pattern, delimiter, replacement, delimiter, flags (RFC 3402, section 3.2). The
// result is the replacement alone, whatever part of the number the pattern
// matches: that is how clients of ENUM do it.
//
// Patterns come from strangers. Go's engine takes time in proportion to pattern
// and number, an expression has at most 255 octets, and a number 16. Of POSIX
// extended regular expressions it does not have: collating symbols and
// equivalence classes ([.a.], [=a=]), counts whose repetition makes more than
// maxPattern of the pattern, and what POSIX leaves undefined, such as \d and
// back-references in the pattern; these are errors. Where a pattern can match the
// same digits in several ways, it takes the longest match as POSIX does, but among
// those not the one whose first group is longest: ^([0-9]|[0-9][0-9])([0-9]*)$
// gives the first group one digit here.
func substitute(expression, number string) (string, error) {
	pattern, replacement, err := splitExpression(expression)
	if err != nil {
		return "", err
	}
	if pattern, err = goPattern(pattern); err != nil {
		return "", err
	}
	tree, err := syntax.Parse(pattern, syntax.POSIX)
	if err != nil {
		return "", fmt.Errorf("its pattern: %w", err)
	}
	if repeated(tree) > maxPattern {
		return "", errors.New("its pattern repeats too much")
	}
	re, err := regexp.CompilePOSIX(pattern)
	if err != nil {
		return "", fmt.Errorf("its pattern: %w", err)
	}
	groups := re.FindStringSubmatch(number)
	var b strings.Builder
	for i := 0; i < len(replacement); i++ {
		c := replacement[i]
		if c != '\\' {
			b.WriteByte(c)
			continue
		}
		i++ // splitExpression has seen that a digit follows
		group := int(replacement[i] - '0')
		if group > re.NumSubexp() {
			return "", fmt.Errorf(`its replacement has \%d, its pattern %d groups`, group, re.NumSubexp())
		}
		if groups != nil {
			b.WriteString(groups[group])
		}
	}
	if groups == nil {
		return "", fmt.Errorf("its pattern does not match %s", number)
	}
	return b.String(), nil
}

// maxPattern bounds the parts that a pattern has with all repetitions written
// out. 24 times (.?){1000} would take a tenth of a second, this takes
// milliseconds; what a number needs is far below.
const maxPattern = 4096

func repeated(re *syntax.Regexp) int {
	parts := 1
	for _, sub := range re.Sub {
		parts += repeated(sub)
	}
	if re.Op == syntax.OpRepeat {
		parts *= max(re.Min, re.Max, 1)
	}
	return parts
}

// splitExpression gives pattern and replacement. In the replacement a backslash
// is left only where a digit from 1 to 9 follows.
func splitExpression(s string) (pattern, replacement string, err error) {
	if len(s) > 255 {
		return "", "", errors.New("its expression has more than 255 octets")
	}
	if s == "" {
		return "", "", errors.New("it has no expression")
	}
	delimiter := s[0]
	if delimiter == '\\' || delimiter == 'i' || '0' <= delimiter && delimiter <= '9' {
		return "", "", fmt.Errorf("its expression is delimited by %q", delimiter)
	}
	var parts [3][]byte // pattern, replacement, flags
	part := 0
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == delimiter:
			if part++; part == len(parts) {
				return "", "", fmt.Errorf("its expression has more than three %q", delimiter)
			}
			continue
		case c != '\\':
		case i+1 == len(s):
			return "", "", errors.New("its expression ends in a backslash")
		case s[i+1] == delimiter:
			// The delimiter for itself. One that means something in a pattern keeps the backslash.
			if i++; part == 0 && strings.IndexByte(`.[]()*+?{}|^$`, delimiter) >= 0 {
				parts[part] = append(parts[part], c)
			}
			c = delimiter
		case part == 0:
			parts[part] = append(parts[part], c)
			i++
			c = s[i]
		case part == 1 && '1' <= s[i+1] && s[i+1] <= '9':
		default:
			return "", "", fmt.Errorf(`its replacement has a backslash before %q: only \1 to \9 and the delimiter may be there`, s[i+1])
		}
		parts[part] = append(parts[part], c)
	}
	if part != len(parts)-1 {
		return "", "", fmt.Errorf("its expression has fewer than three %q", delimiter)
	}
	// Flag i: letters match in either case. A number has none, so there is nothing to do.
	if flags := string(parts[2]); strings.Trim(flags, "i") != "" {
		return "", "", fmt.Errorf("its expression has flags %q", flags)
	}
	return string(parts[0]), string(parts[1]), nil
}

// goPattern writes a POSIX extended regular expression as package regexp wants
// it: a backslash between brackets is a character like others.
func goPattern(ere string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(ere); i++ {
		c := ere[i]
		switch c {
		case '\\':
			if i++; isAlphanumeric(ere[i]) {
				return "", fmt.Errorf(`its pattern has \%c, which POSIX leaves undefined`, ere[i])
			}
			b.WriteByte(c)
			b.WriteByte(ere[i])
		case '[':
			end, err := bracket(&b, ere[i:])
			if err != nil {
				return "", err
			}
			i += end
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// bracket writes the bracket expression with which s begins, and gives where its
// last character is.
func bracket(b *strings.Builder, s string) (end int, err error) {
	first := 1
	if strings.HasPrefix(s, "[^") {
		first = 2
	}
	b.WriteString(s[:first])
	for i := first; i < len(s); i++ {
		switch rest := s[i:]; {
		case s[i] == ']' && i > first:
			b.WriteByte(']')
			return i, nil
		case strings.HasPrefix(rest, "[.") || strings.HasPrefix(rest, "[="):
			return 0, fmt.Errorf("its pattern has %s between brackets, which is not supported", rest[:2])
		case strings.HasPrefix(rest, "[:"):
			length := strings.Index(rest, ":]")
			if length < 0 {
				return 0, errors.New("its pattern has [: without :]")
			}
			b.WriteString(rest[:length+2])
			i += length + 1
		case s[i] == '\\' || s[i] == ']' || s[i] == '[':
			b.WriteByte('\\')
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return 0, errors.New("its pattern has [ without ]")
}

// isURI tells of a URI (RFC 3986, section 2): nothing in it can confuse a
// terminal or a log.
var isURI = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#@!$&'()*+,;=%\[\]-]+$`)
