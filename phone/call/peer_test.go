package call

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"github.com/pion/rtp"

	"dialtone/phone"
)

// peer is another SIP phone, which does what a test wants.
type peer struct {
	*userAgent
	addr   netip.AddrPort
	dialog *sipgo.DialogUA
}

func newPeer(t *testing.T, does func(*peer)) *peer {
	t.Helper()
	a, err := newUserAgent(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{userAgent: a, addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	contact := contactOf(p.addr.Addr(), int(p.addr.Port()), "udp")
	p.dialog = &sipgo.DialogUA{Client: a.client, ContactHDR: contact}
	// Registered before it reads, so that nothing is sent from elsewhere.
	a.ua.TransportLayer().Pool("udp").Add(p.addr.String(), listening(conn))
	if does != nil {
		does(p)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); a.serveUDP(conn) }()
	t.Cleanup(func() { a.ua.Close(); conn.Close(); <-ended })
	return p
}

// request is one to an Answerer, from the address of the peer.
func (p *peer) request(method sip.RequestMethod, to netip.AddrPort, body string) *sip.Request {
	req := sip.NewRequest(method, sip.Uri{Scheme: "sip", User: "5551234", Host: "5551234.phones.example"})
	req.SetDestination(to.String())
	req.Laddr = sip.Addr{IP: p.addr.Addr().AsSlice(), Port: int(p.addr.Port())}
	if body != "" {
		req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
		req.SetBody([]byte(body))
	}
	return req
}

// invites sets a call up, and answers with ack as the body of the ACK.
func (p *peer) invites(t *testing.T, to netip.AddrPort, body string, ack func(answer []byte) []byte) *sipgo.DialogClientSession {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d, err := p.dialog.WriteInvite(ctx, p.request(sip.INVITE, to, body))
	if err == nil {
		err = d.WaitAnswer(ctx, sipgo.AnswerOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	req := sip.NewRequest(sip.ACK, d.InviteResponse.Contact().Address)
	if ack != nil {
		req.SetBody(ack(d.InviteResponse.Body()))
	}
	if err := d.WriteAck(ctx, req); err != nil {
		t.Fatal(err)
	}
	return d
}

func call(addr netip.AddrPort) (*Caller, *diary) {
	d := newDiary()
	return &Caller{Locator: &directory{lists: [][]phone.Contact{at("udp", addr)}}, Report: d.report}, d
}

// TestFinalAnswers: what the other side says decides how the call ended.
func TestFinalAnswers(t *testing.T) {
	codes := map[string]int{}
	answer := func(req *sip.Request, tx sip.ServerTransaction) {
		respond(req, tx, codes[req.Recipient.User], "Because\tof it")
	}
	for code := 300; code < 700; code++ {
		codes["1"+phoneOf(code)] = code
	}
	for _, code := range []int{200, 202} {
		codes["1"+phoneOf(code)] = code
	}
	p := newPeer(t, func(p *peer) {
		p.server.OnInvite(answer)
		p.server.OnOptions(answer)
	})
	for code, want := range map[int][2]error{ // of a call, of a question
		486: {ErrBusy, ErrBusy}, 600: {ErrBusy, ErrBusy},
		480: {ErrNoAnswer, ErrNoAnswer}, 408: {ErrNoAnswer, ErrNoAnswer}, 487: {ErrNoAnswer, ErrNoAnswer},
		603: {ErrDeclined, ErrDeclined}, 403: {ErrDeclined, ErrDeclined}, 401: {ErrDeclined, ErrDeclined}, 302: {ErrDeclined, ErrDeclined},
		404: {ErrUnreachable, ErrUnreachable}, 410: {ErrUnreachable, ErrUnreachable}, 503: {ErrUnreachable, ErrUnreachable}, 500: {ErrUnreachable, ErrUnreachable},
		405: {ErrDeclined, nil}, 420: {ErrDeclined, nil}, 501: {ErrUnreachable, nil},
	} {
		t.Run(phoneOf(code), func(t *testing.T) {
			t.Parallel()
			n := phone.Number("1" + phoneOf(code))
			c, d := call(p.addr)
			err := c.Ring(context.Background(), n, Talk{})
			if !errors.Is(err, want[0]) || !strings.Contains(err.Error(), phoneOf(code)+" Because?of it") {
				t.Errorf("call: %v, want %v", err, want[0])
			}
			if err := c.Probe(context.Background(), n); !errors.Is(err, want[1]) {
				t.Errorf("question: %v, want %v", err, want[1])
			}
			if _, ok := d.find(Answered); ok {
				t.Errorf("%v", d.events)
			}
		})
	}
}

func phoneOf(code int) string {
	return string([]byte{byte('0' + code/100), byte('0' + code/10%10), byte('0' + code%10)})
}

// TestRequestNamesTheNumber holds what a request says.
func TestRequestNamesTheNumber(t *testing.T) {
	got := make(chan *sip.Request, 1)
	p := newPeer(t, func(p *peer) {
		p.server.OnInvite(func(req *sip.Request, tx sip.ServerTransaction) {
			got <- req
			respond(req, tx, 603, "Decline")
		})
	})
	for from, want := range map[string]string{
		"":                     "sip:dialtone@127.0.0.1",
		"sip:1234@example.com": "sip:1234@example.com",
	} {
		c, _ := call(p.addr)
		c.From = from
		if err := c.Ring(context.Background(), "5551234", Talk{}); !errors.Is(err, ErrDeclined) {
			t.Fatal(err)
		}
		req := <-got
		const uri = "sip:5551234@5551234.phones.example"
		if req.Recipient.String() != uri || req.To().Address.String() != uri || req.From().Address.String() != want {
			t.Errorf("%s", req)
		}
		s, err := agreed(p.addr, req.Body())
		if err != nil || s.peer.Addr() != p.addr.Addr() || s.name != "PCMU" || !s.sends || !s.listens {
			t.Errorf("%+v, %v", s, err)
		}
	}
	var mistake *phone.InputError
	for _, bad := range []string{"me", "tel:123", "sip:", "sip:a\r\nX: y@z"} {
		c, _ := call(p.addr)
		if c.From = bad; !errors.As(c.Ring(context.Background(), "5551234", Talk{}), &mistake) {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestManyProvisionalAnswers: some phones say a lot before they answer.
func TestManyProvisionalAnswers(t *testing.T) {
	acked := make(chan struct{})
	var talks atomic.Pointer[sipgo.DialogServerSession]
	p := newPeer(t, func(p *peer) {
		p.server.OnInvite(func(req *sip.Request, tx sip.ServerTransaction) {
			d, err := p.dialog.ReadInvite(req, tx)
			if err != nil {
				t.Error(err)
				return
			}
			talks.Store(d)
			for i := range 25 {
				if err := d.Respond(181+i%3, "Progress", nil); err != nil {
					t.Error(err)
				}
			}
			body, _, err := answer(netip.AddrPortFrom(p.addr.Addr(), 9), req.Body())
			if err == nil {
				err = d.RespondSDP(body)
			}
			if err != nil {
				t.Error(err)
			}
			close(acked)
		})
		p.server.OnAck(func(req *sip.Request, tx sip.ServerTransaction) { talks.Load().ReadAck(req, tx) })
		p.server.OnBye(func(req *sip.Request, tx sip.ServerTransaction) {
			<-acked // which may be handled after it
			talks.Load().ReadBye(req, tx)
		})
	})
	c, d := call(p.addr)
	if err := c.Ring(context.Background(), "5551234", Talk{For: time.Millisecond}); err != nil {
		t.Errorf("%v, %v", err, d.events)
	}
	<-acked
}

// TestAnswerThatCrossesCancel: it is acknowledged and hung up (RFC 3261, section
// 9.1). The phone is made by hand: the library would not answer after CANCEL.
func TestAnswerThatCrossesCancel(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	addr := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	contact := contactOf(addr.Addr(), int(addr.Port()), "udp")
	here := newDiary()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- (&Caller{Locator: &directory{lists: [][]phone.Contact{at("udp", addr)}}, Report: here.report}).Ring(ctx, "5551234", Talk{})
	}()
	parser, buf := sip.NewParser(), make([]byte, 1<<16)
	var invite *sip.Request
	say := func(to *sip.Request, code int, reason string, body []byte) {
		res := sip.NewResponseFromRequest(to, code, reason, body)
		res.To().Params.Remove("tag")
		res.To().Params.Add("tag", "there")
		res.AppendHeader(&contact)
		if _, err := conn.WriteTo([]byte(res.String()), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to.Source()))); err != nil {
			t.Error(err)
		}
	}
	for seen := map[sip.RequestMethod]bool{}; !seen[sip.BYE]; {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatalf("%v; %v came", err, seen)
		}
		m, err := parser.ParseSIP(buf[:n])
		req, ok := m.(*sip.Request)
		if err != nil || !ok {
			t.Fatalf("%v, %s", err, buf[:n])
		}
		req.SetSource(from.String())
		again := seen[req.Method]
		seen[req.Method] = true
		switch {
		case req.Method == sip.INVITE && !again:
			invite = req
			say(req, 180, "Ringing", nil)
			here.await(t, Ringing)
			cancel()
		case req.Method == sip.CANCEL:
			say(req, 200, "OK", nil)
			body, _, err := answer(addr, invite.Body())
			if err != nil {
				t.Fatal(err)
			}
			say(invite, 200, "OK", body)
		case req.Method == sip.BYE:
			if !seen[sip.ACK] {
				t.Error("hung up without ACK")
			}
			say(req, 200, "OK", nil)
		}
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, ok := here.find(Answered); ok {
		t.Errorf("%v", here.kinds())
	}
}

// TestOfferInTheAnswer: a phone that offers no audio gets our offer, and answers
// it with the ACK.
func TestOfferInTheAnswer(t *testing.T) {
	there := newDiary()
	addr := answers(t, &Answerer{Play: tone(40 * time.Millisecond), Report: there.report, MaxTime: 500 * time.Millisecond})
	m, err := newMedia(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	p := newPeer(t, func(p *peer) {
		p.server.OnBye(func(req *sip.Request, tx sip.ServerTransaction) { respond(req, tx, 200, "OK") })
	})
	p.invites(t, addr, "", func(offered []byte) []byte {
		body, _, err := answer(m.local, offered)
		if err != nil {
			t.Error(err)
		}
		return body
	})
	buf := make([]byte, maxPacket)
	m.conn.SetReadDeadline(time.Now().Add(patience))
	n, err := m.conn.Read(buf)
	var packet rtp.Packet
	if err == nil {
		err = packet.Unmarshal(buf[:n])
	}
	if err != nil || packet.PayloadType != 0 || len(packet.Payload) != 160 || !packet.Marker {
		t.Errorf("%v, %v", packet, err)
	}
	there.await(t, HungUp)

	// Without an answer there is no call.
	p.invites(t, addr, "", nil)
	there.await(t, Missed)
}

// TestTheCallGoesOn: what is asked in a call, or by others, does not end it, until
// the one who is in it is gone.
func TestTheCallGoesOn(t *testing.T) {
	there := newDiary()
	addr := answers(t, &Answerer{Report: there.report, MaxTime: time.Hour, pingEvery: 20 * time.Millisecond})
	pinged, gone := make(chan struct{}, 1000), make(chan struct{})
	p := newPeer(t, func(p *peer) {
		p.server.OnOptions(func(req *sip.Request, tx sip.ServerTransaction) {
			select {
			case <-gone:
				respond(req, tx, 481, "Call Does Not Exist")
			default:
				respond(req, tx, 405, "Method Not Allowed")
				pinged <- struct{}{}
			}
		})
		p.server.OnBye(func(req *sip.Request, tx sip.ServerTransaction) { respond(req, tx, 200, "OK") })
	})
	body, err := offer(netip.AddrPortFrom(p.addr.Addr(), 9))
	if err != nil {
		t.Fatal(err)
	}
	d := p.invites(t, addr, string(body), nil)
	there.await(t, Answered)
	<-pinged
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	within := func(method sip.RequestMethod) int {
		t.Helper()
		res, err := d.Do(ctx, sip.NewRequest(method, d.InviteResponse.Contact().Address))
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode
	}
	for method, want := range map[sip.RequestMethod]int{sip.INVITE: 488, sip.OPTIONS: 200, sip.INFO: 405} {
		if got := within(method); got != want {
			t.Errorf("%s in the call: %d, want %d", method, got, want)
		}
	}
	stranger := newPeer(t, nil)
	for method, want := range map[sip.RequestMethod]int{sip.BYE: 481, sip.INVITE: 481, sip.CANCEL: 405} {
		req := stranger.request(method, addr, "")
		to := &sip.ToHeader{Address: req.Recipient}
		to.Params.Add("tag", "guessed")
		req.AppendHeader(to)
		res, err := stranger.client.Do(ctx, req)
		if err != nil || res.StatusCode != want {
			t.Errorf("%s of a stranger: %v, %v, want %d", method, res, err, want)
		}
	}
	<-pinged
	close(gone)
	if e := there.await(t, Ended); !strings.Contains(e.String(), "gone") {
		t.Errorf("%v", e)
	}
}

// TestWrongCalls are refused.
func TestWrongCalls(t *testing.T) {
	addr := answers(t, &Answerer{Number: "5551234"})
	p := newPeer(t, nil)
	for name, x := range map[string]struct {
		change func(*sip.Request)
		code   int
	}{
		"another number": {func(r *sip.Request) { r.Recipient.User, r.Recipient.Host = "5559999", "5559999.phones.example" }, 404},
		"no user":        {func(r *sip.Request) { r.Recipient.User, r.Recipient.Host = "", "127.0.0.1" }, 404},
		"no description": {func(r *sip.Request) { r.SetBody([]byte("nothing")) }, 488},
		"no audio":       {func(r *sip.Request) { r.SetBody([]byte(strings.ReplaceAll(anOffer, "m=audio", "m=video"))) }, 488},
		"another codec":  {func(r *sip.Request) { r.SetBody([]byte(strings.ReplaceAll(anOffer, "AVP 0", "AVP 18"))) }, 488},
		"another family": {func(r *sip.Request) {
			r.SetBody([]byte(strings.ReplaceAll(anOffer, "c=IN IP4 192.0.2.1", "c=IN IP6 2001:db8::1")))
		}, 488},
		"another profile": {func(r *sip.Request) { r.SetBody([]byte(strings.ReplaceAll(anOffer, "RTP/AVP", "RTP/SAVP"))) }, 488},
		"no contact":      {func(*sip.Request) {}, 400},
	} {
		req := p.request(sip.INVITE, addr, anOffer)
		x.change(req)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		res, err := p.client.Do(ctx, req)
		cancel()
		if err != nil || res.StatusCode != x.code {
			t.Errorf("%s: %v, %v, want %d", name, res, err, x.code)
		}
	}
}

// TestProbeOfAnotherNumber: who has a number's old address is not that number.
func TestProbeOfAnotherNumber(t *testing.T) {
	addr := answers(t, &Answerer{Number: "5551234"})
	p := newPeer(t, nil)
	for user, code := range map[string]int{"5551234": 200, "5559999": 404} {
		req := p.request(sip.OPTIONS, addr, "")
		req.Recipient.User, req.Recipient.Host = user, user+".phones.example"
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		res, err := p.client.Do(ctx, req)
		cancel()
		if err != nil || res.StatusCode != code {
			t.Errorf("%s: %v, %v, want %d", user, res, err, code)
		}
	}
}

const anOffer = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
