package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
)

func topCommand() *cobra.Command {
	var f keyFlags
	var once bool
	every := time.Second
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch the running server: rates, zones, secondaries, queues, faults",
		Long: `Watch the running server in the terminal: queries and updates a second with the last minute as
graphs, what waits, zones, how far secondaries are behind, limits reached and faults. It shows
what dialtone status tells, every second.

Keys: q or Ctrl-C quits, s sorts the zones by the next column and r the other way round, the
arrows and Page Up and Down scroll them, the space bar stops and goes on, ? lists the keys.

With --once, or where the output is no terminal, everything is printed once. Exit codes: 0 done,
4 no server runs or it does not answer, 2 a mistake in the command, 1 anything else`,
		Example: `  dialtone top --config /etc/dialtone/dialtone.yaml`,
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if every < minTopEvery {
				return usage(c, fmt.Sprintf("--every is %s at least", minTopEvery))
			}
			return f.askServer(c, func(ctx context.Context, to *control.Client) error {
				ask := func(ctx context.Context) (dnsserver.Status, error) {
					return control.Call[dnsserver.Status](ctx, to, dnsserver.RequestStatus, dnsserver.StatusQuestion{Zone: f.zone})
				}
				first, err := ask(ctx)
				if err != nil {
					return err
				}
				m := newTopModel(ask, every)
				m.take(first, nil)
				out := c.OutOrStdout()
				if once || !isTerminal(out) || !isTerminal(os.Stdin) {
					_, err := io.WriteString(out, m.all())
					return err
				}
				m.styled = os.Getenv("NO_COLOR") == ""
				return watch(ctx, m, os.Stdin, out)
			})
		},
	}
	f.configFlag(c)
	c.Flags().StringVarP(&f.zone, "zone", "z", "", "only this zone and its secondaries")
	c.Flags().BoolVar(&once, "once", false, "print everything once")
	c.Flags().DurationVar(&every, "every", every, "time from one look to the next")
	return c
}

const (
	minTopEvery = 200 * time.Millisecond
	topPatience = 5 * time.Second // for an answer
)

// watch shows the model until the user or a signal ends it. The terminal is as it was then, also after a panic.
func watch(ctx context.Context, m *topModel, in io.Reader, out io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	p := tea.NewProgram(m, tea.WithoutSignalHandler(), tea.WithInput(in), tea.WithOutput(out))
	defer context.AfterFunc(ctx, p.Quit)()
	_, err := p.Run()
	if errors.Is(err, tea.ErrInterrupted) {
		err = nil
	}
	return err
}
