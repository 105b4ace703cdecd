package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"dialtone/config"
	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
	"dialtone/zone/rr"
)

func zoneCommand() *cobra.Command {
	return groupCommand("zone", "Check, export, import and freeze zones",
		zoneCheckCommand(), zoneExportCommand(), zoneImportCommand(), zoneFreezeCommand(), zoneThawCommand())
}

// zoneAndFile takes the zone's name and at most so many files.
func zoneAndFile(least, most int) cobra.PositionalArgs {
	names := []string{"ZONE", "FILE"}
	return func(c *cobra.Command, args []string) error {
		if err := exactly(names[:max(least, min(len(args), most))]...)(c, args); err != nil {
			return err
		}
		if _, err := rr.ParseName(args[0]); err != nil {
			return usage(c, "ZONE: "+err.Error())
		}
		return nil
	}
}

func zoneExportCommand() *cobra.Command {
	var f keyFlags
	c := &cobra.Command{
		Use:   "export ZONE [FILE]",
		Short: "Write a zone as a master file",
		Long: `Write a zone as a master file, as it is at one moment, in canonical order with the SOA record
first. Other name servers read it, and so does dialtone zone import. Without FILE, or with -,
it goes to the standard output. A file comes under its name when it is whole and on disk.` + keyHelp,
		Example: `  dialtone zone export phones.example. phones.zone`,
		Args:    zoneAndFile(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return f.ask(c, func(ctx context.Context, _ *config.Config, to *control.Client) error {
				return exportZone(ctx, c, to, args)
			})
		},
	}
	f.configFlag(c)
	return c
}

func exportZone(ctx context.Context, c *cobra.Command, to *control.Client, args []string) error {
	q := dnsserver.ZoneQuestion{Zone: args[0]}
	p := newOctetProgress(c.ErrOrStderr(), "export")
	defer p.end()
	if len(args) == 1 || args[1] == "-" {
		if isTerminal(c.OutOrStdout()) {
			p.line = nil // it would stand among the records
		}
		return p.download(ctx, to, dnsserver.RequestZoneExport, q, c.OutOrStdout())
	}
	err := writeWhole(args[1], func(f *os.File) error { return p.download(ctx, to, dnsserver.RequestZoneExport, q, f) })
	p.end()
	if err == nil {
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: zone %s, %s\n", args[1], args[0], octetsText(p.n))
	}
	return err
}

func zoneFreezeCommand() *cobra.Command {
	return zoneStateCommand(dnsserver.RequestZoneFreeze, &cobra.Command{
		Use:   "freeze ZONE",
		Short: "Let nothing change a zone until it is thawed",
		Long: `Let nothing change a zone until dialtone zone thaw, so that it can be exported, edited and
imported. When the command ends, what was taken before is done, and serial and records stay.

Updates that would change a record are refused (REFUSED, with an Extended DNS Error that says
why). A phone that renews its lease at the address that it has is let in: it changes nothing.
Leases end in answers as ever; their records go when the zone is thawed. dialtone zone import
works, dialtone number release does not. A start of the server thaws all zones, as BIND's does:
a forgotten freeze does not lock phones out for longer.

The command asks the server that runs on the configuration's data directory.`,
	}, func(s dnsserver.ZoneState) string {
		return fmt.Sprintf("%s is frozen at serial %d, until dialtone zone thaw %s\n", s.Zone, s.Serial, s.Zone)
	})
}

func zoneThawCommand() *cobra.Command {
	return zoneStateCommand(dnsserver.RequestZoneThaw, &cobra.Command{
		Use:   "thaw ZONE",
		Short: "Let updates change a frozen zone again",
		Long: `Let updates change again what dialtone zone freeze has frozen.

The command asks the server that runs on the configuration's data directory.`,
	}, func(s dnsserver.ZoneState) string {
		return fmt.Sprintf("%s takes updates again, at serial %d; it was frozen for %s\n", s.Zone, s.Serial, s.Now.Sub(s.Frozen).Round(time.Second))
	})
}

func zoneStateCommand(request string, c *cobra.Command, text func(s dnsserver.ZoneState) string) *cobra.Command {
	var f keyFlags
	c.Args = zoneAndFile(1, 1)
	c.RunE = func(c *cobra.Command, args []string) error {
		return f.askServer(c, func(ctx context.Context, to *control.Client) error {
			s, err := control.Call[dnsserver.ZoneState](ctx, to, request, dnsserver.ZoneQuestion{Zone: args[0]})
			if err == nil {
				_, err = io.WriteString(c.OutOrStdout(), text(s))
			}
			return err
		})
	}
	f.configFlag(c)
	return c
}
