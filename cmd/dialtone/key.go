package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
)

func keyCommand() *cobra.Command {
	return groupCommand("key", "Work with the keys of phones",
		keyAddCommand(), keyListCommand(), keyShowCommand(), keyRevokeCommand(), keyImportCommand(), keyGenerateCommand())
}

// systemConfig is where packages have the server's configuration.
var systemConfig = "/etc/dialtone/dialtone.yaml"

// forgotConfig is for commands without --config. What is tried out here, on the
// built-in default, comes first, then the server of this machine; where
// neither is, it is a server's configuration that is meant, which has keys also
// before the first start.
func forgotConfig(c *cobra.Command) error {
	missing, err := defaultConfig(c)
	if missing != "" {
		return &userError{[]string{fmt.Sprintf("%s: there is no data directory %s: name the server's configuration with --config", c.CommandPath(), missing)}}
	}
	return err
}

// defaultConfig gives --config a value where it has none and the built-in default
// has no data. Where the machine has no server either it gives the data directory
// that is missing.
func defaultConfig(c *cobra.Command) (missing string, err error) {
	file := c.Flags().Lookup("config")
	if file == nil || file.Value.String() != "" {
		return "", nil
	}
	conf, _, err := load("")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(conf.DataDir); !errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if _, err := os.Stat(systemConfig); err == nil {
		return "", file.Value.Set(systemConfig)
	}
	return conf.DataDir, nil
}
