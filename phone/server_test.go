package phone

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// fakeServer answers on UDP and TCP from lines of a master file. What it is asked it keeps.
type fakeServer struct {
	addr    string
	mu      sync.Mutex
	records []dns.RR
	asked   []*dns.Msg
	octets  [][]byte                                             // as they came
	from    []string                                             // by which protocol, from where
	change  func(w dns.ResponseWriter, req, reply *dns.Msg) bool // one at a time; false: no answer
}

func newServer(t *testing.T, lines string) *fakeServer {
	t.Helper()
	s, stop, err := startServer(lines)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return s
}

func startServer(lines string) (s *fakeServer, stop func(), err error) {
	s = &fakeServer{}
	zp := dns.NewZoneParser(strings.NewReader(lines), "phones.example.", "")
	zp.SetDefaultTTL(60)
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		s.records = append(s.records, rr)
	}
	if err := zp.Err(); err != nil {
		return nil, nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	s.addr = l.Addr().String()
	p, err := net.ListenPacket("udp", s.addr)
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	accept := func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
	keys := map[string]string{"5551234.phones.example.": secret}
	servers := []*dns.Server{{Listener: l}, {PacketConn: p}}
	for _, x := range servers {
		x.Handler, x.MsgAcceptFunc, x.TsigSecret, x.DecorateReader = s, accept, keys, func(r dns.Reader) dns.Reader { return &recorder{r, s} }
		ready := make(chan struct{})
		x.NotifyStartedFunc = func() { close(ready) }
		go x.ActivateAndServe()
		<-ready
	}
	return s, func() {
		for _, x := range servers {
			x.Shutdown()
		}
	}, nil
}

// FakeServer is one for the examples: it knows lines of a master file, and grants leases of half an hour.
func FakeServer(lines string) (addr string, stop func()) {
	s, stop, err := startServer(lines)
	if err != nil {
		panic(err)
	}
	s.grants(&dns.EDNS0_UL{Code: dns.EDNS0UL, Lease: 1800})
	return s.addr, stop
}

func (s *fakeServer) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	s.mu.Lock()
	s.asked = append(s.asked, req)
	s.from = append(s.from, w.RemoteAddr().Network()+" "+w.RemoteAddr().String())
	s.mu.Unlock()
	reply := new(dns.Msg).SetReply(req)
	if req.Opcode == dns.OpcodeQuery {
		exists := false
		for _, rr := range s.records {
			if strings.EqualFold(rr.Header().Name, req.Question[0].Name) {
				exists = true
				if rr.Header().Rrtype == req.Question[0].Qtype {
					reply.Answer = append(reply.Answer, rr)
				}
			}
		}
		if !exists {
			reply.Rcode = dns.RcodeNameError
		}
	}
	if !s.changed(w, req, reply) {
		return
	}
	if t := req.IsTsig(); t != nil && w.TsigStatus() == nil && reply.IsTsig() == nil {
		reply.SetTsig(t.Hdr.Name, t.Algorithm, fudge, int64(t.TimeSigned))
	}
	w.WriteMsg(reply)
}

func (s *fakeServer) changed(w dns.ResponseWriter, req, reply *dns.Msg) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change == nil || s.change(w, req, reply)
}

// ways tells by which protocol and from where each request came.
func (s *fakeServer) ways() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.from)
}

// times tells when each request was signed.
func (s *fakeServer) times() (list []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.asked {
		list = append(list, int64(m.IsTsig().TimeSigned))
	}
	return list
}

func (s *fakeServer) answers(change func(w dns.ResponseWriter, req, reply *dns.Msg) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change = change
}

func (s *fakeServer) last() *dns.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[len(s.asked)-1]
}

// questions gives what was asked so far.
func (s *fakeServer) questions() (list []dns.Question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.asked {
		list = append(list, m.Question...)
	}
	return list
}

// recorder keeps what is read.
type recorder struct {
	dns.Reader
	s *fakeServer
}

func (r *recorder) keep(m []byte) {
	if len(m) > 0 {
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
		r.s.octets = append(r.s.octets, slices.Clone(m))
	}
}

func (r *recorder) ReadTCP(c net.Conn, timeout time.Duration) ([]byte, error) {
	m, err := r.Reader.ReadTCP(c, timeout)
	r.keep(m)
	return m, err
}

func (r *recorder) ReadUDP(c *net.UDPConn, timeout time.Duration) ([]byte, *dns.SessionUDP, error) {
	m, session, err := r.Reader.ReadUDP(c, timeout)
	r.keep(m)
	return m, session, err
}
