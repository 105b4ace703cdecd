package phone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// ErrUnreachable says that no server gave an answer.
var ErrUnreachable = errors.New("no server answers")

// A ServerError is an answer that is a refusal or a fault.
type ServerError struct {
	Server string // address and port
	Rcode  int    // RFC 6895, section 2.3
	TSIG   int    // the error of the signature (RFC 8945, section 3); 0 for none
	Text   string // what the server says of it (RFC 8914); may be empty
}

func (e *ServerError) Error() string {
	why := dns.RcodeToString[e.Rcode]
	switch {
	case e.TSIG == dns.RcodeBadKey:
		why = "it does not know the key, or knows it with another algorithm (BADKEY)"
	case e.TSIG == dns.RcodeBadSig:
		why = "the signature is wrong: the secret here is not the one there (BADSIG)"
	case e.TSIG == dns.RcodeBadTime:
		why = "the clocks here and there differ by more than the signature allows (BADTIME)"
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

const (
	firstWait = time.Second // for the first answer over UDP; doubled at each try
	udpTries  = 3
	tcpWait   = 5 * time.Second
	udpSize   = 1232 // what passes any path without fragments
)

// how a message is sent.
type how struct {
	key *Key // signs it, anew for each server; nil: it is not signed
	tcp bool // not by UDP
}

// exchange sends a message to servers in turn until one answers: by UDP, a few
// times, then by TCP, which also gets what does not fit.
func exchange(ctx context.Context, servers []string, m *dns.Msg, h how) (reply *dns.Msg, server string, err error) {
	var faults []string
	for _, server := range servers {
		reply, err := exchangeWith(ctx, server, m, h)
		if err == nil {
			return reply, server, nil
		}
		if ctx.Err() != nil {
			return nil, server, context.Cause(ctx)
		}
		var wrong *ServerError
		if errors.As(err, &wrong) {
			return nil, server, err
		}
		faults = append(faults, fmt.Sprintf("%s: %v", server, err))
	}
	return nil, "", fmt.Errorf("%w (%s)", ErrUnreachable, strings.Join(faults, "; "))
}

func exchangeWith(ctx context.Context, server string, m *dns.Msg, h how) (*dns.Msg, error) {
	m.Id = dns.Id()
	wait := firstWait
	for i := 0; i < udpTries && !h.tcp; i++ {
		reply, err := once(ctx, "udp", server, m, h.key, wait)
		switch {
		case err == nil && !reply.Truncated:
			return reply, nil
		case err == nil:
			return once(ctx, "tcp", server, m, h.key, tcpWait)
		case ctx.Err() != nil:
			return nil, err
		}
		var wrong *ServerError
		if errors.As(err, &wrong) {
			return nil, err
		}
		var slow net.Error
		if !errors.As(err, &slow) || !slow.Timeout() {
			break // nobody listens there: no use in waiting
		}
		wait *= 2
	}
	return once(ctx, "tcp", server, m, h.key, tcpWait)
}

// once sends the message once. A signature that the server did not take is
// a *ServerError.
func once(ctx context.Context, proto, server string, m *dns.Msg, key *Key, wait time.Duration) (*dns.Msg, error) {
	c := &dns.Client{Net: proto, UDPSize: udpSize}
	m = m.Copy()
	if key != nil {
		c.TsigSecret = map[string]string{key.Name: key.secret}
		m.SetTsig(key.Name, key.Algorithm, fudge, time.Now().Unix())
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	reply, _, err := c.ExchangeContext(ctx, m, server)
	if reply == nil {
		if err == nil {
			err = errors.New("no answer")
		}
		return nil, err
	}
	if t := reply.IsTsig(); t != nil && t.Error != dns.RcodeSuccess && reply.Id == m.Id {
		return nil, &ServerError{Server: server, Rcode: reply.Rcode, TSIG: int(t.Error), Text: edeText(reply)}
	}
	switch {
	case err != nil:
	case key != nil && reply.IsTsig() == nil:
		err = errors.New("its answer is not signed")
	case !reply.Response || reply.Opcode != m.Opcode || len(reply.Question) > 0 && !sameQuestion(reply.Question[0], m.Question[0]):
		err = errors.New("its answer is to another question")
	}
	return reply, err
}

func sameQuestion(a, b dns.Question) bool {
	return strings.EqualFold(a.Name, b.Name) && a.Qtype == b.Qtype && a.Qclass == b.Qclass
}

// fudge is the seconds that clocks may differ (RFC 8945, section 10).
const fudge = 300

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
		if c < ' ' || c == 0x7f || c == '\u009b' {
			return '?'
		}
		return c
	}, text)
}

// systemServers are those of /etc/resolv.conf.
func systemServers(file string) ([]string, error) {
	conf, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("the system's name servers: %w", err)
	}
	var servers []string
	for _, s := range conf.Servers {
		servers = append(servers, net.JoinHostPort(s, conf.Port))
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("the system's name servers: there are none in %s", file)
	}
	return servers, nil
}

// resolvConf is where a system keeps the addresses of its name servers.
const resolvConf = "/etc/resolv.conf"

// withPort adds the port of DNS to a server's address that has none.
func withPort(server string) (string, error) {
	if host, port, err := net.SplitHostPort(server); err == nil && port != "" && host != "" {
		return server, nil
	}
	host := strings.Trim(server, "[]")
	if host == "" || strings.ContainsAny(host, "[] \t") {
		return "", fmt.Errorf("server %q is no address: write it as 192.0.2.53, 192.0.2.53:5300 or [2001:db8::53]:53", server)
	}
	return net.JoinHostPort(host, "53"), nil
}

func withPorts(servers []string) (out []string, err error) {
	for _, s := range servers {
		if s, err = withPort(s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}
