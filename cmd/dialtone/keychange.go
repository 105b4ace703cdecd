package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"dialtone/config"
	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
	"dialtone/dnsserver/keys"
	"dialtone/phone"
)

// keyFlags are what all key commands have.
type keyFlags struct {
	config, zone string
}

func (f *keyFlags) flags(c *cobra.Command) {
	f.configFlag(c)
	c.Flags().StringVarP(&f.zone, "zone", "z", "", "zone of the number, if the configuration has several")
}

func (f *keyFlags) configFlag(c *cobra.Command) {
	c.Flags().StringVarP(&f.config, "config", "c", "", "the server's configuration file (YAML; default /etc/dialtone/dialtone.yaml, unless there is ./dialtone-data)")
}

const keyHelp = `

The command asks the server that runs on the configuration's data directory, which does it
at once. When none runs, the command does it itself.`

// ask calls do with a way to the server, or to the store.
func (f *keyFlags) ask(c *cobra.Command, do func(ctx context.Context, conf *config.Config, to *control.Client) error) error {
	if err := forgotConfig(c); err != nil {
		return err
	}
	conf, opts, err := load(f.config)
	if err != nil {
		return err
	}
	opts.Logger = slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	forUsOnly()
	to, err := dnsserver.Commands(ctx, opts)
	if err == nil {
		err = errors.Join(do(ctx, conf, to), to.Close())
	}
	return explainCommand(c, conf, err)
}

// explainCommand is explain for what a server or its data directory says to a command.
func explainCommand(c *cobra.Command, conf *config.Config, err error) error {
	var mistake *control.Mistake
	if errors.As(err, &mistake) {
		return &userError{[]string{c.CommandPath() + ": " + err.Error()}}
	}
	return explain(conf, err)
}

// askAbout is ask with one number.
func (f *keyFlags) askAbout(c *cobra.Command, number, request string, in func(zone, number string) any, done func(conf *config.Config, i keys.Info) error) error {
	n, err := numberArg(c, number)
	if err != nil {
		return err
	}
	return f.ask(c, func(ctx context.Context, conf *config.Config, to *control.Client) error {
		info, err := control.Call[keys.Info](ctx, to, request, in(f.zone, string(n)))
		if err != nil {
			return err
		}
		return done(conf, info)
	})
}

// warnIfOpen tells of a data directory that is no place for secrets.
func warnIfOpen(w io.Writer, conf *config.Config) {
	if text, open := openToAll(conf); open {
		fmt.Fprintf(w, "warning: %s\n", text)
	}
}

// openToAll tells whether all users may read the data directory, and what to do.
func openToAll(conf *config.Config) (text string, open bool) {
	fi, err := os.Stat(conf.DataDir)
	if err != nil || fi.Mode().Perm()&0o005 == 0 {
		return "", false
	}
	return fmt.Sprintf("everybody on this machine may read the keys in %s: take the permission away with chmod o= %s", conf.DataDir, conf.DataDir), true
}

// clause is a key as nsupdate -k wants it.
func clause(i keys.Info) (*phone.Key, error) {
	return phone.NewKey(i.Name, i.Algorithm, base64.StdEncoding.EncodeToString(i.Secret))
}

func keyAddCommand() *cobra.Command {
	var f keyFlags
	in := keys.Add{}
	c := &cobra.Command{
		Use:   "add NUMBER",
		Short: "Make a key for a number, which the server keeps",
		Long: `Make a key for a number, which the server keeps, and print it as nsupdate -k and
dialtone register --key-file want it. It works at once.

In a zone with derived_keys each number has a key already: see dialtone key show.` + keyHelp,
		Example: `  dialtone key add 5551234 --config /etc/dialtone/dialtone.yaml > 5551234.key`,
		Args:    exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error {
			if in.Derived && in.Algorithm != "" {
				return usage(c, "--algorithm: derived keys are hmac-sha256")
			}
			return f.askAbout(c, args[0], keys.RequestAdd, func(zone, number string) any {
				in.Zone, in.Number = zone, number
				return in
			}, func(conf *config.Config, i keys.Info) error {
				warnIfOpen(c.ErrOrStderr(), conf)
				k, err := clause(i)
				if err == nil {
					_, err = fmt.Fprint(c.OutOrStdout(), k.Clause())
				}
				return err
			})
		},
	}
	f.flags(c)
	c.Flags().StringVar(&in.Algorithm, "algorithm", "", "hmac-sha1, -sha224, -sha256, -sha384 or -sha512 (hmac-sha256)")
	c.Flags().BoolVar(&in.Replace, "replace", false, "revoke the key that the number has")
	c.Flags().BoolVar(&in.Derived, "derived", false, "make none: give the number its derived key again")
	return c
}

func keyRevokeCommand() *cobra.Command {
	var f keyFlags
	in := keys.Revoke{}
	c := &cobra.Command{
		Use:   "revoke NUMBER",
		Short: "Take the key of a number away",
		Long: `Take the key of a number away: nothing that is signed with it is taken any more when
this command has ended. What the number has registered stays.

In a zone with derived_keys the next key is derived then, which nobody has until
dialtone key show prints it; --block keeps the number without a secret. A key pair, whose
KEY record the zone has, still signs: dialtone number release takes that away.` + keyHelp,
		Args: exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error {
			return f.askAbout(c, args[0], keys.RequestRevoke, func(zone, number string) any {
				in.Zone, in.Number = zone, number
				return in
			}, func(_ *config.Config, i keys.Info) error {
				_, err := fmt.Fprintln(c.OutOrStdout(), revoked(i))
				return err
			})
		},
	}
	f.flags(c)
	c.Flags().BoolVar(&in.Block, "block", false, "and let no other be derived, until dialtone key add")
	return c
}

func revoked(i keys.Info) string {
	switch i.Kind {
	case keys.KindBlocked:
		return fmt.Sprintf("%s is blocked: it has no shared secret until dialtone key add %s", i.Number, i.Number)
	case keys.KindDerived:
		return fmt.Sprintf("%s: the key is revoked; dialtone key show %s prints the next one, derived at generation %d", i.Number, i.Number, i.Generation)
	}
	return fmt.Sprintf("%s: the key is revoked; the number has none until dialtone key add %s", i.Number, i.Number)
}

func keyListCommand() *cobra.Command {
	var f keyFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the keys of numbers, without their secrets",
		Long: `List the keys of numbers, without their secrets: those in the configuration, those that
the server keeps, and revoked and blocked ones.` + keyHelp,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return f.ask(c, func(ctx context.Context, conf *config.Config, to *control.Client) error {
				list := control.List[keys.Info](ctx, to, keys.RequestList, keys.List{Zone: f.zone})
				out := bufio.NewWriter(c.OutOrStdout()) // there may be a million
				rows, err := printKeys(out, list, asJSON)
				if err = errors.Join(err, out.Flush()); err != nil || asJSON {
					return err
				}
				return f.others(c.ErrOrStderr(), conf, rows)
			})
		},
	}
	f.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one line of JSON for each")
	return c
}

func printKeys(out *bufio.Writer, list iter.Seq2[keys.Info, error], asJSON bool) (rows int, err error) {
	w := table{Writer: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	row := w.row
	if asJSON {
		row = func(i keys.Info) error { return printJSON(out, i) }
	}
	for i, err := range list {
		if err == nil {
			err = row(i)
		}
		if err != nil {
			return w.rows, errors.Join(w.Flush(), err)
		}
	}
	return w.rows, w.Flush()
}

// others says what the list does not have.
func (f *keyFlags) others(w io.Writer, conf *config.Config, rows int) error {
	apex, err := f.apex(conf)
	if err != nil {
		return err
	}
	for _, z := range conf.Zones {
		if z.Name != apex || len(z.Seed) == 0 {
			continue
		}
		_, err = fmt.Fprintf(w, "Every other number of %s has its derived key.\n", z.Name)
		return err
	}
	if rows == 0 {
		_, err = fmt.Fprintln(w, "No number has a key: dialtone key add NUMBER makes one.")
	}
	return err
}

// table prints keys in columns.
type table struct {
	*tabwriter.Writer
	rows int
}

// tableFlush is after how many rows a long list begins to appear.
const tableFlush = 1000

func (t *table) row(i keys.Info) error {
	if t.rows++; t.rows == 1 {
		fmt.Fprintln(t, "NUMBER\tKEY\tALGORITHM\tGENERATION\tCHANGED")
	}
	changed, generation := "-", "-"
	if !i.Changed.IsZero() {
		changed, generation = i.Changed.Format(time.DateTime)+"Z", fmt.Sprint(i.Generation)
	}
	algorithm := i.Algorithm
	if algorithm == "" {
		algorithm = "-"
	}
	if _, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", i.Number, i.Kind, algorithm, generation, changed); err != nil {
		return err
	}
	if t.rows%tableFlush == 0 {
		return t.Flush()
	}
	return nil
}
