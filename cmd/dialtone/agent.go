package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dialtone/phone"
)

// phoneFlags are those of a phone that runs: what it registers, and how.
type phoneFlags struct {
	registrationFlags
	answerFlags
	noWithdraw bool
	startDelay time.Duration
}

func phoneCommand() *cobra.Command {
	var f phoneFlags
	c := &cobra.Command{
		Use:   "phone NUMBER",
		Short: "Keep the address of a number registered with its server",
		Long: `Keep the address of a number registered with its server: at the start, at once when the
address changes, and before the lease is over. SIGTERM, SIGINT and SIGHUP end it and take
the registration away. It prints a line for each change, and goes on after failures.

With --answer it takes calls, as a phone that answers by itself: it plays a file, records
what it hears, and prints a line for each thing that happens.

Exit codes: 0 it was ended, 1 anything else, 2 a mistake in the command, 3 or 4 the server
refused to take the registration away at the end, or no server could.`,
		Example: `  dialtone phone 5551234 --server 127.0.0.1:5300 --sip-port 5060
  dialtone phone 5551234 --zone phones.example --key-file 5551234.key --address wlan0 --json
  dialtone phone 5551234 --answer --play hello.wav --record caller.wav`,
		Args: exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args[0]) },
	}
	f.registrationFlags.flags(c, time.Hour)
	f.answerFlags.flags(c)
	fl := c.Flags()
	fl.BoolVar(&f.noWithdraw, "no-withdraw", false, "leave the registration at the end, until its lease is over")
	fl.DurationVar(&f.startDelay, "start-delay", 0, "wait for a random time up to this before the first registration; 3s for what starts at boot, lest all do in one moment")
	fl.Lookup("timeout").Usage = "give up one registration after this time, and try it again later"
	fl.Lookup("json").Usage = "print a line of JSON for each change"
	return c
}

func (f *phoneFlags) run(c *cobra.Command, text string) error {
	a, err := f.agent(c, text)
	if err != nil {
		return err
	}
	out := &lines{w: c.OutOrStdout()}
	answerer, err := f.answerer(c, a.Registration.Number, f.sipPort, callEvents(out, f.json))
	if err != nil {
		return err
	}
	status := statusWriter{registrationFlags: &f.registrationFlags, number: a.Registration.Number, w: out}
	a.Notify = status.tell
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(c.Context(), signals...)
	defer stop()
	if err := answering(ctx, answerer, a.Run); err != nil {
		var mistake *userError
		if errors.As(err, &mistake) {
			return err
		}
		return withCode(fmt.Errorf("number %s: %w", a.Registration.Number, err))
	}
	return nil
}

// agent is what the flags say.
func (f *phoneFlags) agent(c *cobra.Command, text string) (*phone.Agent, error) {
	r, err := f.registration(c, text)
	if err != nil {
		return nil, err
	}
	a := &phone.Agent{Registration: r, StartDelay: f.startDelay, Timeout: f.timeout, Keep: f.noWithdraw}
	if a.Registration.Addresses, a.Interfaces, err = addressesAndInterfaces(f.address); err != nil {
		return nil, usage(c, "--address: "+err.Error())
	}
	return a, nil
}

// addressesAndInterfaces reads what --address has. An interface may come later.
func addressesAndInterfaces(words []string) (list []netip.Addr, interfaces []string, err error) {
	if len(words) == 1 && (words[0] == "auto" || words[0] == "source") {
		return nil, nil, nil
	}
	for _, word := range words {
		a, err := netip.ParseAddr(word)
		switch {
		case err == nil:
			list = append(list, a)
		case word == "auto" || word == "source":
			return nil, nil, errors.New(word + " stands alone")
		case word == "" || len(word) > 15 || strings.ContainsAny(word, "/ \t"), // what no interface is called, and what was to be an address
			strings.ContainsAny(word, ".:") && strings.Trim(word, "0123456789abcdefABCDEF.:") == "":
			return nil, nil, fmt.Errorf("%q is neither an address nor auto nor a network interface", word)
		default:
			interfaces = append(interfaces, word)
		}
	}
	return list, interfaces, nil
}

// statusWriter prints what an agent tells. In words these are the changes only:
// that something goes on as before is not said again.
type statusWriter struct {
	*registrationFlags
	number phone.Number
	w      io.Writer
	last   string
}

func (s *statusWriter) tell(e phone.Event) {
	if s.json {
		_ = printJSON(s.w, s.object(e)) // as with a terminal that is gone, the phone goes on
		return
	}
	if e.State == phone.StateRefreshed {
		return
	}
	if text := s.text(e); text != s.last {
		s.last = text
		_, _ = fmt.Fprintln(s.w, text)
	}
}

func (s *statusWriter) text(e phone.Event) string {
	switch e.State {
	case phone.StateRegistered:
		return s.isAt(s.number, e.Done)
	case phone.StateWithdrawn:
		return isNoMore(s.number, e.Done)
	case phone.StateRefused:
		return fmt.Sprintf("%s is refused: %s; it is tried again now and then", s.number, e.Err)
	case phone.StateFailed:
		if e.Retry > 0 {
			return fmt.Sprintf("%s: %s; it is tried again", s.number, e.Err)
		}
	}
	return fmt.Sprintf("%s: %s", s.number, e.Err)
}

// status is an event for machines.
type status struct {
	Time      time.Time    `json:"time"`
	State     phone.State  `json:"state"`
	Number    phone.Number `json:"number"`
	Name      string       `json:"name,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Server    string       `json:"server,omitempty"`
	Lease     int          `json:"lease,omitempty"` // seconds
	Note      string       `json:"note,omitempty"`
	Error     string       `json:"error,omitempty"`
	Retry     float64      `json:"retry,omitempty"` // seconds until it is registered again
}

func (s *statusWriter) object(e phone.Event) status {
	out := status{Time: e.Time, State: e.State, Number: s.number, Retry: e.Retry.Round(time.Millisecond).Seconds()}
	if d := e.Done; d != nil {
		out.Name, out.Addresses, out.Server, out.Lease, out.Note = d.Name, d.Addresses, d.Server, int(d.Lease.Seconds()), d.Note
	}
	if e.Err != nil {
		out.Error = e.Err.Error()
	}
	return out
}
