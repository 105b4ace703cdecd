package call

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"golang.org/x/time/rate"
)

const (
	product = "dialtone"
	allowed = "INVITE, ACK, CANCEL, BYE, OPTIONS"

	// Messages of SIP that are read: enough for any call, and little enough that
	// what the library keeps of each (up to 32 s) is bounded.
	messagesPerSecond = 100
	messagesAtOnce    = 300
)

// quiet keeps the library from logging: what matters comes as an error or an Event.
var quiet = sync.OnceFunc(func() { sip.SetDefaultLogger(slog.New(slog.DiscardHandler)) })

// userAgent is one of SIP (RFC 3261, section 6): sockets, transactions, and
// what is answered to requests.
type userAgent struct {
	ua     *sipgo.UserAgent
	client *sipgo.Client
	server *sipgo.Server
	limit  *rate.Limiter // of what is read
}

var errTooMuch = errors.New("too many messages")

func newUserAgent(conf *tls.Config, tcp *sip.TransportTCP) (*userAgent, error) {
	quiet()
	a := &userAgent{limit: rate.NewLimiter(messagesPerSecond, messagesAtOnce)}
	few := func(p sip.TransportReadProps, data []byte) ([]byte, error) {
		switch {
		case a.limit.Allow():
			return data, nil
		case p.Transport == "UDP":
			return nil, nil // as if it were lost
		}
		return nil, errTooMuch // a stream does without nothing
	}
	var err error
	a.ua, err = sipgo.NewUA(
		sipgo.WithUserAgent(product),
		sipgo.WithUserAgenTLSConfig(conf),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerReadFilter(few),
			sip.WithTransportLayerTransports(sip.TransportsConfig{TCP: tcp})),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerTerminateOnConnClose()),
	)
	if err != nil {
		return nil, err
	}
	if a.client, err = sipgo.NewClient(a.ua, sipgo.WithClientNAT()); err == nil {
		a.server, err = sipgo.NewServer(a.ua)
	}
	if err != nil {
		a.ua.Close()
		return nil, err
	}
	a.server.OnOptions(func(req *sip.Request, tx sip.ServerTransaction) { respond(req, tx, 200, "OK") })
	a.server.OnNoRoute(func(req *sip.Request, tx sip.ServerTransaction) { respond(req, tx, 405, "Method Not Allowed") })
	return a, nil
}

// respond answers a request outside of what dialogs do. If it is lost, the
// request comes again.
func respond(req *sip.Request, tx sip.ServerTransaction, code int, reason string) {
	if req.IsAck() {
		return
	}
	res := sip.NewResponseFromRequest(req, code, reason, nil)
	common(res)
	_ = tx.Respond(res)
}

// common adds the headers that requests and answers of ours have.
func common(m interface{ AppendHeader(sip.Header) }) {
	m.AppendHeader(sip.NewHeader("Allow", allowed))
	m.AppendHeader(sip.NewHeader("Accept", "application/sdp"))
	m.AppendHeader(sip.NewHeader("User-Agent", product))
}

// localAddr is the address of ours from which the other is reached. Nothing is
// sent for it.
func localAddr(to netip.AddrPort) (netip.Addr, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return unmapped(c.LocalAddr().(*net.UDPAddr).AddrPort()).Addr(), nil
}

// uriHost writes an address as URIs have it (RFC 3261, section 25.1).
func uriHost(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.WithZone("").String() + "]"
	}
	return a.String()
}

// contactOf says where requests in a dialog reach us.
func contactOf(addr netip.Addr, port int, transport string) sip.ContactHeader {
	uri := sip.Uri{Scheme: "sip", User: product, Host: uriHost(addr), Port: port}
	if transport != "udp" {
		uri.UriParams.Add("transport", transport)
	}
	return sip.ContactHeader{Address: uri}
}

// outgoing is a UDP socket that tells when nobody listens at the other end.
type outgoing struct {
	net.PacketConn
	unreachable func(error)
}

func listenOutgoing(ctx context.Context, ip netip.Addr, unreachable func(error)) (*outgoing, error) {
	conn, err := (&net.ListenConfig{Control: tellUnreachable}).ListenPacket(ctx, "udp", netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		return nil, err
	}
	return &outgoing{conn, unreachable}, nil
}

// ReadFrom goes on after what ICMP told.
func (c *outgoing) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		var told syscall.Errno
		if err == nil || !errors.As(err, &told) {
			return n, from, err
		}
		c.unreachable(told)
	}
}

// turn reads a listening socket for a while. The library keeps something of
// every address that it read from until then.
type turn struct {
	net.PacketConn
	left   int
	recent [recentAddrs]string // from which it read last
	end    func(recent []string)
}

const (
	messagesPerTurn = 2000
	recentAddrs     = 64
)

func (t *turn) ReadFrom(b []byte) (int, net.Addr, error) {
	if t.left--; t.left < 0 {
		t.end(t.recent[:])
		return 0, nil, net.ErrClosed
	}
	n, from, err := t.PacketConn.ReadFrom(b)
	if err == nil {
		t.recent[t.left%recentAddrs] = from.String()
	}
	return n, from, err
}

// serveUDP reads until the socket is closed.
func (a *userAgent) serveUDP(conn net.PacketConn) error {
	layer := a.ua.TransportLayer()
	var kept []string
	for {
		// Those whose messages are still being handled are answered by this socket.
		t := &turn{PacketConn: conn, left: messagesPerTurn, end: func(recent []string) {
			layer.Pool("udp").DeleteMultiple(kept)
			kept = recent
			for _, addr := range kept {
				layer.Pool("udp").Add(addr, listening(conn))
			}
		}}
		if err := layer.ServeUDP(t); err != nil {
			return err
		}
		if t.left >= 0 {
			return net.ErrClosed
		}
	}
}

// listening is a socket of ours as the library wants it. It does not close it.
func listening(conn net.PacketConn) *sip.UDPConnection {
	return &sip.UDPConnection{PacketConn: conn, PacketAddr: conn.LocalAddr().String(), Listener: true}
}

// impatient gives connections that end when nothing is said on them: soon before
// the first word, after idle later.
type impatient struct {
	net.Listener
	idle time.Duration
}

const firstWord = 30 * time.Second

func (l impatient) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &timed{Conn: c, wait: firstWord, idle: l.idle}, nil
}

type timed struct {
	net.Conn
	wait, idle time.Duration
}

func (c *timed) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.wait)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.wait = c.idle
	}
	return n, err
}
