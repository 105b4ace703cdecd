package call

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"golang.org/x/net/netutil"

	"dialtone/phone"
)

// Answerer takes calls. It listens for SIP over UDP and TCP.
type Answerer struct {
	Number    phone.Number  // calls for others are told that they are wrong; "": any is taken
	Listen    string        // address and port; "": port 5060 of all addresses
	Play      *Audio        // nil: nothing is said
	Record    string        // WAV file for what is heard, NAME-2.wav for the next call and so on; "": none
	RingFor   time.Duration // before the answer
	MaxCalls  int           // at a time, others hear that it is busy; 0: 1
	MaxTime   time.Duration // of a call; 0: 1 h
	MaxRecord int64         // octets of sound in all recordings together; 0: 256 MiB
	Report    func(Event)   // is told what happens, by many goroutines; nil: nobody is

	pingEvery time.Duration // 0: 30 s
	agent     *userAgent
	udp       net.PacketConn
	tcp       net.Listener
	budget    *budget
	mu        struct {
		sync.Mutex
		calls map[string]*taken // by the ID of the dialog
		busy  int
		over  bool
	}
	running sync.WaitGroup
}

const (
	defaultMaxTime = time.Hour
	maxConnections = 64 // by TCP
	pingEvery      = 30 * time.Second
)

// Open binds the sockets. Run does it when nobody did.
func (a *Answerer) Open() error {
	if a.udp != nil {
		return nil
	}
	a.MaxCalls, a.MaxTime = cmp.Or(a.MaxCalls, 1), cmp.Or(a.MaxTime, defaultMaxTime)
	a.budget = newBudget(cmp.Or(a.MaxRecord, recordLimit))
	a.mu.calls = map[string]*taken{}
	listen := cmp.Or(a.Listen, ":5060")
	tcp, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen for calls: %w", err)
	}
	if host, port, err := net.SplitHostPort(listen); err == nil && port == "0" {
		listen = net.JoinHostPort(host, strconv.Itoa(tcp.Addr().(*net.TCPAddr).Port))
	}
	udp, err := net.ListenPacket("udp", listen)
	if err != nil {
		tcp.Close()
		return fmt.Errorf("listen for calls: %w", err)
	}
	if a.agent, err = newUserAgent(nil, nil); err != nil {
		tcp.Close()
		udp.Close()
		return err
	}
	a.udp, a.tcp = udp, tcp
	return nil
}

// Addr is where it listens, after Open.
func (a *Answerer) Addr() netip.AddrPort {
	return unmapped(a.udp.LocalAddr().(*net.UDPAddr).AddrPort())
}

// Run takes calls until ctx ends; then it hangs up, which takes some seconds at
// most, and gives nil. It can be run once.
func (a *Answerer) Run(ctx context.Context) error {
	if err := a.Open(); err != nil {
		return err
	}
	asked := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.agent.server.OnInvite(func(req *sip.Request, tx sip.ServerTransaction) { a.invite(ctx, req, tx) })
	a.agent.server.OnOptions(a.options)
	a.agent.server.OnAck(a.ack)
	a.agent.server.OnBye(a.bye)
	var reading sync.WaitGroup
	reading.Go(func() { cancel(a.agent.serveUDP(a.udp)) })
	reading.Go(func() {
		l := impatient{netutil.LimitListener(a.tcp, maxConnections), a.MaxTime + pingEvery}
		cancel(a.agent.ua.TransportLayer().ServeTCP(l))
	})
	<-ctx.Done()
	a.mu.Lock()
	a.mu.over = true
	a.mu.Unlock()
	a.running.Wait()
	a.agent.ua.Close()
	a.tcp.Close()
	a.udp.Close()
	reading.Wait()
	if asked.Err() == nil {
		return fmt.Errorf("listen for calls: %w", context.Cause(ctx))
	}
	return nil
}

func (a *Answerer) report(e Event) {
	if a.Report != nil {
		a.Report(e)
	}
}

// taken is a call that is taken.
type taken struct {
	a      *Answerer
	invite sip.ServerTransaction
	dialog *sipgo.DialogServerSession
	media  *media
	peer   netip.AddrPort
	via    string        // its transport
	acked  chan struct{} // closed by the first ACK
	free   func()        // gives the line to the next call

	mu struct {
		sync.Mutex
		stream *stream // nil while ACK is to bring it
		fault  error
	}
}

func (t *taken) event(k Kind) Event {
	return Event{Kind: k, Number: t.a.Number, Transport: t.via, Addr: t.peer}
}

// enter keeps a line for a call, if one is free.
func (a *Answerer) enter() (leave func(), ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.over || a.mu.busy >= a.MaxCalls {
		return nil, false
	}
	a.mu.busy++
	a.running.Add(1)
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.mu.busy--
	}), true
}

// mine tells whether a request is for our number: it may name it as user or as
// host.
func (a *Answerer) mine(uri *sip.Uri) bool {
	if a.Number == "" {
		return true
	}
	n, err := phone.ParseNumber(uri.User)
	first, _, _ := strings.Cut(uri.Host, ".")
	return err == nil && n == a.Number || first == string(a.Number)
}

// options answers as an INVITE would be (RFC 3261, section 11.2), but for lines
// that are taken: whoever has the number's old address must not seem to be it.
func (a *Answerer) options(req *sip.Request, tx sip.ServerTransaction) {
	if within := req.To() != nil && req.To().Params.Has("tag"); !within && !a.mine(&req.Recipient) {
		respond(req, tx, 404, "Not Found")
		return
	}
	respond(req, tx, 200, "OK")
}

// invite runs as long as the call does.
func (a *Answerer) invite(ctx context.Context, req *sip.Request, tx sip.ServerTransaction) {
	peer, err := netip.ParseAddrPort(req.Source())
	if err != nil || req.To() == nil || req.From() == nil {
		respond(req, tx, 400, "Bad Request")
		return
	}
	t := &taken{a: a, invite: tx, peer: unmapped(peer), via: sip.NetworkToLower(req.Transport())}
	refuse := func(code int, reason string) {
		respond(req, tx, code, reason)
		e := t.event(Refused)
		e.Code, e.Reason = code, "call from "+printable(req.From().Address.String())+": "+reason
		a.report(e)
	}
	if req.To().Params.Has("tag") {
		if a.callOf(req) == nil {
			respond(req, tx, 481, "Call/Transaction Does Not Exist")
		} else {
			respond(req, tx, 488, "Not Acceptable Here") // and the call goes on (RFC 3261, section 14.2)
		}
		return
	}
	if !a.mine(&req.Recipient) {
		refuse(404, "Not Found")
		return
	}
	leave, ok := a.enter()
	if !ok {
		refuse(486, "Busy Here")
		return
	}
	defer a.running.Done()
	t.acked, t.free = make(chan struct{}), leave
	body, err := t.prepare(req)
	if err != nil {
		leave()
		refuse(488, "Not Acceptable Here")
		return
	}
	defer t.media.close()
	if err := t.accept(req, tx); err != nil {
		leave()
		refuse(400, "Bad Request")
		return
	}
	e := t.event(Incoming)
	e.Party = printable(req.From().Address.String())
	a.report(e)
	last := t.run(ctx, body)
	a.mu.Lock()
	delete(a.mu.calls, t.dialog.ID)
	a.mu.Unlock()
	leave()
	a.report(last)
}

// prepare opens the audio. What is offered is answered; who offers nothing gets
// our offer, and answers with the ACK (RFC 3261, section 13.2.1).
func (t *taken) prepare(req *sip.Request) (body []byte, err error) {
	local, err := localAddr(t.peer)
	if err != nil {
		return nil, err
	}
	if t.media, err = newMedia(local); err != nil {
		return nil, err
	}
	if len(req.Body()) == 0 {
		body, err = offer(t.media.local)
	} else {
		body, t.mu.stream, err = answer(t.media.local, req.Body())
	}
	if err != nil {
		t.media.close()
	}
	return body, err
}

// accept makes the dialog.
func (t *taken) accept(req *sip.Request, tx sip.ServerTransaction) (err error) {
	contact := contactOf(t.media.local.Addr(), int(t.a.Addr().Port()), t.via)
	ua := &sipgo.DialogUA{Client: t.a.agent.client, ContactHDR: contact, RewriteContact: true}
	t.dialog, err = ua.ReadInvite(req, tx)
	if err != nil {
		return err
	}
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	t.a.mu.calls[t.dialog.ID] = t
	return nil
}

func (a *Answerer) callOf(req *sip.Request) *taken {
	id, err := sip.DialogIDFromRequestUAS(req)
	if err != nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.calls[id]
}

func (a *Answerer) ack(req *sip.Request, tx sip.ServerTransaction) {
	t := a.callOf(req)
	if t == nil {
		return
	}
	t.mu.Lock()
	if t.mu.stream == nil {
		t.mu.stream, t.mu.fault = agreed(t.media.local, req.Body())
	}
	_ = t.dialog.ReadAck(req, tx) // one that is not for the last answer is not awaited
	select {
	case <-t.acked:
	default:
		close(t.acked)
	}
	t.mu.Unlock()
}

// ackWait is how long a BYE waits for the ACK before it: they are read at the
// same time when they come together.
const ackWait = 2 * time.Second

func (a *Answerer) bye(req *sip.Request, tx sip.ServerTransaction) {
	t := a.callOf(req)
	if t == nil {
		respond(req, tx, 481, "Call/Transaction Does Not Exist")
		return
	}
	if t.dialog.LoadState() == sip.DialogStateEstablished {
		select {
		case <-t.acked:
		case <-time.After(ackWait):
		}
	}
	t.free() // so that whoever heard that it is over finds the line free
	if err := t.dialog.ReadBye(req, tx); errors.Is(err, sipgo.ErrDialogInvalidCseq) {
		respond(req, tx, 500, "Server Internal Error") // RFC 3261, section 12.2.2
	}
}

// run rings, answers and talks. It gives what happened last.
func (t *taken) run(ctx context.Context, body []byte) Event {
	begun := time.Now()
	if !t.ring(ctx) {
		return t.event(Missed)
	}
	// It returns when the ACK is there. Nobody waits for that when we leave.
	stop := context.AfterFunc(ctx, t.invite.Terminate)
	err := t.dialog.RespondSDP(body)
	stop()
	t.mu.Lock()
	s, fault := t.mu.stream, t.mu.fault
	t.mu.Unlock()
	if err = errors.Join(err, fault); err != nil {
		t.hangUp()
		t.fault(err)
		return t.event(Missed)
	}
	e := t.event(Answered)
	e.After = time.Since(begun)
	t.a.report(e)
	return t.talk(ctx, s)
}

// ring tells whether the call is to be answered.
func (t *taken) ring(ctx context.Context) bool {
	if t.dialog.Respond(180, "Ringing", nil) != nil {
		return false
	}
	t.a.report(t.event(Ringing))
	timer := time.NewTimer(t.a.RingFor)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.dialog.Context().Done():
	case <-ctx.Done():
		_ = t.dialog.Respond(480, "Temporarily Unavailable", nil)
	}
	return false
}
