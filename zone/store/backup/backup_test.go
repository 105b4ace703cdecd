package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var testHeader = Header{
	Format: Format, StoreFormat: 1, Time: time.Date(2026, 11, 26, 4, 0, 0, 0, time.UTC), Store: "00ff", Version: 7, Since: 3, Base: "aa",
	Zones: []Zone{{"phones.example.", 9}},
}

// record is a Record that can be kept.
type record struct {
	key, value string
	keep       bool
}

func someRecords(n int) (list []record) {
	for i := range n {
		list = append(list, record{key: fmt.Sprintf("r%07d", i), value: fmt.Sprint("v", i), keep: i%5 == 3})
	}
	return list
}

func write(t testing.TB, list []record) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, testHeader)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.keep {
			err = w.Keep([]byte(r.key))
		} else {
			err = w.Put([]byte(r.key), []byte(r.value))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(file []byte) (h Header, list []record, err error) {
	r, err := NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return h, nil, err
	}
	defer r.Close()
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return r.Header, list, nil
		}
		if err != nil {
			return h, list, err
		}
		list = append(list, record{string(rec.Key), string(rec.Value), rec.Keep})
	}
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	for _, n := range []int{0, 1, 3, 5000} {
		want := someRecords(n)
		for i := range want {
			if want[i].keep {
				want[i].value = ""
			}
		}
		h, got, err := read(write(t, want))
		if err != nil || !reflect.DeepEqual(h, testHeader) || !reflect.DeepEqual(got, want) {
			t.Errorf("%d records: %v, %v, %d records", n, err, h, len(got))
		}
	}
	// Large ones, too.
	want := []record{{key: strings.Repeat("k", maxKey), value: strings.Repeat("v", maxValue)}}
	if _, got, err := read(write(t, want)); err != nil || !reflect.DeepEqual(got, want) {
		t.Error(err)
	}
}

func TestWriterKeepsOrder(t *testing.T) {
	w, err := NewWriter(io.Discard, testHeader)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Put([]byte("b"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"b", "a", "", strings.Repeat("c", maxKey+1)} {
		if w.Put([]byte(key), []byte("x")) == nil || w.Keep([]byte(key)) == nil {
			t.Errorf("key %q was taken behind b", key)
		}
	}
	if w.Put([]byte("c"), make([]byte, maxValue+1)) == nil {
		t.Error("a value was taken that no reader takes")
	}
}

// Each octet of a file counts.
func TestEveryAlteredOctetIsFound(t *testing.T) {
	file := write(t, someRecords(300))
	for i := range file {
		for _, bit := range []byte{1, 0x80} {
			bad := bytes.Clone(file)
			bad[i] ^= bit
			_, _, err := read(bad)
			var format *FormatError
			if !errors.Is(err, ErrDamaged) && !errors.As(err, &format) {
				t.Fatalf("octet %d of %d was altered by %#x: %v", i, len(file), bit, err)
			}
		}
	}
}

func TestEveryCutIsFound(t *testing.T) {
	file := write(t, someRecords(300))
	for n := range file {
		if _, _, err := read(file[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d of %d octets: %v", n, len(file), err)
		}
	}
	if _, _, err := read(append(bytes.Clone(file), 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("one octet more: %v", err)
	}
	if _, _, err := read(append(bytes.Clone(file), file...)); !errors.Is(err, ErrDamaged) {
		t.Errorf("twice: %v", err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	file := bytes.Replace(write(t, nil), []byte(`{"format":1,`), []byte(`{"format":2,`), 1)
	_, _, err := read(file)
	var format *FormatError
	if !errors.As(err, &format) || format.Found != 2 || !strings.Contains(err.Error(), "has version 2, and this dialtone knows versions up to 1") {
		t.Errorf("%v", err)
	}
}

// A fault of the disk is told as such.
func TestFaultsOfReading(t *testing.T) {
	file := write(t, someRecords(1000))
	fault := errors.New("input/output error")
	for at := range len(file) - SumLen {
		r, err := NewReader(&faulty{bytes.NewReader(file), int64(at), fault}, int64(len(file)))
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, fault) {
			t.Fatalf("at octet %d: %v", at, err)
		}
	}
}

type faulty struct {
	r   io.ReaderAt
	at  int64
	err error
}

func (f *faulty) ReadAt(b []byte, off int64) (int, error) {
	if off <= f.at && f.at < off+int64(len(b)) {
		return 0, f.err
	}
	return f.r.ReadAt(b, off)
}

func FuzzReader(f *testing.F) {
	f.Add(write(f, someRecords(20)))
	f.Add(write(f, nil))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, file []byte) {
		_, list, err := read(file)
		if err != nil {
			return
		}
		// The checksum is right: then it can be written again.
		for i := 1; i < len(list); i++ {
			if list[i-1].key >= list[i].key {
				t.Errorf("%q stands before %q", list[i-1].key, list[i].key)
			}
		}
	})
}

// FuzzRecords reaches what stands behind the checksum: records that somebody
// else has written.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("\x01\x00\x01a\x01x\x03\x01\x00"))
	f.Add([]byte("\x02\x00\x01a\x02\x01\x01b\x03\x00\x02"))
	f.Add([]byte("\x01\x00\x01a\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, records []byte) {
		var b bytes.Buffer
		w, err := NewWriter(&b, testHeader)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.z.Write(records); err != nil {
			t.Fatal(err)
		}
		if err := w.z.Close(); err != nil {
			t.Fatal(err)
		}
		b.Write(w.sum.Sum(nil))
		_, list, err := read(b.Bytes())
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
			return
		}
		// What is taken can be written, and is the same then.
		if _, again, err := read(write(t, list)); err != nil || !slices.Equal(again, list) {
			t.Errorf("%v: %v became %v", err, list, again)
		}
	})
}
