package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"dialtone/config"
	"dialtone/zone/masterfile"
	"dialtone/zone/rr"
)

func configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file and the zone files that it names",
		Args:  exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			return checkConfig(args[0], c.OutOrStdout(), c.ErrOrStderr())
		},
	}
}

func checkConfig(file string, stdout, stderr io.Writer) error {
	conf, _, err := load(file)
	if err != nil {
		return err
	}
	for _, w := range conf.Warnings {
		fmt.Fprintln(stderr, "warning: "+w.String())
	}
	var lines []string
	for i, z := range conf.Zones {
		if _, err := os.Stat(z.File); errors.Is(err, fs.ErrNotExist) {
			f := conf.At(fmt.Sprintf("zones[%d].file", i), fmt.Sprintf("there is no file %s, which the zone begins with: write it, or correct the path", z.File))
			if !hasData(conf) {
				lines = append(lines, f.String())
				continue
			}
			fmt.Fprintln(stderr, "warning: "+f.String()+" (it is not needed if the zone is in data_dir already)")
			continue
		}
		_, problems := masterfile.ParseFile(z.File, z.Name, nil)
		for _, p := range problems {
			if p.Warning {
				fmt.Fprintln(stderr, p.String())
			} else {
				lines = append(lines, p.String())
			}
		}
	}
	if len(lines) > 0 {
		return &userError{lines}
	}
	_, err = fmt.Fprintf(stdout, "%s: no faults: %s, %s, %s\n", file,
		count(len(conf.Zones), "zone"), count(len(conf.Keys), "key"), count(len(conf.Listen), "address"))
	return err
}

// hasData tells whether the data directory may hold zones.
func hasData(conf *config.Config) bool {
	files, err := os.ReadDir(conf.DataDir)
	return err == nil && len(files) > 0
}

func zoneCheckCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:     "check FILE --name ZONE",
		Short:   "Check a zone file",
		Example: "  dialtone zone check phones.example.zone --name phones.example.",
		Args:    exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if name == "" {
				return usage(c, "--name ZONE is missing: say which zone the file holds")
			}
			apex, err := rr.ParseName(name)
			if err != nil {
				return usage(c, "--name "+err.Error())
			}
			return checkZone(args[0], apex, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVarP(&name, "name", "n", "", "the zone's name, such as phones.example.")
	return c
}

func checkZone(file string, apex rr.Name, stdout, stderr io.Writer) error {
	content, problems := masterfile.ParseFile(file, apex, nil)
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	if masterfile.Faulty(problems) {
		return &userError{lines}
	}
	for _, line := range lines {
		fmt.Fprintln(stderr, line)
	}
	serial, err := content.Serial()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: zone %s: %s, %s, serial %d\n", file, apex,
		count(content.Records(), "record"), count(content.Names(), "name"), serial)
	return err
}

func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case what == "address":
		what = "addresse"
	}
	return fmt.Sprintf("%d %ss", n, what)
}
