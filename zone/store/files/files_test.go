package files

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// logOf writes transactions as Badger does: of each version one that puts keys.
func logOf(versions int, keys ...string) []byte {
	b := make([]byte, logHead)
	entry := func(meta byte, key string, version uint64, value string) {
		from := len(b)
		b = append(b, meta, 0)
		b = binary.AppendUvarint(b, uint64(len(key)+versionLen))
		b = binary.AppendUvarint(b, uint64(len(value)))
		b = binary.AppendUvarint(b, 0)
		b = binary.BigEndian.AppendUint64(append(b, key...), math.MaxUint64-version)
		b = append(b, value...)
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
	}
	for v := range versions {
		for _, k := range keys {
			entry(1<<6, k, uint64(v+1), "value of "+k)
		}
		entry(bitFinTxn, "!badger!txn", uint64(v+1), string(rune('1'+v)))
	}
	return append(b, make([]byte, 100)...)
}

func manifestOf(t testing.TB, sets ...[]*pb.ManifestChange) []byte {
	b := []byte(magic)
	for _, s := range sets {
		body, err := proto.Marshal(&pb.ManifestChangeSet{Changes: s})
		if err != nil {
			t.Fatal(err)
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
		b = append(b, body...)
	}
	return b
}

func create(id uint64) *pb.ManifestChange {
	return &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE}
}
func remove(id uint64) *pb.ManifestChange {
	return &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE}
}

// TestLogsOfWhichSomethingIsDamaged damages each octet of a log. What stands in
// front of the damage is found, what stands behind it too, and all of it once it is
// mended.
func TestLogsOfWhichSomethingIsDamaged(t *testing.T) {
	whole := logOf(5, "key", "another key")
	for at := logHead; at < len(whole)-100; at++ {
		l := &Log{Name: "00001.mem", data: bytes.Clone(whole)}
		l.data[at] ^= byte(1 + at%255)
		l.parse()
		if len(l.Txns) < 3 || l.Whole > len(l.Txns) || len(l.Rest) == 0 {
			t.Fatalf("octet %d: %d transactions, %d before the damage %v", at, len(l.Txns), l.Whole, l.Rest)
		}
		if found := l.mend(); len(found) == 0 || !found[0].Mendable || len(l.Txns) != 5 || len(l.Rest) > 0 || !bytes.Equal(l.data, whole) {
			t.Fatalf("octet %d: mended %v, %d transactions", at, found, len(l.Txns))
		}
	}
}

// TestOneOctet finds the place and the octet again.
func TestOneOctet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		data := make([]byte, 1+r.IntN(3000))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		sum := crc32.Checksum(data, castagnoli)
		want := r.IntN(len(data))
		was := data[want]
		data[want] ^= byte(1 + r.IntN(255))
		if at, octet, ok := oneOctet(data, sum); !ok || at != want || octet != was {
			t.Fatalf("%d octets: %v, at %d %#x, want at %d %#x", len(data), ok, at, octet, want, was)
		}
	}
	if _, _, ok := oneOctet([]byte("x"), crc32.Checksum([]byte("x"), castagnoli)); ok {
		t.Error("what is right is mended")
	}
}

// TestChangeSetsThatNeverTookEffect is about a MANIFEST that Badger could not sync.
func TestChangeSetsThatNeverTookEffect(t *testing.T) {
	for _, c := range []struct {
		name  string
		sets  [][]*pb.ManifestChange
		there []uint64
		all   bool
		want  []uint64 // tables
	}{
		{"all is well", [][]*pb.ManifestChange{{create(1)}, {create(2)}}, []uint64{1, 2}, false, []uint64{1, 2}},
		{"a flush", [][]*pb.ManifestChange{{create(1)}, {create(2)}}, []uint64{1}, false, []uint64{1}},
		{"a flush, and then another", [][]*pb.ManifestChange{{create(1)}, {create(2)}, {create(3)}}, []uint64{1, 3}, true, []uint64{1, 3}},
		{"the same after a crash: a table may have been removed", [][]*pb.ManifestChange{{create(1)}, {create(2)}, {create(3)}}, []uint64{1, 3}, false, []uint64{1, 2, 3}},
		{"a compaction", [][]*pb.ManifestChange{{create(1)}, {create(2)}, {create(3), remove(1), remove(2)}}, []uint64{1, 2}, false, []uint64{1, 2}},
		{"a compaction whose tables are gone", [][]*pb.ManifestChange{{create(1)}, {create(3), remove(1)}}, nil, true, []uint64{3}},
		{"a table that was compacted later", [][]*pb.ManifestChange{{create(1)}, {create(2), remove(1)}, {create(3), remove(2)}}, []uint64{3}, true, []uint64{3}},
	} {
		d := new(Dir)
		if _, bad := d.readSets(manifestOf(t, c.sets...)); bad != nil {
			t.Fatal(bad)
		}
		var names []string
		for _, id := range c.there {
			names = append(names, tableName(id))
		}
		if err := d.apply(names, c.all); err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, x := range d.Tables {
			got = append(got, x.ID)
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: tables %v, want %v", c.name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: tables %v, want %v", c.name, got, c.want)
			}
		}
	}
}

// FuzzLog wants no more of octets than that they are taken for something.
func FuzzLog(f *testing.F) {
	f.Add(logOf(3, "key"))
	f.Add(logOf(1, "a", "b")[:60])
	f.Fuzz(func(t *testing.T, data []byte) {
		l := &Log{Name: "00001.mem", data: bytes.Clone(data)}
		l.parse()
		if l.Whole > len(l.Txns) {
			t.Fatalf("%d of %d transactions are before the damage", l.Whole, len(l.Txns))
		}
		found := len(l.Txns)
		if len(data) > 1<<12 {
			return // the search for the wrong octet takes long
		}
		if l.mend(); len(l.Txns) < found {
			t.Fatalf("%d transactions, mended %d", found, len(l.Txns))
		}
	})
}

// FuzzTable likewise.
func FuzzTable(f *testing.F) {
	f.Add([]byte("entries and their offsets\x00\x00\x00\x01\x10\x05\x00\x00\x00\x02"))
	f.Add(append(append([]byte("index"), 0, 0, 0, 5), stored(crc32.Checksum([]byte("index"), castagnoli))...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<12 {
			return
		}
		x := &Table{Name: "000001.sst", data: bytes.Clone(data)}
		if _, _, err := x.mend(); err != nil {
			return
		}
		if len(x.verify()) > 0 {
			return
		}
		for i := range x.blocks {
			if err := x.entries(i, func(Entry) error { return nil }); err != nil {
				if _, is := err.(Damage); !is {
					t.Fatal(err)
				}
			}
		}
	})
}

// FuzzManifest likewise.
func FuzzManifest(f *testing.F) {
	f.Add(manifestOf(f, []*pb.ManifestChange{create(1)}, []*pb.ManifestChange{create(2), remove(1)}))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = bytes.Clone(data)
		d := new(Dir)
		end, bad := d.readSets(data)
		if len(data) > 0 && (bad == nil) != (end == len(data)) {
			t.Fatalf("ends at %d of %d: %v", end, len(data), bad)
		}
		if bad != nil && len(data) < 1<<10 && mendManifest(data, end) {
			if _, bad := d.readSets(data); bad != nil {
				t.Fatalf("mended: %v", bad)
			}
		}
		if err := d.apply(nil, true); err != nil && err != ErrForeign {
			t.Fatal(err)
		}
	})
}
