package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"dialtone/phone"
	"dialtone/phone/call"
)

// answerFlags say whether a phone takes calls, and what it does in them.
type answerFlags struct {
	answer   bool
	play     string
	record   string
	ringFor  time.Duration
	maxTime  time.Duration
	maxCalls int
}

func (f *answerFlags) flags(c *cobra.Command) {
	fl := c.Flags()
	fl.BoolVar(&f.answer, "answer", false, "take calls by SIP, over UDP and TCP, at --sip-port or 5060")
	fl.StringVar(&f.play, "play", "", "WAV file that callers hear (8000 Hz, mono, 16 bits)")
	fl.StringVar(&f.record, "record", "", "WAV file for what callers say; NAME-2.wav for the second call, and so on")
	fl.DurationVar(&f.ringFor, "ring-for", 0, "let it ring so long before it is answered")
	fl.DurationVar(&f.maxTime, "max-time", time.Hour, "hang up after this time")
	fl.IntVar(&f.maxCalls, "max-calls", 1, "calls at a time; more are told that it is busy")
}

// answerer is what the flags say; nil when no calls are taken.
func (f *answerFlags) answerer(c *cobra.Command, n phone.Number, port uint16, report func(call.Event)) (a *call.Answerer, err error) {
	if !f.answer {
		for _, name := range []string{"play", "record", "ring-for", "max-time", "max-calls"} {
			if c.Flags().Changed(name) {
				return nil, usage(c, "--"+name+" is for calls that are taken: add --answer")
			}
		}
		return nil, nil
	}
	if f.ringFor < 0 || f.maxTime <= 0 || f.maxCalls <= 0 {
		return nil, usage(c, "--ring-for, --max-time and --max-calls are more than nothing")
	}
	if port == 0 {
		port = 5060
	}
	a = &call.Answerer{
		Number: n, Listen: net.JoinHostPort("", strconv.Itoa(int(port))),
		Record: f.record, RingFor: f.ringFor, MaxTime: f.maxTime, MaxCalls: f.maxCalls, Report: report,
	}
	if f.play != "" {
		if a.Play, err = call.ReadAudio(f.play); err != nil {
			return nil, usage(c, err.Error())
		}
	}
	if f.record != "" {
		if err := call.CheckRecording(f.record); err != nil {
			return nil, usage(c, err.Error())
		}
	}
	return a, nil
}

// answering takes calls, if there is an answerer, beside what a phone does
// otherwise. When one of the two ends, the other does.
func answering(ctx context.Context, a *call.Answerer, rest func(context.Context) error) error {
	if a == nil {
		return rest(ctx)
	}
	if err := a.Open(); err != nil {
		return &userError{[]string{"dialtone: --answer: " + err.Error() + ": stop what uses that port, or choose another --sip-port"}}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var taken error
	var calls sync.WaitGroup
	calls.Go(func() { taken = a.Run(ctx); cancel() })
	err := rest(ctx)
	cancel()
	calls.Wait()
	return errors.Join(err, taken)
}

// lines lets many write whole lines to one place.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
