package phone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/miekg/dns"
)

// ErrUnreachable says that no server gave an answer.
var ErrUnreachable = errors.New("no server answers")

// An InputError is a mistake in what the caller gave.
type InputError struct{ Text string }

func (e *InputError) Error() string { return e.Text }

func mistake(format string, args ...any) error { return &InputError{fmt.Sprintf(format, args...)} }

// A ServerError is an answer that is a refusal or a fault.
type ServerError struct {
	Server string // address and port
	Rcode  int    // RFC 6895, section 2.3
	TSIG   int    // the error of the signature (RFC 8945, section 3); 0 for none
	Text   string // what the server says of it (RFC 8914); may be empty

	older bool // it may have a later signature of the same key pair
}

func (e *ServerError) Error() string {
	why := dns.RcodeToString[e.Rcode]
	switch {
	case e.TSIG == dns.RcodeBadKey:
		why = "it does not know the key, or knows it with another algorithm (BADKEY)"
	case e.TSIG == dns.RcodeBadSig:
		why = "the signature is wrong: the secret here is not the one there (BADSIG)"
	case e.TSIG == dns.RcodeBadTime:
		why = "the clocks here and there differ by more than the signature allows, or it has an update that was signed later (BADTIME)"
	case e.TSIG != 0:
		why = "it does not take the signature (" + dns.RcodeToString[e.TSIG] + ")"
	case why == "":
		why = fmt.Sprintf("RCODE %d", e.Rcode)
	}
	if e.Text != "" {
		why += ": " + e.Text
	}
	return fmt.Sprintf("server %s: %s", e.Server, why)
}

// Temporary tells that the server could not do it now, and did not refuse it.
// That it has a later signature, which is BADTIME, or NOTAUTH with a key pair,
// passes with time.
func (e *ServerError) Temporary() bool {
	return e.Rcode == dns.RcodeServerFailure || e.TSIG == dns.RcodeBadTime || e.older
}

// attempts are made with each server in turn before the next of them is: most
// messages that are lost are lost once, and a server that is gone must not take
// the time of the others.
var attempts = []struct {
	proto string
	wait  time.Duration
}{{"udp", time.Second}, {"udp", 2 * time.Second}, {"tcp", 4 * time.Second}}

const udpSize = 1232 // what passes any path without fragments

// exchange is one message on its way to one of several servers.
type exchange struct {
	servers []string
	message func(server string) (*dns.Msg, error) // may depend on the way to the server
	key     *Key                                  // signs the message; nil: it is not signed
	tcp     bool                                  // not by UDP

	parcels map[string]*parcel // the last for each server
}

// do sends until a server answers. One that fails is left for the next; what
// the last of them said is the error when none does better.
func (x *exchange) do(ctx context.Context) (reply *dns.Msg, server string, err error) {
	x.parcels = map[string]*parcel{}
	defer x.close()
	faults := map[string]error{}
	for _, a := range attempts {
		if x.tcp && a.proto != "tcp" {
			continue
		}
		for _, server := range x.servers {
			var said *ServerError
			if errors.As(faults[server], &said) {
				continue // it has answered, that it cannot
			}
			reply, err := x.try(ctx, a.proto, server, a.wait)
			if err == nil {
				return reply, server, nil
			}
			if ctx.Err() != nil {
				return nil, server, context.Cause(ctx)
			}
			if errors.As(err, &said) && !x.mayGoOn(said, reply) {
				return nil, server, err
			}
			faults[server] = err
		}
	}
	var words []string
	for _, server := range x.servers {
		var said *ServerError
		if errors.As(faults[server], &said) {
			return nil, server, said
		}
		words = append(words, fmt.Sprintf("%s: %v", server, faults[server]))
	}
	return nil, "", fmt.Errorf("%w (%s)", ErrUnreachable, strings.Join(words, "; "))
}

// mayGoOn tells whether another server may do what this one did not: where it
// failed, does not know how, or, for a query, does not answer us (RFC 2136,
// section 4 has the same of updates).
func (x *exchange) mayGoOn(e *ServerError, reply *dns.Msg) bool {
	switch e.Rcode {
	case dns.RcodeServerFailure, dns.RcodeNotImplemented:
		return true
	case dns.RcodeRefused:
		return reply != nil && reply.Opcode == dns.OpcodeQuery
	}
	return false
}

// try sends the message once, and again only what must be: by TCP what UDP
// cannot settle, which is a reply that does not fit, and one that is not signed
// though it should be, for that may be anybody's (RFC 8945, section 5.4); and
// signed with the server's time where the clock here is wrong (section 5.2.3).
func (x *exchange) try(ctx context.Context, proto, server string, wait time.Duration) (*dns.Msg, error) {
	p, err := x.parcel(server)
	if err != nil {
		return nil, err
	}
	var reply *dns.Msg
	var signed bool
	for {
		reply, signed, err = p.send(ctx, proto, server, x.key, wait)
		if proto == "udp" && (err == nil && reply.Truncated || reply != nil && x.key.signsReplies() && !signed) {
			proto, wait = "tcp", attempts[len(attempts)-1].wait
			continue
		}
		if there, ok := serverTime(reply); ok && err == nil && signed && !p.corrected {
			p.corrected = true
			if err = p.sign(x.key, signatures.correct(x.key.Name, p.signed, there)); err == nil {
				continue
			}
		}
		break
	}
	if err != nil {
		return reply, err
	}
	fault := &ServerError{Server: server, Rcode: reply.Rcode, Text: edeText(reply)}
	fault.older = reply.Rcode == dns.RcodeNotAuth && x.key != nil && !x.key.signsReplies()
	if t := reply.IsTsig(); t != nil {
		fault.TSIG = int(t.Error)
	}
	if x.key.signsReplies() && !signed && fault.TSIG == 0 {
		if reply.Rcode == dns.RcodeSuccess {
			return nil, errors.New("its answer is not signed")
		}
		fault.Text = strings.TrimPrefix(fault.Text+"; its answer is not signed", "; ")
	}
	switch {
	case fault.TSIG != 0:
	case reply.Rcode == dns.RcodeSuccess:
		return reply, nil
	case reply.Rcode == dns.RcodeNameError && reply.Opcode == dns.OpcodeQuery:
		return reply, nil
	}
	return reply, fault
}

// parcel gives the message to a server, ready to be sent. An update that is
// sent again is the same to the octet, so that a server can tell that from
// another update; a query is made anew, lest somebody else answers it who has
// seen or guessed the first.
func (x *exchange) parcel(server string) (*parcel, error) {
	if p := x.parcels[server]; p != nil {
		if p.msg.Opcode == dns.OpcodeUpdate {
			return p, nil
		}
		p.close()
	}
	m, err := x.message(server)
	if err != nil {
		return nil, err
	}
	m.Id = dns.Id()
	p := &parcel{msg: m}
	if x.key != nil {
		err = p.sign(x.key, signatures.next(x.key.Name))
	} else {
		p.wire, err = m.Pack()
	}
	if err != nil {
		return nil, err
	}
	x.parcels[server] = p
	return p, nil
}

func (x *exchange) close() {
	for _, p := range x.parcels {
		p.close()
	}
}

// edeText gives what the server says in words.
func edeText(m *dns.Msg) string {
	var words []string
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok && e.ExtraText != "" {
				words = append(words, printable(e.ExtraText))
			}
		}
	}
	return strings.Join(words, "; ")
}

// printable keeps a server from writing to the terminal what is no text.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, text)
}

// systemServers are those of resolvConf.
func systemServers() ([]string, error) {
	conf, err := dns.ClientConfigFromFile(resolvConf)
	if err != nil {
		return nil, fmt.Errorf("the system's name servers: %w", err)
	}
	var servers []string
	for _, s := range conf.Servers {
		servers = append(servers, net.JoinHostPort(s, conf.Port))
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("the system's name servers: there are none in %s", resolvConf)
	}
	return servers, nil
}

// resolvConf is where a system keeps the addresses of its name servers.
const resolvConf = "/etc/resolv.conf"

// withPorts gives servers as addresses with ports. Names are looked up, so that
// all attempts go to the same address.
func withPorts(ctx context.Context, servers []string) (out []string, err error) {
	for _, s := range servers {
		host, port := hostPort(s)
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, mistake("server %q: %q is no port: it is a number from 1 to 65535", s, port)
		}
		if host == "" || strings.ContainsAny(host, "[] \t/") {
			return nil, mistake("server %q is no address: write it as 192.0.2.53, 192.0.2.53:5300 or [2001:db8::53]:53", s)
		}
		if _, err := netip.ParseAddr(host); err == nil {
			out = append(out, net.JoinHostPort(host, port))
			continue
		}
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil, fmt.Errorf("%w: server %s: %w", ErrUnreachable, s, err)
		}
		for _, a := range addrs {
			out = append(out, net.JoinHostPort(a.Unmap().String(), port))
		}
	}
	return out, nil
}

// hostPort splits the address of a server, whose port is 53 unless it says another.
func hostPort(server string) (host, port string) {
	if host, port, err := net.SplitHostPort(server); err == nil {
		return host, port
	}
	return strings.Trim(server, "[]"), "53"
}

// checkZone finds what is no name of a zone.
func checkZone(zone string) error {
	if _, ok := dns.IsDomainName(zone); !ok || zone == "" {
		return mistake("%q is no name of a zone: write it as phones.example", zone)
	}
	return nil
}
