package files

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// The MANIFEST is a log of change sets, each of which makes some tables and
// removes others. What is wrong with it may be
//
//	cut off   a crash came while the last set was written
//	void      the set was written, but could not be synced: Badger has removed
//	          the tables that it makes, kept those that it removes, and goes on
//	          as if nothing had been written. So it would never open again.
//	torn      the set could not be written to its end, and the next one stands
//	          behind what there is of it
//	damaged   anything else
//
// Void is a set all of whose new tables are missing, and all of whose old ones
// are there. After a crash that is believed of the last sets only: a table that
// somebody removed looks the same.

const (
	magic   = "Bdgr\x00\x00\x00\x08"
	setHead = 4 + 4 // of a change set: length and checksum
	maxSet  = 1 << 20
)

// changeSet is one of them.
type changeSet struct {
	changes  []*pb.ManifestChange
	from, to int
}

// readManifest finds out which tables there are.
func (d *Dir) readManifest(names []string, how How) error {
	data, err := readFile(d.root, Manifest, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return Damage{File: Manifest, Offset: -1, What: "is missing"}
	}
	if err != nil {
		return err
	}
	end, bad := d.readSets(data)
	for bad != nil && bad.What != tornSet {
		if how == Start {
			return *bad
		}
		if bad.Mendable = how == Mend && mendManifest(data, end); !bad.Mendable && end == 0 {
			return *bad
		}
		d.damage = append(d.damage, *bad)
		if bad.Mendable {
			end, bad = d.readSets(data)
			continue
		}
		end, bad = d.readMore(data, end)
	}
	d.Torn = int64(len(data) - end)
	if how == Mend && d.Torn > 0 && mendManifest(data, end) {
		d.damage = append(d.damage, Damage{File: Manifest, Offset: int64(end), What: tornSet, Mendable: true})
		d.readSets(data)
		d.Torn = 0
	}
	return d.apply(names, how != Start)
}

const tornSet = "the last change set is cut off"

// readSets takes the change sets that are whole, and says where they end and
// what is wrong behind them.
func (d *Dir) readSets(data []byte) (end int, bad *Damage) {
	d.sets = nil
	if !bytes.HasPrefix(data, []byte(magic)) {
		return 0, &Damage{File: Manifest, Offset: 0, What: "its head is not that of a MANIFEST"}
	}
	return d.readFrom(data, len(magic))
}

func (d *Dir) readFrom(data []byte, at int) (end int, bad *Damage) {
	for at < len(data) {
		set, what := cutSet(data, at)
		if what != "" {
			return at, &Damage{File: Manifest, Offset: int64(at), What: what}
		}
		d.sets = append(d.sets, set)
		at = set.to
	}
	return at, nil
}

// cutSet takes one change set.
func cutSet(data []byte, at int) (s changeSet, what string) {
	if len(data)-at < setHead {
		return s, tornSet
	}
	size := int64(binary.BigEndian.Uint32(data[at:]))
	if size > int64(len(data)-at-setHead) {
		return s, tornSet
	}
	to := at + setHead + int(size)
	if crc32.Checksum(data[at+setHead:to], castagnoli) != binary.BigEndian.Uint32(data[at+4:]) {
		return s, "the change set does not match its checksum"
	}
	var set pb.ManifestChangeSet
	if err := proto.Unmarshal(data[at+setHead:to], &set); err != nil {
		return s, "the change set makes no sense: " + err.Error()
	}
	return changeSet{set.Changes, at, to}, ""
}

// readMore goes on behind octets that are no change set.
func (d *Dir) readMore(data []byte, end int) (int, *Damage) {
	for at := end + 1; at+setHead < len(data); at++ {
		if size := binary.BigEndian.Uint32(data[at:]); size == 0 || size > maxSet {
			continue
		}
		if _, what := cutSet(data, at); what == "" {
			return d.readFrom(data, at)
		}
	}
	return end, &Damage{File: Manifest, Offset: int64(end), What: tornSet}
}

// mendManifest corrects one octet at the place where the MANIFEST is damaged,
// so that all behind it is right.
func mendManifest(data []byte, end int) bool {
	try := func(at int, octet byte) bool {
		was := data[at]
		data[at] = octet
		if _, bad := new(Dir).readSets(data); bad == nil {
			return true
		}
		data[at] = was
		return false
	}
	if end == 0 { // the head
		for i := range min(len(magic), len(data)) {
			if data[i] != magic[i] {
				return try(i, magic[i])
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

// apply finds out which tables the change sets leave.
func (d *Dir) apply(names []string, all bool) error {
	there := map[uint64]bool{}
	for _, n := range names {
		var id uint64
		if _, err := fmt.Sscanf(n, "%d.sst", &id); err == nil && n == tableName(id) {
			there[id] = true
		}
	}
	void := d.void(there, all)
	tables := map[uint64]*Table{}
	for i := range d.sets {
		for _, c := range d.sets[i].changes {
			switch {
			case c.KeyId != 0 || c.Compression != 0:
				return ErrForeign
			case void[i]:
				if c.Op == pb.ManifestChange_CREATE {
					d.Void = append(d.Void, tableName(c.Id))
				}
			case c.Op == pb.ManifestChange_CREATE:
				tables[c.Id] = &Table{Name: tableName(c.Id), ID: c.Id, Level: int(c.Level)}
			case c.Op == pb.ManifestChange_DELETE:
				delete(tables, c.Id)
			}
		}
	}
	for id, t := range tables {
		d.Tables = append(d.Tables, t)
		if !there[id] {
			d.Missing = append(d.Missing, t.Name)
		}
	}
	slices.Sort(d.Missing)
	slices.SortFunc(d.Tables, func(a, b *Table) int { return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.ID, b.ID)) })
	return nil
}

// void gives the change sets that never took effect: all of them, or the last
// ones.
func (d *Dir) void(there map[uint64]bool, all bool) map[int]bool {
	void, removed := map[int]bool{}, map[uint64]bool{}
	for i := len(d.sets) - 1; i >= 0; i-- {
		made, is := 0, true
		for _, c := range d.sets[i].changes {
			if c.Op == pb.ManifestChange_CREATE {
				made++
				is = is && !there[c.Id] && !removed[c.Id]
			} else {
				is = is && there[c.Id]
			}
		}
		if is && made > 0 {
			void[i] = true
			continue
		}
		if !all {
			break
		}
		for _, c := range d.sets[i].changes {
			if c.Op == pb.ManifestChange_DELETE {
				removed[c.Id] = true
			}
		}
	}
	return void
}

// Tables are those that a MANIFEST leaves, and their levels.
type Tables map[uint64]uint32

// ManifestHead is where the first change set of a MANIFEST begins, in octets.
const ManifestHead = int64(len(magic))

// Read does what the change sets between two places of a MANIFEST say, and gives where the last whole one ends. From
// is such an end, or 0.
func (t Tables) Read(f io.ReaderAt, from, to int64) (end int64, err error) {
	from = max(from, ManifestHead)
	data := make([]byte, max(0, to-from))
	if _, err := f.ReadAt(data, from); err != nil && (err != io.EOF || len(data) > 0) {
		return from, err
	}
	at := 0
	for at < len(data) {
		set, what := cutSet(data, at)
		if what != "" {
			break
		}
		for _, c := range set.changes {
			if c.Op == pb.ManifestChange_CREATE {
				t[c.Id] = c.Level
			} else {
				delete(t, c.Id)
			}
		}
		at = set.to
	}
	return from + int64(at), nil
}

// Set is a change set that makes the tables.
func (t Tables) Set() ([]byte, error) {
	var set pb.ManifestChangeSet
	for _, id := range slices.Sorted(maps.Keys(t)) {
		set.Changes = append(set.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE, Level: t[id], EncryptionAlgo: pb.EncryptionAlgo_aes})
	}
	body, err := proto.Marshal(&set)
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
	return append(b, body...), nil
}

// Rewrite makes a MANIFEST of the tables that there are.
func (d *Dir) Rewrite() error {
	tables := Tables{}
	for _, t := range d.Tables {
		tables[t.ID] = uint32(t.Level)
	}
	set, err := tables.Set()
	if err != nil {
		return err
	}
	f, err := WriteAnew(d.root, set)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), SyncDir(d.root))
}

// WriteAnew makes a MANIFEST of a change set alone, synced but for its name: see SyncDir. It is open at its end. After an
// error the old one is there as it was.
func WriteAnew(root *os.Root, set []byte) (*os.File, error) {
	const rewrite = "MANIFEST-REWRITE"
	f, err := root.OpenFile(rewrite, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(append([]byte(magic), set...))
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = root.Rename(rewrite, Manifest)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// SyncDir makes the names in a directory durable.
func SyncDir(root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
