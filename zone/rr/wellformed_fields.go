package rr

import (
	"encoding/binary"
	"regexp"
	"strings"
	"unicode/utf8"
)

// naptrExpression finds the third string of a NAPTR, past order, preference,
// flags and services, and checks it.
func naptrExpression(data string) bool {
	off := 4
	for range 2 {
		if off >= len(data) {
			return false
		}
		off += 1 + int(data[off])
	}
	if off >= len(data) || off+1+int(data[off]) > len(data) {
		return false
	}
	return substitution(data[off+1 : off+1+int(data[off])])
}

// substitution checks a substitution expression: delimiter, pattern,
// delimiter, replacement, delimiter, flags (RFC 3402, section 3.2). Empty
// means that there is none.
func substitution(s string) bool {
	if s == "" {
		return true
	}
	delimiter := s[0]
	if delimiter == 0 || delimiter == '\\' || delimiter == 'i' || '0' <= delimiter && delimiter <= '9' {
		return false
	}
	var parts [3][]byte // pattern, replacement, flags
	part, groups := 0, byte(0)
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == 0, c == delimiter && part == 2:
			return false
		case c == delimiter:
			part++
			continue
		case part == 2 && c != 'i':
			return false
		case c == '\\':
			if i++; i == len(s) || s[i] == 0 {
				return false
			}
			if part == 1 && '0' <= s[i] && s[i] <= '9' {
				if s[i] == '0' {
					return false
				}
				groups = max(groups, s[i]-'0')
			}
			parts[part] = append(parts[part], c)
			c = s[i]
		}
		parts[part] = append(parts[part], c)
	}
	if part != 2 {
		return false
	}
	pattern, err := regexp.CompilePOSIX(string(parts[0]))
	return err == nil && int(groups) <= pattern.NumSubexp()
}

// serviceParameters checks what the parameters of SVCB and HTTPS say of each
// other: keys that are mandatory are there, in order and without "mandatory"
// itself (RFC 9460, section 8), and no-default-alpn has an alpn beside it
// (RFC 9460, section 7.1.1). Order and form are for wellFormed.
func serviceParameters(data string) bool {
	const mandatory, alpn, noDefaultALPN, dohPath = 0, 1, 2, 7
	rest, ok := afterName(data[2:])
	if !ok {
		return false
	}
	values := map[uint16]string{}
	for rest != "" {
		if len(rest) < 4 {
			return false
		}
		key, n := binary.BigEndian.Uint16([]byte(rest)), int(binary.BigEndian.Uint16([]byte(rest[2:])))
		if len(rest) < 4+n {
			return false
		}
		values[key], rest = rest[4:4+n], rest[4+n:]
	}
	protocols, there := values[alpn]
	if _, bare := values[noDefaultALPN]; bare && !there || there && !protocolList(protocols) {
		return false
	}
	// A path is a template with the variable dns (RFC 9461, section 5).
	if path, there := values[dohPath]; there && (!strings.HasPrefix(path, "/") || !strings.Contains(path, "{?dns}") || !utf8.ValidString(path)) {
		return false
	}
	list, there := values[mandatory]
	if there && list == "" {
		return false
	}
	last := uint16(mandatory)
	for ; list != ""; list = list[2:] {
		if len(list) < 2 {
			return false
		}
		key := binary.BigEndian.Uint16([]byte(list))
		if _, there := values[key]; !there || key <= last {
			return false
		}
		last = key
	}
	return true
}

// protocolList checks that there is a protocol, and that each has a name
// (RFC 9460, section 7.1.1).
func protocolList(list string) bool {
	if list == "" {
		return false
	}
	for list != "" {
		n := 1 + int(list[0])
		if n == 1 || n > len(list) {
			return false
		}
		list = list[n:]
	}
	return true
}

// location checks the ranges of a LOC (RFC 1876, section 2).
func location(data string) bool {
	if data[0] != 0 {
		return false // another version has another form
	}
	for _, c := range []byte(data[1:4]) { // size and precisions: base and exponent
		if c != 0 && (c>>4 < 1 || c>>4 > 9 || c&0xf > 9) {
			return false
		}
	}
	const middle, degree = 1 << 31, 3600 * 1000
	latitude := int64(binary.BigEndian.Uint32([]byte(data[4:]))) - middle
	longitude := int64(binary.BigEndian.Uint32([]byte(data[8:]))) - middle
	return -90*degree <= latitude && latitude <= 90*degree && -180*degree <= longitude && longitude <= 180*degree
}
