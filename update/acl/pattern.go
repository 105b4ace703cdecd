package acl

import (
	"fmt"

	"dialtone/zone/rr"
)

// pattern is a name whose labels may hold wildcards.
type pattern [][]token

// token is an octet, lower case, or one of the two below.
type token uint16

const (
	anyOctet  token = 256 + iota // "?"
	anyOctets                    // "*"
)

// parsePattern reads a pattern in presentation format. A backslash takes the
// wildcard meaning from what follows it.
func parsePattern(apex rr.Name, text string) (pattern, error) {
	bad := func(why string) (pattern, error) { return nil, fmt.Errorf("%q is not a pattern: %s", text, why) }
	var p pattern
	var label []token
	absolute := text == "."
	for i := 0; i < len(text) && !absolute; i++ {
		c := text[i]
		switch {
		case c == '\\':
			t, width, ok := escape(text[i+1:])
			if !ok {
				return bad("a backslash stands before three digits up to 255 or one other character")
			}
			label, i = append(label, t), i+width
		case c == '.':
			if len(label) == 0 {
				return bad("a label is empty")
			}
			p, label = append(p, label), nil
			absolute = i == len(text)-1
		case c == '?':
			label = append(label, anyOctet)
		case c == '*':
			label = append(label, anyOctets)
		default:
			label = append(label, token(lower(c)))
		}
	}
	if len(label) > 0 {
		p = append(p, label)
	}
	if text == "" {
		return bad("it is empty")
	}
	if !absolute {
		p = appendName(p, apex)
	}
	return p, p.check(text)
}

// check refuses patterns that no name can fit.
func (p pattern) check(text string) error {
	size := 1
	for _, label := range p {
		n := 0
		for _, t := range label {
			if t != anyOctets {
				n++
			}
		}
		if n > 63 {
			return fmt.Errorf("%q fits no name: labels have at most 63 octets", text)
		}
		size += 1 + max(n, 1)
	}
	if size > rr.MaxName {
		return fmt.Errorf("%q fits no name: names have at most 255 octets", text)
	}
	return nil
}

// escape reads what follows a backslash (RFC 1035, section 5.1).
func escape(s string) (t token, width int, ok bool) {
	if s == "" {
		return 0, 0, false
	}
	if s[0] < '0' || s[0] > '9' {
		return token(lower(s[0])), 1, true
	}
	v := 0
	for i := range 3 {
		if i >= len(s) || s[i] < '0' || s[i] > '9' {
			return 0, 0, false
		}
		v = 10*v + int(s[i]-'0')
	}
	return token(lower(byte(v))), 3, v <= 255
}

func appendName(p pattern, n rr.Name) pattern {
	for ; len(n) > 1; n = n.Parent() {
		label := make([]token, n[0])
		for i := range label {
			label[i] = token(lower(n[1+i]))
		}
		p = append(p, label)
	}
	return p
}

// fits compares label by label.
func (p pattern) fits(n rr.Name) bool {
	for _, label := range p {
		if len(n) <= 1 || !fitsLabel(label, string(n[1:1+n[0]])) {
			return false
		}
		n = n.Parent()
	}
	return len(n) == 1
}

// fitsLabel goes back to the last "*" only: its work is bounded by the product
// of the two lengths.
func fitsLabel(p []token, s string) bool {
	i, j, star, from := 0, 0, -1, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == anyOctets:
			star, from = i, j
			i++
		case i < len(p) && (p[i] == anyOctet || p[i] == token(lower(s[j]))):
			i, j = i+1, j+1
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(p) && p[i] == anyOctets {
		i++
	}
	return i == len(p)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
