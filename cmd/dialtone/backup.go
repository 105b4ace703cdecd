package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"dialtone/config"
	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
)

func backupCommand() *cobra.Command {
	var f keyFlags
	var since string
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Back up the data directory, while the server runs",
		Long: `Back up all that the data directory holds, as it is at one moment, while the server goes
on: zones with their journals, leases, times signed, and the keys that the server keeps. The
file is for its owner alone, and comes under its name when it is whole and on disk; - is the
standard output. It does not hold the configuration, its secrets and seeds, nor audit.log.

With --since it holds only what has changed since an earlier backup, and dialtone restore
needs that one, too. After a restore the next backup must be a full one.` + keyHelp,
		Example: `  dialtone backup /var/backups/monday.dialtone
  dialtone backup /var/backups/tuesday.dialtone --since /var/backups/monday.dialtone
  dialtone backup - | ssh elsewhere 'cat > dialtone.backup'`,
		Args: exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			q, err := sinceOf(since, args[0])
			if err != nil {
				return usage(c, err.Error())
			}
			if args[0] == "-" && isTerminal(c.OutOrStdout()) {
				return usage(c, "a backup is nothing for a terminal: name a file, or lead the output elsewhere")
			}
			return f.ask(c, func(ctx context.Context, conf *config.Config, to *control.Client) error {
				return makeBackup(ctx, c, to, q, args[0])
			})
		},
	}
	f.configFlag(c)
	c.Flags().StringVar(&since, "since", "", "only what is newer than this: an earlier backup's FILE, or its version")
	return c
}

// sinceOf reads what --since names.
func sinceOf(since, file string) (q dnsserver.BackupQuestion, err error) {
	if since == "" {
		return q, nil
	}
	f, err := os.Open(since)
	if errors.Is(err, fs.ErrNotExist) {
		if q.Since, err = strconv.ParseUint(since, 10, 64); err == nil && q.Since > 0 {
			return q, nil
		}
		return q, fmt.Errorf("--since %s: it is neither a file nor a version", since)
	}
	if err != nil {
		return q, fmt.Errorf("--since %w", err)
	}
	defer f.Close()
	i, err := dnsserver.ReadBackupInfo(f)
	switch {
	case err != nil:
		return q, fmt.Errorf("--since %s: %w", since, err)
	case i.Version == 0:
		return q, fmt.Errorf("--since %s: it was made when the disk was full, and nothing can go on from it: make a full backup", since)
	}
	if here, err := f.Stat(); err == nil && file != "-" {
		if there, err := os.Stat(file); err == nil && os.SameFile(here, there) {
			return q, fmt.Errorf("--since %s: that is the file to be written, too", since)
		}
	}
	return dnsserver.BackupQuestion{Since: i.Version, Store: i.Store, Base: i.Sum}, nil
}

func makeBackup(ctx context.Context, c *cobra.Command, to *control.Client, q dnsserver.BackupQuestion, name string) error {
	p := newOctetProgress(c.ErrOrStderr(), "backup")
	defer p.end()
	if name == "-" {
		return p.download(ctx, to, dnsserver.RequestBackup, q, c.OutOrStdout())
	}
	var i dnsserver.BackupInfo
	err := writeWhole(name, func(f *os.File) (err error) {
		if err = p.download(ctx, to, dnsserver.RequestBackup, q, f); err == nil {
			i, err = dnsserver.ReadBackupInfo(f)
		}
		return err
	})
	p.end()
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.OutOrStdout(), backupText(name, i))
	return err
}

// maxZones is how many zones are listed.
const maxZones = 20

func backupText(name string, i dnsserver.BackupInfo) string {
	what := "full backup"
	if i.Since > 0 {
		what = fmt.Sprintf("what has changed since version %d", i.Since)
	}
	text := fmt.Sprintf("%s: %s, %s, version %d\n", name, what, octetsText(i.Size), i.Version)
	for n, z := range i.Zones {
		if n == maxZones {
			return text + fmt.Sprintf("  and %d more zones\n", len(i.Zones)-n)
		}
		text += fmt.Sprintf("  %s serial %d\n", z.Name, z.Serial)
	}
	if i.Version == 0 {
		text += "The disk is full: this backup is whole, but none with --since can follow it.\n"
	}
	return text
}

// writeWhole makes a file for its owner alone, which bears its name only when it is whole and on disk.
func writeWhole(name string, write func(f *os.File) error) error {
	if fi, err := os.Stat(name); err == nil && !fi.Mode().IsRegular() {
		return control.Mistakef("%s is no regular file", name)
	}
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, "."+filepath.Base(name)+".*")
	if err != nil {
		var of *fs.PathError
		if errors.As(err, &of) { // which names the temporary file
			err = of.Err
		}
		return control.Mistakef("cannot write %s: %v", name, err)
	}
	temporary := f.Name()
	if err = write(f); err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// octetProgress shows on a terminal how many octets have come.
type octetProgress struct {
	line  *liveLine // nil: there is no terminal
	what  string
	begun time.Time
	n     int64
	r     io.Reader
}

func newOctetProgress(w io.Writer, what string) *octetProgress {
	p := &octetProgress{what: what, begun: time.Now()}
	if isTerminal(w) {
		p.line = newLiveLine(w, time.Now)
	}
	return p
}

func (p *octetProgress) end() {
	if p.line != nil {
		p.line.end()
	}
}

// download asks for octets and passes them on.
func (p *octetProgress) download(ctx context.Context, from *control.Client, request string, in any, to io.Writer) error {
	octets, err := control.Download(ctx, from, request, in)
	if err != nil {
		return err
	}
	defer octets.Close()
	p.r = octets
	_, err = io.Copy(to, p)
	return err
}

func (p *octetProgress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	if p.line != nil {
		rate := float64(p.n) / max(time.Since(p.begun).Seconds(), 0.001)
		p.line.text(fmt.Sprintf("%s: %s, %s a second", p.what, octetsText(p.n), octetsText(int64(rate))))
	}
	return n, err
}

func octetsText(n int64) string {
	switch {
	case n < 10<<10:
		return count(int(n), "octet")
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
