package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
)

func numberListCommand() *cobra.Command {
	var f keyFlags
	q := dnsserver.NumberListQuestion{}
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List the numbers of a zone with their addresses and leases",
		Long: `List the numbers of a zone that have records, in the order of their digits, with addresses and
what is left of leases. PREFIX, as 5551 or 5551*, is for those that begin so.` + numberHelp,
		Example: `  dialtone number list 5551 --config /etc/dialtone/dialtone.yaml`,
		Args:    atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			q.Zone = f.zone
			if len(args) == 1 {
				q.Prefix = strings.TrimSuffix(args[0], "*")
			}
			return f.askServer(c, func(ctx context.Context, to *control.Client) error {
				list := control.List[dnsserver.NumberItem](ctx, to, dnsserver.RequestNumberList, q)
				out := bufio.NewWriter(c.OutOrStdout())
				more, err := printNumbers(out, list, asJSON, time.Now())
				if err = errors.Join(err, out.Flush()); err == nil && more {
					_, err = fmt.Fprintf(c.ErrOrStderr(), "There are more than %s: see --limit, or name the first digits.\n", grouped(q.Limit))
				}
				return err
			})
		},
	}
	f.flags(c)
	c.Flags().IntVar(&q.Limit, "limit", 10_000, fmt.Sprintf("list so many, of at most %s", grouped(dnsserver.MaxNumberList)))
	c.Flags().BoolVar(&asJSON, "json", false, "print one line of JSON for each")
	return c
}

func printNumbers(out io.Writer, list iter.Seq2[dnsserver.NumberItem, error], asJSON bool, now time.Time) (more bool, err error) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rows := 0
	for x, err := range list {
		if err != nil {
			return more, errors.Join(w.Flush(), err)
		}
		more = more || x.More
		if asJSON {
			if err := printJSON(out, x); err != nil {
				return more, err
			}
			continue
		}
		lease := "-"
		if !x.Lease.IsZero() {
			lease = age(x.Lease.Sub(now).Seconds())
		}
		if rows == 0 {
			fmt.Fprintln(w, "NUMBER\tADDRESSES\tLEASE LEFT")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", x.Number, cmp.Or(joined(x.Addresses), "none"), lease)
		if rows++; rows%tableFlush == 0 {
			if err := w.Flush(); err != nil {
				return more, err
			}
		}
	}
	return more, w.Flush()
}
