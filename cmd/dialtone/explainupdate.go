package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
)

func explainUpdateCommand() *cobra.Command {
	var f keyFlags
	q := dnsserver.ExplainQuestion{}
	var asJSON, offline bool
	c := &cobra.Command{
		Use:   "explain KEY NUMBER TYPE",
		Short: "Say which rule allows or refuses an update, and why",
		Long: `Say whether a key may change the records of a type at a number, which rule of the zone's acl
decides, at which line of the configuration, and why each rule before it does not.

KEY is the name of the key that signs, a number for that number's own key, or none. NUMBER may
also be another name, relative to the zone or with a final dot. TYPE is ANY for the deletion of
all that a name has. Without --data the update deletes all records of the type; the acl decides
about additions in the same way, but for what --data is: an address that the server is to fill
in (0.0.0.0), or a KEY record.

The running server is asked for the rules that are in force. When none runs, or with --offline,
they are those of the configuration file; then keys that the server keeps are not known.

Exit codes: 0 allowed, 1 refused, 2 a mistake in the command or the configuration`,
		Example: `  dialtone explain 5551234 5551234 A --config /etc/dialtone/dialtone.yaml
  dialtone explain dhcp.key. 2017 A --address 192.0.2.5 --data 10.0.0.9
  dialtone explain none www A --address 127.0.0.1 --offline`,
		Args: exactly("KEY", "NUMBER", "TYPE"),
		RunE: func(c *cobra.Command, args []string) error {
			q.Key, q.Number, q.Type, q.Zone = args[0], args[1], args[2], f.zone
			e, from, err := f.explain(c, q, offline)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(c.OutOrStdout(), e)
			} else {
				_, err = fmt.Fprint(c.OutOrStdout(), explanationText(e, from))
			}
			if err == nil && !e.Allowed {
				err = &codeError{errors.New("refused"), 1}
			}
			return err
		},
	}
	f.flags(c)
	c.Flags().StringVar(&q.Address, "address", "", "address that the update comes from, for rules with address")
	c.Flags().StringVar(&q.Data, "data", "", "data of a record that is added, as in a master file")
	c.Flags().BoolVar(&q.Public, "public", false, "KEY is the public key in the number's KEY record (SIG(0))")
	c.Flags().BoolVar(&q.Claim, "claim", false, "KEY is a public key that claims the number, which has no KEY record")
	c.Flags().BoolVar(&offline, "offline", false, "take the rules of the configuration file also when a server runs")
	c.Flags().BoolVar(&asJSON, "json", false, "print one line of JSON")
	return c
}

// explain asks the server, or else the configuration; from says which.
func (f *keyFlags) explain(c *cobra.Command, q dnsserver.ExplainQuestion, offline bool) (e dnsserver.Explanation, from string, err error) {
	if offline {
		if err := forgotConfig(c); err != nil {
			return e, "", err
		}
	} else {
		err = f.askServer(c, func(ctx context.Context, to *control.Client) (err error) {
			e, err = control.Call[dnsserver.Explanation](ctx, to, dnsserver.RequestExplain, q)
			return err
		})
		var none *codeError
		if !errors.As(err, &none) || none.code != exitUnreachable || errors.As(err, new(*control.Late)) {
			return e, "the running server", err
		}
	}
	conf, opts, err := load(f.config)
	if err == nil {
		e, err = dnsserver.Explain(opts, q)
	}
	return e, "the configuration, not a running server", explainCommand(c, conf, err)
}

func explanationText(e dnsserver.Explanation, from string) string {
	var b strings.Builder
	verdict := "refused"
	if e.Allowed {
		verdict = "allowed"
	}
	fmt.Fprintf(&b, "%s: %s\n", verdict, e.Update)
	switch {
	case e.Rule >= 0:
		fmt.Fprintf(&b, "by acl[%d] of zone %s%s\n", e.Rule, e.Zone, inParentheses(e.Place))
	default:
		fmt.Fprintf(&b, "since no rule of zone %s decides\n", e.Zone)
	}
	if e.Why != "" {
		fmt.Fprintf(&b, "%s\n", e.Why)
	}
	fmt.Fprintf(&b, "\nThe rules of %s:\n", from)
	for _, r := range e.Rules {
		fmt.Fprintf(&b, "  %s%s: %s\n", r.Rule, inParentheses(r.Place), r.Text)
		switch {
		case r.Decides:
			b.WriteString("    decides\n")
		case !r.Looked:
			b.WriteString("    is not looked at any more\n")
		default:
			fmt.Fprintf(&b, "    does not decide: %s\n", r.Why)
		}
	}
	if len(e.Rules) == 0 {
		b.WriteString("  none: nobody may change the zone\n")
	}
	for _, n := range e.Notes {
		fmt.Fprintf(&b, "Note: %s\n", n)
	}
	return b.String()
}

func inParentheses(place string) string {
	if place == "" {
		return ""
	}
	return " (" + place + ")"
}
