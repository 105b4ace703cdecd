package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"dialtone/config"
	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
	"dialtone/phone"
)

func numberHistoryCommand() *cobra.Command {
	var f keyFlags
	var asJSON bool
	var at string
	q := dnsserver.HistoryQuestion{}
	c := &cobra.Command{
		Use:   "history NUMBER",
		Short: "Tell which address a number had when, and who set it",
		Long: `Tell which address a number had when, the newest first, and who set it: the key, and the
address that the update came from; or the end of a lease, a release, an import. What
happened to its secret stands between, from the audit log. With --at only what it had then.
The exit code is 5 when nothing is known of the number, or it had no address then.

It comes from the zone's journal, which reaches back as far as journal.max_age and
journal.max_size let it. Updates that took effect together, within some milliseconds, are
one change: if they are of the same number, what came of all of them is told, and who made
the last. A refresh of a lease changes no address and is not told.

The command asks the server that runs on the configuration's data directory. When none runs,
it reads the data directory itself.`,
		Example: `  dialtone number history 5551234 --config /etc/dialtone/dialtone.yaml
  dialtone number history 5551234 --at "2026-11-24 18:30" --config /etc/dialtone/dialtone.yaml
  dialtone number history 5551234 --at 36h --config /etc/dialtone/dialtone.yaml`,
		Args: exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := numberArg(c, args[0])
			if err != nil {
				return err
			}
			if q.Limit < 1 || q.Limit > dnsserver.MaxHistory {
				return usage(c, fmt.Sprintf("--limit is a number from 1 to %d", dnsserver.MaxHistory))
			}
			if at != "" {
				if q.At, err = parseMoment(at, time.Now()); err != nil {
					return usage(c, "--at: "+err.Error())
				}
			}
			q.Zone, q.Number = f.zone, string(n)
			return f.ask(c, func(ctx context.Context, _ *config.Config, to *control.Client) error {
				list := control.List[dnsserver.HistoryItem](ctx, to, dnsserver.RequestNumberHistory, q)
				return tellHistory(c, q, asJSON, list)
			})
		},
	}
	f.flags(c)
	c.Flags().StringVar(&at, "at", "", `one moment: "2026-11-24 18:30" or 2026-11-24 in UTC, by RFC 3339, or how long ago, such as 36h`)
	c.Flags().IntVar(&q.Limit, "limit", dnsserver.DefaultHistory, "lines at most")
	c.Flags().BoolVar(&asJSON, "json", false, "print a line of JSON for each")
	return c
}

// parseMoment reads a time as people write it.
func parseMoment(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d.Abs()), nil
	}
	for _, form := range []string{time.RFC3339Nano, time.DateTime + "Z07:00", time.DateTime, "2006-01-02 15:04Z07:00", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(form, strings.TrimSpace(text)); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write 2026-11-24 18:30 (UTC), or 36h for 36 hours ago", text)
}

// tellHistory prints what comes, and shows meanwhile how far the server is.
func tellHistory(c *cobra.Command, q dnsserver.HistoryQuestion, asJSON bool, list iter.Seq2[dnsserver.HistoryItem, error]) error {
	out, progress := c.OutOrStdout(), newJournalLine(c.ErrOrStderr())
	defer progress.clear()
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	var end *dnsserver.HistoryEnd
	rows, none := 0, false
	for i, err := range list {
		switch {
		case err != nil:
			progress.clear()
			return errors.Join(table.Flush(), err)
		case i.Progress != nil:
			progress.show(i.Progress.Read, i.Progress.Of)
			continue
		case i.End != nil:
			end = i.End
			continue
		case i.Past == nil:
			continue
		}
		progress.clear()
		rows++
		none = len(i.Past.Addresses) == 0
		if asJSON {
			err = printJSON(out, i.Past)
		} else {
			_, err = io.WriteString(table, pastLine(i.Past, !q.At.IsZero()))
		}
		if err != nil {
			return err
		}
	}
	progress.clear()
	if err := table.Flush(); err != nil || end == nil {
		return err
	}
	switch {
	case rows == 0:
		return &codeError{errors.New(nothingKnown(end, q.At)), exitNotRegistered}
	case none && !q.At.IsZero():
		return withCode(fmt.Errorf("number %s (%s) at %s: %w", end.Number, end.Name, moment(q.At), phone.ErrNotRegistered))
	case end.More && !asJSON:
		_, err := fmt.Fprintln(out, "There is more: see --limit.")
		return err
	}
	return nil
}

// moment prints a time so that it sorts.
func moment(t time.Time) string { return t.UTC().Format(time.DateTime + "Z") }

// pastLine is one line of the table: since when, what, and how that came.
func pastLine(p *dnsserver.NumberPast, withEnd bool) string {
	what := joined(p.Addresses)
	switch {
	case p.How == dnsserver.PastKey:
		what = "-"
	case what == "" && p.Records > 0:
		what = "none, but other records"
	case what == "":
		what = "none"
	}
	since := moment(p.Since)
	if p.How == dnsserver.PastUnknown {
		since = "before " + since
		if p.Since.IsZero() {
			since = "before"
		}
	}
	if withEnd {
		until := "now"
		if !p.Until.IsZero() {
			until = moment(p.Until)
		}
		since += "\tto " + until
	}
	return since + "\t" + what + "\t" + howText(p) + "\n"
}

// howText tells who made a change.
func howText(p *dnsserver.NumberPast) string {
	switch {
	case p.How == dnsserver.PastKey:
		return p.Action + byUser(p.By[0].UID)
	case p.How == dnsserver.PastUnknown:
		return "the journal begins here"
	case len(p.By) == 0:
		return "not known by whom"
	}
	var texts []string
	for _, by := range p.By {
		texts = append(texts, byText(by))
	}
	return strings.Join(texts, "; ")
}

func byText(by dnsserver.PastAuthor) string {
	if by.How != "update" {
		return by.How + byUser(by.UID)
	}
	text := "update"
	if by.From.IsValid() {
		text += " from " + by.From.String()
	}
	text += ", " + signedText(by.Key)
	if by.PublicKey {
		text += " (key pair)"
	}
	return text
}

func byUser(uid *int) string {
	if uid == nil || *uid < 0 {
		return ""
	}
	return " by user " + strconv.Itoa(*uid)
}

// nothingKnown says why there is no answer.
func nothingKnown(e *dnsserver.HistoryEnd, at time.Time) string {
	oldest := "the zone's journal is empty"
	if !e.Oldest.IsZero() {
		oldest = "the zone's journal goes back to " + moment(e.Oldest)
	}
	if at.IsZero() {
		return fmt.Sprintf("number %s (%s): nothing is known of it; %s", e.Number, e.Name, oldest)
	}
	return fmt.Sprintf("number %s (%s): what it had at %s is not known; %s", e.Number, e.Name, moment(at), oldest)
}

// journalLine shows on a terminal how much of a journal was read.
type journalLine struct {
	w     io.Writer
	shown bool
}

func newJournalLine(w io.Writer) *journalLine {
	if !isTerminal(w) {
		w = nil
	}
	return &journalLine{w: w}
}

func (l *journalLine) show(read, of int64) {
	if l.w == nil {
		return
	}
	l.shown = true
	fmt.Fprintf(l.w, "%sjournal: %s of %s MiB", clearLine, grouped(int(read>>20)), grouped(int(of>>20)))
}

func (l *journalLine) clear() {
	if l.shown {
		l.shown = false
		fmt.Fprint(l.w, clearLine)
	}
}
