package files

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
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
	path   string
	Tables []*Table // by level, and then by number; without their content
	Logs   []*Log   // in the order in which they were written
	// Torn is how many octets of the MANIFEST are behind its last whole change
	// set. A crash leaves some, or somebody damaged it.
	Torn int64
	// Missing are tables that the MANIFEST names and that are not there.
	Missing []string
	mended  []byte // the MANIFEST, where it had to be corrected
	damage  []Damage
}

// Ours tells whether a name is one of Badger's files, for whoever moves them.
func Ours(name string) bool {
	return name == Manifest || name == "MANIFEST-REWRITE" || name == KeyRegistry || name == Discard ||
		strings.HasSuffix(name, logSuffix) || strings.HasSuffix(name, valueSuffix) || strings.HasSuffix(name, tableSuffix)
}

// Open reads MANIFEST and logs. With mend it corrects what can be in memory,
// and goes on where it can; Damage gives what it has found. Without, its error
// is a Damage where a file is damaged.
func Open(root *os.Root, mend bool) (*Dir, error) {
	d := &Dir{root: root, path: root.Name()}
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	if err := d.readManifest(mend); err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, n := range names {
		there[n] = true
	}
	for _, t := range d.Tables {
		if !there[t.Name] {
			d.Missing = append(d.Missing, t.Name)
		}
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
		case mend && (l.head || len(l.Rest) > 0):
			d.damage = append(d.damage, l.mend()...)
		case l.head:
			return nil, Damage{File: n, Offset: 0, What: "the log's head says that it is encrypted"}
		}
	}
	slices.SortFunc(d.Logs, func(a, b *Log) int { return cmp.Compare(a.ID, b.ID) })
	return d, d.readSmall(names, mend)
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

// Damage gives what Open with mend has found.
func (d *Dir) Damage() []Damage { return d.damage }

const (
	magic   = "Bdgr\x00\x00\x00\x08"
	setHead = 4 + 4 // of a change set: length and checksum
)

// readManifest finds out which tables there are.
func (d *Dir) readManifest(mend bool) error {
	data, err := readFile(d.root, Manifest, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return Damage{File: Manifest, Offset: -1, What: "is missing"}
	}
	if err != nil {
		return err
	}
	end, bad := wholeSets(data)
	if bad != nil && mend {
		data, end = d.mendManifest(data, *bad)
		bad = nil
	}
	if bad != nil && bad.What != tornSet {
		return *bad
	}
	d.Torn = int64(len(data) - end)
	if d.mended != nil {
		data = d.mended
	}
	return d.readTables(data[:end])
}

const tornSet = "the last change set is cut off"

// wholeSets gives the end of the change sets that are whole, and what is wrong
// behind it.
func wholeSets(data []byte) (end int, bad *Damage) {
	if !bytes.HasPrefix(data, []byte(magic)) {
		return 0, &Damage{File: Manifest, Offset: 0, What: "its head is not that of a MANIFEST"}
	}
	for at := len(magic); at < len(data); {
		if len(data)-at < setHead {
			return at, &Damage{File: Manifest, Offset: int64(at), What: tornSet}
		}
		size := int64(binary.BigEndian.Uint32(data[at:]))
		if size > int64(len(data)-at-setHead) {
			return at, &Damage{File: Manifest, Offset: int64(at), What: tornSet}
		}
		to := at + setHead + int(size)
		if crc32.Checksum(data[at+setHead:to], castagnoli) != binary.BigEndian.Uint32(data[at+4:]) {
			return at, &Damage{File: Manifest, Offset: int64(at), What: "the change set does not match its checksum"}
		}
		at = to
	}
	return len(data), nil
}

// mendManifest corrects one octet at the place where the MANIFEST is damaged,
// so that all behind it is right. If it cannot, the rest is lost.
func (d *Dir) mendManifest(data []byte, bad Damage) ([]byte, int) {
	end, _ := wholeSets(data)
	fixed := bytes.Clone(data)
	try := func(at int, octet byte) bool {
		was := fixed[at]
		fixed[at] = octet
		if _, b := wholeSets(fixed); b == nil {
			return true
		}
		fixed[at] = was
		return false
	}
	bad.Mendable = d.mendSet(fixed, end, try)
	d.damage = append(d.damage, bad)
	if bad.Mendable {
		d.mended = fixed
		return fixed, len(fixed)
	}
	return data, end
}

func (d *Dir) mendSet(data []byte, end int, try func(at int, octet byte) bool) bool {
	if end == 0 { // the head
		for i := range len(magic) {
			if i < len(data) && try(i, magic[i]) {
				return true
			}
		}
		return false
	}
	for at := end; at < min(end+setHead, len(data)); at++ {
		for x := 1; x < 256; x++ {
			if try(at, data[at]^byte(x)) {
				return true
			}
		}
	}
	if len(data)-end < setHead {
		return false
	}
	size := int64(binary.BigEndian.Uint32(data[end:]))
	if size > int64(len(data)-end-setHead) {
		return false
	}
	set := data[end+setHead : end+setHead+int(size)]
	at, octet, ok := oneOctet(set, binary.BigEndian.Uint32(data[end+4:]))
	return ok && try(end+setHead+at, octet)
}

// readTables finds out which tables change sets leave.
func (d *Dir) readTables(data []byte) error {
	tables := map[uint64]*Table{}
	for at := len(magic); at < len(data); {
		to := at + setHead + int(binary.BigEndian.Uint32(data[at:]))
		var set pb.ManifestChangeSet
		if err := proto.Unmarshal(data[at+setHead:to], &set); err != nil {
			return Damage{File: Manifest, Offset: int64(at), What: "the change set makes no sense: " + err.Error()}
		}
		for _, c := range set.Changes {
			switch {
			case c.KeyId != 0 || c.Compression != 0:
				return ErrForeign
			case c.Op == pb.ManifestChange_CREATE:
				tables[c.Id] = &Table{Name: tableName(c.Id), ID: c.Id, Level: int(c.Level)}
			case c.Op == pb.ManifestChange_DELETE:
				delete(tables, c.Id)
			}
		}
		at = to
	}
	d.Tables = slices.SortedFunc(maps.Values(tables), func(a, b *Table) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.ID, b.ID))
	})
	return nil
}

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
