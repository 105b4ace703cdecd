package call

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"dialtone/phone"
)

// Locator finds out where a number can be reached. It is *phone.Resolver.
type Locator interface {
	Locate(context.Context, phone.Number) (*phone.Location, error)
}

// Caller places calls. It may be used by many goroutines, if Report may.
type Caller struct {
	Locator Locator
	From    string        // SIP URI of who calls; "": sip:dialtone@ and the address of this machine
	Timeout time.Duration // until somebody answers, with looking the number up; 0: 30 s
	Wait    time.Duration // for the first word of a contact before the next is tried; 0: 5 s
	TLS     *tls.Config   // for contacts by TLS; nil: the system's authorities
	Report  func(Event)   // is told what happens; nil: nobody is
}

// Talk is what is done in a call.
type Talk struct {
	For    time.Duration // then it ends; 0: when Play ends, or after 5 s
	Play   *Audio        // nil: nothing is said
	Record string        // WAV file for what is heard; "": none
}

const (
	defaultTimeout = 30 * time.Second
	defaultWait    = 5 * time.Second
	defaultTalk    = 5 * time.Second
	maxLookups     = 8
	maxContacts    = 32
	recordLimit    = 256 << 20 // octets of sound
)

// Probe asks whether somebody is there, without ringing (OPTIONS; RFC 3261,
// section 11). Errors are those of this package and of phone.Resolver.
func (c *Caller) Probe(ctx context.Context, n phone.Number) error {
	ctx, cancel := c.limited(ctx)
	defer cancel()
	return c.each(ctx, n, c.options)
}

// Ring calls the number, and when somebody answers, plays, records and hangs up.
// When ctx ends, it hangs up: that is an error before the answer only. Errors
// are those of this package and of phone.Resolver, and that of a recording that
// failed, after the call.
func (c *Caller) Ring(ctx context.Context, n phone.Number, talk Talk) error {
	waiting, cancel := c.limited(ctx)
	defer cancel()
	return c.each(waiting, n, func(waiting context.Context, to target) error {
		return c.invite(waiting, ctx, to, talk)
	})
}

// limited is for what happens before the answer.
func (c *Caller) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout := cmp.Or(c.Timeout, defaultTimeout)
	return context.WithTimeoutCause(ctx, timeout, &timeoutError{timeout})
}

// timeoutError is ErrNoAnswer until it is known that it is worse.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("%v within %s", ErrNoAnswer, e.after) }
func (e *timeoutError) Unwrap() error { return ErrNoAnswer }

func (c *Caller) report(e Event) {
	if c.Report != nil {
		c.Report(e)
	}
}

// target is one contact of a number.
type target struct {
	phone.Contact
	number phone.Number
	domain string // of the number, without the final dot
}

func (t *target) event(k Kind) Event {
	return Event{Kind: k, Number: t.number, Transport: t.Transport, Addr: t.Addr}
}

// each tries one contact after the other until one is not unreachable. When the
// look-up is too old, and when all have failed, it looks the number up again, for
// the phone may have moved; what was tried is not tried again.
func (c *Caller) each(ctx context.Context, n phone.Number, try func(context.Context, target) error) error {
	tried, faults := map[string]bool{}, []error(nil)
	for range maxLookups {
		location, err := c.Locator.Locate(ctx, n)
		if err != nil {
			if ctx.Err() != nil && errors.Is(err, ErrNoAnswer) {
				err = fmt.Errorf("%w: look up %s: %v", phone.ErrUnreachable, n, context.Cause(ctx))
			}
			return err
		}
		found, fresh := time.Now(), false
		for _, contact := range location.Contacts[:min(len(location.Contacts), maxContacts)] {
			to := target{contact, n, strings.TrimSuffix(location.Name, ".")}
			key := contact.Transport + " " + contact.Addr.String()
			if tried[key] {
				continue
			}
			if fresh && time.Since(found) > contact.TTL {
				break
			}
			tried[key], fresh = true, true
			err := try(ctx, to)
			if !errors.Is(err, ErrUnreachable) {
				return err
			}
			if ctx.Err() != nil {
				return fmt.Errorf("number %s: %w", n, err)
			}
			e := to.event(Unreachable)
			e.Reason = reasonOf(err)
			c.report(e)
			faults = append(faults, fmt.Errorf("%s %s: %s", contact.Transport, contact.Addr, e.Reason))
		}
		if !fresh {
			break
		}
	}
	return fmt.Errorf("number %s: %w (%w)", n, ErrUnreachable, errors.Join(faults...))
}

// unreachable is a contact that leads nowhere.
type unreachable struct{ why string }

func (u *unreachable) Error() string { return ErrUnreachable.Error() + ": " + u.why }
func (u *unreachable) Unwrap() error { return ErrUnreachable }

func nowhere(format string, args ...any) error { return &unreachable{fmt.Sprintf(format, args...)} }

func reasonOf(err error) string {
	var u *unreachable
	var r *Refusal
	switch {
	case errors.As(err, &u):
		return u.why
	case errors.As(err, &r):
		return fmt.Sprintf("%d %s", r.Code, r.Reason)
	}
	return err.Error()
}

// options asks one contact.
func (c *Caller) options(ctx context.Context, to target) error {
	l, err := c.open(ctx, to)
	if err != nil {
		return err
	}
	defer l.close()
	begun := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(cmp.Or(c.Wait, defaultWait), func() { l.lost(errSilent) })
	defer silence.Stop()
	stop := context.AfterFunc(l.gone, func() { cancel(context.Cause(l.gone)) })
	defer stop()
	req, err := l.request(sip.OPTIONS)
	if err != nil {
		return err
	}
	common(req)
	c.report(to.event(Calling))
	res, err := l.client.Do(ctx, req)
	switch {
	case err != nil && l.gone.Err() != nil:
		return nowhere("%v", context.Cause(l.gone))
	case err != nil && ctx.Err() != nil:
		return l.gaveUp(ctx, false)
	case err != nil:
		return nowhere("%v", plain(err))
	case !isThere(res.StatusCode):
		return refusal(to.Contact, res)
	}
	e := to.event(Reachable)
	e.Code, e.Reason, e.After = res.StatusCode, printable(res.Reason), time.Since(begun)
	c.report(e)
	return nil
}

var errSilent = errors.New("it does not answer")

// plain says what the network said, without what the library did meanwhile.
func plain(err error) error {
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return cert
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		if _, ok := inner.(interface{ Timeout() bool }); ok {
			return inner
		}
	}
	return errors.New(printable(err.Error()))
}
