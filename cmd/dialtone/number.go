package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
	"dialtone/dnsserver/keys"
	"dialtone/phone"
)

func numberCommand() *cobra.Command {
	return groupCommand("number", "List numbers, see what one has and had, and free it", numberListCommand(), numberShowCommand(), numberHistoryCommand(), numberReleaseCommand())
}

// askNumber asks the running server about a number.
func askNumber[Out any](f *keyFlags, c *cobra.Command, text, request string, in func(q dnsserver.NumberQuestion) any, done func(Out) error) error {
	n, err := numberArg(c, text)
	if err != nil {
		return err
	}
	return f.askServer(c, func(ctx context.Context, to *control.Client) error {
		out, err := control.Call[Out](ctx, to, request, in(dnsserver.NumberQuestion{Zone: f.zone, Number: string(n)}))
		if err != nil {
			return err
		}
		return done(out)
	})
}

const numberHelp = `

The command asks the server that runs on the configuration's data directory.`

func numberShowCommand() *cobra.Command {
	var f keyFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "show NUMBER",
		Short: "Show what a number has: addresses, keys, lease, last registration",
		Long: `Show what a number has: its addresses and other records, its keys without secrets, what
is left of its lease, and its last registration, by whom and from where: the last update by
its own key or with a lease. The exit code is 5 when it has no records.` + numberHelp,
		Example: `  dialtone number show 5551234 --config /etc/dialtone/dialtone.yaml`,
		Args:    exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error {
			return askNumber(&f, c, args[0], dnsserver.RequestNumberShow, func(q dnsserver.NumberQuestion) any { return q }, func(i dnsserver.NumberInfo) error {
				out := c.OutOrStdout()
				if asJSON {
					if err := printJSON(out, i); err != nil {
						return err
					}
				} else if err := printNumber(out, i); err != nil {
					return err
				}
				if len(i.Records) == 0 {
					return withCode(fmt.Errorf("number %s (%s): %w", i.Number, i.Name, phone.ErrNotRegistered))
				}
				return nil
			})
		},
	}
	f.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one line of JSON")
	return c
}

// printNumber prints what a person wants to know, a line for each.
func printNumber(w io.Writer, i dnsserver.NumberInfo) error {
	ago := func(t time.Time) string {
		return fmt.Sprintf("%s (%s ago)", t.UTC().Format(time.DateTime+"Z"), i.Now.Sub(t).Truncate(time.Second))
	}
	left := func(t time.Time, none string) string {
		if t.IsZero() {
			return none
		}
		return fmt.Sprintf("%s left, until %s", t.Sub(i.Now).Truncate(time.Second), t.UTC().Format(time.DateTime+"Z"))
	}
	line := func(name, format string, args ...any) string {
		return fmt.Sprintf("%-12s ", name) + fmt.Sprintf(format, args...) + "\n"
	}
	text := line("number", "%s (%s)", i.Number, i.Name)
	text += line("addresses", "%s", cmp.Or(joined(i.Addresses), "none"))
	for _, r := range i.Records {
		text += line("record", "%s", r)
	}
	if i.More > 0 {
		text += line("", "and %d more records", i.More)
	}
	stays := "none"
	if len(i.Records) > 0 && i.KeyLease.IsZero() {
		stays = "none: what it has stays"
	}
	text += line("lease", "%s", left(i.Lease, stays))
	if i.Key != nil {
		text += line("secret", "%s, %s", i.Key.Algorithm, secretText(*i.Key))
	}
	if i.PublicKey != "" {
		text += line("public key", "%s", i.PublicKey)
		text += line("key lease", "%s", left(i.KeyLease, "none: it stays"))
	}
	if i.Blocked {
		text += line("secret", "blocked, until dialtone key add %s", i.Number)
	}
	if i.Key == nil && i.PublicKey == "" && !i.Blocked {
		text += line("key", "none")
	}
	if !i.Updated.IsZero() {
		text += line("registered", "%s, from %s, %s", ago(i.Updated), i.From, signedText(i.UpdatedBy))
	}
	if !i.Signed.IsZero() {
		text += line("signed", "%s: what its key signed before that is not taken any more", ago(i.Signed))
	}
	if !i.Frozen.IsZero() {
		text += line("zone", "frozen since %s: updates that change it are refused until dialtone zone thaw %s", i.Frozen.UTC().Format(time.DateTime+"Z"), i.Zone)
	}
	_, err := io.WriteString(w, text)
	return err
}

func secretText(k keys.Info) string {
	if k.Kind == keys.KindDerived {
		return fmt.Sprintf("derived, generation %d", k.Generation)
	}
	return string(k.Kind)
}

func signedText(key string) string {
	if key == "" {
		return "unsigned"
	}
	return "signed by " + key
}

func numberReleaseCommand() *cobra.Command {
	var f keyFlags
	var keep, asJSON bool
	c := &cobra.Command{
		Use:   "release NUMBER",
		Short: "Free a number: take its records and its keys away",
		Long: `Free a number whose phone or key is lost: all its records go, those below it too, its
lease, its KEY record, and the shared secret that the server keeps or derives for it. Another
key can have it then: one that claims it where that may be done, or the next secret, which
dialtone key show or key add prints. It is noted in the audit log.` + numberHelp,
		Example: `  dialtone number release 5551234 --config /etc/dialtone/dialtone.yaml`,
		Args:    exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error {
			return askNumber(&f, c, args[0], dnsserver.RequestNumberRelease, func(q dnsserver.NumberQuestion) any {
				return dnsserver.NumberRelease{NumberQuestion: q, KeepSecret: keep}
			}, func(r dnsserver.NumberReleased) error {
				if asJSON {
					return printJSON(c.OutOrStdout(), r)
				}
				_, err := io.WriteString(c.OutOrStdout(), releasedText(r))
				return err
			})
		},
	}
	f.flags(c)
	c.Flags().BoolVar(&keep, "keep-secret", false, "leave the shared secret as it is")
	c.Flags().BoolVar(&asJSON, "json", false, "print one line of JSON")
	return c
}

func releasedText(r dnsserver.NumberReleased) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is free (%s, serial %d)\n", r.Number, r.Zone, r.Serial)
	for _, x := range r.Records {
		fmt.Fprintf(&b, "  gone: %s\n", x)
	}
	if r.More > 0 {
		fmt.Fprintf(&b, "  and %d more records\n", r.More)
	}
	switch {
	case r.Revoked && r.Key != nil:
		fmt.Fprintf(&b, "Its secret is revoked; dialtone key show %s prints the next one.\n", r.Number)
	case r.Revoked:
		fmt.Fprintf(&b, "Its secret is revoked; dialtone key add %s makes the next one.\n", r.Number)
	case r.Key != nil && r.Key.Kind == keys.KindConfigured:
		b.WriteString("Its key in the configuration stays: change it there if it is lost.\n")
	}
	return b.String()
}
