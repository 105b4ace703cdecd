package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Kinds of records.
const (
	putRecord  = 1
	keepRecord = 2
	endRecord  = 3
)

// Writer writes one file. After an error it must not be used.
type Writer struct {
	to          io.Writer
	sum         hash.Hash
	z           *zstd.Encoder
	last, buf   []byte
	puts, keeps uint64
}

// window of the compression, in octets, which bounds its memory.
const window = 1 << 20

// NewWriter begins a file. The caller calls Close, or leaves the file to be
// known as cut.
func NewWriter(to io.Writer, h Header) (*Writer, error) {
	h.Format = Format
	head, err := h.append(nil)
	if err != nil {
		return nil, err
	}
	w := &Writer{to: to, sum: sha256.New()}
	both := io.MultiWriter(to, w.sum)
	if _, err := both.Write(head); err != nil {
		return nil, err
	}
	// In the caller's goroutine, and fast: queries and updates want the processor.
	w.z, err = zstd.NewWriter(both, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window))
	return w, err
}

// Put adds a key with its value.
func (w *Writer) Put(key, value []byte) error {
	if err := w.begin(putRecord, key); err != nil {
		return err
	}
	if len(value) > maxValue {
		return fmt.Errorf("value of %d octets", len(value))
	}
	w.puts++
	w.buf = append(binary.AppendUvarint(w.buf, uint64(len(value))), value...)
	_, err := w.z.Write(w.buf)
	return err
}

// Keep adds a key that has its value still from the backup before.
func (w *Writer) Keep(key []byte) error {
	if err := w.begin(keepRecord, key); err != nil {
		return err
	}
	w.keeps++
	_, err := w.z.Write(w.buf)
	return err
}

func (w *Writer) begin(kind byte, key []byte) error {
	if len(key) == 0 || len(key) > maxKey || string(key) <= string(w.last) {
		return fmt.Errorf("key %x comes after %x", key, w.last)
	}
	shared := 0
	for shared < len(w.last) && w.last[shared] == key[shared] {
		shared++
	}
	w.buf = binary.AppendUvarint(append(w.buf[:0], kind), uint64(shared))
	w.buf = binary.AppendUvarint(w.buf, uint64(len(key)-shared))
	w.buf = append(w.buf, key[shared:]...)
	w.last = append(w.last[:0], key...)
	return nil
}

// Close ends the file. It does not close what is written to.
func (w *Writer) Close() error {
	w.buf = binary.AppendUvarint(append(w.buf[:0], endRecord), w.puts)
	w.buf = binary.AppendUvarint(w.buf, w.keeps)
	_, err := w.z.Write(w.buf)
	if err = errors.Join(err, w.z.Close()); err != nil {
		return err
	}
	_, err = w.to.Write(w.sum.Sum(nil))
	return err
}
