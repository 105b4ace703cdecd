package phone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

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
	TTL       uint32       // (60) seconds that resolvers keep the addresses; never more than the lease
	SIPPort   uint16       // where SIP is spoken by UDP; 0: nothing is said of it, and callers take 5060

	// Lease asks the server to take the registration away when it is not repeated
	// within this time (RFC 9664), in whole seconds; 0: it stays. KeyLease asks the
	// same for KEY records of the number, for at least as long; 0: they have the
	// Lease, or a week if the Key is a key pair.
	Lease, KeyLease time.Duration

	withdraw bool
}

// Registered is a registration that the server has taken.
type Registered struct {
	Name      string       // of the number in the DNS
	Addresses []netip.Addr // that it has now
	Server    string       // address and port
	Note      string       // what the server adds in words (RFC 8914)

	// Lease is what the server granted, which may be more or less than was asked
	// for. 0: none was asked for, or the server grants none and the registration
	// stays. KeyLease is 0 when none was asked for or told.
	Lease, KeyLease time.Duration
}

// usualTTL is short: it is how long callers may still use an old address.
const usualTTL = 60

// Register makes the number lead to the addresses, and to no others: addresses
// and the SRV record of SIP over UDP are replaced by one update, which is done
// as a whole or not at all, and is refused where the number is an alias. What
// else the number has stays. The key, or this machine, must be allowed to change
// A, AAAA at the number's name and SRV below it. A key pair of the number brings
// its KEY record, by which it claims the number where that may be done, and goes
// by TCP, as RFC 9665, section 3.1.3 wants.
//
// Errors are an *InputError, ErrUnreachable or a *ServerError, wrapped. After
// ErrUnreachable the update may have been done: doing it again is harmless.
func Register(ctx context.Context, r Registration) (*Registered, error) {
	if r.Source && len(r.Addresses) > 0 {
		return nil, mistake("the server sees one address: others cannot be registered with it")
	}
	done, err := r.send(ctx)
	if err != nil || !r.Source {
		return done, err
	}
	// Which address the server has seen only it knows.
	q := newQuery(ctx, []string{done.Server})
	list, err := q.contacts(service{host: done.Name})
	done.Addresses = nil
	for _, c := range list {
		done.Addresses = append(done.Addresses, c.Addr.Addr())
	}
	if err != nil {
		done.Note = strings.TrimPrefix(done.Note+"; it is registered, but at which address the server did not tell: "+err.Error(), "; ")
	}
	return done, nil
}

// Withdraw takes away what Register put. With a Lease it tells the server as well
// that the lease is over; a KeyLease keeps the number's KEY for so long.
func Withdraw(ctx context.Context, r Registration) (*Registered, error) {
	r.Addresses, r.SIPPort, r.Source, r.withdraw = nil, 0, false, true
	return r.send(ctx)
}

// usualKeyLease is for how long a number is kept for its key pair when nobody
// refreshes it any more: what RFC 9664, section 8 has for the most.
const usualKeyLease = 168 * time.Hour

func (r *Registration) send(ctx context.Context) (*Registered, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	pair := r.Key.isOf(r.Number.Name(r.Zone))
	if pair && r.Lease != 0 && r.KeyLease == 0 {
		r.KeyLease = max(usualKeyLease, r.Lease)
	}
	servers, err := r.find(ctx)
	if err != nil {
		return nil, err
	}
	sent := map[string][]netip.Addr{}
	reply, server, err := (&exchange{servers: servers, key: r.Key, tcp: r.Source || pair, message: func(server string) (*dns.Msg, error) {
		addrs, err := r.addresses(server)
		sent[server] = addrs
		return r.message(addrs), err
	}}).do(ctx)
	var said *ServerError
	switch {
	case errors.As(err, &said) && said.Rcode == dns.RcodeYXRrset && said.Text == "":
		said.Text = "the number is an alias there (CNAME)"
		return nil, err
	case err != nil:
		return nil, err
	}
	done := &Registered{Name: r.Number.Name(r.Zone), Addresses: sent[server], Server: server, Note: edeText(reply)}
	done.Lease, done.KeyLease = r.granted(reply)
	return done, nil
}

// option is what is asked of the server (RFC 9664, section 4). Taking records
// away is not leased; a lease of 0 says that nothing is left of the one before.
// Servers that know no leases ignore it (RFC 6891, section 6.1.2).
func (r *Registration) option() *dns.EDNS0_UL {
	o := &dns.EDNS0_UL{Code: dns.EDNS0UL, Lease: uint32(r.Lease / time.Second), KeyLease: uint32(r.KeyLease / time.Second)}
	if r.withdraw {
		o.Lease = 0
	}
	return o
}

// granted reads what the server answers to the option: its lease counts (RFC
// 9664, section 4.2). A lease of nothing would be none.
func (r *Registration) granted(reply *dns.Msg) (lease, key time.Duration) {
	opt := reply.IsEdns0()
	if opt == nil || r.Lease == 0 {
		return 0, 0
	}
	for _, o := range opt.Option {
		if o, ok := o.(*dns.EDNS0_UL); ok {
			lease = time.Duration(o.Lease) * time.Second
			if r.KeyLease != 0 {
				key = time.Duration(o.KeyLease) * time.Second
			}
			break
		}
	}
	return lease, key
}

// check finds what no server would take.
func (r *Registration) check() error {
	if err := checkZone(r.Zone); err != nil {
		return err
	}
	if err := r.Number.check(); err != nil {
		return err
	}
	if r.TTL > maxTTL {
		return mistake("TTL %d is more than %d", r.TTL, maxTTL)
	}
	const most = (1<<32 - 1) * time.Second
	switch {
	case r.Lease != 0 && (r.Lease < time.Second || r.Lease > most):
		return mistake("lease %s is not from 1s to %s", r.Lease, most)
	case r.KeyLease != 0 && (r.Lease == 0 || r.KeyLease < r.Lease || r.KeyLease > most):
		return mistake("key lease %s is not from the lease, %s, to %s", r.KeyLease, r.Lease, most)
	}
	for _, a := range r.Addresses {
		if !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() {
			return mistake("address %s is not one that others can reach", a)
		}
	}
	return nil
}

// addresses are those that a server is told. Without any it is the one that is
// used towards that server, or, for Source, one that means it.
func (r *Registration) addresses(server string) ([]netip.Addr, error) {
	if r.withdraw || len(r.Addresses) > 0 {
		return r.Addresses, nil
	}
	a, err := localAddr(server)
	switch {
	case err != nil:
		return nil, err
	case r.Source && a.Is4():
		a = netip.IPv4Unspecified()
	case r.Source:
		a = netip.IPv6Unspecified()
	case a.IsLinkLocalUnicast():
		return nil, fmt.Errorf("from here it is reached at %s, an address of the link only: say which address is meant", a)
	}
	return []netip.Addr{a}, nil
}

// message is the update.
func (r *Registration) message(addrs []netip.Addr) *dns.Msg {
	ttl := r.TTL
	if ttl == 0 {
		ttl = usualTTL
	}
	if r.Lease != 0 {
		ttl = uint32(min(time.Duration(ttl), r.Lease/time.Second))
	}
	name := r.Number.Name(r.Zone)
	sip := "_sip._udp." + name
	head := func(owner string, t uint16) dns.RR_Header {
		return dns.RR_Header{Name: owner, Rrtype: t, Class: dns.ClassINET, Ttl: ttl}
	}
	m := new(dns.Msg).SetUpdate(dns.Fqdn(r.Zone))
	// What is added beside an alias is ignored without a word (RFC 2136, section 3.4.2.2).
	m.RRsetNotUsed([]dns.RR{&dns.CNAME{Hdr: head(name, dns.TypeCNAME)}})
	m.RemoveRRset([]dns.RR{&dns.A{Hdr: head(name, dns.TypeA)}, &dns.AAAA{Hdr: head(name, dns.TypeAAAA)}, &dns.SRV{Hdr: head(sip, dns.TypeSRV)}})
	var add []dns.RR
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			add = append(add, &dns.A{Hdr: head(name, dns.TypeA), A: a.AsSlice()})
		} else {
			add = append(add, &dns.AAAA{Hdr: head(name, dns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	if r.SIPPort != 0 {
		add = append(add, &dns.SRV{Hdr: head(sip, dns.TypeSRV), Port: r.SIPPort, Target: name})
	}
	if r.Key.isOf(name) && !r.withdraw {
		add = append(add, r.Key.pair.record(ttl))
	}
	m.Insert(add)
	m.SetEdns0(udpSize, false)
	if r.Lease != 0 {
		m.IsEdns0().Option = append(m.IsEdns0().Option, r.option())
	}
	return m
}

// find gives the servers to send to: those given, or the primary of the zone,
// which its SOA record names (RFC 2136, section 4.3).
func (r *Registration) find(ctx context.Context) ([]string, error) {
	if len(r.Servers) > 0 {
		return withPorts(ctx, r.Servers)
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

// localAddr is the address that this machine uses towards a server. Nothing is
// sent.
func localAddr(server string) (netip.Addr, error) {
	c, err := net.Dial("udp", server)
	if err != nil {
		return netip.Addr{}, err
	}
	a := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
	return a, c.Close()
}

// InterfaceAddrs gives the addresses of a network interface that others can
// reach: not those of the link, and not of loopback.
func InterfaceAddrs(name string) ([]netip.Addr, error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	addrs, err := reachable(iface.Addrs())
	if err == nil && len(addrs) == 0 {
		err = errors.New("it has no address that others can reach")
	}
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	return addrs, nil
}

// ownAddrs gives the same of an interface, or, for "", of the whole machine.
func ownAddrs(name string) ([]netip.Addr, error) {
	if name != "" {
		return InterfaceAddrs(name)
	}
	return reachable(net.InterfaceAddrs())
}

func reachable(list []net.Addr, err error) (addrs []netip.Addr, _ error) {
	for _, x := range list {
		p, err := netip.ParsePrefix(x.String())
		if a := p.Addr().Unmap(); err == nil && a.IsGlobalUnicast() {
			addrs = append(addrs, a)
		}
	}
	slices.SortFunc(addrs, func(a, b netip.Addr) int { return strings.Compare(a.String(), b.String()) })
	return addrs, err
}
