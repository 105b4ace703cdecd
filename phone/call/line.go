package call

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"dialtone/phone"
)

// line is a way to one contact: a user agent of its own, and at most one dialog.
type line struct {
	*userAgent
	to    target
	from  sip.Uri
	local netip.Addr
	port  int             // of ours, for UDP
	udp   *outgoing       // nil for streams
	gone  context.Context // ends with what makes the contact unreachable
	lost  context.CancelCauseFunc
	talks atomic.Pointer[sipgo.DialogClientSession]
}

func (c *Caller) open(ctx context.Context, to target) (l *line, err error) {
	l = &line{to: to}
	if l.local, err = localAddr(to.Addr); err != nil {
		return nil, nowhere("%v", plain(err))
	}
	if l.from, err = fromURI(c.From, l.local); err != nil {
		return nil, err
	}
	conf := c.TLS.Clone()
	if conf == nil {
		conf = new(tls.Config)
	}
	conf.ServerName = to.domain // RFC 5922, section 4
	dialer := &sip.TransportTCP{DialerCreate: func(net.Addr) net.Dialer {
		return net.Dialer{Timeout: cmp.Or(c.Wait, defaultWait)}
	}}
	if l.userAgent, err = newUserAgent(conf, dialer); err != nil {
		return nil, err
	}
	l.gone, l.lost = context.WithCancelCause(context.WithoutCancel(ctx))
	l.answers()
	if to.Transport == "udp" {
		if err := l.openUDP(ctx); err != nil {
			l.close()
			return nil, nowhere("%v", plain(err))
		}
	}
	return l, nil
}

// openUDP has a socket of ours used for the contact: the library's own does not
// tell that nobody listens there.
func (l *line) openUDP(ctx context.Context) (err error) {
	if l.udp, err = listenOutgoing(ctx, l.local, func(err error) { l.lost(err) }); err != nil {
		return err
	}
	l.port = l.udp.LocalAddr().(*net.UDPAddr).Port
	layer := l.ua.TransportLayer()
	layer.Pool("udp").Add(l.to.Addr.String(), listening(l.udp))
	go layer.ServeUDP(l.udp) // ends by close
	return nil
}

func (l *line) close() {
	l.ua.Close()
	if l.udp != nil {
		l.udp.Close()
	}
	l.lost(nil)
}

// answers to what the other side asks in the dialog.
func (l *line) answers() {
	l.server.OnBye(func(req *sip.Request, tx sip.ServerTransaction) {
		id, err := sip.DialogIDFromRequestUAC(req)
		dialog := l.talks.Load()
		if err != nil || dialog == nil || dialog.ID != id {
			respond(req, tx, 481, "Call/Transaction Does Not Exist")
			return
		}
		_ = dialog.ReadBye(req, tx) // the dialog ends, whether or not its answer arrives
	})
	l.server.OnInvite(func(req *sip.Request, tx sip.ServerTransaction) { respond(req, tx, 488, "Not Acceptable Here") })
}

// fromURI is who calls.
func fromURI(text string, local netip.Addr) (uri sip.Uri, err error) {
	if text == "" {
		return sip.Uri{Scheme: "sip", User: product, Host: uriHost(local)}, nil
	}
	err = sip.ParseUri(text, &uri)
	if err != nil || uri.Scheme != "sip" && uri.Scheme != "sips" || uri.Host == "" || printable(text) != text {
		return uri, &phone.InputError{Text: fmt.Sprintf("%q is no SIP address: write it as sip:5551234@phones.example", printable(text))}
	}
	return uri, nil
}

// request is one outside of a dialog (RFC 3261, section 8.1.1). It is for the
// number as the DNS names it (RFC 3263, section 4), and goes to the contact.
func (l *line) request(method sip.RequestMethod) (*sip.Request, error) {
	to := l.to
	req := sip.NewRequest(method, sip.Uri{Scheme: "sip", User: string(to.number), Host: to.domain})
	switch to.Transport {
	case "udp", "tcp", "tls":
		req.SetTransport(sip.NetworkToUpper(to.Transport))
	default:
		return nil, nowhere("transport %q is not known", to.Transport)
	}
	req.SetDestination(to.Addr.String())
	from := &sip.FromHeader{Address: l.from}
	from.Params.Add("tag", sip.GenerateTagN(16))
	req.AppendHeader(from)
	return req, nil
}

// gaveUp is the error when nobody waits any longer.
func (l *line) gaveUp(ctx context.Context, spoke bool) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrNoAnswer) {
		if !spoke {
			return nowhere("%v", cause)
		}
		return fmt.Errorf("number %s: %w", l.to.number, cause)
	}
	return fmt.Errorf("number %s: hung up before an answer: %w", l.to.number, cause)
}

const (
	farewell     = 3 * time.Second // for CANCEL and BYE to be answered
	maxProvision = 200             // answers that are none
)

// invite calls one contact and talks. Waiting ends without an answer, ctx at any
// time.
func (c *Caller) invite(waiting, ctx context.Context, to target, talk Talk) error {
	l, err := c.open(waiting, to)
	if err != nil {
		return err
	}
	defer l.close()
	m, err := newMedia(l.local)
	if err != nil {
		return err
	}
	defer m.close()
	req, err := l.request(sip.INVITE)
	if err != nil {
		return err
	}
	body, err := offer(m.local)
	if err != nil {
		return err
	}
	common(req)
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(body)
	c.report(to.event(Calling))
	begun := time.Now()
	dialog, err := l.send(waiting, cmp.Or(c.Wait, defaultWait), req)
	if err != nil {
		return err
	}
	defer dialog.Close()
	if err := c.answered(waiting, l, dialog); err != nil {
		return err
	}
	l.talks.Store(dialog)
	if err := dialog.Ack(ctx); err != nil {
		return nowhere("%v", plain(err))
	}
	e := to.event(Answered)
	e.After = time.Since(begun)
	c.report(e)
	return c.talk(ctx, l, m, dialog, talk)
}

// send sends the INVITE. Streams connect for it.
func (l *line) send(ctx context.Context, wait time.Duration, req *sip.Request) (*sipgo.DialogClientSession, error) {
	contact := contactOf(l.local, l.port, l.to.Transport)
	ua := &sipgo.DialogUA{Client: l.client, ContactHDR: contact, RewriteContact: true}
	connect, cancel := context.WithTimeoutCause(ctx, wait, errSilent)
	defer cancel()
	dialog, err := ua.WriteInvite(connect, req)
	switch {
	case err == nil:
		return dialog, nil
	case ctx.Err() != nil:
		return nil, l.gaveUp(ctx, false)
	case l.gone.Err() != nil:
		err = context.Cause(l.gone)
	}
	return nil, nowhere("%v", plain(err))
}

// answered waits for the answer. Who waits no longer cancels (RFC 3261, section
// 9.1), and an answer that crosses that is hung up.
func (c *Caller) answered(ctx context.Context, l *line, dialog *sipgo.DialogClientSession) error {
	// What ends the wait: the library cancels in its own time, which closing bounds.
	wait, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	over, finish := context.WithCancel(context.Background())
	defer finish()
	stop := context.AfterFunc(ctx, func() {
		end(context.Cause(ctx))
		bound := time.AfterFunc(farewell, func() { l.ua.Close() })
		context.AfterFunc(over, func() { bound.Stop() })
	})
	defer stop()
	left := context.AfterFunc(l.gone, func() { end(sipgo.WaitAnswerForceCancelErr) })
	defer left()
	silence := time.AfterFunc(cmp.Or(c.Wait, defaultWait), func() { l.lost(errSilent) })
	defer silence.Stop()

	spoke, count := false, 0
	told := map[int]bool{}
	listen := sipgo.AnswerOptions{OnResponse: func(res *sip.Response) error {
		silence.Stop()
		left()
		spoke = true
		count++
		if res.IsProvisional() && !told[res.StatusCode] {
			told[res.StatusCode] = true
			c.report(provisional(l.to, res))
		}
		return nil
	}}
	var err error
	for {
		before := count
		err = dialog.WaitAnswer(wait, listen)
		// It gives up after some answers that are none; some phones send many.
		if err == nil || count-before < 10 || count > maxProvision || wait.Err() != nil || !dialog.InviteResponse.IsProvisional() {
			break
		}
	}
	var res *sipgo.ErrDialogResponse
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		if dialog.InviteResponse != nil && dialog.InviteResponse.IsSuccess() {
			if dialog.Ack(ctx) == nil {
				bye(dialog)
			}
		}
		return l.gaveUp(ctx, spoke)
	case errors.As(err, &res):
		return refusal(l.to.Contact, res.Res)
	case l.gone.Err() != nil:
		return nowhere("%v", context.Cause(l.gone))
	}
	return nowhere("%v", plain(err))
}

// bye ends a call. It is over, whether or not they hear of it.
func bye(dialog *sipgo.DialogClientSession) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = dialog.Bye(ctx)
}

func provisional(to target, res *sip.Response) Event {
	e := to.event(Progress)
	switch res.StatusCode {
	case 100:
		e.Kind = Trying
	case 180:
		e.Kind = Ringing
	}
	e.Code, e.Reason = res.StatusCode, printable(res.Reason)
	return e
}

// talk plays and records until the call ends.
func (c *Caller) talk(ctx context.Context, l *line, m *media, dialog *sipgo.DialogClientSession, talk Talk) error {
	begun := time.Now()
	s, err := agreed(m.local, dialog.InviteResponse.Body())
	if err != nil {
		bye(dialog)
		return fmt.Errorf("number %s: it answered, but %w", l.to.number, err)
	}
	fault := func(err error) { e := l.to.event(Fault); e.Reason = err.Error(); c.report(e) }
	t := &talking{media: m, stream: s, play: talk.Play, limit: talk.For, fault: fault}
	if talk.Record != "" {
		t.record = &recording{name: talk.Record, budget: newBudget(recordLimit), opened: func(file string) {
			e := l.to.event(Recording)
			e.File = file
			c.report(e)
		}}
	}
	if t.limit == 0 && (talk.Play == nil || !s.sends) {
		t.limit = defaultTalk
	}
	byPeer := t.until(ctx, dialog.Context())
	e := l.to.event(HungUp)
	if byPeer {
		e.Kind = Ended
	}
	e.After = time.Since(begun)
	if !byPeer {
		bye(dialog)
	}
	m.close()
	c.report(e)
	if t.record != nil && t.record.failed != nil {
		return fmt.Errorf("number %s: the recording failed: %w", l.to.number, t.record.failed)
	}
	return nil
}
