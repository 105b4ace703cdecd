package dnsserver

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"dialtone/dnsserver/control"
)

// Requests of people who look into a running server.
const (
	// RequestLogLevel shows the level of the log, or sets it until the next start.
	RequestLogLevel = "log/level"
	// RequestProfile, with the name of a profile behind it, gives that profile, as go tool pprof reads it.
	RequestProfile = "debug/pprof/"
)

// LogLevelQuestion asks for a level: debug, info, warn or error; "" only shows it.
type LogLevelQuestion struct {
	Level string `json:"level"`
}

// LogLevelAnswer is the level that was set, and the one before.
type LogLevelAnswer struct {
	Level  string `json:"level"`
	Before string `json:"before"`
}

func (c *commands) logLevel(_ context.Context, who control.Peer, q LogLevelQuestion) (LogLevelAnswer, error) {
	v := c.s.opts.LogLevel
	if v == nil {
		return LogLevelAnswer{}, control.Mistakef("no server runs on %s: set log.level in its configuration", c.s.opts.DataDir)
	}
	before := levelText(v.Level())
	a := LogLevelAnswer{Level: before, Before: before}
	if q.Level == "" {
		return a, nil
	}
	level, ok := levels[q.Level]
	if !ok {
		return a, control.Mistakef("%q is no level: it is debug, info, warn or error", q.Level)
	}
	if a.Level = q.Level; a.Level == before {
		return a, nil
	}
	if err := c.s.audit(control.Entry{Action: "log-level", Who: who, Detail: before + " to " + a.Level}); err != nil {
		return a, err
	}
	v.Set(level)
	return a, nil
}

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

func levelText(l slog.Level) string { return strings.ToLower(l.String()) }

// ProfileQuestion is for how long a profile of what happens is taken.
type ProfileQuestion struct {
	Seconds int  `json:"seconds"` // 1 to 300; of profiles of what is, such as heap, it is not used
	Text    bool `json:"text"`    // as people read it, of goroutine
}

// maxProfile is the longest profile, in seconds.
const maxProfile = 300

// registerProfiles adds a request for each profile of the process.
func (c *commands) registerProfiles() {
	control.HandleDownload(c.server, RequestProfile+"profile", func(ctx context.Context, _ control.Peer, q ProfileQuestion, w io.Writer) error {
		if q.Seconds < 1 || q.Seconds > maxProfile {
			return control.Mistakef("a profile takes 1 to %d seconds, not %d", maxProfile, q.Seconds)
		}
		if err := pprof.StartCPUProfile(w); err != nil {
			return control.Mistakef("another profile is being taken: wait until it ends (%v)", err)
		}
		defer pprof.StopCPUProfile()
		select {
		case <-time.After(time.Duration(q.Seconds) * time.Second):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	for _, name := range []string{"heap", "allocs", "goroutine"} {
		control.HandleDownload(c.server, RequestProfile+name, func(_ context.Context, _ control.Peer, q ProfileQuestion, w io.Writer) error {
			if name == "heap" {
				runtime.GC() // what is told is what the last collection left
			}
			form := 0
			if q.Text {
				form = 2
			}
			if err := pprof.Lookup(name).WriteTo(w, form); err != nil {
				return fmt.Errorf("profile %s: %w", name, err)
			}
			return nil
		})
	}
}
