package linear

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Patience is how long a client waits for an answer. On loopback none is lost but by a crash.
const Patience = 30 * time.Second

// Options of Run.
type Options struct {
	Zone string // with its final dot; the numbers are owners below it
	// KeyName and Secret (base64, hmac-sha256) sign every other update, with a key that all share; empty: none is signed.
	KeyName, Secret string
	Clients         int
	Seed            uint64
}

// Clients are the clients of one server.
type Clients struct {
	o   Options
	h   *History
	all []*client

	addrs []string // of the server
}

// NewClients makes clients that write into h. They may be run several times, one run after the other.
func NewClients(h *History, o Options) *Clients {
	c := &Clients{o: o, h: h}
	for i := range o.Clients {
		c.all = append(c.all, &client{Clients: c, number: i, random: rand.New(rand.NewPCG(o.Seed, uint64(i)))})
	}
	return c
}

// RunUntil has the clients work until so many operations have been answered, and ends the server by end in the middle of
// what they do. All of it is over when it returns. An error is that of end, or an answer that no server should give.
func (c *Clients) RunUntil(addrs []string, ops int, end func() error) error {
	c.addrs = addrs
	errs := make([]error, len(c.all)+1)
	enough := c.h.after(ops)
	for _, cl := range c.all {
		cl.begin()
	}
	var wg sync.WaitGroup
	for i, cl := range c.all {
		wg.Go(func() {
			if errs[i] = cl.run(); errs[i] != nil {
				c.h.enough()
			}
		})
	}
	<-enough
	errs[len(c.all)] = end()
	for _, cl := range c.all {
		cl.hangUp()
	}
	wg.Wait()
	c.h.over()
	return errors.Join(errs...)
}

// client does one operation after the other, each over a connection of its choice.
type client struct {
	*Clients
	number int
	random *rand.Rand
	seen   State // what it last saw of each name
	wrote  uint32

	mu struct {
		sync.Mutex
		conns map[string]net.Conn // by network and address
		gone  bool                // the server
	}
}

// errGone says that no answer came.
var errGone = errors.New("the server is gone")

func (c *client) run() error {
	for {
		err := c.step()
		if errors.Is(err, errGone) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("client %d: %w", c.number, err)
		}
	}
}

func (c *client) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.conns, c.mu.gone = map[string]net.Conn{}, false
}

func (c *client) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.gone = true
	for _, conn := range c.mu.conns {
		conn.Close()
	}
}

// step does one operation.
func (c *client) step() error {
	in := c.choose()
	addr := c.addrs[c.random.IntN(len(c.addrs))]
	network := [...]string{"udp", "tcp"}[c.random.IntN(2)]
	if in.All {
		network = "tcp"
	}
	signed := in.Writes != nil && c.o.KeyName != "" && c.random.IntN(2) == 0
	twice := signed && network == "udp" && c.random.IntN(4) == 0 // as by a client that is impatient
	conn, err := c.conn(network, addr)
	if err != nil {
		return errGone // nothing was sent
	}
	number := c.h.call(c.number, in)
	out, err := c.exchange(conn, in, signed, twice)
	if err != nil {
		return err
	}
	c.h.returned(number, out)
	c.learn(in, out)
	return nil
}

// choose makes up an operation.
func (c *client) choose() Input {
	switch n := c.random.IntN(Names); c.random.IntN(10) {
	case 0:
		return Input{All: true}
	case 1, 2, 3:
		return Input{Name: n}
	case 4: // whatever is there
		return Input{Writes: []Value{c.value(n)}}
	case 5:
		return Input{Prerequisites: []Prerequisite{{Exists, Value{Name: n}}}, Writes: []Value{{n, 0}}}
	case 6:
		return Input{Prerequisites: []Prerequisite{{NotInUse, Value{Name: n}}}, Writes: []Value{c.value(n)}}
	case 7: // two at once, if a third is there
		return Input{Prerequisites: []Prerequisite{{InUse, Value{Name: c.random.IntN(Names)}}}, Writes: []Value{c.value(n), c.value((n + 1) % Names)}}
	case 8: // moves from one to the other
		in := Input{Prerequisites: []Prerequisite{{ExistsNot, Value{Name: (n + 2) % Names}}}, Writes: []Value{{n, 0}, c.value((n + 2) % Names)}}
		return c.ifSeen(in, n)
	default:
		return c.ifSeen(Input{Writes: []Value{c.value(n)}}, n)
	}
}

// ifSeen makes it depend on what the client has seen of a name.
func (c *client) ifSeen(in Input, name int) Input {
	p := Prerequisite{Is, Value{name, c.seen[name]}}
	if c.seen[name] == 0 {
		p.Kind = ExistsNot
	}
	in.Prerequisites = append(in.Prerequisites, p)
	return in
}

// value makes one that no other client writes, and this one once only.
func (c *client) value(name int) Value {
	c.wrote++
	return Value{name, uint32(c.number+1)<<16 | c.wrote}
}

func (c *client) learn(in Input, out Output) {
	switch {
	case in.All:
		c.seen = out.Values
	case in.Writes == nil:
		c.seen[in.Name] = out.Values[in.Name]
	case out.Rcode == dns.RcodeSuccess:
		for _, w := range in.Writes {
			c.seen[w.Name] = w.Value
		}
	}
}

func (c *client) conn(network, addr string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.gone {
		return nil, errGone
	}
	if conn := c.mu.conns[network+addr]; conn != nil {
		return conn, nil
	}
	conn, err := net.DialTimeout(network, addr, 5*time.Second)
	if err == nil {
		c.mu.conns[network+addr] = conn
	}
	return conn, err
}

// exchange sends an operation and reads its answer. An error other than errGone is the server's fault.
func (c *client) exchange(nc net.Conn, in Input, signed, twice bool) (Output, error) {
	m := in.message(c.o.Zone)
	raw, mac, err := c.pack(m, signed)
	if err != nil {
		return Output{}, err
	}
	conn := &dns.Conn{Conn: nc, UDPSize: 4096}
	for range 1 + count(twice) {
		if _, err := conn.Write(raw); err != nil {
			return Output{}, errGone
		}
	}
	if err := nc.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		return Output{}, errGone
	}
	var all []dns.RR
	for soas := 0; ; {
		p, err := conn.ReadMsgHeader(nil)
		var failed net.Error
		switch {
		case errors.As(err, &failed) && failed.Timeout():
			return Output{}, fmt.Errorf("no answer to %s within %v", in, Patience)
		case err != nil:
			return Output{}, errGone
		}
		r := new(dns.Msg)
		if err := r.Unpack(p); err != nil {
			return Output{}, fmt.Errorf("%s: %w", in, err)
		}
		if r.Id != m.Id {
			continue // the second answer to what was sent twice
		}
		if signed && r.Rcode != dns.RcodeNotAuth {
			if err := dns.TsigVerify(p, c.o.Secret, mac, false); err != nil {
				return Output{}, fmt.Errorf("%s: %w", in, err)
			}
		}
		all = append(all, r.Answer...)
		for _, a := range r.Answer {
			soas += count(a.Header().Rrtype == dns.TypeSOA)
		}
		if !in.All || soas == 2 || r.Rcode != dns.RcodeSuccess {
			return in.output(c.o.Zone, r.Rcode, all)
		}
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// pack gives the octets of a message, and its MAC when it is signed.
func (c *client) pack(m *dns.Msg, signed bool) (raw []byte, mac string, err error) {
	if !signed {
		raw, err = m.Pack()
		return raw, "", err
	}
	m.SetTsig(c.o.KeyName, dns.HmacSHA256, 300, time.Now().Unix())
	return dns.TsigGenerate(m, c.o.Secret, "", false)
}

func owner(name int, zone string) string { return fmt.Sprintf("555%d.%s", name, zone) }

// message is the operation as a client sends it.
func (in Input) message(zone string) *dns.Msg {
	m := new(dns.Msg)
	switch {
	case in.All:
		return m.SetAxfr(zone)
	case in.Writes == nil:
		return m.SetQuestion(owner(in.Name, zone), dns.TypeA)
	}
	m.SetUpdate(zone)
	for _, p := range in.Prerequisites {
		r := []dns.RR{address(p.Value, zone)}
		switch p.Kind {
		case Is:
			m.Used(r)
		case Exists:
			m.RRsetUsed(r)
		case ExistsNot:
			m.RRsetNotUsed(r)
		case InUse:
			m.NameUsed(r)
		case NotInUse:
			m.NameNotUsed(r)
		}
	}
	for _, w := range in.Writes {
		r := []dns.RR{address(w, zone)}
		m.RemoveRRset(r)
		if w.Value != 0 {
			m.Insert(r)
		}
	}
	return m
}

func address(v Value, zone string) dns.RR {
	ip := binary.BigEndian.AppendUint32(nil, 10<<24|v.Value)
	return &dns.A{Hdr: dns.RR_Header{Name: owner(v.Name, zone), Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: ip}
}

// output is what an answer says.
func (in Input) output(zone string, rcode int, answer []dns.RR) (out Output, err error) {
	if in.Writes != nil {
		return Output{Rcode: rcode}, nil
	}
	if rcode != dns.RcodeSuccess && rcode != dns.RcodeNameError {
		return out, fmt.Errorf("%s is answered %s", in, dns.RcodeToString[rcode])
	}
	for _, r := range answer {
		a, ok := r.(*dns.A)
		if !ok {
			continue
		}
		for name := range Names {
			if a.Hdr.Name != owner(name, zone) {
				continue
			}
			if out.Values[name] != 0 {
				return out, fmt.Errorf("%s: %s has two addresses", in, a.Hdr.Name)
			}
			out.Values[name] = binary.BigEndian.Uint32(a.A.To4()) & 0xffffff
		}
	}
	return out, nil
}
