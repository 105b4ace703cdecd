package main

import "github.com/spf13/cobra"

func keyCommand() *cobra.Command {
	return groupCommand("key", "Work with the keys of phones",
		keyAddCommand(), keyListCommand(), keyShowCommand(), keyRevokeCommand(), keyImportCommand(), keyGenerateCommand())
}
