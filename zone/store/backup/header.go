package backup

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Format is the version of the file format that this package writes, and the
// newest that it reads.
const Format = 1

// SumLen is the length of the checksum at the end of a file.
const SumLen = 32

const (
	magic     = "DTBACK\r\n"
	maxHeader = 64 << 20 // of a store with some hundred thousand zones
	maxKey    = 1 << 10
	maxValue  = 1 << 20
)

// ErrDamaged says that a file is not what was written: it was cut, or altered.
var ErrDamaged = errors.New("it is damaged: it was cut or altered, or is no backup of dialtone")

// Header tells what a file holds.
type Header struct {
	Format      int       `json:"format"`
	StoreFormat uint32    `json:"store_format"` // format version of the data directory
	Time        time.Time `json:"time"`
	Store       string    `json:"store"`             // identity of the data directory
	Version     uint64    `json:"version,omitempty"` // Badger's; 0: no increment can follow
	Since       uint64    `json:"since,omitempty"`   // version from which this is an increment; 0: it is a full backup
	Base        string    `json:"base,omitempty"`    // checksum, in hexadecimal, of the backup of that version, if it was known
	Zones       []Zone    `json:"zones"`
}

// Zone is a zone in a backup.
type Zone struct {
	Name   string `json:"name"`
	Serial uint32 `json:"serial"`
}

// FormatError says that a file was written by a newer dialtone.
type FormatError struct {
	What             string // whose format it is
	Found, Supported uint32
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("its %s has version %d, and this dialtone knows versions up to %d; restore it with the dialtone that wrote it, or a newer one",
		e.What, e.Found, e.Supported)
}

func (h *Header) append(b []byte) ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil || len(text) > maxHeader {
		return nil, errors.Join(err, fmt.Errorf("header of %d octets", len(text)))
	}
	b = binary.BigEndian.AppendUint32(append(b, magic...), uint32(len(text)))
	return append(b, text...), nil
}

// readHeader reads what append wrote.
func readHeader(r io.Reader) (h Header, err error) {
	var head [len(magic) + 4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:len(magic)]) != magic {
		return h, ErrDamaged
	}
	size := binary.BigEndian.Uint32(head[len(magic):])
	if size > maxHeader {
		return h, ErrDamaged
	}
	text, err := io.ReadAll(io.LimitReader(r, int64(size))) // takes no more memory than there are octets
	if err != nil || len(text) < int(size) || json.Unmarshal(text, &h) != nil {
		return h, ErrDamaged
	}
	if h.Format > Format {
		return h, &FormatError{What: "file format", Found: uint32(h.Format), Supported: Format}
	}
	if h.Format < 1 {
		return h, ErrDamaged
	}
	return h, nil
}
