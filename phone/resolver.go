package phone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Resolver finds out where a number can be reached. The zero value with a Zone
// asks the system's name servers. It may be used by many goroutines.
type Resolver struct {
	Zone    string   // of the numbers, such as phones.example.
	Servers []string // addresses, with a port or without; none: those of /etc/resolv.conf
}

// ErrNotRegistered says that the number has no address now.
var ErrNotRegistered = errors.New("not registered")

// Location is where a number can be reached.
type Location struct {
	Number   Number
	Name     string    // of the number in the DNS
	Contacts []Contact // in the order in which they are to be tried
}

// Contact is one way to reach a number.
type Contact struct {
	Transport string         // of SIP: udp, tcp or tls
	Host      string         // the name whose address it is
	Addr      netip.AddrPort // where to send to
	TTL       time.Duration  // how long this may be used without asking again
}

// sipPort is the port without an SRV record (RFC 3261, section 19.1.2).
const sipPort = 5060

// Locate follows RFC 3263, section 4: NAPTR records tell the transports, SRV
// records hosts and ports, addresses the rest. A number that has nothing but an
// address is reached by UDP at port 5060.
//
// Errors are an *InputError, ErrNotRegistered, ErrUnreachable or a *ServerError,
// wrapped.
func (r *Resolver) Locate(ctx context.Context, n Number) (*Location, error) {
	if err := checkZone(r.Zone); err != nil {
		return nil, err
	}
	if err := n.check(); err != nil {
		return nil, err
	}
	q, err := r.query(ctx)
	if err != nil {
		return nil, err
	}
	l := &Location{Number: n, Name: n.Name(r.Zone)}
	// All that a number usually has, at once and not one behind the other.
	usual := append([]question{{l.Name, dns.TypeNAPTR}, {l.Name, dns.TypeAAAA}, {l.Name, dns.TypeA}}, srvQuestions(l.Name)...)
	if _, err := q.ask(usual...); err != nil && (errors.Is(err, ErrUnreachable) || ctx.Err() != nil) {
		return nil, err
	}
	services := q.services(l.Name)
	var fault error
	for _, s := range services[:min(len(services), maxServices)] {
		contacts, err := q.contacts(s)
		if err != nil { // others may do
			fault = err
		}
		l.Contacts = append(l.Contacts, contacts...)
	}
	if len(l.Contacts) == 0 {
		if fault != nil {
			return nil, fault
		}
		return nil, fmt.Errorf("number %s (%s): %w", n, l.Name, ErrNotRegistered)
	}
	return l, nil
}

// maxServices bounds what whoever is called can make a caller look up.
const maxServices = 16

// service is a host that serves a transport.
type service struct {
	transport string
	host      string
	port      uint16
	ttl       uint32
}

// query is one look-up on its way.
type query struct {
	ctx     context.Context
	servers []string
	known   map[question][]dns.RR
	faults  map[question]error
	answers string // the server that answered last, which is asked first
}

func (r *Resolver) query(ctx context.Context) (*query, error) {
	servers, err := withPorts(ctx, r.Servers)
	if err == nil && len(servers) == 0 {
		servers, err = systemServers()
	}
	return newQuery(ctx, servers), err
}

func newQuery(ctx context.Context, servers []string) *query {
	return &query{ctx: ctx, servers: servers, known: map[question][]dns.RR{}, faults: map[question]error{}}
}

// naptrServices are what a NAPTR record can say of SIP (RFC 3263, section 4.1).
var naptrServices = map[string]string{"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}

// srvNames are where SRV records are without a NAPTR record.
var srvNames = []struct{ prefix, transport string }{{"_sip._udp.", "udp"}, {"_sip._tcp.", "tcp"}, {"_sips._tcp.", "tls"}}

// services gives what serves the name, in the order of preference. A server that
// does not tell of NAPTR or SRV records, as some do not, is taken to have none:
// whether it can tell anything shows when it is asked for addresses.
func (q *query) services(name string) (list []service) {
	answer, _ := q.all(name, dns.TypeNAPTR)
	var ways []*dns.NAPTR
	for _, rr := range answer[0] {
		if n, ok := rr.(*dns.NAPTR); ok && strings.EqualFold(n.Flags, "s") && naptrServices[strings.ToUpper(n.Service)] != "" {
			ways = append(ways, n)
		}
	}
	slices.SortStableFunc(ways, byOrder)
	for _, n := range ways[:min(len(ways), maxServices)] {
		srv, _ := q.all(n.Replacement, dns.TypeSRV)
		list = append(list, servers(srv[0], naptrServices[strings.ToUpper(n.Service)], n.Hdr.Ttl)...)
	}
	if len(ways) > 0 {
		return list
	}
	found, _ := q.ask(srvQuestions(name)...)
	any := false
	for i, s := range srvNames {
		any = any || slices.ContainsFunc(found[i], func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSRV })
		list = append(list, servers(found[i], s.transport, maxTTL)...)
	}
	if any {
		return list // or none, when the only host is "." (RFC 2782)
	}
	return []service{{"udp", name, sipPort, maxTTL}}
}

// srvQuestions asks for the SRV records of a name, in the order of srvNames.
func srvQuestions(name string) []question {
	asked := make([]question, len(srvNames))
	for i, s := range srvNames {
		asked[i] = question{s.prefix + name, dns.TypeSRV}
	}
	return asked
}

// byOrder compares NAPTR records: the first is tried first (RFC 3403, section
// 4.1).
func byOrder(a, b *dns.NAPTR) int {
	return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Preference, b.Preference))
}

// servers puts SRV records in the order in which they are to be tried: by
// priority, and among equals by chance, by weight (RFC 2782).
func servers(answer []dns.RR, transport string, ttl uint32) (list []service) {
	var left []*dns.SRV
	for _, rr := range answer {
		if s, ok := rr.(*dns.SRV); ok && s.Target != "." {
			left = append(left, s)
		}
	}
	slices.SortStableFunc(left, func(a, b *dns.SRV) int {
		// Those without weight first, as RFC 2782 says, or they would never be the first.
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(min(a.Weight, 1), min(b.Weight, 1)))
	})
	for len(left) > 0 {
		same := 1
		for same < len(left) && left[same].Priority == left[0].Priority {
			same++
		}
		at := byWeight(left[:same])
		s := left[at]
		left = slices.Delete(left, at, at+1)
		list = append(list, service{transport, s.Target, s.Port, min(ttl, s.Hdr.Ttl)})
	}
	return list
}

func byWeight(same []*dns.SRV) int {
	sum := 0
	for _, s := range same {
		sum += int(s.Weight)
	}
	point := rand.IntN(sum + 1)
	for i, s := range same {
		if point -= int(s.Weight); point <= 0 {
			return i
		}
	}
	return 0
}

// contacts looks the host's addresses up. It gives an error when there is none
// for a fault: some servers know of one family only.
func (q *query) contacts(s service) (list []Contact, err error) {
	answers, err := q.all(s.host, dns.TypeAAAA, dns.TypeA)
	for _, answer := range answers {
		list = append(list, s.contacts(answer)...)
	}
	if len(list) > 0 {
		err = nil
	}
	return list, err
}

// contacts makes contacts of addresses. An alias may change before they do.
func (s service) contacts(answer []dns.RR) (list []Contact) {
	ttl := s.ttl
	for _, rr := range answer {
		ttl = min(ttl, rr.Header().Ttl)
	}
	for _, rr := range answer {
		var a netip.Addr
		switch rr := rr.(type) {
		case *dns.A:
			a, _ = netip.AddrFromSlice(rr.A.To4())
		case *dns.AAAA:
			a, _ = netip.AddrFromSlice(rr.AAAA)
		}
		if a.IsValid() {
			list = append(list, Contact{
				Transport: s.transport, Host: s.host, Addr: netip.AddrPortFrom(a, s.port), TTL: time.Duration(ttl) * time.Second,
			})
		}
	}
	return list
}

type question struct {
	name  string
	qtype uint16
}

// all asks for types of one name at the same time.
func (q *query) all(name string, types ...uint16) ([][]dns.RR, error) {
	questions := make([]question, len(types))
	for i, t := range types {
		questions[i] = question{name, t}
	}
	return q.ask(questions...)
}

// ask gives the answer section of each question; empty when the name does not
// exist, and for a fault, the first of which is the error. It asks each once.
func (q *query) ask(questions ...question) (list [][]dns.RR, err error) {
	answers, from, faults := make([][]dns.RR, len(questions)), make([]string, len(questions)), make([]error, len(questions))
	var wg sync.WaitGroup
	for i, x := range questions {
		if known, ok := q.known[x]; ok {
			answers[i] = known
			continue
		}
		if fault := q.faults[x]; fault != nil {
			faults[i] = fault
			continue
		}
		wg.Go(func() { answers[i], from[i], faults[i] = q.one(x) })
	}
	wg.Wait()
	for i, x := range questions {
		if from[i] != "" {
			q.answers = from[i]
		}
		if faults[i] == nil {
			q.known[x] = answers[i]
			continue
		}
		if q.faults[x] == nil {
			q.faults[x] = fmt.Errorf("look up %s %s: %w", x.name, dns.TypeToString[x.qtype], faults[i])
		}
		err = cmp.Or(err, q.faults[x])
	}
	return answers, err
}

func (q *query) one(x question) (answer []dns.RR, from string, err error) {
	servers := q.servers
	if i := slices.Index(servers, q.answers); i > 0 {
		servers = slices.Concat(servers[i:i+1], servers[:i], servers[i+1:])
	}
	reply, from, err := (&exchange{servers: servers, message: func(string) (*dns.Msg, error) {
		m := new(dns.Msg).SetQuestion(x.name, x.qtype)
		return m.SetEdns0(udpSize, false), nil
	}}).do(q.ctx)
	if err != nil {
		return nil, "", err
	}
	return reply.Answer, from, nil
}
