package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dialtone/phone"
)

// Exit codes of the phone's commands, for scripts.
const (
	exitRefused       = 3
	exitUnreachable   = 4
	exitNotRegistered = 5
)

const exitCodes = `Exit codes: 0 done, 1 anything else, 2 a mistake in the command, 3 the server refuses,
4 no server answers or can do it now`

// codeError is an error with an exit code of its own.
type codeError struct {
	error
	code int
}

func (e *codeError) Unwrap() error { return e.error }

// withCode gives the errors of package phone their exit codes.
func withCode(err error) error {
	var refused *phone.ServerError
	var mistake *phone.InputError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mistake):
		return &userError{[]string{"dialtone: " + err.Error()}}
	case errors.As(err, &refused) && refused.Temporary():
		return &codeError{err, exitUnreachable}
	case errors.As(err, &refused):
		return &codeError{err, exitRefused}
	case errors.Is(err, phone.ErrUnreachable):
		return &codeError{err, exitUnreachable}
	case errors.Is(err, phone.ErrNotRegistered), errors.Is(err, phone.ErrNoENUM):
		return &codeError{err, exitNotRegistered}
	}
	return err
}

// where are the flags that say which zone and server a command is about.
type where struct {
	zone    string
	servers []string
	json    bool
	timeout time.Duration
}

func (w *where) flags(c *cobra.Command, server string) {
	f := c.Flags()
	f.StringVarP(&w.zone, "zone", "z", envOr("DIALTONE_ZONE", "phones.example."), "zone of the numbers (or DIALTONE_ZONE)")
	f.StringSliceVarP(&w.servers, "server", "s", nil, server)
	f.BoolVar(&w.json, "json", false, "print one line of JSON")
	f.DurationVar(&w.timeout, "timeout", 30*time.Second, "give up after this time")
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// context ends with the timeout, or when the user has enough of it.
func (w *where) context(c *cobra.Command) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithTimeoutCause(ctx, w.timeout, fmt.Errorf("%w within %s", phone.ErrUnreachable, w.timeout))
	return ctx, func() { cancel(); stop() }
}

func numberArg(c *cobra.Command, text string) (phone.Number, error) {
	n, err := phone.ParseNumber(text)
	if err != nil {
		return "", usage(c, err.Error())
	}
	return n, nil
}

// registrationFlags say what is registered, and with which key.
type registrationFlags struct {
	where
	keyFile string
	address []string
	ttl     uint32
	lease   time.Duration
	sipPort uint16
}

func (f *registrationFlags) flags(c *cobra.Command, lease time.Duration) {
	f.where.flags(c, "address of the server; without it, the one that the zone's SOA record names")
	fl := c.Flags()
	fl.StringVarP(&f.keyFile, "key-file", "k", "", "file with the number's key, as for nsupdate -k; without it, the update is not signed")
	fl.StringSliceVarP(&f.address, "address", "a", []string{"auto"}, "addresses or names of network interfaces; auto: the address from which the server is reached; source: the one that it sees, as behind NAT")
	fl.Uint32Var(&f.ttl, "ttl", 60, "seconds that resolvers keep the address")
	fl.DurationVar(&f.lease, "lease", lease, "time after which the server takes the registration away unless it is repeated; 0: none is asked for, and the server may set one of its own")
	fl.Uint16Var(&f.sipPort, "sip-port", 0, "port of SIP over UDP; 0: none is registered, callers take 5060")
}

// registration is what the flags say, without the addresses.
func (f *registrationFlags) registration(c *cobra.Command, text string) (r phone.Registration, err error) {
	r = phone.Registration{Zone: f.zone, Servers: f.servers, TTL: f.ttl, Lease: f.lease, SIPPort: f.sipPort, Source: slices.Equal(f.address, []string{"source"})}
	if r.Number, err = numberArg(c, text); err != nil {
		return r, err
	}
	if f.ttl == 0 {
		return r, usage(c, "--ttl is 0: the address would be asked for anew at each call; 30 to 300 is usual")
	}
	if f.keyFile != "" {
		if r.Key, err = phone.ReadKey(f.keyFile); err != nil {
			return r, usage(c, err.Error())
		}
	}
	return r, nil
}

type registerFlags struct {
	registrationFlags
	withdraw bool
}

func registerCommand() *cobra.Command {
	var f registerFlags
	c := &cobra.Command{
		Use:   "register NUMBER",
		Short: "Register the address of a number with its server",
		Long: `Register the address of a number with its server, by one dynamic update that replaces
what was registered before. To keep it registered there is "dialtone phone".

` + exitCodes + `.`,
		Example: `  dialtone register 5551234 --server 127.0.0.1:5300
  dialtone register "+44 20 7946 0148" --zone phones.example --key-file 442079460148.key --sip-port 5060`,
		Args: exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args[0]) },
	}
	f.flags(c, 0)
	c.Flags().BoolVar(&f.withdraw, "withdraw", false, "take the registration away")
	return c
}

func (f *registerFlags) run(c *cobra.Command, text string) error {
	r, err := f.registration(c, text)
	if err != nil {
		return err
	}
	if r.Addresses, err = addresses(f.address); err != nil {
		return usage(c, "--address: "+err.Error())
	}
	ctx, cancel := f.context(c)
	defer cancel()
	do := phone.Register
	if f.withdraw {
		do = phone.Withdraw
	}
	done, err := do(ctx, r)
	if err != nil {
		return withCode(fmt.Errorf("number %s: %w", r.Number, err))
	}
	return f.print(c.OutOrStdout(), r.Number, done)
}

func (f *registerFlags) print(w io.Writer, n phone.Number, done *phone.Registered) error {
	if f.json {
		return printJSON(w, map[string]any{"number": n, "name": done.Name, "addresses": append([]netip.Addr{}, done.Addresses...),
			"server": done.Server, "lease": int(done.Lease.Seconds()), "note": done.Note})
	}
	text := f.isAt(n, done)
	if f.withdraw {
		text = isNoMore(n, done)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// isAt says where a number is registered, and what the server adds.
func (f *registrationFlags) isAt(n phone.Number, done *phone.Registered) string {
	at := joined(done.Addresses)
	if done.Lease > 0 {
		at += " for " + done.Lease.String()
	}
	text := fmt.Sprintf("%s is at %s (%s, server %s)", n, at, done.Name, done.Server)
	if f.lease > 0 && done.Lease == 0 {
		text += "\nthe server grants no lease: the registration stays until it is taken away"
	}
	return withNote(text, done)
}

func isNoMore(n phone.Number, done *phone.Registered) string {
	return withNote(fmt.Sprintf("%s is registered no more (%s, server %s)", n, done.Name, done.Server), done)
}

func withNote(text string, done *phone.Registered) string {
	if done.Note != "" {
		text += "\n" + done.Note
	}
	return text
}

// addresses reads what --address has; none means that the phone finds its own.
func addresses(words []string) (list []netip.Addr, err error) {
	for _, word := range words {
		if word == "auto" || word == "source" {
			if len(words) > 1 {
				return nil, errors.New(word + " stands alone")
			}
			return nil, nil
		}
		if a, err := netip.ParseAddr(word); err == nil {
			list = append(list, a)
			continue
		}
		of, err := phone.InterfaceAddrs(word)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor auto, and as an interface: %w", word, err)
		}
		list = append(list, of...)
	}
	if len(list) == 0 {
		return nil, errors.New("there is none")
	}
	return list, nil
}

func joined[T fmt.Stringer](list []T) string {
	words := make([]string, len(list))
	for i, a := range list {
		words[i] = a.String()
	}
	return strings.Join(words, " and ")
}

func printJSON(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }

type lookupFlags struct {
	where
	enum   bool
	suffix string
}

func lookupCommand() *cobra.Command {
	var f lookupFlags
	c := &cobra.Command{
		Use:   "lookup NUMBER",
		Short: "Find out where a number can be reached",
		Long: `Find out where a number can be reached by SIP, as RFC 3263 says: a line for each way,
the best first, with address, port, and how long it may be used.

With --enum the number is looked up by ENUM (RFC 6116) first: a line for each URI that it
leads to, the best first, with what it is good for. Behind those of numbers in the zone
stands where they can be reached.

` + exitCodes + `, 5 the number is not registered.`,
		Example: `  dialtone lookup 555-1234 --server 127.0.0.1:5300
  dialtone lookup "+44 20 7946 0148" --zone phones.example --json
  dialtone lookup "+44 20 7946 0148" --zone phones.example --enum
  dialtone lookup "+44 20 7946 0148" --enum-suffix e164.arpa`,
		Args: exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args[0]) },
	}
	f.flags(c, "address of a name server; without it, those of the system")
	c.Flags().BoolVar(&f.enum, "enum", false, "look the number up by ENUM")
	c.Flags().StringVar(&f.suffix, "enum-suffix", "", "domain below which ENUM has the digits of numbers, such as e164.arpa; implies --enum (default: e164. before the zone)")
	return c
}

func (f *lookupFlags) run(c *cobra.Command, text string) error {
	n, err := numberArg(c, text)
	if err != nil {
		return err
	}
	ctx, cancel := f.context(c)
	defer cancel()
	r := &phone.Resolver{Zone: f.zone, Servers: f.servers}
	if f.enum || f.suffix != "" {
		return f.lookupENUM(ctx, r, text, c.OutOrStdout())
	}
	l, err := r.Locate(ctx, n)
	if err != nil {
		return withCode(err)
	}
	return printLocation(c.OutOrStdout(), l, f.json)
}

func printLocation(w io.Writer, l *phone.Location, asJSON bool) error {
	if !asJSON {
		for _, c := range l.Contacts {
			if _, err := fmt.Fprintf(w, "%s %s, for %s\n", c.Transport, c.Addr, c.TTL); err != nil {
				return err
			}
		}
		return nil
	}
	out := struct {
		Number   phone.Number  `json:"number"`
		Name     string        `json:"name"`
		Contacts []contactJSON `json:"contacts"`
	}{l.Number, l.Name, contactsJSON(l)}
	return printJSON(w, out)
}

type contactJSON struct {
	Transport string     `json:"transport"`
	Host      string     `json:"host"`
	Address   netip.Addr `json:"address"`
	Port      uint16     `json:"port"`
	TTL       int        `json:"ttl"` // seconds
}

func contactsJSON(l *phone.Location) (list []contactJSON) {
	for _, c := range l.Contacts {
		list = append(list, contactJSON{c.Transport, c.Host, c.Addr.Addr(), c.Addr.Port(), int(c.TTL.Seconds())})
	}
	return list
}
