package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dialtone/phone"
	"dialtone/phone/call"
)

// Exit codes of a call, beside those of the phone's other commands.
const (
	exitBusy     = 6
	exitNoAnswer = 7
	exitDeclined = 8
)

// withCallCode gives the errors of package call their exit codes.
func withCallCode(err error) error {
	for _, x := range []struct {
		is   error
		code int
	}{{call.ErrUnreachable, exitUnreachable}, {call.ErrBusy, exitBusy}, {call.ErrNoAnswer, exitNoAnswer}, {call.ErrDeclined, exitDeclined}} {
		if errors.Is(err, x.is) {
			return &codeError{err, x.code}
		}
	}
	return withCode(err)
}

type callFlags struct {
	where
	ring   bool
	audio  string
	record string
	length time.Duration
	from   string
}

func callCommand() *cobra.Command {
	var f callFlags
	c := &cobra.Command{
		Use:   "call NUMBER",
		Short: "Call a number, or ask whether it would ring",
		Long: `Call a number by SIP: look it up as "dialtone lookup" does, and try one way after the
other. Without --ring, it only asks whether somebody is there (OPTIONS). When no way leads
to the phone, the number is looked up again, for the phone may have moved. Ctrl-C hangs up.

Exit codes: 0 reachable or answered, 1 anything else, 2 a mistake in the command, 3 the name
server refuses, 4 no name server answers or the phone cannot be reached, 5 the number is not
registered, 6 busy, 7 no answer, 8 declined.`,
		Example: `  dialtone call 555-1234 --server 127.0.0.1:5300
  dialtone call 5551234 --ring --for 10s
  dialtone call "+44 20 7946 0148" --audio hello.wav --record reply.wav --json`,
		Args: exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args[0]) },
	}
	f.flags(c, "address of a name server; without it, those of the system")
	fl := c.Flags()
	fl.Lookup("timeout").Usage = "give up when nobody answers in this time"
	fl.Lookup("json").Usage = "print a line of JSON for each thing that happens"
	fl.BoolVar(&f.ring, "ring", false, "let it ring, and talk when somebody answers")
	fl.StringVar(&f.audio, "audio", "", "WAV file that is played after the answer (8000 Hz, mono, 16 bits); rings")
	fl.StringVar(&f.record, "record", "", "WAV file for what is heard, or NAME-2.wav and so on when it is there; rings")
	fl.DurationVar(&f.length, "for", 0, "hang up this long after the answer; without it, when --audio ends, or after 5s")
	fl.StringVar(&f.from, "from", "", "SIP address of who calls; without it, sip:dialtone@ and the address of this machine")
	return c
}

func (f *callFlags) run(c *cobra.Command, text string) error {
	n, err := numberArg(c, text)
	if err != nil {
		return err
	}
	ring := f.ring || f.audio != "" || f.record != ""
	switch {
	case c.Flags().Changed("for") && f.length <= 0:
		return usage(c, "--for is a length of time, such as 10s")
	case f.length > 0 && !ring:
		return usage(c, "--for is for calls: add --ring")
	}
	talk := call.Talk{For: f.length, Record: f.record}
	if f.audio != "" {
		if talk.Play, err = call.ReadAudio(f.audio); err != nil {
			return usage(c, err.Error())
		}
	}
	if f.record != "" {
		if err := call.CheckRecording(f.record); err != nil {
			return usage(c, err.Error())
		}
	}
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second Ctrl-C does not wait for the other side
	caller := &call.Caller{
		Locator: &phone.Resolver{Zone: f.zone, Servers: f.servers},
		From:    f.from, Timeout: f.timeout, Report: callEvents(c.OutOrStdout(), f.json),
	}
	if !ring {
		return withCallCode(caller.Probe(ctx, n))
	}
	return withCallCode(caller.Ring(ctx, n, talk))
}

// callEvents prints a line for each thing that happens in a call.
func callEvents(w io.Writer, asJSON bool) func(call.Event) {
	return func(e call.Event) {
		// A terminal that is gone ends no call.
		if asJSON {
			_ = printJSON(w, callEvent(e))
			return
		}
		_, _ = fmt.Fprintln(w, e)
	}
}

// callObject is an event for machines.
type callObject struct {
	Time      time.Time    `json:"time"`
	Event     call.Kind    `json:"event"`
	Number    phone.Number `json:"number,omitempty"`
	Transport string       `json:"transport,omitempty"`
	Address   *netip.Addr  `json:"address,omitempty"`
	Port      uint16       `json:"port,omitempty"`
	Party     string       `json:"party,omitempty"`
	Code      int          `json:"code,omitempty"` // of SIP
	Reason    string       `json:"reason,omitempty"`
	After     float64      `json:"after,omitempty"` // seconds
	File      string       `json:"file,omitempty"`
}

func callEvent(e call.Event) callObject {
	o := callObject{
		Time: time.Now().UTC(), Event: e.Kind, Number: e.Number, Transport: e.Transport, Party: e.Party,
		Code: e.Code, Reason: e.Reason, After: e.After.Round(time.Millisecond).Seconds(), File: e.File,
	}
	if e.Addr.IsValid() {
		addr := e.Addr.Addr()
		o.Address, o.Port = &addr, e.Addr.Port()
	}
	return o
}
