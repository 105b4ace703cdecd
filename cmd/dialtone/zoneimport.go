package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"dialtone/config"
	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
	"dialtone/zone/masterfile"
	"dialtone/zone/rr"
)

func zoneImportCommand() *cobra.Command {
	var f keyFlags
	var in dnsserver.ZoneImport
	c := &cobra.Command{
		Use:   "import ZONE FILE",
		Short: "Make a zone what a master file says",
		Long: `Make a zone what a master file says (- is the standard input): what differs is changed in one
go, with one serial, and secondaries get it by IXFR. --dry-run shows what would be deleted (-)
and added (+) and changes nothing. The file is checked as by dialtone zone check.

Numbers with a lease stay as they are, with all below them, whatever the file says: they are
their phones', which may have moved since the file was made. --leased changes them, too; their
leases go on. Times signed and keys are no records, and stay in any case.

The file says by its serial which version it was made from. When the zone has changed since,
the import would undo that, and is refused: freeze the zone before you export it, or use
--force. The new serial is the file's if that is greater (RFC 1982), and else the next one.` + keyHelp,
		Example: `  dialtone zone freeze phones.example.
  dialtone zone export phones.example. phones.zone
  $EDITOR phones.zone
  dialtone zone import phones.example. phones.zone --dry-run
  dialtone zone import phones.example. phones.zone
  dialtone zone thaw phones.example.`,
		Args: zoneAndFile(2, 2),
		RunE: func(c *cobra.Command, args []string) error { return f.importZone(c, in, args[0], args[1]) },
	}
	f.configFlag(c)
	c.Flags().BoolVar(&in.DryRun, "dry-run", false, "show what would change, and change nothing")
	c.Flags().BoolVar(&in.Leased, "leased", false, "change numbers with a lease, too")
	c.Flags().BoolVar(&in.Steps, "steps", false, "make as many commits as it takes, 10,000 names each: for more than 100,000, and to let updates in between")
	c.Flags().BoolVar(&in.Force, "force", false, "undo what has changed since the file's serial")
	return c
}

func (f *keyFlags) importZone(c *cobra.Command, in dnsserver.ZoneImport, name, file string) error {
	apex, err := rr.ParseName(name)
	if err != nil {
		return usage(c, err.Error())
	}
	in.Zone, in.File = apex.String(), file
	return f.ask(c, func(ctx context.Context, _ *config.Config, to *control.Client) error {
		content, err := readZone(c, file, apex)
		if err != nil {
			return err
		}
		// What is sent is what was read: $INCLUDE reaches files that the server cannot.
		text, w := io.Pipe()
		defer text.Close()
		go func() { w.CloseWithError(writeZone(w, apex, content)) }() // ends when text is closed
		out := bufio.NewWriter(c.OutOrStdout())
		for item, err := range control.UploadList[dnsserver.ZoneImportItem](ctx, to, dnsserver.RequestZoneImport, in, text) {
			if err != nil {
				return errors.Join(err, out.Flush())
			}
			switch {
			case item.Result != nil:
				_, err = io.WriteString(out, importText(in, item.Result))
			case item.Deleted != "":
				_, err = fmt.Fprintln(out, "-"+item.Deleted)
			default:
				_, err = fmt.Fprintln(out, "+"+item.Added)
			}
			if err != nil {
				return err
			}
		}
		return out.Flush()
	})
}

// readZone reads and checks a file.
func readZone(c *cobra.Command, file string, apex rr.Name) (*masterfile.Content, error) {
	stderr := c.ErrOrStderr()
	progress, end := func(int) {}, func() {}
	if isTerminal(stderr) {
		l := newLiveLine(stderr, time.Now)
		progress, end = func(n int) { l.show(dnsserver.Progress{Zone: apex, Phase: dnsserver.Reading, Records: n}) }, l.end
	}
	defer end()
	var content *masterfile.Content
	var problems []masterfile.Problem
	if file == "-" {
		content, problems = masterfile.Parse(c.InOrStdin(), "standard input", apex, progress)
	} else {
		content, problems = masterfile.ParseFile(file, apex, progress)
	}
	end()
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	if masterfile.Faulty(problems) {
		return nil, &userError{lines}
	}
	for _, line := range lines {
		fmt.Fprintln(stderr, line)
	}
	return content, nil
}

func writeZone(w io.Writer, apex rr.Name, content *masterfile.Content) error {
	m := masterfile.NewWriter(w, apex, 0, "")
	for o := range content.Sorted() {
		if err := m.Add(o); err != nil {
			return err
		}
	}
	return m.Flush()
}

func importText(in dnsserver.ZoneImport, r *dnsserver.ZoneImportResult) string {
	left := ""
	if r.Leased > 0 {
		left = fmt.Sprintf("What the file says of %s with a lease is left out (--leased takes it, too)\n", plural(r.Leased, "name"))
	}
	counts := fmt.Sprintf("%s deleted, %s added", plural(r.Deleted, "record"), grouped(r.Added))
	switch {
	case in.DryRun && r.Newer && !in.Force:
		left += fmt.Sprintf("%s has changed since the serial of the file, %d: without --force it is not imported\n", r.Zone, r.FileSerial)
		fallthrough
	case in.DryRun:
		return fmt.Sprintf("%sNothing is changed yet: %s would be %s, serial %d would become %d\n", left, r.Zone, counts, r.Before, r.Serial)
	case r.Serial == r.Before:
		return fmt.Sprintf("%s%s is as the file says, at serial %d\n", left, r.Zone, r.Serial)
	}
	return fmt.Sprintf("%s%s: %s, serial %d (it was %d)\n", left, r.Zone, counts, r.Serial, r.Before)
}
