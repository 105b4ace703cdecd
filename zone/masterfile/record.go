package masterfile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// scope is what a file, or an included file, has of its own: the origin and
// the owner before go back to their values at the end of an $INCLUDE.
type scope struct {
	p      *parser
	name   string // path of the file
	number int32
	depth  int // of $INCLUDE

	origin rr.Name
	owner  rr.Name // of the entry before; "" when there is none
	lost   bool    // the owner before could not be read
}

// file reads all entries of one file.
func (p *parser) file(r io.Reader, name string, origin rr.Name, depth int) {
	s := &scope{p: p, name: name, number: int32(len(p.files)), depth: depth, origin: origin}
	p.files = append(p.files, name)
	lex := newLexer(r)
	var e entry
	for {
		err := lex.next(&e)
		if err == io.EOF {
			return
		}
		at := place{s.number, int32(e.line)}
		switch {
		case e.problem != "":
			p.problems.fault(at, "%s", e.problem)
			s.breakTypes(e.fields)
		case err == nil:
			s.entry(at, &e)
		}
		if err != nil {
			if err != errStop {
				p.problems.fault(place{s.number, 0}, "the file cannot be read to its end: %s", plainError(err))
			}
			return
		}
	}
}

// entry takes a directive or a record.
func (s *scope) entry(at place, e *entry) {
	var err error
	if !e.blank && strings.HasPrefix(e.fields[0], "$") {
		err = s.directive(at, e.fields)
	} else {
		err = s.record(at, e)
	}
	if err != nil {
		s.p.problems.fault(at, "%s", err)
		s.breakTypes(e.fields)
	}
}

// breakTypes notes which types an unreadable entry may have had, so that the
// zone's check does not report them as missing as well.
func (s *scope) breakTypes(fields []string) {
	for _, f := range fields[:min(len(fields), 4)] {
		if t, ok := parseType(f); ok {
			s.p.broken[t] = true
		}
	}
	s.p.broken[dns.TypeNone] = true
}

// record reads [owner] [TTL] [class] type data; TTL and class in either order.
func (s *scope) record(at place, e *entry) error {
	fields := e.fields
	if !e.blank {
		s.lost = true
		owner, err := s.absolute(fields[0])
		if err != nil {
			return err
		}
		s.owner, s.lost, fields = owner, false, fields[1:]
	}
	switch {
	case s.lost:
		s.breakTypes(fields)
		return nil // reported at the owner
	case s.owner == "":
		return errors.New("the line begins with white space, which repeats the owner before, but there is none: write the owner at the beginning of the line")
	}
	h, data, err := parseHeader(fields)
	if err != nil {
		return err
	}
	if rr.IsMetaType(h.t) {
		return fmt.Errorf("%s is a type of questions and messages that no zone can hold: remove the record", rr.TypeString(h.t))
	}
	wire, err := s.data(h.t, data)
	if err != nil {
		return err
	}
	ttl := h.ttl
	if !h.hasTTL {
		if ttl, err = s.p.defaultTTL(h.t, wire); err != nil {
			return err
		}
	}
	if !s.p.ttlFixed {
		s.p.ttl, s.p.ttlKnown = ttl, true
	}
	s.p.add(at, rr.RR{Owner: s.owner, Type: h.t, TTL: ttl, Data: wire})
	return nil
}

type header struct {
	ttl    uint32
	hasTTL bool
	t      uint16
}

func parseHeader(fields []string) (h header, rest []string, err error) {
	hasClass := false
	for i, f := range fields {
		if t, ok := parseType(f); ok {
			h.t = t
			return h, fields[i+1:], nil
		}
		if class, ok := parseClass(f); ok && !hasClass {
			if class != dns.ClassINET {
				return h, nil, fmt.Errorf("class %s is not served: only IN is", f)
			}
			hasClass = true
			continue
		}
		if '0' <= f[0] && f[0] <= '9' && !h.hasTTL {
			if h.ttl, err = parseTTL(f); err != nil {
				return h, nil, err
			}
			h.hasTTL = true
			continue
		}
		return h, nil, fmt.Errorf("%q is no record type (such as A, AAAA or TXT), and no TTL or class: write \"owner TTL type data\"", f)
	}
	return h, nil, errors.New("the record has no type: write \"owner TTL type data\"")
}

func parseType(f string) (uint16, bool) {
	if t, ok := dns.StringToType[f]; ok {
		return t, t != dns.TypeNone
	}
	up := strings.ToUpper(f)
	if n, ok := strings.CutPrefix(up, "TYPE"); ok {
		t, err := strconv.ParseUint(n, 10, 16)
		return uint16(t), err == nil && t != 0
	}
	t, ok := dns.StringToType[up]
	return t, ok && t != dns.TypeNone
}

func parseClass(f string) (uint16, bool) {
	up := strings.ToUpper(f)
	if n, ok := strings.CutPrefix(up, "CLASS"); ok {
		c, err := strconv.ParseUint(n, 10, 16)
		return uint16(c), err == nil
	}
	c, ok := dns.StringToClass[up]
	return c, ok
}

// parseTTL reads seconds, or numbers with the units s, m, h, d and w.
func parseTTL(f string) (uint32, error) {
	var sum, n uint64
	digits := false
	for _, c := range strings.ToLower(f) {
		if '0' <= c && c <= '9' {
			n, digits = n*10+uint64(c-'0'), true
		} else if unit := strings.IndexRune("smhdw", c); unit >= 0 && digits {
			sum, n, digits = sum+n*[...]uint64{1, 60, 3600, 86400, 604800}[unit], 0, false
		} else {
			return 0, fmt.Errorf("%q is not a TTL: write seconds, as in 300, or units, as in 1h30m", f)
		}
		if sum+n > 1<<40 {
			break
		}
	}
	// RFC 2181, section 8.
	if sum+n > 1<<31-1 {
		return 0, fmt.Errorf("TTL %s is more than 2147483647 seconds", f)
	}
	return uint32(sum + n), nil
}

// absolute reads a name in presentation format; one without a final dot is
// relative to the origin.
func (s *scope) absolute(text string) (rr.Name, error) {
	if text == "@" {
		return s.origin, nil
	}
	if strings.HasPrefix(text, `"`) {
		return "", fmt.Errorf("%s is quoted where a name should be", text)
	}
	n, err := rr.ParseNameIn(text, s.origin)
	if errors.Is(err, rr.ErrNameTooLong) {
		return "", fmt.Errorf("%q with the origin %s behind it is longer than 255 octets", text, s.origin)
	}
	return n, err
}

// data reads the data of a record into wire form.
func (s *scope) data(t uint16, fields []string) (string, error) {
	switch {
	case len(fields) == 0 && t != dns.TypeAPL:
		return "", fmt.Errorf("the %s record has no data%s", rr.TypeString(t), formOf(t))
	case len(fields) > 0 && fields[0] == `\#`:
		return generic(t, fields[1:])
	case t == dns.TypeA || t == dns.TypeAAAA:
		return address(t, fields)
	case t == dns.TypeSOA && len(fields) != 7: // the library takes missing ones for 0
		return "", fmt.Errorf("the data of the SOA record has %d fields and not 7%s", len(fields), formOf(t))
	}
	return s.general(t, fields)
}

func address(t uint16, fields []string) (string, error) {
	a, err := netip.ParseAddr(fields[0])
	switch {
	case len(fields) > 1:
		return "", fmt.Errorf("%q is too much: the data of %s is one address", fields[1], rr.TypeString(t))
	case t == dns.TypeA && err == nil && a.Is4():
		b := a.As4()
		return string(b[:]), nil
	case t == dns.TypeA:
		return "", fmt.Errorf("%q is not an IPv4 address: an A record has one such as 192.0.2.1", fields[0])
	case err == nil && a.Is6() && a.Zone() == "":
		b := a.As16()
		return string(b[:]), nil
	}
	return "", fmt.Errorf("%q is not an IPv6 address: an AAAA record has one such as 2001:db8::1", fields[0])
}

// generic reads \# LENGTH HEX (RFC 3597, section 5), which any type may use.
func generic(t uint16, fields []string) (string, error) {
	if len(fields) == 0 {
		return "", errors.New(`\# is followed by a length and that many octets in hex, as in \# 4 C0000201`)
	}
	data, err := hex.DecodeString(strings.Join(fields[1:], ""))
	if n, errN := strconv.Atoi(fields[0]); err != nil || errN != nil || n != len(data) {
		return "", fmt.Errorf(`the data behind \# is not %s octets in hex`, fields[0])
	}
	if wellFormed(t, string(data)) != nil {
		return "", fmt.Errorf(`the octets behind \# are no data of type %s`, rr.TypeString(t))
	}
	return string(data), nil
}

// general lets github.com/miekg/dns read the data.
func (s *scope) general(t uint16, fields []string) (string, error) {
	line := ". 0 IN " + rr.TypeString(t) + " " + strings.Join(fields, " ") + "\n"
	zp := dns.NewZoneParser(strings.NewReader(line), s.origin.String(), "")
	m, ok := zp.Next()
	if !ok {
		return "", dataError(t, zp.Err())
	}
	r, err := rr.FromMiekg(m)
	if err == nil {
		err = wellFormed(t, r.Data)
	}
	if err != nil {
		return "", dataError(t, err)
	}
	return r.Data, nil
}

// wellFormed checks data in wire form; names in it must not be compressed.
func wellFormed(t uint16, data string) error {
	if err := rr.ValidateData(t, data); err != nil {
		return err
	}
	spans, n, _ := rr.NamesIn(t, data)
	for i := range n {
		if !rr.Name(data[spans[i][0]:spans[i][1]]).Valid() {
			return rr.ErrRData
		}
	}
	return nil
}

// miekgText takes the reason and the word out of the library's message.
var miekgText = regexp.MustCompile(`^dns: (?:bad )?(.*): ("(?:[^"\\]|\\.)*") at line: \d+:\d+$`)

func dataError(t uint16, err error) error {
	what := "is not well-formed"
	if err == nil {
		err = rr.ErrRData
	}
	if m := miekgText.FindStringSubmatch(err.Error()); m != nil {
		if what = "has an error at " + m[2]; m[2] == `"\n"` || m[2] == `""` {
			what = "is not complete"
		}
		what += " (" + m[1] + ")"
	}
	return fmt.Errorf("the data of the %s record %s%s", rr.TypeString(t), what, formOf(t))
}

// formOf shows how the data of a type is written.
func formOf(t uint16) string {
	form := ""
	switch t {
	case dns.TypeA:
		form = "192.0.2.1"
	case dns.TypeAAAA:
		form = "2001:db8::1"
	case dns.TypeNS, dns.TypeCNAME, dns.TypeDNAME, dns.TypePTR:
		form = "NAME"
	case dns.TypeMX:
		form = "PREFERENCE HOST"
	case dns.TypeSOA:
		form = "PRIMARY MAILBOX ( SERIAL REFRESH RETRY EXPIRE MINIMUM )"
	case dns.TypeSRV:
		form = "PRIORITY WEIGHT PORT TARGET"
	case dns.TypeTXT:
		form = `"TEXT"`
	case dns.TypeNAPTR:
		form = `ORDER PREFERENCE "FLAGS" "SERVICE" "REGEXP" REPLACEMENT`
	case dns.TypeCAA:
		form = `FLAGS TAG "VALUE"`
	case dns.TypeDS:
		form = "KEYTAG ALGORITHM DIGESTTYPE DIGEST"
	case dns.TypeSVCB, dns.TypeHTTPS:
		form = "PRIORITY TARGET [KEY=VALUE ...]"
	case dns.TypeSSHFP:
		form = "ALGORITHM TYPE FINGERPRINT"
	case dns.TypeTLSA:
		form = "USAGE SELECTOR MATCHING DATA"
	}
	if form == "" {
		return ""
	}
	return ": write it as " + form
}
