package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"dialtone/config"
	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
	"dialtone/dnsserver/keys"
	"dialtone/zone/rr"
)

func keyImportCommand() *cobra.Command {
	var f keyFlags
	var replace bool
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Keep the keys of a file",
		Long: `Keep the keys of a file, in place of those that their numbers have. It has lines with

  NUMBER [ALGORITHM] SECRET

where the secret is base64 and the algorithm is hmac-sha256 if none is said, and what
tsig-keygen prints. The whole file is checked before anything of it is kept.

Left out, with a message and exit code 2, are numbers that key revoke --block has blocked,
unless --replace is given, and, in any case, secrets that were revoked: of the last 8 of a
number none comes back.` + keyHelp,
		Args: exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error { return f.importFile(c, args[0], replace) },
	}
	f.flags(c)
	c.Flags().BoolVar(&replace, "replace", false, "give blocked numbers their keys of the file, too")
	return c
}

func (f *keyFlags) importFile(c *cobra.Command, name string, replace bool) error {
	file, err := os.Open(name)
	if err != nil {
		return usage(c, err.Error())
	}
	defer file.Close()
	if fi, err := file.Stat(); err != nil || !fi.Mode().IsRegular() || fi.Size() > keys.MaxImport {
		return usage(c, fmt.Sprintf("%s is no file, or has more than %d octets: it is read twice, first to check it", name, int64(keys.MaxImport)))
	}
	return f.ask(c, func(ctx context.Context, conf *config.Config, to *control.Client) error {
		apex, err := f.apex(conf)
		if err != nil {
			return err
		}
		p := newImportProgress(ctx, c.ErrOrStderr(), apex)
		defer p.end()
		checked, err := checkKeys(p.reader(file, "checking keys", 0), name, apex)
		if err != nil {
			return err
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		done, err := control.Upload[keys.Imported](ctx, to, keys.RequestImport, keys.Import{Zone: apex.String(), File: name, Replace: replace}, p.reader(file, "importing keys", p.lines))
		p.end()
		if err != nil {
			var mistake *control.Mistake
			if err = fmt.Errorf("%s: %w", name, err); errors.As(err, &mistake) {
				return &userError{[]string{err.Error()}}
			}
			return err
		}
		if read := done.Keys + done.LeftOut; read != checked.keys {
			return fmt.Errorf("%s: %d keys were there when it was checked, %d when it was read: import it again", name, checked.keys, read)
		}
		checked.warn(c.ErrOrStderr(), name)
		warnIfOpen(c.ErrOrStderr(), conf)
		if _, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s imported into %s\n", name, count(done.Keys, "key"), apex); err != nil {
			return err
		}
		return leftOut(name, done)
	})
}

// leftOut tells which keys of a file were not imported; nil when all were.
func leftOut(name string, done keys.Imported) error {
	if done.LeftOut == 0 {
		return nil
	}
	lines := make([]string, 0, len(done.Why)+1)
	for _, w := range done.Why {
		lines = append(lines, fmt.Sprintf("%s:%d: %s", name, w.At, w.Text))
	}
	last := fmt.Sprintf("%s: %s left out", name, count(done.LeftOut, "key"))
	if more := done.LeftOut - len(done.Why); more > 0 {
		last += fmt.Sprintf(", %d of them not named here", more)
	}
	return &userError{append(lines, last)}
}

// apex is the zone that is meant.
func (f *keyFlags) apex(conf *config.Config) (rr.Name, error) {
	if f.zone == "" && len(conf.Zones) == 1 {
		return conf.Zones[0].Name, nil
	}
	for _, z := range conf.Zones {
		if n, err := rr.ParseName(f.zone); err == nil && z.Name.EqualFold(n) {
			return z.Name, nil
		}
	}
	if f.zone == "" {
		return "", control.Mistakef("--zone is missing: the configuration has %d zones", len(conf.Zones))
	}
	return "", control.Mistakef("--zone %s: the configuration has no such zone", f.zone)
}

// maxKeyFaults is how many faults of a file are told.
const maxKeyFaults = 20

// checkedKeys is what a file without faults has.
type checkedKeys struct {
	keys  int
	short int       // secrets shorter than their algorithm's digest
	first keys.Line // of these
}

// warn tells of short secrets (RFC 8945, section 8), once for all of them.
func (k *checkedKeys) warn(w io.Writer, file string) {
	if k.short == 0 {
		return
	}
	rest := ""
	if k.short > 1 {
		rest = fmt.Sprintf(", and %s more", count(k.short-1, "secret"))
	}
	fmt.Fprintf(w, "warning: %s:%d: the secret of number %s has %s, fewer than the %d of %s%s: longer ones are safer\n",
		file, k.first.At, k.first.Number, count(len(k.first.Secret), "octet"), k.first.Algorithm.Size(), k.first.Algorithm, rest)
}

// checkKeys counts the keys of a file, or tells what is wrong with it.
func checkKeys(r io.Reader, name string, apex rr.Name) (k checkedKeys, err error) {
	var lines []string
	seen := map[uint64]uint32{} // where a number is
	err = keys.Parse(r, apex, func(l keys.Line, err error) bool {
		var fault *keys.LineError
		if errors.As(err, &fault) {
			lines = append(lines, fmt.Sprintf("%s:%d: %s", name, fault.At, fault.Text))
			return len(lines) < maxKeyFaults
		}
		k.keys++
		if len(l.Secret) < l.Algorithm.Size() {
			if k.short++; k.short == 1 {
				k.first = l
			}
		}
		packed := packNumber(l.Number)
		if first, twice := seen[packed]; twice {
			lines = append(lines, fmt.Sprintf("%s:%d: number %s has a key at line %d already: remove one", name, l.At, l.Number, first))
		}
		seen[packed] = uint32(l.At)
		return len(lines) < maxKeyFaults
	})
	switch {
	case err != nil:
		return k, fmt.Errorf("%s: %w", name, err)
	case len(lines) == maxKeyFaults:
		lines = append(lines, name+": and perhaps more; nothing is imported")
	case len(lines) > 0:
		lines = append(lines, name+": nothing is imported")
	case k.keys == 0:
		lines = []string{name + ": there is no key in it"}
	}
	if len(lines) > 0 {
		return k, &userError{lines}
	}
	return k, nil
}

// packNumber makes a number small: its digits and how many they are.
func packNumber(number string) uint64 {
	v, err := strconv.ParseUint(number, 10, 60)
	if err != nil {
		return 0 // keys.Parse has seen to that
	}
	return v<<4 | uint64(len(number))
}

// importProgress shows on a terminal how far an import is, in lines.
type importProgress struct {
	ctx   context.Context
	line  *liveLine // nil: there is no terminal
	apex  rr.Name
	lines int // of the reader before
}

func newImportProgress(ctx context.Context, w io.Writer, apex rr.Name) *importProgress {
	p := &importProgress{ctx: ctx, apex: apex}
	if isTerminal(w) {
		p.line = newLiveLine(w, time.Now)
	}
	return p
}

func (p *importProgress) end() {
	if p.line != nil {
		p.line.end()
	}
}

// reader reads r, which has that many lines; 0: nobody knows.
func (p *importProgress) reader(r io.Reader, phase dnsserver.Phase, lines int) io.Reader {
	p.lines = 0
	return &countingReader{p, r, phase, lines}
}

type countingReader struct {
	p     *importProgress
	r     io.Reader
	phase dnsserver.Phase
	of    int
}

// Read counts lines, and ends with the command.
func (c *countingReader) Read(b []byte) (int, error) {
	if err := c.p.ctx.Err(); err != nil {
		return 0, errors.New("it was interrupted")
	}
	n, err := c.r.Read(b)
	for _, x := range b[:n] {
		if x == '\n' {
			c.p.lines++
		}
	}
	if c.p.line != nil {
		c.p.line.show(dnsserver.Progress{Zone: c.p.apex, Phase: c.phase, Records: c.p.lines, Of: c.of})
	}
	return n, err
}
