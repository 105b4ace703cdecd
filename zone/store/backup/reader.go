package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Reader reads one file. What it gives counts only when Next has given io.EOF:
// the checksum comes last.
type Reader struct {
	Header Header
	// Sum is the checksum as it stands in the file.
	Sum [SumLen]byte
	// Puts and Keeps count what was read.
	Puts, Keeps uint64

	raw        *counter
	sum        hash.Hash
	z          *zstd.Decoder
	r          *bufio.Reader
	key, value []byte
	done       bool
}

// Record is good until the next one.
type Record struct {
	Key, Value []byte
	Keep       bool // Value is that of the backup before
}

// maxWindow is the most that decompression may hold of what it has written.
const maxWindow = 8 << 20

// NewReader reads the header of a file of that many octets. Errors that are
// neither ErrDamaged nor *FormatError are those of reading.
func NewReader(file io.ReaderAt, size int64) (*Reader, error) {
	if size < SumLen {
		return nil, ErrDamaged
	}
	r := &Reader{sum: sha256.New()}
	if _, err := file.ReadAt(r.Sum[:], size-SumLen); err != nil && err != io.EOF {
		return nil, err
	}
	body := io.NewSectionReader(file, 0, size-SumLen)
	r.raw = &counter{r: io.TeeReader(bufio.NewReaderSize(body, 1<<18), r.sum)}
	var err error
	if r.Header, err = readHeader(r.raw); err != nil {
		return nil, r.raw.or(err)
	}
	r.z, err = zstd.NewReader(r.raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	r.r = bufio.NewReaderSize(r.z, 1<<16)
	return r, nil
}

// Read tells how many octets of the file were read.
func (r *Reader) Read() int64 { return r.raw.n + SumLen }

// Close gives memory back.
func (r *Reader) Close() { r.z.Close() }

// Next gives the next record; io.EOF at the end of a file that is whole.
func (r *Reader) Next() (Record, error) {
	if r.done {
		return Record{}, io.EOF
	}
	rec, err := r.next()
	if err == io.EOF {
		if err = r.end(); err == nil {
			r.done = true
			return rec, io.EOF
		}
	}
	if err != nil {
		return Record{}, r.raw.or(err)
	}
	return rec, nil
}

func (r *Reader) next() (rec Record, err error) {
	kind, err := r.r.ReadByte()
	if err != nil {
		return rec, damaged("it ends too early")
	}
	switch kind {
	case endRecord:
		puts, err1 := binary.ReadUvarint(r.r)
		keeps, err2 := binary.ReadUvarint(r.r)
		if err1 != nil || err2 != nil || puts != r.Puts || keeps != r.Keeps {
			return rec, damaged("records are missing")
		}
		return rec, io.EOF
	case putRecord, keepRecord:
	default:
		return rec, damaged("a record of no kind")
	}
	if err := r.readKey(); err != nil {
		return rec, err
	}
	if kind == keepRecord {
		r.Keeps++
		return Record{Key: r.key, Keep: true}, nil
	}
	size, err := binary.ReadUvarint(r.r)
	if err != nil || size == 0 || size > maxValue {
		return rec, damaged("a value of a wrong length")
	}
	r.value = grown(r.value, 0, int(size))
	if _, err := io.ReadFull(r.r, r.value); err != nil {
		return rec, damaged("it ends too early")
	}
	r.Puts++
	return Record{Key: r.key, Value: r.value}, nil
}

func (r *Reader) readKey() error {
	shared, err1 := binary.ReadUvarint(r.r)
	rest, err2 := binary.ReadUvarint(r.r)
	if err1 != nil || err2 != nil || shared > uint64(len(r.key)) || rest == 0 || rest > maxKey || shared+rest > maxKey {
		return damaged("a key of a wrong length")
	}
	var last [maxKey]byte
	before := last[:copy(last[:], r.key)]
	r.key = grown(r.key, int(shared), int(shared+rest))
	if _, err := io.ReadFull(r.r, r.key[shared:]); err != nil {
		return damaged("it ends too early")
	}
	if bytes.Compare(r.key, before) <= 0 {
		return damaged("keys out of order")
	}
	return nil
}

// grown gives b with that many octets, of which it keeps the first.
func grown(b []byte, keep, size int) []byte {
	if cap(b) < size {
		b = append(make([]byte, 0, size+size/2), b[:keep]...)
	}
	return b[:size]
}

// end sees that nothing stands behind the end, and that the checksum is right.
func (r *Reader) end() error {
	if _, err := r.r.ReadByte(); err != io.EOF {
		return damaged("there is more behind its end")
	}
	if n, err := io.Copy(io.Discard, r.raw); n > 0 || err != nil {
		return damaged("there is more behind its end")
	}
	if !bytes.Equal(r.sum.Sum(nil), r.Sum[:]) {
		return damaged("its checksum is another")
	}
	return nil
}

func damaged(how string) error { return fmt.Errorf("%w (%s)", ErrDamaged, how) }

// counter counts octets, and keeps the error of reading, which says more than
// what follows from it.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

func (c *counter) or(err error) error {
	if c.err != nil {
		return c.err
	}
	return err
}
