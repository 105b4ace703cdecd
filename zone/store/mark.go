package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"

	"dialtone/zone/store/files"
)

// What was synced
//
// A write-ahead log of which the end cannot be read looks the same after a
// crash, which left a transaction half written, and after damage to what had
// been acknowledged. Badger takes both for the first. So beside the logs there
// is a file that says up to which version all is synced: versions are what
// Badger counts transactions by. It is written after each sync and not synced
// itself, which costs a microsecond a commit. So after a crash of the process it
// is exact; after a power cut it may say less than is true, and never more.
//
// A start that finds less than that refuses to go on (verify).

const (
	markFile  = "SYNCED"
	markMagic = "dialtone"
	markLen   = len(markMagic) + 8 + 4
)

func markValue(version uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte(markMagic), version)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// readMark gives the version in the mark; 0 when there is none. An error that is
// a files.Damage says that it cannot be read, which matters only together with
// other damage.
func readMark(root *os.Root) (version uint64, err error) {
	b, err := root.ReadFile(markFile)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(b) == markLen {
		version = binary.BigEndian.Uint64(b[len(markMagic):])
	}
	if string(b) != string(markValue(version)) || len(b) != markLen {
		return 0, files.Damage{File: markFile, Offset: -1, What: "does not match its checksum", Mendable: true}
	}
	return version, nil
}

// mark notes that all is synced up to the transaction of that number. It is
// evidence, not data: what keeps it from being written keeps nobody else. At
// worst it says too little.
func (l *logs) mark(number uint64) {
	if l.mu.marks != nil {
		_, _ = l.mu.marks.WriteAt(markValue(l.mu.version+number), 0)
	}
}

// startMark begins to count versions: all that Badger has found was synced, or is
// by the next sync, for it is in logs that are not written any more.
func (s *Store) startMark(version uint64) error {
	l := &s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.marks == nil {
		f, err := s.root.OpenFile(markFile, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return fmt.Errorf("note what is synced: %w", err)
		}
		l.mu.marks = f
	}
	l.mu.version = version - l.mu.written
	l.mark(l.mu.written)
	return nil
}

func (l *logs) closeMark() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.marks == nil {
		return nil
	}
	err := l.mu.marks.Close()
	l.mu.marks = nil
	return err
}
