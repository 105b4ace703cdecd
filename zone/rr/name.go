package rr

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/miekg/dns"
)

// MaxName is the largest owner name in octets, the root label included
// (RFC 1035, section 2.3.4).
const MaxName = 255

// MaxLabels is the largest number of labels of a name, the root label not
// counted: 127 labels of one octet and the root label make 255 octets.
const MaxLabels = 127

// Name is a domain name in uncompressed wire form, the root label included.
// Labels are raw octets (RFC 2181, section 11) in the case in which they were
// entered. The zero value is no name; Root is the shortest one.
type Name string

// Root is the name of the root.
const Root Name = "\x00"

// Errors of names in wire form.
var (
	ErrNameTruncated = errors.New("name runs past the end of the message")
	ErrNameTooLong   = errors.New("name is longer than 255 octets")
	ErrNamePointer   = errors.New("compression pointer does not point backwards")
	ErrNamePointers  = errors.New("name has more compression pointers than a name can have labels")
	ErrNameLabel     = errors.New("label type is not supported")
)

// ParseName reads a name in presentation format (RFC 1035, section 5.1). A
// missing final dot is added: every name here is absolute.
func ParseName(text string) (Name, error) { return ParseNameIn(text, Root) }

// ParseNameIn is ParseName for text that is relative to origin unless it ends
// in a dot (RFC 1035, section 5.1). The error is ErrNameTooLong when text alone
// would be a name.
func ParseNameIn(text string, origin Name) (Name, error) {
	var buf [MaxName]byte
	if n, ok := plainName(&buf, text, origin); ok {
		return Name(buf[:n]), nil
	}
	n, err := parseName(text)
	if err != nil || dns.IsFqdn(text) {
		return n, err
	}
	if n = n[:len(n)-1] + origin; len(n) > MaxName {
		return "", ErrNameTooLong
	}
	return n, nil
}

// plainName reads a name without escapes, as nearly all are, with one copy of
// it. What is no name is left to parseName.
func plainName(buf *[MaxName]byte, text string, origin Name) (n int, ok bool) {
	size, from := len(text)+1, 0
	switch {
	case text == "":
		return 0, false
	case text[len(text)-1] == '.':
		text, size, origin = text[:len(text)-1], size-1, Root
	}
	if size += len(origin); size > MaxName || text == "" {
		return 0, false
	}
	for i := 0; i <= len(text); i++ {
		switch {
		case i == len(text) || text[i] == '.':
			if i == from || i-from > 63 {
				return 0, false
			}
			buf[from] = byte(i - from)
			from = i + 1
		case text[i] == '\\':
			return 0, false
		default:
			buf[i+1] = text[i]
		}
	}
	return from + copy(buf[from:], origin), true
}

func parseName(text string) (Name, error) {
	if text == "" {
		return "", errors.New("empty name")
	}
	buf := make([]byte, MaxName+1)
	n, err := dns.PackDomainName(dns.Fqdn(text), buf, 0, nil, false)
	if err != nil || n > MaxName {
		return "", fmt.Errorf("%q is not a domain name: labels have 1 to 63 octets, names at most 255", text)
	}
	return Name(buf[:n]), nil
}

// MustName is ParseName for names known at compile time; it panics on others.
func MustName(text string) Name {
	n, err := ParseName(text)
	if err != nil {
		panic(err)
	}
	return n
}

// String gives the presentation format with the final dot, with octets that
// need it escaped.
func (n Name) String() string {
	if n == "" {
		return "<no name>"
	}
	s, _, err := dns.UnpackDomainName([]byte(n), 0)
	if err != nil {
		return fmt.Sprintf("<bad name %x>", string(n))
	}
	return s
}

// LogValue makes log lines show the presentation format.
func (n Name) LogValue() slog.Value { return slog.StringValue(n.String()) }

// Valid tells whether n is well-formed: labels of 1 to 63 octets, closed by
// the root label, at most 255 octets.
func (n Name) Valid() bool {
	if len(n) == 0 || len(n) > MaxName {
		return false
	}
	for i := 0; i < len(n); i += int(n[i]) + 1 {
		if n[i] > 63 {
			return false
		}
		if n[i] == 0 {
			return i == len(n)-1
		}
	}
	return false
}

// Lower folds ASCII capitals (RFC 4343, section 3). It returns n itself, and
// allocates nothing, when there are none.
func (n Name) Lower() Name { return Name(lowerASCII(string(n))) }

func lowerASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			LowerBytes(b[i:])
			return string(b)
		}
	}
	return s
}

// LowerBytes folds ASCII capitals in place. Label lengths are below 64 and so
// are never taken for a capital.
func LowerBytes(b []byte) {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
}

// EqualFold compares two names as RFC 4343, section 3 wants it.
func (n Name) EqualFold(o Name) bool { return EqualFold(n, o) }

// EqualFold compares octets with ASCII capitals folded.
func EqualFold[A, B ~string | ~[]byte](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		x, y := a[i], b[i]
		if x != y {
			if 'A' <= x && x <= 'Z' {
				x |= 0x20
			}
			if 'A' <= y && y <= 'Z' {
				y |= 0x20
			}
			if x != y {
				return false
			}
		}
	}
	return true
}

// CountLabels counts labels without the root label.
func (n Name) CountLabels() int {
	c := 0
	for i := 0; i < len(n) && n[i] != 0; i += int(n[i]) + 1 {
		c++
	}
	return c
}

// Parent drops the first label. The parent of the root is the root.
func (n Name) Parent() Name {
	if len(n) <= 1 {
		return Root
	}
	return n[int(n[0])+1:]
}

// IsWildcard tells whether the first label is a single asterisk
// (RFC 4592, section 2.1.1).
func (n Name) IsWildcard() bool { return len(n) >= 2 && n[0] == 1 && n[1] == '*' }

// IsBelowOrEqual tells whether n is apex or below it, case folded.
func (n Name) IsBelowOrEqual(apex Name) bool {
	d := len(n) - len(apex)
	if d < 0 || !EqualFold(n[d:], apex) {
		return false
	}
	for i := 0; i < d; i += int(n[i]) + 1 {
		if i+int(n[i])+1 > d {
			return false
		}
	}
	return true
}

// InZone tells whether owner, in wire form, is a well-formed name that is apex
// or below it. It allocates nothing.
func InZone(owner []byte, apex Name) bool {
	own := len(owner) - len(apex)
	if own < 0 || len(owner) > MaxName || !EqualFold(owner[own:], apex) {
		return false
	}
	i := 0
	for i < own && 0 < owner[i] && owner[i] < 64 {
		i += int(owner[i]) + 1
	}
	return i == own
}

// Relative gives the labels of n in front of apex, without a root label; ""
// for the apex itself. n must be apex or below it.
func (n Name) Relative(apex Name) string { return string(n[:len(n)-len(apex)]) }

// Compare orders names canonically: label by label from the right, as
// lower-case octets (RFC 4034, section 6.1).
func (n Name) Compare(o Name) int {
	var a, b [MaxLabels + 1]uint8
	la, lb := n.offsets(&a), o.offsets(&b)
	for la > 0 && lb > 0 {
		la, lb = la-1, lb-1
		x := n[int(a[la])+1 : int(a[la])+1+int(n[a[la]])]
		y := o[int(b[lb])+1 : int(b[lb])+1+int(o[b[lb]])]
		if c := strings.Compare(lowerASCII(string(x)), lowerASCII(string(y))); c != 0 {
			return c
		}
	}
	return la - lb
}

func (n Name) offsets(o *[MaxLabels + 1]uint8) int {
	c := 0
	for i := 0; i < len(n) && n[i] != 0 && c < MaxLabels; i += int(n[i]) + 1 {
		o[c] = uint8(i)
		c++
	}
	return c
}

// UnpackName reads a possibly compressed name at off of msg and returns the
// offset behind it. Pointers must point backwards (RFC 1035, section 4.1.4),
// and there may be one for each label and the root: chains of pointers to
// pointers, which nobody makes in good faith, would be work without end.
func UnpackName(msg []byte, off int) (Name, int, error) {
	var buf [MaxName]byte
	n, next, err := UnpackNameInto(msg, off, &buf)
	if err != nil {
		return "", 0, err
	}
	return Name(buf[:n]), next, nil
}

// UnpackNameInto is UnpackName into a buffer of the caller, without
// allocation. It returns the name's length and the offset behind it.
func UnpackNameInto(msg []byte, off int, buf *[MaxName]byte) (n, next int, err error) {
	next = -1
	limit, jumps := off, 0
	for {
		if off >= len(msg) {
			return 0, 0, ErrNameTruncated
		}
		c := int(msg[off])
		switch {
		case c == 0:
			if n+1 > MaxName {
				return 0, 0, ErrNameTooLong
			}
			buf[n] = 0
			if next < 0 {
				next = off + 1
			}
			return n + 1, next, nil
		case c < 64:
			if off+1+c > len(msg) {
				return 0, 0, ErrNameTruncated
			}
			if n+1+c > MaxName-1 {
				return 0, 0, ErrNameTooLong
			}
			n += copy(buf[n:], msg[off:off+1+c])
			off += 1 + c
		case c >= 0xC0:
			if off+2 > len(msg) {
				return 0, 0, ErrNameTruncated
			}
			to := (c&0x3F)<<8 | int(msg[off+1])
			if next < 0 {
				next = off + 2
			}
			// Each jump must land before the one before it started: no loops.
			if to >= limit {
				return 0, 0, ErrNamePointer
			}
			if jumps++; jumps > MaxLabels+1 {
				return 0, 0, ErrNamePointers
			}
			off, limit = to, to
		default:
			return 0, 0, ErrNameLabel
		}
	}
}
