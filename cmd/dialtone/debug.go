package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
)

func logLevelCommand() *cobra.Command {
	var f keyFlags
	c := &cobra.Command{
		Use:   "log-level [debug|info|warn|error]",
		Short: "Show or set the log level of the running server",
		Long: `Show the log level of the running server, or set it. It holds until the server stops, or
reloads a configuration with another log.level, which is what it begins with.`,
		Example: `  dialtone log-level debug --config /etc/dialtone/dialtone.yaml`,
		Args:    atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			var q dnsserver.LogLevelQuestion
			if len(args) == 1 {
				q.Level = args[0]
			}
			return f.askServer(c, func(ctx context.Context, to *control.Client) error {
				a, err := control.Call[dnsserver.LogLevelAnswer](ctx, to, dnsserver.RequestLogLevel, q)
				switch {
				case err != nil:
					return err
				case a.Level == a.Before:
					_, err = fmt.Fprintln(c.OutOrStdout(), a.Level)
				default:
					_, err = fmt.Fprintf(c.OutOrStdout(), "%s (it was %s)\n", a.Level, a.Before)
				}
				return err
			})
		},
	}
	f.configFlag(c)
	return c
}

// debugCommand has the profiles by which a server is looked into.
func debugCommand() *cobra.Command {
	return groupCommand("debug", "Look into the running server: where its time and memory go",
		profileCommand("profile", "Where processor time goes, for some seconds", "profile", true, false),
		profileCommand("heap", "What memory of the Go heap is used for", "heap", false, false),
		profileCommand("allocs", "What memory was asked for since the start", "allocs", false, false),
		profileCommand("goroutines", "What each goroutine does, as text", "goroutine", false, true))
}

func profileCommand(name, short, profile string, timed, text bool) *cobra.Command {
	var f keyFlags
	q := dnsserver.ProfileQuestion{Text: text}
	c := &cobra.Command{
		Use:   name + " [FILE]",
		Short: short,
		Long: short + `. What "go tool pprof FILE" reads, or text, goes to FILE, or to the
standard output.`,
		Args: atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.askServer(c, func(ctx context.Context, to *control.Client) error {
				write := func(w io.Writer) error {
					r, err := control.Download(ctx, to, dnsserver.RequestProfile+profile, q)
					if err != nil {
						return err
					}
					defer r.Close()
					_, err = io.Copy(w, r)
					return err
				}
				if len(args) == 0 {
					return write(c.OutOrStdout())
				}
				return writeWhole(args[0], func(f *os.File) error { return write(f) })
			})
		},
	}
	f.configFlag(c)
	if timed {
		c.Flags().IntVar(&q.Seconds, "seconds", 10, "for how long, 1 to 300")
	}
	return c
}
