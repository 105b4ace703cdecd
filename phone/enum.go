package phone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// ErrNoENUM says that a number leads to no URI by ENUM.
var ErrNoENUM = errors.New("ENUM leads to no URI")

// ENUM is what a number leads to by ENUM (RFC 6116).
type ENUM struct {
	Number Number
	Name   string // of the number in the DNS, such as 8.4.1.0.6.4.9.7.0.2.4.4.e164.arpa.
	URIs   []URI  // in the order in which they are to be tried
}

// URI is one way to reach a number.
type URI struct {
	Text     string        // such as sip:442079460148@442079460148.phones.example
	Services []string      // what it is good for, in lower case: type:subtype, such as sip or voice:tel (RFC 6116, section 3.4.3)
	TTL      time.Duration // how long it may be used without asking again
}

// What whoever owns a number's ENUM records can make a caller do is bounded.
const (
	maxLinks   = 5  // non-terminal records one behind the other (RFC 6116, section 5.2.1)
	maxDomains = 16 // that are asked for NAPTR records
	maxRecords = 64 // that are looked at, all domains together
	maxURIs    = 32
	maxReasons = 4 // that an error gives
)

// LookupENUM gives the URIs that the NAPTR records below suffix make of a
// number: e164.arpa., or an apex of one's own. The number is as people write it
// (see ParseNumber). With a + it is an E.164 number, which is all that e164.arpa
// has; elsewhere a number without it is looked up as well, and what the records
// rewrite is then without it, too (RFC 6116, section 3.7). Zone is not needed.
//
// All services are given; a caller takes the first URI that it can use. Records
// that are malformed or do not match the number are left out.
//
// Errors are an *InputError, ErrNoENUM, ErrUnreachable or a *ServerError, wrapped.
func (r *Resolver) LookupENUM(ctx context.Context, number, suffix string) (*ENUM, error) {
	n, international, err := parseNumber(number)
	if err != nil {
		return nil, &InputError{err.Error()}
	}
	if suffix, err = checkSuffix(n, suffix); err != nil {
		return nil, err
	}
	w := &enumWalk{name: enumName(n, suffix), number: string(n), seen: map[string]bool{}}
	switch {
	case international:
		w.number = "+" + w.number
	case dns.IsSubDomain("e164.arpa.", suffix):
		return nil, mistake("%s has international numbers only: write it with + and the country's code, as +44 20 7946 0148", suffix)
	}
	if w.query, err = r.query(ctx); err != nil {
		return nil, err
	}
	e := &ENUM{Number: n, Name: w.name}
	err = w.domain(w.name, 0, maxTTL)
	if e.URIs = w.uris; len(e.URIs) > 0 {
		return e, nil
	}
	if err == nil {
		err = w.none()
	}
	return nil, fmt.Errorf("number %s (%s): %w", w.number, e.Name, err)
}

// maxTTL is the largest (RFC 2181, section 8).
const maxTTL = 1<<31 - 1

// checkSuffix gives the apex with a final dot.
func checkSuffix(n Number, suffix string) (string, error) {
	if _, ok := dns.IsDomainName(suffix); !ok || suffix == "" {
		return "", mistake("%q is no suffix of ENUM: write it as e164.phones.example or e164.arpa", suffix)
	}
	if _, ok := dns.IsDomainName(enumName(n, dns.Fqdn(suffix))); !ok {
		return "", mistake("the suffix %q is so long that the number %s has no name below it", suffix, n)
	}
	return dns.Fqdn(suffix), nil
}

// enumName has a label for each digit, the last first (RFC 6116, section 3.2).
func enumName(n Number, suffix string) string {
	var b strings.Builder
	for i := len(n) - 1; i >= 0; i-- {
		b.WriteByte(n[i])
		b.WriteByte('.')
	}
	if suffix != "." {
		b.WriteString(suffix)
	}
	return b.String()
}

// enumWalk follows the records of one number.
type enumWalk struct {
	query   *query
	name    string // of the number
	number  string // what the records rewrite: the application unique string of RFC 3402
	seen    map[string]bool
	records int // that were looked at
	uris    []URI
	reasons []string // why records were left out
}

func (w *enumWalk) leaveOut(n *dns.NAPTR, why error) {
	if len(w.reasons) < maxReasons {
		record := "NAPTR " + strings.TrimPrefix(n.String(), n.Hdr.String())
		if n.Hdr.Name != w.name {
			record = n.Hdr.Name + " " + record
		}
		w.reasons = append(w.reasons, printable(fmt.Sprintf("%s: %v", record, why)))
	}
}

func (w *enumWalk) none() error {
	if len(w.reasons) == 0 {
		return ErrNoENUM
	}
	return fmt.Errorf("%w (%s)", ErrNoENUM, strings.Join(w.reasons, "; "))
}

// domain collects what the records of one domain lead to, each in its place.
// links is how many have led here, ttl how long the shortest of them may be used.
// It gives an error when nothing is known of the domain.
func (w *enumWalk) domain(name string, links int, ttl uint32) error {
	w.seen[dns.CanonicalName(name)] = true
	answers, err := w.query.all(name, dns.TypeNAPTR)
	if err != nil {
		return err
	}
	var records []*dns.NAPTR
	for _, rr := range answers[0] {
		ttl = min(ttl, rr.Header().Ttl) // of an alias, too
		if n, ok := rr.(*dns.NAPTR); ok {
			records = append(records, n)
		}
	}
	slices.SortStableFunc(records, byOrder)
	for _, n := range records {
		if len(w.uris) == maxURIs || w.records == maxRecords {
			break
		}
		w.records++
		var fault error
		switch flags := octets(n.Flags); {
		case strings.EqualFold(flags, "u"):
			fault = w.terminal(n, ttl)
		case flags == "":
			fault = w.link(n, links, ttl)
		default: // of another application, or of a time to come
			fault = errors.New("its flags are neither u nor empty")
		}
		if fault != nil {
			w.leaveOut(n, fault)
			err = cmp.Or(err, unknown(fault))
		}
	}
	return err
}

// unknown is the fault, if it is that a server does not tell.
func unknown(fault error) error {
	var said *ServerError
	if errors.As(fault, &said) || errors.Is(fault, ErrUnreachable) {
		return fault
	}
	return nil
}

// terminal takes the URI of a record with the flag u (RFC 6116, section 3.4.2).
func (w *enumWalk) terminal(n *dns.NAPTR, ttl uint32) error {
	services, err := enumServices(octets(n.Service))
	if err != nil {
		return err
	}
	if n.Replacement != "." { // RFC 3403, section 4.1: one of the two
		return errors.New("it has a replacement beside its expression")
	}
	uri, err := substitute(octets(n.Regexp), w.number)
	if err != nil {
		return err
	}
	if !isURI.MatchString(uri) {
		return fmt.Errorf("its result %q is not a URI", uri)
	}
	w.uris = append(w.uris, URI{Text: uri, Services: services, TTL: time.Duration(ttl) * time.Second})
	return nil
}

// link follows a non-terminal record: its replacement is the domain to go on
// with, whatever service it names (RFC 6116, section 5.2.1).
func (w *enumWalk) link(n *dns.NAPTR, links int, ttl uint32) error {
	switch {
	case n.Regexp != "": // RFC 3403, section 4.1: one of the two
		return errors.New("it is non-terminal and has an expression")
	case n.Replacement == ".":
		return errors.New("it leads nowhere")
	case links == maxLinks:
		return fmt.Errorf("more than %d records lead to another", maxLinks)
	case w.seen[dns.CanonicalName(n.Replacement)]:
		return errors.New("it leads to where others have led already")
	case len(w.seen) == maxDomains:
		return fmt.Errorf("more than %d domains are to be asked", maxDomains)
	}
	return w.domain(n.Replacement, links+1, ttl)
}

// enumServices reads E2U+type:subtype+type (RFC 6116, section 3.4.3).
func enumServices(field string) ([]string, error) {
	words := strings.Split(strings.ToLower(field), "+")
	if words[0] != "e2u" || len(words) < 2 {
		return nil, errors.New("its service is not of ENUM (E2U+…)")
	}
	for _, word := range words[1:] {
		for _, part := range strings.Split(word, ":") {
			if len(part) == 0 || len(part) > 32 || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				return nil, fmt.Errorf("%q is no service", word)
			}
		}
	}
	return words[1:], nil
}

// octets undoes the escapes in which miekg/dns keeps the strings of a record.
func octets(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' && i+1 < len(text) {
			i++
			if c = text[i]; i+2 < len(text) && '0' <= c && c <= '2' {
				c = (c-'0')*100 + (text[i+1]-'0')*10 + text[i+2] - '0'
				i += 2
			}
		}
		b = append(b, c)
	}
	return string(b)
}

// NumberOf tells whether a URI is that of a number in the resolver's zone, as
// sip:442079460148@442079460148.phones.example is, and of which. Then Locate goes
// on from there. One that names a port, a transport or another address for
// itself is not: RFC 3263, section 4 has other ways for it.
func (r *Resolver) NumberOf(uri string) (Number, bool) {
	scheme, rest, _ := strings.Cut(uri, ":")
	if _, host, ok := strings.Cut(rest, "@"); ok {
		rest = host // an @ more would be escaped (RFC 3261, section 25.1)
	}
	host, parameters, _ := strings.Cut(strings.ToLower(rest), ";")
	for _, p := range strings.Split(parameters, ";") {
		switch name, _, _ := strings.Cut(p, "="); name {
		case "transport", "maddr":
			return "", false
		}
	}
	label, zone, _ := strings.Cut(host, ".")
	n := Number(label)
	if !strings.EqualFold(scheme, "sip") || strings.ContainsAny(rest, "?@") || n.check() != nil ||
		dns.CanonicalName(zone) != dns.CanonicalName(r.Zone) {
		return "", false
	}
	return n, true
}
