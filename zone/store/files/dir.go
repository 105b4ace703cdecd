package files

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Names of files.
const (
	Manifest    = "MANIFEST"
	KeyRegistry = "KEYREGISTRY"
	Discard     = "DISCARD"
	logSuffix   = ".mem"
	valueSuffix = ".vlog"
	tableSuffix = ".sst"
)

// ErrForeign says that tables are compressed or encrypted: dialtone makes none of
// that kind.
var ErrForeign = errors.New("tables are compressed or encrypted")

// Dir is a Badger directory that nobody has open.
type Dir struct {
	root   *os.Root
	Tables []*Table // by level, and then by number; without their content
	Logs   []*Log   // in the order in which they were written
	// Torn is how many octets of the MANIFEST are behind its last whole change
	// set. A crash leaves some, or somebody damaged it.
	Torn int64
	// Missing are tables that the MANIFEST names and that are not there.
	Missing []string
	// Void are change sets of the MANIFEST that never took effect: Badger could not
	// sync them, and has removed the tables that they name.
	Void   []string // the missing tables that they make
	sets   []changeSet
	damage []Damage
}

// Ours tells whether a name is one of Badger's files, for whoever moves them.
func Ours(name string) bool {
	return name == Manifest || name == "MANIFEST-REWRITE" || name == KeyRegistry || name == Discard ||
		strings.HasSuffix(name, logSuffix) || strings.HasSuffix(name, valueSuffix) || strings.HasSuffix(name, tableSuffix)
}

// How says what Open makes of what is wrong.
type How int

const (
	// Start is for a directory that nobody knows anything of: its error is a
	// Damage where a file is damaged.
	Start How = iota
	// Heal is for one that this process has just closed, after a fault of the disk:
	// a MANIFEST that could not be written to its end is that, and no damage.
	Heal
	// Mend corrects in memory what can be, and goes on where it can; Dir.Damage
	// gives what it has found.
	Mend
)

// Open reads MANIFEST and logs.
func Open(root *os.Root, how How) (*Dir, error) {
	d := &Dir{root: root}
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	if err := d.readManifest(names, how); err != nil {
		return nil, err
	}
	for _, n := range names {
		id, err := strconv.ParseUint(strings.TrimSuffix(n, logSuffix), 10, 64)
		if !strings.HasSuffix(n, logSuffix) || err != nil {
			continue
		}
		l := &Log{Name: n, ID: id}
		if l.data, err = readFile(root, n, nil); err != nil {
			return nil, err
		}
		l.parse()
		d.Logs = append(d.Logs, l)
		switch {
		case how == Mend && (l.head || len(l.Rest) > 0):
			d.damage = append(d.damage, l.mend()...)
		case l.head:
			return nil, Damage{File: n, Offset: 0, What: "the log's head says that it is encrypted"}
		}
	}
	slices.SortFunc(d.Logs, func(a, b *Log) int { return cmp.Compare(a.ID, b.ID) })
	return d, d.readSmall(names, how == Mend)
}

func (d *Dir) names() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// Damage gives what Open with Mend has found.
func (d *Dir) Damage() []Damage { return d.damage }

// readSmall looks at the files that hold nothing of ours, but could keep Badger
// from opening.
func (d *Dir) readSmall(names []string, mend bool) error {
	var list []Damage
	for _, n := range names {
		var want func(data []byte) string
		switch {
		case n == KeyRegistry:
			want = checkRegistry
		case strings.HasSuffix(n, valueSuffix):
			want = checkValueLog
		case n == Discard:
			want = checkDiscard
		default:
			continue
		}
		data, err := readFile(d.root, n, nil)
		if err != nil {
			return err
		}
		if what := want(data); what != "" {
			list = append(list, Damage{File: n, Offset: -1, What: what, Mendable: true}) // it is made anew
		}
	}
	if mend {
		d.damage = append(d.damage, list...)
	} else if len(list) > 0 {
		return list[0]
	}
	return nil
}

func checkRegistry(data []byte) string {
	if len(data) != 16+len("Hello Badger") || string(data[16:]) != "Hello Badger" {
		return "is not what Badger writes where nothing is encrypted"
	}
	return ""
}

// checkValueLog: Badger keeps large values there, and ours are all small.
func checkValueLog(data []byte) string {
	if len(data) == 0 {
		return "" // a crash came while it was made
	}
	if len(data) < logHead || !bytes.Equal(data[:8], make([]byte, 8)) {
		return "its head says that it is encrypted"
	}
	if len(bytes.TrimRight(data[logHead:], "\x00")) > 0 {
		return "is not empty"
	}
	return ""
}

// checkDiscard: how much of each value log is of no use any more.
func checkDiscard(data []byte) string {
	if len(bytes.TrimRight(data, "\x00")) > 0 {
		return "says that there are values in the value log"
	}
	return ""
}

// Verify reads all tables and gives the first damage of each, by name. It uses
// all processors, and little memory.
func (d *Dir) Verify() ([]Damage, error) {
	var mu sync.Mutex
	var list []Damage
	var fault error
	next := 0
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(d.Tables)) {
		wg.Go(func() {
			var buf []byte
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(d.Tables) {
					return
				}
				t := d.Tables[i]
				var err error
				if buf, err = t.read(d.root, buf); err == nil {
					if found := t.verify(); len(found) > 0 {
						err = found[0]
					}
				}
				t.release()
				mu.Lock()
				var damage Damage
				if errors.As(err, &damage) {
					list = append(list, damage)
				} else if err != nil && fault == nil {
					fault = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(list, func(a, b Damage) int { return cmp.Compare(a.File, b.File) })
	return list, fault
}

// read takes the table's octets into buf and parses them.
func (t *Table) read(root *os.Root, buf []byte) ([]byte, error) {
	data, err := readFile(root, t.Name, buf)
	if errors.Is(err, fs.ErrNotExist) {
		return buf, Damage{File: t.Name, Offset: -1, What: "is missing"}
	}
	if err != nil {
		return buf, err
	}
	t.data = data
	return data, t.parse()
}

func (t *Table) release() { t.data, t.blocks = nil, nil }

// Chain gives the version up to which every transaction is there, as far as
// Badger will find it: what is in tables, and then what follows in the logs
// without a gap, for versions are counted by ones. Where the logs end before all
// that was written to them, broken is where. Verify must have come before.
func (d *Dir) Chain() (version uint64, broken *Damage) {
	for _, t := range d.Tables {
		version = max(version, t.MaxVersion)
	}
	for _, l := range d.Logs {
		for _, t := range l.Txns[:l.Whole] {
			if t.Version > version+1 {
				return version, broken
			}
			version = max(version, t.Version)
		}
		if len(l.Rest) > 0 && broken == nil {
			broken = &l.Rest[0]
		}
	}
	return version, broken
}
