package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"dialtone/config"
	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
)

func reloadCommand() *cobra.Command {
	var f keyFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have the running server read its configuration again",
		Long: `Have the running server read its configuration file again, and say what has changed: zones
added and removed, keys, acls, leases, secondaries, limits, the log's level. No query and no
update is lost: what was begun under the old configuration ends under it.

A configuration with faults changes nothing: all of them are listed, with their lines. What
cannot be changed while the server runs (addresses, the data directory, sockets) is named, and
left as it is until a restart. A zone that is taken out is not answered any more; its data
stays in the data directory. SIGHUP does the same; then it is the log that tells.

The file is the one that the server was started with; --config says where the server is. What
was changed is noted in the audit log. Exit codes: 0 done, 2 faults, which changed nothing, 4 no
server runs or it does not answer, 1 anything else.`,
		Example: `  dialtone reload --config /etc/dialtone/dialtone.yaml`,
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return unchanged(f.askServer(c, func(ctx context.Context, to *control.Client) error {
				out, err := control.CallLong[dnsserver.Reloaded](ctx, to, dnsserver.RequestReload, dnsserver.ReloadQuestion{})
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(c.OutOrStdout(), out)
				}
				return printReloaded(c.OutOrStdout(), c.ErrOrStderr(), out)
			}))
		},
	}
	f.configFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one line of JSON")
	return c
}

func printReloaded(stdout, stderr io.Writer, out dnsserver.Reloaded) error {
	for _, n := range out.Notes {
		fmt.Fprintln(stderr, "warning: "+n)
	}
	var b strings.Builder
	if len(out.Changes) == 0 {
		fmt.Fprintf(&b, "%s: nothing has changed\n", out.File)
	} else {
		fmt.Fprintf(&b, "%s is in force:\n", out.File)
	}
	for _, c := range out.Changes {
		fmt.Fprintf(&b, "  %s\n", c)
	}
	if len(out.Restart) > 0 {
		b.WriteString("These take a restart:\n")
	}
	for _, c := range out.Restart {
		fmt.Fprintf(&b, "  %s\n", c)
	}
	_, err := io.WriteString(stdout, b.String())
	return err
}

// reloader reads the configuration of a running server again. The server has it
// do so once at a time.
type reloader struct {
	file  string
	conf  *config.Config // in force
	level *slog.LevelVar
}

// reread is dnsserver.Options.Reread.
func (r *reloader) reread(apply func(dnsserver.Options) (dnsserver.Reloaded, error)) (dnsserver.Reloaded, error) {
	conf, opts, err := load(r.file)
	if err != nil {
		return dnsserver.Reloaded{}, asMistake(err)
	}
	out, err := apply(opts)
	if err != nil {
		return out, asMistake(explain(conf, err))
	}
	if out.File, err = filepath.Abs(r.file); err != nil {
		out.File = r.file
	}
	for _, w := range conf.Warnings {
		out.Notes = append(out.Notes, w.String())
	}
	if was, is := r.conf.Log.Level, conf.Log.Level; was != is {
		out.Changes = append(out.Changes, fmt.Sprintf("log.level changed from %s to %s", levelText(was), levelText(is)))
		r.level.Set(is) // else what dialtone log-level has set stays
	}
	if was, is := r.conf.Log.JSON, conf.Log.JSON; was != is {
		out.Restart = append(out.Restart, fmt.Sprintf("log.format stays %s, and is %s after a restart", formatText(was), formatText(is)))
		conf.Log.JSON = was
	}
	if !reflect.DeepEqual(r.conf.Web, conf.Web) { // tokens and certificates are not shown
		out.Restart = append(out.Restart, "web stays as it is, and is what the file says after a restart")
		conf.Web = r.conf.Web
	}
	r.conf = conf
	return out, nil
}

// asMistake makes what a user can correct something that the client of a
// running server can, too.
func asMistake(err error) error {
	var mine *userError
	if !errors.As(err, &mine) {
		return err
	}
	return &control.Mistake{Text: notChanged + "\n" + strings.Join(mine.lines, "\n")}
}

const notChanged = "nothing is changed:"

// unchanged says so also of faults that are found before the server is asked.
func unchanged(err error) error {
	var mine *userError
	if errors.As(err, &mine) && !strings.Contains(err.Error(), notChanged) {
		return &userError{append([]string{"dialtone reload: " + notChanged}, mine.lines...)}
	}
	return err
}

func levelText(l slog.Level) string { return strings.ToLower(l.String()) }

func formatText(json bool) string {
	if json {
		return "json"
	}
	return "text"
}
