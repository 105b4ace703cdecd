package call

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/emiago/sipgo/sip"
)

func (t *taken) fault(err error) {
	e := t.event(Fault)
	e.Reason = printable(err.Error())
	t.a.report(e)
}

// talk plays and records until the call ends, and tells how it did.
func (t *taken) talk(ctx context.Context, s *stream) Event {
	begun := time.Now()
	talk := &talking{media: t.media, stream: s, play: t.a.Play, limit: t.a.MaxTime, fault: t.fault}
	if t.a.Record != "" {
		talk.record = &recording{name: t.a.Record, budget: t.a.budget, opened: func(file string) {
			e := t.event(Recording)
			e.File = file
			t.a.report(e)
		}}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go t.watch(ctx, cancel)
	byPeer := talk.until(ctx, t.dialog.Context())
	e := t.event(HungUp)
	var gone *goneError
	switch {
	case byPeer:
		e.Kind = Ended
	case errors.As(context.Cause(ctx), &gone):
		e.Kind, e.Reason = Ended, gone.Error()
	}
	e.After = time.Since(begun)
	if !byPeer {
		t.hangUp()
	}
	t.media.close() // with the recording
	return e
}

// goneError ends a call whose other side is no longer there.
type goneError struct{ why string }

func (e *goneError) Error() string { return "the other side is gone: " + e.why }

// watch asks from time to time whether the other side is still in the call: one
// that lost its address or its power cannot say so, and would keep the line busy.
func (t *taken) watch(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(cmp.Or(t.a.pingEvery, pingEvery))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		wait, cancel := context.WithTimeout(ctx, sip.Timer_F)
		res, err := t.dialog.Do(wait, t.request(sip.OPTIONS))
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			end(&goneError{"it does not answer"})
		case res.StatusCode == 408, res.StatusCode == 481: // RFC 3261, section 12.2.1.2
			end(&goneError{printable(res.Reason)})
		}
	}
}

// hangUp tells the other side that the call is over.
func (t *taken) hangUp() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = t.dialog.WriteBye(ctx, t.request(sip.BYE)) // it is over, whether or not they hear of it
}

// request makes one in the dialog. It comes from the address at which we listen.
func (t *taken) request(method sip.RequestMethod) *sip.Request {
	invite := t.dialog.InviteRequest
	req := sip.NewRequest(method, *invite.Contact().Address.Clone())
	req.SetTransport(invite.Transport())
	via := &sip.ViaHeader{
		ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: invite.Transport(),
		Host: uriHost(t.media.local.Addr()), Port: int(t.a.Addr().Port()),
	}
	via.Params.Add("branch", sip.GenerateBranch())
	via.Params.Add("rport", "")
	req.AppendHeader(via)
	if t.via == "udp" {
		pool := t.a.agent.ua.TransportLayer().Pool("udp")
		pool.Add(invite.Source(), listening(t.a.udp))
	}
	return req
}
