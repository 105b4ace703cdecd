package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"dialtone/zone/rr"
	"dialtone/zone/store/files"
)

// CheckOptions of Check.
type CheckOptions struct {
	Dir string
	// Repair makes a new store of what can be had, and keeps the damaged files
	// aside. Without it nothing is changed.
	Repair bool
	// Progress hears now and then how many octets have been read of how many.
	Progress func(done, of int64)

	step func() error // before each of the last steps of a repair, for tests
}

// Finding is one thing that is wrong with a data directory.
type Finding struct {
	File   string `json:"file,omitempty"` // its name in the directory
	Offset int64  `json:"offset"`         // in it; -1: none
	Zone   string `json:"zone,omitempty"`
	Text   string `json:"text"`
	// Mendable says that what was written there is known all the same.
	Mendable bool `json:"mendable,omitempty"`
	// Harmless says that nothing is lost: a crash leaves it, and a start sees to it.
	Harmless bool `json:"harmless,omitempty"`
}

func (f Finding) String() string {
	s := f.Text
	switch {
	case f.Zone != "":
		s = "zone " + f.Zone + ": " + s
	case f.File != "" && f.Offset >= 0:
		s = fmt.Sprintf("%s at octet %d: %s", f.File, f.Offset, s)
	case f.File != "":
		s = f.File + " " + s
	}
	return s
}

// ZoneReport is what Check has counted of a zone.
type ZoneReport struct {
	Zone          string `json:"zone"`
	Serial        uint32 `json:"serial"`
	RRsets        int    `json:"rrsets"`
	Journal       int    `json:"journal_entries"`
	Registrations int    `json:"registrations"`
	Signers       int    `json:"signers"`
	Keys          int    `json:"keys"`
}

// Report is what Check has found.
type Report struct {
	Findings []Finding    `json:"findings"`
	Zones    []ZoneReport `json:"zones"`
	Octets   int64        `json:"octets"`
	// Hopeless says that Repair can do nothing: a backup must be restored.
	Hopeless bool `json:"hopeless"`
	// Repaired says that Repair has made a new store; Aside is the directory, in the
	// data directory, where the damaged files are.
	Repaired bool   `json:"repaired"`
	Aside    string `json:"aside,omitempty"`
}

// Sound tells whether nothing is wrong.
func (r *Report) Sound() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return !f.Harmless })
}

func (r *Report) add(list ...files.Damage) {
	for _, d := range list {
		r.Findings = append(r.Findings, Finding{File: d.File, Offset: d.Offset, Text: d.What, Mendable: d.Mendable})
	}
}

// Check reads everything in a data directory that nobody has open: checksums of
// every block and log entry, encodings, what records say of each other, journals,
// registrations and keys. Damage is in the report; errors are *DirError where the
// user can do something.
func Check(o CheckOptions) (*Report, error) {
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.step == nil {
		o.step = func() error { return nil }
	}
	root, dir, err := openForCheck(o.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	defer dir.Close()
	c := &checker{o: o, root: root, dir: dir, report: &Report{Findings: []Finding{}, Zones: []ZoneReport{}}, zones: map[uint32]*zoneCheck{}}
	if done, err := c.resume(); done || err != nil {
		return c.report, err
	}
	if err := c.read(); err != nil || c.report.Hopeless {
		return c.report, err
	}
	if o.Repair && !c.report.Sound() {
		return c.report, c.rebuild()
	}
	return c.report, nil
}

// openForCheck opens a directory, and keeps others from it, without writing there.
func openForCheck(dir string) (*os.Root, *os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, &DirError{Dir: dir, Problem: "cannot be opened", Err: err, Hint: "name the directory that data_dir names"}
	}
	f, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, nil, &DirError{Dir: dir, Problem: "cannot be read", Err: err, Hint: "give the command as the user that runs dialtone"}
	}
	names, err := fileNames(root)
	switch {
	case !lock(f):
		err = &DirError{Dir: dir, Problem: "is in use by another process", Hint: "stop the server first", InUse: true}
	case err == nil && !slices.ContainsFunc(names, func(n string) bool { return files.Ours(n) || n == markFile || n == repairing }):
		err = &DirError{Dir: dir, Problem: "holds no data", Hint: "name the directory that data_dir names"}
	}
	if err != nil {
		f.Close()
		root.Close()
		return nil, nil, err
	}
	return root, f, nil
}

// checker is one run of Check.
type checker struct {
	o      CheckOptions
	root   *os.Root
	dir    *os.File
	report *Report
	reader *files.Reader
	zones  map[uint32]*zoneCheck // by number
	drop   map[uint32]bool       // numbers whose data is to be dropped
	lossy  bool                  // something is lost
}

// read finds everything that is wrong.
func (c *checker) read() error {
	synced, err := readMark(c.root)
	var bad files.Damage
	if errors.As(err, &bad) {
		c.report.add(bad)
	} else if err != nil {
		return err
	}
	d, err := files.Open(c.root, files.Mend)
	if errors.As(err, &bad) {
		return c.hopeless(bad)
	}
	if err != nil {
		return err
	}
	total, done := c.octets(d), int64(0)
	c.reader, err = d.NewReader(func(n int64) {
		done += n
		c.o.Progress(min(done, total), total)
	})
	c.report.add(c.reader.Damage...)
	if errors.As(err, &bad) {
		c.addLogs(d, synced)
		return c.hopeless(bad)
	}
	if err != nil {
		return err
	}
	c.addLogs(d, synced)
	c.lossy = c.lossy || len(c.reader.Lost()) > 0
	if err := c.content(); err != nil {
		return err
	}
	for _, z := range c.zones {
		z.end(c)
		if c.lossy && z.state.staged > 0 {
			c.report.Hopeless = true // a change that a crash interrupted is half there
		}
	}
	if c.lossy && len(c.zones) == 0 {
		c.report.Hopeless = true
	}
	c.addGaps()
	slices.SortFunc(c.report.Zones, func(a, b ZoneReport) int { return rr.MustName(a.Zone).Compare(rr.MustName(b.Zone)) })
	return nil
}

// hopeless says that a backup is needed. What is wrong may be in the report already.
func (c *checker) hopeless(d files.Damage) error {
	c.report.Hopeless = true
	if !slices.ContainsFunc(c.report.Findings, func(f Finding) bool { return f.File == d.File }) {
		c.report.add(d)
	}
	return nil
}

func (c *checker) octets(d *files.Dir) (total int64) {
	for _, t := range d.Tables {
		if fi, err := c.root.Stat(t.Name); err == nil {
			total += fi.Size()
		}
	}
	c.report.Octets = total
	if c.o.Repair {
		return 3 * total
	}
	return 2 * total
}

// addLogs tells what is wrong with MANIFEST and logs. What a crash left in them
// is nothing wrong.
func (c *checker) addLogs(d *files.Dir, synced uint64) {
	version, _ := d.Chain()
	lost := version < synced
	if d.Torn > 0 {
		c.report.Findings = append(c.report.Findings, Finding{File: manifest, Offset: -1, Harmless: !lost,
			Text: fmt.Sprintf("ends with %d octets that are no whole change set", d.Torn)})
	}
	for _, x := range d.Damage() {
		isLog := len(walNames([]string{x.File})) > 0
		f := Finding{File: x.File, Offset: x.Offset, Text: x.What, Mendable: x.Mendable}
		if isLog && !x.Mendable {
			f.Harmless = !lost
		}
		c.report.Findings = append(c.report.Findings, f)
	}
	if lost {
		c.lossy = true
		c.report.Findings = append(c.report.Findings, Finding{File: manifest, Offset: -1, Text: fmt.Sprintf(
			"and the logs lack some or all of the last %d acknowledged changes: numbers may have what they had before", synced-version)})
	}
}

// addGaps tells what was in blocks that cannot be read.
func (c *checker) addGaps() {
	for _, g := range c.reader.Lost() {
		to := "the end"
		if g[1] != nil {
			to = c.keyText(g[1])
		}
		text := fmt.Sprintf("lost, or left out since it may be old: what stood from %s to %s", c.keyText(g[0]), to)
		if g[0][0] <= kindPhone && (g[1] == nil || g[1][0] >= kindPhone) {
			text += "; keys of numbers among it: what was revoked may be taken again (see dialtone key list)"
		}
		c.report.Findings = append(c.report.Findings, Finding{Offset: -1, Text: text})
	}
}

// keyText says what a key is of.
func (c *checker) keyText(key []byte) string {
	if len(key) < prefixLen || key[0] == kindZone {
		return fmt.Sprintf("%q", key)
	}
	id, rest := binary.BigEndian.Uint32(key[1:]), key[prefixLen:]
	zone := fmt.Sprintf("zone number %d", id)
	if z := c.zones[id]; z != nil {
		zone = "zone " + z.apex.String()
	}
	switch key[0] {
	case kindRRset:
		if owner, _, err := cutOwner(nil, append(slices.Clone(rest), closing, closing)); err == nil && len(owner) > 0 {
			return fmt.Sprintf("the records of %s in %s", rr.Name(string(owner)+"\x00"), zone)
		}
		return "the records of " + zone
	case kindHeld:
		return fmt.Sprintf("the registrations of %s", zone)
	case kindPhone:
		return fmt.Sprintf("the key of number %q in %s", rest, zone)
	case kindEntry:
		return "the journal of " + zone
	}
	return fmt.Sprintf("%q of %s", key[:1], zone)
}
