package peertest

import (
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
)

// Client sends updates to one server over one connection, as a phone or a DHCP server would.
type Client struct {
	addr, network string
	key           *Key
	conn          net.Conn
}

// NewClient makes a Client for "udp" or "tcp". Key may be nil.
func NewClient(addr, network string, key *Key) *Client {
	return &Client{addr: addr, network: network, key: key}
}

// Close closes the connection.
func (c *Client) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// Do sends one message and gives the RCODE of its reply. After an error nobody knows whether it was carried out; there
// is no second try.
func (c *Client) Do(m *dns.Msg) (int, error) {
	r, err := c.Exchange(m)
	if err != nil {
		return 0, err
	}
	return r.Rcode, nil
}

// Exchange is Do that gives the whole reply.
func (c *Client) Exchange(m *dns.Msg) (*dns.Msg, error) {
	if c.conn == nil {
		conn, err := net.DialTimeout(c.network, c.addr, 5*time.Second)
		if err != nil {
			return nil, err
		}
		c.conn = conn
	}
	r, err := c.exchange(m)
	if err != nil {
		c.Close()
	}
	return r, err
}

func (c *Client) exchange(m *dns.Msg) (*dns.Msg, error) {
	// A dns.Conn mixes the MAC of the message before into the next, so each message has its own.
	conn := &dns.Conn{Conn: c.conn, UDPSize: 4096}
	if c.key != nil {
		conn.TsigSecret = map[string]string{c.key.Name: c.key.Secret}
		m.SetTsig(c.key.Name, dns.Fqdn(c.key.Algorithm), 300, time.Now().Unix())
	}
	if err := conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		return nil, err
	}
	if err := conn.WriteMsg(m); err != nil {
		return nil, err
	}
	r, err := conn.ReadMsg()
	if err != nil {
		return nil, err
	}
	if r.Id != m.Id {
		return nil, fmt.Errorf("reply to %d has id %d", m.Id, r.Id)
	}
	if c.key != nil && r.IsTsig() == nil {
		return nil, fmt.Errorf("the reply to a signed message is not signed: %s", dns.RcodeToString[r.Rcode])
	}
	return r, nil
}

// Register is the update of a phone: its address records are replaced by one.
func Register(zone, owner, address string) *dns.Msg {
	m := new(dns.Msg)
	m.SetUpdate(zone)
	r := RR(fmt.Sprintf("%s 60 IN A %s", owner, address))
	m.RemoveRRset([]dns.RR{r})
	m.Insert([]dns.RR{r})
	return m
}

// RR reads a record that a test wrote down.
func RR(text string) dns.RR {
	r, err := dns.NewRR(text)
	if err != nil || r == nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	return r
}
