package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// auditRead is how many octets at the end of the audit log About reads: some tens of
// thousands of entries.
const auditRead = 8 << 20

// About gives the entries that are of one number of a zone, the oldest first, as far as
// they are among the last auditRead octets of the file. A log that is not there has none,
// and one that nobody has written to since then is not read.
func (a *Audit) About(zone, number string, since time.Time) ([]Entry, error) {
	path := filepath.Join(a.dir, AuditName)
	list, err := entriesAbout(path, zone, number, since)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit log %s: %w", path, err)
	}
	return list, nil
}

func entriesAbout(path, zone, number string, since time.Time) ([]Entry, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openCarefully, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err == nil {
		err = checkRegular(fi)
	}
	if err != nil {
		return nil, err
	}
	if fi.ModTime().Before(since) {
		return nil, nil
	}
	from := max(0, fi.Size()-auditRead)
	all, err := io.ReadAll(io.NewSectionReader(f, from, fi.Size()-from))
	if err != nil {
		return nil, err
	}
	if from > 0 { // in the middle of a line
		_, all, _ = bytes.Cut(all, []byte("\n"))
	}
	var list []Entry
	mark := []byte(`"number":"` + number + `"`)
	for line := range bytes.Lines(all) {
		var e Entry
		if !bytes.Contains(line, mark) || json.Unmarshal(line, &e) != nil { // or one that a crash has cut off
			continue
		}
		if e.Number == number && e.Zone == zone {
			list = append(list, e)
		}
	}
	return list, nil
}
