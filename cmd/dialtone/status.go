package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"dialtone/config"
	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
)

// exitFaulty is the exit code of status when the server runs and something is wrong.
const exitFaulty = 6

func statusCommand() *cobra.Command {
	var f keyFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the running server is: zones, rates, secondaries, limits reached, faults",
		Long: `Show how the running server is: its zones with serials, numbers and leases, what it answers
a second, what waits, the last sync to disk, which serial each secondary has and how far it is
behind, limits that were reached, and what is wrong.

A secondary's serial is confirmed by what it has fetched, or by what it said in a request that
it has. That it answers a NOTIFY tells only that it has heard of a serial, so after a start of
the server its serial is unknown until the zone changes or it asks.

Exit codes: 0 all is well, 6 the server runs and something is wrong (the faults, which come last,
say what), 4 no server runs or it does not answer, 2 a mistake in the command, 1 anything else`,
		Example: `  dialtone status --config /etc/dialtone/dialtone.yaml
  dialtone status --config /etc/dialtone/dialtone.yaml --json | jq .secondaries`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return f.askServer(c, func(ctx context.Context, to *control.Client) error {
				st, err := control.Call[dnsserver.Status](ctx, to, dnsserver.RequestStatus, dnsserver.StatusQuestion{Zone: f.zone})
				if err != nil {
					return err
				}
				if asJSON {
					err = printJSON(c.OutOrStdout(), st)
				} else {
					_, err = c.OutOrStdout().Write(statusText(st))
				}
				if err == nil && st.FaultsTotal > 0 {
					err = &codeError{errors.New(count(st.FaultsTotal, "fault")), exitFaulty}
				}
				return err
			})
		},
	}
	f.configFlag(c)
	c.Flags().StringVarP(&f.zone, "zone", "z", "", "only this zone and its secondaries")
	c.Flags().BoolVar(&asJSON, "json", false, "print one line of JSON")
	return c
}

// askServer is ask for what only a running server knows.
func (f *keyFlags) askServer(c *cobra.Command, do func(ctx context.Context, to *control.Client) error) error {
	if err := forgotConfig(c); err != nil {
		return err
	}
	conf, err := settings(f.config)
	if err != nil {
		return explain(conf, err)
	}
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	to, err := control.Dial(ctx, conf.DataDir)
	if errors.Is(err, control.ErrNoServer) {
		return &codeError{fmt.Errorf("no server runs on %s", conf.DataDir), exitUnreachable}
	}
	if err == nil {
		err = errors.Join(do(ctx, to), to.Close())
	}
	if errors.As(err, new(*control.Late)) {
		return &codeError{err, exitUnreachable}
	}
	return explainCommand(c, conf, err)
}

// settings reads a configuration for where the server is.
func settings(file string) (*config.Config, error) {
	if file == "" {
		return config.Default()
	}
	return config.Load(file)
}

// statusText is a Status for a person.
func statusText(st dnsserver.Status) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s (pid %d) serves %s for %s\n", st.Version, st.PID, joined(st.Listen), age(st.Uptime))
	fmt.Fprintf(&b, "data in %s%s\n", st.DataDir, diskText(st))
	if st.Metrics != nil {
		fmt.Fprintf(&b, "metrics at http://%s/metrics\n", st.Metrics)
	}
	fmt.Fprintf(&b, "waiting: %s of at most %s a zone%s, %s of %s other messages over UDP; %s of %s TCP connections\n",
		plural(st.Queue.Updates, "update"), grouped(st.Queue.Limit), fullestText(st.Queue),
		grouped(st.Queue.Messages.Used), grouped(st.Queue.Messages.Limit), grouped(st.TCP.Used), grouped(st.TCP.Limit))
	b.WriteByte('\n')
	columns(&b, "PER SECOND\tlast second\tlast minute\tin all", func(row func(...any)) {
		for _, r := range []struct {
			name string
			rate dnsserver.Rate
		}{
			{"queries", st.Rates.Queries}, {"updates", st.Rates.Updates}, {"updates that failed", st.Rates.UpdateFailures},
			{"transfers", st.Rates.Transfers}, {"syncs to disk", st.Rates.Syncs}, {"messages dropped", st.Rates.Dropped},
		} {
			row(r.name, perSecond(r.rate.Second), perSecond(r.rate.Minute), grouped(int(r.rate.Total)))
		}
	})
	b.WriteByte('\n')
	zonesText(&b, st)
	secondariesText(&b, st)
	sendersText(&b, st)
	limitsText(&b, st)
	faultsText(&b, st)
	return b.Bytes()
}

func diskText(st dnsserver.Status) string {
	var parts []string
	if st.Sync != nil {
		parts = append(parts, fmt.Sprintf("last sync %s ago, in %s", age(st.Now.Sub(st.Sync.At).Seconds()), milli(st.Sync.Took)))
	} else {
		parts = append(parts, "no sync yet")
	}
	if st.Disk != nil {
		parts = append(parts, fmt.Sprintf("%s free", octets(st.Disk.Free)))
	}
	return ": " + strings.Join(parts, ", ")
}

func fullestText(q dnsserver.QueueStatus) string {
	if q.Fullest == "" || q.InIt == q.Updates {
		return ""
	}
	return fmt.Sprintf(" (%s of them in %s)", grouped(q.InIt), q.Fullest)
}

func zonesText(w io.Writer, st dnsserver.Status) {
	columns(w, "ZONE\tserial\tnumbers\tleases\tnames\tqueue\tjournal\tchanged", func(row func(...any)) {
		for _, z := range st.Zones {
			row(z.Zone, z.Serial, grouped(z.Numbers), grouped(z.Leases), grouped(z.Names), grouped(z.Queue),
				fmt.Sprintf("%s, %s", octets(z.Journal), plural(int(z.JournalEntries), "change")), changedText(st.Now, z))
		}
		if more := st.ZonesTotal - len(st.Zones); more > 0 {
			row(fmt.Sprintf("and %s more", grouped(more)))
		}
		if st.ZonesTotal > 1 {
			row("all", "", grouped(st.Numbers), grouped(st.Leases))
		}
	})
	for _, z := range st.Zones {
		if !z.Frozen.IsZero() {
			fmt.Fprintf(w, "%s is frozen, for %s: updates that change it are refused until dialtone zone thaw %s\n", z.Zone, age(st.Now.Sub(z.Frozen).Seconds()), z.Zone)
		}
	}
}

func sendersText(w io.Writer, st dnsserver.Status) {
	if len(st.Senders) == 0 {
		return
	}
	fmt.Fprintln(w)
	columns(w, senderColumns, senderRows(st.Senders))
}

const senderColumns = "SENDER\tfrom\tupdates/s\trefused/s"

// senderRows tell who sends many updates.
func senderRows(list []dnsserver.SenderStatus) func(row func(...any)) {
	return func(row func(...any)) {
		for _, x := range list {
			row(cmp.Or(x.Key, "(no right signature)"), x.Source, perSecond(x.Updates), perSecond(x.Refused))
		}
	}
}

// changedText says when a zone changed, or that it may not.
func changedText(now time.Time, z dnsserver.ZoneStatus) string {
	if !z.Frozen.IsZero() {
		return "frozen for " + age(now.Sub(z.Frozen).Seconds())
	}
	return ago(now, z.Changed)
}

func secondariesText(w io.Writer, st dnsserver.Status) {
	if st.SecondariesTotal == 0 {
		return
	}
	fmt.Fprintln(w)
	columns(w, "SECONDARY\tzone\tserial\tstate\tNOTIFY", func(row func(...any)) {
		for _, x := range st.Secondaries {
			serial := "?"
			if x.Serial != nil {
				serial = fmt.Sprint(*x.Serial)
			}
			name := x.Address
			if x.Key != "" {
				name += " " + x.Key
			}
			row(name, x.Zone, serial, lagText(x), notifyText(st.Now, x))
		}
		if more := st.SecondariesTotal - len(st.Secondaries); more > 0 {
			row(fmt.Sprintf("and %s more", grouped(more)))
		}
	})
}

// lagText says how far behind a secondary is.
func lagText(x dnsserver.SecondaryStatus) string {
	switch {
	case x.State == dnsserver.SecondaryBehind && x.Older:
		return fmt.Sprintf("behind by %s, more than the journal has", plural(int(x.Serials), "serial"))
	case x.State == dnsserver.SecondaryBehind:
		return fmt.Sprintf("behind by %s, for %s", plural(int(x.Serials), "serial"), age(x.Seconds))
	case x.State == dnsserver.SecondaryUnknown && x.Shared:
		return "unknown: others have its address too"
	case x.State == dnsserver.SecondaryUnknown:
		return "unknown: it has fetched nothing yet"
	}
	return string(x.State)
}

func notifyText(now time.Time, x dnsserver.SecondaryStatus) string {
	switch {
	case !x.Target:
		return "none configured"
	case x.Missed > 0:
		return fmt.Sprintf("%d without an answer", x.Missed)
	case x.Told == nil:
		return "not answered yet"
	}
	return fmt.Sprintf("answered for %d, %s", *x.Told, ago(now, x.ToldAt))
}

func limitsText(w io.Writer, st dnsserver.Status) {
	if len(st.Limits) == 0 {
		return
	}
	fmt.Fprintln(w)
	columns(w, "LIMIT REACHED\tlast minute\tin all", func(row func(...any)) {
		for _, l := range st.Limits {
			row(l.Limit, grouped(int(l.Minute)), grouped(int(l.Total)))
		}
	})
}

func faultsText(w io.Writer, st dnsserver.Status) {
	if st.FaultsTotal == 0 {
		return
	}
	fmt.Fprintln(w, "\nFAULTS")
	for _, f := range st.Faults {
		text := string(f.Kind)
		if f.Zone != "" {
			text += " " + f.Zone
		}
		if !f.Since.IsZero() {
			text += ", since " + f.Since.UTC().Format(time.DateTime+"Z")
		}
		fmt.Fprintf(w, "  %s: %s\n", text, f.Text)
	}
	if more := st.FaultsTotal - len(st.Faults); more > 0 {
		fmt.Fprintf(w, "  and %s more\n", grouped(more))
	}
}

// columns prints columns under a heading.
func columns(w io.Writer, heading string, rows func(row func(cells ...any))) {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, heading)
	rows(func(cells ...any) {
		texts := make([]string, strings.Count(heading, "\t")+1) // a short row would end the columns
		for i, c := range cells {
			texts[i] = fmt.Sprint(c)
		}
		fmt.Fprintln(t, strings.Join(texts, "\t"))
	})
	t.Flush() // into a buffer
	for line := range strings.Lines(b.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return grouped(n) + " " + what + "s"
}

// age writes seconds as a person counts time.
func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", max(d.Seconds(), 0))
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return age(now.Sub(t).Seconds()) + " ago"
}

func milli(seconds float64) string { return fmt.Sprintf("%.1f ms", seconds*1000) }

func perSecond(n float64) string {
	if n > 0 && n < 10 {
		return fmt.Sprintf("%.1f", n)
	}
	return grouped(int(n + 0.5))
}

// octets writes a size with a unit.
func octets(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if i == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
