package masterfile

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// Writer writes a zone as a master file that this package and other servers read.
// Owners are relative to the zone where that is plain; each record has its TTL
// and class. What the other servers may not know by its name is written in the
// form that is good for any type (RFC 3597, section 5).
type Writer struct {
	w       *bufio.Writer
	apex    rr.Name
	line    []byte
	Records int // written
}

// NewWriter begins with directives, and with a comment unless that is empty.
func NewWriter(w io.Writer, apex rr.Name, ttl uint32, comment string) *Writer {
	x := &Writer{w: bufio.NewWriterSize(w, 64<<10), apex: apex}
	if comment != "" {
		fmt.Fprintf(x.w, "; %s\n", strings.Join(strings.Fields(comment), " "))
	}
	fmt.Fprintf(x.w, "$ORIGIN %s\n$TTL %d\n", apex, ttl)
	return x
}

// Add writes an RRset. The caller sees to the order: some servers want the SOA
// record first.
func (x *Writer) Add(o *rr.Octets) error {
	x.line = appendOwner(x.line[:0], o.Owner, x.apex)
	x.line = append(x.line, '\t')
	x.line = strconv.AppendUint(x.line, uint64(o.TTL), 10)
	x.line = append(x.line, "\tIN\t"...)
	head := len(x.line)
	for _, d := range o.Data {
		x.line = append(appendData(x.line[:head], o.Type, d), '\n')
		if _, err := x.w.Write(x.line); err != nil {
			return err
		}
		x.Records++
	}
	return nil
}

// Flush writes what is left.
func (x *Writer) Flush() error { return x.w.Flush() }

// Line gives one record as a line without its end.
func Line(r *rr.RR, apex rr.Name) string {
	b := append(appendOwner(nil, []byte(r.Owner), apex), ' ')
	b = append(strconv.AppendUint(b, uint64(r.TTL), 10), " IN "...)
	return strings.ReplaceAll(string(appendData(b, r.Type, []byte(r.Data))), "\t", " ")
}

// appendOwner writes a name relative to the apex. Octets that are more than letters,
// digits and what numbers and services have are written as \DDD, which all servers
// read: what else they want escaped differs.
func appendOwner(b, owner []byte, apex rr.Name) []byte {
	rel := owner[:len(owner)-len(apex)]
	if len(rel) == 0 {
		return append(b, '@')
	}
	for i := 0; i < len(rel); i += int(rel[i]) + 1 {
		if i > 0 {
			b = append(b, '.')
		}
		for _, c := range rel[i+1 : i+1+int(rel[i])] {
			if isPlain(c) {
				b = append(b, c)
			} else {
				b = append(b, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			}
		}
	}
	return b
}

func isPlain(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '-' || c == '_' || c == '*'
}

// named are the types that are written by their names: those that BIND 9.18, NSD
// 4.6 and Knot 3.2 all read in the form in which miekg/dns writes them. What has
// the names of types or algorithms in it is not among them.
var named = map[uint16]bool{
	dns.TypeA: true, dns.TypeNS: true, dns.TypeCNAME: true, dns.TypeSOA: true, dns.TypePTR: true, dns.TypeHINFO: true, dns.TypeMX: true,
	dns.TypeTXT: true, dns.TypeRP: true, dns.TypeAFSDB: true, dns.TypeKEY: true, dns.TypeAAAA: true, dns.TypeLOC: true, dns.TypeSRV: true,
	dns.TypeNAPTR: true, dns.TypeKX: true, dns.TypeDNAME: true, dns.TypeDS: true, dns.TypeSSHFP: true,
	dns.TypeDNSKEY: true, dns.TypeDHCID: true, dns.TypeNSEC3PARAM: true,
	dns.TypeTLSA: true, dns.TypeSMIMEA: true, dns.TypeCDS: true, dns.TypeCDNSKEY: true, dns.TypeOPENPGPKEY: true,
	dns.TypeSVCB: true, dns.TypeHTTPS: true, dns.TypeSPF: true, dns.TypeEUI48: true, dns.TypeEUI64: true, dns.TypeURI: true, dns.TypeCAA: true,
}

// appendData writes type and data.
func appendData(b []byte, t uint16, data []byte) []byte {
	if t == dns.TypeA && len(data) == 4 {
		b = append(b, "A\t"...)
		for i, c := range data {
			if i > 0 {
				b = append(b, '.')
			}
			b = strconv.AppendUint(b, uint64(c), 10)
		}
		return b
	}
	if named[t] {
		if text, ok := dataText(t, data); ok {
			return append(append(append(b, rr.TypeString(t)...), '\t'), text...)
		}
	}
	return fmt.Appendf(b, "TYPE%d\t\\# %d %x", t, len(data), data)
}

// dataText gives data in the form of its type, if that form leads back to it and
// has nothing that some server reads otherwise.
func dataText(t uint16, data []byte) (string, bool) {
	if !plainNames(t, data) || t == dns.TypeCAA && len(data) > 2 && hasCapital(data[2:2+min(int(data[1]), len(data)-2)]) { // NSD wants small letters
		return "", false
	}
	r := rr.RR{Owner: rr.Root, Type: t, Data: string(data)}
	m, err := r.Miekg()
	if err != nil {
		return "", false
	}
	text := strings.TrimPrefix(m.String(), m.Header().String())
	if strings.ContainsAny(text, "\n\r") {
		return "", false
	}
	again, err := dns.NewRR(". 0 IN " + rr.TypeString(t) + " " + text)
	if err != nil || again == nil {
		return "", false
	}
	back, err := rr.FromMiekg(again)
	return text, err == nil && back.Data == r.Data && back.Type == t
}

// plainNames tells whether the names in rdata need no escapes.
func plainNames(t uint16, data []byte) bool {
	spans, n, _ := rr.NamesIn(t, data)
	switch t {
	case dns.TypeSVCB, dns.TypeHTTPS:
		spans[0], n = [2]int{min(2, len(data)), len(data)}, 1
	}
	for _, span := range spans[:n] {
		name := data[span[0]:span[1]]
		for i := 0; i < len(name) && name[i] != 0; i += int(name[i]) + 1 {
			for _, c := range name[i+1 : min(i+1+int(name[i]), len(name))] {
				if !isPlain(c) {
					return false
				}
			}
		}
	}
	return true
}

func hasCapital(b []byte) bool {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}
