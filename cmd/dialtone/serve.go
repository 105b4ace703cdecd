package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"dialtone/config"
	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
)

const (
	// stopTime is how long a stop waits for clients before it cuts them off.
	stopTime = 20 * time.Second
	// oneStop is how long further signals are part of the first: timeout(1) and others signal a process
	// and then its whole group.
	oneStop = time.Second
	// gcPercent is how much the Go heap may grow between two collections, in
	// percent of what is in use. Zones are not on that heap: it is what the
	// store works with, mostly without pointers, so collecting it is cheap.
	gcPercent = 25
	// ballastOctets count as in use, so that the heap grows by 12 MiB at least between two collections. Without them
	// the heap of a busy server with little in it had 4 MiB to grow, Badger asks for 3 MiB at a time when it makes a
	// table, and 12,000 updates a second meant 13 collections, which everybody waited for.
	ballastOctets = 48 << 20
)

// setCollector comes before anything is read: the ballast that it gives must not come to lie where something was before,
// since Go would clear it there, and it would be memory. It is never written to, and takes none but in the collector's
// books. An operator who sets the collector himself has his way.
func setCollector() (ballast []byte) {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	debug.SetGCPercent(gcPercent)
	if debug.SetMemoryLimit(-1) != math.MaxInt64 { // of which the ballast would be a part
		return nil
	}
	return make([]byte, ballastOctets)
}

func serveCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "serve [--config FILE]",
		Short: "Run the server",
		Long: `Run the server until SIGINT or SIGTERM. SIGHUP has it read its configuration again, as
dialtone reload does; without --config SIGHUP ends it.

Without --config it serves the zone phones.example. on loopback port 5300, for trying
out. The environment overrides single settings, as in DIALTONE_LISTEN=127.0.0.1:5353,
DIALTONE_DATA_DIR=/tmp/dialtone or DIALTONE_LOG_LEVEL=debug.`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return serve(c.Context(), file, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration file (YAML)")
	return c
}

func serve(ctx context.Context, file string, stdout, stderr io.Writer) error {
	defer runtime.KeepAlive(setCollector())
	conf, opts, err := load(file)
	if err != nil {
		return err
	}
	forUsOnly()
	endProgress := func() {}
	if isTerminal(stderr) {
		l := newLiveLine(stderr, time.Now)
		stderr, opts.Progress, endProgress = l, l.show, l.end
	}
	opts.LogLevel = new(slog.LevelVar)
	opts.LogLevel.Set(conf.Log.Level)
	opts.Logger = logger(conf.Log, opts.LogLevel, stderr)
	for _, w := range conf.Warnings {
		opts.Logger.Warn(w.String(), "op", "config")
	}
	ctx, stop := signal.NotifyContext(ctx, stopSignals(conf)...)
	defer stop()
	var hangup chan os.Signal // nil: never
	if conf.Path != "" {
		hangup = make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		r := &reloader{file: file, conf: conf, level: opts.LogLevel}
		opts.Reread = r.reread
	}
	page, err := listenWeb(ctx, conf, opts.Logger)
	if err != nil {
		endProgress()
		return explain(conf, err)
	}
	defer page.Close()
	srv, err := dnsserver.Start(ctx, opts)
	endProgress()
	if err != nil {
		if ctx.Err() != nil { // stopped while it started
			return nil
		}
		return explain(conf, err)
	}
	if text, open := openToAll(conf); open {
		opts.Logger.Warn(text, "op", "config")
	}
	// What the start took and serving does not need, at once and not bit by bit.
	debug.FreeOSMemory()
	if conf.Path == "" {
		fmt.Fprint(stdout, welcome(conf, srv.Addrs()))
	}
	page.Serve(srv)
	tellInit(opts.Logger, daemon.SdNotifyReady)
	for serving := true; serving; {
		select {
		case <-hangup:
			// What is wrong is in the log.
			_, _ = srv.Reload(ctx, control.Peer{UID: os.Getuid()})
		case <-ctx.Done():
			serving = false
		}
	}
	tellInit(opts.Logger, daemon.SdNotifyStopping)
	page.Close()
	time.AfterFunc(oneStop, stop) // an impatient second signal ends the process at once
	limit, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	return srv.Shutdown(limit)
}

// stopSignals end the server. What is tried out in a terminal ends with it.
func stopSignals(conf *config.Config) []os.Signal {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if conf.Path == "" {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// tellInit tells systemd, when that has started us and waits for it.
func tellInit(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd could not be told", "op", "start", "err", err)
	}
}

// load reads the configuration, or takes the default for no file.
func load(file string) (conf *config.Config, opts dnsserver.Options, err error) {
	if conf, err = settings(file); err == nil {
		opts, err = options(conf)
	}
	if err != nil {
		return nil, opts, explain(conf, err)
	}
	return conf, opts, nil
}

func logger(l config.Log, level slog.Leveler, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if l.JSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
