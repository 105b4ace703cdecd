package main

import (
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dialtone/dnsserver"
)

func restoreCommand() *cobra.Command {
	var f keyFlags
	var ahead int64
	var dryRun bool
	c := &cobra.Command{
		Use:   "restore FILE [FILE...]",
		Short: "Make the data directory from a backup",
		Long: `Make the configuration's data directory, which must be empty, from a full backup and those
that were made with --since after it, in order. All files are checked first. When the command
is broken off nothing is there, and the server does not start before it has been repeated.

Serials move on by 1,073,741,824 and 500 for each second since the backup (at most half as
much again), so that they are ahead of all that the lost server can have used: secondaries
take the restored zone for newer, and those that had changes which are lost get the whole
zone. --serial-ahead 0 leaves the serials as they are. That is only for moving a server that
has changed nothing since the backup: otherwise secondaries end up with wrong records, and
nobody sees it.

Leases that have ended since the backup end at the start. Keys that were revoked since the
backup count again: revoke them anew. What was registered since is registered again by the
phones themselves, at the latest when they refresh.`,
		Example: `  systemctl stop dialtone
  mv /var/lib/dialtone /var/lib/dialtone.old
  dialtone restore monday.dialtone tuesday.dialtone
  systemctl start dialtone`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(c, "FILE is missing")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := defaultConfig(c); err != nil {
				return err
			}
			if c.Flags().Changed("serial-ahead") && (ahead < 0 || ahead > dnsserver.MaxSerialAhead) {
				return usage(c, fmt.Sprintf("--serial-ahead is a number from 0 to %d", int64(dnsserver.MaxSerialAhead)))
			}
			if dryRun {
				return checkBackups(c, args)
			}
			return restoreFiles(c, f.config, args, ahead)
		},
	}
	f.configFlag(c)
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only see whether the files are whole and belong together; this needs no configuration")
	c.Flags().Int64Var(&ahead, "serial-ahead", -1, "by how much serials move on, in place of what is said above")
	return c
}

func restoreFiles(c *cobra.Command, file string, names []string, ahead int64) error {
	conf, opts, err := load(file)
	if err != nil {
		return err
	}
	stderr := c.ErrOrStderr()
	opts.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	o := dnsserver.RestoreOptions{Ahead: ahead}
	var endProgress func()
	o.Progress, endProgress = restoreProgress(stderr)
	begun := time.Now()
	forUsOnly()
	done, err := dnsserver.Restore(ctx, opts, names, o)
	endProgress()
	if err != nil {
		return explainCommand(c, conf, err)
	}
	warnIfOpen(stderr, conf)
	_, err = io.WriteString(c.OutOrStdout(), restoredText(conf.DataDir, done, time.Since(begun)))
	return err
}

// checkBackups is a restore that stops before it changes anything.
func checkBackups(c *cobra.Command, names []string) error {
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	progress, end := restoreProgress(c.ErrOrStderr())
	done, err := dnsserver.CheckBackups(ctx, names, progress)
	end()
	if err != nil {
		return explainCommand(c, nil, err)
	}
	text := fmt.Sprintf("whole: backup of %s, %s records\n", done.Time.Format(time.DateTime+"Z"), grouped(int(done.Records)))
	_, err = io.WriteString(c.OutOrStdout(), text+restoredZones(done))
	return err
}

// restoreProgress shows on a terminal how far a restore is.
func restoreProgress(stderr io.Writer) (show func(dnsserver.RestoreProgress), end func()) {
	if !isTerminal(stderr) {
		return nil, func() {}
	}
	l := newLiveLine(stderr, time.Now)
	return func(p dnsserver.RestoreProgress) { l.text(restoreProgressText(p)) }, l.end
}

func restoreProgressText(p dnsserver.RestoreProgress) string {
	if p.File != "" {
		return fmt.Sprintf("checking %s: %s of %s", p.File, octetsText(p.Done), octetsText(p.Of))
	}
	return fmt.Sprintf("restoring: %s of %s records", grouped(int(p.Done)), grouped(int(p.Of)))
}

func restoredText(dir string, r *dnsserver.Restored, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is restored from the backup of %s: %s in %s\n", dir, r.Time.Format(time.DateTime+"Z"),
		plural(len(r.Zones), "zone"), took.Round(100*time.Millisecond))
	b.WriteString(restoredZones(r))
	if len(r.Zones) > 0 && r.Zones[0].Was != r.Zones[0].Serial {
		b.WriteString("Serials are ahead of what secondaries can have; those that had what is lost get the whole zone.\n")
	}
	b.WriteString("Keys that were revoked after the backup count again: revoke them anew (audit.log of the old directory has them).\n")
	return b.String()
}

func restoredZones(r *dnsserver.Restored) string {
	var b strings.Builder
	for n, z := range r.Zones {
		if n == maxZones {
			fmt.Fprintf(&b, "  and %d more zones\n", len(r.Zones)-n)
			break
		}
		fmt.Fprintf(&b, "  %s serial %d", z.Apex, z.Serial)
		if z.Was != z.Serial {
			fmt.Fprintf(&b, " (%d in the backup)", z.Was)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
