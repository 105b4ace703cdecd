//go:build docs

package main

import (
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// With the tag docs the program has one more command, which writes the man pages
// and what shells need to complete commands. Packages are made with it; it
// is not in the program itself, which would grow by what renders pages.
func init() {
	more = append(more, func(root *cobra.Command) *cobra.Command {
		return &cobra.Command{
			Use: "docs DIR", Hidden: true, Args: exactly("DIR"),
			RunE: func(_ *cobra.Command, args []string) error { return writeDocs(root, args[0]) },
		}
	})
}

func writeDocs(root *cobra.Command, dir string) error {
	man, completion := filepath.Join(dir, "man"), filepath.Join(dir, "completion")
	for _, d := range []string{man, completion} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	root.DisableAutoGenTag = true
	date := time.Now()
	err := doc.GenManTree(root, &doc.GenManHeader{Source: "dialtone " + versionText(), Manual: "dialtone", Date: &date}, man)
	if err != nil {
		return err
	}
	for name, write := range map[string]func(string) error{
		"bash": func(f string) error { return root.GenBashCompletionFileV2(f, true) },
		"zsh":  root.GenZshCompletionFile,
		"fish": func(f string) error { return root.GenFishCompletionFile(f, true) },
	} {
		if err := write(filepath.Join(completion, name)); err != nil {
			return err
		}
	}
	return nil
}
