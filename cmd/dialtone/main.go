package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// version is set by the linker for releases.
var version = ""

// run is the whole program; it gives the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	var mistake *userError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &mistake):
		fmt.Fprintln(stderr, strings.Join(mistake.lines, "\n"))
		return 2
	}
	fmt.Fprintln(stderr, "dialtone: "+err.Error())
	var coded *codeError
	if errors.As(err, &coded) {
		return coded.code
	}
	return 1
}

// userError is what the user can correct: a message each line.
type userError struct{ lines []string }

func (e *userError) Error() string { return strings.Join(e.lines, "\n") }

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "dialtone",
		Short: "An authoritative DNS server for telephone terminal numbers",
		Long: `dialtone is an authoritative DNS server for telephone terminal numbers.
A phone registers its current address by a dynamic update; any DNS lookup finds it.

Try it: dialtone serve
See how a server is: dialtone status, or live dialtone top`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.AddCommand(serveCommand(), groupCommand("config", "Work with configuration files", configCheckCommand()),
		zoneCommand(),
		numberCommand(), statusCommand(), topCommand(), reloadCommand(), explainUpdateCommand(), storeCommand(), backupCommand(), restoreCommand(),
		logLevelCommand(), debugCommand(),
		initCommand(), keyCommand(), registerCommand(), phoneCommand(), lookupCommand(), callCommand(), versionCommand())
	for _, c := range more {
		root.AddCommand(c(root))
	}
	root.Args, root.RunE = onlyCommands, help
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return checkTimeout(c) }
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage(c, err.Error()) })
	return root
}

// more are commands that only some builds have.
var more []func(root *cobra.Command) *cobra.Command

// groupCommand is a command that does nothing but hold others.
func groupCommand(name, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Args: onlyCommands, RunE: help}
	c.AddCommand(subs...)
	return c
}

func help(c *cobra.Command, _ []string) error { return c.Help() }

func onlyCommands(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usage(c, fmt.Sprintf("there is no command %q", args[0]))
}

// exactly wants one argument for each of the names.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage(c, names[len(args)]+" is missing")
		case len(args) > len(names):
			return usage(c, fmt.Sprintf("%q is too much", args[len(names)]))
		}
		return nil
	}
}

// atMost wants no more than n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > n {
			return usage(c, fmt.Sprintf("%q is too much", args[n]))
		}
		return nil
	}
}

// checkTimeout is for all commands that ask servers.
func checkTimeout(c *cobra.Command) error {
	if c.Flags().Lookup("timeout") == nil {
		return nil
	}
	if d, err := c.Flags().GetDuration("timeout"); err != nil || d <= 0 {
		return usage(c, "--timeout is a length of time, such as 10s")
	}
	return nil
}

func usage(c *cobra.Command, text string) error {
	return &userError{[]string{fmt.Sprintf("%s: %s; see \"%s --help\"", c.CommandPath(), text, c.CommandPath())}}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "dialtone "+versionText())
			return err
		},
	}
}

// versionText falls back on what the go command noted in the binary.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
