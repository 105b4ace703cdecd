package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dialtone/config"
	"dialtone/dnsserver"
)

func storeCommand() *cobra.Command {
	return groupCommand("store", "Look after a data directory", storeCheckCommand())
}

// storeFlags are those of store check.
type storeFlags struct {
	config       string
	repair, json bool
}

func storeCheckCommand() *cobra.Command {
	var f storeFlags
	c := &cobra.Command{
		Use:   "check [DIR]",
		Short: "Check a data directory octet by octet, and repair it",
		Long: `Check the data directory of a server that is not running: the checksum of every block and
log entry, what records and journals say of each other, registrations and keys. It says
which file is damaged where. Nothing is changed.

With --repair it writes what can be had to a new store, says what was lost, and keeps the
damaged files in a directory beside it. One wrong octet costs nothing: the checksum tells
what it was. What may be older than something that is lost is left out.

The exit code is 1 when something is damaged, or was and is lost.`,
		Example: `  dialtone store check --config /etc/dialtone/dialtone.yaml
  dialtone store check /var/lib/dialtone --repair`,
		Args: atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 1) == (f.config != "") {
				return usage(c, "name one data directory, or a configuration with --config")
			}
			return f.check(c, args)
		},
	}
	c.Flags().StringVarP(&f.config, "config", "c", "", "the server's configuration file, which names the data directory (YAML)")
	c.Flags().BoolVar(&f.repair, "repair", false, "make a new store of what can be had")
	c.Flags().BoolVar(&f.json, "json", false, "print one line of JSON")
	return c
}

func (f *storeFlags) check(c *cobra.Command, args []string) error {
	dir, conf := "", (*config.Config)(nil)
	if len(args) == 1 {
		dir = args[0]
	} else {
		var err error
		if conf, _, err = load(f.config); err != nil {
			return err
		}
		dir = conf.DataDir
	}
	line := newLiveLine(c.ErrOrStderr(), time.Now)
	progress := func(done, of int64) { line.text(fmt.Sprintf("%s: %s of %s", dir, mebibytes(done), mebibytes(of))) }
	if !isTerminal(c.ErrOrStderr()) {
		progress = nil
	}
	forUsOnly()
	report, err := dnsserver.CheckStore(dir, f.repair, progress)
	line.end()
	var bad *dnsserver.DataDirError
	switch {
	case errors.As(err, &bad) && conf == nil:
		return &userError{[]string{c.CommandPath() + ": " + err.Error()}}
	case err != nil:
		return explain(conf, err)
	case f.json:
		err = printJSON(c.OutOrStdout(), report)
	default:
		err = printReport(c.OutOrStdout(), dir, report)
	}
	if err == nil {
		err = verdict(dir, report)
	}
	return err
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }

// printReport prints findings and what there is.
func printReport(w io.Writer, dir string, r *dnsserver.StoreReport) error {
	var b strings.Builder
	for _, x := range r.Findings {
		fmt.Fprintf(&b, "%s: %s%s\n", dir, x, findingNote(x))
	}
	if r.Sound() {
		fmt.Fprintf(&b, "%s: no faults: %s, %s\n", dir, count(len(r.Zones), "zone"), mebibytes(r.Octets))
	}
	for _, z := range r.Zones {
		fmt.Fprintf(&b, "zone %s: serial %d, %s, %d in the journal, %s, %s\n", z.Zone, z.Serial, count(z.RRsets, "RRset"),
			z.Journal, count(z.Registrations, "registration"), count(z.Keys, "key"))
	}
	if r.Repaired {
		fmt.Fprintf(&b, "A new store is in place. The damaged files are in %s: take them away when you need them no more.\n", filepath.Join(dir, r.Aside))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func findingNote(x dnsserver.StoreFinding) string {
	switch {
	case x.Harmless:
		return " (left by a crash: nothing is lost by it)"
	case x.Mendable:
		return " (what was there is known)"
	}
	return ""
}

// verdict is the exit code, and what to do.
func verdict(dir string, r *dnsserver.StoreReport) error {
	lost := false
	for _, x := range r.Findings {
		lost = lost || !x.Mendable && !x.Harmless
	}
	switch {
	case r.Sound():
		return nil
	case r.Hopeless:
		return fmt.Errorf("%s is damaged beyond repair: restore a backup", dir)
	case !r.Repaired:
		return fmt.Errorf("%s is damaged: dialtone store check --repair brings back what can be had, or restore a backup", dir)
	case lost:
		return fmt.Errorf("%s is repaired, and something is lost: see above; a backup may have it", dir)
	}
	return nil
}
