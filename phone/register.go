package phone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Registration is what a phone tells the server of itself: one dynamic update
// (RFC 2136) for its own number. The zero value of what has a default is that.
type Registration struct {
	Number    Number
	Zone      string       // of the numbers, such as phones.example.
	Servers   []string     // addresses, with a port or without; none: the one that the zone's SOA record names
	Key       *Key         // nil: unsigned
	Addresses []netip.Addr // where the phone is now; none: the address from which the server is reached
	Source    bool         // the address from which the server sees the request come, as behind NAT; instead of Addresses, by TCP
	TTL       uint32       // (60) seconds that resolvers keep the addresses
	SIPPort   uint16       // where SIP is spoken by UDP; 0: nothing is said of it, and callers take 5060
}

// Registered is a registration that the server has taken.
type Registered struct {
	Name      string       // of the number in the DNS
	Addresses []netip.Addr // that it has now
	Server    string       // address and port
	Note      string       // what the server adds in words (RFC 8914)
}

// usualTTL is short: it is how long callers may still use an old address.
const usualTTL = 60

// Register makes the number lead to the addresses, and to no others: addresses
// and SRV record are replaced by one update, which is done as a whole or not at
// all. What else the number has stays.
//
// Errors are ErrUnreachable, a *ServerError, or tell of a mistake in r. After
// ErrUnreachable the update may have been done: doing it again is harmless.
func Register(ctx context.Context, r Registration) (*Registered, error) {
	servers, err := r.find(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Source && len(r.Addresses) > 0:
		return nil, errors.New("the server sees one address: others cannot be registered with it")
	case len(r.Addresses) == 0:
		a, err := localAddr(servers)
		if err != nil {
			return nil, err
		}
		if r.Source && a.Is4() {
			a = netip.IPv4Unspecified()
		} else if r.Source {
			a = netip.IPv6Unspecified()
		}
		r.Addresses = []netip.Addr{a}
	}
	m, err := r.message()
	if err != nil {
		return nil, err
	}
	done, err := r.send(ctx, servers, m)
	if err == nil && r.Source {
		err = done.see(ctx)
	}
	return done, err
}

// see asks the server which address it has seen.
func (d *Registered) see(ctx context.Context) error {
	q := &query{ctx, []string{d.Server}, map[question][]dns.RR{}}
	list, err := q.contacts(service{host: d.Name})
	if err != nil {
		return fmt.Errorf("it is registered, but: %w", err)
	}
	d.Addresses = nil
	for _, c := range list {
		d.Addresses = append(d.Addresses, c.Addr.Addr())
	}
	return nil
}

// Withdraw takes away what Register put.
func Withdraw(ctx context.Context, r Registration) (*Registered, error) {
	servers, err := r.find(ctx)
	if err != nil {
		return nil, err
	}
	r.Addresses, r.SIPPort, r.Source = nil, 0, false
	m, err := r.message()
	if err != nil {
		return nil, err
	}
	return r.send(ctx, servers, m)
}

func (r *Registration) send(ctx context.Context, servers []string, m *dns.Msg) (*Registered, error) {
	reply, server, err := exchange(ctx, servers, m, how{key: r.Key, tcp: r.Source})
	if err != nil {
		return nil, err
	}
	if reply.Rcode != dns.RcodeSuccess {
		return nil, &ServerError{Server: server, Rcode: reply.Rcode, Text: edeText(reply)}
	}
	return &Registered{Name: r.Number.Name(r.Zone), Addresses: r.Addresses, Server: server, Note: edeText(reply)}, nil
}

// message is the update.
func (r *Registration) message() (*dns.Msg, error) {
	if len(r.Zone) == 0 {
		return nil, errors.New("a zone is needed to register a number")
	}
	if n, err := ParseNumber(string(r.Number)); err != nil || n != r.Number {
		return nil, fmt.Errorf("%q is not a number of 1 to %d digits", string(r.Number), MaxDigits)
	}
	ttl := r.TTL
	if ttl == 0 {
		ttl = usualTTL
	}
	name := r.Number.Name(r.Zone)
	sip := "_sip._udp." + name
	head := func(owner string, t uint16) dns.RR_Header {
		return dns.RR_Header{Name: owner, Rrtype: t, Class: dns.ClassINET, Ttl: ttl}
	}
	m := new(dns.Msg).SetUpdate(dns.Fqdn(r.Zone))
	m.RemoveRRset([]dns.RR{&dns.A{Hdr: head(name, dns.TypeA)}, &dns.AAAA{Hdr: head(name, dns.TypeAAAA)}, &dns.SRV{Hdr: head(sip, dns.TypeSRV)}})
	var add []dns.RR
	for _, a := range r.Addresses {
		switch a = a.Unmap(); {
		case !a.IsValid() || a.Zone() != "":
			return nil, fmt.Errorf("address %q is not one that others can reach", a)
		case a.Is4():
			add = append(add, &dns.A{Hdr: head(name, dns.TypeA), A: a.AsSlice()})
		default:
			add = append(add, &dns.AAAA{Hdr: head(name, dns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	if r.SIPPort != 0 {
		add = append(add, &dns.SRV{Hdr: head(sip, dns.TypeSRV), Port: r.SIPPort, Target: name})
	}
	m.Insert(add)
	m.SetEdns0(udpSize, false)
	return m, nil
}

// find gives the servers to send to: those given, or the primary of the zone,
// which its SOA record names (RFC 2136, section 4.3).
func (r *Registration) find(ctx context.Context) ([]string, error) {
	if len(r.Servers) > 0 {
		return withPorts(r.Servers)
	}
	q, err := (&Resolver{Zone: r.Zone}).query(ctx)
	if err != nil {
		return nil, err
	}
	return primaryOf(q, r.Zone)
}

func primaryOf(q *query, zone string) ([]string, error) {
	answers, err := q.all(dns.Fqdn(zone), dns.TypeSOA)
	if err != nil {
		return nil, fmt.Errorf("find the zone's server: %w", err)
	}
	for _, rr := range answers[0] {
		soa, ok := rr.(*dns.SOA)
		if !ok {
			continue
		}
		list, err := q.contacts(service{"", soa.Ns, 53, 0})
		if err != nil {
			return nil, fmt.Errorf("find the zone's server: %w", err)
		}
		var servers []string
		for _, c := range list {
			servers = append(servers, c.Addr.String())
		}
		if len(servers) > 0 {
			return servers, nil
		}
		return nil, fmt.Errorf("find the zone's server: %s, which the SOA record of %s names, has no address: name the server", soa.Ns, zone)
	}
	return nil, fmt.Errorf("find the zone's server: there is no zone %s in the DNS: name the server", zone)
}

// localAddr is the address that this machine uses towards the first of the
// servers that it has a way to. Nothing is sent.
func localAddr(servers []string) (netip.Addr, error) {
	var fault error
	for _, s := range servers {
		c, err := net.Dial("udp", s)
		if err != nil {
			fault = err
			continue
		}
		a := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
		return a, c.Close()
	}
	return netip.Addr{}, fmt.Errorf("this machine's address: %w", fault)
}

// InterfaceAddrs gives the addresses of a network interface that others can
// reach: not those of the link, and not of loopback.
func InterfaceAddrs(name string) ([]netip.Addr, error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	list, err := iface.Addrs()
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	var addrs []netip.Addr
	for _, x := range list {
		p, err := netip.ParsePrefix(x.String())
		if a := p.Addr().Unmap(); err == nil && a.IsGlobalUnicast() {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("interface %s has no address that others can reach", name)
	}
	slices.SortFunc(addrs, func(a, b netip.Addr) int { return strings.Compare(a.String(), b.String()) })
	return addrs, nil
}
